import { readdir } from 'node:fs/promises';
import { join, resolve, sep } from 'node:path';
import fc from 'fast-check';
import { beforeEach, describe, expect, it, vi } from 'vitest';
import { config } from '#config/env.ts';
import { db } from '#src/doors/db.ts';
import * as queue from '#src/doors/queue.ts';
import { hasFile } from '#src/doors/storage.ts';
import {
  addPhotos,
  CONSENT_VERSION,
  finishFaceCheck,
  folderHash,
  folderPhotos,
  getFolder,
  giveConsent,
  listFolders,
  PHOTOS_MAX,
  photoToCheck,
  refuseConsent,
  removeStalePhotos,
  requeueWaitingChecks,
  usableFolder,
  waitForChecks,
} from '#src/faces.ts';
import { folderName } from '#src/folder-name.ts';
import { removeFolder, withdrawConsent } from '#src/withdrawal.ts';
import { actor } from '../support/requests.ts';

const photo = (text = 'one') => ({ png: Buffer.from(`PNG ${text}`), width: 200, height: 300 });
const photos = (count: number) => Array.from({ length: count }, (_, i) => photo(String(i)));
const code = (code: string) => expect.objectContaining({ code });
/** What they agreed to, as they read it. */
const CONSENT = 'Das bin ich.';
const HOUR_MS = 60 * 60_000;

const jobs: { kind: string; payload: object }[] = [];
beforeEach(() => {
  jobs.length = 0;
  vi.spyOn(queue.queues(), 'add').mockImplementation(async (kind, payload) => {
    jobs.push({ kind, payload });
  });
});

/** A folder with `count` photos that were checked. */
async function checked(person = actor(), name = 'ada', count = 1) {
  const { folder, ids } = await addPhotos(person, name, photos(count));
  for (const id of ids) await finishFaceCheck(id, 1);
  return { person, folder, ids };
}
/** … and consented to. */
async function accepted(person = actor(), name = 'ada', count = 1) {
  const it = await checked(person, name, count);
  await giveConsent(person, it.folder.id, CONSENT);
  return it;
}
const stateOf = async (id: string) => (await db.facePhoto.findUnique({ where: { id } }))?.state ?? 'gone';
const filesOf = (folderId: string) =>
  readdir(join(config.dataDir, 'files/faces', folderId)).catch(() => [] as string[]);

describe('a face photo', () => {
  it('is stored, and nobody waits for a queue that never answers', async () => {
    const add = vi.spyOn(queue.queues(), 'add').mockReturnValue(new Promise(() => {}));
    const { ids } = await addPhotos(actor(), 'ada', photos(1));
    expect(add).toHaveBeenCalledOnce();
    expect(await stateOf(ids[0]!)).toBe('checking');
    await finishFaceCheck(ids[0]!, 1);
  });

  it('that waits for its check and is not in the queue is put back, once it had time to get there', async () => {
    const { ids } = await addPhotos(actor(), 'lost', photos(2));
    const [first = '', second = ''] = ids;
    const inQueue = new Set([first]);
    vi.spyOn(queue.queues(), 'ids').mockImplementation(async () => inQueue);
    jobs.length = 0;
    expect(await requeueWaitingChecks()).toBe(0);
    const later = new Date(Date.now() + 10_000);
    expect(await requeueWaitingChecks(undefined, later)).toBe(1);
    expect(jobs).toEqual([{ kind: 'face-check', payload: { photoId: second } }]);
    await finishFaceCheck(second, 1);
    expect(await requeueWaitingChecks(undefined, later)).toBe(0);
    await finishFaceCheck(first, 1);
  });

  it('is stored, checked by a worker, and used only after consent', async () => {
    const person = actor();
    const { folder, ids } = await addPhotos(person, 'ada', [photo()]);
    const [id] = ids as [string];
    expect(jobs).toEqual([{ kind: 'face-check', payload: { photoId: id } }]);
    expect(String(await photoToCheck(id))).toBe('PNG one');
    await expect(usableFolder(person.id, 'ada')).rejects.toEqual(code('folder_empty'));

    await finishFaceCheck(id, 1);
    expect(await waitForChecks(ids, 100)).toMatchObject([{ id, state: 'checked' }]);
    expect(await photoToCheck(id)).toBeNull();
    await expect(usableFolder(person.id, 'ada')).rejects.toEqual(code('folder_empty'));
    await expect(folderHash(folder.id)).rejects.toEqual(code('folder_empty'));
    expect(await folderPhotos(folder.id)).toEqual([]);

    expect(await giveConsent(person, folder.id, CONSENT)).toMatchObject({ photos: 1 });
    expect(await usableFolder(person.id, 'ada')).toMatchObject({ id: folder.id });
    expect((await folderPhotos(folder.id)).map(String)).toEqual(['PNG one']);
    expect(await db.facePhoto.findUniqueOrThrow({ where: { id } })).toMatchObject({
      consentBy: person.id,
      consentVersion: CONSENT_VERSION,
      consentAt: expect.any(Date),
    });
    expect(await db.auditEvent.findFirst({ where: { subject: `folder:${folder.id}` } })).toMatchObject({
      action: 'consent.given',
      actorId: person.id,
      after: { photos: [id], version: CONSENT_VERSION, text: CONSENT },
    });
  });

  it.each([
    [0, 'face_none'],
    [2, 'face_many'],
    [Number.NaN, 'face_none'],
    [-1, 'face_none'],
  ])('with %d faces is rejected, and its bytes are gone', async (faces, reason) => {
    const { folder, ids } = await addPhotos(actor(), 'ada', [photo()]);
    await finishFaceCheck(ids[0]!, faces);
    expect(await waitForChecks(ids, 100)).toMatchObject([{ state: 'rejected', reason }]);
    expect(await filesOf(folder.id)).toEqual([]);
    await finishFaceCheck(ids[0]!, 1);
    expect(await stateOf(ids[0]!)).toBe('rejected');
  });

  it('that no worker looks at in time is told as busy', async () => {
    const { ids } = await addPhotos(actor(), 'ada', [photo()]);
    await expect(waitForChecks(ids, 10)).rejects.toEqual(code('busy'));
  });

  it('that nobody consented to within an hour is deleted, and so is the folder it leaves empty', async () => {
    const stale = await checked();
    const kept = await accepted();
    const { ids } = await addPhotos(kept.person, 'ada', [photo('later')]);
    await removeStalePhotos(new Date(Date.now() + HOUR_MS - 5_000));
    expect(await stateOf(stale.ids[0]!)).toBe('checked');

    await removeStalePhotos(new Date(Date.now() + HOUR_MS + 5_000));
    expect(await stateOf(stale.ids[0]!)).toBe('gone');
    expect(await filesOf(stale.folder.id)).toEqual([]);
    expect(await listFolders(stale.person.id)).toEqual([]);
    expect(await stateOf(ids[0]!)).toBe('gone');
    expect(await stateOf(kept.ids[0]!)).toBe('accepted');
    expect(await filesOf(kept.folder.id)).toHaveLength(1);
  });

  it('is deleted or accepted, never accepted without its bytes, when both happen at once', async () => {
    for (let i = 0; i < 10; i++) {
      const { person, folder, ids } = await checked();
      await Promise.allSettled([
        giveConsent(person, folder.id, CONSENT),
        removeStalePhotos(new Date(Date.now() + 2 * HOUR_MS)),
      ]);
      const files = await filesOf(folder.id);
      expect([await stateOf(ids[0]!), files.length]).toEqual(files.length ? ['accepted', 1] : ['gone', 0]);
    }
  });
});

describe('consent', () => {
  it('is given by the owner alone, and once', async () => {
    const { person, folder, ids } = await checked();
    await expect(giveConsent(actor(), folder.id, CONSENT)).rejects.toEqual(code('not_yours'));
    await expect(refuseConsent(actor(), folder.id)).rejects.toEqual(code('not_yours'));
    await expect(withdrawConsent(actor(), folder.id)).rejects.toEqual(code('not_yours'));
    expect(await stateOf(ids[0]!)).toBe('checked');
    const presses = await Promise.allSettled([1, 2, 3].map(() => giveConsent(person, folder.id, CONSENT)));
    expect(presses.filter(({ status }) => status === 'fulfilled')).toHaveLength(1);
    expect(await db.auditEvent.count({ where: { subject: `folder:${folder.id}` } })).toBe(1);
    await expect(giveConsent(person, folder.id, CONSENT)).rejects.toEqual(code('already_done'));
  });

  it('is for the photos that were shown, not for others', async () => {
    const { person, folder, ids } = await checked(actor(), 'ada', 3);
    const other = await checked();
    expect(await giveConsent(person, folder.id, CONSENT, [ids[1]!, other.ids[0]!])).toMatchObject({
      photos: 1,
    });
    expect(await Promise.all(ids.map(stateOf))).toEqual(['checked', 'accepted', 'checked']);
    expect(await stateOf(other.ids[0]!)).toBe('checked');
  });

  it('refused deletes what waits and keeps what was agreed to', async () => {
    const { person, folder, ids } = await accepted();
    const more = await checked(person, 'ada', 2);
    await refuseConsent(person, folder.id);
    expect(await Promise.all([...ids, ...more.ids].map(stateOf))).toEqual(['accepted', 'gone', 'gone']);
    expect(await filesOf(folder.id)).toHaveLength(1);
  });

  it('withdrawn deletes bytes and rows, and is audited', async () => {
    const { person, folder, ids } = await accepted(actor(), 'ada', 2);
    expect(await withdrawConsent(person, folder.id, [ids[0]!])).toBe(1);
    expect(await Promise.all(ids.map(stateOf))).toEqual(['gone', 'accepted']);
    expect(await withdrawConsent(person, folder.id)).toBe(1);
    expect(await filesOf(folder.id)).toEqual([]);
    expect(await listFolders(person.id)).toEqual([]);
    expect(await db.auditEvent.count({ where: { action: 'consent.withdrawn', actorId: person.id } })).toBe(2);
  });
});

describe('a face folder', () => {
  it('holds ten photos, also when two commands add at once; bytes that were too many are gone', async () => {
    const person = actor();
    await expect(addPhotos(person, 'ada', photos(PHOTOS_MAX + 1))).rejects.toEqual(code('photos_limit'));
    expect(await listFolders(person.id)).toEqual([]);
    const { folder } = await addPhotos(person, 'ada', photos(4));
    const adds = await Promise.allSettled([1, 2, 3].map(() => addPhotos(person, 'ada', photos(4))));
    expect(adds.filter(({ status }) => status === 'fulfilled')).toHaveLength(1);
    expect(await filesOf(folder.id)).toHaveLength(8);
    expect(await db.facePhoto.count({ where: { folderId: folder.id } })).toBe(8);
  });

  it('has a hash that follows its accepted photos and their order, and nothing else', async () => {
    const one = await accepted(actor(), 'ada', 2);
    const same = await accepted(actor(), 'bob', 2);
    expect(await folderHash(one.folder.id)).toMatch(/^[0-9a-f]{64}$/);
    const before = await folderHash(one.folder.id);
    await checked(one.person, 'ada', 1);
    expect(await folderHash(one.folder.id)).toBe(before);
    await giveConsent(one.person, one.folder.id, CONSENT);
    expect(await folderHash(one.folder.id)).not.toBe(before);
    const bytes = (await folderPhotos(same.folder.id)).map(String);
    expect((await folderPhotos(same.folder.id)).map(String)).toEqual(bytes);
  });

  it('is its owner’s alone: others have a folder of the same name, or none', async () => {
    const one = await accepted();
    const other = actor();
    await expect(getFolder(other.id, 'ada')).rejects.toEqual(code('folder_unknown'));
    await expect(removeFolder(other, 'ada')).rejects.toEqual(code('folder_unknown'));
    const mine = await accepted(other);
    expect(mine.folder.id).not.toBe(one.folder.id);
  });

  it('that is not there is told with those that are', async () => {
    const { person } = await accepted();
    await expect(usableFolder(person.id, 'adda')).rejects.toMatchObject({
      code: 'folder_unknown',
      userMessage: 'You have no face folder named `adda`. Yours: `ada`.',
    });
  });

  it('removed leaves no bytes and no rows, and an audit event', async () => {
    const { person, folder, ids } = await accepted(actor(), 'ada', 3);
    await addPhotos(person, 'ada', [photo('unchecked')]);
    await removeFolder(person, 'ada');
    expect(await filesOf(folder.id)).toEqual([]);
    expect(await db.facePhoto.count({ where: { folderId: folder.id } })).toBe(0);
    expect(await hasFile(`faces/${folder.id}/${ids[0]}.png`)).toBe(false);
    await expect(getFolder(person.id, 'ada')).rejects.toEqual(code('folder_unknown'));
    expect(
      await db.auditEvent.count({ where: { action: 'folder.remove', subject: `folder:${folder.id}` } }),
    ).toBe(1);
  });

  it('removed while photos are added leaves nothing behind', async () => {
    for (let i = 0; i < 5; i++) {
      const { person, folder } = await accepted();
      await Promise.allSettled([addPhotos(person, 'ada', photos(3)), removeFolder(person, 'ada')]);
      const rows = await db.facePhoto.count({ where: { folderId: folder.id } });
      expect(await filesOf(folder.id)).toHaveLength(rows);
    }
  });
});

describe('a folder’s name', () => {
  const root = resolve('/files/faces');

  it.each(['ada', 'a', '0', 'ada-2_b', 'a'.repeat(32)])('may be %s', (name) => {
    expect(folderName(name)).toBe(name);
  });

  it.each([
    '',
    '.',
    '..',
    '../ada',
    'ada/..',
    '/etc',
    'C:\\ada',
    'ada\\..',
    'ada.',
    'a b',
    '-ada',
    '_ada',
    'Ada',
    'adá',
    'ada\n',
    'ada\0',
    'a'.repeat(33),
    '%2e%2e',
    '․․',
    'ada／bob',
    '~',
    'faces/ada',
  ])('may not be %j', async (name) => {
    expect(() => folderName(name)).toThrow(code('folder_name'));
    const person = actor();
    await expect(addPhotos(person, name, [photo()])).rejects.toEqual(code('folder_name'));
    await expect(getFolder(person.id, name)).rejects.toEqual(code('folder_name'));
    await expect(removeFolder(person, name)).rejects.toEqual(code('folder_name'));
  });

  it('may not be what the rules for prompts refuse; one of before can still be removed', async () => {
    const person = actor();
    await expect(addPhotos(person, 'nude-child', [photo()])).rejects.toEqual(code('name_blocked'));
    expect(await db.faceFolder.count({ where: { ownerId: person.id } })).toBe(0);
    await expect(removeFolder(person, 'nude-child')).rejects.toEqual(code('folder_unknown'));
  });

  it('that is taken never leads out of its folder, of 200,000 tried', () => {
    const piece = fc.constantFrom(
      '..',
      '.',
      '/',
      '\\',
      '\0',
      'ada',
      'a',
      '-',
      '_',
      '%2f',
      '～',
      'CON',
      ':',
      '\n',
      '\u202e',
      '0',
    );
    const name = fc.oneof(
      fc.string({ unit: 'binary' }),
      fc.array(piece, { maxLength: 6 }).map((parts) => parts.join('')),
    );
    let taken = 0;
    fc.assert(
      fc.property(name, (name) => {
        try {
          folderName(name);
        } catch {
          return;
        }
        taken++;
        const path = resolve(root, name);
        expect(path.startsWith(root + sep) && path.slice(root.length + 1) === name).toBe(true);
      }),
      { numRuns: 200_000 },
    );
    expect(taken).toBeGreaterThan(100);
  });
});
