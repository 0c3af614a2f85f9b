/** A gallery of any size for benches: rows by one statement each, and the bytes of a few pictures for all of them. */
import { createHash, randomUUID } from 'node:crypto';
import { link, mkdir } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import sharp from 'sharp';
import { rgbaToThumbHash } from 'thumbhash';
import { config } from '#config/env.ts';
import { db } from '#src/doors/db.ts';
import { putFile } from '#src/doors/storage.ts';

/** Whose pictures they are. */
export const MAKER = '300000000000000001';
const SHAPES = [
  [832, 1216],
  [896, 1152],
  [1024, 1024],
  [1216, 832],
  [832, 1152],
  [768, 1344],
] as const;
const PROMPTS = [
  'portrait of a weaver at her loom, late light through tall windows',
  'an old sailor looking at rain over a grey harbour',
  'a violinist in a red coat, crowd behind her out of focus',
  'a gardener among foxgloves at dusk',
  'young astronomer in a tower full of paper, one candle',
];

/** px: what is cut out of it for a picture lies elsewhere in it for each */
const GRAIN = 1_536;
/** Of the finest octave, of 255. */
const AMPLITUDE = 10;

/**
 * Detail of every size, as hair, cloth, skin and leaves have it: octaves of noise, each coarser one stronger, whose spectrum falls as
 * photographs' does (about 1/f in amplitude; D. J. Field 1987). An even grain alone is what encoders drop first. With AMPLITUDE a 512 px
 * wide AVIF of config/gallery.yaml's quality is 20 to 45 KiB, by the shape, and of 360 px 10 to 25: in the middle of what portraits of
 * SDXL take, by the 0.7 to 0.9 bits a pixel that photographic pictures have at that quality.
 *
 * @returns grey, [GRAIN, GRAIN]
 */
function drawGrain(): Buffer {
  const sum = new Float32Array(GRAIN * GRAIN);
  for (const scale of [1.5, 3, 6, 12, 24]) {
    const size = Math.ceil(GRAIN / scale) + 1;
    const amplitude = AMPLITUDE * Math.min(1.8, Math.sqrt(scale));
    const coarse = Float32Array.from({ length: size * size }, () => amplitude * (2 * Math.random() - 1));
    for (let y = 0; y < GRAIN; y++) {
      const row = Math.floor(y / scale);
      const down = y / scale - row;
      for (let x = 0; x < GRAIN; x++) {
        const column = Math.floor(x / scale);
        const across = x / scale - column;
        const at = row * size + column;
        const above = coarse[at]! * (1 - across) + coarse[at + 1]! * across;
        const below = coarse[at + size]! * (1 - across) + coarse[at + size + 1]! * across;
        sum[y * GRAIN + x]! += above * (1 - down) + below * down;
      }
    }
  }
  return Buffer.from(Uint8ClampedArray.from(sum, (value) => 128 + value));
}
let grain: Buffer | undefined;

/** Light from one side over soft shapes, a head and shoulders before it, with detail all over. */
async function draw(
  number: number,
): Promise<{ png: Buffer; width: number; height: number; thumbhash: Uint8Array<ArrayBuffer> }> {
  const [width, height] = SHAPES[number % SHAPES.length]!;
  const hue = (number * 67) % 360;
  const tone = 24 + ((number * 13) % 50);
  const at = (n: number) => (Math.sin(number * 12.9898 + n * 78.233) + 1) / 2;
  const blobs = Array.from(
    { length: 9 },
    (_, i) =>
      `<ellipse cx="${at(i) * width}" cy="${at(i + 20) * height}" rx="${width * (0.12 + at(i + 40) * 0.3)}" ry="${height * (0.1 + at(i + 60) * 0.22)}" fill="hsl(${(hue + at(i + 80) * 90) % 360} ${30 + at(i) * 45}% ${tone + at(i + 5) * 30}%)" opacity=".6"/>`,
  );
  const r = Math.min(width, height) * (0.17 + at(7) * 0.08);
  const cx = width * (0.35 + at(8) * 0.3);
  const cy = height * (0.36 + at(9) * 0.08);
  const skin = 30 + at(3) * 42;
  const svg = `<svg xmlns="http://www.w3.org/2000/svg" width="${width}" height="${height}"><defs><filter id="b"><feGaussianBlur stdDeviation="${width / 22}"/></filter><filter id="s"><feGaussianBlur stdDeviation="5"/></filter>
<linearGradient id="l" x2="1" y2=".4"><stop stop-color="hsl(22 48% ${skin + 14}%)"/><stop offset="1" stop-color="hsl(16 42% ${skin - 16}%)"/></linearGradient></defs>
<rect width="100%" height="100%" fill="hsl(${hue} 30% ${tone}%)"/><g filter="url(#b)">${blobs.join('')}</g>
<path d="M${cx - r * 2.3} ${height} Q${cx - r * 2} ${cy + r * 1.7} ${cx} ${cy + r * 1.4} T${cx + r * 2.3} ${height}Z" fill="hsl(${(hue + 180) % 360} 40% ${14 + at(4) * 34}%)" filter="url(#s)"/>
<ellipse cx="${cx}" cy="${cy - r * 0.15}" rx="${r * 1.25}" ry="${r * 1.5}" fill="hsl(${20 + at(2) * 20} 35% ${8 + at(6) * 34}%)" filter="url(#s)"/>
<rect x="${cx - r * 0.35}" y="${cy + r * 0.7}" width="${r * 0.7}" height="${r * 0.9}" rx="${r * 0.3}" fill="url(#l)"/>
<ellipse cx="${cx}" cy="${cy}" rx="${r * 0.86}" ry="${r * 1.12}" fill="url(#l)"/>
<g fill="#1d1614"><ellipse cx="${cx - r * 0.33}" cy="${cy - r * 0.08}" rx="${r * 0.11}" ry="${r * 0.07}"/><ellipse cx="${cx + r * 0.33}" cy="${cy - r * 0.08}" rx="${r * 0.11}" ry="${r * 0.07}"/></g>
<path d="M${cx - r * 0.22} ${cy + r * 0.55} q${r * 0.22} ${r * 0.12} ${r * 0.44} 0" fill="none" stroke="#7a3530" stroke-width="${r * 0.06}" stroke-linecap="round"/></svg>`;
  grain ??= drawGrain();
  const detail = await sharp(grain, { raw: { width: GRAIN, height: GRAIN, channels: 1 } })
    .extract({
      left: Math.floor(at(11) * (GRAIN - width)),
      top: Math.floor(at(12) * (GRAIN - height)),
      width,
      height,
    })
    .png({ compressionLevel: 1 })
    .toBuffer();
  const png = await sharp(Buffer.from(svg))
    .composite([{ input: detail, blend: 'hard-light' }])
    .removeAlpha()
    .png({ compressionLevel: 1 })
    .toBuffer();
  const small = await sharp(png)
    .resize(64, 64, { fit: 'inside' })
    .ensureAlpha()
    .raw()
    .toBuffer({ resolveWithObject: true });
  const hash = rgbaToThumbHash(small.info.width, small.info.height, small.data);
  return { png, width, height, thumbhash: Uint8Array.from(hash) };
}

const isCurated = (n: number) => n % 3 === 0;

/** The same bytes under another name: the disk has them once. */
async function copy(from: string, to: string): Promise<void> {
  const pathOf = (key: string) => join(config.dataDir, 'files', key);
  await mkdir(dirname(pathOf(to)), { recursive: true });
  await link(pathOf(from), pathOf(to));
}

/** Publishes so many pictures of one person, a second apart, a third of them curated. @param drawn different ones among them */
export async function publishMany(count: number, drawn = 24): Promise<string[]> {
  const userId = MAKER;
  await db.user.upsert({ where: { id: userId }, create: { id: userId }, update: {} });
  for (const [name, value] of [
    ['share_prompts', true],
    ['maker_name', 'ada'],
  ] as const)
    await db.parameterValue.upsert({
      where: { userId_name: { userId, name } },
      create: { userId, name, value },
      update: { value },
    });
  const made = await Promise.all(Array.from({ length: Math.min(drawn, count) }, (_, i) => draw(i)));
  const keys = made.map((_, i) => `productions/2026-11-20/many/${i}-${randomUUID()}.png`);
  for (const [i, { png }] of made.entries()) await putFile(keys[i]!, png);
  const { id: batchId } = await db.batch.create({
    data: {
      kind: 'imagine',
      ownerId: userId,
      channelId: '300000000000000002',
      tier: 'fast',
      production: true,
      title: 'many',
      config: {},
    },
  });
  const ids = Array.from({ length: count }, () => ({ generation: randomUUID(), image: randomUUID() }));
  for (let from = 0; from < count; from += 500) {
    const some = ids.slice(from, from + 500);
    await db.generation.createMany({
      data: some.map(({ generation }, i) => {
        const { width, height } = made[(from + i) % made.length]!;
        return {
          ...{
            id: generation,
            batchId,
            index: from + i,
            state: 'done' as const,
            userId,
            tier: 'fast',
            bundle: 'reference',
          },
          ...{
            prompt: PROMPTS[(from + i) % PROMPTS.length]!,
            parameters: { steps: 24 },
            seed: BigInt(from + i),
            width,
            height,
          },
          ...{ steps: 20, key: randomUUID() },
        };
      }),
    });
    await db.image.createMany({
      data: some.map(({ generation, image }, i) => {
        const n = from + i;
        const { png, width, height, thumbhash } = made[n % made.length]!;
        return {
          ...{ id: image, generationId: generation, key: generation, bundleHash: 'b'.repeat(64) },
          // Each row names bytes of its own; the gallery's copies are made of the shared ones below.
          ...{
            storageKey: `${keys[n % made.length]!.slice(0, -4)}-${n}.png`,
            sha256: createHash('sha256').update(String(n)).digest('hex'),
          },
          ...{
            width,
            height,
            bytes: png.length,
            thumbhash,
            verdict: 'clear' as const,
            visibility: 'published' as const,
          },
          ...{
            collection: 'main',
            publishedAt: new Date(Date.now() - n * 1_000),
            curatedAt: isCurated(n) ? new Date() : null,
          },
        };
      }),
    });
    await Promise.all(
      some.map(({ image }, i) =>
        copy(
          keys[(from + i) % made.length]!,
          `${isCurated(from + i) ? 'curated' : 'photowall'}/main/${image}/original.png`,
        ),
      ),
    );
  }
  return ids.map(({ image }) => image);
}
