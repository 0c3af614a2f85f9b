/** `npm run storage`, as a process: a folder and a bucket. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { prefixes } from '#infra/storage/lifecycle.ts';
import { FOLDERS, openStore, type Store } from '#src/doors/storage.ts';
import { S3_KEYS, startS3, type TestS3 } from '#test/support/s3-server.ts';

let s3: TestS3;
let dataDir: string;
let disk: Store;
beforeAll(async () => {
  s3 = await startS3({ pageSize: 7 });
});
afterAll(() => s3.stop());
beforeEach(async () => {
  s3.objects.clear();
  s3.mood = 'well';
  dataDir = await mkdtemp(join(tmpdir(), 'atelier-storage-'));
  disk = await openStore({ dir: join(dataDir, 'files') });
  for (const [i, folder] of FOLDERS.entries())
    for (let n = 0; n < 5; n++) await disk.put(`${folder}/a/${n}.png`, Buffer.alloc(100 + i, n));
  await writeFile(join(dataDir, 'files/faces/a/9.png.1.tmp'), 'half');
  return () => rm(dataDir, { recursive: true });
});
const FILES = FOLDERS.length * 5;

function start(args: readonly string[], env: Readonly<Record<string, string>> = {}) {
  const child = spawn(process.execPath, ['infra/storage/storage.ts', ...args], {
    env: {
      ...process.env,
      DATA_DIR: dataDir,
      S3_BUCKET: s3.bucket,
      S3_ENDPOINT: s3.url,
      S3_ACCESS_KEY_ID: S3_KEYS.accessKeyId,
      S3_SECRET_ACCESS_KEY: S3_KEYS.secretAccessKey,
      S3_PATH_STYLE: 'true',
      ...env,
    },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let text = '';
  for (const stream of [child.stdout, child.stderr])
    stream.on('data', (chunk: Buffer) => {
      text += String(chunk);
    });
  const ended = once(child, 'close').then(([code]: (number | null)[]) => ({ code, text }));
  return { child, ended };
}
const storage = (...args: string[]) => start(args).ended;

describe('copy and check', () => {
  it('bring all there, whole, and say what differs', async () => {
    expect(await storage('check', 'disk', 's3')).toMatchObject({
      code: 1,
      text: expect.stringMatching(`${FILES} differences`),
    });
    expect((await storage('copy', 'disk', 's3')).text).toMatch(`${FILES} files: ${FILES} copied`);
    expect(await storage('check', 'disk', 's3')).toMatchObject({
      code: 0,
      text: expect.stringMatching(/ 0 differences/),
    });
    expect((await storage('copy', 'disk', 's3')).text).toMatch(`0 copied (0.0 MiB), ${FILES} were there`);

    const { headers, at } = s3.objects.get('faces/a/1.png')!;
    // What its metadata says is what it was: only who reads it sees the difference.
    s3.objects.set('faces/a/1.png', { bytes: Buffer.from('rotten'), headers, at });
    s3.objects.delete('curated/a/2.png');
    s3.objects.set('tests/a/new.png', { bytes: Buffer.from('x'), headers: {}, at });
    const { code, text } = await storage('check', 'disk', 's3');
    expect(code).toBe(1);
    expect(text).toMatch(
      /missing in the second: curated\/a\/2.png\nonly in the second: tests\/a\/new.png\ndifferent: faces\/a\/1.png\n/,
    );
  });

  it('go the other way, too, and copy what is different', async () => {
    await storage('copy', 'disk', 's3');
    await disk.removeFolder('faces/a');
    await disk.put('productions/a/0.png', Buffer.from('other'));
    expect((await storage('copy', 's3', 'disk')).text).toMatch(`${FILES} files: 6 copied`);
    expect(await storage('check', 's3', 'disk')).toMatchObject({ code: 0 });
  });

  it('that is killed, or whose S3 goes, is taken up where it was', async () => {
    const { child, ended } = start(['copy', 'disk', 's3']);
    while (s3.objects.size < 5) await new Promise((done) => setTimeout(done, 5));
    child.kill('SIGKILL');
    await ended;
    const before = s3.objects.size;
    expect(before).toBeLessThan(FILES);

    const second = start(['copy', 'disk', 's3']);
    while (s3.objects.size < before + 5) await new Promise((done) => setTimeout(done, 5));
    s3.mood = 'overloaded';
    const broken = await second.ended;
    expect([broken.code, broken.text]).toEqual([1, expect.stringMatching(/S3 (does|has just) not answer/)]);
    s3.mood = 'well';
    const there = s3.objects.size;
    expect((await storage('copy', 'disk', 's3')).text).toMatch(`${FILES - there} copied`);
    expect(await storage('check', 'disk', 's3')).toMatchObject({ code: 0 });
  });

  it('refuse what they do not understand, and a bucket that is not there, in a sentence', async () => {
    for (const args of [
      [],
      ['copy'],
      ['copy', 'disk', 'disk'],
      ['copy', 'disk', 'tape'],
      ['url', 'a/b', '0'],
    ])
      expect(await storage(...args)).toMatchObject({ code: 2, text: expect.stringMatching(/^Usage/) });
    const { code, text } = await start(['copy', 'disk', 's3'], { S3_BUCKET: 'another' }).ended;
    expect([code, text]).toEqual([1, expect.stringMatching(/^There is no bucket another/)]);
    const none = { S3_BUCKET: '', S3_ENDPOINT: '', S3_ACCESS_KEY_ID: '', S3_SECRET_ACCESS_KEY: '' };
    expect((await start(['check', 'disk', 's3'], none).ended).text).toMatch(/^S3_BUCKET is not set/);
  });
});

it('url gives an address that needs no keys', async () => {
  await storage('copy', 'disk', 's3');
  const { text } = await storage('url', 'faces/a/3.png', '30');
  expect(Buffer.from(await (await fetch(text.trim())).arrayBuffer())).toEqual(Buffer.alloc(100, 3));
  expect(text).toMatch(/X-Amz-Expires=30/);
});

it('lifecycle has a rule for every prefix, shows them and sets them', async () => {
  for (const folder of FOLDERS) expect(Object.keys(prefixes)).toContain(`${folder}/`);
  const shown = JSON.parse((await storage('lifecycle')).text);
  expect(shown.Rules).toHaveLength(FOLDERS.length + 1);
  // Nothing that a row may name goes by itself.
  const expiring = shown.Rules.filter((rule: object) => 'Expiration' in rule);
  expect(expiring).toMatchObject([{ Filter: { Prefix: 'tests/room/' }, Expiration: { Days: 1 } }]);
  expect(await storage('lifecycle', 'apply')).toMatchObject({ code: 0 });
  for (const prefix of Object.keys(prefixes)) expect(s3.lifecycle).toContain(`<Prefix>${prefix}</Prefix>`);
});
