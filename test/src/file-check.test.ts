/** Storage held against the rows: real files, real Postgres. */
import { mkdir, rm, utimes, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { beforeEach, describe, expect, it } from 'vitest';
import { config } from '#config/env.ts';
import { db } from '#src/doors/db.ts';
import { deleteFile, getFile, putFile } from '#src/doors/storage.ts';
import { type Checked, checkFiles, fileCheck } from '#src/file-check.ts';
import { filesIn } from '#test/support/files.ts';
import { actor } from '#test/support/requests.ts';
import { makePicture } from './services/web/pictures.ts';

const HOUR_MS = 60 * 60_000;
const FOLDERS = ['tests', 'productions', 'quarantine', 'photowall', 'curated', 'faces'];
const pathOf = (key: string) => join(config.dataDir, 'files', key);
const bytes = Buffer.from('bytes');

/** A whole pass, by a clock that is so much ahead. */
async function check(aheadMs = 1.1 * HOUR_MS): Promise<Checked> {
  const all = { removed: 0, missing: 0 };
  for await (const { removed, missing } of checkFiles(() => new Date(Date.now() + aheadMs))) {
    all.removed += removed;
    all.missing += missing;
  }
  return all;
}

beforeEach(async () => {
  await rm(join(config.dataDir, 'files'), { recursive: true, force: true });
  await db.batch.deleteMany();
  await db.faceFolder.deleteMany();
});

describe('a file without a row', () => {
  it('goes an hour after it was written, wherever it is, and a half-written one too', async () => {
    const orphans = [
      'tests/2026-11-20/b/g-1.png',
      'productions/2026-11-20/b/g-2.png',
      'quarantine/2026-11-20/b/g-3.png',
      `photowall/main/${crypto.randomUUID()}/original.png`,
      `faces/${crypto.randomUUID()}/p.png`,
    ];
    for (const key of orphans) await putFile(key, bytes);
    const half = 'tests/2026-11-20/b/g-4.png.7d6cf9b5.tmp';
    await writeFile(pathOf(half), bytes);

    expect(await check(0.9 * HOUR_MS)).toEqual({ removed: 0, missing: 0 });
    expect(await filesIn(...FOLDERS)).toEqual([...orphans, half].sort());
    expect(await check()).toEqual({ removed: orphans.length + 1, missing: 0 });
    expect(await filesIn(...FOLDERS)).toEqual([]);
  });

  it('goes alone: what rows name stays', async () => {
    const { image } = await makePicture(1, { visibility: 'published', collection: 'main' });
    const owner = actor();
    await db.user.create({ data: { id: owner.id } });
    const photo = { sha256: 's', width: 200, height: 200, storageKey: 'faces/f/p.png' };
    await db.faceFolder.create({ data: { ownerId: owner.id, name: 'ada', photos: { create: photo } } });
    const kept = [
      image.storageKey,
      photo.storageKey,
      `photowall/main/${image.id}/original.png`,
      `photowall/main/${image.id}/640-v1.webp`,
    ];
    for (const key of kept.slice(1)) await putFile(key, bytes);
    // Of the same picture: an attempt that was killed, and a collection that it is not in.
    await putFile(image.storageKey.replace('.png', '-2.png'), bytes);
    await putFile(`photowall/other/${image.id}/original.png`, bytes);
    expect(await check()).toEqual({ removed: 2, missing: 0 });
    expect(await filesIn(...FOLDERS)).toEqual(kept.sort());
  });

  it('goes when its row says that it was deleted', async () => {
    const { image } = await makePicture(1, { deletedAt: new Date() });
    expect(await check()).toEqual({ removed: 1, missing: 0 });
    await expect(getFile(image.storageKey)).rejects.toThrow(/ENOENT/);
  });

  it('that somebody else put there stays', async () => {
    const theirs = pathOf('tests/.nfs0001');
    await mkdir(dirname(theirs), { recursive: true });
    await writeFile(theirs, bytes);
    await utimes(theirs, 0, 0);
    expect(await check()).toEqual({ removed: 0, missing: 0 });
    await writeFile(theirs, bytes, { flag: 'r+' });
  });

  it('stays where most files have none: then it is another storage’s database', async () => {
    const keys = Array.from({ length: 30 }, (_, i) => `tests/2026-11-20/b/g-${i}.png`);
    for (const key of keys) await putFile(key, bytes);
    expect(await check()).toEqual({ removed: 0, missing: 0 });
    expect(await filesIn(...FOLDERS)).toEqual(keys.sort());
  });
});

describe('a row without its bytes', () => {
  it('is noted until they are there again', async () => {
    const { image } = await makePicture(1);
    const png = await getFile(image.storageKey);
    const missingAt = async () => (await db.image.findUniqueOrThrow({ where: { id: image.id } })).missingAt;
    expect(await check()).toEqual({ removed: 0, missing: 0 });
    expect(await missingAt()).toBeNull();

    await deleteFile(image.storageKey);
    expect(await check()).toEqual({ removed: 0, missing: 1 });
    expect(await missingAt()).toBeInstanceOf(Date);
    expect(await check()).toEqual({ removed: 0, missing: 1 });

    await putFile(image.storageKey, png);
    expect(await check()).toEqual({ removed: 0, missing: 0 });
    expect(await missingAt()).toBeNull();
  });

  it('is none when it was deleted', async () => {
    const { image } = await makePicture(1, { deletedAt: new Date() });
    await deleteFile(image.storageKey);
    expect(await check()).toEqual({ removed: 0, missing: 0 });
  });
});

describe('in a service', () => {
  it('does a page at each call, and only where it is this process’s to do', async () => {
    const { image } = await makePicture(1);
    await deleteFile(image.storageKey);
    const noted = async () => (await db.image.count({ where: { missingAt: { not: null } } })) === 1;

    const others = fileCheck(async () => false);
    for (let i = 0; i < 5; i++) await others();
    expect(await noted()).toBe(false);

    const ours = fileCheck(async () => true);
    for (let i = 0; i < 5; i++) await ours();
    expect(await noted()).toBe(true);
  });
});
