/**
 * The one order of the backlog: whose turn is next when a worker is free. Every place and every wait that somebody is told is read
 * off it.
 *
 * A turn is what a worker draws at once: up to four pictures of one shape that need the same weights. It is chosen in three steps.
 *
 * 1. Between tiers by weighted virtual time. A tier's time goes on by GPU ms ÷ weight with all that it is given; the tier that is
 *    behind is next. One that had nothing waiting takes up at the present, so idleness buys no credit (start-time fair queueing:
 *    Goyal, Vin, Cheng, SIGCOMM 1996).
 * 2. Within a tier between people by the GPU ms that each was given, the least first; who comes back is lifted to the level of those
 *    who wait (virtual token counter: Sheng et al., "Fairness in Serving Large Language Models", OSDI 2024).
 * 3. What is warm goes first, weights before faces, as long as nobody gets further ahead than one turn: the deficit of DLPM (Cao et
 *    al., "Locality-aware Fair Scheduling in LLM Serving", 2025) with the largest turn as its bound. So do the other pictures of a
 *    turn, which people of other tiers may share under the same bound.
 *
 * A person who waits for a turn longer than half of the tier's cap comes before all of that; accepting keeps a capped tier so short
 * that this is rare (`fits` in accepting.ts).
 *
 * What follows, with L for the largest turn (GPU ms), R workers, W the weights of all tiers that wait, w of one's own:
 *
 * - two people who wait in one tier are at no moment further apart than L, and so get the same in any interval but for 2 L;
 * - a tier that always has something waiting gets w/W of all that is given, but for L: within one point after 100 L;
 * - somebody's first picture waits for at most (n L + W/w · L) / R where n others wait in the tier, whatever each of them has asked for;
 * - no worker is idle while anything waits that it can draw.
 *
 * Costs are estimates when a turn is given. When one of its pictures has ended, however it did, what it took beside its estimate is
 * counted in before the next turn is chosen (`correctClock`): to its person, and to its tier. So what is given is what was taken, but
 * for E, the error of what is in hand; all bounds hold with L + E for L, and errors never add up. By what two people's ended pictures
 * took they are no further apart than 2 L as long as E ≤ L: where one person's pictures take k times what is said, that is as long as
 * they have no more than k/(k − 1) of the largest turns in hand.
 *
 * This file knows neither rows nor clocks: flows.ts brings what `LOOK` says, and test/bench/fairness days of it.
 */

/** Pictures of a turn, at most. */
export const TURN_MAX = 4;

/**
 * What is looked at, however much waits. Of each tier: so many flows with the least given, so many of those that need weights which
 * are warm, and the one that waits longest of either.
 */
export const LOOK = 16;

/** Part of a tier's cap after which somebody's turn comes before all others'. */
export const OVERDUE = 1 / 2;
/** From here on not even for warm weights. */
const PRESSING = 3 / 4;

/** Part of a tier's target in which another tier whose weights are warm may go first. */
const PATIENCE = 1 / 4;
/** Part of it after which not even somebody of the same tier does, so that the target is kept; */
const LATE = 1 / 2;
/** until so many targets are over: too much is asked for to keep it, and warm weights make up for most. */
const HOPELESS = 2;

export interface TierRule {
  readonly name: string;
  readonly weight: number;
  /** ms that somebody should wait for a turn at most, as long as the tier is not asked for more than its share */
  readonly targetMs: number;
  /** ms that anybody waits for a turn, at most; null: no promise */
  readonly capMs: number | null;
}

/** A picture that waits. */
export interface Waiting {
  readonly id: string;
  /** GPU ms, estimated */
  readonly costMs: number;
  /** pictures of one shape go through the network together */
  readonly shape: string;
}

/** What one person waits for in one tier that needs the same weights and the same face. */
export interface Flow {
  readonly tier: string;
  readonly userId: string;
  /** of LoRAs: names and scales; empty: none */
  readonly loras: string;
  readonly faceId: string | null;
  /** GPU ms that the person was given in the tier, or was lifted to */
  readonly givenMs: number;
  /** ms; since when the person waits for a turn in the tier */
  readonly since: number;
  /** the first of them, `TURN_MAX` at most, first come first */
  readonly pictures: readonly Waiting[];
}

export interface TierClock {
  /** virtual ms */
  readonly time: number;
  /** what those who wait were given at least, GPU ms; falls only where that is corrected */
  readonly level: number;
  /** pictures of it that were ever begun; none when left out */
  readonly begun?: number;
  /** GPU ms that it was given in a ms lately: of all GPUs together, `at` ms; nothing when left out */
  readonly rate?: number;
  readonly at?: number;
}

/** What was given counts in a tier's rate for so long, ms: after that, for 1/e. */
const LATELY_MS = 20_000;

/** GPU ms that a tier was given in a ms lately. @param now ms */
export function rateOf({ rate = 0, at }: TierClock, now: number): number {
  return rate * Math.exp(-Math.max(0, now - (at ?? now)) / LATELY_MS);
}

/** What the order remembers. */
export interface Clock {
  /** virtual ms */
  readonly now: number;
  /** GPU ms of the largest turn lately */
  readonly largestMs: number;
  readonly tiers: Readonly<Record<string, TierClock>>;
}

export const startOfTime: Clock = { now: 0, largestMs: 0, tiers: {} };

/** What a worker has in memory. */
export interface Warm {
  /** of LoRAs; empty for the plain weights */
  readonly loras: ReadonlySet<string>;
  readonly faceIds: ReadonlySet<string>;
}

export interface Turn {
  readonly loras: string;
  /** one to `TURN_MAX`, in the order of the flows below */
  readonly pictures: readonly (Waiting & { readonly flow: Flow })[];
  /** what each person of the turn was given in the tier, with it */
  readonly given: readonly { readonly tier: string; readonly userId: string; readonly givenMs: number }[];
  readonly clock: Clock;
  /** somebody waited too long for it */
  readonly overdue: boolean;
}

/** A tier that waits. */
interface Line {
  readonly rule: TierRule;
  readonly flows: readonly Flow[];
  readonly time: number;
  readonly level: number;
}

/**
 * @param flows all, or at least those that `LOOK` names
 * @param now ms
 * @returns null when nothing waits
 */
export function nextTurn(
  clock: Clock,
  flows: readonly Flow[],
  warm: Warm,
  rules: readonly TierRule[],
  now: number,
): Turn | null {
  const lines = rules.flatMap((rule) => lineOf(rule, clock, flows) ?? []);
  if (!lines.length) return null;
  const present = Math.min(...lines.map(({ time }) => time));
  const largestMs = Math.max(clock.largestMs, TURN_MAX * Math.max(...flows.map(costOf)));
  const late = overdue(lines, warm, now);
  const first = late ?? inTurn(lines, present, largestMs, warm, now);
  const turn = new Filling(lines, present, largestMs);
  turn.fill(first, late !== null);
  return turn.end(clock, late !== null, now);
}

/**
 * What waits when a turn has been taken, as far as its look saw. Of a flow that has more pictures than a look sees, all that it saw may be
 * taken: the last one stands for the next.
 */
export function flowsAfter({ pictures, given }: Turn, flows: readonly Flow[]): Flow[] {
  const taken = new Set(pictures.map(({ id }) => id));
  return flows.flatMap((flow) => {
    const left = flow.pictures.filter(({ id }) => !taken.has(id));
    if (!left.length && flow.pictures.length === TURN_MAX) left.push(...flow.pictures.slice(-1));
    const own = given.find(({ tier, userId }) => tier === flow.tier && userId === flow.userId);
    return left.length ? { ...flow, pictures: left, givenMs: own?.givenMs ?? flow.givenMs } : [];
  });
}

function lineOf(rule: TierRule, clock: Clock, flows: readonly Flow[]): Line | null {
  const own = flows.filter(({ tier }) => tier === rule.name);
  if (!own.length) return null;
  const { time, level } = clock.tiers[rule.name] ?? { time: 0, level: 0 };
  const least = Math.min(...own.map(({ givenMs }) => givenMs));
  return { rule, flows: own, time: Math.max(time, clock.now), level: Math.max(level, least) };
}

/** Who waits too long, by the part of the cap that is over. */
function overdue(lines: readonly Line[], warm: Warm, now: number): Flow | null {
  let pressing: Flow | null = null;
  let warmest: Flow | null = null;
  let [most, mostWarm] = [OVERDUE, OVERDUE];
  for (const { rule, flows } of lines) {
    if (rule.capMs === null) continue;
    for (const flow of flows) {
      const part = (now - flow.since) / rule.capMs;
      if (part > most) [pressing, most] = [flow, part];
      if (part > mostWarm && warm.loras.has(flow.loras)) [warmest, mostWarm] = [flow, part];
    }
  }
  return most < PRESSING && warmest ? warmest : pressing;
}

/** The one of the tier that is behind who was given least; or near enough, somebody whose weights and face are warm. */
function inTurn(lines: readonly Line[], present: number, largestMs: number, warm: Warm, now: number): Flow {
  const [behind, ...others] = [...lines].sort((a, b) => a.time - b.time);
  let [best, heat] = [least(behind!.flows, behind!), 0];
  const patient = now - best.since < PATIENCE * behind!.rule.targetMs;
  const near = others.filter(({ rule, time }) => patient && time <= present + largestMs / rule.weight);
  const waited = (now - best.since) / behind!.rule.targetMs;
  if (waited > LATE && waited < HOPELESS) return best;
  for (const line of [behind!, ...near]) {
    for (const flow of line.flows) {
      if (!warm.loras.has(flow.loras) || !staysNear(flow, line, costOf(flow), largestMs)) continue;
      const own = flow.faceId !== null && warm.faceIds.has(flow.faceId) ? 2 : 1;
      if (own > heat || (own === heat && flow.tier === best.tier && isBefore(flow, best, line)))
        [best, heat] = [flow, own];
    }
    if (heat) break;
  }
  return best;
}

const costOf = ({ pictures: [first] }: Flow) => first?.costMs ?? 0;
/** What a person's picture took beside what was said when its turn was given. */
export interface Correction {
  readonly tier: string;
  readonly userId: string;
  /** GPU ms; below 0: it took less */
  readonly ms: number;
}

/**
 * The clock once that is known. Who was thought to take more than it was is behind by that much from now on: so much the present of
 * the tiers, and the level of the people, step back, as neither would be lifted to what they went on to meanwhile.
 *
 * @param before GPU ms that the person had been given, as was thought; null when they wait for nothing
 */
export function correctClock(
  { now, largestMs, tiers }: Clock,
  { tier, ms }: Correction,
  before: number | null,
  rules: readonly TierRule[],
): Clock {
  const rule = rules.find(({ name }) => name === tier);
  const known = tiers[tier];
  if (!rule || !known) return { now, largestMs, tiers };
  const time = known.time + ms / rule.weight;
  const level = before !== null && before >= known.level ? Math.min(known.level, before + ms) : known.level;
  return {
    // A tier that was behind already has been away: it is lifted anyhow.
    now: known.time >= now ? Math.min(now, time) : now,
    largestMs,
    tiers: { ...tiers, [tier]: { ...known, time, level } },
  };
}

/** What is known of the clock and of those who wait, once these are counted in. @param corrections one of each person and tier */
export function counted<F extends Pick<Flow, 'tier' | 'userId' | 'givenMs'>>(
  clock: Clock,
  flows: readonly F[],
  corrections: readonly Correction[],
  rules: readonly TierRule[],
): { readonly clock: Clock; readonly flows: readonly F[] } {
  if (!corrections.length) return { clock, flows };
  const keyOf = ({ tier, userId }: Pick<Flow, 'tier' | 'userId'>) => `${tier} ${userId}`;
  const byKey = new Map(corrections.map((one) => [keyOf(one), one.ms]));
  const given = new Map(flows.map((flow) => [keyOf(flow), flow.givenMs]));
  return {
    clock: corrections.reduce(
      (so, one) => correctClock(so, one, given.get(keyOf(one)) ?? null, rules),
      clock,
    ),
    flows: flows.map((flow) => {
      const ms = byKey.get(keyOf(flow));
      return ms === undefined ? flow : { ...flow, givenMs: Math.max(0, flow.givenMs + ms) };
    }),
  };
}

const givenMs = (flow: Flow, { level }: Line) => Math.max(flow.givenMs, level);

function isBefore(a: Flow, b: Flow, line: Line): boolean {
  const ahead = givenMs(a, line) - givenMs(b, line) || a.since - b.since;
  return (
    ahead < 0 || (ahead === 0 && `${a.userId} ${a.loras} ${a.faceId}` < `${b.userId} ${b.loras} ${b.faceId}`)
  );
}

function least(flows: readonly Flow[], line: Line): Flow {
  return flows.reduce((first, other) => (isBefore(other, first, line) ? other : first));
}

/** Whether so much more leaves the person within a turn of those who were given least. */
function staysNear(flow: Flow, line: Line, moreMs: number, largestMs: number): boolean {
  return givenMs(flow, line) + moreMs <= line.level + largestMs;
}

/** A turn that is being put together. */
class Filling {
  readonly #lines: ReadonlyMap<string, Line>;
  readonly #present: number;
  readonly #largestMs: number;
  readonly #pictures: (Waiting & { flow: Flow })[] = [];
  /** GPU ms; by tier, and by tier and person */
  readonly #spent = new Map<string, number>();

  constructor(lines: readonly Line[], present: number, largestMs: number) {
    this.#lines = new Map(lines.map((line) => [line.rule.name, line]));
    this.#present = present;
    this.#largestMs = largestMs;
  }

  /** @param only true: no more than one picture of theirs, as it is not their turn by what they were given */
  fill(leader: Flow, only: boolean): void {
    const [first] = leader.pictures;
    this.#add(leader, first!);
    const line = this.#line(leader);
    const others = [...this.#lines.values()]
      .sort((a, b) => Number(b === line) - Number(a === line) || a.time - b.time)
      .flatMap((one) =>
        sorted(
          one.flows.filter(({ loras }) => loras === leader.loras),
          one,
        ),
      );
    // Round by round, so that a turn is shared by as many as there are.
    for (let round = 0; round < TURN_MAX; round++) {
      for (const flow of others) {
        if (this.#pictures.length === TURN_MAX) return;
        if (flow === leader && (only || round === 0)) continue;
        const picture = flow.pictures[round];
        if (picture?.shape === first!.shape && this.#mayHave(flow, picture)) this.#add(flow, picture);
      }
    }
  }

  #line({ tier }: Flow): Line {
    return this.#lines.get(tier)!;
  }

  #mayHave(flow: Flow, { costMs }: Waiting): boolean {
    const line = this.#line(flow);
    if (!staysNear(flow, line, this.#given(flow) + costMs, this.#largestMs)) return false;
    if (flow.tier === this.#pictures[0]?.flow.tier) return true;
    const { weight } = line.rule;
    const time = line.time + ((this.#spent.get(flow.tier) ?? 0) + costMs) / weight;
    return time <= this.#present + this.#largestMs / weight;
  }

  #given({ tier, userId }: Flow): number {
    return this.#spent.get(`${tier} ${userId}`) ?? 0;
  }

  #add(flow: Flow, picture: Waiting): void {
    this.#pictures.push({ ...picture, flow });
    for (const key of [flow.tier, `${flow.tier} ${flow.userId}`])
      this.#spent.set(key, (this.#spent.get(key) ?? 0) + picture.costMs);
  }

  end(before: Clock, overdue: boolean, now: number): Turn {
    const tiers: Record<string, TierClock> = { ...before.tiers };
    const given = new Map<string, Turn['given'][number]>();
    let costMs = 0;
    for (const { flow, ...picture } of this.#pictures) {
      const { tier, userId } = flow;
      const line = this.#line(flow);
      const known = tiers[tier] ?? { time: 0, level: 0 };
      costMs += picture.costMs;
      tiers[tier] = {
        time: line.time + (this.#spent.get(tier) ?? 0) / line.rule.weight,
        level: line.level,
        begun: (known.begun ?? 0) + 1,
        rate: rateOf(known, now) + picture.costMs / LATELY_MS,
        at: now,
      };
      given.set(`${tier} ${userId}`, { tier, userId, givenMs: givenMs(flow, line) + this.#given(flow) });
    }
    return {
      loras: this.#pictures[0]?.flow.loras ?? '',
      pictures: this.#pictures,
      given: [...given.values()],
      clock: { now: this.#present, largestMs: Math.max(before.largestMs * LARGEST_FADES, costMs), tiers },
      overdue,
    };
  }
}

/** What the largest turn counts for after another one: half after 700 turns. */
const LARGEST_FADES = 0.999;

function sorted(flows: readonly Flow[], line: Line): Flow[] {
  return [...flows].sort((a, b) => (isBefore(a, b, line) ? -1 : 1));
}
