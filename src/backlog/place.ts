/** Which place somebody has, and how long it takes: the order and the forecast, over the rows as they are now. */
import { config } from '#config/env.ts';
import { tiers } from '#config/tiers.ts';
import { db } from '#src/doors/db.ts';
import { readBacklog } from './backlog.ts';
import { msPerStepOf, workersAlive } from './fleet.ts';
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
  const { running, admitted, backlog, workers, msPerStep } = await stateNow(config.bundle, now);
  const waiting = [...admitted, ...inOrder(backlog, [...tiers.keys()])];
  const isRunning = running.some((picture) => picture.batchId === batchId);
  const first = waiting.findIndex((picture) => picture.batchId === batchId);
  return {
    ahead: isRunning || first < 0 ? 0 : first,
    readyMs: readyInMs(batchId, { running, waiting, workers, msPerStep }),
  };
}

/** Where a batch that is only planned would stand. */
export async function forecastOf(
  plan: { readonly userId: string; readonly tier: string; readonly pictures: number; readonly steps: number },
  now = new Date(),
): Promise<Place> {
  if (!plan.pictures) return { ahead: 0, readyMs: 0 };
  const { running, admitted, backlog, workers, msPerStep } = await stateNow(config.bundle, now);
  const { userId, tier, ...run } = plan;
  const isTheirs = (flow: Flow) => flow.userId === userId && flow.tier === tier;
  const own = backlog.flows.find(isTheirs) ?? {
    userId,
    tier,
    servedAt: null,
    since: now.getTime(),
    runs: [],
  };
  const flows = [
    ...backlog.flows.filter((flow) => !isTheirs(flow)),
    { ...own, runs: [...own.runs, { ...run, batchId: 'planned' }] },
  ];
  const waiting = [...admitted, ...inOrder({ ...backlog, flows }, [...tiers.keys()])];
  return {
    ahead: waiting.findIndex(({ batchId }) => batchId === 'planned'),
    readyMs: readyInMs('planned', { running, waiting, workers, msPerStep }),
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
  const alive = await workersAlive(bundle, now);
  const backlog = await readBacklog(db, bundle, now);
  return { running, admitted, backlog, workers: alive.length, msPerStep: await msPerStepOf(alive, bundle) };
}
