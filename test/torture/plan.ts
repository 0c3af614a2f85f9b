/**
 * What is typed and what goes wrong, and when: all of it chosen before anything starts, by the seed alone. What comes of it depends on
 * how fast the machine is; the plan does not.
 */
import type { PersonName } from '#infra/local/discord/person.ts';
import type { Misbehaviour } from '#infra/local/discord/protocol.ts';
import { mulberry32 } from '#src/mulberry32.ts';

export type Backend = 'redis' | 'postgres';

/** Where one person sits and types one thing after the other. */
export interface Lane {
  readonly person: PersonName;
  readonly guild: 0 | 1;
  readonly channel: string;
}

export const LANES: readonly Lane[] = [
  { person: 'member', guild: 0, channel: 'portraits' },
  { person: 'other', guild: 0, channel: 'portraits' },
  { person: 'operator', guild: 0, channel: 'portraits' },
  { person: 'moderator', guild: 0, channel: 'review' },
  { person: 'member', guild: 1, channel: 'sweeps' },
  { person: 'other', guild: 1, channel: 'portraits' },
  { person: 'moderator', guild: 1, channel: 'review' },
];
const isModerator = ({ channel }: Lane) => channel === 'review';

export type Deed =
  | { readonly kind: 'imagine'; readonly prompt: string; readonly count: number; readonly face: boolean }
  | { readonly kind: 'sweep'; readonly config: string }
  | { readonly kind: 'face test'; readonly ideas: string; readonly each: number }
  | { readonly kind: 'faces add' }
  | { readonly kind: 'faces remove' | 'settings' | 'queue' }
  | { readonly kind: 'set'; readonly parameter: string; readonly value: string }
  /** the newest card there that has such a button */
  | { readonly kind: 'press'; readonly button: Button };

export type Button =
  | 'batch.stop'
  | 'batch.cancel'
  | 'picture.delete'
  | 'picture.publish'
  | 'picture.report'
  | 'picture.again'
  | 'review.approve'
  | 'review.reject';

export interface Typed {
  readonly atMs: number;
  /** index in LANES */
  readonly lane: number;
  /** Discord gives it to the bot two times */
  readonly twice: boolean;
  readonly deed: Deed;
}

export const SERVICES = ['worker-1', 'worker-2', 'courier', 'mecene', 'web', 'bot'] as const;
/** `shards`: the process that the bot keeps, which is connected to Discord */
export type Target = (typeof SERVICES)[number] | 'shards';

export type Fault =
  | { readonly kind: 'kill' | 'term'; readonly target: Target }
  | { readonly kind: 'pause'; readonly target: Target; readonly ms: number }
  | { readonly kind: 'flush redis' }
  | { readonly kind: 'stop' | 'hang'; readonly target: 'postgres' | 'redis'; readonly ms: number }
  | { readonly kind: 'stop at once'; readonly target: 'postgres'; readonly ms: number }
  /** `endsMs` later it is as usual again */
  | { readonly kind: 'discord'; readonly how: Misbehaviour; readonly endsMs: number };

export interface Happening {
  readonly atMs: number;
  readonly fault: Fault;
}

export interface Plan {
  readonly seed: number;
  readonly minutes: number;
  readonly backend: Backend;
  readonly typed: readonly Typed[];
  readonly faults: readonly Happening[];
}

/** A target is left alone for this long after a fault, so that it comes to something in between. ms */
const REST_MS = 6_000;

export function makePlan(minutes: number, seed: number, backend: Backend): Plan {
  const typing = dice(seed);
  const endMs = minutes * 60_000;
  const typed = LANES.flatMap((lane, index) => {
    const deeds: Typed[] = [];
    let atMs = typing.between(0, 6_000);
    for (; atMs < endMs; atMs += typing.between(6_000, 14_000))
      deeds.push({ atMs, lane: index, twice: typing.chance(0.2), deed: deedOf(lane, typing) });
    return deeds;
  });
  return {
    seed,
    minutes,
    backend,
    typed: typed.sort((a, b) => a.atMs - b.atMs || a.lane - b.lane),
    // Dice of their own: another way to type changes no fault.
    faults: faultsUntil(endMs, backend, dice(seed ^ 0x5eed)),
  };
}

const SUBJECTS = ['woman', 'man', 'queen', 'old man', 'weaver', 'diver', 'smiling woman', 'man with a beard'];
const CLOTHES = ['emerald dress', 'navy suit', 'crimson coat', 'green sweater', 'yellow dress', 'gold crown'];
const PLACES = ['forest', 'sea', 'city, dusk', 'garden', 'mountains', 'snow', 'desert, sunset'];
/** The reference bundle's classifier flags it. */
const FLAGGED = 'checkered background';

function deedOf(lane: Lane, roll: Dice): Deed {
  if (isModerator(lane))
    return { kind: 'press', button: roll.chance(0.6) ? 'review.approve' : 'review.reject' };
  const prompt = `portrait of a ${roll.of(SUBJECTS)}, ${roll.of(CLOTHES)}, ${roll.of(PLACES)}`;
  const press = (button: Button) => () => ({ kind: 'press', button }) as const;
  return roll.weighed<() => Deed>([
    [8, () => ({ kind: 'imagine', prompt, count: roll.whole(1, 4), face: false })],
    [4, () => ({ kind: 'imagine', prompt, count: roll.whole(1, 2), face: true })],
    [2, () => ({ kind: 'imagine', prompt: `${prompt}, ${FLAGGED}`, count: roll.whole(1, 2), face: false })],
    [
      3,
      () => ({
        kind: 'sweep',
        config: `{prompt: "${prompt}", axes: {guidance_scale: [4, ${roll.whole(5, 9)}], steps: [2, ${roll.whole(3, 5)}]}, seeds: [${roll.whole(1, 99)}]}`,
      }),
    ],
    [
      2,
      () => ({
        kind: 'face test',
        ideas: roll.of(['tea in a garden', 'neon samurai', 'a walk by the sea']),
        each: 2,
      }),
    ],
    [1, () => ({ kind: 'faces add' })],
    [1, () => ({ kind: 'faces remove' })],
    [1, () => ({ kind: 'set', parameter: 'guidance_scale', value: String(roll.whole(3, 9)) })],
    [1, () => ({ kind: 'settings' })],
    [1, () => ({ kind: 'queue' })],
    [2, press('batch.cancel')],
    [1, press('batch.stop')],
    [2, press('picture.delete')],
    [2, press('picture.publish')],
    [1, press('picture.report')],
    [1, press('picture.again')],
  ])();
}

const TARGETS: readonly Target[] = [...SERVICES, 'shards'];

function faultsUntil(endMs: number, backend: Backend, roll: Dice): Happening[] {
  const faults: Happening[] = [];
  /** target → when it may be hit again */
  const free = new Map<string, number>();
  for (let atMs = roll.between(3_000, 6_000); atMs < endMs; atMs += roll.between(2_500, 6_500)) {
    const [fault, target, lastsMs] = faultOf(backend, roll);
    // A bot whose token is refused when it starts ends, as it should: it is not started then.
    const isRefusal = fault.kind === 'discord' && fault.how.refuseToken;
    const targets = isRefusal ? [target, 'bot', 'shards'] : [target];
    if (targets.some((one) => (free.get(one) ?? 0) > atMs)) continue;
    for (const one of targets) free.set(one, atMs + lastsMs + REST_MS);
    faults.push({ atMs, fault });
  }
  return faults;
}

/** With what it hits, and for how long. */
function faultOf(backend: Backend, roll: Dice): [Fault, string, number] {
  const target = roll.of(TARGETS);
  const pauseMs = roll.between(3_000, 18_000);
  const awayMs = roll.between(1_000, 9_000);
  const redis = backend === 'redis' ? 1 : 0;
  return roll.weighed<() => [Fault, string, number]>([
    [7, () => [{ kind: 'kill', target }, target, 0]],
    [4, () => [{ kind: 'pause', target, ms: pauseMs }, target, pauseMs]],
    [3, () => [{ kind: 'term', target }, target, 0]],
    [1, () => [{ kind: 'stop', target: 'postgres', ms: awayMs }, 'postgres', awayMs]],
    [1, () => [{ kind: 'stop at once', target: 'postgres', ms: awayMs }, 'postgres', awayMs]],
    [1, () => [{ kind: 'hang', target: 'postgres', ms: awayMs }, 'postgres', awayMs]],
    [3 * redis, () => [{ kind: 'flush redis' }, 'redis', 0]],
    [2 * redis, () => [{ kind: 'stop', target: 'redis', ms: awayMs }, 'redis', awayMs]],
    [1 * redis, () => [{ kind: 'hang', target: 'redis', ms: awayMs }, 'redis', awayMs]],
    [6, () => [misbehaviour(roll), 'discord', 4_000]],
  ])();
}

const ROUTES = [
  'POST /channels/{channel_id}/messages',
  'PATCH /channels/{channel_id}/messages',
  '/threads',
  '/webhooks/',
];

/** No more of it than a well-kept client takes: each request is tried four times. */
function misbehaviour(roll: Dice): Fault {
  const next = roll.whole(1, 3);
  const status = roll.of([500, 502, 503] as const);
  const how = roll.weighed<Misbehaviour>([
    [3, { serverError: { next, when: 'before', status, route: roll.of(ROUTES) } }],
    [3, { serverError: { next: 1, when: 'after', status, route: roll.of(ROUTES) } }],
    [1, { serverError: { next: 1, when: 'after', status, route: 'POST /interactions' } }],
    [2, { rateLimit: { next, retryAfterS: 1, route: roll.of(ROUTES) } }],
    [3, { wall: { next, status: roll.of([403, 429, 502, 520]), retryAfterS: 1, route: roll.of(ROUTES) } }],
    [1, { refuseToken: { next: 1 } }],
    [2, { slowUpload: { next: 1, ms: roll.between(1_000, 4_000) } }],
    [1, { fileMax: 100_000 }],
    [2, { answerAfterMs: roll.between(200, 700) }],
    [2, { reconnect: true }],
    [1, { invalidSession: 'resumable' }],
    [1, { invalidSession: 'final' }],
  ]);
  return { kind: 'discord', how, endsMs: 4_000 };
}

interface Dice {
  /** 0 … 1 */
  next(): number;
  between(least: number, most: number): number;
  whole(least: number, most: number): number;
  chance(share: number): boolean;
  of<T>(all: readonly T[]): T;
  weighed<T>(all: readonly (readonly [weight: number, T])[]): T;
}

function dice(seed: number): Dice {
  const next = mulberry32(seed);
  const between = (least: number, most: number) => Math.round(least + next() * (most - least));
  return {
    next,
    between,
    whole: (least, most) => least + Math.floor(next() * (most - least + 1)),
    chance: (share) => next() < share,
    of: (all) => all[Math.floor(next() * all.length)]!,
    weighed(all) {
      let left = next() * all.reduce((sum, [weight]) => sum + weight, 0);
      for (const [weight, one] of all) {
        left -= weight;
        if (left < 0) return one;
      }
      return all[0]![1];
    },
  };
}
