/** Finished pictures to publish: rows, and bytes with something to look at. */
import { createHash, randomUUID } from 'node:crypto';
import sharp from 'sharp';
import { rgbaToThumbHash } from 'thumbhash';
import { db, type Image, type Prisma } from '#src/doors/db.ts';
import { putFile } from '#src/doors/storage.ts';
import type { Actor } from '#src/people/people.ts';
import { actor, snowflake } from '#test/support/requests.ts';
import { TRUSTED_GUILD } from '#test/support/staff.ts';

const SHAPES = [
  [512, 640],
  [512, 640],
  [512, 512],
  [640, 512],
  [832, 1216],
] as const;

/** A person before hills, in colours of the number. */
export async function drawPicture(number: number): Promise<{ png: Buffer; width: number; height: number }> {
  const [width, height] = SHAPES[number % SHAPES.length]!;
  const hue = (number * 47) % 360;
  const cx = width / 2 + 24 * Math.sin(number);
  const face = height * 0.42;
  const r = Math.min(width, height) * 0.2;
  const svg = `<svg xmlns="http://www.w3.org/2000/svg" width="${width}" height="${height}">
    <defs><linearGradient id="s" x2="0" y2="1"><stop stop-color="hsl(${hue} 45% 72%)"/><stop offset="1" stop-color="hsl(${(hue + 50) % 360} 50% 58%)"/></linearGradient>
    <radialGradient id="f" cx=".4" cy=".35"><stop stop-color="hsl(25 45% ${62 + (number % 4) * 5}%)"/><stop offset="1" stop-color="hsl(20 42% ${42 + (number % 4) * 6}%)"/></radialGradient></defs>
    <rect width="100%" height="100%" fill="url(#s)"/><circle cx="${width * 0.8}" cy="${height * 0.2}" r="${r * 0.5}" fill="hsl(${(hue + 30) % 360} 80% 88%)" opacity=".8"/>
    <path d="M0 ${height * 0.66} Q${width * 0.25} ${height * 0.5} ${width * 0.5} ${height * 0.63} T${width} ${height * 0.58} V${height} H0Z" fill="hsl(${(hue + 120) % 360} 28% 42%)"/>
    <ellipse cx="${cx}" cy="${face}" rx="${r * 1.3}" ry="${r * 1.55}" fill="hsl(${(hue + 200) % 360} 40% 24%)"/>
    <path d="M${cx - r * 1.9} ${height} Q${cx - r * 1.7} ${face + r * 1.5} ${cx} ${face + r * 1.35} T${cx + r * 1.9} ${height}Z" fill="hsl(${(hue + 170) % 360} 50% 45%)"/>
    <rect x="${cx - r * 0.32}" y="${face + r * 0.7}" width="${r * 0.64}" height="${r * 0.8}" rx="${r * 0.2}" fill="url(#f)"/>
    <ellipse cx="${cx}" cy="${face}" rx="${r * 0.85}" ry="${r * 1.1}" fill="url(#f)"/>
    <circle cx="${cx - r * 0.32}" cy="${face - r * 0.05}" r="${r * 0.09}" fill="#2a2226"/><circle cx="${cx + r * 0.32}" cy="${face - r * 0.05}" r="${r * 0.09}" fill="#2a2226"/>
    <path d="M${cx - r * 0.28} ${face + r * 0.5} q${r * 0.28} ${r * 0.22} ${r * 0.56} 0" fill="none" stroke="#8a3b3b" stroke-width="${r * 0.06}" stroke-linecap="round"/></svg>`;
  return { png: await sharp(Buffer.from(svg)).png().toBuffer(), width, height };
}

export interface Made {
  readonly image: Image;
  /** who asked for it */
  readonly owner: Actor;
}

/** Somebody who may publish what he asked for. */
export const publisher = () => actor({ guildId: TRUSTED_GUILD, managesGuild: true });

/** A picture that was drawn in production mode, is clear and its owner's to publish, unless told otherwise. */
export async function makePicture(
  number: number,
  changes: Partial<Prisma.ImageUncheckedCreateInput> = {},
  { owner = publisher(), production = true }: { owner?: Actor; production?: boolean } = {},
): Promise<Made> {
  const { png, width, height } = await drawPicture(number);
  const small = await sharp(png)
    .resize(64, 64, { fit: 'inside' })
    .ensureAlpha()
    .raw()
    .toBuffer({ resolveWithObject: true });
  await db.user.upsert({ where: { id: owner.id }, create: { id: owner.id }, update: {} });
  const batch = await db.batch.create({
    data: {
      kind: 'imagine',
      ownerId: owner.id,
      guildId: owner.guildId,
      channelId: snowflake(),
      tier: 'fast',
      production,
      title: 'A <b>secret</b> title',
      config: {},
    },
  });
  const generation = await db.generation.create({
    data: {
      batchId: batch.id,
      index: 0,
      state: 'done',
      userId: owner.id,
      tier: 'fast',
      bundle: 'reference',
      prompt: 'a secret prompt',
      parameters: {},
      seed: BigInt(number),
      width,
      height,
      steps: 20,
      key: randomUUID(),
    },
  });
  const storageKey = `productions/2026-11-20/${batch.id}/${generation.id}.png`;
  await putFile(storageKey, png);
  const image = await db.image.create({
    data: {
      generationId: generation.id,
      key: generation.key,
      bundleHash: 'b'.repeat(64),
      storageKey,
      sha256: createHash('sha256').update(png).digest('hex'),
      width,
      height,
      bytes: png.length,
      thumbhash: Uint8Array.from(rgbaToThumbHash(small.info.width, small.info.height, small.data)),
      verdict: 'clear',
      ...changes,
    },
  });
  return { image, owner };
}
