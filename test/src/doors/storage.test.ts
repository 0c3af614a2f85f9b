import { writeFile } from 'node:fs/promises';
import { describe, expect, it } from 'vitest';
import { canStore, getFile, hasFile, isFull, putFile } from '#src/doors/storage.ts';
import { explain, failureOf } from '#src/errors.ts';
import { sayIn } from '#src/say.ts';
import { filesIn } from '#test/support/files.ts';

describe('putFile', () => {
  it('leaves nothing where it could not write', async () => {
    await putFile('tests/a/b/c.png', Buffer.from('one'));
    // The folder of that name is in its way.
    await expect(putFile('tests/a/b', Buffer.from('two'))).rejects.toThrow(/EISDIR|ENOTEMPTY/);
    expect(await filesIn('tests')).toEqual(['tests/a/b/c.png']);
    expect(String(await getFile('tests/a/b/c.png'))).toBe('one');
  });

  it.each(['../a.png', 'tests/../../a.png', '/etc/a.png', 'a.png', 'tests/a b.png'])(
    'takes no key like %j',
    async (key) => {
      await expect(putFile(key, Buffer.from('one'))).rejects.toThrow(/Not a storage key/);
    },
  );
});

describe('a storage that takes no more', () => {
  it('is told from other faults, by what the system says', async () => {
    const full = await writeFile('/dev/full', 'x').catch((error: unknown) => error);
    const missing = await getFile('tests/not/there.png').catch((error: unknown) => error);
    expect([full, missing, new Error('full'), undefined].map(isFull)).toEqual([true, false, false, false]);
    expect(failureOf(full)).toBe('storage_full');
    expect(explain(sayIn('en'), full)).toMatch(/^My storage is full/);
  });

  it('is found by writing, and what was written goes', async () => {
    expect(await canStore(10_000)).toBe(true);
    expect(await filesIn('tests/room')).toEqual([]);
  });
});

it('hasFile says what is there, and of a folder that it is no file', async () => {
  await putFile('tests/d/e.png', Buffer.from('one'));
  expect([await hasFile('tests/d/e.png'), await hasFile('tests/d/f.png'), await hasFile('tests/d')]).toEqual([
    true,
    false,
    false,
  ]);
});
