/** Rows for the pages of the platform's own people: a day that was, what waits, workers. */
import { randomUUID } from 'node:crypto';
import { PEOPLE } from '#infra/local/discord/world.ts';
import { db, type Prisma } from '#src/doors/db.ts';

const HOUR_MS = 60 * 60_000;

export async function makeBatch(changes: Partial<Prisma.BatchUncheckedCreateInput> = {}): Promise<string> {
  const ownerId = changes.ownerId ?? PEOPLE.member.id;
  await db.user.upsert({ where: { id: ownerId }, create: { id: ownerId }, update: {} });
  const { id } = await db.batch.create({
    data: { kind: 'sweep', ownerId, tier: 'relax', title: 'A sweep', config: {}, ...changes },
  });
  return id;
}

/** 24 hours with more pictures by day, waits that grow with them, and now and then a failure. */
export async function makeDay(now = new Date()): Promise<void> {
  const batchId = await makeBatch({ state: 'finished', endedAt: now });
  const failures = ['internal', 'storage_full', 'memory_short'];
  const data: Prisma.GenerationCreateManyInput[] = [];
  for (let hour = 0; hour < 24; hour++) {
    for (const [tier, most] of [
      ['turbo', 6],
      ['fast', 14],
      ['relax', 22],
    ] as const) {
      const pictures = Math.round(most * (1.1 + Math.sin(hour / 3.4)) * 0.5);
      for (let n = 0; n < pictures; n++) {
        const endedAt = new Date(now.getTime() - hour * HOUR_MS - n * 1_000);
        const failed = (hour * 7 + n) % 41 === 0;
        const startedAt = new Date(endedAt.getTime() - 9_000);
        const waited = (2 + (n % 7) + pictures / 2) * (tier === 'relax' ? 4_000 : 600);
        data.push({
          batchId,
          index: data.length,
          state: failed ? 'failed' : 'done',
          failure: failed ? failures[(hour + n) % 3]! : null,
          userId: PEOPLE.member.id,
          tier,
          bundle: 'reference',
          prompt: 'a secret prompt',
          parameters: {},
          seed: 1n,
          width: 64,
          height: 64,
          steps: 20,
          key: randomUUID(),
          price: tier === 'turbo' ? 4 : 1,
          queuedAt: new Date(startedAt.getTime() - waited),
          startedAt,
          endedAt,
        });
      }
    }
  }
  await db.generation.createMany({ data });
}

/** What waits, and who draws. */
export async function makeFleet(): Promise<void> {
  await db.$executeRaw`
    INSERT INTO "Flow" (bundle, tier, "userId", loras, "faceId", waiting, "waitingMs", "givenMs", since)
    SELECT 'reference', tier, 'u' || n, '', '', 3, 900, 0, now() - n * interval '20 seconds'
    FROM unnest(ARRAY['turbo', 'fast', 'relax']) tier, generate_series(1, 4) n`;
  for (const n of [1, 2, 3])
    await db.worker.create({
      data: {
        id: `worker-${n}-${randomUUID()}`,
        bundle: 'reference',
        bundleHash: 'b'.repeat(64),
        // Alive for as long as a test takes.
        seenAt: new Date(Date.now() + HOUR_MS),
        msPerStep: 40 + n,
        memoryMib: 1_900 + n,
        warm: ['reference'],
        memory: 1.5 * 2 ** 30,
        budget: 4 * 2 ** 30,
        ...(n === 3 && { aside: 'storage_full' }),
      },
    });
}
