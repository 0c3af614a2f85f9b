import { expect, it } from 'vitest';
import { decodeMark, encodeMark, generationDigits, MARK_BYTES } from '#src/marks/payload.ts';

const id = '019ad5f2-3c1e-7d43-9f00-6b7c8d9e0f1a';
const mark = { installation: 40_507, generation: generationDigits(id) };

it('is eight bytes, and comes back', () => {
  const bytes = encodeMark(mark);
  expect(bytes.length).toBe(MARK_BYTES);
  expect(decodeMark(bytes)).toEqual(mark);
  expect(decodeMark(encodeMark({ installation: 0, generation: '000000000' }))).toEqual({
    installation: 0,
    generation: '000000000',
  });
});

it('names a generation by the last digits of its id', () => {
  expect(mark.generation).toBe('c8d9e0f1a');
  expect(id.endsWith(mark.generation)).toBe(true);
});

it('is refused with any one bit wrong', () => {
  const bytes = encodeMark(mark);
  for (let bit = 0; bit < 64; bit++) {
    const wrong = bytes.slice();
    wrong[bit >> 3]! ^= 0x80 >> (bit & 7);
    expect(decodeMark(wrong)).toBe(null);
  }
});

it.each([
  { installation: 65_536, generation: '000000000' },
  { installation: -1, generation: '000000000' },
  { installation: 1.5, generation: '000000000' },
  { installation: 1, generation: '00000000' },
  { installation: 1, generation: 'C8D9E0F1A' },
])('is not written of %j', (wrong) => {
  expect(() => encodeMark(wrong)).toThrow();
});
