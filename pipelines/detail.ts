/**
 * Stage 2's geometry: which square around a face is drawn again, how strongly each of its pixels may change, and how it is
 * put back.
 *
 * Source: Levin & Fried 2023 (differential diffusion); the crops and feathers of Bing-su/adetailer@36189cb and
 * ltdrdata/ComfyUI-Impact-Pack@727295b `core.py`.
 */
import type { Face } from './faces/faces.ts';
import { crop, type Picture, type Point, resize } from './picture.ts';

/** The square is so many times the face's larger side. */
const CROP_FACTOR = 2;
/** The change falls from 1 to 0 over this share of the face's width. */
const FEATHER = 0.14;
/** Of InsightFace's 106 points: the jaw from the image-left temple to the image-right one … */
const JAW = [
  1, 9, 10, 11, 12, 13, 14, 15, 16, 2, 3, 4, 5, 6, 7, 8, 0, 24, 23, 22, 21, 20, 19, 18, 32, 31, 30, 29, 28,
  27, 26, 25, 17,
];
/** … and back over the brows' tops. */
const BROWS = [101, 105, 104, 103, 102, 50, 51, 49, 48, 43];
const CHIN = 0;
/** The landmarks end at the brows: the forehead is this share of the way from chin to brow above them. */
const FOREHEAD = 0.35;

export interface Region {
  /** px of the picture; may reach beyond it */
  readonly left: number;
  readonly top: number;
  readonly side: number;
  /** [side, side] 0 keeps, 1 draws anew; 0 at the square's border */
  readonly change: Float32Array;
}

/** The square around a face and its mask. `points`: 106 landmarks; without them the mask is an ellipse in the box. */
export function regionOf(picture: Picture, { box }: Face, points: readonly Point[]): Region {
  const [w, h] = [box.right - box.left, box.bottom - box.top];
  const side = Math.max(
    16,
    Math.min(Math.round(Math.max(w, h) * CROP_FACTOR), Math.max(picture.width, picture.height)),
  );
  const left = Math.round((box.left + box.right) / 2 - side / 2);
  const top = Math.round((box.top + box.bottom) / 2 - side / 2);
  const outline = (points.length === 106 ? faceOutline(points) : ellipse(box)).map(({ x, y }) => ({
    x: x - left,
    y: y - top,
  }));
  return { left, top, side, change: feathered(outline, side, Math.max(2, w * FEATHER)) };
}

/** The face with its forehead, as a closed polygon. */
export function faceOutline(points: readonly Point[]): Point[] {
  const chin = points[CHIN]!;
  const brows = BROWS.map((i) => points[i]!);
  const middle = { x: average(brows.map(({ x }) => x)), y: average(brows.map(({ y }) => y)) };
  const up = { x: (middle.x - chin.x) * FOREHEAD, y: (middle.y - chin.y) * FOREHEAD };
  return [...JAW.map((i) => points[i]!), ...brows.map(({ x, y }) => ({ x: x + up.x, y: y + up.y }))];
}

function ellipse({ left, top, right, bottom }: Face['box']): Point[] {
  return Array.from({ length: 48 }, (_, i) => {
    const angle = (i / 48) * 2 * Math.PI;
    return {
      x: (left + right) / 2 + (Math.cos(angle) * (right - left)) / 2,
      y: (top + bottom) / 2 + (Math.sin(angle) * (bottom - top)) / 2,
    };
  });
}

/** 1 inside the polygon, falling to 0 within `feather` px outside it, smoothly; 0 at the square's border. */
function feathered(polygon: readonly Point[], side: number, feather: number): Float32Array {
  const out = new Float32Array(side * side);
  const edges = polygon.map((a, i) => ({ a, b: polygon[(i + 1) % polygon.length]! }));
  // Beyond this everything is 0: measuring every pixel's distance to every edge cost half as much as the networks.
  const first = (values: readonly number[]) => Math.max(0, Math.floor(Math.min(...values) - feather));
  const last = (values: readonly number[]) => Math.min(side, Math.ceil(Math.max(...values) + feather));
  const [xs, ys] = [polygon.map(({ x }) => x), polygon.map(({ y }) => y)];
  for (let row = first(ys); row < last(ys); row++) {
    const y = row + 0.5;
    const near = edges.filter(
      ({ a, b }) => Math.min(a.y, b.y) - feather <= y && y <= Math.max(a.y, b.y) + feather,
    );
    // Where the row enters the polygon and where it leaves it.
    const crossings = near
      .filter(({ a, b }) => a.y > y !== b.y > y)
      .map(({ a, b }) => a.x + ((b.x - a.x) * (y - a.y)) / (b.y - a.y))
      .sort((one, other) => one - other);
    let passed = 0;
    for (let column = first(xs); column < last(xs); column++) {
      const x = column + 0.5;
      while (passed < crossings.length && crossings[passed]! <= x) passed++;
      const inside = passed % 2 ? 1 : 1 - distanceTo(near, x, y, feather) / feather;
      const border = Math.min(column, row, side - 1 - column, side - 1 - row) / feather;
      const t = Math.min(Math.max(Math.min(inside, border), 0), 1);
      out[row * side + column] = t * t * (3 - 2 * t);
    }
  }
  return out;
}

/** To the nearest edge, at most `most`. */
function distanceTo(
  edges: readonly { readonly a: Point; readonly b: Point }[],
  x: number,
  y: number,
  most: number,
): number {
  let nearest = most * most;
  for (const { a, b } of edges) {
    const [dx, dy] = [b.x - a.x, b.y - a.y];
    const length = dx * dx + dy * dy;
    const t = length ? Math.min(Math.max(((x - a.x) * dx + (y - a.y) * dy) / length, 0), 1) : 0;
    const [ex, ey] = [x - a.x - t * dx, y - a.y - t * dy];
    nearest = Math.min(nearest, ex * ex + ey * ey);
  }
  return Math.sqrt(nearest);
}

/** The square, magnified to the size the network draws best. */
export function magnify(picture: Picture, { left, top, side }: Region, target: number): Picture {
  return resize(crop(picture, left, top, side, side), target, target, 'lanczos');
}

/**
 * Puts a redrawn square back: `(1 − m)·base + m·drawn`, rounded. Where m is 0 the bytes are the base's own.
 *
 * @param mask [height, width] written with `m`, the larger where regions overlap
 */
export function composite(
  base: Picture,
  drawn: Picture,
  { left, top, side, change }: Region,
  mask: Float32Array,
): Picture {
  const small = resize(drawn, side, side, 'lanczos');
  const rgb = base.rgb.slice();
  for (let y = Math.max(0, -top); y < Math.min(side, base.height - top); y++) {
    for (let x = Math.max(0, -left); x < Math.min(side, base.width - left); x++) {
      const m = change[y * side + x]!;
      if (m === 0) continue;
      const p = (top + y) * base.width + left + x;
      mask[p] = Math.max(mask[p]!, m);
      for (let c = 0; c < 3; c++) {
        rgb[p * 3 + c] = Math.round((1 - m) * rgb[p * 3 + c]! + m * small.rgb[(y * side + x) * 3 + c]!);
      }
    }
  }
  return { ...base, rgb };
}

function average(values: readonly number[]): number {
  return values.reduce((sum, v) => sum + v, 0) / values.length;
}
