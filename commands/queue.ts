/** `/queue`: a person's batches that are still being drawn, and messages that could not be delivered. */
import { ActionRowBuilder, SlashCommandBuilder, StringSelectMenuBuilder } from 'discord.js';
import { config } from '#config/env.ts';
import { isStorageFull } from '#src/backlog/fleet.ts';
import { type Place, placesOf } from '#src/backlog/place.ts';
import { customId } from '#src/custom-ids.ts';
import { deliverAgain } from '#src/deliveries.ts';
import type { Delivery } from '#src/doors/db.ts';
import { UserError } from '#src/errors.ts';
import {
  type Undelivered,
  type UnfinishedBatch,
  undeliveredTo,
  unfinishedBatches,
} from '#src/generations/pictures.ts';
import { message, type Say } from '#src/say.ts';
import { quote, relative, unmarked } from '#src/text.ts';
import type { Answer, SlashCommand } from './command.ts';
import { end } from './ending.ts';
import { Context, Install } from './options.ts';
import { sayTo } from './origin.ts';

const LABEL_MAX = 100;
/** What a message was to be. */
const deliveryWords = {
  card: message('card'),
  status: message('status'),
  pictures: message('pictures'),
  manifest: message('manifest'),
  review: message('review'),
  notice: message('notice'),
  request: message('question'),
  greeting: message('greeting'),
  warning: message('warning'),
} as const satisfies Record<Delivery['kind'], string>;
/** A message takes 2,000 characters, and a batch takes about 150. */
const SHOWN_MAX = 8;

export default {
  data: new SlashCommandBuilder()
    .setName('queue')
    .setDescription('Show what of yours is being drawn, and cancel it.')
    .setContexts(Context.Guild, Context.BotDM, Context.PrivateChannel)
    .setIntegrationTypes(Install.GuildInstall, Install.UserInstall)
    .addStringOption((o) => o.setName('cancel').setDescription('Cancel this one.').setAutocomplete(true)),

  async run({ options }, origin) {
    const { actor, say } = origin;
    const wanted = options.getString('cancel');
    if (wanted === null) return card(say, actor.id);
    const batch = (await unfinishedBatches(actor.id)).find(({ id }) => id === wanted);
    if (!batch) throw new UserError('gone', {});
    return end(origin, batch.id, 'cancelled');
  },

  async autocomplete(interaction) {
    const { options, user } = interaction;
    const typed = options.getFocused().toLowerCase();
    return (await unfinishedBatches(user.id))
      .map((batch) => ({ name: labelOf(sayTo(interaction), batch), value: batch.id }))
      .filter(({ name }) => name.toLowerCase().includes(typed));
  },

  press: {
    'queue.cancel': {
      answers: 'update',
      async run({ id, values, origin }) {
        const { actor, say } = origin;
        if (id !== actor.id) throw new UserError('not_yours', {});
        for (const batchId of values) await end(origin, batchId, 'cancelled');
        return card(say, actor.id, say('Cancelled; the tokens of what was not finished come back.'));
      },
    },
    'queue.post': {
      answers: 'update',
      async run({ id, values, origin }) {
        const { actor, say } = origin;
        if (id !== actor.id) throw new UserError('not_yours', {});
        for (const deliveryId of values) await deliverAgain(origin, deliveryId);
        return card(say, actor.id, say('It will be posted in this channel.'));
      },
    },
  },
} satisfies SlashCommand;

async function card(say: Say, userId: string, above?: string): Promise<Answer> {
  const [batches, undelivered] = await Promise.all([unfinishedBatches(userId), undeliveredTo(userId)]);
  const shown = batches.slice(0, SHOWN_MAX);
  const waiting = shown.filter(({ counts: { queued, running } }) => queued && !running);
  const places = await placesOf(waiting.map(({ id }) => id));
  const halted = shown.length > 0 && (await isStorageFull(config.bundle));
  const lines = [
    ...(above ? [above] : []),
    ...(halted
      ? [say('**Nothing is drawn right now**: our storage is full. It goes on by itself once there is room.')]
      : []),
    ...(shown.length
      ? shown.map((batch) => lineOf(say, batch, places[waiting.indexOf(batch)]))
      : [say('Nothing of yours waits.')]),
    ...(batches.length > SHOWN_MAX ? [say('… and {more} more', { more: batches.length - SHOWN_MAX })] : []),
    ...(undelivered.length
      ? [say('**Not delivered**'), ...undelivered.slice(0, SHOWN_MAX).map((one) => undeliveredLine(say, one))]
      : []),
  ];
  const components = [];
  if (batches.length) {
    const options = batches.map((batch) => ({ label: labelOf(say, batch), value: batch.id }));
    components.push(select('queue.cancel', userId, say('Cancel …'), options));
  }
  if (undelivered.length) {
    const options = undelivered.map(({ id, batch, kind }) => ({
      label: `${unmarked(batch?.title ?? deliveryWord(say, kind))} (${deliveryWord(say, kind)})`.slice(
        0,
        LABEL_MAX,
      ),
      value: id,
    }));
    components.push(select('queue.post', userId, say('Post in this channel …'), options));
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
function lineOf(say: Say, batch: UnfinishedBatch, place: Place | undefined): string {
  const { queued = 0, running = 0, done = 0 } = batch.counts;
  const where = link(batch.guildId, batch.channelId, batch.messageId);
  const counts = say('{done} done, {running} being drawn, {queued} waiting', { done, running, queued });
  const name = `${quote(batch.title)}${where ? ` ${where}` : ''}`;
  if (!place) return `- ${name}: ${counts}`;
  const { ahead } = place;
  const before =
    ahead === 0
      ? say('next')
      : say('{ahead, plural, one {# picture} other {# pictures}} before it', { ahead });
  return `- ${name}: ${counts}; ${before}`;
}

function deliveryWord(say: Say, kind: Delivery['kind']): string {
  const message = deliveryWords[kind];
  return say(message);
}

function undeliveredLine(say: Say, { kind, batch, lastError, createdAt }: Undelivered): string {
  const what = deliveryWord(say, kind);
  return say('- {title} ({what}), {when}: {why}', {
    title: quote(batch?.title ?? what),
    what,
    when: relative(createdAt),
    why: quote(lastError ?? say('nobody could be reached')),
  });
}

function labelOf(say: Say, { title, counts: { queued = 0, running = 0 } }: UnfinishedBatch): string {
  return say('{title}: {going} to come', { title: unmarked(title), going: queued + running }).slice(
    0,
    LABEL_MAX,
  );
}

function link(guildId: string | null, channelId: string, messageId: string | null): string | null {
  return messageId && `https://discord.com/channels/${guildId ?? '@me'}/${channelId}/${messageId}`;
}
