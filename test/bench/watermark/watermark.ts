/**
 * The invisible watermark beside the one that diffusers writes (dwtDct): what is read of both after each attack, and after two; how far
 * marked pictures are from what they were, what it takes, and what is found where nothing is. Lays a sheet to look at into the data folder.
 */
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import sharp from 'sharp';
import { config } from '#config/env.ts';
import { type Bitmap, crop } from '#pipelines/bitmap.ts';
import { generator } from '#pipelines/noise.ts';
import { embedWatermark } from '#pipelines/watermark/embed.ts';
import { findWatermark, LIKENESS_MIN, READINGS_MAX } from '#pipelines/watermark/find.ts';
import { readDwtDct, writeDwtDct } from '../../support/dwt-dct.ts';
import { psnr } from '../../support/psnr.ts';
import { type Goal, median, say } from '../goal.ts';
import { attacked, attacks, screenshot, sharpOf } from './attacks.ts';
import { type Picture, pictures } from './pictures.ts';

const SHAPE = [1024, 1024] as const;
/** Of the demo's portraits: without a goal, as a tenth of it is 162 × 202 px. */
const SMALL = [512, 640] as const;
const SMALL_ATTACKS = [
  'none',
  'JPEG q50',
  'half, JPEG q50',
  'half, WebP q80',
  '10% cut off, JPEG q50',
  '10% left',
  '10% left, JPEG q50',
];
const SCREENSHOTS = [0.45, 0.6, 0.75, 1.3, 1.7, 2] as const;
/** Every so manieth picture is looked at in screenshots. */
const SHOT_OF = 5;
const RECOVERED_MIN = 0.99;
const PSNR_MIN = 42;
const MS_MAX = 60;
const FALSE_MAX = 1e-6;
const ROUNDS = 15;
/** Marks that each picture is given, one after another: 106 tries of each attack, where npm gives the photos. */
const [MARKS, MARKS_HELD_OUT] = [2, 4] as const;
/** Of so many pictures dwtDct is read as well: that many suffice for what is next to nothing. */
const DWT_DCT = 8;
/** Of the small ones, and for false positives. */
const FIRST = 15;
/** Standard deviations: 95 %. */
const Z = 1.96;
/** What SDXL's pipelines write; read when so many of its 48 bits are right: chance does that in one of three million. */
const SDXL = [...0xb3ec907bb19en.toString(2)].map(Number);
const SDXL_RIGHT = 41;

interface Marked {
  readonly bytes: Uint8Array;
  readonly ours: Bitmap;
}

/** Whether each try was read, attack by attack. */
type Read = ReadonlyMap<string, readonly boolean[]>;

export async function watermark(): Promise<readonly Goal[]> {
  const all = await pictures();
  const unmarked = await Promise.all(all.map((one) => one.at(...SHAPE)));
  const tries = all.flatMap((one, i) =>
    Array.from({ length: one.isHeldOut ? MARKS_HELD_OUT : MARKS }, (_, n) => ({ one, i, seed: 100 * n + i })),
  );
  const ours = new Map<string, boolean[]>();
  for (const { i, seed } of tries) await read(mark(unmarked[i]!, seed), attacks.keys(), ours);
  const theirs = await readTheirs(unmarked.filter((_, i) => i % Math.ceil(all.length / DWT_DCT) === 0));
  const isPhoto = (i: number) => tries[i]!.one.isPhoto;
  const isHeldOut = (i: number) => tries[i]!.one.isHeldOut;
  say(`${SHAPE.join('×')}, read after`, 'drawn    photos   held out  all, and 95 % of it          dwtDct');
  for (const [name, list] of ours) {
    const columns = [
      count(list.filter((_, i) => !isPhoto(i))).padEnd(8),
      count(list.filter((_, i) => isPhoto(i))).padEnd(8),
      count(list.filter((_, i) => isHeldOut(i))).padEnd(9),
      `${count(list)}, ${interval(list)}`.padEnd(27),
      count(theirs.get(name) ?? []),
    ];
    say(`  ${name}`, columns.join(' '));
  }

  const marked = unmarked.map((picture, i) => mark(picture, i).ours);
  const errors = unmarked.map((picture, i) => psnr(picture, marked[i]!));
  const known = unmarked.slice(0, FIRST).map((picture) => psnr(picture, writeDwtDct(picture, SDXL)));
  const dB = (list: readonly number[]) => `${Math.min(...list).toFixed(1)} / ${median(list).toFixed(1)} dB`;
  say('PSNR, least / median', `${dB(errors)}; dwtDct ${dB(known)}`);
  await sheet(all, unmarked, marked);

  const small = new Map<string, boolean[]>();
  for (const [seed, one] of all.slice(0, FIRST).entries())
    await read(mark(await one.at(...SMALL), seed), SMALL_ATTACKS, small);
  say(`${SMALL.join('×')}, read after`, '');
  for (const [name, list] of small) say(`  ${name}`, `${count(list)}, ${interval(list)}`);
  const shots: boolean[] = [];
  for (const [seed, picture] of unmarked.slice(0, FIRST).entries()) {
    const one = mark(picture, seed);
    if (seed % SHOT_OF === 0)
      for (const scale of SCREENSHOTS) shots.push(isRead(one, await screenshot(scale)(one.ours)));
  }
  say('screenshots, at 0.45 to 2 of it', count(shots));

  const ms = await speed(unmarked[FIRST - 1]!);
  const found = falsePositives(unmarked.slice(0, FIRST));
  say(
    'found in unmarked ones',
    `${found.found} of ${found.tries}; at most ${bound().toExponential(1)} by reckoning`,
  );
  return [
    ...Array.from(ours, ([name, list]) => ({
      name: `read after: ${name}`,
      got: share(list),
      atLeast: RECOVERED_MIN,
    })),
    { name: 'PSNR of the worst, dB', got: Math.min(...errors), atLeast: PSNR_MIN },
    { name: 'ms of a core to mark 1024²', got: ms, atMost: MS_MAX },
    { name: 'found where nothing is', got: found.found, atMost: 0 },
    { name: 'the same by reckoning, of a million', got: bound() / FALSE_MAX, atMost: 1 },
  ];
}

function mark(picture: Bitmap, seed: number): Marked {
  const bytes = Uint8Array.from(generator(seed).integers(256, 8));
  return { bytes, ours: embedWatermark(picture, bytes) };
}

const isRead = ({ bytes }: Marked, picture: Bitmap) => findWatermark(picture)?.join() === bytes.join();
const share = (list: readonly boolean[]) => list.filter(Boolean).length / list.length;
const count = (list: readonly boolean[]) => `${list.filter(Boolean).length}/${list.length}`;

/** Where the share lies that the tries are a sample of: Wilson 1927. */
function interval(list: readonly boolean[]): string {
  const [n, p, z2] = [list.length, share(list), Z ** 2];
  const middle = (p + z2 / (2 * n)) / (1 + z2 / n);
  const reach = (Z * Math.sqrt((p * (1 - p)) / n + z2 / (4 * n * n))) / (1 + z2 / n);
  const percent = (value: number) => (100 * value).toFixed(1);
  return `${percent(middle - reach)} to ${percent(Math.min(middle + reach, 1))} %`;
}

/** Adds whether the mark is read after each attack. */
async function read(one: Marked, names: Iterable<string>, into: Map<string, boolean[]>): Promise<void> {
  const after = attacked(one.ours);
  for (const name of names) {
    const list = into.get(name) ?? [];
    list.push(isRead(one, await after(name)));
    into.set(name, list);
  }
}

async function readTheirs(unmarked: readonly Bitmap[]): Promise<Read> {
  const out = new Map<string, boolean[]>();
  for (const picture of unmarked) {
    const after = attacked(writeDwtDct(picture, SDXL));
    for (const name of attacks.keys()) {
      const bits = readDwtDct(await after(name));
      const list = out.get(name) ?? [];
      list.push(bits.filter((bit, i) => bit === SDXL[i]).length >= SDXL_RIGHT);
      out.set(name, list);
    }
  }
  return out;
}

/** @returns ms of one core, the median: what others do on the machine meanwhile is none of it */
async function speed(picture: Bitmap): Promise<number> {
  const bytes = Uint8Array.of(1, 2, 3, 4, 5, 6, 7, 8);
  const [mark, png, find, none]: [number[], number[], number[], number[]] = [[], [], [], []];
  const timed = async (into: number[], work: () => unknown) => {
    const before = process.cpuUsage();
    await work();
    const { user, system } = process.cpuUsage(before);
    into.push((user + system) / 1000);
  };
  const marked = embedWatermark(picture, bytes);
  for (let round = 0; round < ROUNDS; round++) {
    await timed(mark, () => embedWatermark(picture, bytes));
    await timed(png, () => sharpOf(picture).png().toBuffer());
    if (round % 3) continue;
    await timed(find, () => findWatermark(marked));
    await timed(none, () => findWatermark(picture));
  }
  const [ms, beside] = [median(mark), median(png)];
  say(
    'to mark 1024², beside its PNG',
    `${ms.toFixed(0)} ms, ${beside.toFixed(0)} ms: ${(ms / beside).toFixed(2)}×`,
  );
  say('to find it; to find none', `${median(find).toFixed(0)} ms; ${median(none).toFixed(0)} ms`);
  return ms;
}

/** Each picture, and parts of it. */
function falsePositives(unmarked: readonly Bitmap[]) {
  const parts = unmarked.flatMap((picture) => [
    picture,
    crop(picture, 0, 0, 512, 512),
    crop(picture, 500, 300, 400, 600),
    crop(picture, 300, 500, 324, 324),
  ]);
  return { tries: parts.length, found: parts.filter((part) => findWatermark(part)).length };
}

/** Of a picture without a mark: see LIKENESS_MIN. */
function bound(): number {
  const tail = Math.exp(-(LIKENESS_MIN ** 2) / 2) / (LIKENESS_MIN * Math.sqrt(2 * Math.PI));
  return READINGS_MAX * 2 ** 64 * 3.18 * tail;
}

/** Unmarked, marked, and the difference × 20, of a part of each. */
async function sheet(
  all: readonly Picture[],
  unmarked: readonly Bitmap[],
  marked: readonly Bitmap[],
): Promise<void> {
  const [side, each] = [320, 20] as const;
  const part = (picture: Bitmap) =>
    sharpOf(crop(picture, 352, 256, side, side))
      .png()
      .toBuffer();
  const tiles = await Promise.all(
    all.flatMap((_, i) => {
      const [before, after] = [unmarked[i]!, marked[i]!];
      const levels = Uint8ClampedArray.from(before.rgb, (level, p) => 128 + each * (after.rgb[p]! - level));
      return [before, after, { ...before, rgb: new Uint8Array(levels.buffer) }].map(part);
    }),
  );
  const file = join(config.dataDir, 'bench/watermark.png');
  await mkdir(join(config.dataDir, 'bench'), { recursive: true });
  await sharp({
    create: { width: 6 * side, height: Math.ceil(all.length / 2) * side, channels: 3, background: '#fff' },
  })
    .composite(tiles.map((input, i) => ({ input, left: (i % 6) * side, top: Math.floor(i / 6) * side })))
    .png()
    .toFile(file);
  say('to look at', file);
}
