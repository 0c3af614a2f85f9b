import fc from 'fast-check';
import { v7 as uuid } from 'uuid';
import { describe, expect, it } from 'vitest';
import type { PublishedPicture } from '#src/gallery.ts';
import { byPublishing, type List, pageOf, readCursor, writeCursor } from '#src/services/web/wall/lists.ts';

const NOON = Date.parse('2026-11-20T12:00:00Z');

/** @param minutes when each was published */
function listOf(minutes: readonly number[], loops = false): List {
  const pictures = minutes
    .map((minute) => ({ id: uuid(), publishedAt: new Date(NOON + minute * 60_000) }) as PublishedPicture)
    .sort((a, b) => b.publishedAt.getTime() - a.publishedAt.getTime() || (a.id < b.id ? 1 : -1));
  return { path: '/search?q=rain', title: 'rain', pictures, dateOf: byPublishing, loops };
}
const cursorIn = (address: string) => {
  const text = new URL(address, 'http://here').searchParams.get('before');
  return text === null ? null : readCursor(text);
};

describe('a list', () => {
  it('is walked through a page at a time, each picture once, also where times are equal', () => {
    const minutes = fc.array(fc.integer({ min: 0, max: 5 }), { maxLength: 40 });
    fc.assert(
      fc.property(minutes, fc.integer({ min: 1, max: 9 }), (all, size) => {
        const list = listOf(all);
        const seen: PublishedPicture[] = [];
        for (let next: string | null = list.path; next; ) {
          const page = pageOf(list, cursorIn(next), size);
          expect(page.before).toBe(seen.length);
          seen.push(...page.pictures);
          next = page.next;
        }
        expect(seen).toEqual(list.pictures);
      }),
    );
  });

  it('goes on after the same picture when others came, and when that one went', () => {
    const list = listOf([9, 8, 7, 6, 5]);
    const at = cursorIn(pageOf(list, null, 2).next!);
    const newer = { ...list, pictures: [...listOf([12, 11]).pictures, ...list.pictures] };
    expect(pageOf(newer, at, 2).pictures).toEqual(list.pictures.slice(2, 4));
    const without = { ...list, pictures: list.pictures.filter((_, n) => n !== 1) };
    expect(pageOf(without, at, 2).pictures).toEqual(list.pictures.slice(2, 4));
  });

  it('begins again at its end where it loops and has more than a page', () => {
    expect(pageOf(listOf([3, 2, 1], true), null, 3).next).toBeNull();
    const list = listOf([4, 3, 2, 1], true);
    const last = pageOf(list, cursorIn(pageOf(list, null, 3).next!), 3);
    expect(last.pictures).toHaveLength(1);
    expect(last.next).toBe('/search?q=rain');
  });

  it.each(['', 'x', 'AAAA', writeCursor({ at: new Date(1), id: 'no id' }), 'a'.repeat(200)])(
    'takes no cursor that is none of ours: %j',
    (text) => expect(readCursor(text)).toBeNull(),
  );
});
