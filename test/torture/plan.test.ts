import { describe, expect, it } from 'vitest';
import { type Fault, LANES, makePlan } from './plan.ts';

const plans = [1, 2, 3].flatMap((seed) =>
  (['redis', 'postgres'] as const).map((backend) => makePlan(5, seed, backend)),
);

describe('a plan', () => {
  it('is the same for the same seed, and another for another', () => {
    expect(makePlan(5, 7, 'redis')).toEqual(makePlan(5, 7, 'redis'));
    expect(makePlan(5, 7, 'redis').typed).not.toEqual(makePlan(5, 8, 'redis').typed);
    expect(makePlan(5, 7, 'redis').faults).not.toEqual(makePlan(5, 8, 'redis').faults);
  });

  it('begins as a longer one does', () => {
    const [short, long] = [makePlan(1.5, 7, 'postgres'), makePlan(5, 7, 'postgres')];
    expect(long.faults.slice(0, short.faults.length)).toEqual(short.faults);
  });

  it.each(plans)(
    'of seed $seed on $backend types and breaks everything that there is',
    ({ typed, faults, backend }) => {
      const kinds = typed.map(({ deed }) => (deed.kind === 'press' ? deed.button : deed.kind));
      for (const kind of [
        'imagine',
        'sweep',
        'face test',
        'faces add',
        'set',
        'batch.cancel',
        'review.approve',
      ])
        expect(kinds).toContain(kind);
      expect(new Set(typed.map(({ lane }) => lane)).size).toBe(LANES.length);
      expect(typed.filter(({ twice }) => twice).length).toBeGreaterThan(10);
      expect(typed.some(({ deed }) => deed.kind === 'imagine' && deed.face)).toBe(true);

      const named = faults.map(({ fault }) =>
        'target' in fault ? `${fault.kind} ${fault.target}` : fault.kind,
      );
      for (const what of [
        /^kill worker/,
        /^pause worker/,
        /^(kill|pause|term) (bot|shards)$/,
        /postgres$/,
        /^discord$/,
      ])
        expect(named.some((name) => what.test(name))).toBe(true);
      expect(named.some((name) => /redis/.test(name))).toBe(backend === 'redis');
    },
  );

  it.each(plans)('of seed $seed on $backend lets each thing end before it is broken again', ({ faults }) => {
    const until = new Map<string, number>();
    const targetOf = (fault: Fault) => ('target' in fault ? fault.target : fault.kind);
    for (const { atMs, fault } of faults) {
      expect(until.get(targetOf(fault)) ?? 0).toBeLessThanOrEqual(atMs);
      until.set(targetOf(fault), atMs + ('ms' in fault ? fault.ms : 0));
      if (fault.kind === 'pause') expect([fault.ms >= 3_000, fault.ms <= 18_000]).toEqual([true, true]);
    }
  });
});
