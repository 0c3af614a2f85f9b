/**
 * Plan cards: what a sweep or a face test would draw, take and cost, before anything is charged. Both are a sweep's
 * YAML here, so one card, one form and one set of checks serve them.
 */
import {
  ActionRowBuilder,
  type BaseInteraction,
  ButtonBuilder,
  ButtonStyle,
  LabelBuilder,
  ModalBuilder,
  TextInputBuilder,
  TextInputStyle,
} from 'discord.js';
import { z } from 'zod';
import type { Cell } from '#src/batches/cells.ts';
import { discardPlan, openPlanned, type Plan, planBatch, storedPlan } from '#src/batches/plans.ts';
import { readyWords } from '#src/cards/lines.ts';
import { type Action, customId } from '#src/custom-ids.ts';
import { UserError } from '#src/errors.ts';
import { listFolders } from '#src/faces.ts';
import { countPictures } from '#src/generations/pictures.ts';
import { showValue } from '#src/parameters/definitions.ts';
import { resolveParameters } from '#src/parameters/values.ts';
import type { Origin } from '#src/people/people.ts';
import { isOperator } from '#src/people/rights.ts';
import { productionMode } from '#src/production.ts';
import type { Say } from '#src/say.ts';
import type { SweepDefinition } from '#src/sweeps/check.ts';
import { countCells, expandSweep } from '#src/sweeps/expand.ts';
import { parseSweep } from '#src/sweeps/parse.ts';
import { code, quote } from '#src/text.ts';
import type { Answer, Press, Presses } from './command.ts';
import { accepted } from './imagine.ts';
import { outsideThreads } from './origin.ts';
import { mustPost } from './permissions.ts';

/** What a plan is made of, kept with it: it can be edited, and run again from its message. */
const Source = z.object({
  yaml: z.string(),
  /** which idea each prompt of a face test came from */
  ideas: z.array(z.object({ id: z.string(), prompt: z.string() })).default([]),
});
export type Source = z.output<typeof Source>;

/** Characters that a form's text field takes. */
const FIELD_MAX = 4_000;
const FIELD = 'yaml';
const VALUES_SHOWN = 8;
const PROMPTS_SHOWN = 10;
/** Characters of the card, with some to spare for a note below it. */
const CARD_MAX = 1_800;

/** How a stored plan or a running batch was asked for. null: by `/imagine`, or by an older version. */
export function sourceOf(asked: unknown): Source | null {
  const source = Source.safeParse(asked);
  return source.success ? source.data : null;
}

/**
 * Checks all of it and shows what it comes to.
 *
 * @throws {UserError} `plan_faults` with every fault, `yaml_broken`, `file_large`, `batch_limit`, `prompt_blocked` …
 */
export async function makePlan(
  interaction: BaseInteraction,
  origin: Origin,
  kind: 'sweep' | 'face_test',
  source: Source,
): Promise<Exclude<Answer, string>> {
  const { actor } = origin;
  mustPost(interaction, kind, origin.botInside);
  const folders = await listFolders(actor.id);
  const { language } = origin.say;
  const asker = { language, operator: await isOperator(actor), folders };
  const definition = await parseSweep(source.yaml, actor.id, asker);
  const cells = expandSweep(definition);

  const place = outsideThreads(interaction, origin);
  const own = await resolveParameters(place);
  const folderIds = new Map(folders.map(({ id, name }) => [name, id]));
  const ideaIds = new Map(source.ideas.map(({ id, prompt }) => [prompt, id]));
  const tier = String(own.tier);
  const production = own.production_mode === true;
  const plan = await planBatch(place, {
    kind,
    title: definition.name,
    asked: source,
    cells: cells.map(
      ({ prompt, parameters: varied, seed, faceName, coordinates }): Cell => ({
        prompt,
        parameters: { ...own, ...varied, seed },
        seed,
        faceFolderId: faceName === null ? null : (folderIds.get(faceName) ?? null),
        ideaId: ideaIds.get(prompt) ?? null,
        coordinates,
      }),
    ),
    tier,
    production,
  });
  return planCard(origin.say, source, definition, plan, tier, production);
}

function planCard(
  say: Say,
  { yaml }: Source,
  definition: SweepDefinition,
  plan: Plan,
  tier: string,
  production: boolean,
): Exclude<Answer, string> {
  const { pictures, equal, reused, tokens, balance, range, batchId, hash } = plan;
  const { name, axes, faces, seeds, set, cells } = definition;
  const short = tokens > balance;
  const asked = countCells(definition);
  const made = BigInt(pictures + equal);
  const settings = Object.entries(set).map(([key, value]) => `${key} ${showValue(key, value)}`);
  // What it comes to stands first: a long list of axes may be cut off below.
  const head = [
    say('**Plan: {name}**', { name: quote(name) }),
    asked > made
      ? say(
          '**{pictures, plural, one {# picture} other {# pictures}}** (the first of {asked}, by `limit`), {reused, number} drawn before and free',
          { pictures, asked: asked.toLocaleString(say.language), reused },
        )
      : say(
          '**{pictures, plural, one {# picture} other {# pictures}}**, {reused, number} drawn before and free',
          { pictures, reused },
        ),
    ...(equal
      ? [
          say('{equal, plural, one {# cell} other {# cells}} left out: the same picture as another.', {
            equal,
          }),
        ]
      : []),
    [
      say('Tier {tier}', { tier: `\`${tier}\`` }),
      ...(production ? [say('Production mode')] : []),
      ...(range ? [readyWords(say, range)] : []),
    ].join(' · '),
    short
      ? say(
          '{tokens, plural, one {# token} other {# tokens}} of your {balance, number}: that is not enough. Use fewer values, or the tier `relax`.',
          { tokens, balance },
        )
      : say('{tokens, plural, one {# token} other {# tokens}} of your {balance, number}', {
          tokens,
          balance,
        }),
    '',
    ...axes.map(
      (axis) =>
        `\`${axis.name}\`: ${some(
          say,
          axis.values.map((value) => showValue(axis.name, value)),
        )}`,
    ),
    ...(cells.length
      ? [say('{count, plural, one {# listed cell} other {# listed cells}}', { count: cells.length })]
      : []),
    ...(settings.length ? [say('Everywhere: {settings}', { settings: some(say, settings) })] : []),
    ...(faces.length ? [say('Faces: {faces}', { faces: some(say, faces) })] : []),
    say('Seeds: {seeds}', { seeds: some(say, seeds.map(String)) }),
  ].join('\n');
  const whole = promptLines(say, definition, 'whole');
  const fits = head.length + whole.length < CARD_MAX;
  const content = `${head}\n${fits ? whole : promptLines(say, definition, 'cut')}`;
  // Nothing is paid for unread: what neither the card nor the form of Edit can hold goes with them.
  const isNeeded = !fits || yaml.length > FIELD_MAX;
  const files = isNeeded ? [{ attachment: Buffer.from(yaml), name: 'plan.yaml' }] : [];
  const button = (action: Action, label: string, style: ButtonStyle, argument?: string) =>
    new ButtonBuilder()
      .setCustomId(customId(action, batchId, argument))
      .setLabel(label)
      .setStyle(style);
  const buttons = new ActionRowBuilder<ButtonBuilder>().addComponents(
    button('plan.run', say('Run'), ButtonStyle.Success, hash).setDisabled(short),
    button('plan.edit', say('Edit'), ButtonStyle.Secondary),
    button('plan.cancel', say('Cancel'), ButtonStyle.Secondary),
  );
  return { content, components: [buttons], files };
}

/** All prompts whole; or of those that the card can't hold, the first few, cut off. */
function promptLines(say: Say, { prompts, promptLabels }: SweepDefinition, how: 'whole' | 'cut'): string {
  const isWhole = how === 'whole';
  const text = (prompt: string) => (isWhole ? code(prompt, Number.POSITIVE_INFINITY) : quote(prompt));
  const [only = ''] = prompts;
  if (prompts.length === 1)
    return isWhole
      ? say('Prompt: {prompt}', { prompt: text(only) })
      : say('Prompt, whole in `plan.yaml`: {prompt}', { prompt: text(only) });
  const shown = isWhole ? prompts : prompts.slice(0, PROMPTS_SHOWN);
  const more = prompts.length - shown.length;
  return [
    isWhole ? say('Prompts:') : say('Prompts, whole in `plan.yaml`:'),
    ...shown.map((prompt, i) => {
      const name = nameOfPrompt(promptLabels[i]);
      return `${i + 1}. ${name ? `**${quote(name)}** ` : ''}${text(prompt)}`;
    }),
    ...(more ? [say('… and {more} more', { more })] : []),
  ].join('\n');
}

/** A label that only repeats the prompt begins with its number, and names nothing. */
function nameOfPrompt(label = ''): string {
  return /^\d+: /.test(label) ? '' : label;
}

/** The form with a sweep's YAML in it. @throws {UserError} `plan_long` when a form can't hold it */
export function yamlForm(say: Say, submit: string, yaml: string): ModalBuilder {
  if (yaml.length > FIELD_MAX) throw new UserError('plan_long', { max: FIELD_MAX, got: yaml.length });
  return new ModalBuilder()
    .setCustomId(submit)
    .setTitle(say('Sweep'))
    .addLabelComponents(
      new LabelBuilder()
        .setLabel('YAML')
        .setDescription(say('prompt or prompts, axes, seeds, faces, set, limit'))
        .setTextInputComponent(
          new TextInputBuilder()
            .setCustomId(FIELD)
            .setStyle(TextInputStyle.Paragraph)
            .setMaxLength(FIELD_MAX)
            .setValue(yaml),
        ),
    );
}

/** What was typed into `yamlForm`. */
export function yamlOf(interaction: Press['interaction']): string {
  return interaction.isModalSubmit() ? interaction.fields.getTextInputValue(FIELD) : '';
}

export const planPresses = {
  'plan.run': {
    answers: 'update',
    async run({ id, argument = '', interaction, origin }) {
      mustPost(interaction, 'sweep', origin.botInside);
      const place = outsideThreads(interaction, origin);
      const { on } = await productionMode(place);
      const batch = await openPlanned(place, id, argument, on);
      return accepted(origin.say, batch, await countPictures(id));
    },
  },
  'plan.edit': {
    answers: 'form',
    async form({ id, origin: { actor, say } }) {
      const source = sourceOf((await storedPlan(actor, id)).asked);
      if (!source) throw new UserError('gone', {});
      return yamlForm(say, customId('plan.edited', id), source.yaml);
    },
  },
  'plan.edited': {
    answers: 'update',
    async run({ id, interaction, origin }) {
      const { batch, asked } = await storedPlan(origin.actor, id);
      const kind = batch.kind === 'face_test' ? 'face_test' : 'sweep';
      const ideas = sourceOf(asked)?.ideas ?? [];
      const card = await makePlan(interaction, origin, kind, { yaml: yamlOf(interaction), ideas });
      await discardPlan(origin.actor, id);
      return card;
    },
  },
  'plan.cancel': {
    answers: 'update',
    async run({ id, origin: { actor, say } }) {
      await discardPlan(actor, id);
      return say('The plan is thrown away. Nothing was charged.');
    },
  },
} satisfies Presses;

/** The first few, and how many more. */
function some(say: Say, values: readonly string[]): string {
  const shown = values.slice(0, VALUES_SHOWN).map((value) => quote(value));
  const first = shown.join(', ');
  const more = values.length - shown.length;
  return more ? say('{first} and {more, number} more', { first, more }) : first;
}
