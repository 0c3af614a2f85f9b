/**
 * The order beside a plain line and strict priorities: days of a server's life in minutes, over 10,000 seeds. Each seed is one
 * fleet, one taste in LoRAs and one load; the bounds must hold in each.
 */
import { availableParallelism } from 'node:os';
import { isMainThread, parentPort, Worker, workerData } from 'node:worker_threads';
import { tierRules } from '#config/tiers.ts';
import { type Goal, say } from '../goal.ts';
import { type Policy, simulate } from './simulation.ts';

const SEEDS = 10_000;
/** Of so many one is long enough for somebody in a tier with a cap to wait it out. */
const LONG_ONE_IN = 50;
const LONG_MINUTES = 15;
/** The others are simulated for so few seeds: they are there to be compared with. */
const COMPARED = 600;
const LOADS = [
  { load: 0.9, minutes: 2 },
  { load: 1.3, minutes: 2 },
  { load: 10, minutes: 1 },
];
const POLICIES: readonly Policy[] = ['fair', 'alone', 'fifo', 'strict'];

/** Of one load and policy, over seeds. Waits in ms; of those of each seed the worst. */
interface Summary {
  seeds: number;
  minutes: number;
  pictures: number;
  turns: number;
  switches: number;
  refused: number;
  idleMs: number;
  gap: number;
  shareMissing: number;
  delay: number;
  /** tier → */
  p50: Record<string, number>;
  p99: Record<string, number>;
  longest: Record<string, number>;
}

const empty = (): Summary => ({
  seeds: 0,
  minutes: 0,
  pictures: 0,
  turns: 0,
  switches: 0,
  refused: 0,
  idleMs: 0,
  gap: 0,
  shareMissing: 0,
  delay: 0,
  p50: {},
  p99: {},
  longest: {},
});

const keyOf = (load: number, policy: Policy) => `${load} ${policy}`;

/** Every `step`th seed, from `first`. */
function simulateSome(first: number, step: number): Record<string, Summary> {
  const summaries: Record<string, Summary> = {};
  for (let seed = first; seed <= SEEDS; seed += step) {
    const { load, minutes: usual } = LOADS[seed % LOADS.length]!;
    const minutes = seed % LONG_ONE_IN ? usual : LONG_MINUTES;
    for (const policy of seed <= COMPARED ? POLICIES : POLICIES.slice(0, 1)) {
      const one = simulate({ seed, load, policy, minutes, rules: tierRules });
      const key = keyOf(load, policy);
      summaries[key] ??= empty();
      const all = summaries[key];
      all.seeds++;
      all.minutes += minutes;
      for (const name of ['pictures', 'turns', 'switches', 'refused', 'idleMs'] as const)
        all[name] += one[name];
      for (const name of ['gap', 'shareMissing', 'delay'] as const)
        all[name] = Math.max(all[name], one[name]);
      for (const [tier, waits] of Object.entries(one.waitsMs)) {
        const sorted = Float64Array.from(waits).sort();
        const at = (part: number) =>
          sorted[Math.min(sorted.length - 1, Math.floor(part * sorted.length))] ?? 0;
        all.p50[tier] = Math.max(all.p50[tier] ?? 0, at(0.5));
        all.p99[tier] = Math.max(all.p99[tier] ?? 0, at(0.99));
        all.longest[tier] = Math.max(all.longest[tier] ?? 0, at(1));
      }
    }
  }
  return summaries;
}

function merge(into: Summary, one: Summary): void {
  for (const name of ['seeds', 'minutes', 'pictures', 'turns', 'switches', 'refused', 'idleMs'] as const)
    into[name] += one[name];
  for (const name of ['gap', 'shareMissing', 'delay'] as const) into[name] = Math.max(into[name], one[name]);
  for (const name of ['p50', 'p99', 'longest'] as const)
    for (const [tier, ms] of Object.entries(one[name]))
      into[name][tier] = Math.max(into[name][tier] ?? 0, ms);
}

if (!isMainThread) {
  const { first, step } = workerData as { first: number; step: number };
  parentPort?.postMessage(simulateSome(first, step));
}

export async function fairness(): Promise<readonly Goal[]> {
  const threads = availableParallelism();
  const parts = await Promise.all(
    Array.from(
      { length: threads },
      (_, i) =>
        new Promise<Record<string, Summary>>((done, fail) => {
          const thread = new Worker(new URL(import.meta.url), {
            workerData: { first: i + 1, step: threads },
          });
          thread.once('message', done);
          thread.once('error', fail);
        }),
    ),
  );
  const of = (load: number, policy: Policy) => {
    const all = empty();
    for (const part of parts) if (part[keyOf(load, policy)]) merge(all, part[keyOf(load, policy)]!);
    return all;
  };

  const seconds = (by: Record<string, number>) =>
    tierRules.map(({ name }) => ((by[name] ?? 0) / 1_000).toFixed(1)).join(' ');
  say(`tiers`, `${tierRules.map(({ name }) => name).join(', ')}; waits of the worst seed, s`);
  for (const { load } of LOADS) {
    for (const policy of POLICIES) {
      const all = of(load, policy);
      say(
        `${load * 100} %, ${policy}, ${all.seeds} seeds`,
        [
          `p50 ${seconds(all.p50)}`,
          `p99 ${seconds(all.p99)}`,
          `longest ${seconds(all.longest)}`,
          `gap ${all.gap.toFixed(2)}`,
          `share missing ${(100 * all.shareMissing).toFixed(2)} %`,
          `delay ${all.delay.toFixed(2)}`,
          `switches ${(all.switches / all.pictures).toFixed(4)} a picture`,
          `batch ${(all.pictures / all.turns).toFixed(2)}`,
          `idle ${all.idleMs.toFixed(0)} ms`,
          `refused ${((100 * all.refused) / (all.refused + all.pictures)).toFixed(1)} %`,
        ].join(' · '),
      );
    }
  }
  const fair = LOADS.map(({ load }) => of(load, 'fair'));
  say('simulated', `${(fair.reduce((sum, { minutes }) => sum + minutes, 0) / 60 / 24).toFixed(1)} days`);
  const most = (what: (one: Summary) => number, of = fair) => Math.max(...of.map(what));
  const perPicture = (policy: Policy) =>
    LOADS.map(({ load }) => of(load, policy)).reduce(
      (sum, { switches, pictures }) => sum + switches / pictures,
      0,
    );
  const capped = tierRules.find(({ capMs }) => capMs !== null);
  return [
    { name: 'gap of two who wait, in largest turns', got: most(({ gap }) => gap), atMost: 2 },
    { name: 'share below weight', got: most(({ shareMissing }) => shareMissing), atMost: 0.01 },
    { name: 'delay by 500 cells, in largest turns', got: most(({ delay }) => delay), atMost: 1 },
    {
      name: `longest in ${capped?.name}, of its cap`,
      got: most(({ longest }) => (longest[capped?.name ?? ''] ?? 0) / (capped?.capMs ?? 1)),
      atMost: 1,
    },
    {
      name: 'turbo p99 under its share, s',
      got: most(({ p99 }) => (p99.turbo ?? 0) / 1_000, fair.slice(0, 2)),
      atMost: 2,
    },
    {
      name: 'switches, of those without affinity',
      got: perPicture('fair') / perPicture('alone'),
      atMost: 0.2,
    },
    { name: 'GPUs idle while something waits, ms', got: most(({ idleMs }) => idleMs), atMost: 0 },
  ];
}
