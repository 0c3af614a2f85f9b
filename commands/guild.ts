/**
 * `/guild`: where flagged pictures are reviewed and from which scores on, which roles operate and moderate, whether pictures are seen
 * while they are drawn, and whether members' pictures are drawn in production mode. And Set up under the greeting, which asks before anything is taken by its name.
 *
 * Discord shows it to everybody, as an operator need not be allowed to manage the server; rights are asked here.
 */
import {
  ActionRowBuilder,
  ButtonBuilder,
  ButtonStyle,
  ChannelType,
  type Guild,
  SlashCommandBuilder,
  type TextChannel,
} from 'discord.js';
import { safety } from '#config/safety.ts';
import { customId } from '#src/custom-ids.ts';
import type { GuildSettings } from '#src/doors/db.ts';
import { UserError } from '#src/errors.ts';
import { changeGuild, chooseReviewChannel, guildSettings, setThreshold } from '#src/guilds.ts';
import { type ChannelView, sayRoles, strangersIn } from '#src/moderation/privacy.ts';
import { GuildThresholds } from '#src/moderation/verdicts.ts';
import type { Actor } from '#src/people/people.ts';
import { mustAdminister, mustOperate } from '#src/people/rights.ts';
import {
  type AskedAt,
  productionMode,
  switchedChannels,
  switchesFor,
  switchProduction,
} from '#src/production.ts';
import { message, type Say } from '#src/say.ts';
import type { Answer, Press, SlashCommand } from './command.ts';
import { Context, Install } from './options.ts';
import { outsideThreads } from './origin.ts';
import { mustHave, POSTING } from './permissions.ts';

/** What Set up looks for, without case. Nothing of it counts before somebody said so. */
const FOUND_AS = { operators: 'operators', moderators: 'moderators', review: 'review' } as const;

const MODES = { on: true, off: false, unset: null } as const;

export default {
  data: new SlashCommandBuilder()
    .setName('guild')
    .setDescription('Settings of this server.')
    .setContexts(Context.Guild)
    .setIntegrationTypes(Install.GuildInstall)
    .addSubcommand((sub) => sub.setName('show').setDescription('Show them.'))
    .addSubcommand((sub) =>
      sub
        .setName('review_channel')
        .setDescription('Where flagged pictures wait for a moderator.')
        .addChannelOption((o) =>
          o
            .setName('channel')
            .setDescription('One that only operators and moderators see.')
            .addChannelTypes(ChannelType.GuildText)
            .setRequired(true),
        ),
    )
    .addSubcommand((sub) =>
      sub
        .setName('operators')
        .setDescription('Who may set production mode and end other people’s batches.')
        .addRoleOption((o) => o.setName('role').setDescription('Leave it out for none.')),
    )
    .addSubcommand((sub) =>
      sub
        .setName('moderators')
        .setDescription('Who decides on flagged pictures.')
        .addRoleOption((o) => o.setName('role').setDescription('Leave it out for none.')),
    )
    .addSubcommand((sub) =>
      sub
        .setName('previews')
        .setDescription('Whether pictures are seen here, small, while they are drawn.')
        .addStringOption((o) =>
          o
            .setName('mode')
            .setDescription('On or off.')
            .addChoices({ name: 'on', value: 'on' }, { name: 'off', value: 'off' })
            .setRequired(true),
        ),
    )
    .addSubcommand((sub) =>
      sub
        .setName('scores')
        .setDescription('From which score on pictures are held for review here.')
        .addStringOption((o) =>
          o
            .setName('score')
            .setDescription('What the image classifiers look for.')
            .addChoices(Object.keys(safety.scores).map((name) => ({ name, value: name })))
            .setRequired(true),
        )
        .addNumberOption((o) =>
          o
            .setName('threshold')
            .setDescription('Lower than everywhere. Leave it out for what counts everywhere.')
            .setMinValue(0.01)
            .setMaxValue(1),
        ),
    )
    .addSubcommand((sub) =>
      sub
        .setName('production')
        .setDescription('Whether pictures asked for here are kept and may be published.')
        .addStringOption((o) =>
          o
            .setName('mode')
            .setDescription('Leave it out to see how it is.')
            .addChoices(
              { name: 'on', value: 'on' },
              { name: 'off', value: 'off' },
              { name: 'unset: the channel as the server, the server off', value: 'unset' },
            ),
        )
        .addStringOption((o) =>
          o
            .setName('where')
            .setDescription('This channel, unless you say the server.')
            .addChoices(
              { name: 'this channel', value: 'channel' },
              { name: 'the whole server', value: 'server' },
            ),
        ),
    ),

  async run(interaction, origin) {
    const { options, guild } = interaction;
    const { actor, say } = origin;
    const sub = options.getSubcommand();
    if (sub === 'production') {
      const mode = options.getString('mode') as keyof typeof MODES | null;
      const where = options.getString('where') === 'server' ? 'server' : 'channel';
      return production(say, outsideThreads(interaction, origin), mode, where);
    }
    const guildId = mustAdminister(actor);
    const role = options.getRole('role');
    const roleIds = role ? [role.id] : [];
    switch (sub) {
      case 'review_channel': {
        const channel = textChannel(guild, options.getChannel('channel', true).id);
        return card(say, guild, await choose(actor, channel));
      }
      case 'previews':
        return card(say, guild, await changeGuild(actor, { previews: options.getString('mode') === 'on' }));
      case 'scores': {
        const score = options.getString('score', true);
        return card(say, guild, await setThreshold(actor, score, options.getNumber('threshold')));
      }
      case 'operators':
        return card(say, guild, await changeGuild(actor, { operatorRoleIds: roleIds }));
      case 'moderators':
        return card(say, guild, await changeGuild(actor, { moderatorRoleIds: roleIds }));
      default:
        return card(say, guild, await guildSettings(guildId));
    }
  },

  press: {
    'guild.setup': { answers: 'reply', run: (press) => setup(press) },
    'guild.adopt': { answers: 'update', run: (press) => adopt(press) },
  },
} satisfies SlashCommand;

async function card(say: Say, guild: Guild | null, settings: GuildSettings | null): Promise<string> {
  const { id = '', reviewChannelId = null, operatorRoleIds = [], moderatorRoleIds = [] } = settings ?? {};
  const switched = settings ? await switchedChannels(settings.id) : [];
  const channels = switched.map(({ id: channelId, on }) => `<#${channelId}> ${modeOf(on)}`);
  const own = Object.entries(GuildThresholds.parse(settings?.thresholds ?? {}));
  const thresholds = own.map(([score, least]) => `${score} **${least}**`);
  return [
    reviewChannelId
      ? reviewLine(say, reviewChannelId)
      : say(
          'Review channel: none, so flagged pictures wait unseen. Choose one with `/guild review_channel`.',
        ),
    ...exposure(say, guild, settings),
    operatorRoleIds.length ? operatorsLine(say, id, operatorRoleIds) : say('Operators: none'),
    moderatorRoleIds.length ? moderatorsLine(say, id, moderatorRoleIds) : say('Moderators: none'),
    say('People who may Manage Server are both.'),
    say('Previews while pictures are drawn: **{mode}**', { mode: modeOf(settings?.previews ?? true) }),
    ...(thresholds.length
      ? [say('Held for review here from: {scores}', { scores: thresholds.join(', ') })]
      : []),
    ...(channels.length
      ? [say('Production mode by channel: {channels}', { channels: channels.join(', ') })]
      : []),
  ].join('\n');
}

function reviewLine(say: Say, channelId: string): string {
  return say('Review channel: {channel}', { channel: `<#${channelId}>` });
}

function operatorsLine(say: Say, guildId: string, roleIds: readonly string[]): string {
  return say('Operators: {roles}', { roles: sayRoles(guildId, roleIds) });
}

function moderatorsLine(say: Say, guildId: string, roleIds: readonly string[]): string {
  return say('Moderators: {roles}', { roles: sayRoles(guildId, roleIds) });
}

/** That others see the review channel now, or why there is none any more. */
function exposure(say: Say, guild: Guild | null, settings: GuildSettings | null): string[] {
  if (!settings) return [];
  const { id, reviewChannelId, reviewSeenBy } = settings;
  if (!reviewChannelId)
    return reviewSeenBy.length
      ? [say('The last one could be seen by {roles}.', { roles: sayRoles(id, reviewSeenBy) })]
      : [];
  const channel = guild?.channels.cache.get(reviewChannelId);
  const strangers = channel?.type === ChannelType.GuildText ? strangersIn(viewOf(channel), settings) : [];
  return strangers.length
    ? [
        say('It can be seen by {roles}: while that is so, no flagged picture is shown there.', {
          roles: sayRoles(id, strangers),
        }),
      ]
    : [];
}

// The review channel

/** @throws {UserError} `channel_permissions`, `review_channel_open` */
async function choose(actor: Actor, channel: TextChannel): Promise<GuildSettings> {
  const given = channel.permissionsFor(channel.client.user);
  if (given) mustHave(given, POSTING);
  return chooseReviewChannel(actor, channel.id, viewOf(channel));
}

/** @throws {UserError} `gone` where the bot has no such channel, so that nobody could say who sees it */
function textChannel(guild: Guild | null, id: string): TextChannel {
  const channel = guild?.channels.cache.get(id);
  if (channel?.type !== ChannelType.GuildText) throw new UserError('gone', {});
  return channel;
}

function viewOf({ guild, permissionOverwrites }: TextChannel): ChannelView {
  return {
    guildId: guild.id,
    roles: guild.roles.cache.map(({ id, permissions, tags }) => ({
      id,
      permissions: permissions.bitfield,
      bot: tags?.botId !== undefined,
    })),
    overwrites: permissionOverwrites.cache.map(({ id, allow, deny }) => ({
      id,
      allow: allow.bitfield,
      deny: deny.bitfield,
    })),
  };
}

// Production mode

async function production(
  say: Say,
  asked: AskedAt,
  mode: keyof typeof MODES | null,
  where: 'channel' | 'server',
): Promise<string> {
  await mustOperate(asked.actor, asked.botInside);
  if (mode) await switchProduction(asked, where, MODES[mode]);
  const { channel, server } = await switchesFor(asked);
  return [
    channel === null
      ? say('Production mode in this channel: **as in the server**')
      : say('Production mode in this channel: **{mode}**', { mode: modeOf(channel) }),
    say('Production mode in the server: **{mode}**', { mode: modeOf(server ?? false) }),
    await productionHere(say, asked),
  ].join('\n');
}

/** What counts for this person here, and by whose word. */
export async function productionHere(say: Say, asked: AskedAt): Promise<string> {
  const { on, by } = await productionMode(asked);
  const message = (on ? kept : tests)[by ?? 'nobody'];
  return say(message);
}

const kept = {
  nobody: message('So pictures that you ask for here are kept, and may be published.'),
  person: message('So pictures that you ask for here are kept, and may be published, by your own setting.'),
  channel: message(
    'So pictures that you ask for here are kept, and may be published, by this channel’s setting.',
  ),
  server: message(
    'So pictures that you ask for here are kept, and may be published, by the server’s setting.',
  ),
} as const;

const tests = {
  nobody: message('So pictures that you ask for here are tests: they can’t be published.'),
  person: message(
    'So pictures that you ask for here are tests: they can’t be published, by your own setting.',
  ),
  channel: message(
    'So pictures that you ask for here are tests: they can’t be published, by this channel’s setting.',
  ),
  server: message(
    'So pictures that you ask for here are tests: they can’t be published, by the server’s setting.',
  ),
} as const;

/** As it is typed, so the same in every language. */
function modeOf(on: boolean): 'on' | 'off' {
  return on ? 'on' : 'off';
}

// Set up

interface Found {
  readonly review: TextChannel | null;
  readonly operatorRoleIds: string[];
  readonly moderatorRoleIds: string[];
}

/** Channels and roles that are called as is usual, for what is not chosen yet. */
function findIn(guild: Guild, settings: GuildSettings | null): Found {
  const roleIds = (name: string, chosen: readonly string[] = []) =>
    chosen.length
      ? []
      : guild.roles.cache.filter((role) => role.name.toLowerCase() === name).map(({ id }) => id);
  const review = settings?.reviewChannelId
    ? undefined
    : guild.channels.cache.find(
        (one): one is TextChannel =>
          one.type === ChannelType.GuildText && one.name.toLowerCase() === FOUND_AS.review,
      );
  return {
    review: review ?? null,
    operatorRoleIds: roleIds(FOUND_AS.operators, settings?.operatorRoleIds),
    moderatorRoleIds: roleIds(FOUND_AS.moderators, settings?.moderatorRoleIds),
  };
}

/** @throws {UserError} `administrators_only`, in a direct message too */
function administered({ id, interaction, origin: { actor } }: Press): Guild {
  const guild = mustAdminister(actor) === id ? interaction.guild : null;
  if (!guild) throw new UserError('administrators_only', {});
  return guild;
}

async function setup(press: Press): Promise<Answer> {
  const guild = administered(press);
  const { say } = press.origin;
  const settings = await guildSettings(guild.id);
  const found = findIn(guild, settings);
  const { review, operatorRoleIds, moderatorRoleIds } = found;
  const lines = [
    ...(review ? [reviewLine(say, review.id)] : []),
    ...(operatorRoleIds.length ? [operatorsLine(say, guild.id, operatorRoleIds)] : []),
    ...(moderatorRoleIds.length ? [moderatorsLine(say, guild.id, moderatorRoleIds)] : []),
  ];
  const others = say(
    'Choose others with `/guild review_channel`, `/guild operators` and `/guild moderators`.',
  );
  if (!lines.length) return [await card(say, guild, settings), others].join('\n');
  const button = new ButtonBuilder()
    .setCustomId(customId('guild.adopt', guild.id))
    .setLabel(say('Use these'))
    .setStyle(ButtonStyle.Primary);
  return {
    content: [
      say('I found these by their names. None of them counts before you press Use these.'),
      ...lines,
      others,
    ].join('\n'),
    components: [new ActionRowBuilder<ButtonBuilder>().addComponents(button)],
  };
}

/** Roles first: who sees the channel is judged by them. */
async function adopt(press: Press): Promise<Answer> {
  const guild = administered(press);
  const { actor, say } = press.origin;
  const { review, operatorRoleIds, moderatorRoleIds } = findIn(guild, await guildSettings(guild.id));
  let settings = await changeGuild(actor, {
    ...(operatorRoleIds.length && { operatorRoleIds }),
    ...(moderatorRoleIds.length && { moderatorRoleIds }),
  });
  if (review) settings = await choose(actor, review);
  return card(say, guild, settings);
}
