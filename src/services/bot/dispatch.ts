/**
 * Everything that people type and press comes through here, and everybody gets an answer.
 *
 * Discord drops an interaction that is not acknowledged within 3 s, so the gateway's thread defers what can be deferred before it
 * comes here. Only the person who asked sees the answers; the courier posts the picture itself, as an ordinary message
 * that outlives the interaction.
 */
import {
  type AutocompleteInteraction,
  type BaseInteraction,
  type ChatInputCommandInteraction,
  DiscordjsTypeError,
  type Interaction,
  type InteractionEditReplyOptions,
  type MessageComponentInteraction,
  type MessageContextMenuCommandInteraction,
  MessageFlags,
  type ModalBuilder,
  type ModalSubmitInteraction,
  type RepliableInteraction,
} from 'discord.js';
import type { Answer, PressHandler } from '#commands/command.ts';
import { messageCommands, presses, slashCommands } from '#commands/index.ts';
import { originOf, sayTo } from '#commands/origin.ts';
import { actions, parseCustomId } from '#src/custom-ids.ts';
import { log, withContext } from '#src/doors/log.ts';
import { metrics } from '#src/doors/metrics.ts';
import { note, trace } from '#src/doors/traces.ts';
import { explain, UserError } from '#src/errors.ts';
import type { Deferral, Deferred } from './first-answer.ts';
import type { Handed } from './gateway-protocol.ts';

/** Discord shows nothing after 3 s, and a list that comes late is of no use. */
const SUGGEST_WITHIN_MS = 1_500;
const SUGGESTIONS_MAX = 25;
/** Discord has answered a deferral after 0.1 s; ms from when the interaction was made. */
const LATE_MS = 1_000;
/** Characters of one message. */
const CONTENT_MAX = 2_000;

type Pressed = MessageComponentInteraction | ModalSubmitInteraction;
type Typed = ChatInputCommandInteraction | MessageContextMenuCommandInteraction;

type Outcome = 'done' | 'suggested' | 'refused' | 'failed' | 'unanswered';
/** What was told instead of a result. */
const wrong = new WeakMap<BaseInteraction, 'refused' | 'failed'>();

/**
 * Never rejects: whatever goes wrong is told to the person, or where that can't be, logged.
 *
 * @param handed what the gateway's thread made of it
 */
export async function dispatch(interaction: Interaction, { command, deferred }: Handed): Promise<void> {
  const { id: interactionId, guildId, type } = interaction;
  await withContext({ interactionId, guildId, command, ...subjectOf(interaction) }, async () => {
    const startedAt = performance.now();
    // What somebody gets while they type is no story.
    const answer = interaction.isAutocomplete()
      ? await tried(interaction, deferred)
      : await trace('interaction', { command }, () => tried(interaction, deferred));
    metrics.interaction({ command, answer });
    log.debug({ type, answer, ms: Math.round(performance.now() - startedAt) }, 'interaction');
  });
}

async function tried(interaction: Interaction, deferred: Deferred | null): Promise<Outcome> {
  let answer: Outcome;
  try {
    if (interaction.isAutocomplete()) {
      await suggest(interaction);
      return 'suggested';
    }
    const how = takeUp(interaction, deferred);
    if (interaction.isChatInputCommand()) await runCommand(interaction, how);
    else if (interaction.isMessageContextMenuCommand()) await runMessageCommand(interaction);
    else if (interaction.isMessageComponent() || interaction.isModalSubmit())
      await runPress(interaction, how);
    answer = wrong.get(interaction) ?? 'done';
  } catch (error) {
    // Discord itself did not take our answer: too late, or out of reach. There is nobody to tell.
    log.warn({ err: error }, 'interaction not answered');
    answer = 'unanswered';
  }
  note({ answer });
  return answer;
}

/** For the log: the batch or picture of a button. */
function subjectOf(interaction: Interaction): Record<string, string> {
  if (!interaction.isMessageComponent() && !interaction.isModalSubmit()) return {};
  const parsed = parseCustomId(interaction.customId);
  if (!parsed) return {};
  const kind = actions[parsed.action];
  return kind === 'batch' || kind === 'generation' ? { [`${kind}Id`]: parsed.id } : {};
}

/** Goes on with one that was deferred. @throws what the thread met, when it could not be */
function takeUp(interaction: RepliableInteraction, deferred: Deferred | null): Deferral | null {
  if (!deferred) return null;
  if ('error' in deferred) throw deferred.error;
  interaction.deferred = true;
  acknowledged(interaction, deferred.by, deferred.at);
  return deferred.by;
}

/** Discord has our first answer. @param at ms since the epoch */
function acknowledged(
  { createdTimestamp }: BaseInteraction,
  by: Deferral | 'form' | 'choices',
  at = Date.now(),
): void {
  const ms = at - createdTimestamp;
  metrics.acknowledged({ by }, ms / 1_000);
  if (ms > LATE_MS) log.warn({ by, ms }, 'acknowledged late');
}

async function runCommand(interaction: ChatInputCommandInteraction, how: Deferral | null): Promise<void> {
  const command = slashCommands.get(interaction.commandName);
  if (how) {
    return answer(interaction, how, async () => {
      if (!command) throw new UserError('command_old', {});
      return command.run(interaction, originOf(interaction));
    });
  }
  await openForm(interaction, async () => {
    if (!command?.form) throw new UserError('command_old', {});
    return command.form.open(interaction);
  });
}

async function runMessageCommand(interaction: MessageContextMenuCommandInteraction): Promise<void> {
  await answer(interaction, 'reply', async () => {
    const command = messageCommands.get(interaction.commandName);
    if (!command) throw new UserError('command_old', {});
    return command.run(interaction, originOf(interaction));
  });
}

async function runPress(interaction: Pressed, how: Deferral | null): Promise<void> {
  const parsed = parseCustomId(interaction.customId);
  const handler: PressHandler | undefined = parsed ? presses[parsed.action] : undefined;
  if (!parsed || !handler) return refuse(interaction, new UserError('card_old', {}));
  const values = interaction.isStringSelectMenu() ? interaction.values : [];
  const press = { ...parsed, values, interaction, origin: originOf(interaction) };
  if (handler.answers !== 'form') {
    if (how) await answer(interaction, how, () => handler.run(press));
    return;
  }
  // A form can't open another form, whatever a forged custom id says.
  if (interaction.isMessageComponent()) await openForm(interaction, () => handler.form(press));
  else await refuse(interaction, new UserError('card_old', {}));
}

/** A form must be the first answer, so nothing is acknowledged before. */
async function openForm(
  interaction: ChatInputCommandInteraction | MessageComponentInteraction,
  make: () => Promise<ModalBuilder>,
) {
  let form: ModalBuilder;
  try {
    form = await make();
  } catch (error) {
    return refuse(interaction, error);
  }
  await interaction.showModal(form);
  acknowledged(interaction, 'form');
}

/** Works, and shows what came of it. A message whose button failed stays as it is. */
async function answer(interaction: Typed | Pressed, how: Deferral, work: () => Promise<Answer | null>) {
  let outcome: Answer | null;
  try {
    outcome = await work();
  } catch (error) {
    if (how === 'update') return void (await interaction.followUp(below(interaction, error)));
    outcome = sentenceFor(interaction, error);
  }
  if (outcome !== null) await interaction.editReply(whole(outcome));
}

async function suggest(interaction: AutocompleteInteraction): Promise<void> {
  const command = slashCommands.get(interaction.commandName);
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<[]>((resolve) => {
    timer = setTimeout(resolve, SUGGEST_WITHIN_MS, []);
  });
  const find = async () => (await command?.autocomplete?.(interaction)) ?? [];
  const found = find().catch((error: unknown) => {
    log.warn({ err: error }, 'no suggestions');
    return [];
  });
  const choices = await Promise.race([found, late]);
  clearTimeout(timer);
  await interaction.respond(choices.slice(0, SUGGESTIONS_MAX));
  acknowledged(interaction, 'choices');
}

async function refuse(interaction: Typed | Pressed, error: unknown): Promise<void> {
  await interaction.reply(below(interaction, error));
  acknowledged(interaction, 'reply');
}

/** A message of its own, for the person who pressed alone. */
function below(interaction: BaseInteraction, error: unknown) {
  return { content: clip(sentenceFor(interaction, error)), flags: MessageFlags.Ephemeral } as const;
}

/** When discord.js throws over an option, the person's client still shows the command as it once was. */
function sentenceFor(interaction: BaseInteraction, error: unknown): string {
  const isOld = error instanceof DiscordjsTypeError && error.code.startsWith('CommandInteractionOption');
  wrong.set(interaction, isOld || error instanceof UserError ? 'refused' : 'failed');
  return explain(sayTo(interaction), isOld ? new UserError('command_old', {}, { cause: error }) : error);
}

/** An answer takes the place of all that was there. */
function whole(outcome: Answer): InteractionEditReplyOptions {
  const {
    content,
    components = [],
    files = [],
  } = typeof outcome === 'string' ? { content: outcome } : outcome;
  return { content: clip(content ?? ''), components, files, attachments: [] };
}

function clip(text: string): string {
  if (text.length <= CONTENT_MAX) return text;
  const cut = text.slice(0, CONTENT_MAX - 2);
  return `${cut.slice(0, Math.max(cut.lastIndexOf('\n'), CONTENT_MAX / 2))}\n…`;
}
