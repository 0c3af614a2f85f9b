/** What the watermark is measured on: drawings, what is hard by itself, and photos that npm has. */
import { execFile } from 'node:child_process';
import { globSync } from 'node:fs';
import { cp, mkdir, mkdtemp, rm } from 'node:fs/promises';
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

/** Photos of the npm registry, MIT: tarballs alone, without what depends on them. They are kept in the data folder. */
interface Photos {
  readonly spec: string;
  /** of the package */
  readonly files: string;
}

/** By these the watermark's constants were set. */
const USED: readonly Photos[] = [
  { spec: '@vladmandic/face-api@1.7.15', files: 'demo/sample*.jpg' },
  { spec: 'startbootstrap-clean-blog@6.0.9', files: 'dist/assets/img/*-bg.jpg' },
];
/** And by these none was. */
const HELD_OUT: readonly Photos[] = [
  { spec: 'startbootstrap-landing-page@6.0.6', files: 'dist/assets/img/*.jpg' },
  { spec: 'startbootstrap-grayscale@7.0.6', files: 'dist/assets/img/bg-*.jpg' },
];
const FOLDER = join(config.dataDir, 'bench/photos');
const FETCH_WITHIN_MS = 120_000;
/** Portraits by which the constants were set, and others. */
const [DRAWN, DRAWN_HELD_OUT] = [6, 8] as const;

export interface Picture {
  readonly name: string;
  readonly isPhoto: boolean;
  /** None of the watermark's constants was set by it. */
  readonly isHeldOut: boolean;
  /** Cut to this shape, px. */
  at(width: number, height: number): Promise<Bitmap>;
}

/** Without a network: the drawn and the made ones alone, and it says so. */
export async function pictures(): Promise<Picture[]> {
  const [used, others] = [await photos(USED, false), await photos(HELD_OUT, true)];
  say('pictures', `${DRAWN} drawn, 3 made, ${used.length} photos`);
  say('held out', `${DRAWN_HELD_OUT} drawn, ${others.length} photos`);
  return [...drawn(0, DRAWN, false), ...made(), ...used, ...drawn(40, DRAWN_HELD_OUT, true), ...others];
}

function drawn(first: number, count: number, isHeldOut: boolean): Picture[] {
  return Array.from({ length: count }, (_, i) => ({
    name: `drawn ${first + i}`,
    isPhoto: false,
    isHeldOut,
    // As the reference bundle's portraits: sharp edges, and plain grounds between them.
    at: async (width, height) =>
      resize(drawPhoto(person(first + i), first + i, 512, 640), width, height, 'bicubic'),
  }));
}

/** A clear sky, one plain colour, and a lawn: the hardest for what must be seen, and for what must not. */
function made(): Picture[] {
  const of = (
    name: string,
    level: (x: number, y: number, noise: number) => readonly [number, number, number],
  ) => ({
    name,
    isPhoto: false,
    isHeldOut: false,
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

async function photos(packages: readonly Photos[], isHeldOut: boolean): Promise<Picture[]> {
  const files: string[] = [];
  for (const one of packages) files.push(...(await photosOf(one)));
  return files.map((file) => ({
    name: basename(file),
    isPhoto: true,
    isHeldOut,
    at: async (width, height) =>
      readPicture(await sharp(file).autoOrient().resize(width, height, { fit: 'cover' }).png().toBuffer()),
  }));
}

async function photosOf({ spec, files }: Photos): Promise<string[]> {
  const folder = join(FOLDER, spec.replace('/', '-'));
  const there = () => globSync(`package/${files}`, { cwd: folder }).sort();
  if (!there().length) {
    const dir = await mkdtemp(join(tmpdir(), 'atelier-photos-'));
    const run = promisify(execFile);
    try {
      const asked = ['pack', '--silent', '--ignore-scripts', spec];
      const { stdout } = await run('npm', asked, { cwd: dir, timeout: FETCH_WITHIN_MS });
      await run('tar', ['-xzf', stdout.trim(), '--wildcards', `package/${files}`], { cwd: dir });
      await mkdir(FOLDER, { recursive: true });
      await cp(dir, folder, { recursive: true, filter: (from) => !from.endsWith('.tgz') });
    } catch {
      say('photos', `npm did not give ${spec}: measured without them`);
    } finally {
      await rm(dir, { recursive: true, force: true });
    }
  }
  return there().map((name) => join(folder, name));
}
