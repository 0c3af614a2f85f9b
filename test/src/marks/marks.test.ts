/** What leaves is signed so that C2PA's own reader takes it: it knows nothing of how we write. */
import { execFileSync } from 'node:child_process';
import { X509Certificate } from 'node:crypto';
import sharp, { type Sharp } from 'sharp';
import { describe, expect, it } from 'vitest';
import { certificatesIn } from '#config/signing.ts';
import { makeCertificate } from '#src/marks/certificate.ts';
import { takeIdentity } from '#src/marks/installation.ts';
import { markPicture, watermarkOf } from '#src/marks/marks.ts';
import { readClaim } from '#src/marks/reader.ts';
import type { FileFormat } from '#src/uploads/decode.ts';
import { GENERATION, testIdentity } from '#test/support/identity.ts';

takeIdentity(testIdentity);
const [, authority = ''] = certificatesIn(testIdentity.certificates);
const mark = await watermarkOf(GENERATION);

const picture = (width: number, height: number) =>
  sharp({
    create: {
      width,
      height,
      channels: 3,
      background: '#a53',
      noise: { type: 'gaussian', mean: 128, sigma: 30 },
    },
  });
const formats: readonly (readonly [FileFormat, (image: Sharp) => Sharp])[] = [
  ['png', (image) => image.png({ compressionLevel: 3 })],
  ['jpeg', (image) => image.jpeg({ quality: 85 })],
  ['webp', (image) => image.webp({ quality: 80 })],
  ['heif', (image) => image.avif({ quality: 50, effort: 0 })],
];
const sizes: readonly (readonly [number, number])[] = [
  [500, 640],
  [96, 78],
  [3, 1],
];

describe.each(formats)('a %s', (format, encoded) => {
  it.each(sizes)('of %i × %i px is signed, and opens as before', async (width, height) => {
    const { bytes, ...size } = await markPicture(encoded(picture(width, height)), 'drawn', mark);
    expect(size).toEqual({ width, height });
    expect(await readClaim(bytes, format, [authority])).toEqual({
      intact: true,
      known: true,
      signer: 'Atelier 2a51',
      generator: 'Atelier',
      source: 'trainedAlgorithmicMedia',
      at: expect.stringMatching(/^20\d\d-/),
    });
    const { xmp, exif, iptc, ...read } = await sharp(bytes).metadata();
    expect(read).toMatchObject({ format, width, height });
    expect(xmp?.toString()).toContain('digitalsourcetype/trainedAlgorithmicMedia<');
    expect({ exif, iptc }).toEqual({ exif: undefined, iptc: undefined });
    const { data, info } = await sharp(bytes).raw().toBuffer({ resolveWithObject: true });
    expect(data.length).toBe(info.width * info.height * info.channels);
  });

  it('is known to have been changed, be it one bit', async () => {
    const { bytes } = await markPicture(encoded(picture(64, 64)), 'drawn', mark);
    // In the pixels: the manifest stands at the end of a WebP, and before them in the others.
    bytes[format === 'webp' ? 2_000 : bytes.length - 100]! ^= 1;
    expect(await readClaim(bytes, format, [authority])).toMatchObject({ intact: false });
  });
});

it('says nothing of whose it is that is not ours, and nothing where nothing is', async () => {
  const { bytes } = await markPicture(picture(64, 64).png(), 'drawn', mark);
  const others = certificatesIn(makeCertificate('Another').certificates);
  expect(await readClaim(bytes, 'png', others.slice(1))).toMatchObject({ intact: true, known: false });
  expect(await readClaim(await picture(64, 64).png().toBuffer(), 'png', [authority])).toBeNull();
  expect(await readClaim(bytes.subarray(0, 900), 'png', [authority])).toBeNull();
  const damaged = Buffer.from(bytes);
  damaged[60]! ^= 0x55; // in a label
  expect(await readClaim(damaged, 'png', [authority])).toMatchObject({ intact: false, signer: null });
  await expect(readClaim(bytes, 'png', [])).rejects.toThrow('BadParam');
});

it.each(formats)('tells a %s of several pictures from one', async (format, encoded) => {
  const { bytes } = await markPicture(encoded(picture(64, 64)), 'composed');
  expect(await readClaim(bytes, format, [authority])).toMatchObject({
    intact: true,
    source: 'compositeWithTrainedAlgorithmicMedia',
  });
});

it('is small, and has nothing in it but what it says', async () => {
  const plain = await picture(500, 640).png().toBuffer();
  const { bytes } = await markPicture(picture(500, 640).png(), 'drawn', mark);
  expect(bytes.length - plain.length).toBeLessThan(3_000);
  const words = bytes.toString('latin1').match(/[\x20-\x7e]{6,}/g) ?? [];
  const said = words.filter((word) => /atelier|c2pa|xmp|rdf|iptc/i.test(word)).join(' ');
  expect(said).not.toMatch(/prompt|guild|discord|user/i);
});

it('makes certificates that Node takes, one signed by the other', () => {
  const [own, root] = certificatesIn(testIdentity.certificates).map((one) => new X509Certificate(one));
  expect(own?.verify(root!.publicKey)).toBe(true);
  expect(own?.checkIssued(root!)).toBe(true);
  expect([own?.ca, root?.ca]).toEqual([false, true]);
  expect(own?.subject).toBe('O=Atelier\nCN=Atelier 2a51');
});

/** A reader that shares nothing with C2PA's, where the machine has one. */
const exiftool = (() => {
  try {
    return execFileSync('exiftool', ['-ver'], { encoding: 'utf8' });
  } catch {
    return null;
  }
})();

it.runIf(exiftool)('is read by exiftool too', async () => {
  for (const [, encoded] of formats.slice(0, 2)) {
    const { bytes } = await markPicture(encoded(picture(64, 64)), 'drawn', mark);
    const said = execFileSync('exiftool', ['-a', '-G1', '-'], { input: bytes, encoding: 'utf8' });
    expect(said).toMatch(/JUMD Label\s+: c2pa\.signature/);
    expect(said).toMatch(/XMP-iptcExt\]\s+Digital Source Type\s+: .*trainedAlgorithmicMedia/);
    expect(said).not.toMatch(/warning/i);
  }
});
