/**
 * The pattern of the watermark: a square of 250 px that is laid over a picture again and again, so that it is in any crop.
 *
 * It is a sum of waves, of lengths that JPEG at a low quality and half the size leave. What is said is in their phases: each wave carries
 * two bits, in its cosine and in its sine. The waves are in five groups by length, and each group says all of it: long waves live through
 * JPEG where a picture is smooth, short ones stand out of a picture that is rough. Some waves of each group carry what is known
 * beforehand: by them the pattern is found, and seen which groups are to be believed. Signs are scrambled by a seed that everybody knows,
 * as the detector is for everyone.
 *
 * Source: spread spectrum as in Cox, Kilian, Leighton & Shamoon 1997; a repeated pattern against crops as in Kutter 1998.
 */
import { generator } from '../noise.ts';
import { CODE_BITS, encode } from './code.ts';

/**
 * px of a full-sized picture. Neither it nor half of it is a multiple of a JPEG's blocks of 8 px, so that these cut each tile of a plain
 * ground elsewhere, and what is lost of one is left of another. With 256 all tiles lost the same.
 */
export const TILE = 250;
/** The detector sees the pattern in so many cells a side, of 2 px nearly. */
export const CELLS = 128;
export const GROUPS = 5;
/** Waves of a group that carry data, and that are known. */
export const DATA = CODE_BITS / 2;
const KNOWN = 64;
export const GROUP = DATA + KNOWN;
/** Waves a tile of the longest, 50 px. Longer ones are not told from shadows. */
const LEAST = 4.5;
/** Part of the format: another number, and no mark that was made before is found any more. */
const SEED = 20261201;

/** Waves a tile, across and down. */
export interface Wave {
  readonly x: number;
  readonly y: number;
}

/** The waves, group by group, data first: wave n of a group carries bits 2n and 2n + 1 of the codeword, times signs. */
export const { waves, signs } = shuffled();

function shuffled(): { waves: readonly Wave[]; signs: Int8Array } {
  const all: Wave[] = [];
  // One of each two waves that a real pattern has. None across or down alone: edges and frames are there.
  for (let y = 1; y < CELLS / 2; y++)
    for (let x = 1 - CELLS / 2; x < CELLS / 2; x++) if (x && Math.hypot(x, y) >= LEAST) all.push({ x, y });
  all.sort((a, b) => Math.hypot(a.x, a.y) - Math.hypot(b.x, b.y) || a.x - b.x || a.y - b.y);
  const random = generator(SEED);
  const waves: Wave[] = [];
  for (let g = 0; g < GROUPS; g++) {
    const group = all.slice(g * GROUP, (g + 1) * GROUP);
    for (let i = group.length - 1; i > 0; i--) {
      const j = random.integers(i + 1, 1)[0]!;
      [group[i], group[j]] = [group[j]!, group[i]!];
    }
    waves.push(...group);
  }
  return { waves, signs: Int8Array.from(random.integers(2, waves.length * 2), (bit) => bit * 2 - 1) };
}

/** What the waves say: [waves, 2] of −1 and 1, cosine and sine. @param bytes [8] */
export function phases(bytes: Uint8Array): Int8Array {
  const code = encode(bytes);
  return signs.map((sign, i) => sign * (code[i % (2 * GROUP)] ?? 1));
}

/**
 * The pattern of some bytes: the long waves, of the first group, 17 to 50 px; and the short ones, of the others, 8 to 17 px.
 *
 * @returns [TILE, TILE] each, mean 0, root mean square 1
 */
export function tilesOf(bytes: Uint8Array): { long: Float32Array; short: Float32Array } {
  const said = phases(bytes);
  return { long: tileOf(said, 0, GROUP), short: tileOf(said, GROUP, GROUPS * GROUP) };
}

const cosines = Float64Array.from({ length: TILE }, (_, i) => Math.cos((2 * Math.PI * i) / TILE));
const sines = Float64Array.from({ length: TILE }, (_, i) => Math.sin((2 * Math.PI * i) / TILE));

/** Of the waves from one to another, along the rows first, then down. There are few: a Fourier transform takes as long. */
function tileOf(said: Int8Array, from: number, to: number): Float32Array {
  const strength = 1 / Math.sqrt(to - from);
  const highest = Math.max(...waves.slice(from, to).map(({ y }) => y));
  const re = new Float64Array((highest + 1) * TILE);
  const im = new Float64Array((highest + 1) * TILE);
  for (let n = from; n < to; n++) {
    const { x, y } = waves[n]!;
    const [c, s] = [said[2 * n]! * strength, said[2 * n + 1]! * strength];
    const step = (x + TILE) % TILE;
    for (let at = 0, i = y * TILE, end = i + TILE; i < end; i++) {
      re[i]! += c * cosines[at]! - s * sines[at]!;
      im[i]! += c * sines[at]! + s * cosines[at]!;
      at += step;
      if (at >= TILE) at -= TILE;
    }
  }
  const tile = new Float32Array(TILE * TILE);
  const [even, odd] = [new Float64Array(TILE), new Float64Array(TILE)];
  // Rows y and −y differ in the sign of what is odd.
  for (let line = 0; 2 * line <= TILE; line++) {
    even.fill(0);
    odd.fill(0);
    for (let y = 1; y <= highest; y++) {
      const [c, s] = [cosines[(y * line) % TILE]!, sines[(y * line) % TILE]!];
      for (let x = 0, i = y * TILE; x < TILE; x++, i++) {
        even[x]! += re[i]! * c;
        odd[x]! += im[i]! * s;
      }
    }
    const [down, up] = [line * TILE, ((TILE - line) % TILE) * TILE];
    for (let x = 0; x < TILE; x++) {
      tile[up + x] = even[x]! + odd[x]!;
      tile[down + x] = even[x]! - odd[x]!;
    }
  }
  return tile;
}
