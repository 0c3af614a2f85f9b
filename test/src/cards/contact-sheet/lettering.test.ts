import { describe, expect, it } from 'vitest';
import { setText } from '#src/cards/contact-sheet/lettering.ts';

/** What Pango draws for a character that no font has: its number in a frame. Of one character: there may be no ink around it. */
async function isFrame(character: string, bold: boolean): Promise<boolean> {
  const { data, width, height } = await setText(character, { size: 32, bold });
  const row = (y: number) => Array.from({ length: width }, (_, x) => data[y * width + x] ?? 0);
  const inked = Array.from({ length: height }, (_, y) => row(y).filter((ink) => ink > 100).length);
  return Math.max(inked[0] ?? 0, inked[1] ?? 0) > width * 0.9 && Math.max(...inked.slice(-2)) > width * 0.9;
}

describe.each([false, true])('a label, bold: %s', (bold) => {
  it.each(['é', 'ß', 'Ж', 'λ', '×', 'あ', 'ア', '髪', '東', '赤', '女', '薔'])(
    'can be read: %s',
    async (character) => {
      expect(await isFrame(character, bold)).toBe(false);
    },
  );

  it('shows a frame for what no font has', async () => {
    // Of the last plane: in the first, fonts of icons have theirs.
    expect(await isFrame('\u{10fffd}', bold)).toBe(true);
  });
});
