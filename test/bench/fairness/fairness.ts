/**
 * The order beside a plain line and strict priorities: days of a server's life in minutes, over 10,000 seeds. Each seed is one
 * fleet, one taste in LoRAs and one load; the bounds must hold in each.
 */
import { availableParallelism } from 'node:os';
import { isMainThread, parentPort, Worker, workerData } from 'node:worker_threads';
import { tierRules } from '#config/tiers.ts';
import { horizonOf, OUTSIDE } from '#src/backlog/ranges.ts';
import { type Goal, say } from '../goal.ts';
import { newTeller, type Policy, simulate } from './simulation.ts';

/** `FAIRNESS_SEEDS`: fewer, as for a look */
const SEEDS = Number(process.env.FAIRNESS_SEEDS ?? 10_000);
/** Of about so many seeds some people are told when theirs is ready: each of these takes as long as five others. */
const TOLD = 500;
const TOLD_ONE_IN = Math.max(1, Math.floor(SEEDS / TOLD));
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
  /** seeds in which tiers waited long enough to be held against their weights */
  judged: number;
  shareMissing: number;
  delay: number;
  /** batches of which it was told when they are ready, and those of them whose end was not seen */
  told: number;
  unseen: number;
  /** tier and horizon → batches that were told, and those that ended in their range */
  kept: Record<string, { told: number; inRange: number }>;
  /** between the place in the tier that was told and the one that came, pictures: in how many cases how far */
  placeOff: Record<number, number>;
  /** tier → */
  p50: Record<string, number>;
  /** of the first tier, while it was asked for no more than its part */
  calmP99: number;
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
  judged: 0,
  shareMissing: 0,
  delay: 0,
  told: 0,
  unseen: 0,
  kept: {},
  placeOff: {},
  p50: {},
  calmP99: 0,
  p99: {},
  longest: {},
});

const keyOf = (load: number, policy: Policy) => `${load} ${policy}`;

/** Every `step`th seed, from `first`. */
function simulateSome(first: number, step: number): Record<string, Summary> {
  const summaries: Record<string, Summary> = {};
  // What is learned of one server's hours is what the next begins with: loads change under it, as they do.
  const teller = newTeller();
  for (let seed = first; seed <= SEEDS; seed += step) {
    const { load, minutes: usual } = LOADS[seed % LOADS.length]!;
    const minutes = seed % LONG_ONE_IN ? usual : LONG_MINUTES;
    for (const policy of seed <= COMPARED ? POLICIES : POLICIES.slice(0, 1)) {
      const tells = policy === 'fair' && minutes === usual && Math.floor(seed / step) % TOLD_ONE_IN === 0;
      const one = simulate({ seed, load, policy, minutes, rules: tierRules, ...(tells && { teller }) });
      const key = keyOf(load, policy);
      summaries[key] ??= empty();
      const all = summaries[key];
      all.seeds++;
      all.minutes += minutes;
      for (const name of ['pictures', 'turns', 'switches', 'refused', 'idleMs'] as const)
        all[name] += one[name];
      for (const name of ['gap', 'delay'] as const) all[name] = Math.max(all[name], one[name]);
      all.judged += Number(one.shareMissing !== null);
      all.shareMissing = Math.max(all.shareMissing, one.shareMissing ?? 0);
      all.told += one.kept.length + one.unseen;
      all.unseen += one.unseen;
      for (const { tier, readyMs, inRange, placeOff } of one.kept) {
        const of = `${tier} ${horizonOf(readyMs)}`;
        all.kept[of] ??= { told: 0, inRange: 0 };
        all.kept[of].told++;
        all.kept[of].inRange += Number(inRange);
        const off = Math.abs(placeOff);
        all.placeOff[off] = (all.placeOff[off] ?? 0) + 1;
      }
      all.calmP99 = Math.max(all.calmP99, partOf(one.calmMs)(0.99));
      for (const [tier, waits] of Object.entries(one.waitsMs)) {
        const at = partOf(waits);
        all.p50[tier] = Math.max(all.p50[tier] ?? 0, at(0.5));
        all.p99[tier] = Math.max(all.p99[tier] ?? 0, at(0.99));
        all.longest[tier] = Math.max(all.longest[tier] ?? 0, at(1));
      }
    }
  }
  return summaries;
}

/** @returns part, 0…1 → what so many are no longer than */
function partOf(waits: readonly number[]): (part: number) => number {
  const sorted = Float64Array.from(waits).sort();
  return (part) => sorted[Math.min(sorted.length - 1, Math.floor(part * sorted.length))] ?? 0;
}

function merge(into: Summary, one: Summary): void {
  for (const name of [
    'seeds',
    'minutes',
    'pictures',
    'turns',
    'switches',
    'refused',
    'idleMs',
    'judged',
    'told',
    'unseen',
  ] as const)
    into[name] += one[name];
  for (const [of, { told, inRange }] of Object.entries(one.kept)) {
    into.kept[of] ??= { told: 0, inRange: 0 };
    into.kept[of].told += told;
    into.kept[of].inRange += inRange;
  }
  for (const [off, cases] of Object.entries(one.placeOff))
    into.placeOff[Number(off)] = (into.placeOff[Number(off)] ?? 0) + cases;
  for (const name of ['gap', 'shareMissing', 'delay', 'calmP99'] as const)
    into[name] = Math.max(into[name], one[name]);
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
          `share missing ${(100 * all.shareMissing).toFixed(2)} % in ${all.judged} seeds`,
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
  const told = fair.reduce((all, one) => {
    merge(all, one);
    return all;
  }, empty());
  const share = (kept: readonly { told: number; inRange: number }[]) =>
    kept.reduce((sum, { inRange }) => sum + inRange, 0) / kept.reduce((sum, one) => sum + one.told, 0);
  for (const { load } of LOADS) {
    const { kept, unseen } = of(load, 'fair');
    const parts = Object.entries(kept)
      .sort()
      .map(([of, one]) => `${of}: ${(100 * share([one])).toFixed(1)} of ${one.told}`);
    say(
      `in range at ${load * 100} %`,
      [`all ${(100 * share(Object.values(kept))).toFixed(1)} %`, ...parts, `unseen ${unseen}`].join(' · '),
    );
  }
  const offs = Object.entries(told.placeOff).map(([off, cases]) => [Number(off), cases] as const);
  offs.sort(([a], [b]) => a - b);
  const offAt = (part: number) => {
    let left = part * offs.reduce((sum, [, cases]) => sum + cases, 0);
    for (const [off, cases] of offs) {
      left -= cases;
      if (left <= 0) return off;
    }
    return 0;
  };
  say('place in the tier, off by', `p50 ${offAt(0.5)}, p90 ${offAt(0.9)} pictures`);
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
    {
      name: 'delay by 500 cells, in largest turns and their error',
      got: most(({ delay }) => delay),
      atMost: 1,
    },
    {
      name: `longest in ${capped?.name}, of its cap`,
      got: most(({ longest }) => (longest[capped?.name ?? ''] ?? 0) / (capped?.capMs ?? 1)),
      atMost: 1,
    },
    {
      name: 'turbo p99 under its share, s',
      got: most(({ calmP99 }) => calmP99 / 1_000, fair.slice(0, 2)),
      atMost: 2,
    },
    {
      name: 'switches, of those without affinity',
      got: perPicture('fair') / perPicture('alone'),
      atMost: 0.2,
    },
    {
      name: 'batches that end in their range, at least',
      got: share(Object.values(told.kept)),
      atLeast: 1 - 2 * OUTSIDE - 0.03,
    },
    {
      name: 'batches that end in their range, at most',
      got: share(Object.values(told.kept)),
      atMost: 1 - 2 * OUTSIDE + 0.03,
    },
    { name: 'GPUs idle while something waits, ms', got: most(({ idleMs }) => idleMs), atMost: 0 },
  ];
}
