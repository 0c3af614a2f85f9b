/**
 * The fleet: the workers alive, what each has loaded, and how fast it draws. A worker keeps its row by renewing it; one that
 * was not heard of for a while counts as gone, and what it had in hand goes back to the backlog. The only file that writes
 * Worker.
 */
import { bundles } from '#config/bundles.ts';
import { db, type Prisma, type Worker } from '#src/doors/db.ts';

/** ms after which a worker that was not heard of counts as gone; it renews every third of that */
export const WORKER_LOST_MS = 15_000;
/** Steps of the picture that takes the `seconds` of config/bundles.yaml. */
const USUAL_STEPS = 40;
/** Pictures whose speed counts while no worker has measured its own. */
const LATEST = 20;

/** What a worker tells of itself each time it renews its row. */
export interface WorkerState {
  /** how long each loaded network took to load, and the execution providers that its nodes run on */
  readonly sessions: readonly object[];
  /** names of the LoRAs that its bundle has */
  readonly loras: readonly string[];
  /** time of a denoising step with all that belongs to it; null before anything was drawn */
  readonly msPerStep: number | null;
}

export interface NewWorker {
  readonly id: string;
  readonly bundle: string;
  readonly bundleHash: string;
}

export async function joinFleet(worker: NewWorker, state: WorkerState): Promise<void> {
  await db.worker.create({ data: { ...worker, ...columns(state) } });
}

export async function renewWorker(id: string, state: WorkerState): Promise<void> {
  await db.worker.update({ where: { id }, data: { ...columns(state), seenAt: new Date() } });
}

export async function leaveFleet(id: string): Promise<void> {
  await db.worker.delete({ where: { id } });
}

function columns({ sessions, loras, msPerStep }: WorkerState) {
  return { sessions: [...sessions] as Prisma.InputJsonArray, loras: [...loras], msPerStep };
}

/** The workers alive, sorted by bundle and then by age, oldest first. @param bundle all bundles when left out */
export async function workersAlive(bundle?: string, now = new Date()): Promise<Worker[]> {
  return db.worker.findMany({
    where: { ...(bundle && { bundle }), seenAt: { gt: new Date(now.getTime() - WORKER_LOST_MS) } },
    orderBy: [{ bundle: 'asc' }, { startedAt: 'asc' }],
  });
}

/** Whether it is the worker that does what one of them all has to do. Rarely two are: what they do must bear that. */
export async function isFirst(id: string): Promise<boolean> {
  const [first] = await workersAlive();
  return first?.id === id;
}

/** ms; how fast the workers alive draw. Before any of them has drawn, how fast the latest pictures were, or what the bundle's entry says. */
export async function msPerStepOf(
  workers: readonly Pick<Worker, 'msPerStep'>[],
  bundle: string,
): Promise<number> {
  const measured = workers.flatMap(({ msPerStep }) => msPerStep ?? []);
  if (measured.length) return sum(measured) / measured.length;
  const latest = await db.generation.findMany({
    where: { bundle, state: 'done', reused: false, admittedAt: { not: null } },
    orderBy: { admittedAt: 'desc' },
    take: LATEST,
    select: { steps: true, startedAt: true, endedAt: true },
  });
  const steps = sum(latest.map((picture) => picture.steps));
  if (steps) return sum(latest.map(({ startedAt, endedAt }) => Number(endedAt) - Number(startedAt))) / steps;
  return ((bundles.get(bundle)?.seconds ?? 10) * 1_000) / USUAL_STEPS;
}

function sum(numbers: readonly number[]): number {
  return numbers.reduce((a, b) => a + b, 0);
}

/** The hash of the weights that workers draw with now, or drew with last. null: no worker was ever seen. */
export async function bundleHashNow(bundle: string): Promise<string | null> {
  const worker = await db.worker.findFirst({ where: { bundle }, orderBy: { seenAt: 'desc' } });
  return worker?.bundleHash ?? null;
}

/** LoRAs that workers of a bundle have or had last, sorted; null: no worker was ever seen. */
export async function lorasOf(bundle: string): Promise<string[] | null> {
  const workers = await db.worker.findMany({ where: { bundle }, select: { loras: true } });
  return workers.length ? [...new Set(workers.flatMap(({ loras }) => loras))].sort() : null;
}
