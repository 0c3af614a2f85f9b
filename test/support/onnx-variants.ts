/**
 * The same network in other forms that exports have: weights in half precision, half precision at the border or throughout,
 * weights in a file beside it. Made from a file's bytes, field by field; what is not named is copied as it is.
 */
import { toHalves } from '#pipelines/half.ts';
import { type Bytes, chunk, concat, integer, text } from '#pipelines/onnx-writer.ts';

/** Weights stored as float16 and cast to float32 before they are used. */
export function halfWeights(model: Uint8Array): Uint8Array {
  return editGraph(model, (graph) => {
    const casts: Uint8Array[] = [];
    const stored = each(graph, INITIALIZER, (tensor) => {
      const { name, type } = tensorOf(tensor);
      if (type !== FLOAT) return tensor;
      casts.push(nodeOf('Cast', `${name}/stored`, [name], { to: FLOAT }));
      return renameTensor(halved(tensor), `${name}/stored`);
    });
    return concat([...casts.map((cast) => chunk(NODE, cast)), stored]);
  });
}

/** float16 in and out, float32 between. */
export function halfBorder(model: Uint8Array): Uint8Array {
  return editGraph(model, (graph) => {
    const initialized = new Set(all(graph, INITIALIZER).map((tensor) => tensorOf(tensor).name));
    const isReal = (value: Uint8Array) => valueType(value) === FLOAT && !initialized.has(nameOf(value, 1));
    const inputs = all(graph, INPUT)
      .filter(isReal)
      .map((value) => nameOf(value, 1));
    const outputs = all(graph, OUTPUT)
      .filter(isReal)
      .map((value) => nameOf(value, 1));
    const inside = new Map([...inputs, ...outputs].map((name) => [name, `${name}/full`]));
    const renamed = each(graph, NODE, (node) =>
      edit(node, ({ id, bytes }) => {
        const name = id === 1 || id === 2 ? inside.get(utf8(bytes)) : undefined;
        return name === undefined ? null : text(id, name);
      }),
    );
    const border = (value: Uint8Array) => (isReal(value) ? withValueType(value, HALF) : value);
    return concat([
      ...inputs.map((name) => chunk(NODE, nodeOf('Cast', name, [`${name}/full`], { to: FLOAT }))),
      each(each(renamed, INPUT, border), OUTPUT, border),
      ...outputs.map((name) => chunk(NODE, nodeOf('Cast', `${name}/full`, [name], { to: HALF }))),
    ]);
  });
}

/** float16 throughout: weights, constants, casts, inputs and outputs. */
export function half(model: Uint8Array): Uint8Array {
  const toHalf = (type: number) => (type === FLOAT ? HALF : type);
  const value = (info: Uint8Array) => withValueType(info, toHalf(valueType(info)));
  return editGraph(model, (graph) => {
    // How much a Resize enlarges is float32 in every network.
    const kept = new Set(
      all(graph, NODE)
        .filter((node) => nameOf(node, 4) === 'Resize')
        .map((node) => utf8(all(node, 1)[2]!)),
    );
    const nodes = each(graph, NODE, (node) => {
      if (kept.has(nameOf(node, 2))) return node;
      const isCast = nameOf(node, 4) === 'Cast';
      return each(node, ATTRIBUTE, (attribute) =>
        edit(attribute, ({ id, bytes, number }) => {
          if (id === 5 && tensorOf(bytes).type === FLOAT) return chunk(5, halved(bytes));
          if (id === 3 && isCast) return integer(3, toHalf(Number(number)));
          return null;
        }),
      );
    });
    const weights = each(nodes, INITIALIZER, (tensor) => {
      const { name, type } = tensorOf(tensor);
      return type === FLOAT && !kept.has(name) ? halved(tensor) : tensor;
    });
    return [INPUT, OUTPUT, VALUE_INFO].reduce((bytes, field) => each(bytes, field, value), weights);
  });
}

/** Weights of more than `over` bytes in a file of that name. */
export function external(
  model: Uint8Array,
  file: string,
  over = 256,
): { model: Uint8Array; data: Uint8Array } {
  const parts: Uint8Array[] = [];
  let at = 0;
  const moved = editGraph(model, (graph) =>
    each(graph, INITIALIZER, (tensor) => {
      const [raw] = all(tensor, RAW_DATA);
      if (!raw || raw.length <= over) return tensor;
      const entry = (key: string, value: string) => chunk(13, concat([text(1, key), text(2, value)]));
      const [offset, length] = [at, raw.length];
      // As torch does, each begins at a multiple of a page.
      const padding = new Uint8Array((4096 - (length % 4096)) % 4096);
      parts.push(raw, padding);
      at += length + padding.length;
      return concat([
        edit(tensor, ({ id }) => (id === RAW_DATA ? [] : null)),
        ...[entry('location', file), entry('offset', String(offset)), entry('length', String(length))],
        integer(14, 1),
      ]);
    }),
  );
  return { model: moved, data: concat(parts) };
}

/** A network that takes its time and gives the same: `times` products of two matrices of 1024 × 1024 a run. */
export function slowed(model: Uint8Array, output: string, scalarInput: string, times: number): Uint8Array {
  return editGraph(model, (graph) => {
    const fast = each(graph, NODE, (node) =>
      edit(node, ({ id, bytes }) => (id === 2 && utf8(bytes) === output ? text(2, `${output}/fast`) : null)),
    );
    const side = concat([
      integer(1, 2),
      integer(2, INT64),
      integer(7, 1024),
      integer(7, 1024),
      text(8, 'side'),
    ]);
    const products = Array.from({ length: times }, (_, i) =>
      nodeOf('MatMul', [`slow/${i}`, 'slow/0'], [`slow/${i + 1}`]),
    );
    // Nothing of it is known before it runs: it cannot be computed at the start.
    const nodes = [
      nodeOf('Sub', [scalarInput, scalarInput], ['slow/zero']),
      nodeOf('Expand', ['slow/zero', 'side'], ['slow/0']),
      ...products,
      nodeOf('ReduceMax', [`slow/${times}`], ['slow/done'], { keepdims: 0 }),
      nodeOf('Add', [`${output}/fast`, 'slow/done'], [output]),
    ];
    return concat([fast, ...nodes.map((node) => chunk(NODE, node)), chunk(INITIALIZER, side)]);
  });
}

/** An output under another name. */
export function renamedOutput(model: Uint8Array, from: string, to: string): Uint8Array {
  return editGraph(model, (graph) =>
    concat([renameOutput(graph, from, to), chunk(NODE, nodeOf('Identity', from, [to]))]),
  );
}

/** A VAE encoder that gives `latent_sample`, [B, 4, h, w]: here the mean itself. */
export function meanOnly(model: Uint8Array): Uint8Array {
  return editGraph(model, (graph) => {
    const half = each(renameOutput(graph, 'latent_parameters', 'latent_sample'), OUTPUT, () =>
      valueInfo('latent_sample', FLOAT, ['batch', 4, 'h', 'w']),
    );
    const attributes = { axis: 1, num_outputs: 2 };
    return concat([
      half,
      chunk(NODE, nodeOf('Split', 'latent_parameters', ['latent_sample', 'spread'], attributes)),
    ]);
  });
}

function renameOutput(graph: Uint8Array, from: string, to: string): Uint8Array {
  return each(graph, OUTPUT, (value) =>
    edit(value, ({ id, bytes }) => (id === 1 && utf8(bytes) === from ? text(1, to) : null)),
  );
}

/** An input of another type, cast to its own at once. `axes`: other axes too, of which a scalar is made. */
export function castInput(
  model: Uint8Array,
  name: string,
  type: number,
  axes?: readonly number[],
): Uint8Array {
  return editGraph(model, (graph) => {
    const [own] = all(graph, INPUT).filter((value) => nameOf(value, 1) === name);
    const renamed = each(graph, NODE, (node) =>
      edit(node, ({ id, bytes }) => (id === 1 && utf8(bytes) === name ? text(1, `${name}/own`) : null)),
    );
    const retyped = each(renamed, INPUT, (value) => {
      if (nameOf(value, 1) !== name) return value;
      return axes ? valueInfo(name, type, axes) : withValueType(value, type);
    });
    const cast = axes ? `${name}/cast` : `${name}/own`;
    return concat([
      chunk(NODE, nodeOf('Cast', name, [cast], { to: valueType(own!) })),
      ...(axes ? [chunk(NODE, nodeOf('Squeeze', cast, [`${name}/own`]))] : []),
      retyped,
    ]);
  });
}

export const FLOAT = 1;
export const INT32 = 6;
export const INT64 = 7;
export const HALF = 10;
const NODE = 1;
const INITIALIZER = 5;
const INPUT = 11;
const OUTPUT = 12;
const VALUE_INFO = 13;
const ATTRIBUTE = 5;
const RAW_DATA = 9;

const utf8 = (bytes: Uint8Array) => new TextDecoder().decode(bytes);
const nameOf = (message: Uint8Array, field: number) => utf8(all(message, field)[0] ?? new Uint8Array());

function nodeOf(
  op: string,
  input: string | readonly string[],
  outputs: readonly string[],
  attributes: Readonly<Record<string, number>> = {},
): Uint8Array {
  return concat([
    ...[input].flat().map((one) => text(1, one)),
    ...outputs.map((output) => text(2, output)),
    ...[text(3, `${op} ${outputs[0]}`), text(4, op)],
    ...Object.entries(attributes).map(([name, value]) =>
      chunk(5, concat([text(1, name), integer(3, value), integer(20, 2)])),
    ),
  ]);
}

function valueInfo(name: string, type: number, axes: readonly (number | string)[]): Uint8Array {
  const shape = concat(
    axes.map((side) => chunk(1, typeof side === 'number' ? integer(1, side) : text(2, side))),
  );
  return concat([text(1, name), chunk(2, chunk(1, concat([integer(1, type), chunk(2, shape)])))]);
}

function tensorOf(tensor: Uint8Array): { name: string; type: number } {
  const type = fields(tensor).find(({ id }) => id === 2)?.number ?? 0n;
  return { name: nameOf(tensor, 8), type: Number(type) };
}

/** A float32 tensor as float16. */
function halved(tensor: Uint8Array): Uint8Array {
  const [raw] = all(tensor, RAW_DATA);
  const inFields = all(tensor, 4);
  if (!raw && !inFields.length) return edit(tensor, ({ id }) => (id === 2 ? integer(2, HALF) : null));
  const numbers = new Float32Array(new Uint8Array(raw ?? concat(inFields)).buffer);
  const halves = new Uint8Array(toHalves(numbers).buffer);
  return concat([
    edit(tensor, ({ id }) => (id === 2 ? integer(2, HALF) : id === RAW_DATA || id === 4 ? [] : null)),
    chunk(RAW_DATA, halves),
  ]);
}

function renameTensor(tensor: Uint8Array, name: string): Uint8Array {
  return edit(tensor, ({ id }) => (id === 8 ? text(8, name) : null));
}

/** Of a ValueInfoProto: its tensor's element type. */
function valueType(value: Uint8Array): number {
  const [type] = all(value, 2);
  const [tensor] = type ? all(type, 1) : [];
  return tensor ? tensorType(tensor) : 0;
}
const tensorType = (tensor: Uint8Array) => Number(fields(tensor).find(({ id }) => id === 1)?.number ?? 0n);

function withValueType(value: Uint8Array, type: number): Uint8Array {
  return each(value, 2, (one) =>
    each(one, 1, (tensor) => edit(tensor, ({ id }) => (id === 1 ? integer(1, type) : null))),
  );
}

interface Field {
  readonly id: number;
  /** of a varint */
  readonly number: bigint;
  /** of a length-delimited field, or of four or eight bytes */
  readonly bytes: Uint8Array;
  /** the field as it stands, with its tag */
  readonly whole: Uint8Array;
}

function fields(message: Uint8Array): Field[] {
  const out: Field[] = [];
  let at = 0;
  const varint = () => {
    let value = 0n;
    for (let shift = 0n; ; shift += 7n) {
      const byte = message[at++]!;
      value |= BigInt(byte & 0x7f) << shift;
      if (byte < 128) return value;
    }
  };
  while (at < message.length) {
    const from = at;
    const tag = varint();
    const [id, wire] = [Number(tag >> 3n), Number(tag & 7n)];
    const number = wire === 0 ? varint() : 0n;
    const length = wire === 2 ? Number(varint()) : wire === 5 ? 4 : wire === 1 ? 8 : 0;
    at += length;
    out.push({ id, number, bytes: message.subarray(at - length, at), whole: message.subarray(from, at) });
  }
  return out;
}

/** A message with some of its fields replaced. @param change null: as it is; [] takes it out */
function edit(message: Uint8Array, change: (field: Field) => Bytes | null): Uint8Array {
  return concat(fields(message).map((field) => change(field) ?? field.whole));
}

function all(message: Uint8Array, id: number): Uint8Array[] {
  return fields(message)
    .filter((field) => field.id === id)
    .map(({ bytes }) => bytes);
}

function each(message: Uint8Array, id: number, change: (bytes: Uint8Array) => Uint8Array): Uint8Array {
  return edit(message, (field) => (field.id === id ? chunk(id, change(field.bytes)) : null));
}

const editGraph = (model: Uint8Array, change: (graph: Uint8Array) => Uint8Array) => each(model, 7, change);
