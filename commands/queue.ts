/** `/queue`: a person's batches that are still being drawn, and messages that could not be delivered. */
import { ActionRowBuilder, SlashCommandBuilder, StringSelectMenuBuilder } from 'discord.js';
import { type Place, placesOf } from '#src/backlog/place.ts';
import { customId } from '#src/custom-ids.ts';
import { deliverAgain } from '#src/deliveries.ts';
import { UserError } from '#src/errors.ts';
import {
  type Undelivered,
  type UnfinishedBatch,
  undeliveredTo,
  unfinishedBatches,
} from '#src/generations/pictures.ts';
import { counted, quote, relative, unmarked } from '#src/text.ts';
import type { Answer, SlashCommand } from './command.ts';
import { end } from './ending.ts';
import { Context, Install } from './options.ts';

const LABEL_MAX = 100;
/** A message takes 2,000 characters, and a batch takes about 150. */
const SHOWN_MAX = 8;

export default {
  data: new SlashCommandBuilder()
    .setName('queue')
    .setDescription('Show what of yours is being drawn, and cancel it.')
    .setContexts(Context.Guild, Context.BotDM, Context.PrivateChannel)
    .setIntegrationTypes(Install.GuildInstall, Install.UserInstall)
    .addStringOption((o) => o.setName('cancel').setDescription('Cancel this one.').setAutocomplete(true)),

  async run({ options }, { actor }) {
    const wanted = options.getString('cancel');
    if (wanted === null) return card(actor.id);
    const batch = (await unfinishedBatches(actor.id)).find(({ id }) => id === wanted);
    if (!batch) throw new UserError('gone', {});
    return end(actor, batch.id, 'cancelled');
  },

  async autocomplete({ options, user }) {
    const typed = options.getFocused().toLowerCase();
    return (await unfinishedBatches(user.id))
      .map((batch) => ({ name: labelOf(batch), value: batch.id }))
      .filter(({ name }) => name.toLowerCase().includes(typed));
  },

  press: {
    'queue.cancel': {
      answers: 'update',
      async run({ id, values, origin: { actor } }) {
        if (id !== actor.id) throw new UserError('not_yours', {});
        for (const batchId of values) await end(actor, batchId, 'cancelled');
        return card(actor.id, 'Cancelled; the tokens of what was not finished come back.');
      },
    },
    'queue.post': {
      answers: 'update',
      async run({ id, values, origin: { actor, channelId } }) {
        if (id !== actor.id) throw new UserError('not_yours', {});
        for (const deliveryId of values) await deliverAgain(actor.id, deliveryId, channelId);
        return card(actor.id, 'It will be posted in this channel.');
      },
    },
  },
} satisfies SlashCommand;

async function card(userId: string, above?: string): Promise<Answer> {
  const [batches, undelivered] = await Promise.all([unfinishedBatches(userId), undeliveredTo(userId)]);
  const shown = batches.slice(0, SHOWN_MAX);
  const waiting = shown.filter(({ counts: { queued, running } }) => queued && !running);
  const places = await placesOf(waiting.map(({ id }) => id));
  const lines = [
    ...(above ? [above] : []),
    ...(shown.length
      ? shown.map((batch) => lineOf(batch, places[waiting.indexOf(batch)]))
      : ['Nothing of yours waits.']),
    ...(batches.length > SHOWN_MAX ? [`… and ${batches.length - SHOWN_MAX} more`] : []),
    ...(undelivered.length
      ? ['**Not delivered**', ...undelivered.slice(0, SHOWN_MAX).map(undeliveredLine)]
      : []),
  ];
  const components = [];
  if (batches.length) {
    const options = batches.map((batch) => ({ label: labelOf(batch), value: batch.id }));
    components.push(select('queue.cancel', userId, 'Cancel …', options));
  }
  if (undelivered.length) {
    const options = undelivered.map(({ id, batch, kind }) => ({
      label: `${unmarked(batch?.title ?? kind)} (${kind})`.slice(0, LABEL_MAX),
      value: id,
    }));
    components.push(select('queue.post', userId, 'Post in this channel …', options));
  }
  return { content: lines.join('\n'), components };
}

function select(
  action: 'queue.cancel' | 'queue.post',
  userId: string,
  placeholder: string,
  options: readonly { label: string; value: string }[],
): ActionRowBuilder<StringSelectMenuBuilder> {
  return new ActionRowBuilder<StringSelectMenuBuilder>().addComponents(
    new StringSelectMenuBuilder()
      .setCustomId(customId(action, userId))
      .setPlaceholder(placeholder)
      .setMinValues(1)
      .setMaxValues(options.length)
      .addOptions(...options),
  );
}

/** @param place of one that only waits */
function lineOf(batch: UnfinishedBatch, place: Place | undefined): string {
  const { queued = 0, running = 0, done = 0 } = batch.counts;
  const where = link(batch.guildId, batch.channelId, batch.messageId);
  const counts = `${done} done, ${running} being drawn, ${queued} waiting`;
  const name = `${quote(batch.title)}${where ? ` ${where}` : ''}`;
  if (!place) return `- ${name}: ${counts}`;
  const { ahead } = place;
  return `- ${name}: ${counts}; ${ahead === 0 ? 'next' : `${counted(ahead, 'picture')} before it`}`;
}

function undeliveredLine({ kind, batch, lastError, createdAt }: Undelivered): string {
  const title = quote(batch?.title ?? kind);
  return `- ${title} (${kind}) of ${relative(createdAt)}: ${quote(lastError ?? 'nobody could be reached')}`;
}

function labelOf({ title, counts: { queued = 0, running = 0 } }: UnfinishedBatch): string {
  return `${unmarked(title)}: ${queued + running} to come`.slice(0, LABEL_MAX);
}

function link(guildId: string | null, channelId: string, messageId: string | null): string | null {
  return messageId && `https://discord.com/channels/${guildId ?? '@me'}/${channelId}/${messageId}`;
}
