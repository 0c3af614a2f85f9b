/** A reader that cannot fail is of no use: each fault is planted in a small state that is as it should be, and must be found. */
import { randomUUID } from 'node:crypto';
import { appendFile, mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import pg from 'pg';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { type Sandbox, startSandbox } from '#infra/local/discord/sandbox.ts';
import { PEOPLE } from '#infra/local/discord/world.ts';
import { sha256 } from './files.ts';
import { type Asked, type Fault, type Findings, read } from './reader.ts';

const account = { token: 'local.a-token-of-thirty-characters', applicationId: '1100000000000000001' };
const me = PEOPLE.member.id;

/** All that a reader looks at. */
interface Scene {
  readonly dir: string;
  readonly sandbox: Sandbox;
  readonly asked: Asked[];
  readonly ends: string[];
  webUrl: string | null;
  /** ids of rows */
  readonly batch: string;
  readonly drawn: string;
  readonly failed: string;
  readonly image: string;
  readonly held: string;
  readonly card: string;
  readonly photo: string;
  /** of the card */
  message: string;
  readonly channels: Readonly<Record<'portraits' | 'review', string>>;
}

let db: pg.Pool;
const sql = async (text: string, ...values: unknown[]) => (await db.query(text, values)).rows;
let scene: Scene;
let gallery: Server | undefined;
beforeAll(() => {
  db = new pg.Pool({ connectionString: process.env.DATABASE_URL });
});
afterAll(() => db.end());
beforeEach(async () => {
  scene = await prepare();
});
afterEach(async () => {
  await scene.sandbox.close();
  gallery?.close();
  gallery = undefined;
  await rm(scene.dir, { recursive: true, force: true });
  await sql('TRUNCATE "User", "Batch", "GuildSettings", "Delivery", "Review" CASCADE');
});

const rest = async (path: string, init: RequestInit = {}) => {
  const headers = { authorization: `Bot ${account.token}`, ...init.headers };
  const response = await fetch(`${scene?.sandbox.apiUrl ?? ''}/v10${path}`, { ...init, headers });
  if (!response.ok) throw new Error(await response.text());
  return response.status === 204 ? null : response.json();
};

/** As the bot posts pictures. @returns the message's id */
async function post(apiUrl: string, channel: string, files: Record<string, string>): Promise<string> {
  const names = Object.keys(files);
  const form = new FormData();
  const items = names.map((name) => ({ media: { url: `attachment://${name}` } }));
  const inside = [{ type: 10, content: 'A card' }, ...(items.length ? [{ type: 12, items }] : [])];
  const attachments = names.map((filename, id) => ({ id, filename }));
  const body = { flags: 1 << 15, components: [{ type: 17, components: inside }], attachments };
  form.set('payload_json', JSON.stringify(body));
  for (const [i, name] of names.entries()) form.set(`files[${i}]`, new Blob([files[name] ?? '']), name);
  const response = await fetch(`${apiUrl}/v10/channels/${channel}/messages`, {
    method: 'POST',
    headers: { authorization: `Bot ${account.token}` },
    body: form,
  });
  const message = (await response.json()) as { id: string };
  if (!response.ok) throw new Error(JSON.stringify(message));
  return message.id;
}

async function store(dir: string, key: string, bytes: string): Promise<void> {
  const path = join(dir, 'files', key);
  await mkdir(dirname(path), { recursive: true });
  await writeFile(path, bytes);
}

/** Two pictures were asked for: one was drawn, one failed. Another is held for review. A photo waits for consent. */
async function prepare(): Promise<Scene> {
  const dir = await mkdtemp(join(tmpdir(), 'atelier-reader-'));
  const sandbox = await startSandbox({ ...account, rateLimits: false });
  const channel = (name: string) =>
    [...sandbox.state.channels.values()].find((one) => one.name === name && one.guildId)?.id ?? '';
  const channels = { portraits: channel('portraits'), review: channel('review') };
  const ids = () => randomUUID();
  const [batch, drawn, failed, image, card, photo, folder] = [
    ids(),
    ids(),
    ids(),
    ids(),
    ids(),
    ids(),
    ids(),
  ];
  const [other, flagged, held, review] = [ids(), ids(), ids(), ids()];

  await store(dir, 'tests/2026-11-24/a.png', 'PNG drawn');
  await store(dir, 'quarantine/2026-11-24/b.png', 'PNG held');
  await store(dir, 'faces/f/c.png', 'PNG photo');
  await mkdir(join(dir, 'logs'));
  await writeFile(join(dir, 'logs/bot.log'), logLine({ level: 30, msg: 'ready' }));
  const message = await post(sandbox.apiUrl, channels.portraits, { 'picture-1.png': 'PNG drawn' });
  const heldCard = await post(sandbox.apiUrl, channels.portraits, {});
  const reviewCard = await post(sandbox.apiUrl, channels.review, { 'held.png': 'PNG held' });

  await sql('INSERT INTO "User" (id) VALUES ($1)', me);
  await sql(
    'INSERT INTO "GuildSettings" (id, "reviewChannelId", "updatedAt") VALUES ($1, $2, now())',
    '1',
    channels.review,
  );
  const token = (
    amount: number,
    reason: string,
    by: string | null,
    generation: string | null,
    once: string,
  ) =>
    sql(
      'INSERT INTO "TokenEntry" (id, "userId", amount, reason, "batchId", "generationId", once) VALUES ($1, $2, $3, $4::"TokenReason", $5, $6, $7)',
      ...[ids(), me, amount, reason, by, generation, once],
    );
  await token(100, 'grant', null, null, 'welcome');
  const newBatch = (id: string, interaction: string, charged: number) =>
    sql(
      `INSERT INTO "Batch" (id, kind, state, "ownerId", "channelId", "interactionId", tier, title, config, charged, "endedAt")
       VALUES ($1, 'imagine', 'finished', $2, $3, $4, 'fast', 'A batch', '{}', $5, now())`,
      ...[id, me, channels.portraits, interaction, charged],
    );
  const newGeneration = (id: string, of: string, index: number, state: string) =>
    sql(
      `INSERT INTO "Generation" (id, "batchId", index, state, "userId", tier, bundle, prompt, parameters, seed, width, height, steps, key, price)
       VALUES ($1, $2, $3, $4::"GenerationState", $5, 'fast', 'reference', 'a prompt', '{}', 1, 64, 64, 4, $1, 2)`,
      ...[id, of, index, state, me],
    );
  const newImage = (id: string, of: string, key: string, bytes: string, verdict: string) =>
    sql(
      `INSERT INTO "Image" (id, "generationId", key, "bundleHash", "storageKey", sha256, width, height, bytes, thumbhash, verdict)
       VALUES ($1, $2, $2, 'h', $3, $4, 64, 64, 9, '', $5::"Verdict")`,
      ...[id, of, key, sha256(Buffer.from(bytes)), verdict],
    );
  await newBatch(batch, 'i-1', 4);
  await newGeneration(drawn, batch, 0, 'done');
  await newGeneration(failed, batch, 1, 'failed');
  await newImage(image, drawn, 'tests/2026-11-24/a.png', 'PNG drawn', 'clear');
  await token(-4, 'charge', batch, null, `charge:${batch}`);
  await token(2, 'refund', batch, failed, `refund:${failed}`);
  await newBatch(other, 'i-2', 2);
  await newGeneration(flagged, other, 0, 'done');
  await newImage(held, flagged, 'quarantine/2026-11-24/b.png', 'PNG held', 'flagged');
  await token(-2, 'charge', other, null, `charge:${other}`);
  await sql(`INSERT INTO "Review" (id, "imageId", cause) VALUES ($1, $2, 'classifier')`, review, held);
  const delivery = (id: string, kind: string, of: string | null, rev: string | null, at: string) =>
    sql(
      `INSERT INTO "Delivery" (id, kind, "batchId", "reviewId", "userId", "messageId", wanted, posted, nonce)
       VALUES ($1, $2::"DeliveryKind", $3, $4, $5, $6, 3, 3, $1)`,
      ...[id, kind, of, rev, me, at],
    );
  await delivery(card, 'card', batch, null, message);
  await delivery(ids(), 'card', other, null, heldCard);
  await delivery(ids(), 'review', null, review, reviewCard);
  await sql('INSERT INTO "FaceFolder" (id, "ownerId", name) VALUES ($1, $2, $3)', folder, me, 'ada');
  await sql(
    `INSERT INTO "FacePhoto" (id, "folderId", state, "storageKey", sha256, width, height) VALUES ($1, $2, 'checked', $3, $4, 64, 64)`,
    ...[photo, folder, 'faces/f/c.png', sha256(Buffer.from('PNG photo'))],
  );

  const answered = { answer: 'accepted', text: 'Accepted', botDown: false } as const;
  const asked: Asked[] = [
    { what: '/imagine', id: 'i-1', ...answered, batch: { by: 'i-1', pictures: 2 } },
    { what: '/imagine', id: 'i-2', ...answered, batch: { by: 'i-2', pictures: 1 } },
    { what: '/set', id: 'i-3', ...answered },
    { what: '/imagine', id: 'i-4', answer: 'refused', text: 'That costs too much.', botDown: false },
    { what: '/imagine', id: 'i-5', answer: 'unanswered', text: 'did not respond', botDown: true },
  ];
  const rows = { batch, drawn, failed, image, held, card, photo, message, channels };
  return { dir, sandbox, asked, ends: [], webUrl: null, ...rows };
}

function logLine(line: object): string {
  return `${JSON.stringify({ level: 30, time: 1_000, pid: 1, service: 'bot', msg: 'x', ...line })}\n`;
}
const writeLog = (text: string) => appendFile(join(scene.dir, 'logs/bot.log'), text);

const look = (): Promise<Findings> =>
  read({
    databaseUrl: process.env.DATABASE_URL ?? '',
    filesDir: join(scene.dir, 'files'),
    discord: { apiUrl: scene.sandbox.apiUrl, token: account.token },
    webUrl: scene.webUrl,
    logDir: join(scene.dir, 'logs'),
    asked: scene.asked,
    ends: scene.ends,
  });

it('finds no fault where there is none', async () => {
  const { faults, logs, ...counts } = await look();
  expect(Object.values(faults).flat()).toEqual([]);
  expect(counts).toEqual({ accepted: 3, refused: 1, unansweredWhileDown: 1, failed: 1 });
  expect(logs).toEqual({
    longest: { file: 'bot.log', bytes: logLine({ level: 30, msg: 'ready' }).length },
    mostRepeated: { times: 0, line: '' },
  });
});

type Plant = [what: string, is: Fault, plant: () => Promise<unknown>, ...more: Fault[]];
const plants: Plant[] = [
  [
    'a command without an answer while the bot was up',
    'unanswered',
    async () => scene.asked.push({ what: '/set', id: 'i-9', answer: 'unanswered', text: '', botDown: false }),
  ],
  [
    'a command that was accepted, and no batch',
    'lost',
    async () =>
      scene.asked.push({
        ...{ what: '/imagine', id: 'i-9', answer: 'accepted', text: '', botDown: false },
        batch: { by: 'i-9', pictures: 1 },
      }),
  ],
  [
    'a plan that was accepted, and is planned still',
    'lost',
    async () => {
      await sql(`UPDATE "Batch" SET state = 'planned' WHERE id = $1`, scene.batch);
    },
    'charged wrongly',
  ],
  [
    'a batch with a picture less than was accepted',
    'lost',
    async () => {
      await sql('DELETE FROM "Generation" WHERE id = $1', scene.failed);
      await sql(
        `UPDATE "TokenEntry" SET amount = -2 WHERE "batchId" = $1 AND reason = 'charge'`,
        scene.batch,
      );
      await sql('UPDATE "User" u SET tokens = (SELECT sum(amount) FROM "TokenEntry" WHERE "userId" = u.id)');
    },
  ],
  [
    'a batch without a card',
    'lost',
    () => sql('DELETE FROM "Delivery" WHERE id = $1', scene.card),
    'posted twice',
  ],
  [
    'a message that could not be delivered',
    'lost',
    () => sql(`UPDATE "Delivery" SET state = 'undelivered' WHERE id = $1`, scene.card),
  ],
  [
    'a message that is gone',
    'lost',
    () => rest(`/channels/${scene.channels.portraits}/messages/${scene.message}`, { method: 'DELETE' }),
  ],
  [
    'a card without its picture',
    'lost',
    async () => {
      const bare = await post(scene.sandbox.apiUrl, scene.channels.portraits, {
        'picture-1.png': 'PNG other',
      });
      await sql('UPDATE "Delivery" SET "messageId" = $2 WHERE id = $1', scene.card, bare);
      await rest(`/channels/${scene.channels.portraits}/messages/${scene.message}`, { method: 'DELETE' });
    },
  ],
  [
    'a picture that is being drawn for ever',
    'stuck',
    () => sql(`UPDATE "Generation" SET state = 'running' WHERE id = $1`, scene.drawn),
  ],
  [
    'a picture that waits for ever, though its tokens came back',
    'stuck',
    () => sql(`UPDATE "Generation" SET state = 'queued' WHERE id = $1`, scene.failed),
    'charged wrongly',
  ],
  [
    'a batch that does not end',
    'stuck',
    () => sql('UPDATE "Batch" SET "endedAt" = NULL WHERE id = $1', scene.batch),
  ],
  [
    'a message that shows what was',
    'stuck',
    () => sql('UPDATE "Delivery" SET wanted = 4 WHERE id = $1', scene.card),
  ],
  [
    'an idea that nobody has',
    'stuck',
    () => sql(`INSERT INTO "Idea" (id, "userId", words, seed) VALUES ($1, $2, 'x', 1)`, randomUUID(), me),
  ],
  [
    'a preview that was left',
    'stuck',
    () => sql(`INSERT INTO "Preview" ("generationId", webp) VALUES ($1, 'WebP')`, scene.drawn),
  ],
  [
    'a message that shows a preview for ever',
    'stuck',
    async () => {
      const id = await post(scene.sandbox.apiUrl, scene.channels.portraits, {
        'picture-1.png': 'PNG drawn',
        'preview-1-mail.webp': 'WebP',
      });
      await sql('UPDATE "Delivery" SET "messageId" = $2 WHERE id = $1', scene.card, id);
      await rest(`/channels/${scene.channels.portraits}/messages/${scene.message}`, { method: 'DELETE' });
    },
  ],
  [
    'a photo that nobody looks at',
    'stuck',
    () => sql(`UPDATE "FacePhoto" SET state = 'checking' WHERE id = $1`, scene.photo),
  ],
  [
    'a card that was posted two times',
    'posted twice',
    () => post(scene.sandbox.apiUrl, scene.channels.portraits, { 'picture-1.png': 'PNG drawn' }),
  ],
  [
    'a direct message that nobody knows of',
    'posted twice',
    async () => {
      const body = JSON.stringify({ recipient_id: me });
      const headers = { 'content-type': 'application/json' };
      const { id } = (await rest('/users/@me/channels', { method: 'POST', headers, body })) as { id: string };
      return post(scene.sandbox.apiUrl, id, {});
    },
  ],
  [
    'a second row for a card',
    'posted twice',
    async () => {
      const message = await post(scene.sandbox.apiUrl, scene.channels.portraits, {});
      await sql(
        `INSERT INTO "Delivery" (id, kind, "batchId", "userId", "messageId", posted, nonce) VALUES ($1, 'card', $2, $3, $4, 1, $1)`,
        ...[randomUUID(), scene.batch, me, message],
      );
    },
  ],
  ['a charge that was made two times', 'charged wrongly', () => newToken(-4, 'charge', scene.batch, null)],
  [
    'a charge that is too high',
    'charged wrongly',
    () => sql(`UPDATE "TokenEntry" SET amount = -5 WHERE "batchId" = $1 AND reason = 'charge'`, scene.batch),
  ],
  [
    'a batch that nobody paid for',
    'charged wrongly',
    () => sql(`DELETE FROM "TokenEntry" WHERE "batchId" = $1 AND reason = 'charge'`, scene.batch),
  ],
  [
    'tokens that did not come back',
    'charged wrongly',
    () => sql('DELETE FROM "TokenEntry" WHERE "generationId" = $1', scene.failed),
  ],
  [
    'tokens that came back for a picture',
    'charged wrongly',
    () => newToken(2, 'refund', scene.batch, scene.drawn),
  ],
  [
    'tokens that were paid for a picture that was copied',
    'charged wrongly',
    () => sql('UPDATE "Generation" SET reused = true WHERE id = $1', scene.drawn),
  ],
  [
    'a balance that its entries do not come to',
    'charged wrongly',
    () => sql('UPDATE "User" SET tokens = tokens + 7'),
  ],
  [
    'a batch that was made though it was refused',
    'charged wrongly',
    async () => {
      scene.asked[0] = { ...scene.asked[0]!, answer: 'refused', text: 'That costs too much.' };
    },
  ],
  ['a file that no row names', 'orphan files', () => store(scene.dir, 'tests/2026-11-24/z.png', 'PNG')],
  ['half of a file', 'orphan files', () => store(scene.dir, 'tests/2026-11-24/a.png.1.tmp', 'PN')],
  [
    'a copy in the gallery that its row does not name',
    'orphan files',
    () => store(scene.dir, `photowall/main/${scene.image}/o.png`, 'PNG'),
  ],
  [
    'bytes of a picture that was deleted',
    'orphan files',
    () => sql('UPDATE "Image" SET "deletedAt" = now() WHERE id = $1', scene.image),
  ],
  [
    'a picture without bytes',
    'rows without bytes',
    () => rm(join(scene.dir, 'files/tests/2026-11-24/a.png')),
  ],
  [
    'a picture with other bytes',
    'rows without bytes',
    () => store(scene.dir, 'tests/2026-11-24/a.png', 'PN'),
  ],
  ['a photo without bytes', 'rows without bytes', () => rm(join(scene.dir, 'files/faces/f/c.png'))],
  [
    'a flagged picture in a channel',
    'seen though flagged',
    () => sql(`UPDATE "Image" SET verdict = 'flagged' WHERE id = $1`, scene.image),
  ],
  [
    'a rejected picture in a channel',
    'seen though flagged',
    async () => {
      await sql(`UPDATE "Review" SET state = 'rejected'`);
      const message = await post(scene.sandbox.apiUrl, scene.channels.portraits, {
        'picture-1.png': 'PNG held',
      });
      await sql(
        `UPDATE "Delivery" SET "messageId" = $1 WHERE kind = 'card' AND id <> $2`,
        message,
        scene.card,
      );
    },
    'posted twice',
  ],
  [
    'a flagged picture in the gallery',
    'seen though flagged',
    async () => {
      gallery = createServer((request, response) => {
        response.writeHead(request.url === `/pictures/${scene.held}` ? 200 : 404).end();
      }).listen(0, '127.0.0.1');
      await new Promise((done) => gallery?.once('listening', done));
      scene.webUrl = `http://127.0.0.1:${(gallery.address() as AddressInfo).port}`;
    },
  ],
  [
    'a service that ended by itself',
    'services that ended by themselves',
    async () => scene.ends.push('bot ended (1)'),
  ],
  [
    'an error in the log',
    'unhandled errors',
    () => writeLog(logLine({ level: 50, msg: 'unexpected error' })),
  ],
  [
    'a stack that somebody did not catch',
    'unhandled errors',
    () => writeLog("Error: it broke\n    at x.ts:1:1 {\n  code: 'E'\n}\n"),
  ],
];

function newToken(amount: number, reason: string, batch: string | null, generation: string | null) {
  return sql(
    `INSERT INTO "TokenEntry" (id, "userId", amount, reason, "batchId", "generationId", once) VALUES ($1, $2, $3, $4::"TokenReason", $5, $6, $1::text)`,
    ...[randomUUID(), me, amount, reason, batch, generation],
  );
}

it.each(plants)('finds %s', async (_, is, plant, ...more) => {
  await plant();
  const { faults } = await look();
  const found = Object.entries(faults).flatMap(([name, list]) => (list.length ? [name] : []));
  expect(found.sort()).toEqual([is, ...more].sort());
});

describe('of the logs', () => {
  it('finds the line that is written most often within a second, of warnings and worse', async () => {
    const at = (time: number, msg: string, more = {}) => logLine({ level: 40, time, msg, ...more });
    await writeLog([10_000, 10_400, 11_200].map((time) => at(time, 'away')).join(''));
    await writeLog([20_000, 20_300, 20_900, 21_100].map((time) => at(time, 'gone')).join(''));
    // Of several processes and services each has its own.
    await writeLog([1, 2, 3, 4, 5].map((pid) => at(30_000, 'stopped', { pid })).join(''));
    await writeLog(Array.from({ length: 9 }, () => logLine({ level: 30, msg: 'drawn' })).join(''));
    const { logs } = await look();
    expect(logs.mostRepeated).toEqual({ times: 3, line: 'bot: gone' });
  });

  it('finds the longest', async () => {
    await writeFile(join(scene.dir, 'logs/worker-1.log'), logLine({ msg: 'x'.repeat(500) }));
    const { logs } = await look();
    expect(logs.longest).toMatchObject({ file: 'worker-1.log', bytes: expect.any(Number) });
    expect(logs.longest.bytes).toBeGreaterThan(500);
  });
});
