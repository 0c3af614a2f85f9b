/** Reads what waits, for `inOrder`. */
import { tiers } from '#config/tiers.ts';
import type { Transaction } from '#src/doors/db.ts';
import type { Backlog, Flow } from './order.ts';

/** People and tiers served longer ago than this count as never served: it bounds what has to be read. */
const SERVED_WITHIN_MS = 60 * 60_000;
/** How many of one batch are handed out at once, at most. */
const IDS_MAX = 32;

interface RunRow {
  readonly tier: string;
  readonly userId: string;
  readonly batchId: string;
  readonly pictures: number;
  readonly steps: number;
  readonly since: Date;
  readonly ids: string[];
}

/**
 * What waits and is not admitted. Only one of several equal pictures is in it: the others wait until it is drawn and are
 * then copied from it.
 */
export async function readBacklog(tx: Transaction, bundle: string, now: Date): Promise<Backlog> {
  const order = [...tiers.keys()];
  const runs = await tx.$queryRaw<RunRow[]>`
    WITH one_each AS (
      SELECT DISTINCT ON (g.key) g.id, g.index, g.tier, g."userId", g."batchId", g.steps, g."queuedAt"
      FROM "Generation" g JOIN "Batch" b ON b.id = g."batchId" AND b.state = 'open'
      WHERE g.bundle = ${bundle} AND g.state = 'queued' AND g."admittedAt" IS NULL
        -- An equal picture is being drawn: wait for it and copy it.
        AND NOT EXISTS (SELECT 1 FROM "Generation" twin WHERE twin.key = g.key AND twin.id <> g.id
          AND (twin.state = 'running' OR (twin.state = 'queued' AND twin."admittedAt" IS NOT NULL)))
      ORDER BY g.key, array_position(${order}::text[], g.tier), g."queuedAt", g."batchId", g.index)
    SELECT tier, "userId", "batchId", count(*)::int AS pictures, sum(steps)::int AS steps, min("queuedAt") AS since,
      (array_agg(id ORDER BY index))[1:${IDS_MAX}::int] AS ids
    FROM one_each GROUP BY tier, "userId", "batchId" ORDER BY since, "batchId"`;
  const served = await tx.$queryRaw<{ tier: string; userId: string; latest: Date }[]>`
    SELECT tier, "userId", max("admittedAt") AS latest FROM "Generation"
    WHERE bundle = ${bundle} AND "admittedAt" > ${new Date(now.getTime() - SERVED_WITHIN_MS)}
    GROUP BY tier, "userId"`;

  const tierServedAt = new Map<string, number>();
  const flowServedAt = new Map<string, number>();
  for (const { tier, userId, latest } of served) {
    flowServedAt.set(`${tier} ${userId}`, latest.getTime());
    tierServedAt.set(tier, Math.max(tierServedAt.get(tier) ?? 0, latest.getTime()));
  }
  const flows = new Map<string, Flow & { runs: RunRow[] }>();
  for (const run of runs) {
    const { tier, userId, since } = run;
    const key = `${tier} ${userId}`;
    const flow = flows.get(key);
    if (flow) flow.runs.push(run);
    else
      flows.set(key, {
        tier,
        userId,
        servedAt: flowServedAt.get(key) ?? null,
        since: since.getTime(),
        runs: [run],
      });
  }
  return { flows: [...flows.values()], tierServedAt };
}
