/**
 * A server's hours on the real order, with a virtual clock: a thousand members of three tiers, one of whom asks for 500 pictures
 * at once, on GPUs that come and go.
 */
import { forecast, type Place, type Run, type Running } from '#src/backlog/forecast.ts';
import {
  correctClock,
  nextTurn,
  startOfTime,
  type TierRule,
  TURN_MAX,
  type Warm,
} from '#src/backlog/order.ts';
import { horizonOf, learned, type Range, rangeOf, type Spread, UNLEARNED } from '#src/backlog/ranges.ts';
import { Backlog } from '#src/backlog/waiting.ts';
import { mulberry32 } from '#src/mulberry32.ts';

/** `alone`: the same order one picture at a time, whatever is warm. The other two are what bots do that have no order. */
export type Policy = 'fair' | 'alone' | 'fifo' | 'strict';

export interface Scenario {
  readonly seed: number;
  /** what is asked for, as part of what the GPUs can draw */
  readonly load: number;
  readonly policy: Policy;
  readonly minutes: number;
  /** the first is the highest to `strict` */
  readonly rules: readonly TierRule[];
  /** Some are told when theirs is ready, with what was learned from others of them; nobody is when left out. */
  readonly teller?: Teller;
}

/** What people are told, and what comes. */
export interface Teller {
  rangeOf(tier: string, readyMs: number): Range;
  learn(tier: string, readyMs: number, ratio: number): void;
}

/** Tells and learns as ranges.ts does, without rows. */
export function newTeller(): Teller {
  const spreads = new Map<string, Spread>();
  const of = (tier: string, readyMs: number) => spreads.get(keyOf(tier, readyMs)) ?? UNLEARNED;
  const keyOf = (tier: string, readyMs: number) => `${horizonOf(readyMs)} ${tier}`;
  return {
    rangeOf: (tier, readyMs) => rangeOf(readyMs, of(tier, readyMs)),
    learn(tier, readyMs, ratio) {
      spreads.set(keyOf(tier, readyMs), learned(of(tier, readyMs), ratio));
    },
  };
}

/** What came of what somebody was told. */
export interface Kept {
  readonly tier: string;
  /** ms, as it was told */
  readonly readyMs: number;
  readonly inRange: boolean;
  /** pictures of the tier that were begun before it beside what was told */
  readonly placeOff: number;
}

export interface Outcome {
  /** of `teller` */
  readonly kept: readonly Kept[];
  /** batches of which it was not seen when they ended */
  readonly unseen: number;
  /** tier → ms that people waited for each turn: since they asked, or since their last one */
  readonly waitsMs: Readonly<Record<string, readonly number[]>>;
  /** those of them of the first tier while it was asked for no more than its part of the GPUs there were */
  readonly calmMs: readonly number[];
  /** between the GPU ms given to two people who wait in one tier, in largest turns */
  readonly gap: number;
  /** what a tier was given less than its weight's part while it always waited; 0…1 of all. null: too little was given meanwhile */
  readonly shareMissing: number | null;
  /** what the 500 pictures' person was given while another's first one waited in the same tier, in largest turns and their errors */
  readonly delay: number;
  readonly pictures: number;
  readonly turns: number;
  /** turns that needed other weights than the worker had */
  readonly switches: number;
  /** ms of GPUs that had nothing to do while something waited */
  readonly idleMs: number;
  readonly refused: number;
}

const MEMBERS = 1_000;
const SWEEPER = { userId: 'sweeper', loras: '', faceId: null };
const SWEEP = 500;
const LORAS = ['', 'noir', 'film', 'ink', 'golden'];
const SHAPES = [
  { shape: 'square', costMs: 300 },
  { shape: 'portrait', costMs: 400 },
  { shape: 'wide', costMs: 550 },
];
/** Standard deviation of ln(what a picture takes ÷ what was expected) */
const NOISE = 0.2;
/** GPUs take so much more or less than each other for the same. */
const UNEQUAL = 0.15;
/** Of so many batches one is told when it is ready. */
const TOLD_ONE_IN = 7;
const FACES_KEPT = 64;
/** ms; a GPU comes or goes so often, on average */
const CHANGES_EVERY_MS = 60_000;
/** Over so many ms it is seen whether the first tier is asked for more than its part. */
const BURST_MS = 10_000;
/** A tier's share is held against its weight over so many ms in which it and another always waited. */
const WINDOW_MS = 60_000;
/**
 * … once so many largest turns were given: a window begins and ends anywhere, so it may miss one at either end, and as much as half of
 * one each time for the error of what is in hand.
 */
const JUDGED_FROM = 300;
/** Part of a tier's cap that accepting lets a round of turns take. */
const ROUND = 0.3;

interface Ask {
  readonly tier: string;
  readonly userId: string;
  readonly loras: string;
  readonly faceId: string | null;
}

interface Gpu {
  readonly id: string;
  alive: boolean;
  /** what it draws */
  now: { readonly drawn: Drawn; readonly since: number; readonly ms: number } | null;
  /** what it takes ÷ what was expected, of all pictures alike */
  readonly slowness: number;
  readonly loras: Set<string>;
  readonly faceIds: Set<string>;
}

/** What is drawn at once. */
interface Drawn {
  readonly loras: string;
  readonly pictures: readonly { readonly id: string; readonly costMs: number; readonly flow: Ask }[];
}

interface Line {
  add(ask: Ask, pictures: readonly Picture[], now: number): void;
  take(warm: Warm, now: number): Drawn | null;
  /** @param tookMs each picture's part of the GPU's time */
  ended(drawn: Drawn, tookMs: readonly number[]): void;
  /** where somebody stands whose pictures came last; null: nobody is told */
  place(
    ask: Ask,
    pictures: readonly Picture[],
    running: readonly Running[],
    workers: number,
    now: number,
  ): Place | null;
  /** what the two furthest apart who wait in one tier were given, GPU ms */
  gapMs(): number;
}

interface Picture {
  readonly id: string;
  readonly costMs: number;
  readonly shape: string;
}

export function simulate({ seed, load, policy, minutes, rules, teller }: Scenario): Outcome {
  const random = mulberry32(seed);
  const some = (mean: number) => -Math.log(1 - random()) * mean;
  const of = <T>(all: readonly T[], weights: readonly number[]): T => {
    let at = random() * sum(weights);
    for (const [i, weight] of weights.entries()) {
      at -= weight;
      if (at < 0) return all[i]!;
    }
    return all.at(-1)!;
  };

  /** From N(0, 1). */
  const normal = () => Math.sqrt(-2 * Math.log(1 - random())) * Math.cos(2 * Math.PI * random());

  const gpus: Gpu[] = Array.from({ length: 12 + Math.floor(random() * 5) }, (_, i) => ({
    id: `gpu ${i}`,
    alive: true,
    now: null,
    slowness: 1 + UNEQUAL * (2 * random() - 1),
    loras: new Set(['']),
    faceIds: new Set<string>(),
  }));
  const popular = [6, 1.5, 1, 0.7, 0.5].map((weight) => weight * (0.5 + random()));
  const sizes = [1 + random(), 1 + 3 * random(), random()];
  const wanted = load > 2 ? [1, 1, 1] : [0.2 + 0.1 * random(), 0.35, 0.4];
  const pictureMs = sum(SHAPES.map(({ costMs }, i) => costMs * sizes[i]!)) / sum(sizes);
  const members = Array.from({ length: MEMBERS }, (_, i) => ({
    userId: `member ${i}`,
    loras: of(LORAS, popular),
    faceId: random() < 0.4 ? `face ${i}` : null,
  }));
  // Three of ten ask for two to four pictures, the others for one: 1.6 on average.
  const askEveryMs = (pictureMs * 1.6) / (load * (gpus.length - 0.5));

  const line = policy === 'fair' || policy === 'alone' ? inTurns(rules, policy) : inLine(rules, policy);
  const bounded = policy === 'fair' || policy === 'alone';
  const seen = new Watch(rules);
  const events = new Events();
  const told = teller && new Told(teller, rules);
  const end = minutes * 60_000;
  // What is told is seen to its end: of an overload that takes longer, so less of it is told.
  const tellFrom = end * (load > 2 ? 0.05 : 0.1);
  const tellUntil = end * (load > 2 ? 0.15 : 0.8);
  const seenUntil = told ? end * 5 : end;
  let ids = 0;
  let now = 0;
  let refused = 0;

  const make = (count: number, { shape, costMs }: { shape: string; costMs: number }): Picture[] =>
    Array.from({ length: count }, () => ({ id: String(ids++), shape, costMs }));

  const ask = (what: Ask, pictures: Picture[]) => {
    seen.asked(what, pictures, gpus.filter((gpu) => gpu.alive).length, now);
    line.add(what, pictures, now);
    if (told && now > tellFrom && now < tellUntil && ids % TOLD_ONE_IN === 0) tell(what, pictures);
    const idle = gpus.filter((gpu) => gpu.alive && !gpu.now);
    const isWarm = (gpu: Gpu) => Number(gpu.loras.has(what.loras));
    for (const gpu of idle.sort((a, b) => isWarm(b) - isWarm(a))) begin(gpu);
  };

  const tell = (what: Ask, pictures: readonly Picture[]) => {
    const running = gpus.flatMap((gpu) => {
      if (!gpu.now) return [];
      const elapsedMs = now - gpu.now.since;
      const progress = elapsedMs / gpu.now.ms;
      return gpu.now.drawn.pictures.map(({ costMs, flow: { tier, loras } }) => ({
        workerId: gpu.id,
        batchId: 'another',
        tier,
        loras,
        costMs,
        progress,
        elapsedMs,
      }));
    });
    const workers = gpus.filter((gpu) => gpu.alive).length;
    const place = line.place(what, pictures, running, workers, now);
    if (place) told?.tell(what.tier, pictures, place, now);
  };

  const begin = (gpu: Gpu) => {
    const drawn = line.take(gpu, now);
    if (!drawn) return;
    const took = drawn.pictures.map(({ costMs }) => costMs * gpu.slowness * Math.exp(NOISE * normal()));
    const ms = sum(took);
    seen.begun(drawn, took, !gpu.loras.has(drawn.loras), line.gapMs(), now);
    told?.begun(drawn);
    gpu.now = { drawn, since: now, ms };
    // The plain weights stay, and one set of LoRAs beside them.
    if (drawn.loras) {
      gpu.loras.clear();
      gpu.loras.add('').add(drawn.loras);
    }
    for (const { flow } of drawn.pictures) if (flow.faceId) gpu.faceIds.add(flow.faceId);
    for (const face of gpu.faceIds) {
      if (gpu.faceIds.size <= FACES_KEPT) break;
      gpu.faceIds.delete(face);
    }
    events.add(now + ms, () => {
      gpu.now = null;
      line.ended(drawn, took);
      told?.ended(drawn, now);
      if (gpu.alive) begin(gpu);
    });
  };

  const askAgain = () => {
    events.add(now + some(askEveryMs), askAgain);
    const member = members[Math.floor(random() * MEMBERS)]!;
    const rule = of(rules, wanted);
    const pictures = make(random() < 0.7 ? 1 : 2 + Math.floor(random() * 3), of(SHAPES, sizes));
    const alive = gpus.filter((gpu) => gpu.alive).length;
    if (bounded && !seen.fits(rule, member.userId, alive)) refused += pictures.length;
    else ask({ ...member, tier: rule.name }, pictures);
  };
  const change = () => {
    events.add(now + some(CHANGES_EVERY_MS), change);
    const alive = gpus.filter((gpu) => gpu.alive);
    const gone = gpus.find((gpu) => !gpu.alive && !gpu.now);
    if (alive.length === gpus.length) alive[Math.floor(random() * alive.length)]!.alive = false;
    else if (gone) {
      gone.alive = true;
      gone.loras.clear();
      gone.loras.add('');
      gone.faceIds.clear();
      begin(gone);
    }
  };
  events.add(some(askEveryMs), askAgain);
  events.add(some(CHANGES_EVERY_MS), change);
  events.add(end * 0.3, () => ask({ ...SWEEPER, tier: rules.at(-1)!.name }, make(SWEEP, SHAPES[1]!)));

  for (let event = events.next(); event && event.at <= seenUntil; event = events.next()) {
    if (event.at > end && !told?.going) break;
    if (seen.waiting) seen.idle((event.at - now) * gpus.filter((gpu) => gpu.alive && !gpu.now).length);
    now = event.at;
    event.happen();
  }
  told?.close(now);
  return { ...seen.outcome(), refused, kept: told?.kept ?? [], unseen: told?.going ?? 0 };
}

const sum = (all: readonly number[]) => all.reduce((a, b) => a + b, 0);
const costOf = (pictures: readonly Picture[]) => pictures.reduce((ms, { costMs }) => ms + costMs, 0);

/** The real order. `alone`: no two pictures have one shape, and nothing is known to be warm. */
function inTurns(rules: readonly TierRule[], policy: 'fair' | 'alone'): Line {
  const backlog = new Backlog();
  const cold: Warm = { loras: new Set(), faceIds: new Set() };
  let clock = startOfTime;
  return {
    add(ask, pictures, now) {
      backlog.add(
        ask,
        policy === 'alone' ? pictures.map((one) => ({ ...one, shape: one.id })) : pictures,
        now,
      );
    },
    take(gpu, now) {
      const warm = policy === 'alone' ? cold : gpu;
      const turn = nextTurn(clock, backlog.look(warm), warm, rules, now);
      if (!turn) return null;
      backlog.take(turn, now);
      clock = turn.clock;
      return turn;
    },
    ended({ pictures }, tookMs) {
      for (const [i, { flow, costMs }] of pictures.entries()) {
        const { tier, userId } = flow;
        const ms = tookMs[i]! - costMs;
        clock = correctClock(clock, { tier, userId, ms }, backlog.correct(tier, userId, ms), rules);
      }
    },
    place(ask, pictures, running, workers, now) {
      const runs = rules.flatMap(({ name }) =>
        backlog.all(name).flatMap(({ pictures: waiting, ...flow }): Run[] => {
          const own = flow.tier === ask.tier && flow.userId === ask.userId ? pictures.length : 0;
          const before = waiting.slice(0, waiting.length - own);
          const run = (batchId: string | null, some: readonly Picture[]) =>
            some.length ? [{ ...flow, batchId, pictures: some.length, costMs: costOf(some) }] : [];
          return [...run(null, before), ...run('mine', own ? pictures : [])];
        }),
      );
      return forecast({ clock, running, runs, workers }, rules, now).get('mine') ?? null;
    },
    gapMs() {
      const gaps = rules.map(({ name }) => {
        const flows = backlog.all(name);
        const [first, last] = [flows[0], flows.at(-1)];
        if (!first || !last) return 0;
        const level = Math.max(clock.tiers[name]?.level ?? 0, first.givenMs);
        return Math.max(last.givenMs, level) - level;
      });
      return Math.max(...gaps);
    },
  };
}

/** First come first, or the highest tier first. */
function inLine(rules: readonly TierRule[], policy: 'fifo' | 'strict'): Line {
  const lines = new Map<string, { pictures: Drawn['pictures'][number][]; from: number }>();
  return {
    add(ask, pictures) {
      const key = policy === 'strict' ? ask.tier : '';
      const line = lines.get(key) ?? { pictures: [], from: 0 };
      lines.set(key, line);
      line.pictures.push(...pictures.map((one) => ({ ...one, flow: ask })));
    },
    take() {
      for (const key of policy === 'strict' ? rules.map(({ name }) => name) : ['']) {
        const line = lines.get(key);
        const picture = line?.pictures[line.from];
        if (!line || !picture) continue;
        line.from++;
        return { loras: picture.flow.loras, pictures: [picture] };
      }
      return null;
    },
    ended() {},
    place: () => null,
    gapMs: () => 0,
  };
}

/** What is measured, from outside: it knows what was asked and what was begun, and nothing of the order. */
class Watch {
  readonly #rules: readonly TierRule[];
  readonly #waitsMs: Record<string, number[]>;
  /** tier and person → what waits of them */
  readonly #waiting = new Map<string, Map<string, number>>();
  readonly #calmMs: number[] = [];
  /** what the first tier was asked for in the last `BURST_MS`, and when that was last more than its part */
  readonly #burst: { readonly at: number; readonly ms: number }[] = [];
  #overAt = Number.NEGATIVE_INFINITY;
  readonly #people = new Map<string, number>();
  readonly #lastTurn = new Map<string, number>();
  readonly #turnMs: Map<string, number>;
  /** tier and person who has had nothing yet → what the sweeper had been given when they asked */
  readonly #first = new Map<string, number>();
  #sweptMs = 0;
  #largestMs = 0;
  /** of what was said of a turn, at most */
  #errorMs = 0;
  #gapMs = 0;
  #delayMs = 0;
  #pictures = 0;
  #turns = 0;
  #switches = 0;
  #idleMs = 0;
  #window: { since: number; given: Map<string, number>; always: Set<string> };
  readonly #given = new Map<string, { due: number; got: number }>();

  constructor(rules: readonly TierRule[]) {
    this.#rules = rules;
    this.#waitsMs = Object.fromEntries(rules.map(({ name }) => [name, []]));
    this.#turnMs = new Map(rules.map(({ name }) => [name, 1_000]));
    this.#window = this.#newWindow(0);
  }

  get waiting(): boolean {
    return this.#waiting.size > 0;
  }

  #newWindow(since: number) {
    return { since, given: new Map<string, number>(), always: new Set(this.#rules.map(({ name }) => name)) };
  }

  /** Whether a round of turns in the tier stays well within its cap, as accepting has it. */
  fits({ name, weight, capMs }: TierRule, userId: string, gpus: number): boolean {
    if (capMs === null || this.#waiting.has(`${name} ${userId}`)) return true;
    const active = this.#rules.filter((rule) => rule.name === name || this.#people.get(rule.name));
    const people = (this.#people.get(name) ?? 0) + 1;
    const roundMs = people * this.#turnMs.get(name)! * (sum(active.map((rule) => rule.weight)) / weight);
    return roundMs / Math.max(1, gpus) <= ROUND * capMs;
  }

  asked({ tier, userId }: Ask, pictures: readonly Picture[], gpus: number, now: number): void {
    const costs = pictures.map(({ costMs }) => costMs);
    this.#largestMs = Math.max(this.#largestMs, TURN_MAX * Math.max(...costs));
    const [first, ...others] = this.#rules;
    if (tier === first?.name) {
      this.#burst.push({ at: now, ms: sum(costs) });
      while (this.#burst[0] && this.#burst[0].at < now - BURST_MS) this.#burst.shift();
      const part = first.weight / others.reduce((all, { weight }) => all + weight, first.weight);
      if (this.#burst.reduce((all, { ms }) => all + ms, 0) > part * gpus * BURST_MS) this.#overAt = now;
    }
    const key = `${tier} ${userId}`;
    let own = this.#waiting.get(key);
    if (!own) {
      own = new Map();
      this.#waiting.set(key, own);
      this.#people.set(tier, (this.#people.get(tier) ?? 0) + 1);
      const isNew = !this.#lastTurn.has(key);
      this.#lastTurn.set(key, now);
      if (isNew && tier === this.#rules.at(-1)!.name && userId !== SWEEPER.userId)
        this.#first.set(key, this.#sweptMs);
    }
    for (const { id } of pictures) own.set(id, now);
  }

  /** @param tookMs what each picture will have taken */
  begun({ pictures }: Drawn, tookMs: readonly number[], cold: boolean, gapMs: number, now: number): void {
    this.#turns++;
    if (cold) this.#switches++;
    const turnMs = sum(tookMs);
    this.#largestMs = Math.max(this.#largestMs, turnMs);
    const saidMs = pictures.reduce((all, { costMs }) => all + costMs, 0);
    this.#errorMs = Math.max(this.#errorMs, Math.abs(turnMs - saidMs));
    this.#gapMs = Math.max(this.#gapMs, gapMs);
    for (const { name } of this.#rules) if (!this.#people.get(name)) this.#window.always.delete(name);

    const theirs = new Map<string, number>();
    for (const [i, { id, flow }] of pictures.entries()) {
      const costMs = tookMs[i]!;
      const key = `${flow.tier} ${flow.userId}`;
      const own = this.#waiting.get(key)!;
      const waitMs = now - Math.max(own.get(id)!, this.#lastTurn.get(key)!);
      this.#waitsMs[flow.tier]!.push(waitMs);
      if (flow.tier === this.#rules[0]?.name && now - waitMs - BURST_MS > this.#overAt)
        this.#calmMs.push(waitMs);
      own.delete(id);
      this.#pictures++;
      theirs.set(key, (theirs.get(key) ?? 0) + costMs);
      this.#window.given.set(flow.tier, (this.#window.given.get(flow.tier) ?? 0) + costMs);
      const before = this.#first.get(key);
      if (before !== undefined) this.#delayMs = Math.max(this.#delayMs, this.#sweptMs - before);
      this.#first.delete(key);
      if (flow.userId === SWEEPER.userId) this.#sweptMs += costMs;
    }
    for (const [key, ms] of theirs) {
      const tier = key.slice(0, key.indexOf(' '));
      this.#turnMs.set(tier, this.#turnMs.get(tier)! * 0.98 + ms * 0.02);
      this.#lastTurn.set(key, now);
      if (this.#waiting.get(key)?.size) continue;
      this.#waiting.delete(key);
      this.#people.set(tier, this.#people.get(tier)! - 1);
    }
    if (now - this.#window.since >= WINDOW_MS) this.#closeWindow(now);
  }

  #closeWindow(now: number): void {
    const { given, always, since } = this.#window;
    const rules = this.#rules.filter(({ name }) => always.has(name));
    const all = sum(rules.map(({ name }) => given.get(name) ?? 0));
    // Not the first: everything begins at once there.
    for (const { name, weight } of since > 0 && rules.length > 1 ? rules : []) {
      const so = this.#given.get(name) ?? { due: 0, got: 0 };
      so.due += (all * weight) / sum(rules.map((rule) => rule.weight));
      so.got += given.get(name) ?? 0;
      this.#given.set(name, so);
    }
    this.#window = this.#newWindow(now);
  }

  idle(ms: number): void {
    this.#idleMs += ms;
  }

  outcome(): Omit<Outcome, 'refused' | 'kept' | 'unseen'> {
    const shares = [...this.#given.values()];
    const all = sum(shares.map(({ got }) => got));
    return {
      waitsMs: this.#waitsMs,
      calmMs: this.#calmMs,
      gap: this.#gapMs / this.#largestMs,
      shareMissing:
        all > JUDGED_FROM * this.#largestMs
          ? Math.max(...shares.map(({ due, got }) => (due - got) / all))
          : null,
      delay: this.#delayMs / (this.#largestMs + this.#errorMs),
      pictures: this.#pictures,
      turns: this.#turns,
      switches: this.#switches,
      idleMs: this.#idleMs,
    };
  }
}

/** What some were told, and what came of it. */
class Told {
  readonly kept: Kept[] = [];
  readonly #teller: Teller;
  /** tier → pictures that were begun */
  readonly #begun: Map<string, number>;
  readonly #batchOf = new Map<string, ToldBatch>();
  #going = 0;

  constructor(teller: Teller, rules: readonly TierRule[]) {
    this.#teller = teller;
    this.#begun = new Map(rules.map(({ name }) => [name, 0]));
  }

  /** batches that have not ended */
  get going(): number {
    return this.#going;
  }

  tell(tier: string, pictures: readonly Picture[], { aheadInTier, readyMs }: Place, now: number): void {
    const range = this.#teller.rangeOf(tier, readyMs);
    const batch = {
      tier,
      readyMs,
      range,
      at: now,
      left: pictures.length,
      place: this.#begun.get(tier)! + aheadInTier,
      placeOff: null,
    };
    this.#going++;
    for (const { id } of pictures) this.#batchOf.set(id, batch);
  }

  begun({ pictures }: Drawn): void {
    for (const { id, flow } of pictures) {
      const begun = this.#begun.get(flow.tier)!;
      const batch = this.#batchOf.get(id);
      if (batch) batch.placeOff ??= begun - batch.place;
      this.#begun.set(flow.tier, begun + 1);
    }
  }

  ended({ pictures }: Drawn, now: number): void {
    for (const { id } of pictures) {
      const batch = this.#batchOf.get(id);
      this.#batchOf.delete(id);
      if (!batch || --batch.left) continue;
      this.#keep(batch, now - batch.at);
    }
  }

  #keep({ tier, readyMs, range, placeOff }: ToldBatch, tookMs: number): void {
    const inRange = tookMs >= range.fromMs && tookMs <= range.toMs;
    this.kept.push({ tier, readyMs, inRange, placeOff: placeOff ?? 0 });
    this.#teller.learn(tier, readyMs, tookMs / readyMs);
    this.#going--;
  }

  /** Nobody looks any longer: what is late is late, whenever it ends. */
  close(now: number): void {
    for (const batch of new Set(this.#batchOf.values()))
      if (now - batch.at > batch.range.toMs) this.#keep(batch, now - batch.at);
  }
}

interface ToldBatch {
  readonly tier: string;
  readonly readyMs: number;
  readonly range: Range;
  readonly at: number;
  /** its place among the pictures of its tier, from the first of all */
  readonly place: number;
  left: number;
  placeOff: number | null;
}

interface Event {
  readonly at: number;
  happen(): void;
}

/** What is to come, soonest first: a binary heap. */
class Events {
  readonly #heap: Event[] = [];

  add(at: number, happen: () => void): void {
    const heap = this.#heap;
    let place = heap.push({ at, happen }) - 1;
    while (place) {
      const above = (place - 1) >> 1;
      if (heap[above]!.at <= heap[place]!.at) return;
      [heap[above], heap[place]] = [heap[place]!, heap[above]!];
      place = above;
    }
  }

  next(): Event | undefined {
    const heap = this.#heap;
    const first = heap[0];
    const last = heap.pop();
    if (!last || last === first) return first;
    heap[0] = last;
    for (let place = 0; ; ) {
      const left = 2 * place + 1;
      if (left >= heap.length) return first;
      const sooner = left + 1 < heap.length && heap[left + 1]!.at < heap[left]!.at ? left + 1 : left;
      if (heap[place]!.at <= heap[sooner]!.at) return first;
      [heap[place], heap[sooner]] = [heap[sooner]!, heap[place]!];
      place = sooner;
    }
  }
}
