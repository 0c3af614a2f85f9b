/** Which bundle a worker draws with next. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { type Candidate, nextBundle, STAY } from '#src/backlog/bundles-order.ts';
import type { TierRule } from '#src/backlog/order.ts';

const RULES: readonly TierRule[] = [
  { name: 'turbo', weight: 8, targetMs: 2_000, capMs: null },
  { name: 'fast', weight: 3, targetMs: 10_000, capMs: null },
  { name: 'relax', weight: 1, targetMs: 300_000, capMs: 600_000 },
];
const NOW = 1_000_000;
/** A bundle in which somebody of each tier has waited for so long, ms. */
const waits = (bundle: string, tiers: Record<string, number>, more: Partial<Candidate> = {}): Candidate => ({
  bundle,
  flows: Object.entries(tiers).map(([tier, ms]) => ({ tier, since: NOW - ms })),
  state: 'warm',
  hasRoom: false,
  isElsewhere: false,
  loadMs: 4_000,
  ...more,
});
const cold = { state: 'cold' } as const;
const choose = (candidates: readonly Candidate[], stayUntil = 0) =>
  nextBundle(candidates, RULES, stayUntil, NOW);

describe('of bundles in memory', () => {
  it('the one is next in which somebody has waited longest by their target', () => {
    expect(choose([waits('a', { fast: 4_000 }), waits('b', { turbo: 1_000 })]).draw).toBe('b');
    expect(choose([waits('a', { fast: 6_000 }), waits('b', { turbo: 1_000 })]).draw).toBe('a');
    expect(choose([waits('a', { fast: 1, relax: 200_000 }), waits('b', { turbo: 1_000 })]).draw).toBe('a');
  });

  it('one whose tier would break its cap comes before all others', () => {
    const late = waits('a', { relax: 310_000 });
    expect(choose([late, waits('b', { turbo: 60_000 })]).draw).toBe('a');
    expect(choose([waits('a', { relax: 290_000 }), waits('b', { turbo: 60_000 })]).draw).toBe('b');
  });
});

describe('a bundle that is not in memory', () => {
  it('waits until somebody has waited for their target in it, while another is drawn with', () => {
    expect(choose([waits('a', { fast: 50_000 }), waits('b', { fast: 9_999 }, cold)])).toEqual({
      draw: 'a',
      load: null,
    });
    expect(choose([waits('a', { fast: 50_000 }), waits('b', { fast: 10_000 }, cold)])).toEqual({
      draw: 'a',
      load: 'b',
    });
  });

  it('is loaded so early that it is ready by then, where it crowds nothing out', () => {
    const early = (ms: number) => waits('b', { fast: ms }, { ...cold, hasRoom: true });
    expect(choose([waits('a', { fast: 0 }), early(5_999)]).load).toBeNull();
    expect(choose([waits('a', { fast: 0 }), early(6_000)]).load).toBe('b');
  });

  it('crowds nothing out that was not drawn with for long enough, and waits for none where it does not', () => {
    const late = { fast: 90_000 };
    expect(choose([waits('a', { fast: 0 }), waits('b', late, cold)], NOW + 1).load).toBeNull();
    expect(choose([waits('a', { fast: 0 }), waits('b', late, cold)], NOW).load).toBe('b');
    expect(
      choose([waits('a', { fast: 0 }), waits('b', late, { ...cold, hasRoom: true })], NOW + 1).load,
    ).toBe('b');
  });

  it('is left for a while to another worker that has it in memory', () => {
    const there = { ...cold, isElsewhere: true };
    expect(choose([waits('b', { fast: 2_499 }, there)]).load).toBeNull();
    expect(choose([waits('b', { fast: 2_500 }, there)]).load).toBe('b');
  });

  it('is loaded at once where nothing else waits, and one at a time', () => {
    expect(choose([waits('b', { relax: 0 }, cold)], NOW + 9)).toEqual({ draw: null, load: 'b' });
    expect(choose([waits('b', { relax: 0 }, cold), waits('c', { fast: 1 }, cold)])).toEqual({
      draw: null,
      load: 'c',
    });
    expect(choose([waits('b', { fast: 0 }, cold), waits('c', {}, { state: 'loading' })])).toEqual({
      draw: null,
      load: null,
    });
  });
});

it('no worker is idle while anything waits that it has in memory, or can load', () => {
  const candidate = fc.record({
    tier: fc.constantFrom('turbo', 'fast', 'relax'),
    ms: fc.nat(700_000),
    state: fc.constantFrom('warm', 'loading', 'cold'),
    hasRoom: fc.boolean(),
  });
  fc.assert(
    fc.property(fc.array(candidate, { minLength: 1, maxLength: 6 }), fc.boolean(), (some, stays) => {
      const candidates = some.map(({ tier, ms, ...more }, i) => waits(`b${i}`, { [tier]: ms }, more));
      const { draw, load } = choose(candidates, stays ? NOW + 1 : 0);
      const stateOf = (name: string | null) => candidates.find(({ bundle }) => bundle === name)?.state;
      expect(draw === null).toBe(!candidates.some(({ state }) => state === 'warm'));
      if (draw !== null) expect(stateOf(draw)).toBe('warm');
      if (load !== null) expect(stateOf(load)).toBe('cold');
      if (draw === null && !candidates.some(({ state }) => state === 'loading')) expect(load).not.toBeNull();
    }),
  );
});

/**
 * A worker with memory for one or both of two bundles, and somebody always waiting for each.
 *
 * @returns how long somebody waited at most in each, how long was loaded and drawn, ms
 */
function run({
  room,
  turnMs,
  loadMs,
  tiers,
  turns,
}: {
  room: boolean;
  turnMs: number;
  loadMs: number;
  tiers: readonly [string, string];
  turns: number;
}) {
  const bundles = tiers.map((tier, i) => ({
    name: `b${i}`,
    tier,
    since: 0,
    warm: room || i === 0,
    longest: 0,
  }));
  let [now, loaded, drawn, stayUntil, loads] = [0, 0, 0, 0, 0];
  for (let turn = 0; turn < turns; ) {
    const { draw, load } = nextBundle(
      bundles.map(({ name, tier, since, warm }) => ({
        bundle: name,
        flows: [{ tier, since }],
        state: warm ? 'warm' : 'cold',
        hasRoom: room,
        isElsewhere: false,
        loadMs,
      })),
      RULES,
      stayUntil,
      now,
    );
    if (load !== null) {
      for (const bundle of bundles) bundle.warm = bundle.name === load;
      now += loadMs;
      loaded += loadMs;
      loads++;
      stayUntil = now + STAY * loadMs;
      continue;
    }
    const next = bundles.find(({ name }) => name === draw);
    if (!next) throw new Error('It was idle');
    next.longest = Math.max(next.longest, now - next.since);
    now += turnMs;
    drawn += turnMs;
    next.since = now;
    turn++;
  }
  return { longest: bundles.map(({ longest }) => longest), loaded, drawn, loads };
}

describe('a worker that always has something of two bundles to draw', () => {
  const tier = fc.constantFrom('turbo', 'fast', 'relax');

  it('gives each of two that are in memory its turns: nobody waits longer than by their targets', () => {
    fc.assert(
      fc.property(fc.integer({ min: 100, max: 20_000 }), tier, tier, (turnMs, one, other) => {
        const { longest } = run({ room: true, turnMs, loadMs: 0, tiers: [one, other], turns: 600 });
        const target = (name: string) => RULES.find((rule) => rule.name === name)!.targetMs;
        // The other one waits for a turn at most when it is chosen again, and each turn is one.
        for (const [i, [own, others]] of [
          [one, other],
          [other, one],
        ].entries())
          expect(longest[i]).toBeLessThanOrEqual(turnMs * (target(own!) / target(others!) + 2));
      }),
    );
  });

  it('loads for at most a quarter of the time where memory has room for one, and lets neither starve', () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 100, max: 20_000 }),
        fc.integer({ min: 100, max: 60_000 }),
        tier,
        tier,
        (turnMs, loadMs, one, other) => {
          const turns = 4_000;
          const { longest, loaded, drawn, loads } = run({
            room: false,
            turnMs,
            loadMs,
            tiers: [one, other],
            turns,
          });
          // The first load of all follows on nothing.
          expect(loaded - loadMs).toBeLessThanOrEqual(drawn / STAY);
          const target = (name: string) => RULES.find((rule) => rule.name === name)!.targetMs;
          const stay = Math.max(STAY * loadMs, target(one), target(other)) + turnMs;
          if (loads > 2)
            for (const ms of longest) expect(ms).toBeLessThanOrEqual(2 * (stay + loadMs) + turnMs);
        },
      ),
      { numRuns: 50 },
    );
  });
});
