/** Reads a folder of golden vectors: `cases.json` and `tensors.safetensors`. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { z } from 'zod';

const Cases = z.object({
  cases: z.array(z.object({ name: z.string(), params: z.record(z.string(), z.unknown()) })),
});

export interface GoldenTensor {
  readonly shape: readonly number[];
  /** whatever the stored type was */
  readonly data: Float64Array;
}

export interface GoldenCase<P> {
  readonly name: string;
  readonly params: P;
  get(tensor: string): GoldenTensor;
  has(tensor: string): boolean;
}

export const goldenDir = (set: string) => join(import.meta.dirname, '../golden', set);

const Header = z.record(
  z.string(),
  z.object({
    dtype: z.string(),
    shape: z.array(z.number()),
    data_offsets: z.tuple([z.number(), z.number()]),
  }),
);

/** Cases whose params fit `schema`. */
export function golden<S extends z.ZodType>(set: string, schema: S): GoldenCase<z.output<S>>[] {
  const { cases } = Cases.parse(JSON.parse(readFileSync(join(goldenDir(set), 'cases.json'), 'utf8')));
  const file = readFileSync(join(goldenDir(set), 'tensors.safetensors'));
  const headerLength = Number(file.readBigUInt64LE(0));
  const { __metadata__: _, ...entries } = JSON.parse(file.toString('utf8', 8, 8 + headerLength));
  const header = Header.parse(entries);

  const read = (name: string): GoldenTensor => {
    const entry = header[name];
    if (!entry) throw new Error(`No golden tensor ${name}`);
    const [from, to] = entry.data_offsets.map((at) => 8 + headerLength + at) as [number, number];
    const bytes = new Uint8Array(file.subarray(from, to)).buffer;
    const readers: Record<string, () => Float64Array> = {
      F32: () => Float64Array.from(new Float32Array(bytes)),
      F64: () => new Float64Array(bytes),
      I64: () => Float64Array.from(new BigInt64Array(bytes), Number),
      BOOL: () => Float64Array.from(new Uint8Array(bytes)),
      U8: () => Float64Array.from(new Uint8Array(bytes)),
    };
    const data = readers[entry.dtype]?.();
    if (!data) throw new Error(`Golden tensor ${name} has the type ${entry.dtype}`);
    return { shape: entry.shape, data };
  };
  return cases.flatMap(({ name, params }) => {
    const fits = schema.safeParse(params);
    if (!fits.success) return [];
    return [
      { name, params: fits.data, get: (t) => read(`${name}/${t}`), has: (t) => `${name}/${t}` in header },
    ];
  });
}

/** Largest |a − b|, over the largest |b| when `relative`. NaN counts as infinitely far. */
export function distance(a: ArrayLike<number>, b: ArrayLike<number>, relative = false): number {
  if (a.length !== b.length) return Number.POSITIVE_INFINITY;
  let worst = 0;
  let largest = 0;
  for (let i = 0; i < a.length; i++) {
    const d = Math.abs(a[i]! - b[i]!);
    worst = Number.isNaN(d) ? Number.POSITIVE_INFINITY : Math.max(worst, d);
    largest = Math.max(largest, Math.abs(b[i]!));
  }
  return relative ? worst / Math.max(largest, 1e-12) : worst;
}
