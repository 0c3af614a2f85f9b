import sharp from 'sharp';
import { describe, expect, it } from 'vitest';
import { textsOf } from '#src/uploads/texts.ts';
import { withText } from '#test/support/png-text.ts';

const LINES = 'ein Mädchen\nSteps: 3, Seed: 9';
const png = await sharp({ create: { width: 8, height: 8, channels: 3, background: '#123' } })
  .png()
  .toBuffer();

/** EXIF with a comment of our own, bytes and all, in place of one of the same length. */
async function exifWith(comment: Buffer): Promise<Buffer> {
  const held = 'x'.repeat(comment.length - 8);
  const jpeg = await sharp(png)
    .withExif({ IFD2: { UserComment: held } })
    .jpeg()
    .toBuffer();
  const { exif } = await sharp(jpeg).metadata();
  const at = exif!.indexOf(`ASCII\0\0\0${held}`);
  comment.copy(exif!, at);
  return exif!;
}

describe('the texts of a file', () => {
  it('are those of a PNG, by keyword', async () => {
    const texts = textsOf(await sharp(withText(png, 'parameters', 'a cat')).metadata());
    expect(texts).toEqual([{ keyword: 'parameters', text: 'a cat' }]);
  });

  it.each([
    ['small end first', (text: Buffer) => text],
    ['big end first', (text: Buffer) => text.swap16()],
  ])('are EXIF’s comment, in UTF-16 with the %s', async (_, order) => {
    const comment = Buffer.concat([Buffer.from('UNICODE\0'), order(Buffer.from(LINES, 'utf16le'))]);
    expect(textsOf({ exif: await exifWith(comment) })).toEqual([{ keyword: 'comment', text: LINES }]);
  });

  it('are none where EXIF is none', () => {
    expect(textsOf({ exif: Buffer.from('Exif\0\0II*\0 and no more') })).toEqual([]);
    expect(textsOf({})).toEqual([]);
  });
});
