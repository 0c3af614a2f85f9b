/**
 * `/queue`: a person's batches that are still being drawn, and messages that could not be delivered. For operators also what waits
 * in all, for whom, and what the workers do.
 */
import { ActionRowBuilder, SlashCommandBuilder, StringSelectMenuBuilder } from 'discord.js';
import { isStorageFull } from '#src/backlog/fleet.ts';
import {
  type Busy,
  type Overview,
  overviewOf,
  type PersonWaiting,
  type TierWaiting,
} from '#src/backlog/overview.ts';
import { placesOf, type Told } from '#src/backlog/place.ts';
import { waitWords } from '#src/cards/lines.ts';
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
import { mention } from '#src/people/people.ts';
import { mustSeeQueue } from '#src/people/rights.ts';
import { message, type Say } from '#src/say.ts';
import { quote, relative, roughly, unmarked } from '#src/text.ts';
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
/** Batches and messages that are named, at most. */
const SHOWN_MAX = 8;
/** Characters that the longer and the shorter of two lists may take: a message takes 2,000 in all. */
const ROOM = { long: 1_100, short: 600 } as const;

export default {
  data: new SlashCommandBuilder()
    .setName('queue')
    .setDescription('Show what of yours is being drawn, and cancel it.')
    .setContexts(Context.Guild, Context.BotDM, Context.PrivateChannel)
    .setIntegrationTypes(Install.GuildInstall, Install.UserInstall)
    .addStringOption((o) => o.setName('cancel').setDescription('Cancel this one.').setAutocomplete(true))
    .addBooleanOption((o) =>
      o.setName('all').setDescription('What waits in all, and what the workers do. For operators.'),
    ),

  async run({ options }, origin) {
    const { actor, say, botInside } = origin;
    const wanted = options.getString('cancel');
    if (wanted === null && options.getBoolean('all'))
      return overview(say, await overviewOf(await mustSeeQueue(actor, botInside)));
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
        return card(
          say,
          actor.id,
          say('Cancelled: what is finished is kept, and the tokens of the rest come back.'),
        );
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
  const goesOn = shown.filter(({ state }) => state !== 'cancelled');
  const places = await placesOf(goesOn.map(({ id }) => id));
  const halted = shown.length > 0 && (await isStorageFull());
  const lines = [
    ...(above ? [above] : []),
    ...(halted
      ? [say('**Nothing is drawn right now**: our storage is full. It goes on by itself once there is room.')]
      : []),
    ...(batches.length
      ? clipped(
          say,
          shown.map((batch) => lineOf(say, batch, places[goesOn.indexOf(batch)])),
          ROOM.long,
          batches.length,
        )
      : [say('Nothing of yours waits.')]),
    ...(undelivered.length
      ? [
          say('**Not delivered**'),
          ...clipped(
            say,
            undelivered.slice(0, SHOWN_MAX).map((one) => undeliveredLine(say, one)),
            ROOM.short,
            undelivered.length,
          ),
        ]
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

/** As many lines as there is room for, and how many there are beside them. @param all of them, listed or not */
function clipped(say: Say, lines: readonly string[], room: number, all = lines.length): string[] {
  let used = 0;
  const shown = lines.filter((line) => {
    used += line.length + 1;
    return used <= room;
  });
  const more = all - shown.length;
  return more ? [...shown, say('… and {more} more', { more })] : shown;
}

// What waits in all

function overview(say: Say, { tiers, people, peopleCount, workers }: Overview): string {
  return [
    ...(tiers.length
      ? [say('**What waits**'), ...tiers.map((tier) => tierLine(say, tier))]
      : [say('Nothing waits.')]),
    ...(people.length
      ? [
          say('**For whom**'),
          ...clipped(
            say,
            people.map((person) => personLine(say, person)),
            ROOM.short,
            peopleCount,
          ),
        ]
      : []),
    ...(workers
      ? [
          say('**Workers**'),
          ...(workers.length
            ? clipped(
                say,
                workers.map((worker) => workerLine(say, worker)),
                ROOM.short,
              )
            : [say('None is there, so nothing is drawn.')]),
        ]
      : []),
  ].join('\n');
}

function tierLine(say: Say, { tier, pictures, people, oldestMs, share }: TierWaiting): string {
  return say(
    '- **{tier}**: {pictures, plural, one {# picture} other {# pictures}} of {people, plural, one {# person} other {# people}}, the first for {oldest}; {percent} % of what is drawn',
    { tier, pictures, people, oldest: roughly(oldestMs), percent: Math.round(share * 100) },
  );
}

function personLine(say: Say, { userId, pictures, gpuMs, oldestMs }: PersonWaiting): string {
  return say(
    '- {who}: {pictures, plural, one {# picture} other {# pictures}}, {gpu} of a worker; waits for {oldest}',
    { who: mention(say, userId), pictures, gpu: roughly(gpuMs), oldest: roughly(oldestMs) },
  );
}

const GIB = 2 ** 30;

function workerLine(say: Say, worker: Busy): string {
  const { id, bundle, aside, pictures, tiers, msPerStep, memoryMib, warm, memory, budget } = worker;
  const doing = pictures
    ? say('draws {pictures, plural, one {# picture} other {# pictures}} ({tiers})', {
        pictures,
        tiers: tiers.join(', '),
      })
    : say('waits for something to draw');
  const facts = [
    aside === null ? doing : say('takes nothing: our storage is full'),
    ...(msPerStep === null ? [] : [say('{ms} ms a step', { ms: Math.round(msPerStep) })]),
    ...(memoryMib === null ? [] : [`${memoryMib} MiB`]),
    ...(budget === null
      ? []
      : [
          say('{used, number} of {budget, number} GiB for bundles', {
            used: Number((memory / GIB).toFixed(2)),
            budget: Number((budget / GIB).toFixed(2)),
          }),
        ]),
  ];
  // What it draws with comes first, and then what else it has in memory.
  const names = [...new Set([bundle, ...warm])].map((name) => quote(name)).join(', ');
  return `- ${quote(id)} (${names}): ${facts.join(' · ')}`;
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

/** @param place of one that is not cancelled */
function lineOf(say: Say, batch: UnfinishedBatch, place: Told | undefined): string {
  const { queued = 0, running = 0, done = 0 } = batch.counts;
  const where = batch.channelId && link(batch.guildId, batch.channelId, batch.messageId);
  const name = `${quote(batch.title)}${where ? ` ${where}` : ''}`;
  const parts = [say('{done} done, {running} being drawn, {queued} waiting', { done, running, queued })];
  if (place && queued && !running) parts.push(...waitWords(say, place));
  else if (place && place.readyMs > 0)
    parts.push(say('ready about {when}', { when: relative(new Date(Date.now() + place.readyMs)) }));
  return `- ${name}: ${parts.join('; ')}`;
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
