/**
 * What an ONNX file holds, without reading its weights: inputs, outputs, nodes, and the name, shape, type and place of each
 * initializer. A network of 5 GB takes as long as its nodes do.
 *
 * Source: onnx/onnx `onnx/onnx.proto3` (field numbers); protobuf's wire format.
 * Checked by: test/pipelines/onnx-reader.test.ts.
 */
import { elementCount } from './tensor.ts';

/** A file, as far as it is read. */
export interface ByteSource {
  /** bytes */
  readonly size: number;
  /** Exactly `length` bytes; never asked for more than there are. */
  read(at: number, length: number): Uint8Array;
}

export interface OnnxModel {
  readonly producer: string;
  /** of the standard operators; 0: not said */
  readonly opset: number;
  /** those that must be fed: inputs that are initializers too are left out, as older exports have them */
  readonly inputs: readonly OnnxValue[];
  readonly outputs: readonly OnnxValue[];
  readonly initializers: readonly OnnxTensor[];
  readonly nodes: readonly OnnxNode[];
}

export interface OnnxValue {
  readonly name: string;
  readonly type: OnnxType;
  /** Symbolic axes are strings, `?` where they have no name; null: the file does not say. */
  readonly shape: readonly (number | string)[] | null;
}

export interface OnnxTensor {
  readonly name: string;
  readonly type: OnnxType;
  readonly dims: readonly number[];
  /** how many bytes its numbers take */
  readonly bytes: number;
  /**
   * `inside`: raw, little-endian, at this place of the file. `external`: the same in another file beside it. `fields`: as
   * protobuf's own numbers, which only small tensors are.
   */
  readonly data:
    | { readonly kind: 'inside'; readonly at: number }
    | { readonly kind: 'external'; readonly file: string; readonly at: number; readonly length: number }
    | { readonly kind: 'fields' };
}

export interface OnnxNode {
  readonly name: string;
  /** `MatMul`, `Conv` … */
  readonly op: string;
  readonly inputs: readonly string[];
  readonly outputs: readonly string[];
  readonly attributes: Readonly<Record<string, number | readonly number[] | OnnxTensor>>;
  /** of `If` and `Loop` */
  readonly graphs: readonly Pick<OnnxModel, 'nodes' | 'initializers'>[];
}

const TYPES = {
  1: 'float32',
  2: 'uint8',
  3: 'int8',
  4: 'uint16',
  5: 'int16',
  6: 'int32',
  7: 'int64',
  8: 'string',
  9: 'bool',
  10: 'float16',
  11: 'float64',
  12: 'uint32',
  13: 'uint64',
  16: 'bfloat16',
  21: 'uint4',
  22: 'int4',
} as const;
export type OnnxType = (typeof TYPES)[keyof typeof TYPES] | `type ${number}`;

/** bits of one number */
const BITS: Readonly<Record<string, number>> = {
  float32: 32,
  float16: 16,
  bfloat16: 16,
  float64: 64,
  bool: 8,
  uint8: 8,
  int8: 8,
  uint16: 16,
  int16: 16,
  int32: 32,
  uint32: 32,
  int64: 64,
  uint64: 64,
  uint4: 4,
  int4: 4,
};

const typeOf = (id: number): OnnxType => (TYPES as Record<number, OnnxType>)[id] ?? `type ${id}`;

/** @throws {RangeError} when these bytes are no ONNX file, or not all of one */
export function readOnnx(source: ByteSource): OnnxModel {
  const file = new Fields(source);
  let graph: Graph | undefined;
  let producer = '';
  let opset = 0;
  for (const field of file.all(0, source.size)) {
    if (field.id === 2) producer = file.text(field);
    if (field.id === 7) graph = readGraph(file, field);
    if (field.id === 8) {
      const parts = [...file.all(field.from, field.to)];
      const domain = parts.find(({ id }) => id === 1);
      if (!domain || file.text(domain) === '') opset = parts.find(({ id }) => id === 2)?.value ?? 0;
    }
  }
  if (!graph?.outputs.length) throw new RangeError('this is no ONNX file: it has no graph');
  return { producer, opset, ...graph };
}

type Graph = Pick<OnnxModel, 'inputs' | 'outputs' | 'initializers' | 'nodes'>;

function readGraph(file: Fields, { from, to }: Field): Graph {
  const nodes: OnnxNode[] = [];
  const initializers: OnnxTensor[] = [];
  const inputs: OnnxValue[] = [];
  const outputs: OnnxValue[] = [];
  for (const field of file.all(from, to)) {
    if (field.id === 1) nodes.push(readNode(file, field));
    if (field.id === 5) initializers.push(readTensor(file, field));
    if (field.id === 11) inputs.push(readValue(file, field));
    if (field.id === 12) outputs.push(readValue(file, field));
  }
  const given = new Set(initializers.map(({ name }) => name));
  return { nodes, initializers, inputs: inputs.filter(({ name }) => !given.has(name)), outputs };
}

function readNode(file: Fields, { from, to }: Field): OnnxNode {
  const node = { name: '', op: '', inputs: [] as string[], outputs: [] as string[] };
  const attributes: Record<string, number | number[] | OnnxTensor> = {};
  const graphs: Graph[] = [];
  for (const field of file.all(from, to)) {
    if (field.id === 1) node.inputs.push(file.text(field));
    if (field.id === 2) node.outputs.push(file.text(field));
    if (field.id === 3) node.name = file.text(field);
    if (field.id === 4) node.op = file.text(field);
    if (field.id !== 5) continue;
    let name = '';
    const many: number[] = [];
    for (const part of file.all(field.from, field.to)) {
      if (part.id === 1) name = file.text(part);
      if (part.id === 2) attributes[name] = file.float(part);
      if (part.id === 3) attributes[name] = part.value;
      if (part.id === 5) attributes[name] = readTensor(file, part);
      if (part.id === 6) graphs.push(readGraph(file, part));
      if (part.id === 8) many.push(...file.integers(part));
    }
    if (many.length) attributes[name] = many;
  }
  return { ...node, attributes, graphs };
}

function readTensor(file: Fields, { from, to }: Field): OnnxTensor {
  const dims: number[] = [];
  const external: Record<string, string> = {};
  let type: OnnxType = 'type 0';
  let name = '';
  let at: number | undefined;
  let isExternal = false;
  for (const field of file.all(from, to)) {
    if (field.id === 1) dims.push(...file.integers(field));
    if (field.id === 2) type = typeOf(field.value);
    if (field.id === 8) name = file.text(field);
    if (field.id === 9) at = field.from;
    if (field.id === 14) isExternal = field.value === 1;
    if (field.id === 13) {
      const [key, value] = [...file.all(field.from, field.to)].map((part) => file.text(part));
      external[key ?? ''] = value ?? '';
    }
  }
  const count = elementCount(dims);
  const bytes = Math.ceil((count * (BITS[type] ?? 0)) / 8);
  const { location = '', offset = '0', length = bytes } = external;
  return {
    name,
    type,
    dims,
    bytes,
    data: isExternal
      ? { kind: 'external', file: location, at: Number(offset), length: Number(length) }
      : at === undefined
        ? { kind: 'fields' }
        : { kind: 'inside', at },
  };
}

function readValue(file: Fields, { from, to }: Field): OnnxValue {
  let name = '';
  let type: OnnxType = 'type 0';
  let shape: (number | string)[] | null = null;
  for (const field of file.all(from, to)) {
    if (field.id === 1) name = file.text(field);
    if (field.id !== 2) continue;
    for (const tensor of file.all(field.from, field.to)) {
      if (tensor.id !== 1) continue; // a sequence or a map: of no type that a pipeline takes
      for (const part of file.all(tensor.from, tensor.to)) {
        if (part.id === 1) type = typeOf(part.value);
        if (part.id !== 2) continue;
        shape = [...file.all(part.from, part.to)].map((axis) => {
          const [side] = file.all(axis.from, axis.to);
          if (!side) return '?';
          return side.id === 1 ? side.value : file.text(side) || '?';
        });
      }
    }
  }
  return { name, type, shape };
}

interface Field {
  readonly id: number;
  /** of a varint; 0 for the others */
  readonly value: number;
  /** where its bytes are */
  readonly from: number;
  readonly to: number;
  readonly wire: number;
}

/** How much is read at once. Weights are stepped over, not read. bytes */
const WINDOW = 1 << 16;

const utf8 = new TextDecoder();

/** The protobuf fields of a file that is read through a window. */
class Fields {
  readonly #source: ByteSource;
  #window: Uint8Array = new Uint8Array();
  #from = 0;

  constructor(source: ByteSource) {
    this.#source = source;
  }

  *all(from: number, to: number): Generator<Field> {
    for (let at = from; at < to; ) {
      const tag = this.#varint(at);
      const [id, wire] = [Math.floor(tag.value / 8), tag.value % 8];
      let end = tag.end;
      let start = end;
      let value = 0;
      if (wire === 0) ({ value, end } = this.#varint(end));
      else if (wire === 1) end += 8;
      else if (wire === 5) end += 4;
      else if (wire === 2) {
        const length = this.#varint(end);
        start = length.end;
        end = start + length.value;
      } else throw new RangeError('this is no ONNX file');
      if (id === 0) throw new RangeError('this is no ONNX file');
      if (end > to) throw new RangeError('this is no ONNX file, or it is cut off');
      yield { id, wire, value, from: start, to: end };
      at = end;
    }
  }

  text({ from, to }: Field): string {
    return utf8.decode(this.#bytes(from, to - from));
  }

  float({ from }: Field): number {
    const four = this.#bytes(from, 4);
    return new DataView(four.buffer, four.byteOffset).getFloat32(0, true);
  }

  /** One of a repeated field's integers, or all of them where they are packed. */
  *integers({ wire, value, from, to }: Field): Generator<number> {
    if (wire === 0) yield value;
    else {
      for (let at = from; at < to; ) {
        const one = this.#varint(at);
        yield one.value;
        at = one.end;
      }
    }
  }

  /** Negative ones are taken as two's complement of 64 bits; beyond 2⁵³ the last digits are lost. */
  #varint(at: number): { value: number; end: number } {
    const length = Math.min(10, this.#source.size - at);
    this.#bytes(at, length);
    let value = 0;
    let scale = 1;
    for (let i = 0; i < length; i++) {
      // The tenth byte is the sign.
      if (i === 9) return { value: value - 2 ** 63, end: at + 10 };
      const byte = this.#window[at - this.#from + i]!;
      value += (byte & 0x7f) * scale;
      scale *= 128;
      if (byte < 128) return { value, end: at + i + 1 };
    }
    throw new RangeError('this is no ONNX file, or it is cut off');
  }

  #bytes(at: number, length: number): Uint8Array {
    const { size } = this.#source;
    if (length < 0 || at + length > size) throw new RangeError('this is no ONNX file, or it is cut off');
    if (at < this.#from || at + length > this.#from + this.#window.length) {
      this.#window = this.#source.read(at, Math.min(Math.max(WINDOW, length), size - at));
      this.#from = at;
    }
    return this.#window.subarray(at - this.#from, at - this.#from + length);
  }
}
