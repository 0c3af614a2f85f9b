/**
 * The door to Prometheus: every metric of ours, declared here and nowhere else. Where something happens it is told in a line,
 * `metrics.waited({ tier }, seconds)`, in whatever thread.
 *
 * Names are as Prometheus wants them: `atelier_`, what is measured, its base unit; a counter's ends in `_total`. Values of labels are
 * words of the program or of config/, never ids, and nothing that a person wrote.
 */
import { createRequire } from 'node:module';
import { BroadcastChannel, isMainThread } from 'node:worker_threads';
import type Prom from 'prom-client';
import { log } from './log.ts';

// In parts: as a whole it loads OpenTelemetry's API too, 9 MB and 25 ms of every process, for an option that we do not use.
const load = createRequire(import.meta.url);
const Registry: typeof Prom.Registry = load('prom-client/lib/registry.js');
const Counter: typeof Prom.Counter = load('prom-client/lib/counter.js');
const Gauge: typeof Prom.Gauge = load('prom-client/lib/gauge.js');
const Histogram: typeof Prom.Histogram = load('prom-client/lib/histogram.js');
/** Of prom-client's own metrics, about the process and Node. */
const STANDARD = [
  'eventLoopLag',
  'gc',
  'heapSizeAndUsed',
  'osMemoryHeap',
  'processOpenFileDescriptors',
  'processStartTime',
  'version',
];

export const CONTENT_TYPE = Registry.PROMETHEUS_CONTENT_TYPE;

/** Upper ends of buckets. Requests and acknowledgements, s */
const SHORT = [0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2, 3, 5, 15];
/** What a picture's parts take, s */
const STAGES = [0.01, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 120];
/** What people wait for, s */
const WAITS = [0.1, 0.25, 0.5, 1, 2, 5, 10, 30, 60, 120, 300, 600, 1_800, 7_200];
/** From asking to a picture, s: with those that the tiers promise */
const REQUESTS = [0.5, 1, 2, 5, 10, 15, 25, 40, 60, 120, 240, 360, 600, 1_800, 7_200];
/** 1: as it was told */
const RATIOS = [0.25, 0.5, 0.75, 0.9, 1.1, 1.25, 1.5, 2, 4, 8];

/** How often Node looks how late the event loop is: at 20 ms it costs 0.2 % of a core. */
const LOOK_EVERY_MS = 20;
/** Sets of labels that one metric keeps: should a label be bounded less well than was thought, the rest is `other`. */
const SETS_MAX = 500;

const registry = new Registry();
/** name → what is done with what is told of it */
const tellers = new Map<string, (...args: unknown[]) => void>();
/** What other threads tell comes to the main one, which alone has numbers to show. */
const channel = new BroadcastChannel('atelier metrics');
if (isMainThread)
  channel.onmessage = ({ data }: { data: unknown }) => {
    const { name, args } = data as { name: string; args: unknown[] };
    tellers.get(name)?.(...args);
  };
channel.unref();

type Labels<L extends string> = Readonly<Record<L, string | number>>;
/** @param value as the metric's unit says */
type Observe<L extends string> = (labels: Labels<L>, value: number) => void;
/** @param count 1 when left out */
type Count<L extends string> = (labels: Labels<L>, count?: number) => void;
/** All that there is now: what was told before and is not among it is gone. */
type Show<L extends string> = (values: readonly (readonly [Labels<L>, number])[]) => void;

export const metrics = {
  // The backlog
  waited: histogram(
    'atelier_wait_seconds',
    'Time from when a picture was asked for until a worker began it.',
    ['tier'],
    WAITS,
  ),
  estimated: histogram(
    'atelier_estimate_ratio',
    'Time that a batch took until its last picture, as a share of what people were told first: 1 as told, 2 twice as long.',
    ['tier'],
    RATIOS,
  ),
  requested: counter(
    'atelier_requests_total',
    'Requests by how soon they had their first picture: soon as its tier promises, late, failed by a fault of ours, or refused.',
    ['tier', 'outcome'],
  ),
  answered: histogram(
    'atelier_request_seconds',
    'Time from when a request was accepted until its first picture was stored.',
    ['tier'],
    REQUESTS,
  ),
  waitingPictures: gauge('atelier_waiting_pictures', 'Pictures that wait for a turn.', ['bundle', 'tier']),
  waitingPeople: gauge('atelier_waiting_people', 'People who wait for a turn.', ['bundle', 'tier']),
  longestWait: gauge(
    'atelier_longest_wait_seconds',
    'How long the person who waits longest has waited for a turn.',
    ['bundle', 'tier'],
  ),

  // Drawing
  turn: histogram(
    'atelier_turn_pictures',
    'Pictures that a worker took in one turn.',
    ['bundle'],
    [1, 2, 3, 4],
  ),
  stage: histogram(
    'atelier_stage_seconds',
    'Time that one picture spent in a stage of drawing.',
    ['bundle', 'stage'],
    STAGES,
  ),
  ended: counter(
    'atelier_pictures_total',
    'Pictures that ended: drawn, copied from an equal one, failed or cancelled.',
    ['tier', 'outcome'],
  ),
  failed: counter('atelier_failures_total', 'Pictures that failed, by cause.', ['cause']),
  warm: counter(
    'atelier_warm_total',
    'Times that a bundle, LoRAs or a face were needed for drawing, by whether they were in memory.',
    ['what', 'result'],
  ),
  poolBytes: gauge(
    'atelier_pool_bytes',
    'What bundles, LoRAs and faces take of the memory that the worker keeps for them.',
    ['what'],
  ),
  poolBudget: gauge(
    'atelier_pool_budget_bytes',
    'Memory that the worker keeps for bundles, LoRAs and faces.',
    [],
  ),
  poolLoad: histogram(
    'atelier_pool_load_seconds',
    'Time until a bundle, or LoRAs in it, were in memory.',
    ['what'],
    STAGES,
  ),
  evicted: counter(
    'atelier_pool_evictions_total',
    'Bundles, LoRAs and faces that went out of memory for something else.',
    ['what'],
  ),

  // The fleet, from rows: told by the web service alone
  workers: gauge('atelier_workers', 'Workers that are alive.', ['bundle']),
  aside: gauge('atelier_workers_aside', 'Workers that are alive and take no pictures, by why.', [
    'bundle',
    'reason',
  ]),
  provider: gauge(
    'atelier_session_provider',
    'Workers that run nodes of this network on this execution provider.',
    ['bundle', 'network', 'provider'],
  ),
  nodes: gauge(
    'atelier_session_nodes',
    'Nodes of this network that the execution provider ran, where there was a choice.',
    ['bundle', 'network', 'provider'],
  ),
  loaded: gauge('atelier_session_load_seconds', 'Longest time that a worker took to load this network.', [
    'bundle',
    'network',
  ]),
  missing: gauge(
    'atelier_pictures_without_bytes',
    'Pictures whose bytes are not in storage, though their row says so.',
    [],
  ),

  storageUp: gauge('atelier_storage_up', 'Whether storage answers: 1 when it does, else 0.', []),
  storageFree: gauge(
    'atelier_storage_free_bytes',
    'Bytes that storage still has room for; of a bucket nobody knows.',
    [],
  ),
  reviews: gauge(
    'atelier_reviews_open',
    'Flagged and reported pictures that no moderator has decided on.',
    [],
  ),
  oldestReview: gauge(
    'atelier_oldest_review_seconds',
    'How long the oldest of the pictures has waited that no moderator has decided on.',
    [],
  ),

  // Discord
  request: histogram(
    'atelier_discord_request_seconds',
    'Time that Discord took to answer a request, by route and HTTP status; without an answer the status is none.',
    ['method', 'route', 'status'],
    SHORT,
  ),
  limited: counter(
    'atelier_discord_limited_total',
    'Requests that were answered with 429, by whose limit it was: user, shared, global, or a wall before Discord.',
    ['scope'],
  ),
  gateway: counter('atelier_gateway_events_total', 'What became of connections to the gateway.', ['event']),
  sessionsLeft: gauge(
    'atelier_gateway_sessions_left',
    'New sessions that Discord still gives today, of all shards.',
    [],
  ),
  ping: gauge('atelier_gateway_ping_seconds', 'Time that the gateway took to answer the last heartbeat.', [
    'shard',
  ]),
  connected: gauge(
    'atelier_shard_connected',
    'Whether a shard is connected to the gateway: 1 when it is, else 0.',
    ['shard'],
  ),
  shards: gauge('atelier_shards_wanted', 'Shards that this bot shall have connected.', []),
  interaction: counter(
    'atelier_interactions_total',
    'What people typed and pressed, by how it was answered: done, refused, failed, or not at all.',
    ['command', 'answer'],
  ),
  acknowledged: histogram(
    'atelier_acknowledge_seconds',
    'Time from when an interaction was made until Discord had our first answer to it.',
    ['by'],
    SHORT,
  ),
  delivered: counter(
    'atelier_deliveries_total',
    'What the courier did for messages: posted, edited, not yet, put off, closed or undelivered.',
    ['kind', 'outcome'],
  ),
  seen: histogram(
    'atelier_delivery_seconds',
    'Time from when what a message shows had changed until Discord showed it.',
    ['kind'],
    WAITS,
  ),
  due: gauge('atelier_deliveries_due', 'Messages that do not show yet what they shall.', []),

  // Everything else
  served: counter(
    'atelier_web_requests_total',
    'Requests that the web service answered, by the class of the HTTP status; of its health nobody is told.',
    ['status'],
  ),
  tokens: counter('atelier_tokens_total', 'Tokens that were charged and refunded.', ['reason']),
  job: histogram(
    'atelier_job_seconds',
    'Time that a job of the queue took. One of generation goes on as long as anything waits.',
    ['kind', 'outcome'],
    WAITS,
  ),
  service: gauge('atelier_service_info', 'Services that run in this process.', ['service']),
};

function here<A extends unknown[]>(name: string, tell: (...args: A) => void): (...args: A) => void {
  tellers.set(name, (...args) => tell(...(args as A)));
  return isMainThread ? tell : (...args) => channel.postMessage({ name, args });
}

function histogram<L extends string>(
  name: string,
  help: string,
  labelNames: L[],
  buckets: number[],
): Observe<L> {
  const metric = new Histogram({ name, help, labelNames, buckets, registers: [registry] });
  const bound = bounded<L>();
  return here(name, (labels: Labels<L>, value: number) => {
    // Clocks of two machines may differ by more than it took.
    if (!Number.isNaN(value)) metric.observe(bound(labels), Math.max(0, value));
  });
}

function counter<L extends string>(name: string, help: string, labelNames: L[]): Count<L> {
  const metric = new Counter({ name, help, labelNames, registers: [registry] });
  const bound = bounded<L>();
  return here(name, (labels: Labels<L>, count = 1) => metric.inc(bound(labels), count));
}

function gauge<L extends string>(name: string, help: string, labelNames: L[]): Show<L> {
  const metric = new Gauge({ name, help, labelNames, registers: [registry] });
  // Without labels it begins with a 0, which nobody told.
  const clear = () => (labelNames.length ? metric.reset() : metric.remove());
  clear();
  return here(name, (values: Parameters<Show<L>>[0]) => {
    clear();
    for (const [labels, value] of values.slice(0, SETS_MAX)) metric.set(labels, value);
  });
}

function bounded<L extends string>(): (labels: Labels<L>) => Labels<L> {
  const known = new Set<string>();
  return (labels) => {
    const set = JSON.stringify(labels);
    if (known.has(set)) return labels;
    if (known.size >= SETS_MAX)
      return Object.fromEntries(Object.keys(labels).map((name) => [name, 'other'])) as Labels<L>;
    known.add(set);
    return labels;
  };
}

// Telling them

/** What is declared above, for who writes a page about it; with what is measured of the process, once that is. */
export function declared() {
  const all = registry.getMetricsAsArray() as (Prom.MetricObject & { labelNames: readonly string[] })[];
  return all.map(({ name, help, type, labelNames }) => ({ name, help, type: String(type), labelNames }));
}

/** One metric with all its values, as plain data. */
export type Family = Pick<Prom.MetricObjectWithValues<Prom.MetricValue<string>>, 'name' | 'help' | 'values'>;

const looks = new Set<() => unknown>();
const others = new Set<() => Promise<readonly Family[]>>();

/** Before metrics are told, `look` is called, to tell what is only known by looking. @returns ends that */
export function beforeTelling(look: () => unknown): () => void {
  looks.add(look);
  return () => void looks.delete(look);
}

/** With ours those of another process are told, whose labels say whose they are. @returns ends that */
export function tellAlso(other: () => Promise<readonly Family[]>): () => void {
  others.add(other);
  return () => void others.delete(other);
}

/** What there is to tell now, for another process. */
export async function families(): Promise<readonly Family[]> {
  const found = await Promise.allSettled([...looks].map(async (look) => look()));
  for (const one of found) if (one.status === 'rejected') log.warn({ err: one.reason }, 'not measured');
  return (await registry.getMetricsAsJSON()).filter(({ values }) => values.length);
}

/** What there is to tell now, as Prometheus reads it. */
export async function metricsText(): Promise<string> {
  const all = await Promise.all([families(), ...[...others].map((other) => other())]);
  const together = new Registry();
  for (const same of Map.groupBy(all.flat(), ({ name }) => name).values()) {
    const family = { ...same[0], values: same.flatMap(({ values }) => values) };
    together.registerMetric(Object.assign({ get: () => family }, family) as unknown as Prom.Metric<string>);
  }
  return together.metrics();
}

let isWatched = false;

/**
 * From now on the process itself is measured as well: its memory and CPU, Node's heap, and how late its event loop is.
 *
 * @param labels of all that it tells, where it is one of several that are told together
 */
export function watchProcess(
  services: readonly string[],
  labels: Readonly<Record<string, string>> = {},
): void {
  registry.setDefaultLabels(labels);
  metrics.service(services.map((service) => [{ service }, 1]));
  if (isWatched) return;
  isWatched = true;
  for (const name of STANDARD)
    load(`prom-client/lib/metrics/${name}.js`)(registry, { eventLoopMonitoringPrecision: LOOK_EVERY_MS });
  let before = process.cpuUsage();
  const cpu = new Counter({
    name: 'process_cpu_seconds_total',
    help: 'CPU time of the process, its threads and the system for it.',
    registers: [registry],
    collect() {
      const now = process.cpuUsage();
      cpu.inc((now.user + now.system - before.user - before.system) / 1e6);
      before = now;
    },
  });
}
