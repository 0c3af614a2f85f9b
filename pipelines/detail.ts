/**
 * Stage 2's geometry: which square around a face is drawn again, how strongly each of its pixels may change, and how it is
 * put back.
 *
 * Source: Levin & Fried 2023 (differential diffusion); the crops and feathers of Bing-su/adetailer@36189cb and
 * ltdrdata/ComfyUI-Impact-Pack@727295b `core.py`.
 */
import { type Bitmap, crop, type Point, resize, type Window } from './bitmap.ts';
import type { Face } from './faces/faces.ts';

/** Those of InsightFace's 106 points that go round a face: the jaw from the image-left temple to the image-right one … */
const JAW = [
  1, 9, 10, 11, 12, 13, 14, 15, 16, 2, 3, 4, 5, 6, 7, 8, 0, 24, 23, 22, 21, 20, 19, 18, 32, 31, 30, 29, 28,
  27, 26, 25, 17,
];
/** … and back over the brows' tops. */
const BROWS = [101, 105, 104, 103, 102, 50, 51, 49, 48, 43];
const CHIN = 0;
/** The landmarks end at the brows: the forehead is this share of the way from chin to brow above them. */
const FOREHEAD = 0.35;

/** How a face is cut out. */
export interface Cut {
  /** the square is so many times the face's larger side; more shows more of what is around */
  readonly cropFactor: number;
  /** the change falls from 1 to 0 over this share of the face's width */
  readonly feather: number;
}

export interface Region {
  /** px of the picture; may reach beyond it */
  readonly left: number;
  readonly top: number;
  readonly side: number;
  /** [side, side] 0 keeps, 1 draws anew; 0 at the square's border */
  readonly change: Float32Array;
}

/** The square around a face and its mask. `points`: 106 landmarks; without them the mask is an ellipse in the box. */
export function regionOf(
  picture: Bitmap,
  { box }: Face,
  points: readonly Point[],
  { cropFactor, feather }: Cut,
): Region {
  const [w, h] = [box.right - box.left, box.bottom - box.top];
  const side = Math.max(
    16,
    Math.min(Math.round(Math.max(w, h) * cropFactor), Math.max(picture.width, picture.height)),
  );
  const left = Math.round((box.left + box.right) / 2 - side / 2);
  const top = Math.round((box.top + box.bottom) / 2 - side / 2);
  const outline = (points.length === 106 ? faceOutline(points) : ellipse(box)).map(({ x, y }) => ({
    x: x - left,
    y: y - top,
  }));
  return { left, top, side, change: feathered(outline, side, Math.max(2, w * feather)) };
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
  const edges = polygon.map((a, i) => edgeOf(a, polygon[(i + 1) % polygon.length]!, feather));
  const top = Math.max(0, Math.floor(Math.min(...edges.map((edge) => edge.top))));
  const bottom = Math.min(side, Math.ceil(Math.max(...edges.map((edge) => edge.bottom))));
  for (let row = top; row < bottom; row++) {
    const y = row + 0.5;
    // Most pixels are near to few edges: measuring the distance to all of them cost half as much as the networks.
    const near = edges.filter((edge) => edge.top <= y && y <= edge.bottom);
    const crossings = near
      .filter(({ ay, dy }) => ay > y !== ay + dy > y)
      .map(({ ax, ay, dx, dy }) => ax + (dx * (y - ay)) / dy)
      .sort((one, other) => one - other);
    const left = Math.max(0, Math.floor(Math.min(...near.map((edge) => edge.left))));
    const right = Math.min(side, Math.ceil(Math.max(...near.map((edge) => edge.right))));
    let passed = 0;
    for (let column = left; column < right; column++) {
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

/** The edge from a to a + d, and the rectangle beyond which everything is farther from it than the feather. */
interface Edge {
  readonly ax: number;
  readonly ay: number;
  readonly dx: number;
  readonly dy: number;
  readonly squared: number;
  readonly left: number;
  readonly top: number;
  readonly right: number;
  readonly bottom: number;
}

function edgeOf(a: Point, b: Point, feather: number): Edge {
  const [dx, dy] = [b.x - a.x, b.y - a.y];
  return {
    ax: a.x,
    ay: a.y,
    dx,
    dy,
    squared: dx * dx + dy * dy,
    left: Math.min(a.x, b.x) - feather,
    top: Math.min(a.y, b.y) - feather,
    right: Math.max(a.x, b.x) + feather,
    bottom: Math.max(a.y, b.y) + feather,
  };
}

/** Distance to the nearest edge, at most `most`. */
function distanceTo(edges: readonly Edge[], x: number, y: number, most: number): number {
  let nearest = most * most;
  for (let i = 0; i < edges.length; i++) {
    const { ax, ay, dx, dy, squared, left, right } = edges[i]!;
    if (x < left || x > right) continue;
    const along = squared ? ((x - ax) * dx + (y - ay) * dy) / squared : 0;
    const t = along < 0 ? 0 : along > 1 ? 1 : along;
    const [ex, ey] = [x - ax - t * dx, y - ay - t * dy];
    const distance = ex * ex + ey * ey;
    if (distance < nearest) nearest = distance;
  }
  return Math.sqrt(nearest);
}

/** The square, magnified to the size the network draws best. */
export function magnify(picture: Bitmap, { left, top, side }: Region, target: number): Bitmap {
  return resize(crop(picture, left, top, side, side), target, target, 'lanczos');
}

/**
 * Puts a redrawn square back: `(1 − m)·base + m·drawn`, rounded. Where m is 0 the bytes are the base's own.
 *
 * @param mask [height, width] written with `m`, the larger where regions overlap
 */
export function composite(
  base: Bitmap,
  drawn: Bitmap,
  { left, top, side, change }: Region,
  mask: Float32Array,
): Bitmap {
  const rgb = base.rgb.slice();
  const window = changed(change, side);
  if (!window) return { ...base, rgb };
  const small = resize(drawn, side, side, 'lanczos', window);
  for (let v = 0, s = 0; v < window.height; v++) {
    const y = top + window.top + v;
    for (let u = 0; u < window.width; u++, s += 3) {
      const x = left + window.left + u;
      const m = change[(window.top + v) * side + window.left + u]!;
      if (m === 0 || x < 0 || y < 0 || x >= base.width || y >= base.height) continue;
      const p = y * base.width + x;
      mask[p] = Math.max(mask[p]!, m);
      for (let c = 0; c < 3; c++) {
        // Rounded to the nearest: none is below 0, and Math.round takes several times as long.
        rgb[p * 3 + c] = (1 - m) * rgb[p * 3 + c]! + m * small.rgb[s + c]! + 0.5;
      }
    }
  }
  return { ...base, rgb };
}

/** The rectangle that holds all of a square's pixels that may change; null when there is none. */
function changed(change: Float32Array, side: number): Window | null {
  let [left, top, right, bottom] = [side, side, -1, -1];
  for (let y = 0; y < side; y++) {
    for (let x = 0; x < side; x++) {
      if (change[y * side + x] === 0) continue;
      left = Math.min(left, x);
      right = Math.max(right, x);
      top = Math.min(top, y);
      bottom = y;
    }
  }
  return right < 0 ? null : { left, top, width: right - left + 1, height: bottom - top + 1 };
}

function average(values: readonly number[]): number {
  return values.reduce((sum, v) => sum + v, 0) / values.length;
}
