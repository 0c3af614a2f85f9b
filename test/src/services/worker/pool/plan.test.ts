/** What goes out of memory for what comes in. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { type Kept, planFor, type Wanted } from '#src/services/worker/pool/plan.ts';

const bundle = (key: string, bytes: number, usedAt: number, more: Partial<Kept> = {}): Kept => ({
  key,
  within: null,
  level: 'demand',
  bytes,
  usedAt,
  inUse: false,
  ...more,
});
const inside = (within: string, key: string, bytes: number, usedAt: number, more: Partial<Kept> = {}): Kept =>
  bundle(key, bytes, usedAt, { within, ...more });
const wanted = (key: string, bytes: number, within: string | null = null): Wanted => ({ key, within, bytes });

describe('what comes into memory', () => {
  it('costs nothing where it is there, and nothing goes out where it fits', () => {
    const kept = [bundle('a', 6, 1), inside('a', 'film', 2, 2)];
    expect(planFor(8, kept, [wanted('a', 6), wanted('film', 2, 'a')])).toEqual({ fits: 'now', out: [] });
    expect(planFor(9, kept, [wanted('ink', 1, 'a')])).toEqual({ fits: 'now', out: [] });
  });

  it('takes the place of what was used longest ago, of whatever kind it is', () => {
    const kept = [bundle('a', 4, 5), inside('a', 'film', 2, 1), inside('a', 'ada', 1, 4), bundle('b', 2, 3)];
    expect(planFor(10, kept, [wanted('ink', 2, 'a')])).toEqual({ fits: 'now', out: ['film'] });
    expect(planFor(10, kept, [wanted('ink', 4, 'a')])).toEqual({ fits: 'now', out: ['film', 'b'] });
    expect(planFor(10, kept, [wanted('ink', 6, 'a')])).toEqual({ fits: 'now', out: ['film', 'b', 'ada'] });
  });

  it('takes a bundle out with all that lives within it, that first', () => {
    const kept = [bundle('a', 4, 2), inside('a', 'film', 2, 2), inside('a', 'ada', 1, 1)];
    expect(planFor(8, kept, [wanted('b', 6)])).toEqual({ fits: 'now', out: ['ada', 'film', 'a'] });
  });

  it('takes what is to be warm last, and what is pinned never', () => {
    const kept = [
      bundle('a', 4, 1, { level: 'warm' }),
      bundle('b', 4, 2),
      bundle('p', 4, 0, { level: 'pinned' }),
    ];
    expect(planFor(12, kept, [wanted('c', 4)])).toEqual({ fits: 'now', out: ['b'] });
    expect(planFor(12, kept, [wanted('c', 8)])).toEqual({ fits: 'now', out: ['b', 'a'] });
    expect(planFor(12, kept, [wanted('c', 9)])).toEqual({ fits: 'never', bytes: 9, pinned: 4 });
  });

  it('waits for what is drawn with, and for the bundle that it lives in', () => {
    const kept = [bundle('a', 4, 1), inside('a', 'film', 2, 1, { inUse: true })];
    expect(planFor(8, kept, [wanted('b', 4)])).toEqual({ fits: 'later' });
    expect(planFor(8, kept, [wanted('b', 9)])).toEqual({ fits: 'never', bytes: 9, pinned: 0 });
  });
});

/** Some bundles with some sets and faces within them. */
const memory = fc
  .array(
    fc.record({
      bytes: fc.integer({ min: 1, max: 40 }),
      usedAt: fc.nat(20),
      level: fc.constantFrom('pinned', 'warm', 'demand'),
      inUse: fc.boolean(),
      inside: fc.array(
        fc.record({ bytes: fc.integer({ min: 1, max: 10 }), usedAt: fc.nat(20), inUse: fc.boolean() }),
        { maxLength: 4 },
      ),
    }),
    { maxLength: 6 },
  )
  .map((bundles) =>
    bundles.flatMap(({ inside: within, ...own }, i): Kept[] => {
      const key = `b${i}`;
      const parts = within.map((one, j) =>
        inside(key, `${key}.${j}`, one.bytes, one.usedAt, { inUse: one.inUse }),
      );
      // A bundle is used with what lives within it.
      const usedAt = Math.max(own.usedAt, ...parts.map((part) => part.usedAt));
      return [
        bundle(
          key,
          own.bytes,
          usedAt,
          own.level === 'demand' ? { inUse: own.inUse } : { level: own.level, inUse: own.inUse },
        ),
        ...parts,
      ];
    }),
  );
const asked = fc.record({
  /** a bundle that may be there, and whether a set within it is asked for as well */
  bundle: fc.nat(7),
  bytes: fc.integer({ min: 1, max: 40 }),
  set: fc.option(fc.integer({ min: 1, max: 10 })),
});

describe('whatever is in memory and asked for', () => {
  it('the budget is kept; what is in use, pinned or asked for stays; and who goes was used before who stays', () => {
    fc.assert(
      fc.property(memory, asked, fc.nat(60), (kept, { bundle: number, bytes, set }, spare) => {
        // As it is in a pool: what there is, is within the budget.
        const sum = (some: readonly { bytes: number }[]) => some.reduce((total, one) => total + one.bytes, 0);
        const budget = sum(kept) + spare;
        const key = `b${number}`;
        const wants = [wanted(key, bytes), ...(set === null ? [] : [wanted(`${key}.new`, set, key)])];
        const plan = planFor(budget, kept, wants);
        const news = wants.filter((one) => !kept.some((other) => other.key === one.key));
        const needed = sum(news);
        const inUse = (one: Kept) =>
          one.inUse || kept.some((other) => other.within === one.key && other.inUse);
        const mayGo = (one: Kept) => one.level !== 'pinned' && !inUse(one) && one.key !== key;

        if (plan.fits !== 'now') {
          // Even with all out that may go there is no room.
          expect(sum(kept.filter((one) => !mayGo(one))) + needed).toBeGreaterThan(budget);
          const ever = kept.filter((one) => one.level === 'pinned' || one.key === key);
          expect(plan.fits === 'never').toBe(sum(ever) + needed > budget);
          return;
        }
        const gone = kept.filter((one) => plan.out.includes(one.key));
        const stay = kept.filter((one) => !plan.out.includes(one.key));
        expect(sum(stay) + needed).toBeLessThanOrEqual(budget);
        expect(new Set(plan.out).size).toBe(plan.out.length);
        for (const one of gone) expect(mayGo(one)).toBe(true);
        // Nothing is left within what is gone, and it goes before it.
        for (const one of kept.filter(({ within }) => within !== null && plan.out.includes(within)))
          expect(plan.out.indexOf(one.key)).toBeLessThan(plan.out.indexOf(one.within!));
        // No more goes than has to: without the last one it would not fit.
        const last = gone.find((one) => one.key === plan.out.at(-1));
        if (last?.within === null) {
          const parts = gone.filter(({ within }) => within === last.key);
          expect(sum(stay) + last.bytes + sum(parts) + needed).toBeGreaterThan(budget);
        } else if (last) expect(sum(stay) + last.bytes + needed).toBeGreaterThan(budget);
        // Who stays and might have gone was used later, or is to be warm.
        const went = gone.filter(({ within }) => within === null || !plan.out.includes(within));
        for (const one of went)
          for (const other of stay.filter(mayGo))
            if (one.level === other.level) expect(one.usedAt).toBeLessThanOrEqual(other.usedAt);
            else expect([one.level, other.level]).toEqual(['demand', 'warm']);
      }),
      { numRuns: 2_000 },
    );
  });
});
