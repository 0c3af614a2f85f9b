/**
 * The arithmetic that the small world is drawn with, in two forms: numbers over pixels, for photos, and nodes of an ONNX
 * graph, for the network. One drawing, written once, is both.
 */
import type { Graph, Value } from './onnx.ts';

export interface Algebra<T> {
  constant(value: number): T;
  add(a: T, b: T): T;
  sub(a: T, b: T): T;
  mul(a: T, b: T): T;
  div(a: T, b: T): T;
  min(a: T, b: T): T;
  max(a: T, b: T): T;
  abs(a: T): T;
  sqrt(a: T): T;
  exp(a: T): T;
  sin(a: T): T;
  sigmoid(a: T): T;
  floor(a: T): T;
  /** True where it is known to be 0 everywhere: then what it weighs need not be drawn. */
  isZero(a: T): boolean;
}

/** A number for the whole picture, or one a pixel. */
export type Field = number | Float32Array;

/** One loop an operation: a shared one would call through a pointer for every pixel, at ten times the cost. */
function binary(f: (x: number, y: number) => number): (a: Field, b: Field) => Field {
  return (a, b) => {
    if (typeof a === 'number' && typeof b === 'number') return f(a, b);
    const out = new Float32Array(typeof a === 'number' ? (b as Float32Array).length : a.length);
    if (typeof a === 'number') for (let i = 0; i < out.length; i++) out[i] = f(a, (b as Float32Array)[i]!);
    else if (typeof b === 'number') for (let i = 0; i < out.length; i++) out[i] = f(a[i]!, b);
    else for (let i = 0; i < out.length; i++) out[i] = f(a[i]!, b[i]!);
    return out;
  };
}
function unary(f: (x: number) => number): (a: Field) => Field {
  return (a) => {
    if (typeof a === 'number') return f(a);
    const out = new Float32Array(a.length);
    for (let i = 0; i < out.length; i++) out[i] = f(a[i]!);
    return out;
  };
}

export const numbers: Algebra<Field> = {
  constant: (value) => value,
  add: binary((x, y) => x + y),
  sub: binary((x, y) => x - y),
  mul: binary((x, y) => x * y),
  div: binary((x, y) => x / y),
  min: binary(Math.min),
  max: binary(Math.max),
  abs: unary(Math.abs),
  sqrt: unary((x) => Math.sqrt(Math.max(0, x))),
  exp: unary(Math.exp),
  sin: unary(Math.sin),
  sigmoid: unary((x) => 1 / (1 + Math.exp(-x))),
  floor: unary(Math.floor),
  isZero: (a) => a === 0,
};

/** Nodes, broadcast by ONNX's rules. */
export function nodes(graph: Graph): Algebra<Value> {
  const two = (type: string) => (a: Value, b: Value) => graph.op(type, [a, b]);
  const one = (type: string) => (a: Value) => graph.op(type, [a]);
  return {
    constant: (value) => graph.scalar(value),
    add: two('Add'),
    sub: two('Sub'),
    mul: two('Mul'),
    div: two('Div'),
    min: two('Min'),
    max: two('Max'),
    abs: one('Abs'),
    sqrt: (a) => graph.op('Sqrt', [graph.op('Max', [a, graph.scalar(0)])]),
    exp: one('Exp'),
    sin: one('Sin'),
    sigmoid: one('Sigmoid'),
    floor: one('Floor'),
    isZero: () => false,
  };
}

/** Short forms over an algebra; numbers may stand for fields. */
export function forms<T>(A: Algebra<T>) {
  const k = (value: T | number): T => (typeof value === 'number' ? A.constant(value) : value);
  const add = (...terms: (T | number)[]): T => terms.map(k).reduce((a, b) => A.add(a, b));
  const mul = (...factors: (T | number)[]): T => factors.map(k).reduce((a, b) => A.mul(a, b));
  const sub = (a: T | number, b: T | number): T => A.sub(k(a), k(b));
  const div = (a: T | number, b: T | number): T => A.div(k(a), k(b));
  const min = (a: T | number, b: T | number): T => A.min(k(a), k(b));
  const max = (a: T | number, b: T | number): T => A.max(k(a), k(b));
  const clamp = (a: T | number, low = 0, high = 1): T => min(max(a, low), high);
  const mix = (a: T | number, b: T | number, t: T | number): T => add(a, mul(t, sub(b, a)));
  const square = (a: T): T => A.mul(a, a);
  const length = (a: T, b: T): T => A.sqrt(A.add(square(a), square(b)));
  const { abs, sqrt, exp, sin, sigmoid, floor } = A;
  return { k, add, mul, sub, div, min, max, clamp, mix, square, length, abs, sqrt, exp, sin, sigmoid, floor };
}
