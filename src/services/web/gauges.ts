/**
 * What is told of all services together, read from rows: what waits, and for how long; the workers that are alive, and what they said
 * of their networks; messages that are due; pictures without bytes; reviews that are open; how storage is. Read when somebody asks for metrics, at most every few seconds.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { z } from 'zod';
import { bundlesOf, workersAlive } from '#src/backlog/fleet.ts';
import { waitingNow } from '#src/backlog/flows.ts';
import { dueNow } from '#src/deliveries.ts';
import type { Worker } from '#src/doors/db.ts';
import { beforeTelling, metrics } from '#src/doors/metrics.ts';
import { storageState } from '#src/doors/storage.ts';
import { countMissing } from '#src/generations/images.ts';
import { openReviewsNow } from '#src/moderation/reviews.ts';

/** How long what was read counts as it is. ms */
const KNOWN_MS = 5_000;
/** Prometheus waits 10 s, for everything. */
const STORAGE_WITHIN_MS = 2_000;

/** What `src/doors/onnx.ts` reports of each network, as far as it is shown. */
const Sessions = z.array(
  z.object({
    network: z.string(),
    /** whose it is; the worker's only one when left out */
    bundle: z.string().optional(),
    loadSeconds: z.number(),
    used: z.array(z.object({ provider: z.string(), nodes: z.number().nullable() })),
  }),
);

/** @returns ends it */
export function tellGauges(knownMs = KNOWN_MS): () => void {
  let readAt = Number.NEGATIVE_INFINITY;
  return beforeTelling(async () => {
    if (performance.now() - readAt < knownMs) return;
    readAt = performance.now();
    // While Postgres is away nothing is told, rather than what was.
    clear();
    await tellStorage();
    const [waiting, workers, due, missing, reviews] = await Promise.all([
      waitingNow(),
      workersAlive(),
      dueNow(),
      countMissing(),
      openReviewsNow(),
    ]);
    metrics.waitingPictures(waiting.map(({ bundle, tier, pictures }) => [{ bundle, tier }, pictures]));
    metrics.waitingPeople(waiting.map(({ bundle, tier, people }) => [{ bundle, tier }, people]));
    metrics.longestWait(waiting.map(({ bundle, tier, seconds }) => [{ bundle, tier }, seconds]));
    metrics.due([[{}, due.count]]);
    metrics.missing([[{}, missing]]);
    metrics.reviews([[{}, reviews.count]]);
    metrics.oldestReview([[{}, reviews.seconds]]);
    tellFleet(workers);
  });
}

function clear(): void {
  const { waitingPictures, waitingPeople, longestWait, due, missing, reviews, oldestReview } = metrics;
  for (const show of [waitingPictures, waitingPeople, longestWait, due, missing, reviews, oldestReview])
    show([]);
  tellFleet([]);
}

/** One that hangs does not answer. */
async function tellStorage(): Promise<void> {
  const away = { answers: false, free: null };
  const { answers, free } = await Promise.race([
    storageState(),
    sleep(STORAGE_WITHIN_MS, away, { ref: false }),
  ]);
  metrics.storageUp([[{}, answers ? 1 : 0]]);
  metrics.storageFree(free === null ? [] : [[{}, free]]);
}

function tellFleet(workers: readonly Worker[]): void {
  const alive = tally<'bundle'>();
  const aside = tally<'bundle' | 'reason'>();
  const provider = tally<'bundle' | 'network' | 'provider'>();
  const nodes = tally<'bundle' | 'network' | 'provider'>();
  const loaded = tally<'bundle' | 'network'>();
  for (const worker of workers) {
    const { sessions, aside: reason } = worker;
    const told = [...bundlesOf(worker)].filter(([, { state }]) => state !== 'failed').map(([name]) => name);
    for (const bundle of told.length ? told : [worker.bundle]) {
      alive.add({ bundle });
      if (reason) aside.add({ bundle, reason });
    }
    for (const { network, loadSeconds, used, bundle = worker.bundle } of Sessions.catch([]).parse(sessions)) {
      loaded.raise({ bundle, network }, loadSeconds);
      for (const one of used) {
        provider.add({ bundle, network, provider: one.provider });
        if (one.nodes !== null) nodes.raise({ bundle, network, provider: one.provider }, one.nodes);
      }
    }
  }
  metrics.workers(alive.values());
  metrics.aside(aside.values());
  metrics.provider(provider.values());
  metrics.nodes(nodes.values());
  metrics.loaded(loaded.values());
}

/** Numbers by labels. */
function tally<L extends string>() {
  type Labels = Readonly<Record<L, string>>;
  const counts = new Map<string, { readonly labels: Labels; value: number }>();
  const of = (labels: Labels) => {
    const key = JSON.stringify(labels);
    const known = counts.get(key) ?? { labels, value: 0 };
    counts.set(key, known);
    return known;
  };
  return {
    add(labels: Labels) {
      of(labels).value++;
    },
    raise(labels: Labels, value: number) {
      of(labels).value = Math.max(of(labels).value, value);
    },
    values: () => [...counts.values()].map(({ labels, value }) => [labels, value] as const),
  };
}
