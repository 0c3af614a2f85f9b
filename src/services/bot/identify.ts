/**
 * When a shard may ask for a new session (IDENTIFY). Discord takes one each 5 s of all shards with the same `shard % max_concurrency`.
 * All processes of a bot share that, on however many machines; how many are left of the day's is session-budget.ts's.
 *
 *   machine 1: shards 0–31 ─┐
 *                           ├─▶ a row for each key: the next moment that is free ─▶ wait ─▶ IDENTIFY
 *   machine 2: shards 32–63 ┘
 *
 * Source: Discord's documentation, "Gateway", Rate Limiting and Sharding (max concurrency).
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { ask, Prisma } from '#src/doors/db.ts';
import { log } from '#src/doors/log.ts';

/** Discord's 5 s, and what the network may take off them. ms */
const EVERY_MS = 5_250;

/** of this process alone, for when Postgres is away: key → when it was taken last, ms */
const taken = new Map<number, number>();

/** Resolves when a shard may identify. With Postgres away it knows of this process's shards alone. */
export async function takeIdentifyTurn(key: number): Promise<void> {
  const waitMs = await nextTurn(key);
  taken.set(key, Date.now() + waitMs);
  if (waitMs > 0) await sleep(waitMs);
}

async function nextTurn(key: number): Promise<number> {
  try {
    const [row] = await ask<{ waitMs: number }>(Prisma.sql`
      INSERT INTO "IdentifyTurn" AS t (key, at) VALUES (${key}, now())
      ON CONFLICT (key) DO UPDATE SET at = greatest(now(), t.at + ${EVERY_MS} * interval '1 ms')
      RETURNING extract(epoch FROM at - now())::float8 * 1000 AS "waitMs"`);
    return row?.waitMs ?? 0;
  } catch (error) {
    log.warn({ err: error }, 'Postgres does not say when a shard may identify: it is spaced by itself');
    return Math.max(0, (taken.get(key) ?? 0) + EVERY_MS - Date.now());
  }
}
