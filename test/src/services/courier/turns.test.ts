/** Whose turn it is, over real rows; what is shown of them is not looked at here. */
import { randomUUID } from 'node:crypto';
import { afterEach, describe, expect, it, onTestFinished, vi } from 'vitest';
import { openBatch } from '#src/batches/batches.ts';
import {
  addDelivery,
  type Claimed,
  claimDue,
  hastenCard,
  type NewDelivery,
  settleDelivery,
} from '#src/deliveries.ts';
import { db } from '#src/doors/db.ts';
import { type Outcome, openLanes } from '#src/services/courier/lanes.ts';
import { cell, origin, request, snowflake } from '#test/support/requests.ts';
import { until } from './local.ts';

const none = new Map<string, number>();

afterEach(() => db.delivery.updateMany({ data: { state: 'closed' } }));

/** A row that has been due for so many ms. */
async function due(where: Partial<NewDelivery> = {}, ago = 0): Promise<string> {
  await addDelivery(db, { kind: 'greeting', userId: snowflake(), ...where });
  const { id } = await db.delivery.findFirstOrThrow({ orderBy: [{ createdAt: 'desc' }, { id: 'desc' }] });
  await db.delivery.update({ where: { id }, data: { notBefore: new Date(Date.now() - ago) } });
  return id;
}

const ids = (claimed: readonly Claimed[]) => claimed.map(({ delivery }) => delivery.id);

/** What a posted message leaves. */
function settle({ delivery }: Claimed): Promise<boolean> {
  const channelId = delivery.channelId ?? snowflake();
  return settleDelivery(delivery, {
    messageId: snowflake(),
    channelId,
    files: [],
    closed: false,
    editAfterMs: 0,
  });
}

describe('a look', () => {
  it('takes the longest due row of each channel, the longest due channel first', async () => {
    const [busy, quiet] = [snowflake(), snowflake()];
    const second = await due({ channelId: busy }, 2_000);
    const first = await due({ channelId: busy }, 3_000);
    const other = await due({ channelId: quiet }, 1_000);
    const { claimed } = await claimDue(10, [], none);
    expect(ids(claimed)).toEqual([first, other]);
    expect(claimed.map(({ lane, more }) => [lane, more])).toEqual([
      [busy, true],
      [quiet, false],
    ]);
    expect(ids((await claimDue(10, [], none)).claimed)).toEqual([second]);
    expect(ids((await claimDue(10, [], none)).claimed)).toEqual([]);
  });

  it('takes nothing of a lane that is shut, and no more than it may', async () => {
    const [shut, open, third] = [snowflake(), snowflake(), snowflake()];
    await due({ channelId: shut }, 3_000);
    const inOpen = await due({ channelId: open }, 2_000);
    await due({ channelId: third }, 1_000);
    expect(ids((await claimDue(1, [shut], none)).claimed)).toEqual([inOpen]);
  });

  it('does not let a lane with much to do come before all others', async () => {
    const [busy, quiet] = [snowflake(), snowflake()];
    const old = await due({ channelId: busy }, 60_000);
    const young = await due({ channelId: quiet }, 1_000);
    expect(ids((await claimDue(1, [], new Map([[busy, Date.now()]]))).claimed)).toEqual([young]);
    expect(ids((await claimDue(1, [], new Map([[busy, Date.now()]]))).claimed)).toEqual([old]);
  });

  it('says when the next row falls due, and gives each row as it is, with its batch', async () => {
    expect(await claimDue(1, [], none)).toEqual({ claimed: [], sawAll: true, nextAt: null });
    const channelId = snowflake();
    const batch = await openBatch(origin({ channelId }), request([cell()]));
    const notBefore = new Date(Date.now() + 60_000);
    await db.delivery.update({ where: { id: await due() }, data: { notBefore } });
    const { claimed, nextAt } = await claimDue(1, [], none);
    expect(nextAt).toEqual(notBefore);
    const [one] = claimed;
    expect(one?.delivery).toEqual(await db.delivery.findUnique({ where: { id: one?.delivery.id ?? '' } }));
    expect(one?.delivery).toMatchObject({ batchId: batch.id, attempts: 1 });
    expect(one?.batch).toEqual(await db.batch.findUnique({ where: { id: batch.id } }));
  });

  it('gives no row with a batch that is older than what is to be shown of it', async () => {
    const batch = await openBatch(origin({ channelId: snowflake() }), request([cell()]));
    const { id } = await db.delivery.findFirstOrThrow({ where: { batchId: batch.id } });
    // Its title is the number of its change.
    let going = true;
    const changing = (async () => {
      while (going) {
        await db.$transaction(async (tx) => {
          const { wanted } = await tx.delivery.update({ where: { id }, data: { wanted: { increment: 1 } } });
          await tx.batch.update({ where: { id: batch.id }, data: { title: String(wanted) } });
        });
      }
    })();
    try {
      for (let looks = 0; looks < 250; ) {
        const [one] = (await claimDue(1, [], none)).claimed;
        if (!one) continue;
        looks++;
        if (one.delivery.wanted > 1)
          expect(Number(one.batch?.title)).toBeGreaterThanOrEqual(one.delivery.wanted);
        await db.delivery.update({ where: { id }, data: { notBefore: new Date(0) } });
      }
    } finally {
      going = false;
      await changing;
    }
  });

  it.each([
    ['its own channel', { channelId: 'own' }, 'own'],
    ['its batch’s channel', {}, 'asked in'],
    ['its batch’s thread', { thread: true }, 'the thread'],
  ])(
    'knows a row by %s',
    async (_, { thread = false, ...where }: Partial<NewDelivery> & { thread?: boolean }, lane) => {
      const batch = await openBatch(origin({ channelId: 'asked in' }), request([cell()]));
      if (thread) await db.batch.update({ where: { id: batch.id }, data: { threadId: 'the thread' } });
      await db.delivery.deleteMany({ where: { batchId: batch.id } });
      await due({ kind: 'status', batchId: batch.id, ...where });
      expect((await claimDue(1, [], none)).claimed.map((one) => one.lane)).toEqual([lane]);
    },
  );

  it.each([
    ['its guild', { guildId: 'a guild' }, 'a guild'],
    ['whom it is for', {}, 'somebody'],
  ])('knows a row without a batch by %s', async (_, where, lane) => {
    await due({ kind: 'review', userId: 'somebody', ...where });
    expect((await claimDue(1, [], none)).claimed.map((one) => one.lane)).toEqual([lane]);
  });

  it('gives a row to one of several that look at once', async () => {
    const all: string[] = [];
    for (let i = 0; i < 30; i++) all.push(await due({ channelId: snowflake() }));
    const looks = await Promise.all(Array.from({ length: 4 }, () => claimDue(30, [], none)));
    // What one had locked the others passed over.
    const rest = await claimDue(30, [], none);
    expect([...looks, rest].flatMap(({ claimed }) => ids(claimed)).sort()).toEqual(all.sort());
  });
});

describe('a row that was settled', () => {
  it('is due again if it changed meanwhile, and is no more that of an outlived claim', async () => {
    await due();
    const [claimed] = (await claimDue(1, [], none)).claimed;
    await db.delivery.update({ where: { id: claimed!.delivery.id }, data: { wanted: { increment: 1 } } });
    expect(await settle(claimed!)).toBe(false);
    const [again] = (await claimDue(1, [], none)).claimed;
    expect(again?.delivery).toMatchObject({ id: claimed!.delivery.id, posted: 1, wanted: 2, attempts: 1 });

    // Outlived: another process claims it, and posts.
    await db.delivery.update({ where: { id: again!.delivery.id }, data: { attempts: 2 } });
    const before = await db.delivery.findUnique({ where: { id: again!.delivery.id } });
    expect(await settle(again!)).toBe(false);
    expect(await db.delivery.findUnique({ where: { id: again!.delivery.id } })).toEqual(before);
  });
});

/** Lanes that note what they were given, and hold it until they are told what became of it. */
function opened() {
  const begun: Claimed[] = [];
  const waiting = new Map<string, (outcome: Outcome) => void>();
  let most = 0;
  const lanes = openLanes(async (claimed) => {
    begun.push(claimed);
    most = Math.max(most, waiting.size + 1);
    const outcome = await new Promise<Outcome>((done) => waiting.set(claimed.delivery.id, done));
    waiting.delete(claimed.delivery.id);
    await settle(claimed);
    return outcome;
  });
  const end = (outcome: Partial<Outcome> = {}, which: readonly string[] = [...waiting.keys()]) => {
    for (const id of which) waiting.get(id)?.({ caughtUp: true, pauseMs: 0, ...outcome });
  };
  onTestFinished(async () => {
    const closed = lanes.close();
    const ending = setInterval(end, 10);
    await closed;
    clearInterval(ending);
  });
  return { lanes, begun, waiting, end, most: () => most };
}

describe('lanes', () => {
  it('have sixteen messages in hand at most, one of each channel, in their order', async () => {
    const channels = Array.from({ length: 20 }, snowflake);
    const expected = new Map<string, string[]>();
    for (let i = 0; i < 3; i++) {
      for (const channelId of channels) {
        const id = await due({ channelId }, 10_000 - 1_000 * i);
        expected.set(channelId, [...(expected.get(channelId) ?? []), id]);
      }
    }
    const { begun, waiting, end, most } = opened();
    await until(() => waiting.size === 16, 'all hands to be full');
    while (begun.length < 60) {
      const held = [...waiting.keys()];
      const places = begun.filter(({ delivery }) => held.includes(delivery.id)).map(({ lane }) => lane);
      expect(new Set(places).size).toBe(places.length);
      end({}, held.slice(0, 3));
      const before = begun.length;
      await until(() => begun.length > before || waiting.size === 0, 'the next');
    }
    expect(most()).toBe(16);
    for (const [channel, inOrder] of expected) {
      expect(ids(begun.filter(({ lane }) => lane === channel))).toEqual(inOrder);
    }
  });

  it('leave a channel alone for as long as it takes no more, and go on with the others', async () => {
    const [limited, free] = [snowflake(), snowflake()];
    const inLimited = [await due({ channelId: limited }, 2_000), await due({ channelId: limited }, 1_000)];
    const { begun, end, lanes } = opened();
    await until(() => begun.length === 1);
    end({ pauseMs: 1_500 });
    const shutAt = Date.now();
    const inFree = await due({ channelId: free });
    lanes.wake();
    await until(() => begun.length === 2);
    expect(ids(begun)).toEqual([inLimited[0], inFree]);
    await until(() => begun.length === 3);
    expect(ids(begun)[2]).toBe(inLimited[1]);
    expect(Date.now() - shutAt).toBeGreaterThanOrEqual(1_490);
  });

  it('see past a channel for which more is due than one look goes through', async () => {
    const [flooded, quiet] = [snowflake(), snowflake()];
    await db.$executeRaw`
      INSERT INTO "Delivery" (id, kind, "userId", "channelId", nonce, "notBefore")
      SELECT 'flood ' || n, 'greeting', 'somebody', ${flooded}, 'flood ' || n, now() - interval '1 hour'
      FROM generate_series(1, 6000) n`;
    const id = await due({ channelId: quiet });
    expect(await claimDue(16, [], none)).toMatchObject({ claimed: [{ lane: flooded }], sawAll: false });
    const { waiting } = opened();
    await until(() => waiting.has(id));
    expect(waiting.size).toBe(2);
  });

  it('find what falls due later without being woken', async () => {
    const id = await due({}, -700);
    const { notBefore } = await db.delivery.findUniqueOrThrow({ where: { id } });
    const { begun } = opened();
    await until(() => begun.length === 1);
    expect(Date.now()).toBeGreaterThanOrEqual(notBefore.getTime());
  });

  it('of two couriers take each row once', async () => {
    const all: string[] = [];
    for (let i = 0; i < 40; i++) all.push(await due({ channelId: `channel ${i % 10}` }, 5_000 - i));
    const [one, other] = [opened(), opened()];
    const begun = () => [...one.begun, ...other.begun];
    await until(() => {
      one.end();
      other.end();
      return begun().length >= 40;
    });
    expect(ids(begun()).sort()).toEqual(all.sort());
  });

  it('forget what they can’t do: when Postgres’s answer is an error they look again', async () => {
    const id = randomUUID();
    const failing = openLanes(async () => {
      throw new Error('Postgres is away');
    });
    onTestFinished(() => failing.close());
    await due({ userId: id });
    failing.wake();
    const row = () => db.delivery.findFirstOrThrow({ where: { userId: id } });
    await until(async () => (await row()).attempts === 1);
    // As it was, but for the claim: it is free again when that has passed.
    await db.delivery.updateMany({ where: { userId: id }, data: { notBefore: new Date() } });
    failing.wake();
    await until(async () => (await row()).attempts === 2);
  });
});

describe('a card that is posted while its picture ends', () => {
  /** Its row as the courier has it, and how the batch ends in a transaction that is under way. */
  const claimedCard = async () => {
    const channelId = snowflake();
    const { id: batchId } = await openBatch(origin({ channelId }), request([cell()]));
    const { claimed } = await claimDue(10, [], none);
    const one = claimed.find(({ delivery }) => delivery.batchId === batchId)!;
    return { batchId, one };
  };
  const posted = ({ delivery }: Claimed) =>
    settleDelivery(delivery, {
      messageId: snowflake(),
      channelId: delivery.channelId ?? '',
      files: [],
      closed: false,
      editAfterMs: 60_000,
    });
  const isDue = async ({ delivery }: Claimed) =>
    (await db.delivery.findUniqueOrThrow({ where: { id: delivery.id } })).notBefore <= new Date();

  it('shows it at once, also when neither saw the other', async () => {
    const { batchId, one } = await claimedCard();
    let settled: Promise<boolean> | undefined;
    await db.$transaction(async (tx) => {
      await tx.batch.update({ where: { id: batchId }, data: { endedAt: new Date(), state: 'finished' } });
      await hastenCard(tx, batchId);
      settled = posted(one);
      // It waits for this transaction by now, with a view of the rows as they were.
      await vi.waitFor(async () => {
        const [row] = await db.$queryRaw<{ count: number }[]>`
          SELECT count(*)::int AS count FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND query LIKE '%settled%'
          AND pid <> pg_backend_pid()`;
        expect(row?.count).toBe(1);
      });
    });
    await settled;
    expect(await isDue(one)).toBe(true);
  });

  it('is edited after a pause otherwise', async () => {
    const { one } = await claimedCard();
    await posted(one);
    expect(await isDue(one)).toBe(false);
  });
});
