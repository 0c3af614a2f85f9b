/**
 * When pictures will be begun and ready: the order itself, run forward from now with what pictures are known to take, as if nobody
 * else asked; and what other tiers will ask for meanwhile, if they go on as they did. What is further off than that is reckoned by the order's own bounds, as if people and tiers were given what is theirs
 * in drops: it is off by a turn of each person at most.
 *
 * A picture that is being drawn is taken to go on as fast as it went so far. So the moment that is told for its end stays the
 * same while the clock goes on, whatever was guessed before.
 */
import { type Clock, nextTurn, rateOf, type TierRule, TURN_MAX } from './order.ts';
import { Backlog } from './waiting.ts';

/** A picture that a worker has in hand. Those of one turn are drawn together. */
export interface Running {
  readonly workerId: string | null;
  readonly batchId: string;
  /** batches that wait for it, to copy it; none when left out */
  readonly twins?: readonly string[];
  readonly tier: string;
  /** which its worker has in memory now */
  readonly loras: string;
  /** ms that it takes, estimated */
  readonly costMs: number;
  /** 0…1 */
  readonly progress: number;
  /** since it was begun */
  readonly elapsedMs: number;
}

/** Some pictures of a flow, one after another. */
export interface Run {
  readonly tier: string;
  readonly userId: string;
  readonly loras: string;
  readonly faceId: string | null;
  readonly givenMs: number;
  readonly since: number;
  /** null: nobody asks when these are ready */
  readonly batchId: string | null;
  readonly pictures: number;
  /** GPU ms of all of them */
  readonly costMs: number;
  /** batches that wait for the last of them, to copy it; none when left out */
  readonly twins?: readonly string[];
}

export interface Place {
  /** in which it waits: its own, or that of the picture that it waits for */
  readonly tier: string;
  /** pictures that are begun before the batch's first; 0 also when one of its own is being drawn */
  readonly ahead: number;
  /** those of them that are of `tier` */
  readonly aheadInTier: number;
  /** tier → those of them that are of it */
  readonly aheadBy: Readonly<Record<string, number>>;
  /** until its last picture, if the tiers go on to ask for what they asked for lately; 0 when it has none here */
  readonly readyMs: number;
}

/** Progress below this says nothing of a picture's own speed. */
const TELLING = 0.05;
/** Turns that are run forward. It bounds what a forecast costs: accepting asks for one. */
const TURNS = 24;
/** Pictures of a run that they can come to. */
const SEEN = TURNS * TURN_MAX;

/**
 * @param runs of one flow in their order
 * @param now ms
 * @returns batch → its place, of each that is in `running` or `runs`
 */
export function forecast(
  {
    clock,
    running,
    runs,
    workers,
  }: {
    readonly clock: Clock;
    readonly running: readonly Running[];
    readonly runs: readonly Run[];
    readonly workers: number;
  },
  rules: readonly TierRule[],
  now: number,
): Map<string, Place> {
  const open = new Map<string, Open>();
  const of = (batchId: string, tier: string) => {
    const batch = open.get(batchId) ?? { tier, aheadBy: null, begunMs: 0, readyMs: 0, left: 0, givenBy: {} };
    open.set(batchId, batch);
    return batch;
  };
  const free: number[] = [];
  const warm: { readonly loras: Set<string>; readonly faceIds: Set<string> }[] = [];
  for (const turn of Map.groupBy(running, ({ workerId }) => workerId).values()) {
    const ms = msLeft(turn);
    free.push(ms);
    warm.push({ loras: new Set(['', ...turn.map(({ loras }) => loras)]), faceIds: new Set() });
    for (const { batchId, twins = [], tier } of turn) {
      for (const batch of [batchId, ...twins].map((id) => of(id, tier))) {
        batch.aheadBy = {};
        batch.readyMs = Math.max(batch.readyMs, ms);
      }
    }
  }
  // A worker without a picture is free. More turns than workers: one was lost, and counts as another's.
  while (free.length < Math.max(1, workers)) {
    free.push(0);
    warm.push({ loras: new Set(['']), faceIds: new Set() });
  }

  const backlog = new Backlog();
  /** picture → batches that are asked for and have it, or a copy of it */
  const batchesOf = new Map<string, readonly Open[]>();
  let left = 0;
  for (const [index, { batchId, pictures, costMs, twins = [], ...flow }] of runs.entries()) {
    const owners = batchId === null ? [] : [of(batchId, flow.tier)];
    const copies = twins.map((id) => of(id, flow.tier));
    for (const owner of owners) Object.assign(owner, { tier: flow.tier, left: owner.left + pictures });
    for (const batch of copies) batch.left++;
    const seen = Math.min(pictures, SEEN);
    left += owners.length ? seen : Number(copies.length > 0 && seen === pictures);
    // Made as they are come to: of most flows that is the first few.
    function* made() {
      for (let i = 0; i < seen; i++) {
        const id = `${index} ${i}`;
        const batches = i === pictures - 1 ? [...owners, ...copies] : owners;
        if (batches.length) batchesOf.set(id, batches);
        yield { id, costMs: costMs / pictures, shape: '' };
      }
    }
    backlog.put(flow, made());
  }

  const begun: Record<string, number> = Object.fromEntries(rules.map(({ name }) => [name, 0]));
  const given: Record<string, number> = {};
  let time = clock;
  for (let turns = 0; left && turns < TURNS; turns++) {
    const worker = free.indexOf(Math.min(...free));
    const at = free[worker]!;
    const turn = nextTurn(time, backlog.look(warm[worker]!), warm[worker]!, rules, now + at);
    if (!turn) break;
    backlog.take(turn, now + at);
    time = turn.clock;
    warm[worker]!.loras.add(turn.loras);
    free[worker] = at + sum(turn.pictures);
    for (const { flow, costMs } of turn.pictures) given[flow.tier] = (given[flow.tier] ?? 0) + costMs;
    for (const { id, flow } of turn.pictures) {
      const batches = batchesOf.get(id) ?? [];
      if (batches.length) left--;
      for (const batch of batches) {
        batch.aheadBy ??= { ...begun };
        batch.left--;
        if (free[worker]! < batch.readyMs) continue;
        Object.assign(batch, { begunMs: at, readyMs: free[worker]!, givenBy: { ...given } });
      }
      begun[flow.tier] = (begun[flow.tier] ?? 0) + 1;
    }
  }
  const inHandMs = sum(
    [...Map.groupBy(running, ({ workerId }) => workerId).values()].map((turn) => ({ costMs: msLeft(turn) })),
  );
  for (const [batchId, batch] of open) {
    if (!batch.left) continue;
    for (const reckoned of farOff(batchId, clock, runs, rules)) {
      batch.aheadBy ??= atLeast(begun, reckoned.aheadBy);
      const readyMs =
        (inHandMs + sum(Object.values(reckoned.givenBy).map((costMs) => ({ costMs })))) / free.length;
      if (readyMs < batch.readyMs) continue;
      Object.assign(batch, {
        begunMs: Math.max(0, readyMs - reckoned.lastMs),
        readyMs,
        givenBy: reckoned.givenBy,
      });
    }
  }
  return new Map(
    [...open].map(([batchId, batch]) => {
      const { tier } = batch;
      const aheadBy = batch.aheadBy ?? {};
      const ahead = Object.values(aheadBy).reduce((all, pictures) => all + pictures, 0);
      const readyMs =
        batch.readyMs + othersMs(batch, passingIn(batchId, clock, runs), clock, free.length, rules, now);
      return [batchId, { tier, ahead, aheadInTier: aheadBy[tier] ?? 0, aheadBy, readyMs }];
    }),
  );
}

/**
 * Part of what is asked for meanwhile in the batch's own tier that comes before its last picture: of others than its person, and as far
 * as those who come have been given less by then. 0…1
 */
function passingIn(batchId: string, { tiers }: Clock, runs: readonly Run[]): number {
  const last = runs.findLastIndex((run) => run.batchId === batchId || run.twins?.includes(batchId));
  const mine = runs[last];
  if (!mine) return 0;
  const own = runs.filter((run, i) => i <= last && run.tier === mine.tier && run.userId === mine.userId);
  const givenMs = Math.max(0, mine.givenMs - (tiers[mine.tier]?.level ?? 0)) + sum(own);
  const lead = givenMs / (mine.costMs / mine.pictures) - 1;
  const people = new Set(runs.flatMap(({ tier, userId }) => (tier === mine.tier ? [userId] : []))).size;
  return Math.min(1, lead) * (1 - 1 / people);
}

/**
 * How much later its last picture is begun as others go on to ask for what they were given lately, and get it first: other tiers no
 * more than is theirs by weight while this one waits. ms
 *
 * @param passing part of what is asked for in its own tier that comes first
 */
function othersMs(
  { tier, begunMs, givenBy }: Open,
  passing: number,
  { tiers }: Clock,
  workers: number,
  rules: readonly TierRule[],
  now: number,
): number {
  const own = rules.find(({ name }) => name === tier);
  if (!own || !begunMs) return 0;
  const rates = new Map(rules.map(({ name }) => [name, tiers[name] ? rateOf(tiers[name], now) : 0]));
  // Workers may have left, and a turn counts when it is given: no more is drawn than can be.
  const part = Math.min(
    1,
    (BUSIEST * workers) /
      Math.max(
        1e-9,
        [...rates.values()].reduce((all, rate) => all + rate, 0),
      ),
  );
  const rateIn = (name: string) => part * (rates.get(name) ?? 0);
  const others = rules
    .filter(({ name }) => name !== tier)
    .map(({ name, weight }) => ({ weight, rate: rateIn(name), before: givenBy[name] ?? 0 }));
  const known = others.reduce((all, { before }) => all + before, 0);
  const ownRate = rateIn(tier) * passing;
  let waitMs = begunMs;
  for (let round = 0; round < ROUNDS; round++) {
    const more = ownRate * waitMs;
    const ownTime = ((givenBy[tier] ?? 0) + more) / own.weight;
    const theirs = others.reduce(
      (all, { weight, rate, before }) => all + Math.max(before, Math.min(rate * waitMs, ownTime * weight)),
      0,
    );
    waitMs = begunMs + (theirs - known + more) / workers;
  }
  return waitMs - begunMs;
}

/** Part of the workers' time that goes to those who come, at most: somebody who waits gets some of it. */
const BUSIEST = 0.95;
/** After so many, what others ask for meanwhile is reckoned closely enough. */
const ROUNDS = 8;

/** A batch whose place is looked for. */
interface Open {
  /** its own, if a picture of its own waits */
  tier: string;
  /** null as long as nothing of it was begun */
  aheadBy: Readonly<Record<string, number>> | null;
  /** until its last picture is begun, and ready, if nobody else asks; and what each tier is given until then, GPU ms */
  begunMs: number;
  readyMs: number;
  givenBy: Readonly<Record<string, number>>;
  /** pictures that were not come to */
  left: number;
}

/** What comes before one that was not come to is no less than all that was. */
function atLeast(begun: Readonly<Record<string, number>>, reckoned: Readonly<Record<string, number>>) {
  return Object.fromEntries(
    Object.entries(begun).map(([tier, pictures]) => [tier, Math.max(pictures, reckoned[tier] ?? 0)]),
  );
}

interface Person {
  readonly tier: string;
  readonly givenMs: number;
  pictures: number;
  costMs: number;
}

/** What comes before a batch's first, and GPU ms until its last is done: of its own pictures, and of those that it waits for. */
function farOff(
  batchId: string,
  { now, tiers }: Clock,
  runs: readonly Run[],
  rules: readonly TierRule[],
): {
  readonly aheadBy: Readonly<Record<string, number>>;
  /** until its last is done: tier → GPU ms */
  readonly givenBy: Readonly<Record<string, number>>;
  /** GPU ms of its last */
  readonly lastMs: number;
}[] {
  const people = new Map<string, Person>();
  /** person → from their first picture, GPU ms: what comes before the batch's first, and all to its last */
  const asked = new Map<string, { readonly before: number; all: number; lastMs: number }>();
  for (const run of runs) {
    const { tier, userId, pictures, costMs, twins } = run;
    const key = `${tier} ${userId}`;
    const level = tiers[tier]?.level ?? 0;
    const person = people.get(key) ?? { tier, givenMs: Math.max(run.givenMs, level), pictures: 0, costMs: 0 };
    people.set(key, person);
    const isOwn = run.batchId === batchId;
    if (isOwn || twins?.includes(batchId)) {
      const all = person.costMs + costMs;
      const before = isOwn ? person.costMs : all - costMs / pictures;
      asked.set(key, { before: asked.get(key)?.before ?? before, all, lastMs: costMs / pictures });
    }
    person.pictures += pictures;
    person.costMs += costMs;
  }

  const timeOf = (name: string) => Math.max(tiers[name]?.time ?? 0, now);
  /** What is given, GPU ms and pictures by tier, until somebody has got so much. */
  const until = (mine: Person, ownMs: number) => {
    const given = new Map(rules.map(({ name }) => [name, { ms: 0, pictures: 0 }]));
    const rule = rules.find(({ name }) => name === mine.tier);
    const own = given.get(mine.tier);
    // Of a tier that is no more nothing is drawn.
    if (!rule || !own) return given;
    for (const other of people.values()) {
      const { tier, givenMs, pictures, costMs } = other;
      if (tier !== mine.tier) continue;
      const ms = other === mine ? ownMs : Math.min(costMs, Math.max(0, mine.givenMs + ownMs - givenMs));
      own.ms += ms;
      own.pictures += costMs ? (pictures * ms) / costMs : pictures;
    }
    const time = timeOf(mine.tier) + own.ms / rule.weight;
    for (const { name, weight } of rules) {
      if (name === mine.tier) continue;
      const waiting = [...people.values()].filter(({ tier }) => tier === name);
      const all = sum(waiting);
      const ms = Math.min(all, Math.max(0, time - timeOf(name)) * weight);
      const pictures = waiting.reduce((count, one) => count + one.pictures, 0);
      given.set(name, { ms, pictures: all ? (pictures * ms) / all : 0 });
    }
    return given;
  };
  return [...asked].map(([key, { before, all, lastMs }]) => {
    const mine = people.get(key)!;
    return {
      aheadBy: Object.fromEntries(
        [...until(mine, before)].map(([name, { pictures }]) => [name, Math.round(pictures)]),
      ),
      givenBy: Object.fromEntries([...until(mine, all)].map(([name, { ms }]) => [name, ms])),
      lastMs,
    };
  });
}

function msLeft(turn: readonly Running[]): number {
  const progress = turn.reduce((sum, one) => sum + one.progress, 0) / turn.length;
  if (progress < TELLING) return sum(turn);
  return (Math.max(...turn.map(({ elapsedMs }) => elapsedMs)) / progress) * (1 - progress);
}

const sum = (all: readonly { readonly costMs: number }[]) => all.reduce((ms, { costMs }) => ms + costMs, 0);
