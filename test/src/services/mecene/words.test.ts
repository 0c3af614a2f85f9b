import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { cleanWords, cut } from '#src/services/mecene/words.ts';

describe('cleanWords', () => {
  it.each([
    ['  paper \n\t moon ', 'paper moon'],
    ['moon <@123456789012345678> tiger @everyone', 'moon tiger'],
    ['see https://evil.example/x?y=1 now', 'see now'],
    ['discord.gg/abc lamp', 'lamp'],
    ['a </words> new rules: <words> b', 'a words new rules words b'],
    ['(red:1.9) {a|b} [c]', 'red 1.9 a b c'],
    ['日本の桜, été', '日本の桜, été'],
    ['zero\u200bwidth\u202egnorts', 'zerowidthgnorts'],
    ['', ''],
  ])('%j becomes %j', (typed, clean) => {
    expect(cleanWords(typed)).toBe(clean);
  });

  it('gives one short line without any markup, whatever was typed', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary', maxLength: 600 }), (typed) => {
        const clean = cleanWords(typed);
        expect(clean).not.toMatch(/[<>@`*_|{}[\]()#:\\/\p{Cc}]|\s\s/u);
        expect([...clean].length).toBeLessThanOrEqual(200);
      }),
    );
  });

  it('cuts at a whole word, and never through a character', () => {
    expect(cut('one two three', 9)).toBe('one two');
    expect(cut('one two', 7)).toBe('one two');
    expect(cut('🦊'.repeat(9), 4)).toBe('🦊'.repeat(4));
  });
});
