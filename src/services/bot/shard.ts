/**
 * One shard of the bot: a process that is connected to Discord's gateway and answers interactions. Started by
 * `supervisor.ts` as `shard.ts <shard> <of how many>`; it ends with its parent.
 */
import {
  ChannelType,
  Client,
  DiscordjsError,
  DiscordjsErrorCodes,
  Events,
  GatewayCloseCodes,
  GatewayIntentBits,
  type Guild,
} from 'discord.js';
import { config, required } from '#config/env.ts';
import { closeDb } from '#src/doors/db.ts';
import { log } from '#src/doors/log.ts';
import { closeQueues } from '#src/doors/queue.ts';
import { CONVENTION, meetGuild } from '#src/guilds.ts';
import { dispatch } from './dispatch.ts';
import { isFatal, type ShardMessage } from './protocol.ts';

/** Interactions in hand get so long to end. ms */
const FINISH_WITHIN_MS = 20_000;

const [shard, shards] = process.argv.slice(2).map(Number);
if (shard === undefined || !shards) throw new Error('Usage: shard.ts <shard> <of how many>');

const client = new Client({
  // Interactions belong to no intent; guilds tell roles and channels.
  intents: [GatewayIntentBits.Guilds],
  shards: [shard],
  shardCount: shards,
  rest: { api: config.discord.apiUrl },
  // A prompt may say @everyone: nobody is ever called by what a person wrote.
  allowedMentions: { parse: [], repliedUser: false },
});

const inHand = new Set<Promise<void>>();
let stopping = false;

client.on(Events.InteractionCreate, (interaction) => {
  if (stopping) return; // "The application did not respond" is better than half a deed
  const run = dispatch(interaction).finally(() => inHand.delete(run));
  inHand.add(run);
});

// An "error" event without a listener ends the process.
client.on(Events.Error, (error) => log.warn({ err: error }, 'discord client'));
client.on(Events.ShardError, (error) => log.warn({ err: error }, 'gateway'));
client.on(Events.ShardReconnecting, () => {
  if (!stopping) log.info({ shard }, 'reconnecting');
});
client.on(Events.ShardResume, () => log.info({ shard }, 'resumed'));
client.on(Events.ShardDisconnect, ({ code }) => {
  if (isFatal(code)) void stop(`gateway closed with ${code}`, { fatal: code });
});

client.on(Events.GuildCreate, (guild) => void meet(guild));
client.on(Events.GuildAvailable, (guild) => void meet(guild));
client.on(Events.ClientReady, () => {
  for (const guild of client.guilds.cache.values()) void meet(guild);
  log.info({ shard, shards, guilds: client.guilds.cache.size }, 'ready');
  tell({ ready: true });
});

for (const signal of ['SIGTERM', 'SIGINT'] as const) process.on(signal, () => void stop(signal));
process.on('disconnect', () => void stop('parent gone'));

try {
  await client.login(required(config.discord.token, 'DISCORD_TOKEN'));
} catch (error) {
  if (!(error instanceof DiscordjsError && error.code === DiscordjsErrorCodes.TokenInvalid)) throw error;
  await stop('token refused', { fatal: GatewayCloseCodes.AuthenticationFailed });
}

/** Channels and roles by convention, for a guild that is new to us. */
async function meet(guild: Guild): Promise<void> {
  const roleIds = (name: string) =>
    guild.roles.cache.filter((role) => role.name.toLowerCase() === name).map(({ id }) => id);
  const review = guild.channels.cache.find(
    ({ type, name }) => type === ChannelType.GuildText && name.toLowerCase() === CONVENTION.review,
  );
  try {
    await meetGuild(guild.id, guild.client.user.id, {
      reviewChannelId: review?.id ?? null,
      operatorRoleIds: roleIds(CONVENTION.operators),
      moderatorRoleIds: roleIds(CONVENTION.moderators),
    });
  } catch (error) {
    log.warn({ err: error, guildId: guild.id }, 'guild not met'); // it is met again at the next start
  }
}

/** Takes nothing more, ends what is in hand, and exits. */
async function stop(reason: string, last?: ShardMessage): Promise<void> {
  if (stopping) return;
  stopping = true;
  log.info({ shard, reason, inHand: inHand.size }, 'shard stopping');
  if (last) tell(last);
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<void>((resolve) => {
    timer = setTimeout(resolve, FINISH_WITHIN_MS);
  });
  await Promise.race([Promise.allSettled(inHand), late]);
  clearTimeout(timer);
  await Promise.allSettled([client.destroy(), closeQueues()]);
  await closeDb().catch(() => {});
  process.exit(last ? 1 : 0);
}

function tell(message: ShardMessage): void {
  if (process.connected) process.send?.(message);
}
