import { beforeEach, describe, expect, it } from 'vitest';
import { tokenGrants } from '#config/tiers.ts';
import { WORKER_LOST_MS } from '#src/backlog/fleet.ts';
import { recountFlows } from '#src/backlog/flows.ts';
import { openBatch } from '#src/batches/batches.ts';
import {
  abandonGeneration,
  endBatch,
  endUnwanted,
  failGeneration,
  finishGeneration,
  handBack,
  putDown,
  rescueOrphans,
  reuseImage,
} from '#src/batches/ending.ts';
import { db } from '#src/doors/db.ts';
import { getFile, hasFile } from '#src/doors/storage.ts';
import { MAX_TAKEN, reportProgress } from '#src/generations/generations.ts';
import { deleteImage } from '#src/generations/images.ts';
import { verdictOf } from '#src/moderation/verdicts.ts';
import { balanceOf } from '#src/people/tokens.ts';
import { drawn } from '#test/support/drawn.ts';
import { filesIn } from '#test/support/files.ts';
import { actor, cell, origin, request, snowflake } from '#test/support/requests.ts';
import { STAFF_ID } from '#test/support/staff.ts';
import { startGeneration } from '#test/support/taking.ts';
import { usualPlace } from '#test/support/where.ts';

/** A batch of one by a new person, and its generation's id. */
async function opened(changes: Parameters<typeof cell>[0] = {}, person = actor()) {
  const batch = await openBatch(origin({ actor: person }), request([cell(changes)]));
  const { id } = await db.generation.findFirstOrThrow({ where: { batchId: batch.id } });
  return { person, batch, id, balance: () => db.$transaction((tx) => balanceOf(tx, person.id)) };
}
async function started(workerId = 'w1', changes: Parameters<typeof cell>[0] = {}) {
  const it = await opened(changes);
  const drawing = await startGeneration(it.id, workerId);
  if (!drawing) throw new Error('not started');
  return { ...it, drawing };
}
const goesOn = async (id: string, progress: number) =>
  (await reportProgress('w1', [{ id, progress, stage: 'base' }])).goOn.has(id);
const stateOf = async (id: string) => (await db.generation.findUniqueOrThrow({ where: { id } })).state;

beforeEach(async () => {
  await db.worker.deleteMany();
});

describe('a generation', () => {
  it('is started by one of many workers', async () => {
    const { id } = await opened();
    const starts = await Promise.all(['a', 'b', 'c'].map((worker) => startGeneration(id, worker)));
    expect(starts.filter(Boolean)).toHaveLength(1);
  });

  it('ends with its bytes stored, its row done and its batch finished', async () => {
    const { drawing, id, batch } = await started();
    expect(await finishGeneration(drawing, 'w1', drawn())).toBe(true);

    const image = await db.image.findUniqueOrThrow({ where: { generationId: id } });
    expect(image.storageKey).toMatch(/^tests\/\d{4}-\d\d-\d\d\//);
    expect(String(await getFile(image.storageKey))).toBe('the bytes');
    expect(await stateOf(id)).toBe('done');
    expect(await db.batch.findUniqueOrThrow({ where: { id: batch.id } })).toMatchObject({
      state: 'finished',
    });
    const card = await db.delivery.findFirstOrThrow({ where: { batchId: batch.id, kind: 'card' } });
    expect(card.wanted).toBeGreaterThan(1);
  });

  it('has its picture shown at once, unless the courier has the message in hand', async () => {
    const later = new Date(Date.now() + 60_000);
    for (const [attempts, soon] of [
      [0, true],
      [1, false],
    ] as const) {
      const { drawing, batch } = await started();
      await db.delivery.updateMany({ where: { batchId: batch.id }, data: { notBefore: later, attempts } });
      await finishGeneration(drawing, 'w1', drawn());
      const { notBefore } = await db.delivery.findFirstOrThrow({ where: { batchId: batch.id } });
      expect(notBefore < later).toBe(soon);
    }
  });

  it('that another worker took over is not ended by the first, and leaves no bytes of it', async () => {
    const { drawing, id } = await started('w1');
    await handBack(id, 'w1');
    await startGeneration(id, 'w2');
    expect(await finishGeneration(drawing, 'w1', drawn())).toBe(false);
    expect(await stateOf(id)).toBe('running');
    expect(await db.image.count({ where: { generationId: id } })).toBe(0);
  });

  it('whose row could not be written leaves no bytes', async () => {
    const { drawing, batch } = await started();
    await expect(finishGeneration(drawing, 'w1', drawn({ width: 2 ** 40 }))).rejects.toThrow();
    expect((await filesIn('tests')).filter((key) => key.includes(batch.id))).toEqual([]);
  });

  it('that fails gives its tokens back once', async () => {
    const { id, balance } = await started();
    const before = await balance();
    expect(await failGeneration(id, 'w1', 'internal')).toBe(true);
    expect(await failGeneration(id, 'w1', 'internal')).toBe(false);
    expect(await balance()).toBe(before + 1);
  });

  it('of somebody who cancels much while asking for more: nothing waits in a circle', async () => {
    const me = actor();
    const asking = (n: number) =>
      openBatch(
        origin({ actor: me }),
        request([cell({ prompt: `${n} of many` }), cell({ prompt: `${n} of more` })]),
      );
    const asked = await Promise.all(Array.from({ length: 12 }, (_, n) => asking(n)));
    await Promise.all(asked.flatMap(({ id }, n) => [endBatch(id, 'cancelled'), asking(12 + n)]));
    const { tokens } = await db.user.findUniqueOrThrow({ where: { id: me.id } });
    expect(tokens).toBe(tokenGrants.welcome + tokenGrants.daily - 24);
  });

  it('hears of a cancel at its next step, and is refunded', async () => {
    const { id, batch, balance } = await started();
    expect(await goesOn(id, 0.3)).toBe(true);
    await endBatch(batch.id, 'cancelled');
    expect(await goesOn(id, 0.4)).toBe(false);
    const before = await balance();
    expect(await abandonGeneration(id, 'w1')).toBe(true);
    expect(await balance()).toBe(before + 1);
  });

  it('goes on when its batch is stopped', async () => {
    const { id, batch } = await started();
    await endBatch(batch.id, 'stopped');
    expect(await goesOn(id, 0.4)).toBe(true);
  });

  it('handed back into a stopped batch ends there', async () => {
    const { id, batch } = await started();
    await endBatch(batch.id, 'stopped');
    await handBack(id, 'w1');
    expect(await stateOf(id)).toBe('cancelled');
    expect((await db.batch.findUniqueOrThrow({ where: { id: batch.id } })).endedAt).not.toBeNull();
  });
});

describe('a flagged picture', () => {
  it('is kept apart and opens a review; nothing else shows it', async () => {
    const { drawing, id } = await started();
    await finishGeneration(drawing, 'w1', drawn({ verdict: 'flagged', rule: 'classifier' }));
    const image = await db.image.findUniqueOrThrow({
      where: { generationId: id },
      include: { review: true },
    });
    expect(image.storageKey).toMatch(/^quarantine\//);
    expect(image.review).toMatchObject({ state: 'pending', cause: 'classifier' });
    expect(await db.delivery.count({ where: { reviewId: image.review?.id ?? '', kind: 'review' } })).toBe(1);
  });
});

describe('reuseImage', () => {
  it('copies a picture of the same key and weights, and gives back what was paid', async () => {
    const prompt = `portrait ${Math.random()}`;
    const first = await started('w1', { prompt });
    await finishGeneration(first.drawing, 'w1', drawn());
    const second = await started('w1', { prompt });
    const before = await second.balance();

    expect(await reuseImage(second.drawing, 'w1', 'other weights', [], usualPlace)).toBe(false);
    expect(await reuseImage(second.drawing, 'w1', 'weights', [], usualPlace)).toBe(true);
    expect(await db.generation.findUniqueOrThrow({ where: { id: second.id } })).toMatchObject({
      reused: true,
    });
    expect(await second.balance()).toBe(before + second.drawing.price);

    // Each has bytes of its own: deleting one leaves the other.
    const image = await deleteImage(first.person, first.id);
    expect(await hasFile(image.storageKey)).toBe(false);
    const copy = await db.image.findUniqueOrThrow({ where: { generationId: second.id } });
    expect(await hasFile(copy.storageKey)).toBe(true);
  });

  it('does not copy what is not clear where it is asked for now, nor what says too little of itself', async () => {
    const prompt = `portrait ${Math.random()}`;
    const first = await started('w1', { prompt });
    const { verdict: _, ...seen } = verdictOf(
      { scores: { board: { flagged: 0.3 } }, ages: [], concepts: {} },
      usualPlace,
    );
    await finishGeneration(first.drawing, 'w1', drawn(seen));
    const second = await started('w1', { prompt });
    const strict = { ...usualPlace, guild: { flagged: 0.3 } };
    const withFace = { ...usualPlace, faceAsked: true };
    expect(await reuseImage(second.drawing, 'w1', 'weights', [], withFace)).toBe(false);
    expect(await reuseImage(second.drawing, 'w1', 'weights', [], strict)).toBe(false);
    await db.image.updateMany({ where: { generationId: first.id }, data: { judged: {} } });
    expect(await reuseImage(second.drawing, 'w1', 'weights', [], usualPlace)).toBe(false);
    await db.image.updateMany({ where: { generationId: first.id }, data: { judged: seen.judged } });
    expect(await reuseImage(second.drawing, 'w1', 'weights', [], usualPlace)).toBe(true);
    expect(await db.image.findUniqueOrThrow({ where: { generationId: second.id } })).toMatchObject({
      scores: { 'board.flagged': 0.3 },
      judged: { set: 'usual', face: false, minor: false },
    });
  });

  it('does not copy a flagged or a deleted one', async () => {
    const prompt = `portrait ${Math.random()}`;
    const first = await started('w1', { prompt });
    await finishGeneration(first.drawing, 'w1', drawn({ verdict: 'flagged' }));
    const second = await started('w1', { prompt });
    expect(await reuseImage(second.drawing, 'w1', 'weights', [], usualPlace)).toBe(false);
  });
});

describe('deleteImage', () => {
  it('is for its owner, once', async () => {
    const { drawing, id, person } = await started();
    await finishGeneration(drawing, 'w1', drawn());
    await expect(deleteImage(actor(), id)).rejects.toMatchObject({ code: 'not_yours' });
    await deleteImage(person, id);
    await expect(deleteImage(person, id)).rejects.toMatchObject({ code: 'gone' });
  });

  it('is for moderators of its own guild, and from a DM for our own', async () => {
    const ours = actor({ id: STAFF_ID });
    for (const guildId of [snowflake(), null]) {
      const { id } = await opened({ prompt: `portrait ${Math.random()}` }, actor({ guildId }));
      await finishGeneration((await startGeneration(id, 'w1'))!, 'w1', drawn());

      const elsewhere = actor({ managesGuild: true });
      const withRole = actor({ roleIds: ['9'] });
      await db.guildSettings.create({ data: { id: withRole.guildId!, moderatorRoleIds: ['9'] } });
      for (const nobody of [elsewhere, withRole, actor({ guildId: null, managesGuild: true })])
        await expect(deleteImage(nobody, id)).rejects.toMatchObject({ code: 'not_yours' });
      expect(await db.image.findUnique({ where: { generationId: id } })).toMatchObject({ deletedAt: null });
      await deleteImage(guildId ? actor({ guildId, managesGuild: true }) : ours, id);
    }
  });
});

describe('putDown', () => {
  it('puts back what a worker does not have in hand, and nobody else’s', async () => {
    const lost = await started('w9');
    const inHand = await started('w9');
    const others = await started('w2');
    expect(await putDown('w9', new Set([inHand.id]))).toBe(1);
    expect(await Promise.all([lost, inHand, others].map(({ id }) => stateOf(id)))).toEqual([
      'queued',
      'running',
      'running',
    ]);
  });
});

describe('rescueOrphans', () => {
  const lost = new Date(Date.now() - WORKER_LOST_MS * 2);

  it('puts back what a lost worker had, and leaves what a live one has', async () => {
    await db.worker.create({ data: { id: 'dead', bundle: 'reference', bundleHash: 'h', seenAt: lost } });
    await db.worker.create({
      data: { id: 'alive', bundle: 'reference', bundleHash: 'h', seenAt: new Date(Date.now() + 60_000) },
    });
    const orphan = await started('dead');
    const kept = await started('alive');
    const own = await started('another');
    await rescueOrphans('another');
    expect(await stateOf(orphan.id)).toBe('queued');
    expect(await stateOf(kept.id)).toBe('running');
    // Whether it has its own in hand it knows better.
    expect(await stateOf(own.id)).toBe('running');
  });

  it('takes a worker for lost that was not heard of for five seconds, and for alive one that was a second ago', async () => {
    const orphans = await Promise.all(
      [1, 5].map(async (seconds) => {
        const id = `heard-${seconds}-s-ago`;
        await db.worker.create({ data: { id, bundle: 'reference', bundleHash: 'h' } });
        // By Postgres' own clock, as workers tell it.
        await db.$executeRaw`UPDATE "Worker" SET "seenAt" = now() - ${seconds} * interval '1 second' WHERE id = ${id}`;
        return started(id);
      }),
    );
    await rescueOrphans('another');
    expect(await Promise.all(orphans.map(({ id }) => stateOf(id)))).toEqual(['running', 'queued']);
  });

  it('fails one that was tried too often, and refunds it', async () => {
    const { id, balance } = await started('gone');
    await db.generation.update({ where: { id }, data: { attempts: MAX_TAKEN } });
    const before = await balance();
    await rescueOrphans('another');
    expect(await stateOf(id)).toBe('failed');
    expect(await balance()).toBe(before + 1);
  });
});

describe('what waits and is not to be drawn', () => {
  const TIERS = ['turbo', 'fast', 'relax'];
  beforeEach(async () => {
    await endUnwanted(TIERS);
  });

  it('ends when its tier is gone, and what it cost comes back', async () => {
    const gone = await opened({ prompt: 'in a tier that goes' });
    const stays = await opened({ prompt: 'in one that stays' });
    const drawing = await started('w1', { prompt: 'begun before' });
    await db.generation.updateMany({ where: { id: { in: [gone.id, drawing.id] } }, data: { tier: 'gold' } });
    await db.flow.updateMany({ where: { userId: gone.person.id }, data: { tier: 'gold' } });
    const spent = await gone.balance();
    // Another process may know it.
    expect(await endUnwanted(TIERS)).toBe(0);
    await db.flow.updateMany({ where: { tier: 'gold' }, data: { since: new Date(Date.now() - 301_000) } });

    expect(await endUnwanted(TIERS)).toBe(1);
    expect(await db.generation.findUniqueOrThrow({ where: { id: gone.id } })).toMatchObject({
      state: 'failed',
      failure: 'tier_gone',
    });
    expect(await gone.balance()).toBeGreaterThan(spent);
    expect((await db.batch.findUniqueOrThrow({ where: { id: gone.batch.id } })).endedAt).not.toBeNull();
    expect([await stateOf(stays.id), await stateOf(drawing.id)]).toEqual(['queued', 'running']);
    expect(await finishGeneration(drawing.drawing, 'w1', drawn())).toBe(true);
    expect(await recountFlows()).toBe(0);
    await endBatch(stays.batch.id, 'cancelled');
  });

  it('ends when who asked is blocked, and an equal picture of somebody else is drawn instead', async () => {
    const first = await opened({ prompt: 'the same of two' });
    const other = await opened({ prompt: 'the same of two' });
    expect(await db.generation.findUniqueOrThrow({ where: { id: other.id } })).toMatchObject({
      twinId: first.id,
    });
    const block = (blockedUntil: Date) =>
      db.user.update({ where: { id: first.person.id }, data: { blockedUntil } });
    await block(new Date(Date.now() - 1_000));
    expect(await endUnwanted(TIERS)).toBe(0);
    await block(new Date(Date.now() + 60_000));
    expect(await endUnwanted(TIERS)).toBe(1);
    expect(await db.generation.findUniqueOrThrow({ where: { id: first.id } })).toMatchObject({
      state: 'failed',
      failure: 'blocked',
    });
    expect(await db.generation.findUniqueOrThrow({ where: { id: other.id } })).toMatchObject({
      state: 'queued',
      twinId: null,
    });
    expect(await recountFlows()).toBe(0);
    await endBatch(other.batch.id, 'cancelled');
  });

  it('ends however much of it there is', async () => {
    const batches = [];
    for (let n = 0; n < 3; n++) {
      const cells = Array.from({ length: 200 }, (_, seed) => cell({ prompt: `many ${n}`, seed }));
      batches.push((await openBatch(origin(), request(cells, { tier: 'relax' }))).id);
    }
    await db.generation.updateMany({ where: { batchId: { in: batches } }, data: { tier: 'gold' } });
    await db.flow.deleteMany();
    await recountFlows();
    await db.flow.updateMany({ where: { tier: 'gold' }, data: { since: new Date(Date.now() - 301_000) } });
    expect(await endUnwanted(TIERS)).toBe(600);
    expect(await db.generation.count({ where: { state: 'queued', tier: 'gold' } })).toBe(0);
    expect(await recountFlows()).toBe(0);
  });
});
