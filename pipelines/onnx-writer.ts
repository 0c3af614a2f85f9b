/**
 * Writes ONNX files: protobuf by hand, as far as our own networks need it.
 * Source: onnx/onnx `onnx/onnx.proto3` (field numbers), IR version 10, opset 21.
 */

export type Bytes = number[] | Uint8Array;

const utf8 = new TextEncoder();

function varint(value: number | bigint): number[] {
  let rest = BigInt.asUintN(64, BigInt(value));
  const out: number[] = [];
  do {
    const low = Number(rest & 0x7fn);
    rest >>= 7n;
    out.push(rest ? low | 0x80 : low);
  } while (rest);
  return out;
}

export const concat = (parts: readonly Bytes[]): Uint8Array => {
  const out = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    out.set(part, at);
    at += part.length;
  }
  return out;
};
export const integer = (field: number, value: number | bigint): Bytes => [
  ...varint(field << 3),
  ...varint(value),
];
export const chunk = (field: number, bytes: Bytes): Uint8Array =>
  concat([varint((field << 3) | 2), varint(bytes.length), bytes]);
export const text = (field: number, value: string): Uint8Array => chunk(field, utf8.encode(value));
const float = (field: number, value: number): Bytes => [
  ...varint((field << 3) | 5),
  ...new Uint8Array(Float32Array.of(value).buffer),
];

const TYPES = { float: 1, int32: 6, int64: 7, bool: 9, float16: 10, double: 11, bfloat16: 16 } as const;
export type ElementType = keyof typeof TYPES;

/** A value inside a graph: the name of what a node gives. */
export type Value = string & { readonly __value?: never };
export type Attribute =
  | number
  | string
  | readonly number[]
  | { readonly float: number }
  | { readonly graph: Graph };

/** A graph while it is written. Constants that are equal are stored once. */
export class Graph {
  readonly #nodes: Uint8Array[] = [];
  readonly #initializers: Uint8Array[] = [];
  readonly #inputs: Uint8Array[] = [];
  readonly #outputs: Uint8Array[] = [];
  readonly #constants = new Map<string, Value>();
  readonly #name: string;
  #count = 0;

  constructor(name: string) {
    this.#name = name;
  }

  /** @param shape symbolic axes are strings */
  input(name: string, type: ElementType, shape: readonly (number | string)[]): Value {
    this.#inputs.push(valueInfo(name, type, shape));
    return name;
  }

  output(name: string, value: Value, type: ElementType, shape: readonly (number | string)[]): void {
    this.#nodes.push(node('Identity', [value], [name], `out/${name}`, {}));
    this.#outputs.push(valueInfo(name, type, shape));
  }

  /** Adds a node with one output. */
  op(type: string, inputs: readonly Value[], attributes: Readonly<Record<string, Attribute>> = {}): Value {
    return this.ops(type, inputs, 1, attributes)[0]!;
  }

  ops(
    type: string,
    inputs: readonly Value[],
    outputs: number,
    attributes: Readonly<Record<string, Attribute>> = {},
    nodeName?: string,
  ): Value[] {
    const id = `${type}_${this.#count++}`;
    const names = Array.from({ length: outputs }, (_, i) => `${id}.${i}`);
    this.#nodes.push(node(type, inputs, names, nodeName ?? id, attributes));
    return names;
  }

  /** A linear layer as torch's exporter writes one: its node has the module's path, its weight, transposed, has no name. */
  linear(path: string, value: Value, weight: ArrayLike<number>, inputs: number, outputs: number): Value {
    const transposed = this.floats(weight, [inputs, outputs]);
    const name = `/${path
      .split('.')
      .join('/')
      .replace(/\/(\d+)(?=\/|$)/g, '.$1')}/MatMul`;
    return this.ops('MatMul', [value, transposed], 1, {}, name)[0]!;
  }

  floats(values: ArrayLike<number>, shape: readonly number[]): Value {
    const data = Float32Array.from(values);
    return this.#constant('float', new Uint8Array(data.buffer), shape);
  }

  ints(values: readonly number[], shape: readonly number[] = [values.length]): Value {
    return this.#constant('int64', new Uint8Array(BigInt64Array.from(values, BigInt).buffer), shape);
  }

  scalar(value: number): Value {
    return this.floats([value], []);
  }

  /**
   * A Reshape whose result has a rank that only the run knows.
   *
   * onnxruntime's planner compares each tensor of a known rank with all that are free when it is made: with the UNet's 7,000
   * nodes a session took 4 s to load. Where ranks are unknown it has nothing to compare.
   *
   * @param input any of the graph's inputs that has an axis: the shape's length is made from its shape
   */
  reshapeUnplanned(value: Value, shape: readonly number[], input: Value): Value {
    const side = this.op('Slice', [this.op('Shape', [input]), this.ints([0]), this.ints([1])]);
    const length = this.op('Add', [this.ints([shape.length]), this.op('Mod', [side, this.ints([1])])]);
    return this.op('Reshape', [value, this.op('Slice', [this.ints(shape), this.ints([0]), length])]);
  }

  /** What a node has inside: the body of a Loop. */
  inside(): Uint8Array {
    return concat([
      ...this.#nodes.map((n) => chunk(1, n)),
      text(2, this.#name),
      ...this.#initializers.map((t) => chunk(5, t)),
      ...this.#inputs.map((i) => chunk(11, i)),
      ...this.#outputs.map((o) => chunk(12, o)),
    ]);
  }

  bytes(): Uint8Array {
    return concat([
      integer(1, 10),
      text(2, 'atelier'),
      chunk(7, this.inside()),
      chunk(8, concat([text(1, ''), integer(2, 21)])),
    ]);
  }

  #constant(type: ElementType, raw: Uint8Array, shape: readonly number[]): Value {
    // Small ones are looked up by their bytes; large ones are rarely equal.
    const key = raw.length <= 64 ? `${type}|${shape.join()}|${raw.join()}` : null;
    const known = key && this.#constants.get(key);
    if (known) return known;
    const name = `c${this.#initializers.length}`;
    const dims = shape.map((side) => integer(1, side));
    this.#initializers.push(concat([...dims, integer(2, TYPES[type]), text(8, name), chunk(9, raw)]));
    if (key) this.#constants.set(key, name);
    return name;
  }
}

function node(
  type: string,
  inputs: readonly string[],
  outputs: readonly string[],
  name: string,
  attributes: Readonly<Record<string, Attribute>>,
): Uint8Array {
  return concat([
    ...inputs.map((input) => text(1, input)),
    ...outputs.map((output) => text(2, output)),
    text(3, name),
    text(4, type),
    ...Object.entries(attributes).map(([key, value]) => chunk(5, attribute(key, value))),
  ]);
}

function attribute(name: string, value: Attribute): Uint8Array {
  if (typeof value === 'number') return concat([text(1, name), integer(3, value), integer(20, 2)]);
  if (typeof value === 'string') return concat([text(1, name), text(4, value), integer(20, 3)]);
  if ('graph' in value) return concat([text(1, name), chunk(6, value.graph.inside()), integer(20, 5)]);
  if ('float' in value) return concat([text(1, name), float(2, value.float), integer(20, 1)]);
  return concat([text(1, name), ...value.map((v) => integer(8, v)), integer(20, 7)]);
}

function valueInfo(name: string, type: ElementType, shape: readonly (number | string)[]): Uint8Array {
  const dims = shape.map((side) => chunk(1, typeof side === 'number' ? integer(1, side) : text(2, side)));
  const tensorType = concat([integer(1, TYPES[type]), chunk(2, concat(dims))]);
  return concat([text(1, name), chunk(2, chunk(1, tensorType))]);
}
