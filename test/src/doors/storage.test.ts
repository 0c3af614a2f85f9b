import { describe, expect, it } from 'vitest';
import { getFile, hasFile, putFile } from '#src/doors/storage.ts';
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

it('hasFile says what is there, and of a folder that it is no file', async () => {
  await putFile('tests/d/e.png', Buffer.from('one'));
  expect([await hasFile('tests/d/e.png'), await hasFile('tests/d/f.png'), await hasFile('tests/d')]).toEqual([
    true,
    false,
    false,
  ]);
});
