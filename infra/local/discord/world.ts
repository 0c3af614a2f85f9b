/**
 * The world at its beginning: three guilds, five people, one bot. Ids are the same at every start, so a bot's database
 * still fits after a restart.
 *
 *   guild 0  Atelier   heard by shard 0 of 2      #portraits #sweeps #review #no-bots, a forum and a media channel; the platform's own
 *   guild 1  Salon     heard by shard 1 of 2      the same; the platform does not trust it
 *   guild 2  Annex     #lounge: the app is installed for its commands alone, and the bot is no member
 *   friends            a group chat of Member and Another member; the bot is there by user install only
 *   dm                 each person with the bot
 */
import {
  type APIOverwrite,
  type APIRole,
  type APIUser,
  ChannelType,
  OverwriteType,
  PermissionFlagsBits as P,
  type RoleFlags,
  type UserFlags,
} from 'discord-api-types/v10';

/** Even and odd serial numbers fall on shard 0 and 1 of 2: the serial is the id's millisecond. */
function worldId(serial: number): string {
  return String((262_000_000_000n + BigInt(serial)) << 22n);
}

export const PEOPLE = {
  member: { id: worldId(11), name: 'Member', username: 'member', colour: '#f0b232' },
  operator: { id: worldId(12), name: 'Operator', username: 'operator', colour: '#5865f2' },
  moderator: { id: worldId(13), name: 'Moderator', username: 'moderator', colour: '#23a55a' },
  other: { id: worldId(14), name: 'Another member', username: 'another_member', colour: '#eb459e' },
} as const;

export type PersonName = keyof typeof PEOPLE;

/** Who is there beside them, to be many: `crowd-0`, `crowd-1` …, members of every guild. */
export interface Crowd {
  readonly people: number;
  /** beside the first three; the bot is a member */
  readonly guilds: number;
}
export type CrowdName = `crowd-${number}`;

/** undefined: nobody is called that */
export function personIdOf(name: string): string | undefined {
  if (Object.hasOwn(PEOPLE, name)) return PEOPLE[name as PersonName].id;
  const [, n] = /^crowd-(\d{1,6})$/.exec(name) ?? [];
  return n === undefined ? undefined : crowdId(Number(n));
}

const crowdId = (n: number) => worldId(100_000 + n);
/** of a guild of the crowd's */
const crowdSerial = (n: number) => 10_000 + 100 * n;

/** Owns the guilds and never speaks, so that nobody who does is above every permission. */
const OWNER_ID = worldId(10);

/** A guild's serial keeps it on its shard. */
const GUILD_SERIALS = [100, 201] as const;

/** The first guild is the platform's own, and Operator of its staff; the second is somebody else's. The bot's environment. */
export const STAFF = {
  STAFF_IDS: PEOPLE.operator.id,
  STAFF_GUILD_ID: worldId(GUILD_SERIALS[0]),
  TRUSTED_GUILDS: worldId(GUILD_SERIALS[0]),
} as const;

export const GUILD_CHANNELS = ['portraits', 'sweeps', 'review', 'no-bots', 'forum', 'media'] as const;
const TOPICS: Record<(typeof GUILD_CHANNELS)[number], string> = {
  portraits: 'Ask for portraits here: type / to see what the bot can do.',
  sweeps: 'Parameter sweeps and face tests.',
  review: 'Moderators only: what the safety checks flagged.',
  'no-bots': 'The bot may read here, but neither write nor attach files.',
  forum: 'What you write here begins a post.',
  media: 'What you write here begins a post.',
};
/** The others are text channels. */
const TYPES: Partial<Record<(typeof GUILD_CHANNELS)[number], StoredChannel['type']>> = {
  forum: ChannelType.GuildForum,
  media: ChannelType.GuildMedia,
};

export interface Guild {
  readonly id: string;
  readonly name: string;
  readonly ownerId: string;
  readonly roles: readonly APIRole[];
  /** user id → role ids */
  readonly members: ReadonlyMap<string, string[]>;
  /** user id → until when they are timed out; nobody is, unless a test says so */
  readonly timeouts: Map<string, Date>;
}

export interface StoredChannel {
  readonly id: string;
  readonly type:
    | typeof ChannelType.GuildText
    | typeof ChannelType.GuildAnnouncement
    | typeof ChannelType.GuildForum
    | typeof ChannelType.GuildMedia
    | typeof ChannelType.DM
    | typeof ChannelType.GroupDM
    | typeof ChannelType.PublicThread
    | typeof ChannelType.AnnouncementThread
    | typeof ChannelType.PrivateThread;
  readonly guildId?: string;
  name?: string;
  topic?: string | null;
  position?: number;
  overwrites?: APIOverwrite[];
  /** of private channels: the people in them, the bot left out */
  readonly recipients?: readonly string[];
  readonly parentId?: string;
  thread?: {
    readonly ownerId: string;
    members: string[];
    archived: boolean;
    locked: boolean;
    autoArchiveMinutes: 60 | 1440 | 4320 | 10080;
  };
}

const everyone =
  P.ViewChannel |
  P.SendMessages |
  P.SendMessagesInThreads |
  P.CreatePublicThreads |
  P.EmbedLinks |
  P.AttachFiles |
  P.AddReactions |
  P.ReadMessageHistory |
  P.UseApplicationCommands |
  P.UseExternalApps;

function guild(serial: number, name: string, applicationId: string, crowd: number): Guild {
  const id = worldId(serial);
  const [operators, moderators, bot] = [worldId(serial + 1), worldId(serial + 2), worldId(serial + 3)];
  const roles = [
    role(id, '@everyone', everyone, 0, 0),
    role(operators, 'Operators', everyone | P.ManageGuild, 1, 0x5865f2),
    role(
      moderators,
      'Moderators',
      everyone | P.ManageMessages | P.ModerateMembers | P.KickMembers | P.BanMembers,
      2,
      0x23a55a,
    ),
    {
      ...role(
        bot,
        'Atelier',
        everyone |
          P.ManageMessages |
          P.ManageThreads |
          P.ManageChannels |
          P.ManageRoles |
          P.CreatePrivateThreads,
        3,
        0,
      ),
      managed: true,
      tags: { bot_id: applicationId },
    },
  ];
  const members = new Map<string, string[]>([
    [OWNER_ID, []],
    [PEOPLE.member.id, []],
    [PEOPLE.operator.id, [operators]],
    [PEOPLE.moderator.id, [moderators]],
    [PEOPLE.other.id, []],
    [applicationId, [bot]],
    ...Array.from({ length: crowd }, (_, n): [string, string[]] => [crowdId(n), []]),
  ]);
  return { id, name, ownerId: OWNER_ID, roles, members, timeouts: new Map() };
}

function annex(crowd: number): Guild {
  const id = worldId(400);
  const others = Array.from({ length: crowd }, (_, n) => crowdId(n));
  const members = [OWNER_ID, ...Object.values(PEOPLE).map((one) => one.id), ...others];
  return {
    id,
    name: 'Annex',
    ownerId: OWNER_ID,
    roles: [role(id, '@everyone', everyone, 0, 0)],
    members: new Map(members.map((one) => [one, []])),
    timeouts: new Map(),
  };
}

function role(id: string, name: string, permissions: bigint, position: number, color: number): APIRole {
  return {
    id,
    name,
    permissions: String(permissions),
    position,
    color,
    colors: { primary_color: color, secondary_color: null, tertiary_color: null },
    hoist: false,
    managed: false,
    mentionable: true,
    icon: null,
    unicode_emoji: null,
    flags: 0 as RoleFlags,
  };
}

export interface World {
  readonly applicationId: string;
  readonly guilds: readonly [Guild, Guild, Guild, ...Guild[]];
  readonly users: ReadonlyMap<string, APIUser>;
  /** What is there before anybody made anything. */
  readonly channels: readonly StoredChannel[];
}

export function createWorld(applicationId: string, crowd: Crowd = { people: 0, guilds: 0 }): World {
  const [first, second] = ['Atelier', 'Salon'].map((name, index) =>
    guild(GUILD_SERIALS[index]!, name, applicationId, crowd.people),
  );
  const further = Array.from({ length: crowd.guilds }, (_, n) =>
    guild(crowdSerial(n), `Crowd ${n}`, applicationId, crowd.people),
  );
  const guilds = [first!, second!, annex(crowd.people), ...further] as const;
  const people = Object.values(PEOPLE);
  const users = [
    user(applicationId, 'atelier', 'Atelier', true),
    user(OWNER_ID, 'owner', 'Owner'),
    ...people.map(({ id, username, name }) => user(id, username, name)),
    ...Array.from({ length: crowd.people }, (_, n) => user(crowdId(n), `crowd_${n}`, `Crowd ${n}`)),
  ];
  return {
    applicationId,
    guilds,
    users: new Map(users.map((one) => [one.id, one])),
    channels: [
      ...guilds.slice(0, 2).flatMap((one, index) => guildChannels(one, 300 + 20 * index, applicationId)),
      ...further.flatMap((one, n) => guildChannels(one, crowdSerial(n) + 20, applicationId)),
      {
        id: worldId(440),
        type: ChannelType.GuildText,
        guildId: guilds[2].id,
        name: 'lounge',
        topic: 'The app can answer here, for a quarter of an hour; its bot is no member.',
      },
      ...people.map(({ id }, index) => ({
        id: worldId(500 + index),
        type: ChannelType.DM as const,
        recipients: [id],
      })),
      {
        id: worldId(520),
        type: ChannelType.GroupDM as const,
        name: 'friends',
        recipients: [PEOPLE.member.id, PEOPLE.other.id],
      },
    ],
  };
}

/** @param serial of the first of them */
function guildChannels({ id, roles }: Guild, serial: number, applicationId: string): StoredChannel[] {
  const moderators = roles.find(({ name }) => name === 'Moderators')!.id;
  const allow = (who: string, type: OverwriteType, bits: bigint) => ({
    id: who,
    type,
    allow: String(bits),
    deny: '0',
  });
  const deny = (who: string, type: OverwriteType, bits: bigint) => ({
    id: who,
    type,
    allow: '0',
    deny: String(bits),
  });
  const overwrites: Partial<Record<(typeof GUILD_CHANNELS)[number], StoredChannel['overwrites']>> = {
    review: [
      deny(id, OverwriteType.Role, P.ViewChannel),
      allow(moderators, OverwriteType.Role, P.ViewChannel),
      allow(applicationId, OverwriteType.Member, P.ViewChannel),
    ],
    'no-bots': [
      deny(applicationId, OverwriteType.Member, P.SendMessages | P.SendMessagesInThreads | P.AttachFiles),
    ],
  };
  return GUILD_CHANNELS.map((name, position) => ({
    id: worldId(serial + position),
    type: TYPES[name] ?? ChannelType.GuildText,
    guildId: id,
    name,
    topic: TOPICS[name],
    position,
    overwrites: overwrites[name] ?? [],
  }));
}

/** With every field Discord's description requires of a user. */
function user(id: string, username: string, name: string, bot = false): APIUser {
  return {
    id,
    username,
    global_name: bot ? null : name,
    discriminator: bot ? '0001' : '0',
    avatar: null,
    public_flags: 0 as UserFlags,
    flags: 0 as UserFlags,
    primary_guild: null,
    ...(bot && { bot }),
  };
}

/** A guild as REST and GUILD_CREATE show it. */
export function apiGuild(guild: Guild): { readonly [key: string]: unknown } {
  return {
    id: guild.id,
    name: guild.name,
    icon: null,
    description: null,
    home_header: null,
    splash: null,
    discovery_splash: null,
    features: [],
    banner: null,
    owner_id: guild.ownerId,
    application_id: null,
    region: 'deprecated',
    afk_channel_id: null,
    afk_timeout: 300,
    system_channel_id: null,
    system_channel_flags: 0,
    widget_enabled: false,
    widget_channel_id: null,
    verification_level: 0,
    roles: guild.roles,
    default_message_notifications: 1,
    mfa_level: 0,
    explicit_content_filter: 0,
    max_presences: null,
    max_members: 500_000,
    max_stage_video_channel_users: 50,
    max_video_channel_users: 25,
    vanity_url_code: null,
    premium_tier: 0,
    premium_subscription_count: 0,
    preferred_locale: 'en-US',
    rules_channel_id: null,
    safety_alerts_channel_id: null,
    public_updates_channel_id: null,
    premium_progress_bar_enabled: false,
    premium_progress_bar_enabled_user_updated_at: null,
    nsfw: false,
    nsfw_level: 0,
    emojis: [],
    stickers: [],
    incidents_data: null,
  };
}
