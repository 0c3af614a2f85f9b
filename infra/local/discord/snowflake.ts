/** Discord's ids: 42 bits of milliseconds since 2015, then 22 bits of which only the order matters here. */
const EPOCH_MS = 1_420_070_400_000n;

let last = 0n;

/** A new id, above every one given before by this process, and above those of a process that ended earlier. */
export function snowflake(nowMs: number = Date.now()): string {
  const id = (BigInt(nowMs) - EPOCH_MS) << 22n;
  last = id > last ? id : last + 1n;
  return String(last);
}

export function snowflakeTime(id: string): number {
  return Number((BigInt(id) >> 22n) + EPOCH_MS);
}

/** Discord's rule of which shard hears of a guild. */
export function shardOf(guildId: string, shards: number): number {
  return Number((BigInt(guildId) >> 22n) % BigInt(shards));
}

/** Orders ids by age; they are too long for numbers and, being of one length, order as text. */
export function byAge(a: string, b: string): number {
  return a.length - b.length || (a < b ? -1 : Number(a > b));
}
