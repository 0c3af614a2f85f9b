import { setTimeout as sleep } from 'node:timers/promises';
import pg from 'pg';
import sharp from 'sharp';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { filesOf } from '#infra/local/discord/person.ts';
import { drawn } from '#test/support/drawn.ts';
import { readScrape } from '#test/support/prometheus.ts';
import type { LocalBot, Typist } from './local-bot.ts';

let local: LocalBot;
let db: typeof import('#src/doors/db.ts').db;
let startBot: typeof import('#src/services/bot/supervisor.ts').startBot;
beforeAll(async () => {
  local = await (await import('./local-bot.ts')).startLocalBot({}, { shardsPerProcess: 1 });
  ({ db } = await import('#src/doors/db.ts'));
  ({ startBot } = await import('#src/services/bot/supervisor.ts'));
});
afterEach(() => void local.sandbox.misbehave({ deliverAfterMs: 0, serverError: null, rateLimit: null }));
afterAll(async () => {
  await local?.close();
});

const CALLBACK = 'POST /interactions';

async function isAnswered(person: Typist): Promise<void> {
  const settings = async () => (await person.type('settings').catch(() => ({ content: '' }))).content;
  await expect.poll(settings, { timeout: 20_000 }).toMatch(/Guidance scale/);
}

describe('an interaction', () => {
  it('whose first answer came through with a 5xx is answered, and acts once', async () => {
    const me = await local.as('member');
    local.sandbox.misbehave({ serverError: { next: 1, when: 'after', status: 500, route: CALLBACK } });
    expect((await me.type('imagine', { prompt: 'portrait of a diver' })).content).toMatch(/^Accepted/);
    expect(await db.batch.count({ where: { ownerId: me.id } })).toBe(1);
    expect(await db.tokenEntry.count({ where: { userId: me.id, reason: 'charge' } })).toBe(1);
  });

  it('that comes too late to be answered does nothing', async () => {
    const me = await local.as('member');
    const before = await db.batch.count({ where: { ownerId: me.id } });
    local.sandbox.misbehave({ deliverAfterMs: 3_500 });
    await expect(me.type('imagine', { prompt: 'portrait of a diver' })).rejects.toThrow(/did not respond/);
    await sleep(1_500);
    expect(await db.batch.count({ where: { ownerId: me.id } })).toBe(before);
  });

  it('that is answered with a file is so though Discord refuses the upload before it has read it', async () => {
    const me = await local.as('moderator');
    const pids = local.bot.pids.slice();
    await me.type('imagine', { prompt: 'portrait of a diver', count: 2 });
    const { generations, ...batch } = await db.batch.findFirstOrThrow({
      where: { ownerId: me.id },
      include: { generations: true },
    });
    const { startGeneration } = await import('#test/support/taking.ts');
    const { finishGeneration } = await import('#src/batches/ending.ts');
    for (const { id } of generations) {
      const drawing = await startGeneration(id, 'a-worker');
      await finishGeneration(drawing!, 'a-worker', drawn({ sha256: id }));
    }
    const [first] = generations;
    const message = await local.post(me.channelId, 'Two pictures', [
      {
        type: 1,
        components: [
          {
            type: 3,
            custom_id: `v1:pictures.pick:${batch.id}`,
            options: [{ label: 'The first', value: first!.id }],
          },
        ],
      },
    ]);
    for (let time = 0; time < 3; time++) {
      const route = 'PATCH /webhooks';
      local.sandbox.misbehave({ serverError: { next: 3, when: 'before', status: 503, route } });
      const card = await me.press(message, `v1:pictures.pick:${batch.id}`, [first!.id]);
      expect(filesOf(card)).toHaveLength(1);
    }
    expect(local.bot.pids).toEqual(pids);
  });

  it('is answered after Discord asked to reconnect, and after it forgot the session', async () => {
    for (const how of [{ reconnect: true }, { invalidSession: 'final' }] as const) {
      local.sandbox.misbehave(how);
      for (const guild of [0, 1] as const) await isAnswered(await local.as('member', 'portraits', guild));
    }
    const { metricsText } = await import('#src/doors/metrics.ts');
    const { values } = readScrape(await metricsText());
    // Each shard has a process of its own here.
    for (const shards of ['0-0', '1-1']) {
      const [reconnecting] = values('atelier_gateway_events_total', { event: 'reconnecting', shards });
      expect(reconnecting).toBeGreaterThanOrEqual(2);
    }
  });
});

describe('a lock in Postgres that does not go away', () => {
  /** Nobody reads a face folder until the returned function is called. */
  async function hold(): Promise<() => Promise<void>> {
    const client = new pg.Client({ connectionString: process.env.DATABASE_URL });
    await client.connect();
    await client.query('BEGIN; LOCK TABLE "FaceFolder" IN ACCESS EXCLUSIVE MODE');
    return () => client.end();
  }

  it('keeps nobody waiting: a sentence comes', async () => {
    const me = await local.as('member');
    const letGo = await hold();
    const ask = async () => (await me.type('imagine', { prompt: 'portrait', face: 'nobody' })).content;
    expect(await ask()).toMatch(/^My database does not answer right now/);
    await letGo();
    expect(await ask()).toMatch(/no face folder named `nobody`/);
  });

  it('leaves an autocomplete empty rather than late', async () => {
    const me = await local.as('member');
    const letGo = await hold();
    try {
      const startedAt = performance.now();
      expect(await me.suggest('imagine', { prompt: 'x', face: 'a' }, 'face')).toEqual([]);
      expect(performance.now() - startedAt).toBeLessThan(2_500);
    } finally {
      await letGo();
    }
  });
});

describe('an autocomplete', () => {
  it('offers 25 of a hundred', async () => {
    const me = await local.as('other');
    await db.user.create({
      data: {
        id: me.id,
        faceFolders: { create: Array.from({ length: 100 }, (_, i) => ({ name: `folder-${i}` })) },
      },
    });
    expect(await me.suggest('imagine', { prompt: 'x', face: '' }, 'face')).toHaveLength(25);
    const options = { face_folders: 'folder-1, ', ideas: '1', generations_per_input: 1 };
    const completed = await me.suggest('test_face_mecene', options, 'face_folders');
    expect(completed).toHaveLength(25);
    expect(completed.every(({ value }) => String(value).startsWith('folder-1, folder-'))).toBe(true);
  });
});

describe('a process of shards', () => {
  it('waits for a Discord that answers with a 5xx at its start, and does not end of it', async () => {
    const me = await local.as('member');
    const killed = local.bot.pids[0];
    local.sandbox.misbehave({
      // its client tries each request four times
      serverError: { next: 10, when: 'before', status: 503, route: 'GET /gateway/bot' },
    });
    process.kill(killed!, 'SIGKILL');
    await expect.poll(() => local.bot.pids[0], { timeout: 20_000 }).not.toBe(killed);
    const waiting = local.bot.pids[0];
    await isAnswered(me);
    expect(local.bot.pids[0]).toBe(waiting);
  });

  it('that is killed leaves the other guild’s people alone, and comes back', async () => {
    const [here, there] = [
      await local.as('member', 'portraits', 0),
      await local.as('member', 'portraits', 1),
    ];
    const killed = local.bot.pids[0];
    process.kill(killed!, 'SIGKILL');
    expect((await there.type('imagine', { prompt: 'portrait' })).content).toMatch(/^Accepted/);
    await isAnswered(here);
    expect(local.bot.pids[0]).not.toBe(killed);
  });

  it('that is told to end answers what it has in hand first; cards work after the restart', async () => {
    const me = await local.as('member');
    const card = await me.type('sweep', { config: '{prompt: portrait, seeds: 3}' });

    const data = await sharp({ create: { width: 200, height: 200, channels: 3, background: '#777' } })
      .png()
      .toBuffer();
    const answer = me.type('faces add', { name: 'eve' }, { photo1: { filename: 'eve.png', data } });
    const checking = () => db.facePhoto.count({ where: { state: 'checking' } });
    await expect.poll(checking, { timeout: 20_000 }).toBe(1);
    const closed = local.bot.close();
    const { finishFaceCheck } = await import('#src/faces.ts');
    const { id } = await db.facePhoto.findFirstOrThrow({ where: { state: 'checking' } });
    await finishFaceCheck(id, 1);
    expect((await answer).content).toMatch(/1 photo for `eve`/);
    await closed;

    local = { ...local, bot: await startBot({ pauseMs: 100 }) };
    expect((await me.press(card, 'v1:plan.run')).content).toMatch(/^Accepted/);
    expect(await db.generation.count({ where: { batch: { kind: 'sweep', ownerId: me.id } } })).toBe(3);
  });
});
