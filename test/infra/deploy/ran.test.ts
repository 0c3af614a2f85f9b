/** What was drawn, from rows: time in which a worker had anything in hand counts once. */
import { beforeEach, describe, expect, it } from 'vitest';
import { readRan } from '#infra/deploy/cost.ts';
import { openBatch } from '#src/batches/batches.ts';
import { db, type Prisma } from '#src/doors/db.ts';
import { cell, origin, request } from '#test/support/requests.ts';
import { listen, plannedScans } from '#test/support/statements.ts';

const FROM = new Date('2026-11-01T00:00:00Z');
const TO = new Date('2026-12-01T00:00:00Z');
const at = (seconds: number) => new Date(FROM.getTime() + seconds * 1_000);

beforeEach(async () => {
  await db.batch.deleteMany();
});

/** A generation of a batch of one, as it stands once it has ended. */
async function ended(
  workerId: string | null,
  since: number,
  until: number,
  changes: Prisma.GenerationUncheckedUpdateInput = {},
): Promise<void> {
  const batch = await openBatch(origin(), request([cell({ prompt: `at ${since} to ${until}` })]));
  await db.generation.updateMany({
    where: { batchId: batch.id },
    data: { tier: 'fast', state: 'done', workerId, startedAt: at(since), endedAt: at(until), ...changes },
  });
}

describe('readRan', () => {
  it('counts time that several pictures share once, each worker’s by itself', async () => {
    await ended('a', 0, 10);
    await ended('a', 2, 12); // 2 s more
    await ended('a', 3, 9); // within the others
    await ended('a', 20, 25); // after a rest
    await ended('b', 0, 4);
    expect(await readRan(FROM, TO)).toEqual([
      { tier: 'fast', drawn: 5, copied: 0, undrawn: 0, seconds: 10 + 2 + 5 + 4, megabytes: 0 },
    ]);
  });

  it('tells tiers apart, and what was copied or came to nothing', async () => {
    await ended('a', 0, 10, { tier: 'turbo' });
    await ended('a', 10, 13, { tier: 'relax', state: 'failed', failure: 'internal' });
    await ended(null, 13, 14, { tier: 'relax', reused: true });
    await ended(null, 0, 5, { tier: 'relax', state: 'cancelled', startedAt: null });
    expect(await readRan(FROM, TO)).toEqual([
      { tier: 'relax', drawn: 0, copied: 1, undrawn: 2, seconds: 3, megabytes: 0 },
      { tier: 'turbo', drawn: 1, copied: 0, undrawn: 0, seconds: 10, megabytes: 0 },
    ]);
  });

  it('takes what ended within the days, and of its time what was within them', async () => {
    await ended('a', -30, 10);
    await ended('a', -20, -10);
    await ended('a', 31 * 86_400, 31 * 86_400 + 9);
    expect(await readRan(FROM, TO)).toMatchObject([{ drawn: 1, seconds: 10 }]);
  });

  it('asks one statement, which goes by an index', async () => {
    await ended('a', 0, 10);
    const heard = listen();
    await readRan(FROM, TO);
    expect(heard).toHaveLength(1);
    expect(await plannedScans(heard)).toEqual([]);
  });
});
