/**
 * The fleet: the workers alive, and what each has loaded. A worker's row is its lease of all that it draws: it
 * renews it every second, and of one that was not heard of for a while everything goes back to the backlog. When that was is told
 * by Postgres' clock alone: those of two machines may be seconds apart. The only file that writes Worker.
 */
import { z } from 'zod';
import { db, Prisma, type Worker } from '#src/doors/db.ts';

/** ms after which a worker that was not heard of counts as gone */
export const WORKER_LOST_MS = 4_000;
/** For SQL: true of a row of Worker, named w, that was heard of. */
export const isAlive = Prisma.sql`w."seenAt" > now() - ${WORKER_LOST_MS / 1_000} * interval '1 second'`;

/** What a worker tells of one bundle. */
const BundleTold = z.object({
  state: z.enum(['cold', 'loading', 'warm', 'failed']),
  /** of its files; null: it was not loaded yet */
  hash: z.string().nullable(),
  /** that it takes of memory now, with its LoRAs and faces */
  bytes: z.number(),
  /** that loading it takes, as far as is known */
  loadMs: z.number(),
  /** names of the LoRAs that it has */
  loras: z.array(z.string()),
});
export type BundleTold = z.output<typeof BundleTold>;
const BundlesTold = z.record(z.string(), BundleTold).catch({});

/** name → what the worker told of it last */
export function bundlesOf({ bundles }: Pick<Worker, 'bundles'>): ReadonlyMap<string, BundleTold> {
  return new Map(Object.entries(BundlesTold.parse(bundles)));
}

/** For SQL: true of a row of Worker, named w, that can draw with the bundle. */
export const canDraw = (bundle: string | Prisma.Sql) => Prisma.sql`
  CASE WHEN jsonb_exists(w.bundles, ${bundle}) THEN w.bundles->${bundle}::text->>'state' <> 'failed'
    ELSE w.bundle = ${bundle} END`;

/** What a worker tells of itself every few seconds. */
export interface WorkerState {
  /** how long each loaded network took to load, and the execution providers that its nodes run on */
  readonly sessions: readonly object[];
  /** names of the LoRAs that its bundle has */
  readonly loras: readonly string[];
  /** why it takes no pictures for now; null: it takes them */
  readonly aside: Aside | null;
  /** what a denoising step of a picture took in its last turn; null: it has drawn nothing yet */
  readonly msPerStep?: number | null;
  /** main memory that its process has, MiB */
  readonly memoryMib?: number;
  /** what it has in memory, where it has more than one bundle to tell of */
  readonly pool?: PoolState;
}

export interface PoolState {
  /** what it draws with now, or drew with last */
  readonly bundle: string;
  readonly bundleHash: string;
  readonly bundles: Readonly<Record<string, BundleTold>>;
  /** bytes */
  readonly memory: number;
  /** bytes; null: no limit */
  readonly budget: number | null;
}

export type Aside = 'storage_full';

export interface NewWorker {
  readonly id: string;
  readonly bundle: string;
  readonly bundleHash: string;
}

/** Makes its row, or takes it up again. */
export async function joinFleet(worker: NewWorker, state: WorkerState): Promise<void> {
  const told = { ...worker, ...columns(state) };
  await db.worker.upsert({ where: { id: worker.id }, create: told, update: told });
  await renewWorker(worker.id);
}

/** Says that it is alive: one short statement for all that it draws. @returns false when it has no row */
export async function renewWorker(id: string): Promise<boolean> {
  return (await db.$executeRaw`UPDATE "Worker" SET "seenAt" = now() WHERE id = ${id}`) > 0;
}

export async function tellState(id: string, state: WorkerState): Promise<void> {
  await db.worker.updateMany({ where: { id }, data: columns(state) });
}

export async function leaveFleet(id: string): Promise<void> {
  await db.worker.deleteMany({ where: { id } });
}

function columns({ sessions, loras, pool, ...state }: WorkerState) {
  const warm = Object.entries(pool?.bundles ?? {}).filter(([, one]) => one.state === 'warm');
  return {
    sessions: [...sessions] as Prisma.InputJsonArray,
    loras: [...loras],
    ...state,
    ...pool,
    ...(pool && { warm: warm.map(([name]) => name) }),
  };
}

/** The workers alive, sorted by bundle and then by age, oldest first. @param bundle those that can draw with it; all when left out */
export async function workersAlive(bundle?: string): Promise<Worker[]> {
  const ofBundle = bundle === undefined ? Prisma.empty : Prisma.sql`AND ${canDraw(bundle)}`;
  return db.$queryRaw<Worker[]>`
    SELECT w.* FROM "Worker" w WHERE ${isAlive} ${ofBundle} ORDER BY w.bundle, w."startedAt"`;
}

/** Those of them that take pictures. */
export async function workersAtWork(bundle: string): Promise<Worker[]> {
  return (await workersAlive(bundle)).filter(({ aside }) => aside === null);
}

/** Whether all workers that are alive are aside because storage is full. */
export async function isStorageFull(): Promise<boolean> {
  const alive = await workersAlive();
  return alive.length > 0 && alive.every(({ aside }) => aside === 'storage_full');
}

/** Whether it is the worker that does what one of them all has to do. Rarely two are: what they do must bear that. */
export async function isFirst(id: string): Promise<boolean> {
  const alive = await workersAlive();
  const [first] = alive.sort((a, b) => a.startedAt.getTime() - b.startedAt.getTime());
  return first?.id === id;
}

/** bundle → hash of the weights that workers draw with now, or drew with last. Those that none was ever seen to have loaded are not in it. */
export async function bundleHashesNow(bundles: readonly string[]): Promise<Map<string, string>> {
  const rows = await db.$queryRaw<{ bundle: string; hash: string | null }[]>`
    SELECT b.bundle, bundle_hash(b.bundle) AS hash FROM unnest(${[...bundles]}::text[]) b(bundle)`;
  return new Map(rows.flatMap(({ bundle, hash }) => (hash === null ? [] : [[bundle, hash]])));
}

/** LoRAs that workers of a bundle have or had last, sorted; null: no worker was ever seen. */
export async function lorasOf(bundle: string): Promise<string[] | null> {
  const workers = await db.$queryRaw<Pick<Worker, 'bundles' | 'loras'>[]>`
    SELECT w.bundles, w.loras FROM "Worker" w WHERE w.bundle = ${bundle} OR jsonb_exists(w.bundles, ${bundle})`;
  const theirs = workers.flatMap((worker) => bundlesOf(worker).get(bundle)?.loras ?? worker.loras);
  return workers.length ? [...new Set(theirs)].sort() : null;
}
