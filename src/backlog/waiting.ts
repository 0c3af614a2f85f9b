/** What waits, in memory, and of it what the order looks at: as flows.ts has it in rows and indexes. */
import { type Flow, LOOK, TURN_MAX, type Turn, type Waiting, type Warm } from './order.ts';

interface Person {
  readonly tier: string;
  readonly userId: string;
  givenMs: number;
  since: number;
  readonly flows: Set<MutableFlow>;
}

interface MutableFlow extends Flow {
  readonly person: Person;
  readonly pictures: Waiting[];
  /** where more of them come from, once the first are taken */
  readonly later: Iterator<Waiting>[];
  givenMs: number;
  since: number;
}

/** Flows by what their people were given. */
class Sorted {
  readonly flows: MutableFlow[] = [];

  #placeOf(flow: MutableFlow): number {
    let [low, high] = [0, this.flows.length];
    while (low < high) {
      const middle = (low + high) >> 1;
      if (isBefore(this.flows[middle]!, flow)) low = middle + 1;
      else high = middle;
    }
    return low;
  }

  add(flow: MutableFlow): void {
    this.flows.splice(this.#placeOf(flow), 0, flow);
  }

  remove(flow: MutableFlow): void {
    this.flows.splice(this.flows.indexOf(flow, this.#placeOf(flow)), 1);
  }
}

function isBefore(a: Flow, b: Flow): boolean {
  return a.givenMs !== b.givenMs ? a.givenMs < b.givenMs : a.since < b.since;
}

class Line {
  readonly #byGiven = new Map<string | null, Sorted>();
  /** those who wait longest first: whoever had a turn goes to the end */
  readonly #byAge = new Map<string | null, Set<MutableFlow>>();

  get all(): readonly MutableFlow[] {
    return this.#byGiven.get(null)?.flows ?? [];
  }

  add(flow: MutableFlow): void {
    for (const key of [null, flow.loras]) {
      entry(this.#byGiven, key, () => new Sorted()).add(flow);
      entry(this.#byAge, key, () => new Set<MutableFlow>()).add(flow);
    }
  }

  remove(flow: MutableFlow): void {
    for (const key of [null, flow.loras]) {
      this.#byGiven.get(key)?.remove(flow);
      this.#byAge.get(key)?.delete(flow);
    }
  }

  look(warm: Warm, found: Set<Flow>): void {
    for (const key of [null, ...warm.loras]) {
      const sorted = this.#byGiven.get(key)?.flows ?? [];
      for (let i = 0; i < Math.min(LOOK, sorted.length); i++) found.add(sorted[i]!);
      for (const oldest of this.#byAge.get(key) ?? []) {
        found.add(oldest);
        break;
      }
    }
  }
}

export class Backlog {
  readonly #lines = new Map<string, Line>();
  /** by tier and person, for good: what somebody was given counts when they come back */
  readonly #people = new Map<string, Person>();

  add(
    { tier, userId, loras, faceId }: Pick<Flow, 'tier' | 'userId' | 'loras' | 'faceId'>,
    pictures: Iterable<Waiting>,
    now: number,
  ): void {
    const person = entry(this.#people, `${tier} ${userId}`, () => ({
      tier,
      userId,
      givenMs: 0,
      since: now,
      flows: new Set<MutableFlow>(),
    }));
    const later = [pictures[Symbol.iterator]()];
    for (const flow of person.flows) {
      if (flow.loras !== loras || flow.faceId !== faceId) continue;
      flow.later.push(...later);
      refill(flow);
      return;
    }
    if (!person.flows.size) person.since = now;
    const { givenMs, since } = person;
    const flow = { tier, userId, loras, faceId, givenMs, since, pictures: [], later, person };
    refill(flow);
    person.flows.add(flow);
    entry(this.#lines, tier, () => new Line()).add(flow);
  }

  /** With what its person was given so far, and since when they wait. */
  put(flow: Omit<Flow, 'pictures'>, pictures: Iterable<Waiting>): void {
    const { tier, userId, givenMs, since } = flow;
    if (!this.#people.has(`${tier} ${userId}`))
      this.#people.set(`${tier} ${userId}`, { tier, userId, givenMs, since, flows: new Set() });
    this.add(flow, pictures, since);
  }

  look(warm: Warm): Flow[] {
    const found = new Set<Flow>();
    for (const line of this.#lines.values()) line.look(warm, found);
    return [...found];
  }

  all(tier: string): readonly Flow[] {
    return this.#lines.get(tier)?.all ?? [];
  }

  take({ pictures, given }: Turn, now: number): void {
    for (const { flow, id } of pictures) {
      const own = flow as MutableFlow;
      const place = own.pictures.findIndex((one) => one.id === id);
      if (place < 0 || place >= TURN_MAX) throw new Error('The order gave away what does not wait');
      own.pictures.splice(place, 1);
      refill(own);
    }
    for (const { tier, userId, givenMs } of given) {
      const person = this.#people.get(`${tier} ${userId}`)!;
      this.#move(person, givenMs, now);
    }
  }

  /**
   * What a turn took beside what it was said to.
   *
   * @returns GPU ms that the person had been given before that was known; null when they wait for nothing
   */
  correct(tier: string, userId: string, byMs: number): number | null {
    const person = this.#people.get(`${tier} ${userId}`)!;
    const before = person.flows.size ? person.givenMs : null;
    this.#move(person, Math.max(0, person.givenMs + byMs), person.since);
    return before;
  }

  #move(person: Person, givenMs: number, since: number): void {
    const line = this.#lines.get(person.tier)!;
    for (const flow of person.flows) line.remove(flow);
    Object.assign(person, { givenMs, since });
    for (const flow of person.flows) {
      if (flow.pictures.length) line.add(Object.assign(flow, { givenMs, since }));
      else person.flows.delete(flow);
    }
  }
}

/** The order looks at the first of a flow: as many are there, and the others wait to be made. */
function refill({ pictures, later }: MutableFlow): void {
  while (pictures.length < TURN_MAX && later[0]) {
    const { done, value } = later[0].next();
    if (done) later.shift();
    else pictures.push(value);
  }
}

function entry<K, V>(map: Map<K, V>, key: K, make: () => V): V {
  const known = map.get(key);
  if (known !== undefined) return known;
  const made = make();
  map.set(key, made);
  return made;
}
