import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { type Backlog, type Flow, inOrder, type Turn } from '#src/backlog/order.ts';

const TIERS = ['turbo', 'fast', 'relax'];

function flow(tier: string, userId: string, pictures: number, changes: Partial<Flow> = {}): Flow {
  const runs = [{ batchId: `${userId} in ${tier}`, pictures, steps: 20 * pictures }];
  return { tier, userId, servedAt: null, since: 0, runs, ...changes };
}
const backlog = (...flows: Flow[]): Backlog => ({ flows, tierServedAt: servedIn(flows) });

function servedIn(flows: readonly Flow[]): Map<string, number> {
  const served = new Map<string, number>();
  for (const { tier, servedAt } of flows)
    if (servedAt !== null) served.set(tier, Math.max(served.get(tier) ?? 0, servedAt));
  return served;
}

const people = (turns: Iterable<Turn>) => [...turns].map(({ userId }) => userId).join(' ');
const order = (of: Backlog) => inOrder(of, TIERS);

describe('the order', () => {
  it('lets people take turns, and a person’s own pictures come as they were asked for', () => {
    expect(people(order(backlog(flow('fast', 'a', 3), flow('fast', 'b', 1, { since: 1 }))))).toBe('a b a a');
    const two = flow('fast', 'a', 0, {
      runs: [
        { batchId: 'first', pictures: 2, steps: 60, ids: ['1', '2'] },
        { batchId: 'second', pictures: 1, steps: 20, ids: ['3'] },
      ],
    });
    expect([...order(backlog(two))].map(({ batchId, steps, id }) => [batchId, steps, id])).toEqual([
      ['first', 30, '1'],
      ['first', 30, '2'],
      ['second', 20, '3'],
    ]);
  });

  it('begins with whom it served longest ago, and with who was never served before them', () => {
    const all = backlog(
      flow('fast', 'lately', 1, { servedAt: 9 }),
      flow('fast', 'earlier', 1, { servedAt: 5 }),
      flow('fast', 'never', 1, { since: 100 }),
    );
    expect(people(order(all))).toBe('never earlier lately');
  });

  it('lets tiers take turns, whichever was served last, so that a flood of one starves no other', () => {
    const flood = flow('turbo', 'flood', 4, { servedAt: 3 });
    expect(people(order(backlog(flood, flow('relax', 'patient', 1))))).toBe(
      'patient flood flood flood flood',
    );
    expect(people(order(backlog(flow('relax', 'r', 2), flow('turbo', 't', 2), flow('fast', 'f', 2))))).toBe(
      't f r t f r',
    );
  });

  it('does not make a tier wait for others that are empty', () => {
    expect(people(order({ flows: [flow('fast', 'a', 2)], tierServedAt: new Map([['fast', 7]]) }))).toBe(
      'a a',
    );
    expect(people(order(backlog()))).toBe('');
  });

  const anyBacklog = fc
    .uniqueArray(
      fc.record({
        tier: fc.constantFrom(...TIERS),
        userId: fc.constantFrom('a', 'b', 'c', 'd', 'e', 'f'),
        servedAt: fc.option(fc.nat(50)),
        since: fc.nat(50),
        runs: fc.array(fc.record({ pictures: fc.integer({ min: 1, max: 6 }), steps: fc.nat(300) }), {
          minLength: 1,
          maxLength: 3,
        }),
      }),
      { selector: ({ tier, userId }) => `${tier} ${userId}`, maxLength: 14 },
    )
    // No two admissions have the same time.
    .filter((flows) => distinct(flows.flatMap(({ servedAt }) => servedAt ?? [])))
    .map((flows) =>
      flows.map((one) => ({
        ...one,
        runs: one.runs.map((run, i) => ({ ...run, batchId: `${one.tier} ${one.userId} ${i}` })),
      })),
    );

  it('is the same whether it is taken at once or one by one, as admission takes it', () => {
    fc.assert(
      fc.property(anyBacklog, fc.nat(20), (flows, emptyTier) => {
        const tierServedAt = servedIn(flows);
        // A flow that is empty by now was served in its tier too.
        if (emptyTier) tierServedAt.set('fast', Math.max(tierServedAt.get('fast') ?? 0, 51 + emptyTier));
        const atOnce = [...order({ flows, tierServedAt })].map(({ batchId }) => batchId);

        const oneByOne: string[] = [];
        let now = 100;
        let left: readonly Flow[] = flows;
        for (;;) {
          const next = order({ flows: left, tierServedAt }).next().value;
          if (!next) break;
          oneByOne.push(next.batchId);
          now++;
          tierServedAt.set(next.tier, now);
          left = left.map((one) =>
            one.tier === next.tier && one.userId === next.userId ? { ...served(one), servedAt: now } : one,
          );
        }
        expect(oneByOne).toEqual(atOnce);
      }),
      { numRuns: 2_000 },
    );
  });

  it('delays nobody’s first picture by more than one picture a person and tier', () => {
    fc.assert(
      fc.property(anyBacklog, (flows) => {
        const turns = [...order(backlog(...flows))];
        for (const { tier, userId } of flows) {
          const first = turns.findIndex((turn) => turn.tier === tier && turn.userId === userId);
          const inTier = flows.filter((one) => one.tier === tier).length;
          // Before it: at most one of each other person of its tier, and as many in each other tier and one.
          expect(first).toBeLessThanOrEqual(inTier - 1 + (TIERS.length - 1) * inTier);
        }
        expect(turns).toHaveLength(flows.reduce((sum, { runs }) => sum + count(runs), 0));
      }),
    );
  });
});

const count = (runs: Flow['runs']) => runs.reduce((sum, { pictures }) => sum + pictures, 0);
const distinct = (values: readonly unknown[]) => new Set(values).size === values.length;

/** Without its first picture. */
function served(one: Flow): Flow {
  const [first, ...others] = one.runs;
  if (!first) return one;
  const rest = { ...first, pictures: first.pictures - 1, steps: first.steps - first.steps / first.pictures };
  return { ...one, runs: rest.pictures ? [rest, ...others] : others };
}
