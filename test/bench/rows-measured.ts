/** The process of rows.ts that is measured: it has the environment of its Postgres from the beginning, and tells its parent the goals. */
import { randomUUID } from 'node:crypto';
import { cpus } from 'node:os';
import pg from 'pg';
import { config, required } from '#config/env.ts';
import { tierRules } from '#config/tiers.ts';
import { joinFleet } from '#src/backlog/fleet.ts';
import { lookAtBacklogs } from '#src/backlog/flows.ts';
import { nextTurn } from '#src/backlog/order.ts';
import { keepCardMessage, openBatch } from '#src/batches/batches.ts';
import { finishGeneration } from '#src/batches/ending.ts';
import { type Claimed, claimDue, settleDelivery } from '#src/deliveries.ts';
import { closeDb, db, type Prisma } from '#src/doors/db.ts';
import { closeQueues } from '#src/doors/queue.ts';
import { putFile } from '#src/doors/storage.ts';
import { takeTurn } from '#src/generations/generations.ts';
import { deliver } from '#src/services/courier/deliver.ts';
import { drawn } from '#test/support/drawn.ts';
import { actor, cell, origin, request } from '#test/support/requests.ts';
import { type Goal, median, say } from './goal.ts';
import { takenBy } from './process-tree.ts';

const PEOPLE = 64;
const ROUNDS = 5;
/** Pictures of a round. */
const EACH = 360;
/** Pictures drawn before: with empty tables Postgres would plan to read them from end to end, and keep that plan as they grow. */
const HISTORY = 20_000;
/** Of so many pictures statements are counted: now and then there is one that serves all of the next seconds. */
const COUNTED = 7;
/** Connections that both have. */
const CONNECTIONS = 8;

interface Measured {
  readonly perSecond: number;
  /** of this process and of Postgres, which is our parent's, ms a picture */
  readonly cpuMs: number;
}

/** Does it `EACH` times, some at once. */
async function measure(atOnce: number, one: (n: number) => Promise<unknown>): Promise<Measured> {
  const cpu = takenBy(process.ppid).cpuSeconds;
  const since = performance.now();
  let next = 0;
  await Promise.all(
    Array.from({ length: atOnce }, async () => {
      for (let n = next++; n < EACH; n = next++) await one(n);
    }),
  );
  const seconds = (performance.now() - since) / 1_000;
  return {
    perSecond: EACH / seconds,
    cpuMs: ((takenBy(process.ppid).cpuSeconds - cpu) * 1_000) / EACH,
  };
}

/** Rounds of one and of the other in turns. */
async function compare(
  atOnce: number,
  ours: (n: number) => Promise<unknown>,
  bare: (n: number) => Promise<unknown>,
): Promise<{ ours: Measured; bare: Measured }> {
  const all: { ours: Measured[]; bare: Measured[] } = { ours: [], bare: [] };
  for (let round = 0; round <= ROUNDS; round++) {
    const one = { ours: await measure(atOnce, ours), bare: await measure(atOnce, bare) };
    if (!round) continue; // warming up
    all.ours.push(one.ours);
    all.bare.push(one.bare);
  }
  const middle = (measured: Measured[]): Measured => ({
    perSecond: median(measured.map(({ perSecond }) => perSecond)),
    cpuMs: median(measured.map(({ cpuMs }) => cpuMs)),
  });
  return { ours: middle(all.ours), bare: middle(all.bare) };
}

/** Statements that this process sends, but for the queue's. */
function countStatements(): { taken(): number } {
  const { query } = pg.Client.prototype;
  let count = 0;
  pg.Client.prototype.query = function (this: pg.Client, ...args: unknown[]) {
    const { options } =
      (this as unknown as { connectionParameters?: { options?: string } }).connectionParameters ?? {};
    if (!options?.includes('bullmq')) count++;
    return Reflect.apply(query, this, args);
  } as typeof query;
  return {
    taken() {
      const before = count;
      count = 0;
      return before;
    },
  };
}

async function open() {
  const pool = new pg.Pool({
    connectionString: required(config.databaseUrl, 'DATABASE_URL'),
    max: CONNECTIONS,
  });
  const people = Array.from({ length: PEOPLE }, () => actor());
  for (const { id } of people) {
    await db.user.create({ data: { id } });
    await db.tokenEntry.create({ data: { userId: id, amount: 1_000_000, reason: 'grant', once: 'welcome' } });
  }
  await joinFleet(
    { id: 'w', bundle: 'reference', bundleHash: 'h' },
    { sessions: [], loras: [], aside: null },
  );

  for (const statement of historyOf(people[0]!.id)) await pool.query(statement);

  const warm = { loras: new Set(['']), faceIds: new Set<string>() };
  let asked = 0;
  const accept = (n: number) =>
    openBatch(origin({ actor: people[n % PEOPLE]! }), request([cell({ prompt: `picture ${++asked}` })]));
  const done = new Set<string>();
  /** One worker, whose networks take no time. */
  const drain = async () => {
    for (;;) {
      const look = (await lookAtBacklogs(new Map([['reference', warm]]))).get('reference');
      const turn = look && nextTurn(look.clock, look.flows, warm, tierRules, look.now);
      if (!turn) return;
      const taken = (await takeTurn('reference', look, turn, 'w')) ?? [];
      await Promise.all(
        taken.map(async (drawing) => {
          await finishGeneration(drawing, 'w', drawn({ timings: { base: 1 } }));
          done.add(drawing.batchId);
        }),
      );
    }
  };
  let draining: Promise<void> | null = null;
  const draw = async ({ id }: { readonly id: string }) => {
    while (!done.delete(id)) {
      draining ??= drain().finally(() => {
        draining = null;
      });
      await draining;
    }
  };
  let posted = 0;
  const discord = new Proxy({} as Parameters<typeof deliver>[1], {
    get: () => async () => ({ id: String(++posted), files: [], pauseMs: 0 }),
  });
  const post = async () => {
    const { claimed } = await claimDue(1, [], new Map());
    for (const one of claimed) await deliver(one, discord);
  };
  /** The rows of it alone: no card is drawn. */
  const note = async () => {
    const { claimed } = await claimDue(1, [], new Map());
    for (const one of claimed) await settleDelivery(one.delivery, shownAs(one), keptWith(one));
  };
  const shownAs = ({ delivery }: Claimed) => ({
    messageId: delivery.messageId ?? String(++posted),
    channelId: 'channel',
    files: [],
    closed: false,
    editAfterMs: 0,
  });
  const keptWith =
    ({ delivery: { batchId, messageId } }: Claimed) =>
    (condition: Prisma.Sql) =>
      keepCardMessage(batchId ?? '', messageId ?? String(posted), { readyAt: null, told: null }, condition);
  return {
    pool,
    people,
    accept,
    draw,
    post,
    note,
    /** Nothing waits any more. */
    async empty() {
      await db.batch.deleteMany({ where: { state: 'open' } });
      await db.flow.deleteMany();
    },
    async close() {
      await pool.end();
      await closeQueues();
      await closeDb();
    },
  };
}

/** What is there after some weeks, and what Postgres knows of it. */
function historyOf(userId: string): string[] {
  const rows = `FROM generate_series(1, ${HISTORY}) n`;
  return [
    `INSERT INTO "Batch" (id, kind, state, "ownerId", "channelId", "interactionId", tier, title, config, "openedAt", "endedAt")
      SELECT n, 'imagine', 'finished', '${userId}', 'channel', n, 'fast', 'A test', '{}', now(), now() ${rows}`,
    `INSERT INTO "Generation" (id, "batchId", index, state, "userId", tier, bundle, prompt, parameters, seed, width, height, steps,
        "costMs", shape, key, "endedAt")
      SELECT n, n, 0, 'done', '${userId}', 'fast', 'reference', 'picture', '{}', n, 512, 640, 20, 3000, 'a', n, now() ${rows}`,
    `INSERT INTO "Image" (id, "generationId", key, "bundleHash", "storageKey", sha256, width, height, bytes, thumbhash, verdict)
      SELECT n, n, n, 'h', n, 'sha', 64, 80, 100, 'x', 'clear' ${rows}`,
    `INSERT INTO "Delivery" (id, kind, state, "batchId", "userId", "channelId", nonce, wanted, posted)
      SELECT n, 'card', 'closed', n, '${userId}', 'channel', n, 1, 1 ${rows}`,
    'VACUUM ANALYZE',
  ];
}

type Opened = Awaited<ReturnType<typeof open>>;

/** The rows of an accepted picture, with nothing checked. */
const ACCEPT = `
  WITH charged AS (INSERT INTO "TokenEntry" (id, "userId", amount, reason, once) VALUES ($1, $2, -2, 'charge', $1)),
  batch AS (INSERT INTO "Batch" (id, kind, "ownerId", "channelId", "interactionId", tier, title, config, charged, "openedAt")
    VALUES ($1, 'imagine', $2, $3, $1, 'fast', 'A test', '{}', 2, now())),
  generation AS (INSERT INTO "Generation" (id, "batchId", index, "userId", tier, bundle, prompt, parameters, seed, width, height, steps,
      "costMs", shape, key, price)
    VALUES ($4, $1, 0, $2, 'fast', 'bare', $5, $6, 1, 512, 640, 20, 3000, 'a', $4, 2)),
  flow AS (INSERT INTO "Flow" AS f VALUES ('bare', 'fast', $2, '', '', 1, 3000, 0, now())
    ON CONFLICT (bundle, tier, "userId", loras, "faceId") DO UPDATE SET waiting = f.waiting + 1, "waitingMs" = f."waitingMs" + 3000)
  INSERT INTO "Delivery" (id, kind, "batchId", "userId", "channelId", nonce) VALUES ($4, 'card', $1, $2, $3, $4)`;
const TAKE = `
  WITH clock AS (INSERT INTO "Clock" AS c VALUES ('bare', 1, 0, 0, '{}') ON CONFLICT (bundle) DO UPDATE SET version = c.version + 1),
  taken AS (UPDATE "Generation" SET state = 'running', "workerId" = 'w', "startedAt" = now(), attempts = 1 WHERE id = $1),
  flow AS (UPDATE "Flow" SET waiting = waiting - 1, "givenMs" = "givenMs" + 3000 WHERE bundle = 'bare' AND tier = 'fast' AND "userId" = $2)
  UPDATE "Delivery" SET wanted = wanted + 1 WHERE id = $1`;
const FINISH = `
  WITH done AS (UPDATE "Generation" SET state = 'done', "endedAt" = now(), progress = 1 WHERE id = $1),
  image AS (INSERT INTO "Image" (id, "generationId", key, "bundleHash", "storageKey", sha256, width, height, bytes, thumbhash, verdict)
    VALUES ($1, $1, $1, 'h', $1, 'sha', 64, 80, 100, 'x', 'clear')),
  batch AS (UPDATE "Batch" SET "endedAt" = now(), state = 'finished' WHERE id = $2)
  UPDATE "Delivery" SET wanted = wanted + 1, "notBefore" = now() WHERE id = $1`;
const CLAIM = `UPDATE "Delivery" SET "notBefore" = now() + interval '15 s', attempts = attempts + 1 WHERE id = $1 RETURNING *`;
const SETTLE = `
  WITH batch AS (UPDATE "Batch" SET "messageId" = $1 WHERE id = $2)
  UPDATE "Delivery" SET posted = wanted, "messageId" = $1, "postedAt" = now(), attempts = 0, "notBefore" = now() WHERE id = $1`;

const PARAMETERS = JSON.stringify(cell().parameters);

function bareAccept({ pool, people }: Opened, n: number, batchId: string, id: string) {
  const me = people[n % PEOPLE]!.id;
  return pool.query({
    name: 'accept',
    text: ACCEPT,
    values: [batchId, me, 'channel', id, `picture ${id}`, PARAMETERS],
  });
}

function tell(
  name: string,
  { ours, bare }: { ours: Measured; bare: Measured },
): { rate: number; cpu: number } {
  const [rate, cpu] = [ours.perSecond / bare.perSecond, ours.cpuMs / bare.cpuMs];
  say(
    name,
    `${ours.perSecond.toFixed(0)}/s of ${bare.perSecond.toFixed(0)}/s: ${rate.toFixed(2)} · CPU ${ours.cpuMs.toFixed(2)} of ${bare.cpuMs.toFixed(2)} ms: ${cpu.toFixed(2)}`,
  );
  return { rate, cpu };
}

async function accept(): Promise<readonly Goal[]> {
  say('cores', String(cpus().length));
  const opened = await open();
  const statements = countStatements();
  try {
    await opened.accept(0);
    statements.taken();
    await opened.accept(1);
    say('statements', String(statements.taken()));
    const rates: number[] = [];
    const cpu: number[] = [];
    for (const atOnce of [1, 8, 32]) {
      const compared = await compare(
        atOnce,
        (n) => opened.accept(n),
        (n) => bareAccept(opened, n, randomUUID(), randomUUID()),
      );
      const told = tell(`${atOnce} at once`, compared);
      rates.push(told.rate);
      cpu.push(told.cpu);
      await opened.empty();
    }
    return [
      { name: 'rate, of bare pg', got: Math.min(...rates), atLeast: 0.5 },
      { name: 'CPU, of bare pg', got: Math.max(...cpu), atMost: 2 },
    ];
  } finally {
    await opened.close();
  }
}

async function lifecycle(): Promise<readonly Goal[]> {
  say('cores', String(cpus().length));
  const opened = await open();
  const statements = countStatements();
  const whole = async (n: number) => {
    const batch = await opened.accept(n);
    await opened.post();
    await opened.draw(batch);
    await opened.post();
  };
  const rows = async (n: number) => {
    const batch = await opened.accept(n);
    await opened.note();
    await opened.draw(batch);
    await opened.note();
  };
  const { pool, people } = opened;
  const bare = async (n: number) => {
    const [batchId, id, me] = [randomUUID(), randomUUID(), people[n % PEOPLE]!.id];
    const ask = (name: string, text: string, values: string[]) => pool.query({ name, text, values });
    await bareAccept(opened, n, batchId, id);
    await ask('claim', CLAIM, [id]);
    await ask('settle', SETTLE, [id, batchId]);
    await ask('take', TAKE, [id, me]);
    await putFile(`bare/${id}.png`, drawn().png);
    await ask('finish', FINISH, [id, batchId]);
    await ask('claim', CLAIM, [id]);
    await ask('settle', SETTLE, [id, batchId]);
  };
  try {
    await whole(0);
    const names = ['accept', 'post', 'draw', 'edit'];
    const counts = new Map(names.map((name) => [name, [] as number[]]));
    statements.taken();
    for (let n = 1; n <= COUNTED; n++) {
      const batch = await opened.accept(n);
      counts.get('accept')?.push(statements.taken());
      await opened.post();
      counts.get('post')?.push(statements.taken());
      await opened.draw(batch);
      // One of them looks once more, and finds that nothing waits.
      counts.get('draw')?.push(statements.taken());
      await opened.post();
      counts.get('edit')?.push(statements.taken());
    }
    const usual = [...counts].map(([name, taken]) => [name, median(taken)] as const);
    const all = usual.reduce((sum, [, count]) => sum + count, 0);
    say('statements a picture', `${all}: ${usual.map((one) => one.join(' ')).join(', ')}`);
    const { rate, cpu } = tell('rows, 8 at once', await compare(8, rows, bare));
    tell('with its cards drawn', await compare(8, whole, bare));
    return [
      { name: 'statements a picture', got: all, atMost: 12 },
      { name: 'rate, of bare pg', got: rate, atLeast: 0.5 },
      { name: 'CPU, of bare pg', got: cpu, atMost: 2 },
    ];
  } finally {
    await opened.close();
  }
}

const benches = { accept, lifecycle };
const [name = ''] = process.argv.slice(2);
process.send?.(await benches[name as keyof typeof benches]());
process.disconnect?.();
