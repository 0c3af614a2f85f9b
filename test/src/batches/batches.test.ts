import { describe, expect, expectTypeOf, it, onTestFinished, vi } from 'vitest';
import { limits, tokenGrants } from '#config/tiers.ts';
import { openBatch } from '#src/batches/batches.ts';
import { type Cell, cellKey } from '#src/batches/cells.ts';
import { endBatch } from '#src/batches/ending.ts';
import { openPlanned, planBatch } from '#src/batches/plans.ts';
import { hashOf } from '#src/canonical.ts';
import { db } from '#src/doors/db.ts';
import { queues } from '#src/doors/queue.ts';
import { rulesHash } from '#src/moderation/rule-set.ts';
import { balanceOf } from '#src/people/tokens.ts';
import { openedBatch } from '#test/support/opened.ts';
import { actor, cell, origin, request } from '#test/support/requests.ts';
import { startGeneration } from '#test/support/taking.ts';

const balance = (userId: string) => db.$transaction((tx) => balanceOf(tx, userId));

describe('openBatch', () => {
  it('writes batch, generations, charge and the early message together', async () => {
    const me = origin();
    const batch = await openedBatch(me, request([cell({ seed: 1 }), cell({ seed: 2 })]));

    expect(batch).toMatchObject({ state: 'open', ownerId: me.actor.id, charged: 2 });
    expect(await db.generation.count({ where: { batchId: batch.id, state: 'queued' } })).toBe(2);
    expect(await db.delivery.findMany({ where: { batchId: batch.id } })).toMatchObject([
      { kind: 'card', posted: 0 },
    ]);
    expect(await balance(me.actor.id)).toBe(tokenGrants.welcome + tokenGrants.daily - 2);
  });

  it('keeps whether it was asked for among adults, which whoever draws it is told', async () => {
    for (const [seed, ageRestricted] of [true, false].entries()) {
      const { id } = await openBatch(origin({ ageRestricted }), request([cell({ seed })]));
      expect(await db.batch.findUniqueOrThrow({ where: { id } })).toMatchObject({ ageRestricted });
      const { id: generationId } = await db.generation.findFirstOrThrow({ where: { batchId: id } });
      expect((await startGeneration(generationId, 'w'))?.batch).toMatchObject({ ageRestricted });
    }
  });

  it('accepts an interaction that is delivered five times at once exactly once', async () => {
    const me = origin();
    const opened = await Promise.all(Array.from({ length: 5 }, () => openBatch(me, request())));

    expect(new Set(opened.map(({ id }) => id)).size).toBe(1);
    expect(await db.generation.count({ where: { userId: me.actor.id } })).toBe(1);
    expect(await db.tokenEntry.count({ where: { userId: me.actor.id, reason: 'charge' } })).toBe(1);
  });

  it('waits for no queue, nor does what ends a batch: one that never answers keeps nobody', async () => {
    const add = vi.spyOn(queues(), 'add').mockReturnValue(new Promise(() => {}));
    onTestFinished(() => add.mockRestore());
    const batch = await openBatch(origin(), request([cell({ prompt: 'waits for nobody' })]));
    // One for workers and one for the courier. What comes while those are on their way waits for them.
    await expect.poll(() => add.mock.calls.map(([kind]) => kind).sort()).toEqual(['delivery', 'generation']);
    expect(await endBatch(batch.id, 'stopped')).toBe(true);
    expect(add).toHaveBeenCalledTimes(2);
  });

  it('lets two commands at once not both spend the last tokens', async () => {
    const person = actor();
    const cells = Array.from({ length: 350 }, (_, seed) => cell({ seed }, { steps: 40 }));
    const ask = () => openBatch(origin({ actor: person }), request(cells.slice(0, 250), { tier: 'fast' }));
    const results = await Promise.allSettled([ask(), ask()]);

    expect(results.map(({ status }) => status).sort()).toEqual(['fulfilled', 'rejected']);
    expect(await balance(person.id)).toBeGreaterThanOrEqual(0);
  });

  it('refuses what costs more than there is, and writes nothing', async () => {
    const me = origin();
    const dear = Array.from({ length: 100 }, (_, seed) => cell({ seed }, { steps: 150 }));
    await expect(openBatch(me, request(dear, { tier: 'turbo' }))).rejects.toMatchObject({
      code: 'tokens_short',
    });
    expect(await db.batch.count({ where: { ownerId: me.actor.id } })).toBe(0);
    expect(await db.generation.count({ where: { userId: me.actor.id } })).toBe(0);
  });

  it('says how many pictures are too many, and the limit', async () => {
    const many = Array.from({ length: limits.batch + 1 }, (_, seed) => cell({ seed }));
    await expect(openBatch(origin(), request(many))).rejects.toMatchObject({
      code: 'batch_limit',
      userMessage: expect.stringMatching(new RegExp(`${limits.batch + 1}.*${limits.batch}`)),
    });
  });

  it('refuses a person who is blocked', async () => {
    const person = actor();
    await db.user.create({ data: { id: person.id, blockedUntil: new Date(Date.now() + 60_000) } });
    await expect(openBatch(origin({ actor: person }), request())).rejects.toMatchObject({
      code: 'blocked_until',
    });
  });

  it('takes no prompt that was not checked: the compiler refuses it', () => {
    expectTypeOf<string>().not.toExtend<Cell['prompt']>();
  });

  it('charges and draws equal cells once', async () => {
    const me = origin();
    const twelve = Array.from({ length: 12 }, (_, i) => cell({ coordinates: { cell: `${i}` } }));
    const batch = await openBatch(me, request([...twelve, cell({ seed: 2 })]));
    expect(batch.charged).toBe(2);
    expect(
      await db.generation.findMany({ where: { batchId: batch.id }, orderBy: { index: 'asc' } }),
    ).toMatchObject([
      { index: 0, seed: 1n, price: 1, coordinates: { cell: '0' } },
      { index: 1, seed: 2n, price: 1, coordinates: {} },
    ]);
  });

  it('lets a negative prompt name what the rules refuse', async () => {
    const negative = cell({}, { negative_prompt: 'nsfw, nude, gore' });
    await expect(openBatch(origin(), request([negative]))).resolves.toBeDefined();
  });

  it('refuses a cell whose last steps follow a negative prompt alone, and writes nothing', async () => {
    const me = origin();
    const alone = cell({}, { negative_prompt: 'nsfw, nude', guidance_cutoff: 'unconditional' });
    for (const ask of [openBatch, planBatch])
      await expect(ask(me, request([cell(), alone]))).rejects.toMatchObject({ code: 'negative_alone' });
    expect(await db.batch.count({ where: { ownerId: me.actor.id } })).toBe(0);
    const without = cell({}, { guidance_cutoff: 'unconditional' });
    await expect(openBatch(me, request([without]))).resolves.toBeDefined();
  });
});

describe('plans', () => {
  it('charge nothing until they are run, and run once', async () => {
    const me = origin();
    const plan = await planBatch(me, request([cell()], { kind: 'sweep' }));
    expect(plan).toMatchObject({ pictures: 1, reused: 0, tokens: 1 });
    expect(await db.tokenEntry.count({ where: { userId: me.actor.id, reason: 'charge' } })).toBe(0);

    const results = await Promise.allSettled(
      [1, 2, 3].map(() => openPlanned(me, plan.batchId, plan.hash, false)),
    );
    expect(results.filter(({ status }) => status === 'fulfilled')).toHaveLength(1);
    expect(await db.generation.count({ where: { batchId: plan.batchId } })).toBe(1);
    expect(await db.tokenEntry.count({ where: { userId: me.actor.id, reason: 'charge' } })).toBe(1);
  });

  it('are run by nobody else, and by no other hash', async () => {
    const me = origin();
    const plan = await planBatch(me, request([cell()], { kind: 'sweep' }));
    await expect(openPlanned(origin(), plan.batchId, plan.hash, false)).rejects.toMatchObject({
      code: 'not_yours',
    });
    await expect(openPlanned(me, plan.batchId, '0'.repeat(16), false)).rejects.toMatchObject({
      code: 'plan_changed',
    });
  });

  it('take no more than they were said to cost', async () => {
    const me = origin();
    const plan = await planBatch(me, request([cell()], { kind: 'sweep' }));
    const { config } = await db.batch.findUniqueOrThrow({ where: { id: plan.batchId } });
    // As if its picture had been there to be copied when it was shown.
    await db.batch.update({
      where: { id: plan.batchId },
      data: { config: { ...(config as object), tokens: 0 } },
    });
    await expect(openPlanned(me, plan.batchId, plan.hash, false)).rejects.toMatchObject({
      code: 'plan_price',
      userMessage: expect.stringMatching(/went from 0 to 1 token\./),
    });
    expect(await db.generation.count({ where: { batchId: plan.batchId } })).toBe(0);
    expect(await db.tokenEntry.count({ where: { userId: me.actor.id, reason: 'charge' } })).toBe(0);
  });

  it('leave out a cell that stands twice, and say so', async () => {
    const me = origin();
    const plan = await planBatch(me, request([cell(), cell(), cell({ seed: 2 })], { kind: 'sweep' }));
    expect(plan).toMatchObject({ pictures: 2, equal: 1, reused: 0, tokens: 2 });
    await openPlanned(me, plan.batchId, plan.hash, false);
    expect(await db.generation.count({ where: { batchId: plan.batchId } })).toBe(2);
  });

  it('run only by the rules that their prompts were checked by', async () => {
    const planned = async (rules: string) => {
      const me = origin();
      const { batchId } = await planBatch(me, request([cell()], { kind: 'sweep' }));
      const { config } = await db.batch.findUniqueOrThrow({ where: { id: batchId } });
      const { cells } = config as { cells: object[] };
      const planHash = hashOf({ kind: 'sweep', cells, tier: 'fast', production: false, rules });
      await db.batch.update({ where: { id: batchId }, data: { planHash } });
      return openPlanned(me, batchId, planHash.slice(0, 16), false);
    };
    await expect(planned('of yesterday')).rejects.toMatchObject({
      code: 'plan_changed',
      userMessage: expect.stringContaining('from before an update'),
    });
    await expect(planned(rulesHash())).resolves.toBeDefined();
  });
});

describe('endBatch', () => {
  it('ends what waits and gives the tokens back, once', async () => {
    const me = origin();
    const batch = await openBatch(me, request([cell({ seed: 1 }), cell({ seed: 2 })]));
    const before = await balance(me.actor.id);

    expect(await endBatch(batch.id, 'cancelled')).toBe(true);
    expect(await endBatch(batch.id, 'cancelled')).toBe(false);
    expect(await balance(me.actor.id)).toBe(before + 2);
    expect(await db.batch.findUniqueOrThrow({ where: { id: batch.id } })).toMatchObject({
      state: 'cancelled',
      endedAt: expect.any(Date),
    });
  });
});

describe('cellKey', () => {
  it('changes with everything that changes pixels, and with nothing else', () => {
    const key = cellKey(cell(), null);
    expect(cellKey(cell({}, { tier: 'turbo', production_mode: true, seed: 9 }), null)).toBe(key);
    for (const other of [
      cell({ prompt: 'another' }),
      cell({ seed: 2 }),
      cell({}, { steps: 21 }),
      cell({}, { shape: 'square' }),
      cell({}, { negative_prompt: '' }),
    ]) {
      expect(cellKey(other, null)).not.toBe(key);
    }
    expect(cellKey(cell(), 'a face')).not.toBe(key);
  });
});
