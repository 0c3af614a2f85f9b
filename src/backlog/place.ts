/** Which place somebody has, and how long it takes: the order run forward over the rows as they are now. */
import { config } from '#config/env.ts';
import { tierRules } from '#config/tiers.ts';
import { db } from '#src/doors/db.ts';
import { workersAtWork } from './fleet.ts';
import { type FlowCount, readFlows } from './flows.ts';
import { forecast, type Place, type Run, type Running } from './forecast.ts';

export type { Place } from './forecast.ts';

const NOWHERE: Place = { ahead: 0, readyMs: 0 };

/** Where an accepted batch stands. */
export async function placeOf(batchId: string, now?: Date): Promise<Place> {
  const [place] = await placesOf([batchId], now);
  return place ?? NOWHERE;
}

/** Where several stand, in the order of `batchIds`: the backlog is read once for all of them. */
export async function placesOf(batchIds: readonly string[], now?: Date): Promise<Place[]> {
  if (!batchIds.length) return [];
  const state = await stateNow(config.bundle, now);
  const runs = runsOf(state.flows, await runsOfPeople(config.bundle, batchIds));
  const places = forecast({ ...state, runs }, tierRules, state.now);
  return batchIds.map((id) => places.get(id) ?? NOWHERE);
}

const PLANNED = 'planned';

/** Where a batch that is only planned would stand. */
export async function forecastOf(
  plan: {
    readonly userId: string;
    readonly tier: string;
    readonly pictures: number;
    readonly costMs: number;
  },
  now?: Date,
): Promise<Place> {
  if (!plan.pictures) return NOWHERE;
  const state = await stateNow(config.bundle, now);
  const known = state.flows.find(({ userId, tier }) => userId === plan.userId && tier === plan.tier);
  const { givenMs, since } = known ?? { givenMs: 0, since: state.now };
  const run = { ...plan, loras: '', faceId: null, givenMs, since, batchId: PLANNED };
  const places = forecast({ ...state, runs: [...runsOf(state.flows, []), run] }, tierRules, state.now);
  return places.get(PLANNED) ?? NOWHERE;
}

type OwnRun = Omit<Run, 'givenMs' | 'since'>;

/** Flows as runs, those of the people in question batch by batch. */
function runsOf(flows: readonly FlowCount[], own: readonly OwnRun[]): Run[] {
  const keyOf = ({ tier, userId, loras, faceId }: OwnRun | FlowCount) =>
    JSON.stringify([tier, userId, loras, faceId]);
  const byFlow = Map.groupBy(own, keyOf);
  return flows.flatMap(({ waiting, waitingMs, ...flow }): Run[] => {
    const { givenMs, since } = flow;
    const runs = byFlow.get(keyOf({ ...flow, waiting, waitingMs }));
    return runs
      ? runs.map((run) => ({ ...run, givenMs, since }))
      : [{ ...flow, batchId: null, pictures: waiting, costMs: waitingMs }];
  });
}

/** What waits of the people who asked for these batches, in their order. */
async function runsOfPeople(bundle: string, batchIds: readonly string[]): Promise<OwnRun[]> {
  return db.$queryRaw<OwnRun[]>`
    SELECT g.tier, g."userId", g.loras, g."faceId", g."batchId", count(*)::int AS pictures, sum(g."costMs") AS "costMs"
    FROM (SELECT DISTINCT "ownerId", tier FROM "Batch" WHERE id = ANY(${[...batchIds]})) b
    JOIN "Generation" g ON g.bundle = ${bundle} AND g.tier = b.tier AND g."userId" = b."ownerId" AND g.state = 'queued'
      AND g."twinId" IS NULL
    GROUP BY g.tier, g."userId", g.loras, g."faceId", g."batchId"
    ORDER BY min(g."queuedAt"), g."batchId"`;
}

async function stateNow(bundle: string, when?: Date) {
  const [{ clock, flows, now }, workers, inHand] = await Promise.all([
    readFlows(bundle),
    workersAtWork(bundle),
    db.generation.findMany({
      where: { bundle, state: 'running' },
      select: { workerId: true, batchId: true, costMs: true, progress: true, startedAt: true },
    }),
  ]);
  const at = when?.getTime() ?? now;
  const running = inHand.map(({ startedAt, ...picture }): Running => {
    const elapsedMs = Math.max(0, at - (startedAt?.getTime() ?? at));
    return { ...picture, elapsedMs };
  });
  return { clock, flows, running, workers: workers.length, now: at };
}
