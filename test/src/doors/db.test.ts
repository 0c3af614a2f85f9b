import { expect, it, vi } from 'vitest';
import { ask, db, inTransaction, Prisma, type Transaction } from '#src/doors/db.ts';

/** Two that lock the same two rows, in opposite order, each waiting until the other has its first. */
async function deadlock(touch: (tx: Transaction, id: string) => Promise<unknown>): Promise<number> {
  let begun = 0;
  let go = () => {};
  const both = new Promise<void>((done) => {
    go = done;
  });
  const lock = (one: string, other: string) =>
    inTransaction(async (tx) => {
      await touch(tx, one);
      if (++begun === 2) go();
      await both;
      await touch(tx, other);
    });
  await Promise.all([lock('a', 'b'), lock('b', 'a')]);
  return begun;
}

it('does a transaction again that Postgres ended for a deadlock', async () => {
  await db.user.createMany({ data: [{ id: 'a' }, { id: 'b' }] });
  const update = (tx: Transaction, id: string) =>
    tx.user.update({ where: { id }, data: { strikes: { increment: 1 } } });
  expect(await deadlock(update)).toBe(3);
  const users = await db.user.findMany();
  expect(users.map(({ strikes }) => strikes)).toEqual([2, 2]);
  expect(await deadlock((tx, id) => tx.$executeRaw`SELECT 1 FROM "User" WHERE id = ${id} FOR UPDATE`)).toBe(
    3,
  );
});

it('does a single statement again as well', async () => {
  await db.user.createMany({ data: [{ id: 'c' }, { id: 'd' }] });
  const lock = (id: string) => Prisma.sql`(SELECT 1 FROM "User" WHERE id = ${id} FOR UPDATE)`;
  let asked: Promise<unknown[]> | undefined;
  await inTransaction(async (tx) => {
    await tx.$queryRaw(lock('c'));
    asked ??= ask(Prisma.sql`SELECT ${lock('d')}, ${lock('c')}`);
    // It has the second row, and waits for the first: Postgres ends the one that has waited for a second.
    await vi.waitUntil(async () => {
      const [{ waiting } = { waiting: 0 }] = await db.$queryRaw<{ waiting: number }[]>`
        SELECT count(*)::int AS waiting FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()`;
      return waiting > 0;
    });
    await tx.$queryRaw(lock('d'));
  });
  expect(await asked).toHaveLength(1);
});

it('does no other one again', async () => {
  let tried = 0;
  const broken = inTransaction(async () => {
    tried++;
    throw new Error('broken');
  });
  await expect(broken).rejects.toThrow('broken');
  expect(tried).toBe(1);
});
