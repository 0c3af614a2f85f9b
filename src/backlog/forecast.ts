/**
 * When pictures will be begun and ready: the order itself, run forward from now with what pictures are known to take, as if nobody
 * else asked.
 *
 * A picture that is being drawn is taken to go on as fast as it went so far. So the moment that is told for its end stays the
 * same while the clock goes on, whatever was guessed before.
 */
import { type Clock, nextTurn, type TierRule } from './order.ts';
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
/** Turns that are run forward; what comes after them goes on as those before. It bounds what a forecast costs. */
const TURNS = 300;

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
    const made = Array.from({ length: pictures }, (_, i) => ({
      id: String(ids + i),
      costMs: costMs / pictures,
      shape: '',
    }));
    ids += pictures;
    if (batchId !== null) {
      placeOf(batchId).left += pictures;
      for (const { id } of made) batchOf.set(id, batchId);
    }
    backlog.put(flow, made);
  }

  let left = batchOf.size;
  let begun = 0;
  const begunAll: { readonly costMs: number }[] = [];
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
    begunAll.push(...turn.pictures);
  }
  // Far behind, it goes on as it went, and at the latest it is the last of all.
  const lastMs = (free.reduce((a, b) => a + b, 0) - sum(begunAll) + sum(runs)) / free.length;
  const spanMs = Math.max(...free);
  for (const place of places.values()) {
    if (!place.left) continue;
    if (!place.begun) place.ahead = begun;
    const asItWent = place.begun ? (spanMs * (place.begun + place.left)) / place.begun : lastMs;
    place.readyMs = Math.max(place.readyMs, Math.min(asItWent, lastMs));
  }
  return new Map([...places].map(([batchId, { ahead, readyMs }]) => [batchId, { ahead, readyMs }]));
}

function msLeft(turn: readonly Running[]): number {
  const progress = turn.reduce((sum, one) => sum + one.progress, 0) / turn.length;
  if (progress < TELLING) return sum(turn);
  return (Math.max(...turn.map(({ elapsedMs }) => elapsedMs)) / progress) * (1 - progress);
}

const sum = (all: readonly { readonly costMs: number }[]) => all.reduce((ms, { costMs }) => ms + costMs, 0);
