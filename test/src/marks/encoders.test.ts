/** Every place that makes a file of a picture is known here, so that none leaves without its marks. */
import { globSync, readFileSync } from 'node:fs';
import { expect, it } from 'vitest';

const CALL = String.raw`\((?:[^()]|\([^()]*\))*\)`;
const ENCODER = String.raw`\.(?:png|webp|jpeg|avif|heif|tiff|gif|jxl|jp2|toFormat)${CALL}`;
const ENCODES = new RegExp(ENCODER);
/** … and its bytes are taken at once. */
const TAKEN = new RegExp(String.raw`${ENCODER}(?:\s*\.\w+${CALL})*?\s*\.to(?:Buffer|File)\(`);
/** Elsewhere `markPicture` is given the encoder, and nobody else has its bytes. */
const UNMARKED: Readonly<Record<string, string>> = {
  'src/marks/marks.ts': 'markPicture itself',
  'src/uploads/decode.ts': 'people’s photos, as they are kept',
  'commands/faces.ts': 'people’s photos, to their owner alone: no machine made them',
  'src/services/web/wall/placeholders.ts':
    'a blur of 16 px inside a page, of 150 bytes: signed it would be twenty times that, and each page has fifty',
};

const files = globSync('{src,commands}/**/*.ts').sort();
const textOf = (file: string) => readFileSync(file, 'utf8');

it('encodes pictures in known places alone', () => {
  const encoding = files.filter((file) => ENCODES.test(textOf(file)));
  expect(encoding).toEqual(
    [
      ...Object.keys(UNMARKED).filter((file) => file !== 'src/marks/marks.ts'),
      'src/cards/contact-sheet/canvas.ts',
      'src/cards/review.ts',
      'src/cards/sheet.ts',
      'src/cards/shrink.ts',
      'src/services/web/draw/thumbnails.ts',
      'src/services/web/reviews/reviews.ts',
      'src/services/web/wall/variants.ts',
      'src/services/worker/finish-thread.ts',
    ].sort(),
  );
});

it('gives what it encodes to markPicture, but for what is no picture of ours', () => {
  for (const file of files) {
    const text = textOf(file);
    if (file in UNMARKED || !ENCODES.test(text)) continue;
    expect(TAKEN.exec(text)?.[0], file).toBeUndefined();
    expect(text, file).toContain('markPicture(');
  }
  // What it looks for is found.
  expect(TAKEN.test(textOf('commands/faces.ts'))).toBe(true);
});
