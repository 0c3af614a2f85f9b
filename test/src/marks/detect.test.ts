/** What the detector says of files of all kinds: ours, others', changed, small, hostile. */
import sharp from 'sharp';
import { afterAll, describe, expect, it, vi } from 'vitest';
import { certificatesIn } from '#config/signing.ts';
import { detectionOf } from '#src/cards/detection.ts';
import { makeCertificate } from '#src/marks/certificate.ts';
import { detect } from '#src/marks/detect.ts';
import { signFile } from '#src/marks/embed.ts';
import { identity } from '#src/marks/installation.ts';
import { markPicture } from '#src/marks/marks.ts';
import { sayIn } from '#src/say.ts';
import { bomb } from '#test/support/bombs.ts';
import { openFinisher } from '#test/support/finishing.ts';
import { GENERATION } from '#test/support/identity.ts';
import { drawPicture } from '../services/web/pictures.ts';

vi.setConfig({ testTimeout: 60_000 });

const ours = await identity();
const elsewhere = { installation: ours.installation ^ 0xff, ...makeCertificate('Atelier elsewhere') };
const finishers = [openFinisher(ours), openFinisher(elsewhere)];
afterAll(() => Promise.all(finishers.map((finisher) => finisher.close())));

const { png: plain } = await drawPicture(0);
const { data, info } = await sharp(plain).removeAlpha().raw().toBuffer({ resolveWithObject: true });
const bitmap = () => ({ rgb: new Uint8Array(data), width: info.width, height: info.height });
const [here, there] = await Promise.all(
  finishers.map(async (finisher) => Buffer.from((await finisher.picture(bitmap(), GENERATION)).png)),
);

async function told(bytes: Buffer): Promise<{ title: string; text: string }> {
  const { title, lines } = detectionOf(sayIn('en'), await detect('somebody', bytes, 'a.png'));
  return { title, text: lines.join(' ') };
}
/** As somebody saves it anew: nothing of the file is left but pixels. */
const saved = (bytes: Buffer) => sharp(bytes).jpeg({ quality: 80 }).toBuffer();

describe('of a picture that was drawn here', () => {
  it('says so by both marks, and nothing of whose it is while it is not public', async () => {
    const { title, text } = await told(here!);
    expect(title).toBe('It was drawn here');
    expect(text).toContain('It is not in the public gallery, so nothing else is told of it.');
    expect(text).toMatch(
      /This installation has signed it \(C2PA\) <t:\d+:R>, and it was not changed since\./,
    );
    expect(text).toContain('It says that a model drew it.');
  });

  it('says so by its pixels alone, where the file was saved anew', async () => {
    const { title, text } = await told(await saved(here!));
    expect(title).toBe('It was drawn here');
    expect(text).toContain('It has no signature (C2PA).');
  });

  it('says that it was changed', async () => {
    const small = await markPicture(sharp(plain).resize(200).png(), 'drawn');
    small.bytes[small.bytes.length - 200]! ^= 1;
    const seen = await told(small.bytes).catch((error: Error) => error);
    // One bit may make a PNG no picture at all.
    if (seen instanceof Error) expect(seen.message).toContain('upload_not_image');
    const jpeg = await markPicture(sharp(plain).resize(200).jpeg(), 'drawn');
    jpeg.bytes[jpeg.bytes.length - 200]! ^= 1;
    const { title, text } = await told(jpeg.bytes);
    expect(title).toBe('It comes from here, and was changed');
    expect(text).toContain('This installation has signed it (C2PA), and it was changed since.');
  });
});

describe('of what is not ours', () => {
  it('knows another installation’s picture, and its number', async () => {
    const { title, text } = await told(there!);
    expect(title).toBe('Another Atelier drew it');
    expect(text).toContain(elsewhere.installation.toString(16).padStart(4, '0'));
    expect(text).toContain('It is signed by Atelier elsewhere (C2PA), and was not changed since.');
  });

  it('repeats a stranger’s name without its markdown, and what his file says of itself', async () => {
    const { key, certificates } = makeCertificate('**@everyone** [x](https://evil.example)');
    const { createPrivateKey, X509Certificate } = await import('node:crypto');
    const signer = {
      key: createPrivateKey(key),
      certificates: certificatesIn(certificates).map((one) => new X509Certificate(one).raw),
    };
    const source = 'http://cv.iptc.org/newscodes/digitalsourcetype/digitalCapture';
    const file = await sharp(plain).resize(300).jpeg().toBuffer();
    const { title, text } = await told(signFile(file, signer, { source, at: new Date(), mark: null }));
    expect(title).toBe('Somebody else has signed it');
    expect(text).not.toMatch(/(?<!\\)\*\*|@everyone|\]\(|https:\/\//);
    expect(text).toContain('It says that a camera took it.');
  });

  it.each([
    ['without marks', () => saved(plain), 'Its pixels have no watermark of an Atelier.'],
    ['of 10 px', () => sharp(here).resize(10).png().toBuffer(), 'It is too small to have a watermark'],
    ['of 1 px', () => sharp(here).resize(1, 1).webp().toBuffer(), 'It is too small to have a watermark'],
    [
      'of one colour',
      () =>
        sharp({ create: { width: 700, height: 500, channels: 3, background: '#888' } })
          .png()
          .toBuffer(),
      'Its pixels have no watermark of an Atelier.',
    ],
  ])('says of one %s that this proves nothing', async (_, file, line) => {
    const { title, text } = await told(await file());
    expect(title).toBe('No mark was found');
    expect(text).toContain(line);
    expect(text).toContain('That proves nothing');
  });

  it('finds a picture on a screenshot, or says that it proves nothing', async () => {
    const { title, text } = await told(
      await sharp({ create: { width: 1400, height: 900, channels: 3, background: '#313338' } })
        .composite([{ input: await sharp(here).resize({ height: 600 }).toBuffer(), left: 333, top: 111 }])
        .jpeg({ quality: 90 })
        .toBuffer(),
    );
    expect(['It was drawn here', 'No mark was found']).toContain(title);
    expect(text).toMatch(/watermark of a picture that was drawn here|That proves nothing/);
  });

  it.each([
    ['no picture', async () => Buffer.from('<svg xmlns="http://www.w3.org/2000/svg"/>'), 'upload_not_image'],
    ['a picture that is cut off', async () => here!.subarray(0, 20_000), 'upload_not_image'],
    ['a bomb', () => bomb(30_000, 30_000), 'upload_pixels'],
  ])('refuses %s', async (_, file, code) => {
    await expect(detect('somebody', await file(), 'a.png')).rejects.toMatchObject({ code });
  });
});

it('looks at one file of a person at a time', async () => {
  const first = detect('keen', plain, 'a.png');
  await expect(detect('keen', plain, 'b.png')).rejects.toMatchObject({ code: 'turns_taken' });
  await first;
});
