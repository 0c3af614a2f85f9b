/** Which place somebody has, and how long it takes: the order and the forecast, over the rows as they are now. */
import { config } from '#config/env.ts';
import { tiers } from '#config/tiers.ts';
import { db } from '#src/doors/db.ts';
import { readBacklog } from './backlog.ts';
import { msPerStepOf, workersAtWork } from './fleet.ts';
import { type Running, readyInMs, type Waiting } from './forecast.ts';
import { type Flow, inOrder } from './order.ts';

export interface Place {
  /** pictures that are begun before the batch's first; 0 also when one of its own is being drawn */
  readonly ahead: number;
  /** until its last picture, if nobody else asks */
  readonly readyMs: number;
}

/** Where an accepted batch stands. */
export async function placeOf(batchId: string, now = new Date()): Promise<Place> {
  return placeIn(await stateNow(config.bundle, now), batchId);
}

/** Where several stand, in the order of `batchIds`: the backlog is read once for all of them. */
export async function placesOf(batchIds: readonly string[], now = new Date()): Promise<Place[]> {
  if (!batchIds.length) return [];
  const state = await stateNow(config.bundle, now);
  return batchIds.map((id) => placeIn(state, id));
}

const PLANNED = 'planned';

/** Where a batch that is only planned would stand. */
export async function forecastOf(
  plan: { readonly userId: string; readonly tier: string; readonly pictures: number; readonly steps: number },
  now = new Date(),
): Promise<Place> {
  if (!plan.pictures) return { ahead: 0, readyMs: 0 };
  const state = await stateNow(config.bundle, now);
  const { userId, tier, ...run } = plan;
  const isTheirs = (flow: Flow) => flow.userId === userId && flow.tier === tier;
  const own = state.backlog.flows.find(isTheirs) ?? {
    userId,
    tier,
    servedAt: null,
    since: now.getTime(),
    runs: [],
  };
  const flows = [
    ...state.backlog.flows.filter((flow) => !isTheirs(flow)),
    { ...own, runs: [...own.runs, { ...run, batchId: PLANNED }] },
  ];
  return placeIn({ ...state, backlog: { ...state.backlog, flows } }, PLANNED);
}

function placeIn(
  { running, admitted, backlog, workers, msPerStep }: Awaited<ReturnType<typeof stateNow>>,
  batchId: string,
): Place {
  const waiting = [...admitted, ...inOrder(backlog, [...tiers.keys()])];
  const isRunning = running.some((picture) => picture.batchId === batchId);
  const first = waiting.findIndex((picture) => picture.batchId === batchId);
  return {
    ahead: isRunning || first < 0 ? 0 : first,
    readyMs: readyInMs(batchId, { running, waiting, workers, msPerStep }),
  };
}

async function stateNow(bundle: string, now: Date) {
  const inHand = await db.generation.findMany({
    where: { bundle, OR: [{ state: 'running' }, { state: 'queued', admittedAt: { not: null } }] },
    orderBy: { admittedAt: 'asc' },
    select: { state: true, batchId: true, steps: true, progress: true, startedAt: true },
  });
  const running: Running[] = inHand
    .filter(({ state }) => state === 'running')
    .map((picture) => ({
      ...picture,
      elapsedMs: Math.max(0, now.getTime() - (picture.startedAt ?? now).getTime()),
    }));
  const admitted: Waiting[] = inHand.filter(({ state }) => state === 'queued');
  const alive = await workersAtWork(bundle);
  const backlog = await readBacklog(db, bundle, now);
  return { running, admitted, backlog, workers: alive.length, msPerStep: await msPerStepOf(alive, bundle) };
}
