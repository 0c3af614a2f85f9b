/**
 * A picture's bytes are where its row says, or nowhere: whatever is done to a picture at once, in whatever order, and wherever a
 * process is killed or something throws. Real Postgres and real storage; what is done to them is taken in turns.
 */
import { createHash, randomUUID } from 'node:crypto';
import fc from 'fast-check';
import { beforeEach, expect, it, vi } from 'vitest';
import { openBatch } from '#src/batches/batches.ts';
import { finishGeneration, handBack, reuseImage } from '#src/batches/ending.ts';
import { db } from '#src/doors/db.ts';
import * as queue from '#src/doors/queue.ts';
import { deleteFile, getFile } from '#src/doors/storage.ts';
import { checkFiles } from '#src/file-check.ts';
import { deleteImage } from '#src/generations/images.ts';
import { decide, reportImage } from '#src/moderation/reviews.ts';
import { drawn } from '#test/support/drawn.ts';
import { filesIn } from '#test/support/files.ts';
import { actor, cell, origin, request, snowflake } from '#test/support/requests.ts';
import { startGeneration } from '#test/support/taking.ts';
import { type Choice, inTurns } from '#test/support/turns.ts';
import { usualPlace } from '#test/support/where.ts';

vi.mock('#src/doors/storage.ts', async (original) =>
  (await import('#test/support/turns.ts')).gatedStorage(await original()),
);
vi.mock('#src/doors/db.ts', async (original) => {
  const real = await original<typeof import('#src/doors/db.ts')>();
  const { gated, gatedDb } = await import('#test/support/turns.ts');
  // Its own `db` is the one without gates.
  return { ...gatedDb(real), inTransaction: gated(real.inTransaction) };
});

beforeEach(() => {
  vi.spyOn(queue.queues(), 'add').mockResolvedValue();
});

const HOUR_MS = 60 * 60_000;
const RUNS = Number(process.env.BYTES_RUNS ?? 50);
const TIMEOUT_MS = 60_000 + RUNS * 1_000;
const FOLDERS = ['tests', 'productions', 'quarantine'];

const draw = fc.record({
  deed: fc.constant('draw' as const),
  worker: fc.constantFrom('a', 'b'),
  flagged: fc.boolean(),
});
const deeds = fc.oneof(
  { weight: 3, arbitrary: draw },
  {
    weight: 5,
    arbitrary: fc.record({ deed: fc.constantFrom('approve', 'reject', 'delete', 'report', 'take over') }),
  },
);
type Deed = typeof deeds extends fc.Arbitrary<infer D> ? D : never;
/** Mostly to the first of two equal pictures: the second is there to be copied from it, or it from the second. */
const which = fc.constantFrom(0, 0, 0, 1);
/** What the first picture is when all begin. */
const begun = fc.constantFrom('waiting' as const, 'clear' as const, 'flagged' as const);
const steps = fc.array(fc.record({ which, deed: deeds }), { minLength: 2, maxLength: 6 });
const who = fc.nat(5);
/** As many as it takes for all to end: by itself fast-check makes no more than ten, and disturbs none of what comes later. */
const untilTheEnd = { maxLength: 60, size: 'max' } as const;
const undisturbed = fc.array(fc.record({ who, fate: fc.constant('goes on' as const) }), untilTheEnd);
const disturbed = fc.array(
  fc.record({
    who,
    fate: fc.oneof(
      { weight: 8, arbitrary: fc.constant('goes on' as const) },
      { weight: 1, arbitrary: fc.constantFrom('killed' as const, 'thrown' as const) },
    ),
  }),
  untilTheEnd,
);

/** Two equal pictures, of which the second waits; nothing else is there. */
async function twoPictures(first: 'waiting' | 'clear' | 'flagged') {
  await db.review.deleteMany();
  await db.batch.deleteMany();
  for (const key of await filesIn(...FOLDERS)) await deleteFile(key);
  const owner = actor();
  const moderator = () => ({ ...actor({ guildId: owner.guildId, managesGuild: true }), id: snowflake() });
  const prompt = `portrait ${randomUUID()}`;
  // Of two batches: within one, equal cells are one.
  const asked = () => openBatch(origin({ actor: owner }), request([cell({ prompt, seed: 1 })]));
  const [one, two] = [await asked(), await asked()];
  const batchIds = [one.id, two.id];
  const generations = await Promise.all(
    batchIds.map((batchId) => db.generation.findFirstOrThrow({ where: { batchId } })),
  );

  async function draw(id: string, worker: string, flagged: boolean): Promise<void> {
    const drawing = await startGeneration(id, worker);
    if (!drawing) return;
    try {
      if (await reuseImage(drawing, worker, 'weights', [], usualPlace)) return;
      const png = Buffer.from(`drawn by ${worker}: ${randomUUID()}`);
      const sha256 = createHash('sha256').update(png).digest('hex');
      await finishGeneration(drawing, worker, drawn({ png, sha256, verdict: flagged ? 'flagged' : 'clear' }));
    } catch {
      await handBack(id, worker);
    }
  }
  async function does(id: string, step: Deed): Promise<void> {
    if (step.deed === 'draw') return draw(id, step.worker, step.flagged);
    const row = await db.generation.findUniqueOrThrow({
      where: { id },
      include: { image: { include: { review: true } } },
    });
    const { image } = row;
    if (step.deed === 'take over') {
      // As from a worker that was paused, and goes on all the same.
      await handBack(id, row.workerId ?? '');
      return draw(id, 'c', false);
    }
    if (!image) return;
    if (step.deed === 'delete') await deleteImage(owner, id);
    else if (step.deed === 'report') await reportImage(actor(), image.id);
    else if (image.review)
      await decide(moderator(), image.review.id, step.deed === 'approve' ? 'approved' : 'rejected', null);
  }
  if (first !== 'waiting') await draw(generations[0]!.id, 'a', first === 'flagged');
  return {
    batchIds,
    /** For `inTurns`. */
    operation: ({ which, deed }: { which: number; deed: Deed }) => {
      const { id } = generations[which]!;
      return () => does(id, deed);
    },
  };
}

/** Every row that is not deleted has its bytes. @returns their keys, sorted */
async function keysOfRows(): Promise<string[]> {
  const images = await db.image.findMany({ where: { deletedAt: null } });
  for (const { storageKey, sha256 } of images) {
    const bytes = await getFile(storageKey);
    expect(createHash('sha256').update(bytes).digest('hex')).toBe(sha256);
  }
  return images.map(({ storageKey }) => storageKey).sort();
}

/** Tokens of the pictures that were not drawn, and no others, came back. */
async function ledgerIsRight(batchIds: string[]): Promise<void> {
  const generations = await db.generation.findMany({ where: { batchId: { in: batchIds } } });
  const refunds = await db.tokenEntry.findMany({ where: { batchId: { in: batchIds }, reason: 'refund' } });
  const free = generations.filter(({ state, reused, price }) => price > 0 && state === 'done' && reused);
  expect(refunds.map(({ generationId }) => generationId).sort()).toEqual(free.map(({ id }) => id).sort());
}

it(
  'leaves nothing but the bytes that rows name, in any order of what is done',
  async () => {
    await fc.assert(
      fc.asyncProperty(begun, steps, undisturbed, async (first, deeds, choices: Choice[]) => {
        const { batchIds, operation } = await twoPictures(first);
        await inTurns(deeds.map(operation), choices);
        expect(await filesIn(...FOLDERS)).toEqual(await keysOfRows());
        await ledgerIsRight(batchIds);
      }),
      { numRuns: RUNS },
    );
  },
  TIMEOUT_MS,
);

it(
  'keeps the bytes of every row where processes are killed and things throw; the others go within the hour',
  async () => {
    await fc.assert(
      fc.asyncProperty(begun, steps, disturbed, async (first, deeds, choices: Choice[]) => {
        const { batchIds, operation } = await twoPictures(first);
        await inTurns(deeds.map(operation), choices);
        await keysOfRows();
        await ledgerIsRight(batchIds);
        for await (const { missing } of checkFiles(() => new Date(Date.now() + 1.1 * HOUR_MS)))
          expect(missing).toBe(0);
        expect(await filesIn(...FOLDERS)).toEqual(await keysOfRows());
      }),
      { numRuns: RUNS },
    );
  },
  TIMEOUT_MS,
);

it(
  'and so it is where they really happen at once',
  async () => {
    await fc.assert(
      fc.asyncProperty(begun, steps, async (first, deeds) => {
        const { batchIds, operation } = await twoPictures(first);
        await Promise.allSettled(deeds.map(operation).map((one) => one()));
        expect(await filesIn(...FOLDERS)).toEqual(await keysOfRows());
        await ledgerIsRight(batchIds);
      }),
      { numRuns: RUNS },
    );
  },
  TIMEOUT_MS,
);

/** The first goes on for some gates, then the second does all of its work, then the first what is left of its own. */
const overtaken = (gates: number): Choice[] =>
  [...Array(gates).fill(0), ...Array(20).fill(1)].map((who) => ({ who, fate: 'goes on' }));
/** An operation has fewer gates. */
const GATES = 12;

it('leaves the bytes of a finished picture alone when a worker wakes that had it before', async () => {
  for (let gates = 0; gates < GATES; gates++) {
    const { operation } = await twoPictures('waiting');
    const sleeper = operation({ which: 0, deed: { deed: 'draw', worker: 'a', flagged: false } });
    await inTurns([sleeper, operation({ which: 0, deed: { deed: 'take over' } })], overtaken(gates));
    expect(await keysOfRows(), `paused at gate ${gates}`).toHaveLength(1);
    expect(await filesIn(...FOLDERS), `paused at gate ${gates}`).toEqual(await keysOfRows());
  }
});

it('keeps the bytes that a row names, whatever throws after it was written', async () => {
  const fates = new Set<boolean>();
  for (let gates = 0; gates < GATES; gates++) {
    const { operation } = await twoPictures('waiting');
    const drawing = operation({ which: 0, deed: { deed: 'draw', worker: 'a', flagged: false } });
    await inTurns([drawing], [...overtaken(gates).slice(0, gates), { who: 0, fate: 'thrown' }]);
    fates.add((await keysOfRows()).length > 0);
  }
  expect([...fates]).toEqual([false, true]);
});

it.each([
  ['approve', 'delete'],
  ['delete', 'approve'],
] as const)('leaves no bytes of a deleted picture, %s being overtaken by %s', async (one, other) => {
  for (let gates = 0; gates < GATES; gates++) {
    const { operation } = await twoPictures('flagged');
    const both = [one, other].map((deed) => operation({ which: 0, deed: { deed } }));
    await inTurns(both, overtaken(gates));
    expect(await filesIn(...FOLDERS), `overtaken at gate ${gates}`).toEqual([]);
  }
});

it('copies no picture that was reported since it was read', async () => {
  for (let gates = 0; gates < GATES; gates++) {
    const { batchIds, operation } = await twoPictures('clear');
    const copying = operation({ which: 1, deed: { deed: 'draw', worker: 'a', flagged: false } });
    await inTurns([copying, operation({ which: 0, deed: { deed: 'report' } })], overtaken(gates));
    const copy = await db.generation.findFirstOrThrow({
      where: { batchId: batchIds[1]! },
      include: { image: true },
    });
    const reported = await db.review.findFirstOrThrow();
    const copiedLater = copy.reused && copy.image!.createdAt > reported.createdAt;
    expect(copiedLater, `reported at gate ${gates}`).toBe(false);
  }
});
