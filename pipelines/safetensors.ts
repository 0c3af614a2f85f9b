/**
 * Safetensors: named tensors behind a JSON header, as LoRA files have them, and golden vectors.
 *
 * Source: huggingface/safetensors `README.md`, format: 8 bytes little-endian header length, JSON header, data.
 */
import { z } from 'zod';
import { fromBfloats, fromHalves } from './half.ts';
import { elementCount } from './tensor.ts';

/** One stored tensor. */
export interface StoredTensor {
  /** `F32`, `F16`, `BF16`, `F64`, `I64` … */
  readonly dtype: string;
  readonly shape: readonly number[];
  /** @throws {RangeError} when it is of a type that is not read here */
  numbers(): Float64Array;
  /** as `numbers`, rounded to float32 */
  floats(): Float32Array;
}

export interface Safetensors extends ReadonlyMap<string, StoredTensor> {
  /** `__metadata__`: what the writer said of the file */
  readonly metadata: Readonly<Record<string, string>>;
}

const Entry = z.object({
  dtype: z.string(),
  shape: z.array(z.number().int().nonnegative()),
  data_offsets: z.tuple([z.number().int().nonnegative(), z.number().int().nonnegative()]),
});
const Header = z.record(z.string(), z.unknown());
const Metadata = z.record(z.string(), z.string());
const HEADER_LENGTH = 8;

/**
 * The file's bytes are not copied until a tensor's numbers are asked for.
 *
 * @throws {RangeError} when they are no safetensors file: too short, a broken header, data that reaches beyond the end
 */
export function readSafetensors(file: Uint8Array): Safetensors {
  const view = new DataView(file.buffer, file.byteOffset, file.byteLength);
  const length = file.byteLength < HEADER_LENGTH ? -1 : Number(view.getBigUint64(0, true));
  if (length < 2 || length > file.byteLength - HEADER_LENGTH) {
    throw new RangeError('This is no safetensors file: its header is missing or cut off.');
  }
  const start = HEADER_LENGTH + length;
  let header: z.output<typeof Header>;
  try {
    header = Header.parse(JSON.parse(new TextDecoder().decode(file.subarray(HEADER_LENGTH, start))));
  } catch (error) {
    throw new RangeError('This is no safetensors file: its header is not JSON.', { cause: error });
  }
  const { __metadata__, ...entries } = header;
  const tensors = new Map<string, StoredTensor>();
  for (const [name, entry] of Object.entries(entries)) {
    const parsed = Entry.safeParse(entry);
    if (!parsed.success) throw new RangeError(`The safetensors header has a broken entry: ${name}.`);
    const { dtype, shape } = parsed.data;
    const [from, to] = parsed.data.data_offsets;
    if (to < from || start + to > file.byteLength) {
      throw new RangeError(`The safetensors file is cut off: ${name} reaches beyond its end.`);
    }
    const size = elementCount(shape);
    const width = widths[dtype];
    if (width && size * width !== to - from) {
      throw new RangeError(
        `The safetensors file has ${to - from} bytes of ${name}, and its shape needs ${size * width}.`,
      );
    }
    // A copy: Buffer's own `slice` would be a view of the whole file.
    const bytes = () => new Uint8Array(file.subarray(start + from, start + to)).buffer;
    const numbers = () => {
      const read = readers[dtype];
      if (!read) throw new RangeError(`${name} is of the type ${dtype}, which is not read here.`);
      return read(bytes());
    };
    tensors.set(name, {
      dtype,
      shape,
      numbers: () => Float64Array.from(numbers()),
      floats() {
        const all = numbers();
        return all instanceof Float32Array ? all : Float32Array.from(all);
      },
    });
  }
  return Object.assign(tensors, { metadata: Metadata.catch({}).parse(__metadata__ ?? {}) });
}

/** bytes */
const widths: Readonly<Record<string, number>> = {
  F64: 8,
  F32: 4,
  F16: 2,
  BF16: 2,
  I64: 8,
  I32: 4,
  U8: 1,
  BOOL: 1,
};

const readers: Readonly<Record<string, (bytes: ArrayBuffer) => Float64Array | Float32Array>> = {
  F64: (bytes) => new Float64Array(bytes),
  F32: (bytes) => new Float32Array(bytes),
  F16: (bytes) => fromHalves(new Uint16Array(bytes)),
  BF16: (bytes) => fromBfloats(new Uint16Array(bytes)),
  I64: (bytes) => Float64Array.from(new BigInt64Array(bytes), Number),
  I32: (bytes) => Float64Array.from(new Int32Array(bytes)),
  U8: (bytes) => Float64Array.from(new Uint8Array(bytes)),
  BOOL: (bytes) => Float64Array.from(new Uint8Array(bytes)),
};
