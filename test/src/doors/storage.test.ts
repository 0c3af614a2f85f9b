/** The same of every place that files can be kept in: a folder, a bucket of a strict S3, and where it is asked for one of Ceph's. */
import { createHash, randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { get } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { config, type S3Settings } from '#config/env.ts';
import { type LocalRadosgw, startRadosgw } from '#infra/local/radosgw.ts';
import {
  canStore,
  getFile,
  hasFile,
  isFull,
  isMissing,
  isStorageAway,
  openStore,
  putFile,
  type Store,
} from '#src/doors/storage.ts';
import { explain, failureOf } from '#src/errors.ts';
import { sayIn } from '#src/say.ts';
import { filesIn } from '#test/support/files.ts';
import { isRequired } from '#test/support/required.ts';
import { S3_KEYS, startS3, type TestS3 } from '#test/support/s3-server.ts';

let s3: TestS3;
const settingsOf = ({ url, bucket }: TestS3): S3Settings => ({
  bucket,
  endpoint: url,
  region: 'eu-central-1',
  keys: S3_KEYS,
  pathStyle: true,
});

async function all<T>(several: AsyncIterable<T>): Promise<T[]> {
  const list: T[] = [];
  for await (const one of several) list.push(one);
  return list;
}

const stopping: (() => Promise<void>)[] = [];
beforeAll(async () => {
  s3 = await startS3({ pageSize: 3 });
  stopping.push(() => s3.stop());
});
afterAll(async () => {
  for (const stop of stopping.reverse()) await stop();
});

async function onCeph(): Promise<Store> {
  const dir = await mkdtemp(join(tmpdir(), 'rgw-'));
  const ceph: LocalRadosgw = await startRadosgw(dir);
  stopping.push(async () => {
    await ceph.stop();
    await rm(dir, { recursive: true, force: true });
  });
  return openStore({ s3: ceph.settings });
}

const places: readonly [string, () => Promise<Store>][] = [
  ['a folder', () => openStore({ dir: join(config.dataDir, 'files') })],
  ['a bucket', () => openStore({ s3: settingsOf(s3) })],
  // It takes half a minute to come up: `.ci/run` asks for it.
  ...(isRequired('radosgw') ? ([['a bucket of Ceph’s', onCeph]] as const) : []),
] as [string, () => Promise<Store>][];

describe.each(places)('in %s', (_, open) => {
  let store: Store;
  beforeAll(async () => {
    store = await open();
    stopping.push(() => store.close());
    await store.check();
  }, 90_000);
  afterEach(async () => {
    for (const folder of ['tests', 'faces']) await store.removeFolder(`${folder}/door`);
  });
  const keysIn = async (folder: string) => (await all(store.list(folder))).sort();

  it('what was put is got, however often, and the last of it', async () => {
    for (const text of ['one', 'another, longer', '']) {
      await store.put('tests/door/a.png', Buffer.from(text));
      expect(String(await store.get('tests/door/a.png'))).toBe(text);
      expect(await store.sha256('tests/door/a.png')).toBe(createHash('sha256').update(text).digest('hex'));
    }
    expect(await keysIn('tests/door')).toEqual(['tests/door/a.png']);
  });

  it('keeps a part of a buffer, and not what stands beside it', async () => {
    const all = Buffer.from('before-inside-after');
    await store.put('tests/door/part.png', all.subarray(7, 13));
    expect(String(await store.get('tests/door/part.png'))).toBe('inside');
  });

  it('keeps what is large, byte by byte', async () => {
    const bytes = randomBytes(21 * 2 ** 20 + 5);
    await store.put('tests/door/large.bin', bytes);
    expect((await store.get('tests/door/large.bin')).equals(bytes)).toBe(true);
    await store.copy('tests/door/large.bin', 'tests/door/twin.bin');
    expect(await store.sha256('tests/door/twin.bin')).toBe(createHash('sha256').update(bytes).digest('hex'));
  });

  it('says of what is not there that it is missing', async () => {
    expect(isMissing(await store.get('tests/door/none.png').catch((error: unknown) => error))).toBe(true);
    const copied = await store
      .copy('tests/door/none.png', 'tests/door/b.png')
      .catch((error: unknown) => error);
    expect(isMissing(copied)).toBe(true);
    expect(await store.modifiedAt('tests/door/none.png')).toBeNull();
    expect(await store.sha256('tests/door/none.png')).toBeNull();
    await store.remove('tests/door/none.png');
    await store.removeFolder('tests/door/none');
    expect(await keysIn('tests/door/none')).toEqual([]);
  });

  it('knows when a file was written, and that a folder is none', async () => {
    const before = Date.now();
    await store.put('tests/door/d/e.png', Buffer.from('one'));
    const at = (await store.modifiedAt('tests/door/d/e.png'))?.getTime() ?? 0;
    // S3 says seconds.
    expect(at).toBeGreaterThan(before - 1_001);
    expect(at).toBeLessThan(Date.now() + 1_001);
    expect(await store.modifiedAt('tests/door/d')).toBeNull();
  });

  it('lists and deletes a folder, on as many pages as it takes, and not one whose name only begins so', async () => {
    const keys = Array.from({ length: 10 }, (_, i) => `tests/door/f/${i % 2 ? 'deep/' : ''}${i}.png`);
    for (const key of [...keys, 'tests/door/f2/a.png']) await store.put(key, Buffer.from('x'));
    expect(await keysIn('tests/door/f')).toEqual([...keys].sort());
    await store.removeFolder('tests/door/f');
    expect(await keysIn('tests/door')).toEqual(['tests/door/f2/a.png']);
  });

  it('copies', async () => {
    await store.put('tests/door/a.png', Buffer.from('one'));
    await store.copy('tests/door/a.png', 'faces/door/b.png');
    await store.remove('tests/door/a.png');
    expect(String(await store.get('faces/door/b.png'))).toBe('one');
  });

  it.each(['../a.png', 'tests/../../a.png', '/etc/a.png', 'a.png', 'tests/a b.png', 'tests/a..b.png'])(
    'takes no key like %j',
    async (key) => {
      const done = [store.put(key, Buffer.from('one')), store.get(key), store.copy('tests/door/a.png', key)];
      for (const one of await Promise.allSettled([...done, store.remove(key), store.readUrl(key, 60)]))
        expect(String(one.status === 'rejected' && one.reason)).toMatch(/Not a storage key/);
    },
  );

  it('gives an address that needs no keys, where it has addresses, and it ends', async () => {
    await store.put('faces/door/p.png', Buffer.from('a face'));
    const url = await store.readUrl('faces/door/p.png', 60);
    if (url === null) return;
    const read = await fetch(url);
    expect([read.status, await read.text()]).toEqual([200, 'a face']);
    const forged = await fetch(url.replace('p.png', 'q.png'));
    expect(forged.status).toBe(403);
    const short = (await store.readUrl('faces/door/p.png', 1)) ?? '';
    await new Promise((done) => setTimeout(done, 2_100));
    expect((await fetch(short)).status).toBe(403);
  });
});

describe('a folder', () => {
  it('leaves nothing where it could not write', async () => {
    await putFile('tests/a/b/c.png', Buffer.from('one'));
    // The folder of that name is in its way.
    await expect(putFile('tests/a/b', Buffer.from('two'))).rejects.toThrow(/EISDIR|ENOTEMPTY/);
    expect(await filesIn('tests')).toEqual(['tests/a/b/c.png']);
    expect(String(await getFile('tests/a/b/c.png'))).toBe('one');
    expect([await hasFile('tests/a/b/c.png'), await hasFile('tests/a/b')]).toEqual([true, false]);
  });

  it('names nothing that others put there', async () => {
    const dir = join(config.dataDir, 'files/tests/strange');
    await mkdir(dir, { recursive: true });
    await writeFile(join(dir, '.nfs0001'), 'x');
    expect(await filesIn('tests/strange')).toEqual([]);
  });

  it('that takes no more is told from other faults, by what the system says', async () => {
    const full = await writeFile('/dev/full', 'x').catch((error: unknown) => error);
    const missing = await getFile('tests/not/there.png').catch((error: unknown) => error);
    expect([full, missing, new Error('full'), undefined].map(isFull)).toEqual([true, false, false, false]);
    expect(failureOf(full)).toBe('storage_full');
    expect(explain(sayIn('en'), full)).toMatch(/^My storage is full/);
  });

  it('that takes no more is found by writing, and what was written goes', async () => {
    expect(await canStore(10_000)).toBe(true);
    expect(await filesIn('tests/room')).toEqual([]);
  });
});

describe('a bucket', () => {
  const key = 'tests/bucket/a.png';
  const opened = async (changes: Partial<S3Settings> = {}) => {
    const store = await openStore({ s3: { ...settingsOf(s3), ...changes } });
    stopping.push(() => store.close());
    return store;
  };
  const faultOf = async (work: Promise<unknown>) => work.then(() => null).catch((error: unknown) => error);
  const says = async (changes: Partial<S3Settings>) => String(await faultOf((await opened(changes)).check()));
  afterEach(async () => {
    s3.mood = 'well';
    s3.objects.clear();
  });

  it('is refused at start with a sentence that says what to mend', async () => {
    expect(await says({ bucket: 'another' })).toMatch(/There is no bucket another at http.*S3_BUCKET/);
    const keys = { ...S3_KEYS, secretAccessKey: 'wrong' };
    expect(await says({ keys })).toMatch(/refuses these keys for the bucket pictures.*S3_SECRET_ACCESS_KEY/);
    expect(await says({ endpoint: 'http://127.0.0.1:9' })).toMatch(
      /can't be reached at http:\/\/127.0.0.1:9 \(ECONNREFUSED\)/,
    );
    expect(await says({ keys })).not.toMatch(/wrong/);
  });

  it('has what is large in parts, each with its checksum, and leaves none when it fails', async () => {
    const store = await opened();
    s3.requests.length = 0;
    await store.put(key, Buffer.alloc(20 * 2 ** 20, 1));
    expect(s3.requests.filter((one) => one.startsWith('PUT uploadId'))).toHaveLength(3);
    s3.requests.length = 0;
    const putting = faultOf(store.put('tests/bucket/b.bin', Buffer.alloc(40 * 2 ** 20, 1)));
    while (!s3.requests.some((one) => one.startsWith('PUT uploadId'))) await new Promise(setImmediate);
    s3.mood = 'full';
    expect(isFull(await putting)).toBe(true);
    expect([s3.unfinished, s3.objects.has('tests/bucket/b.bin')]).toEqual([0, false]);
  });

  it('gives nothing that was not put there', async () => {
    const store = await opened();
    await store.put(key, Buffer.from('one'));
    const { headers, at } = s3.objects.get(key)!;
    // A server that knows no checksums of its own.
    const { 'x-amz-checksum-sha256': _, 'x-amz-checksum-crc32': __, ...rest } = headers;
    s3.objects.set(key, { bytes: Buffer.from('two'), headers: rest, at });
    await expect(store.get(key)).rejects.toThrow(/is not what was put there/);
    s3.objects.set(key, { bytes: Buffer.from('two'), headers, at });
    await expect(store.get(key)).rejects.toThrow();
  });

  it('is away when it refuses connections, hangs, is overloaded or takes no keys, and told so fast the second time', async () => {
    const store = await opened();
    await store.put(key, Buffer.from('one'));
    s3.mood = 'overloaded';
    expect(isStorageAway(await faultOf(store.get(key)))).toBe(true);
    const asked = s3.requests.length;
    expect(isStorageAway(await faultOf(store.put(key, Buffer.from('two'))))).toBe(true);
    expect(s3.requests.length).toBe(asked);

    s3.mood = 'hangs';
    const hanging = await opened();
    expect(isStorageAway(await faultOf(hanging.get(key)))).toBe(true);
    s3.mood = 'well';
    await s3.stop();
    const refused = await opened();
    const fault = await faultOf(refused.modifiedAt(key));
    expect(isStorageAway(fault)).toBe(true);
    expect(explain(sayIn('en'), fault)).toMatch(/^The place where I keep pictures does not answer right now/);
    await s3.start();

    const keys = { ...S3_KEYS, secretAccessKey: 'wrong' };
    expect(isStorageAway(await faultOf((await opened({ keys })).put(key, Buffer.from('x'))))).toBe(true);
    await new Promise((done) => setTimeout(done, 1_000));
    expect(String(await store.get(key))).toBe('one');
  }, 60_000);

  it('asks again where one answer failed', async () => {
    const store = await opened();
    s3.mood = 'overloaded';
    const getting = store.put(key, Buffer.from('one'));
    await new Promise((done) => setTimeout(done, 30));
    s3.mood = 'well';
    await getting;
    expect(String(await store.get(key))).toBe('one');
  });

  it('that takes no more is full, as a disk is', async () => {
    const store = await opened();
    s3.mood = 'full';
    const fault = await faultOf(store.put(key, Buffer.from('one')));
    expect([isFull(fault), failureOf(fault)]).toEqual([true, 'storage_full']);
  });

  it('is named by its host or in the path', async () => {
    await (await opened()).put(key, Buffer.from('one'));
    const store = await opened({ pathStyle: false, endpoint: `http://localhost:${s3.port}` });
    const url = new URL((await store.readUrl(key, 60)) ?? '');
    expect(url.host).toBe(`pictures.localhost:${s3.port}`);
    // Names under localhost are not found by every system: asked by its number, under its name.
    const asked = get({
      host: '127.0.0.1',
      port: s3.port,
      path: url.pathname + url.search,
      headers: { host: url.host },
    });
    const [response] = await once(asked, 'response');
    const body = await all<Buffer>(response);
    expect([response.statusCode, String(Buffer.concat(body))]).toEqual([200, 'one']);
  });
});
