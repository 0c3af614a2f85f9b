/**
 * The arithmetic that the small world is drawn with, in two forms: numbers over pixels, for photos, and nodes of an ONNX
 * graph, for the networks. One drawing, written once, is both.
 *
 * `T` is a plane (or one number for all of it), `C` a colour for each of its places (or one for all).
 */
import type { Graph, Value } from '../onnx-writer.ts';

/** 0…1 each */
export type Rgb = readonly [number, number, number];

export interface Algebra<T, C> {
  constant(value: number): T;
  colour(rgb: Rgb): C;
  add(a: T, b: T): T;
  sub(a: T, b: T): T;
  mul(a: T, b: T): T;
  div(a: T, b: T): T;
  min(a: T, b: T): T;
  max(a: T, b: T): T;
  abs(a: T): T;
  /** square root of what is above 0 */
  sqrt(a: T): T;
  exp(a: T): T;
  sin(a: T): T;
  floor(a: T): T;
  /** into 0…1 */
  clip(a: T): T;
  /** `a` where t is 0, `b` where t is 1 */
  mixColours(a: C, b: C, t: T): C;
  /** each channel times a plane */
  scaleColour(a: C, t: T): C;
  addColours(a: C, b: C): C;
  /** its brightness, in each channel */
  grey(a: C): C;
}

/** A number for the whole picture, or one a pixel. */
export type Field = number | Float32Array;
export type FieldColour = readonly [Field, Field, Field];

/** Shares of red, green and blue in the brightness of sRGB levels: ITU-R BT.601. */
export const LUMA: Rgb = [0.299, 0.587, 0.114];

/** Two operands as arrays; a number is an array of one that is read again and again (`step` 0), in a graph's precision. */
function pair(a: Field, b: Field) {
  const n = Math.max(typeof a === 'number' ? 1 : a.length, typeof b === 'number' ? 1 : b.length);
  const array = (v: Field) => (typeof v === 'number' ? Float32Array.of(v) : v);
  return {
    x: array(a),
    y: array(b),
    n,
    sx: typeof a === 'number' ? 0 : 1,
    sy: typeof b === 'number' ? 0 : 1,
  };
}
const isNumber = (v: Field): v is number => typeof v === 'number';

// A loop for each operation, not one loop for all with a function inside: that is ten times slower.
function add(a: Field, b: Field): Field {
  if (isNumber(a) && isNumber(b)) return a + b;
  const { x, y, n, sx, sy } = pair(a, b);
  const out = new Float32Array(n);
  for (let i = 0; i < n; i++) out[i] = x[i * sx]! + y[i * sy]!;
  return out;
}
function sub(a: Field, b: Field): Field {
  if (isNumber(a) && isNumber(b)) return a - b;
  const { x, y, n, sx, sy } = pair(a, b);
  const out = new Float32Array(n);
  for (let i = 0; i < n; i++) out[i] = x[i * sx]! - y[i * sy]!;
  return out;
}
function mul(a: Field, b: Field): Field {
  if (isNumber(a) && isNumber(b)) return a * b;
  if (a === 0 || b === 0) return 0;
  const { x, y, n, sx, sy } = pair(a, b);
  const out = new Float32Array(n);
  for (let i = 0; i < n; i++) out[i] = x[i * sx]! * y[i * sy]!;
  return out;
}
function div(a: Field, b: Field): Field {
  if (isNumber(a) && isNumber(b)) return a / b;
  const { x, y, n, sx, sy } = pair(a, b);
  const out = new Float32Array(n);
  for (let i = 0; i < n; i++) out[i] = x[i * sx]! / y[i * sy]!;
  return out;
}
function min(a: Field, b: Field): Field {
  if (isNumber(a) && isNumber(b)) return Math.min(a, b);
  const { x, y, n, sx, sy } = pair(a, b);
  const out = new Float32Array(n);
  for (let i = 0; i < n; i++) {
    const [u, v] = [x[i * sx]!, y[i * sy]!];
    out[i] = u < v ? u : v;
  }
  return out;
}
function max(a: Field, b: Field): Field {
  if (isNumber(a) && isNumber(b)) return Math.max(a, b);
  const { x, y, n, sx, sy } = pair(a, b);
  const out = new Float32Array(n);
  for (let i = 0; i < n; i++) {
    const [u, v] = [x[i * sx]!, y[i * sy]!];
    out[i] = u > v ? u : v;
  }
  return out;
}
function sqrt(a: Field): Field {
  if (isNumber(a)) return Math.sqrt(Math.max(a, 0));
  const out = new Float32Array(a.length);
  for (let i = 0; i < out.length; i++) out[i] = Math.sqrt(a[i]! > 0 ? a[i]! : 0);
  return out;
}
function clip(a: Field): Field {
  if (isNumber(a)) return Math.min(Math.max(a, 0), 1);
  const out = new Float32Array(a.length);
  let most = 0;
  for (let i = 0; i < out.length; i++) {
    const level = a[i]! > 0 ? (a[i]! < 1 ? a[i]! : 1) : 0;
    if (level > most) most = level;
    out[i] = level;
  }
  // Most shapes are nowhere in most bands of a picture: as a number, what is painted with them is skipped.
  return most && out;
}
function abs(a: Field): Field {
  if (isNumber(a)) return Math.abs(a);
  const out = new Float32Array(a.length);
  for (let i = 0; i < out.length; i++) out[i] = Math.abs(a[i]!);
  return out;
}
function exp(a: Field): Field {
  if (isNumber(a)) return Math.exp(a);
  const out = new Float32Array(a.length);
  for (let i = 0; i < out.length; i++) out[i] = Math.exp(a[i]!);
  return out;
}
function sin(a: Field): Field {
  if (isNumber(a)) return Math.sin(a);
  const out = new Float32Array(a.length);
  for (let i = 0; i < out.length; i++) out[i] = Math.sin(a[i]!);
  return out;
}
function floor(a: Field): Field {
  if (isNumber(a)) return Math.floor(a);
  const out = new Float32Array(a.length);
  for (let i = 0; i < out.length; i++) out[i] = Math.floor(a[i]!);
  return out;
}

export const numbers: Algebra<Field, FieldColour> = {
  constant: (value) => value,
  colour: (rgb) => rgb,
  add,
  sub,
  mul,
  div,
  min,
  max,
  abs,
  sqrt,
  exp,
  sin,
  floor,
  clip,
  mixColours: (a, b, t) => (t === 0 ? a : perChannel((c) => add(a[c]!, mul(t, sub(b[c]!, a[c]!))))),
  scaleColour: (a, t) => perChannel((c) => mul(a[c]!, t)),
  addColours: (a, b) => perChannel((c) => add(a[c]!, b[c]!)),
  grey(a) {
    const y = add(add(mul(a[0], LUMA[0]), mul(a[1], LUMA[1])), mul(a[2], LUMA[2]));
    return [y, y, y];
  },
};

function perChannel(f: (channel: 0 | 1 | 2) => Field): FieldColour {
  return [f(0), f(1), f(2)];
}

/** Planes are [B, K, 1, h, w] and colours [B, K, 3, h, w]; any axis may be 1 and is then broadcast. */
export function nodes(graph: Graph): Algebra<Value, Value> {
  const two = (type: string) => (a: Value, b: Value) => graph.op(type, [a, b]);
  const one = (type: string) => (a: Value) => graph.op(type, [a]);
  const [plus, minus, times] = [two('Add'), two('Sub'), two('Mul')];
  return {
    constant: (value) => graph.scalar(value),
    colour: (rgb) => graph.floats(rgb, [1, 1, 3, 1, 1]),
    add: plus,
    sub: minus,
    mul: times,
    div: two('Div'),
    min: two('Min'),
    max: two('Max'),
    abs: one('Abs'),
    sqrt: (a) => graph.op('Sqrt', [graph.op('Relu', [a])]),
    exp: one('Exp'),
    sin: one('Sin'),
    floor: one('Floor'),
    clip: (a) => graph.op('Clip', [a, graph.scalar(0), graph.scalar(1)]),
    mixColours: (a, b, t) => plus(a, times(t, minus(b, a))),
    scaleColour: times,
    addColours: plus,
    grey: (a) =>
      graph.op('ReduceSum', [times(a, graph.floats(LUMA, [1, 1, 3, 1, 1])), graph.ints([2])], {
        keepdims: 1,
      }),
  };
}

/** Short forms over an algebra; numbers may stand for planes. */
export function forms<T, C>(A: Algebra<T, C>) {
  const k = (value: T | number): T => (typeof value === 'number' ? A.constant(value) : value);
  const add = (...terms: (T | number)[]): T => terms.map(k).reduce((a, b) => A.add(a, b));
  const mul = (...factors: (T | number)[]): T => factors.map(k).reduce((a, b) => A.mul(a, b));
  const sub = (a: T | number, b: T | number): T => A.sub(k(a), k(b));
  const div = (a: T | number, b: T | number): T => A.div(k(a), k(b));
  const min = (...terms: (T | number)[]): T => terms.map(k).reduce((a, b) => A.min(a, b));
  const max = (...terms: (T | number)[]): T => terms.map(k).reduce((a, b) => A.max(a, b));
  const mix = (a: T | number, b: T | number, t: T | number): T => add(a, mul(t, sub(b, a)));
  const square = (a: T): T => A.mul(a, a);
  const length = (a: T, b: T): T => A.sqrt(A.add(square(a), square(b)));
  const not = (a: T | number): T => sub(1, a);
  /** 0…1, smooth, over `low`…`high` */
  const ramp = (a: T | number, low: T | number, high: T | number): T =>
    A.clip(div(sub(a, low), sub(high, low)));
  /** 1 at 0, falling to 0 as a Gaussian of width 1 */
  const bump = (a: T): T => A.exp(mul(-0.5, square(a)));
  return {
    k,
    add,
    mul,
    sub,
    div,
    min,
    max,
    mix,
    square,
    length,
    not,
    ramp,
    bump,
    abs: A.abs,
    sqrt: A.sqrt,
    exp: A.exp,
    sin: A.sin,
    floor: A.floor,
    clip: A.clip,
  };
}
