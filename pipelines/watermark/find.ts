/**
 * Finds the invisible watermark in a picture, whatever was cut off: at the size it was drawn in, at half of it, and at most sizes from 0.35
 * to 2.8 of it. Not in one that is turned or mirrored.
 *
 * A picture's own contents are evened out, and it is laid over itself, tile on tile. What all tiles have in common adds up. Where the
 * pattern begins is seen by its known waves, and so is how far each group of waves is to be believed. The other waves are then read.
 */
import type { Bitmap } from '../bitmap.ts';
import { CODE_BITS, decode } from './code.ts';
import { transform } from './fft.ts';
import { CELLS, DATA, GROUP, GROUPS, phases, signs, TILE, waves } from './pattern.ts';
import { blurred, halved, lumaOf, type Plane, partOf } from './plane.ts';

/**
 * What a reading's likeness must be: `likenessOf`. In a picture without a mark, whatever is in it, it is a sum of fixed numbers with random
 * signs, those of the pattern's seed, by all that was read the signs of the data's waves being independent of those that the place was
 * found by. It reaches t with a probability of at most 3.18 · Q(t) (Bentkus & Dzindzalieta 2015, Q the normal tail); there are 2⁶⁴ codewords,
 * and at most `READINGS_MAX` places in a picture: below 10⁻⁶ together. Checked by test/pipelines/watermark/watermark.test.ts.
 */
export const LIKENESS_MIN = 11.1;
/** Places where a reading begins, by each of three sets of groups. */
const PLACES = 2;
/** Sizes that are looked at closely, of all that there may be. */
const CANDIDATES = 8;
export const READINGS_MAX = (2 + CANDIDATES) * 3 * PLACES;

/** px of half of an unchanged picture, a cell. */
const PITCH = TILE / 2 / CELLS;
/** px of a plane: what is subtracted is the mean of this reach, and what it is divided by is that of the rest. */
const [MEAN_REACH, REST_REACH] = [3, 2] as const;
/** levels: a rest below it is rounding. */
const REST_MIN = 0.3;
/** More than 1: the mark itself grows slower than what hides it. */
const REST_POWER = 1.3;
/** Sizes, px a cell, that one plane is looked at for; the next plane is half as large. */
const [PITCH_MIN, PITCH_MAX] = [0.7, 1.4] as const;
const OCTAVES = 3;
/** Of other sizes the long waves are looked for first, of two groups, in cells twice as large. */
const COARSE = { cells: CELLS / 2, groups: 2 } as const;
/** px, of a plane: more says no more of a size. */
const WINDOW = 1024;
/** px: how far apart two sizes may lay the edges of a picture. */
const STEP = 3.2;
const PARTS = [-0.5, -0.25, 0, 0.25, 0.5] as const;

export interface Reading {
  /** [8] */
  readonly bytes: Uint8Array;
  /** see `LIKENESS_MIN` */
  readonly likeness: number;
  /** of the picture to what it was when it was marked */
  readonly scale: number;
}

/** @returns [8], or null when there is none. Bytes with wrong bits are for the reader's own checksum to tell. */
export function findWatermark(picture: Bitmap): Uint8Array | null {
  return readWatermark(picture)?.bytes ?? null;
}

export function readWatermark(picture: Bitmap): Reading | null {
  const plane = planesOf(picture);
  // As it was drawn, or half of it.
  for (const octave of [1, 0]) {
    const one = plane(octave);
    const reading = one && readingOf(see(one, PITCH, CELLS), 2 ** (octave - 1));
    if (reading && reading.likeness >= LIKENESS_MIN) return reading;
  }
  for (const { seen, scale } of otherSizes(plane)) {
    const reading = readingOf(seen, scale);
    if (reading.likeness >= LIKENESS_MIN) return reading;
  }
  return null;
}

/** The picture, and half and half again of it, by octave, each evened out when it is first asked for. Below a few px there is none. */
type Planes = (octave: number) => Plane | undefined;

function planesOf(picture: Bitmap): Planes {
  const planes = [lumaOf(picture)];
  while (planes.length <= OCTAVES) planes.push(halved(planes.at(-1)!));
  const known = new Map<number, Plane>();
  return (octave) => {
    const plane = planes[octave];
    if (!plane || Math.min(plane.width, plane.height) < 2 * MEAN_REACH) return undefined;
    const even = known.get(octave) ?? evened(plane);
    known.set(octave, even);
    return even;
  };
}

/** What is left of a picture when its own contents are as even as they can be made. */
function evened(plane: Plane): Plane {
  const mean = blurred(plane, MEAN_REACH).levels;
  const rest = plane.levels.map((level, i) => level - mean[i]!);
  const squares = blurred({ ...plane, levels: rest.map((level) => level * level) }, REST_REACH).levels;
  // Sums that go along leave a little less than nothing where there is nothing.
  const levels = rest.map((level, i) => level / (REST_MIN + Math.max(squares[i]!, 0) ** (REST_POWER / 2)));
  return { ...plane, levels };
}

/** What was seen of the waves, group by group: [waves, 2], cosine and sine of each. */
type Seen = Float64Array;

/**
 * The plane laid over itself, tile on tile, and taken apart into waves. All are made about as strong as one another: a fence has
 * some that are stronger than all others together.
 *
 * @param pitch px of the plane for a cell; @param cells of a tile's side
 */
function see({ levels, width, height }: Plane, pitch: number, cells: number, groups: number = GROUPS): Seen {
  const re = new Float64Array(cells * cells);
  const im = new Float64Array(cells * cells);
  const columns = Uint8Array.from({ length: width }, (_, x) => Math.floor((x + 0.5) / pitch) % cells);
  for (let y = 0, p = 0; y < height; y++) {
    const row = (Math.floor((y + 0.5) / pitch) % cells) * cells;
    for (let x = 0; x < width; x++, p++) re[row + columns[x]!]! += levels[p]!;
  }
  transform(re, im, cells);
  const seen = new Float64Array(groups * GROUP * 2);
  const strengths = new Float64Array(CELLS);
  const counts = new Float64Array(CELLS);
  const ring = (n: number) => Math.round(Math.hypot(waves[n]!.x, waves[n]!.y) / 2);
  for (let n = 0; n < groups * GROUP; n++) {
    const { x, y } = waves[n]!;
    const at = y * cells + ((x + cells) % cells);
    seen[2 * n] = re[at]!;
    seen[2 * n + 1] = im[at]!;
    strengths[ring(n)]! += Math.hypot(re[at]!, im[at]!);
    counts[ring(n)]!++;
  }
  for (let n = 0; n < groups * GROUP; n++) {
    const mean = strengths[ring(n)]! / counts[ring(n)]! || 1;
    const strength = Math.hypot(mean, Math.SQRT2 * Math.hypot(seen[2 * n]!, seen[2 * n + 1]!));
    seen[2 * n]! /= strength;
    seen[2 * n + 1]! /= strength;
  }
  return seen;
}

/** Where the pattern begins, cells. */
interface Place {
  readonly x: number;
  readonly y: number;
  /** of the known waves, as `likenessOf` */
  readonly likeness: number;
}

/** Where the pattern may begin by the known waves of some groups, the likeliest first. */
function placesOf(seen: Seen, from: number, to: number, cells: number, most: number): Place[] {
  const re = new Float64Array(cells * cells);
  const im = new Float64Array(cells * cells);
  let power = 0;
  for (let n = from * GROUP; n < to * GROUP; n++) {
    if (n % GROUP < DATA) continue;
    const { x, y } = waves[n]!;
    const at = y * cells + ((x + cells) % cells);
    const [a, b, c, d] = [seen[2 * n]!, seen[2 * n + 1]!, signs[2 * n]!, signs[2 * n + 1]!];
    re[at] = a * c + b * d;
    im[at] = b * c - a * d;
    power += a * a + b * b;
  }
  transform(re, im, cells, true);
  const places: Place[] = [];
  for (let i = 0; i < re.length; i++) {
    const likeness = re[i]! / Math.sqrt(power || 1);
    if (places.length === most && likeness <= places[most - 1]!.likeness) continue;
    places.push({ x: i % cells, y: Math.floor(i / cells), likeness });
    places.sort((a, b) => b.likeness - a.likeness);
    places.length = Math.min(places.length, most);
  }
  return places;
}

/** The best of what the waves say, by where the pattern may begin. */
function readingOf(seen: Seen, scale: number): Reading {
  // Smooth pictures keep the long waves alone, and the long waves are the first to be lost in a rough one.
  const places = (
    [
      [0, GROUPS],
      [0, 1],
      [1, GROUPS],
    ] as const
  ).flatMap(([from, to]) => placesOf(seen, from, to, CELLS, PLACES));
  const readings = places.map((place) => ({ ...readAt(atHalves(seen, place)), scale }));
  return readings.reduce((best, one) => (one.likeness > best.likeness ? one : best));
}

/** What the waves say, the pattern beginning at the corner. */
function readAt(seen: Seen): Omit<Reading, 'scale'> {
  const soft = new Float64Array(CODE_BITS);
  const weights = Array.from({ length: GROUPS }, (_, group) =>
    Math.max(known(seen, group) / (GROUP - DATA) / 2, 0.05),
  );
  for (const [group, weight] of weights.entries()) {
    const at = 2 * group * GROUP;
    for (let i = 0; i < CODE_BITS; i++) soft[i]! += weight * seen[at + i]! * signs[at + i]!;
  }
  const bytes = decode(soft);
  return { bytes, likeness: likenessOf(seen, weights, phases(bytes)) };
}

/** Of what was seen and what would be, by the waves that carry data: their sum over the root of the sum of squares. 21.2 to 47 at most. */
function likenessOf(seen: Seen, weights: readonly number[], said: Int8Array): number {
  let sum = 0;
  let power = 0;
  for (const [group, weight] of weights.entries()) {
    for (let i = 2 * group * GROUP, end = i + CODE_BITS; i < end; i++) {
      const value = seen[i]! * weight;
      sum += value * said[i]!;
      power += value * value;
    }
  }
  return sum / Math.sqrt(power || 1);
}

/** How much of a group's known waves is there: a sum. */
function known(seen: Seen, group: number): number {
  let sum = 0;
  for (let i = 2 * (group * GROUP + DATA); i < 2 * (group + 1) * GROUP; i++) sum += seen[i]! * signs[i]!;
  return sum;
}

/** What is seen from there, or half a cell beside: a crop may begin between two cells. */
function atHalves(seen: Seen, { x, y }: Place): Seen {
  const halves = [0, -0.5, 0.5];
  const all = halves.flatMap((dy) => halves.map((dx) => moved(seen, x + dx, y + dy)));
  const sum = (one: Seen) =>
    Array.from({ length: GROUPS }, (_, group) => known(one, group)).reduce((a, b) => a + b);
  return all.reduce((best, one) => (sum(one) > sum(best) ? one : best));
}

/** cells: from the middle of a picture's first pixel to that of a cell. */
const MIDDLE = 0.5 - 0.5 / (2 * PITCH);

/** The waves as they would be if the pattern began at the corner. @param dx, dy cells */
function moved(seen: Seen, dx: number, dy: number): Seen {
  const out = new Float64Array(seen.length);
  for (let n = 0; 2 * n < seen.length; n++) {
    const { x, y } = waves[n]!;
    const angle = (2 * Math.PI * (x * (dx - MIDDLE) + y * (dy - MIDDLE))) / CELLS;
    const [c, s] = [Math.cos(angle), Math.sin(angle)];
    out[2 * n] = seen[2 * n]! * c - seen[2 * n + 1]! * s;
    out[2 * n + 1] = seen[2 * n]! * s + seen[2 * n + 1]! * c;
  }
  return out;
}

/** What is seen at the likeliest of all other sizes, one after another. */
function* otherSizes(planeOf: Planes): Generator<{ seen: Seen; scale: number }> {
  const found: { octave: number; pitch: number; step: number; likeness: number }[] = [];
  for (let octave = 0; octave < OCTAVES; octave++) {
    const whole = planeOf(octave + 1);
    if (!whole) break;
    const plane = partOf(whole, WINDOW);
    const step = STEP / Math.max(plane.width, plane.height);
    for (let pitch = PITCH_MIN; pitch < PITCH_MAX; pitch *= 1 + step) {
      const seen = see(plane, pitch, COARSE.cells, COARSE.groups);
      const { likeness } = placesOf(seen, 0, COARSE.groups, COARSE.cells, 1)[0]!;
      found.push({ octave, pitch, step, likeness });
    }
  }
  found.sort((a, b) => b.likeness - a.likeness);
  for (const { octave, pitch, step } of found.slice(0, CANDIDATES)) {
    const nearby = PARTS.map((part) => {
      const exact = pitch * (1 + part * step);
      const seen = see(planeOf(octave)!, exact, CELLS);
      const [place] = placesOf(seen, 0, GROUPS, CELLS, 1);
      return { seen, scale: (exact / PITCH) * 2 ** (octave - 1), likeness: place!.likeness };
    });
    yield nearby.reduce((best, one) => (one.likeness > best.likeness ? one : best));
  }
}
