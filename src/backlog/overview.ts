/** What those who look after things see of the backlog: what waits in each tier, for whom, and what the workers do. */
import { tierRules } from '#config/tiers.ts';
import { db, type Worker } from '#src/doors/db.ts';
import { isAlive } from './fleet.ts';
import { waitingNow } from './flows.ts';

export interface Overview {
  /** in the order of config/tiers.yaml, without those in which nothing waits */
  readonly tiers: readonly TierWaiting[];
  /** those for whom most is to be drawn */
  readonly people: readonly PersonWaiting[];
  /** how many they are with all others */
  readonly peopleCount: number;
  /** by bundle, then by age; null: not theirs to see */
  readonly workers: readonly Busy[] | null;
}

export interface TierWaiting {
  readonly tier: string;
  readonly pictures: number;
  readonly people: number;
  /** since whoever waits longest has waited for a turn */
  readonly oldestMs: number;
  /** 0…1 of what is drawn, as long as the same tiers wait */
  readonly share: number;
}

export interface PersonWaiting {
  readonly userId: string;
  readonly pictures: number;
  /** that it takes to draw them */
  readonly gpuMs: number;
  readonly oldestMs: number;
}

/** A worker that is alive, and what it does. */
export interface Busy
  extends Pick<Worker, 'id' | 'bundle' | 'aside' | 'msPerStep' | 'memoryMib' | 'warm' | 'memory' | 'budget'> {
  /** that it has taken and not finished */
  readonly pictures: number;
  /** their tiers, each once */
  readonly tiers: readonly string[];
}

/** People that are named. */
const PEOPLE_MAX = 10;

/** @param guildId whose people are named; null: everybody, and the workers as well */
export async function overviewOf(guildId: string | null): Promise<Overview> {
  const [tiers, people, workers] = await Promise.all([
    tiersNow(),
    guildId === null ? peopleNow() : peopleOf(guildId),
    guildId === null ? fleetNow() : null,
  ]);
  return {
    tiers,
    people: people.map(({ count: _, ...person }) => person),
    peopleCount: people[0]?.count ?? 0,
    workers,
  };
}

async function tiersNow(): Promise<TierWaiting[]> {
  const byTier = Map.groupBy(await waitingNow(), ({ tier }) => tier);
  const waiting = tierRules.filter(({ name }) => byTier.has(name));
  const weights = waiting.reduce((sum, { weight }) => sum + weight, 0);
  return waiting.map(({ name, weight }) => {
    const rows = byTier.get(name) ?? [];
    return {
      tier: name,
      pictures: rows.reduce((sum, { pictures }) => sum + pictures, 0),
      people: rows.reduce((sum, { people }) => sum + people, 0),
      oldestMs: Math.max(...rows.map(({ seconds }) => seconds)) * 1_000,
      share: weight / weights,
    };
  });
}

/** `count`: of all people that wait. */
type PersonRow = PersonWaiting & { readonly count: number };

/** By the index of what waits alone. */
async function peopleNow(): Promise<PersonRow[]> {
  return db.$queryRaw<PersonRow[]>`
    SELECT "userId", sum(waiting)::int AS pictures, sum("waitingMs")::float8 AS "gpuMs",
      (extract(epoch FROM now() - min(since)) * 1000)::float8 AS "oldestMs", (count(*) OVER ())::int AS count
    FROM "Flow" WHERE waiting > 0 GROUP BY "userId" ORDER BY "gpuMs" DESC, "userId" LIMIT ${PEOPLE_MAX}`;
}

/** A flow is of one person, wherever they ask. What they asked for in one guild is in the rows of its open batches. */
async function peopleOf(guildId: string): Promise<PersonRow[]> {
  return db.$queryRaw<PersonRow[]>`
    SELECT g."userId", count(*)::int AS pictures, sum(g."costMs")::float8 AS "gpuMs",
      (extract(epoch FROM now() - min(g."queuedAt")) * 1000)::float8 AS "oldestMs", (count(*) OVER ())::int AS count
    FROM "Batch" b JOIN "Generation" g ON g."batchId" = b.id AND g.state = 'queued'
    WHERE b.state = 'open' AND b."endedAt" IS NULL AND b."guildId" = ${guildId}
    GROUP BY g."userId" ORDER BY "gpuMs" DESC, g."userId" LIMIT ${PEOPLE_MAX}`;
}

/** The workers that are alive. By the index of what is being drawn. */
export async function fleetNow(): Promise<Busy[]> {
  return db.$queryRaw<Busy[]>`
    SELECT w.id, w.bundle, w.aside, w."msPerStep", w."memoryMib", w.warm, w.memory, w.budget, count(g.id)::int AS pictures,
      array_remove(array_agg(DISTINCT g.tier ORDER BY g.tier), NULL) AS tiers
    FROM "Worker" w LEFT JOIN "Generation" g ON g.bundle = ANY(w.bundle || ARRAY(SELECT jsonb_object_keys(w.bundles)))
      AND g.state = 'running' AND g."workerId" = w.id
    WHERE ${isAlive} GROUP BY w.id ORDER BY w.bundle, w."startedAt"`;
}
