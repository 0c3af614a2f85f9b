/** What a process of shards and its supervisor tell each other. */
import { GatewayCloseCodes } from 'discord-api-types/v10';
import { z } from 'zod';

/** The first that a process of shards is told: which of how many are its own. */
export const ShardsToStart = z.object({
  shards: z.array(z.int().nonnegative()).min(1),
  count: z.int().positive(),
});
export type ShardsToStart = z.output<typeof ShardsToStart>;

/** `fatal`: why trying again would give the same, a sentence for the operator */
export const ShardMessage = z.union([z.object({ ready: z.literal(true) }), z.object({ fatal: z.string() })]);
export type ShardMessage = z.output<typeof ShardMessage>;

/** The supervisor asks what there is to tell Prometheus. */
export const MetricsAsk = z.object({ metricsAsked: z.int() });
/** By the number of the question. */
export const MetricsAnswer = z.object({
  metricsAsked: z.int(),
  families: z.array(
    z.looseObject({
      name: z.string(),
      help: z.string(),
      values: z.array(
        // A mean of nothing is NaN, which JSON has not.
        z.looseObject({
          value: z
            .number()
            .nullable()
            .transform((value) => value ?? Number.NaN),
          labels: z.record(z.string(), z.union([z.string(), z.number()])),
        }),
      ),
    }),
  ),
});

/** Close codes after which connecting again would give the same, as sentences for the operator. */
const FATAL: ReadonlyMap<number, string> = new Map([
  [GatewayCloseCodes.AuthenticationFailed, 'Discord refused the bot token: check DISCORD_TOKEN.'],
  [GatewayCloseCodes.InvalidShard, 'Discord refused the shard number: check SHARDS.'],
  [GatewayCloseCodes.ShardingRequired, 'The bot is in too many guilds for so few shards: set SHARDS=auto.'],
  [
    GatewayCloseCodes.InvalidAPIVersion,
    'Discord no longer speaks this version of its gateway: update discord.js.',
  ],
  [GatewayCloseCodes.InvalidIntents, 'Discord does not know the intents asked for: update discord.js.'],
  [
    GatewayCloseCodes.DisallowedIntents,
    'Discord did not allow the intents asked for: the bot needs Guilds alone, so check that the token is its own.',
  ],
]);

export function isFatal(code: number): boolean {
  return FATAL.has(code);
}

export function sentenceOf(code: number): string {
  return `${FATAL.get(code) ?? 'Discord closed the gateway for good.'} (close code ${code})`;
}
