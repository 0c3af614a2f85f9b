/** CBOR (RFC 8949), as far as a manifest takes it: what is written comes out in the order in which it was given. */

export type Cbor =
  | number
  | string
  | null
  | Uint8Array
  | readonly Cbor[]
  | ReadonlyMap<number, Cbor>
  | Tagged
  | { readonly [name: string]: Cbor };

/** A value that says what it means. @param tag 0: a time as text; 18: COSE_Sign1 */
export class Tagged {
  readonly tag: number;
  readonly value: Cbor;

  constructor(tag: number, value: Cbor) {
    this.tag = tag;
    this.value = value;
  }
}

/** @throws {RangeError} of a number that is not whole, or of 2³² and more */
export function cbor(value: Cbor): Buffer {
  if (value === null) return Buffer.from([0xf6]);
  if (typeof value === 'number') return value < 0 ? head(1, -1 - value) : head(0, value);
  if (typeof value === 'string')
    return Buffer.concat([head(3, Buffer.byteLength(value)), Buffer.from(value)]);
  if (value instanceof Uint8Array) return Buffer.concat([head(2, value.length), value]);
  if (value instanceof Tagged) return Buffer.concat([head(6, value.tag), cbor(value.value)]);
  if (isList(value)) return Buffer.concat([head(4, value.length), ...value.map(cbor)]);
  const entries = value instanceof Map ? [...value] : Object.entries(value);
  return Buffer.concat([head(5, entries.length), ...entries.flat().map(cbor)]);
}

const isList = (value: Cbor): value is readonly Cbor[] => Array.isArray(value);

/** What kind of value comes, and its size or number: in as few bytes as it takes. */
function head(kind: number, count: number): Buffer {
  if (!Number.isInteger(count) || count >= 2 ** 32) throw new RangeError(`CBOR of ${count} is not written`);
  const first = kind << 5;
  if (count < 24) return Buffer.from([first | count]);
  if (count < 2 ** 8) return Buffer.from([first | 24, count]);
  if (count < 2 ** 16) return Buffer.from([first | 25, count >> 8, count & 0xff]);
  const bytes = Buffer.from([first | 26, 0, 0, 0, 0]);
  bytes.writeUInt32BE(count, 1);
  return bytes;
}
