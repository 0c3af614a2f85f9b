/**
 * When pictures will be begun and ready: the order itself, run forward from now with what pictures are known to take, as if nobody
 * else asked. What is further off than that is reckoned by the order's own bounds, as if people and tiers were given what is theirs
 * in drops: it is off by a turn of each person at most.
 *
 * A picture that is being drawn is taken to go on as fast as it went so far. So the moment that is told for its end stays the
 * same while the clock goes on, whatever was guessed before.
 */
import { type Clock, nextTurn, type TierRule, TURN_MAX } from './order.ts';
import { Backlog } from './waiting.ts';

/** A picture that a worker has in hand. Those of one turn are drawn together. */
export interface Running {
  readonly workerId: string | null;
  readonly batchId: string;
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
}

export interface Place {
  /** pictures that are begun before the batch's first; 0 also when one of its own is being drawn */
  readonly ahead: number;
  /** until its last picture, if nobody else asks; 0 when it has none here */
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
  const places = new Map<string, { ahead: number; readyMs: number; left: number; begun: number }>();
  const placeOf = (batchId: string) => {
    const place = places.get(batchId) ?? { ahead: 0, readyMs: 0, left: 0, begun: 0 };
    places.set(batchId, place);
    return place;
  };
  const free: number[] = [];
  const drawn = new Set(running.map(({ batchId }) => batchId));
  for (const turn of Map.groupBy(running, ({ workerId }) => workerId).values()) {
    const ms = msLeft(turn);
    free.push(ms);
    for (const { batchId } of turn) placeOf(batchId).readyMs = Math.max(placeOf(batchId).readyMs, ms);
  }
  // A worker without a picture is free. More turns than workers: one was lost, and counts as another's.
  while (free.length < Math.max(1, workers)) free.push(0);

  const backlog = new Backlog();
  const batchOf = new Map<string, string>();
  let ids = 0;
  for (const { batchId, pictures, costMs, ...flow } of runs) {
    const made = Array.from({ length: Math.min(pictures, SEEN) }, (_, i) => ({
      id: String(ids + i),
      costMs: costMs / pictures,
      shape: '',
    }));
    ids += made.length;
    if (batchId !== null) {
      placeOf(batchId).left += pictures;
      for (const { id } of made) batchOf.set(id, batchId);
    }
    backlog.put(flow, made);
  }

  let left = batchOf.size;
  let begun = 0;
  let time = clock;
  const warm = free.map(() => ({ loras: new Set(['']), faceIds: new Set<string>() }));
  for (let turns = 0; left && turns < TURNS; turns++) {
    const worker = free.indexOf(Math.min(...free));
    const at = free[worker]!;
    const turn = nextTurn(time, backlog.look(warm[worker]!), warm[worker]!, rules, now + at);
    if (!turn) break;
    backlog.take(turn, now + at);
    time = turn.clock;
    warm[worker]!.loras.add(turn.loras);
    free[worker] = at + sum(turn.pictures);
    for (const { id } of turn.pictures) {
      const batchId = batchOf.get(id);
      if (batchId !== undefined) {
        const place = placeOf(batchId);
        if (!place.begun && !drawn.has(batchId)) place.ahead = begun;
        place.begun++;
        place.left--;
        place.readyMs = Math.max(place.readyMs, free[worker]!);
        left--;
      }
      begun++;
    }
  }
  const inHandMs = sum(
    [...Map.groupBy(running, ({ workerId }) => workerId).values()].map((turn) => ({ costMs: msLeft(turn) })),
  );
  for (const [batchId, place] of places) {
    if (!place.left) continue;
    const reckoned = farOff(batchId, clock, runs, rules);
    if (!place.begun && !drawn.has(batchId)) place.ahead = Math.max(begun, reckoned.ahead);
    place.readyMs = Math.max(place.readyMs, (inHandMs + reckoned.ms) / free.length);
  }
  return new Map([...places].map(([batchId, { ahead, readyMs }]) => [batchId, { ahead, readyMs }]));
}

interface Person {
  readonly tier: string;
  readonly givenMs: number;
  pictures: number;
  costMs: number;
}

/** Pictures before the batch's first, and GPU ms until its last is done. */
function farOff(
  batchId: string,
  { now, tiers }: Clock,
  runs: readonly Run[],
  rules: readonly TierRule[],
): { ahead: number; ms: number } {
  const people = new Map<string, Person>();
  /** of the person who asked: what comes before the batch's first, and all to its last */
  const own = { key: '', tier: '', before: 0, all: 0 };
  for (const run of runs) {
    const { tier, userId, pictures, costMs } = run;
    const key = `${tier} ${userId}`;
    const level = tiers[tier]?.level ?? 0;
    const person = people.get(key) ?? { tier, givenMs: Math.max(run.givenMs, level), pictures: 0, costMs: 0 };
    people.set(key, person);
    if (run.batchId === batchId) {
      if (!own.all) Object.assign(own, { key, tier, before: person.costMs });
      own.all = person.costMs + costMs;
    }
    person.pictures += pictures;
    person.costMs += costMs;
  }
  const mine = people.get(own.key);
  if (!mine) return { ahead: 0, ms: 0 };

  /** What is given, GPU ms and pictures, until the person has got so much. */
  const until = (ownMs: number) => {
    const given = new Map(rules.map(({ name }) => [name, { ms: 0, pictures: 0 }]));
    for (const [key, { tier, givenMs, pictures, costMs }] of people) {
      if (tier !== own.tier) continue;
      const ms = key === own.key ? ownMs : Math.min(costMs, Math.max(0, mine.givenMs + ownMs - givenMs));
      const of = given.get(tier)!;
      of.ms += ms;
      of.pictures += (pictures * ms) / costMs;
    }
    const timeOf = (name: string) => Math.max(tiers[name]?.time ?? 0, now);
    const weightOf = (tier: string) => rules.find(({ name }) => name === tier)!.weight;
    const time = timeOf(own.tier) + given.get(own.tier)!.ms / weightOf(own.tier);
    for (const { name, weight } of rules) {
      if (name === own.tier) continue;
      const waiting = [...people.values()].filter(({ tier }) => tier === name);
      const all = sum(waiting);
      const ms = Math.min(all, Math.max(0, time - timeOf(name)) * weight);
      const pictures = waiting.reduce((count, one) => count + one.pictures, 0);
      given.set(name, { ms, pictures: all ? (pictures * ms) / all : 0 });
    }
    const tally = [...given.values()];
    return {
      ms: tally.reduce((total, { ms }) => total + ms, 0),
      pictures: tally.reduce((total, { pictures }) => total + pictures, 0),
    };
  };
  return { ahead: Math.round(until(own.before).pictures), ms: until(own.all).ms };
}

function msLeft(turn: readonly Running[]): number {
  const progress = turn.reduce((sum, one) => sum + one.progress, 0) / turn.length;
  if (progress < TELLING) return sum(turn);
  return (Math.max(...turn.map(({ elapsedMs }) => elapsedMs)) / progress) * (1 - progress);
}

const sum = (all: readonly { readonly costMs: number }[]) => all.reduce((ms, { costMs }) => ms + costMs, 0);
