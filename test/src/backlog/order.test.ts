import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  type Clock,
  type Flow,
  flowsAfter,
  nextTurn,
  startOfTime,
  type TierRule,
  TURN_MAX,
  type Turn,
  type Warm,
} from '#src/backlog/order.ts';
import { Backlog } from '#src/backlog/waiting.ts';
import { newTeller, simulate } from '#test/bench/fairness/simulation.ts';

const RULES: readonly TierRule[] = [
  { name: 'turbo', weight: 8, targetMs: 2_000, capMs: null },
  { name: 'fast', weight: 3, targetMs: 10_000, capMs: null },
  { name: 'relax', weight: 1, targetMs: 300_000, capMs: 600_000 },
];
const COLD: Warm = { loras: new Set(), faceIds: new Set() };
const warm = (loras: string, ...faceIds: string[]): Warm => ({
  loras: new Set([loras]),
  faceIds: new Set(faceIds),
});

let ids = 0;
function flow(tier: string, userId: string, pictures: number, changes: Partial<Flow> = {}): Flow {
  const waiting = Array.from({ length: pictures }, () => ({ id: `${++ids}`, costMs: 100, shape: 'a' }));
  const base = { tier, userId, loras: '', faceId: null, givenMs: 0, since: 0 };
  return { ...base, pictures: waiting, ...changes };
}

const choose = (flows: readonly Flow[], about: Warm = COLD, clock: Clock = startOfTime, now = 0) =>
  nextTurn(clock, flows, about, RULES, now)!;
const people = ({ pictures }: Turn) => pictures.map(({ flow: { userId } }) => userId).join(' ');

/** Who is begun, turn by turn, until nothing waits. */
function all(flows: readonly Flow[], about = COLD): string[] {
  const backlog = new Backlog();
  for (const { pictures, ...one } of flows) backlog.put(one, pictures);
  const turns: string[] = [];
  let clock = startOfTime;
  for (;;) {
    const turn = nextTurn(clock, backlog.look(about), about, RULES, 0);
    if (!turn) return turns;
    turns.push(people(turn));
    backlog.take(turn, 0);
    clock = turn.clock;
  }
}

describe('a turn', () => {
  it('is shared by as many as wait for what can be drawn together, four at most', () => {
    expect(all([flow('fast', 'a', 6), flow('fast', 'b', 1, { since: 1 })])).toEqual(['a b a a', 'a a a']);
    const five = ['a', 'b', 'c', 'd', 'e'].map((who, since) => flow('fast', who, 1, { since }));
    expect(all(five)).toEqual(['a b c d', 'e']);
  });

  it('has pictures of one shape and one set of LoRAs alone', () => {
    const wide = [{ id: 'wide', costMs: 100, shape: 'wide' }];
    const others = [
      flow('fast', 'b', 1, { since: 1, loras: 'film' }),
      flow('fast', 'c', 1, { since: 2, pictures: wide }),
    ];
    expect(all([flow('fast', 'a', 1), ...others])).toEqual(['a', 'b', 'c']);
  });

  it('may be shared by another tier, as far as that is not ahead of its own', () => {
    expect(people(choose([flow('turbo', 't', 1), flow('relax', 'r', 9, { since: 1 })]))).toBe('t r r r');
    const ahead = { ...startOfTime, tiers: { relax: { time: 9_000, level: 0 } } };
    const both = [flow('turbo', 't', 1), flow('relax', 'r', 9, { since: 1 })];
    expect(people(choose(both, COLD, ahead))).toBe('t');
  });
});

describe('whose turn it is', () => {
  it('is who was given least, and of those alike who waits longest', () => {
    const flows = [
      flow('fast', 'much', 1, { givenMs: 900, loras: 'x' }),
      flow('fast', 'later', 1, { since: 5, loras: 'y' }),
      flow('fast', 'first', 1, { since: 4, loras: 'z' }),
    ];
    expect(all(flows)).toEqual(['first', 'later', 'much']);
  });

  it('does not go by what somebody did not ask for earlier: who comes back is lifted to the others', () => {
    const clock = { ...startOfTime, tiers: { fast: { time: 0, level: 5_000 } } };
    const back = flow('fast', 'back', 1, { givenMs: 100, loras: 'x' });
    const { given } = choose([back, flow('fast', 'stayed', 1, { givenMs: 5_000, since: 1 })], COLD, clock);
    expect(given).toEqual([{ tier: 'fast', userId: 'back', givenMs: 5_100 }]);
  });

  it('is the tier’s that is behind, by weight', () => {
    // No two can be drawn together.
    const many = (tier: string) =>
      flow(tier, tier, 0, {
        pictures: Array.from({ length: 40 }, () => ({ id: `${++ids}`, costMs: 100, shape: `${++ids}` })),
      });
    const turns = all([many('turbo'), many('fast'), many('relax')]).slice(0, 48);
    const of = (tier: string) => turns.filter((who) => who === tier).length;
    expect([of('turbo'), of('fast'), of('relax')]).toEqual([32, 12, 4]);
  });

  it('is somebody’s whose weights are warm, and rather whose face is, as long as nobody is left a turn behind', () => {
    const film = flow('fast', 'film', 1, { since: 9, loras: 'film' });
    const ada = flow('fast', 'ada', 1, { since: 10, loras: 'film', faceId: 'ada' });
    expect(people(choose([flow('fast', 'plain', 1), film], warm('film')))).toBe('film');
    expect(choose([flow('fast', 'plain', 1), film, ada], warm('film', 'ada')).pictures[0]?.flow.userId).toBe(
      'ada',
    );
    const ahead = { ...film, givenMs: 350 };
    expect(people(choose([flow('fast', 'plain', 1), ahead], warm('film')))).toBe('plain');
  });

  it('is not a warm one’s once somebody has waited half of the target; unless that can’t be kept anyhow', () => {
    const both = [flow('fast', 'plain', 1), flow('fast', 'film', 1, { since: 9, loras: 'film' })];
    const at = (now: number) => people(choose(both, warm('film'), startOfTime, now));
    expect([4_900, 5_100, 19_900, 20_100].map(at)).toEqual(['film', 'plain', 'plain', 'film']);
  });

  it('is somebody’s though the clock steps back by hours', () => {
    const hours = 10 * 3_600_000;
    const flows = [flow('relax', 'r', 3, { since: hours }), flow('turbo', 't', 1, { since: hours })];
    const ahead = { now: 50, largestMs: 400, tiers: { turbo: { time: 50, level: 9, rate: 3, at: hours } } };
    const { clock, overdue } = choose(flows, COLD, ahead, 0);
    expect(overdue).toBe(false);
    expect(clock.tiers.turbo).toMatchObject({ rate: 3 + 100 / 20_000, at: 0 });
    expect(Number.isFinite(clock.now)).toBe(true);
  });

  it('is nobody’s of a tier that is not there any more', () => {
    expect(people(choose([flow('gold', 'g', 1), flow('relax', 'r', 1)]))).toBe('r');
    expect(nextTurn(startOfTime, [flow('gold', 'g', 1)], COLD, RULES, 0)).toBeNull();
  });

  it('is not a warm one’s of another tier when the tier that is behind has waited', () => {
    const both = [flow('turbo', 't', 1), flow('fast', 'f', 1, { loras: 'film' })];
    expect(people(choose(both, warm('film'), startOfTime, 100))).toBe('f');
    expect(people(choose(both, warm('film'), startOfTime, 600))).toBe('t');
  });

  it('is before all others’ who has waited half of a tier’s cap', () => {
    const clock = { ...startOfTime, tiers: { relax: { time: 1e9, level: 0 } } };
    const flows = [flow('turbo', 't', 1, { since: 299_000 }), flow('relax', 'r', 5, { since: 0 })];
    expect(people(choose(flows, COLD, clock, 299_000))).toBe('t');
    const late = choose(flows, COLD, clock, 301_000);
    expect([people(late), late.overdue]).toEqual(['r t', true]);
  });

  it('is nobody’s when nothing waits', () => {
    expect(nextTurn(startOfTime, [], COLD, RULES, 0)).toBeNull();
  });
});

const anyFlow = fc.record({
  tier: fc.constantFrom('turbo', 'fast', 'relax'),
  user: fc.nat(60),
  loras: fc.constantFrom('', 'film', 'ink'),
  faceId: fc.constantFrom(null, 'ada', 'bob'),
  givenMs: fc.nat(3_000),
  since: fc.nat(500_000),
  pictures: fc.array(fc.constantFrom('a', 'b'), { minLength: 1, maxLength: 5 }),
});

describe('whatever waits', () => {
  it('a turn is the same by what LOOK names as by all that waits', () => {
    fc.assert(
      fc.property(fc.array(anyFlow, { minLength: 1, maxLength: 200 }), fc.nat(600_000), (flows, now) => {
        const backlog = new Backlog();
        for (const { user, pictures, givenMs, since, ...one } of flows) {
          const waiting = pictures.map((shape) => ({ id: `${++ids}`, costMs: 100, shape }));
          backlog.put({ ...one, userId: `${user}`, givenMs, since }, waiting);
        }
        const about = { loras: new Set(['', 'film']), faceIds: new Set(['ada']) };
        const first = (turn: Turn | null) => {
          const [picture] = turn?.pictures ?? [];
          return picture && [picture.flow.tier, picture.flow.userId, picture.flow.loras, turn?.overdue];
        };
        const everything = RULES.flatMap(({ name }) => backlog.all(name));
        const looked = nextTurn(startOfTime, backlog.look(about), about, RULES, now);
        // Whose face is warm is looked for among the first sixteen alone.
        const faceless = { ...about, faceIds: new Set<string>() };
        expect(first(nextTurn(startOfTime, backlog.look(faceless), faceless, RULES, now))).toEqual(
          first(nextTurn(startOfTime, everything, faceless, RULES, now)),
        );
        expect(looked!.pictures.length).toBeLessThanOrEqual(TURN_MAX);
        expect(new Set(looked!.pictures.map(({ shape, flow: { loras } }) => `${shape} ${loras}`)).size).toBe(
          1,
        );
        expect(new Set(looked!.pictures.map(({ id }) => id)).size).toBe(looked!.pictures.length);
      }),
    );
  });

  it('four of five end within what their people were told, who learn from each other', () => {
    const teller = newTeller();
    const kept = [0.9, 1.3, 0.9, 1.3].flatMap((load, seed) => {
      const { kept, unseen } = simulate({ seed, load, policy: 'fair', minutes: 2, rules: RULES, teller });
      expect(unseen).toBeLessThan(kept.length / 10);
      return kept;
    });
    expect(kept.length).toBeGreaterThan(600);
    const inRange = kept.filter((one) => one.inRange).length / kept.length;
    expect(inRange).toBeGreaterThan(0.75);
    expect(inRange).toBeLessThan(0.85);
  });

  it.each([0.9, 1.3, 10])('the bounds hold at a load of %f', (load) => {
    for (let seed = 1; seed <= 2; seed++) {
      const { gap, shareMissing, delay, idleMs, waitsMs } = simulate({
        seed,
        load,
        policy: 'fair',
        minutes: 4,
        rules: RULES,
      });
      expect(gap).toBeLessThanOrEqual(2);
      expect(shareMissing ?? 0).toBeLessThan(0.01);
      if (load === 10) expect(shareMissing).not.toBeNull();
      expect(delay).toBeLessThanOrEqual(1);
      expect(idleMs).toBe(0);
      expect(Math.max(...waitsMs.relax!)).toBeLessThan(600_000);
    }
  });
});

describe('what waits after a turn', () => {
  it('is what it left, of people who were given it, so that the turn after it can be told', () => {
    const flows = [
      flow('fast', 'ada', 2),
      flow('fast', 'ben', 3, { loras: 'noir', givenMs: 150 }),
      flow('relax', 'eve', 1, { loras: 'golden-hour' }),
    ];
    const turn = choose(flows);
    expect(people(turn)).toBe('ada ada');
    const left = flowsAfter(turn, flows);
    expect(left.map(({ userId, pictures }) => [userId, pictures.length])).toEqual([
      ['ben', 3],
      ['eve', 1],
    ]);
    expect(choose(left, COLD, turn.clock).loras).toBe('golden-hour');
    expect(choose(left, warm('noir'), turn.clock).loras).toBe('noir');
  });

  it('may be more than was seen: one of a flow that a turn took whole stands for it', () => {
    const flows = [flow('fast', 'ada', TURN_MAX)];
    const turn = choose(flows);
    const [left] = flowsAfter(turn, flows);
    expect(left).toMatchObject({ userId: 'ada', givenMs: TURN_MAX * 100 });
    expect(left!.pictures).toEqual(flows[0]!.pictures.slice(-1));
    expect(flowsAfter(turn, [flow('fast', 'ben', 1)])).toHaveLength(1);
  });
});
