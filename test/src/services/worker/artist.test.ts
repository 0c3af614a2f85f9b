/** The worker's side of its threads: pictures, files and previews as they come out of them. */
import { createHash } from 'node:crypto';
import sharp from 'sharp';
import { thumbHashToRGBA } from 'thumbhash';
import { afterAll, beforeAll, describe, expect, inject, it, vi } from 'vitest';
import { type Artist, type AskedPicture, startArtist } from '#src/services/worker/artist.ts';
import type { DrawnTogether, FacePhotos } from '#src/services/worker/protocol.ts';
import { GENERATION, testIdentity } from '#test/support/identity.ts';
import { portraitRequest } from '#test/support/portrait-request.ts';
import { portraitPhoto } from '#test/support/portraits.ts';
import { pixelsOf } from '#test/support/read-picture.ts';
import { usualPlace } from '#test/support/where.ts';

vi.setConfig({ testTimeout: 120_000 });

let artist: Artist;
let ada: FacePhotos;
beforeAll(async () => {
  artist = await startArtist(inject('bundleDir'), {
    identity: testIdentity,
    threads: 1,
    providers: ['cpu'],
  });
  ada = { photoIds: ['ada'], photos: [await portraitPhoto(2)] };
});
afterAll(() => artist.close());

function asked(
  prompt: string,
  changes: Parameters<typeof portraitRequest>[1] = {},
  more: Partial<AskedPicture> = {},
): AskedPicture {
  const { face: _, ...request } = portraitRequest(prompt, {
    width: 384,
    height: 448,
    steps: 6,
    detailSteps: 6,
    ...changes,
  });
  return {
    generationId: GENERATION,
    request,
    face: null,
    where: usualPlace,
    signal: new AbortController().signal,
    onProgress() {},
    ...more,
  };
}

describe('pictures that are drawn together', () => {
  const noir = [{ name: 'noir', scale: 0.8 }];
  const all = (face = ada) => [
    asked('a woman, red hair', { seed: 92 }, { face }),
    asked('a man, green background', { seed: 3, guidanceScale: 7 }),
    asked('a man', { seed: 9 }, { face }),
    asked('a woman in a forest', { seed: 4, guidanceScale: 1 }),
  ];

  it.each([
    ['without LoRAs', []],
    ['with LoRAs', noir],
  ])('are to the byte what each is alone, %s', async (_, loras) => {
    const together = await Promise.all(artist.drawTogether(all(), loras));
    expect(together.map(({ batch }) => batch)).toEqual([4, 4, 4, 4]);
    for (const [n, picture] of all().entries()) {
      const [alone] = await Promise.all(artist.drawTogether([picture], loras));
      expect(await pixelsOf(alone!)).toBe(await pixelsOf(together[n]!));
      expect(alone!.batch).toBe(1);
    }
    expect(new Set(await Promise.all(together.map(pixelsOf))).size).toBe(4);
  });

  it('come as files: a PNG with its hash, and a thumbhash of it', async () => {
    const [{ png, sha256, width, height, thumbhash, timings }] = (await Promise.all(
      artist.drawTogether([asked('a woman, blue background')], []),
    )) as [DrawnTogether];
    expect(createHash('sha256').update(png).digest('hex')).toBe(sha256);
    expect(await sharp(png).metadata()).toMatchObject({ format: 'png', width, height });
    expect([width, height]).toEqual([384, 448]);
    const { w, h } = thumbHashToRGBA(thumbhash);
    expect(w).toBeLessThan(h);
    expect(timings).toEqual(
      Object.fromEntries(
        ['lora', 'face', 'conditioning', 'base', 'decode', 'likeness', 'safety', 'encode'].map((stage) => [
          stage,
          expect.any(Number),
        ]),
      ),
    );
  });

  it('end each by itself: one is cancelled while it waits or is drawn, and the others are what they are', async () => {
    const early = new AbortController();
    const late = new AbortController();
    const signals = { early: early.signal, late: late.signal };
    const first = artist.drawTogether(
      [
        asked(
          'a man',
          {},
          {
            signal: signals.late,
            onProgress: (progress) => progress > 0.4 && late.abort(),
          },
        ),
        asked('a woman'),
      ],
      [],
    );
    const second = artist.drawTogether(
      [
        asked('a man', {}, { signal: signals.early }),
        asked('a woman'),
        asked('a man', {}, { signal: AbortSignal.abort(new Error('before')) }),
      ],
      [],
    );
    early.abort();
    const outcomes = await Promise.allSettled([...first, ...second]);
    expect(outcomes.map((one) => (one.status === 'rejected' ? one.reason.message : one.value.batch))).toEqual(
      ['cancelled', 2, 'cancelled', 1, 'before'],
    );
    const [, one, , other] = outcomes as PromiseFulfilledResult<DrawnTogether>[];
    expect(await pixelsOf(one!.value)).toBe(await pixelsOf(other!.value));
  });

  it('may be four as long as memory has room for them', () => {
    expect(artist.batchMax({ width: 384, height: 448, detailSide: null })).toBe(4);
  });

  it('of none are none', () => {
    expect(artist.drawTogether([], [])).toEqual([]);
  });
});

describe('previews', () => {
  it('are small WebPs of the whole picture, for those who asked', async () => {
    const previews: (Uint8Array | null)[] = [];
    const size = { width: 1024, height: 832, steps: 6 };
    const onPreview = (webp: Uint8Array | null) => previews.push(webp);
    const pictures = [
      asked('a woman in a garden', size, { previews: { everyMs: 0, onPreview } }),
      asked('a man', size),
    ];
    await Promise.all(artist.drawTogether(pictures, []));
    // The last one may come after the picture is done: it is for nobody then.
    expect(previews.length).toBeGreaterThanOrEqual(5);
    for (const webp of previews) {
      if (!webp) throw new Error('taken back');
      expect(await sharp(webp).metadata()).toMatchObject({ format: 'webp', width: 96, height: 78 });
      expect(webp.length).toBeGreaterThan(200);
      expect(webp.length).toBeLessThan(6_000);
    }
  });
});
