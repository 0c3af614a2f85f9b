/**
 * Seeded random numbers: those that torch draws on the CPU, so that a seed means the same here and in the reference
 * implementations.
 *
 * Source: Matsumoto & Nishimura 1998 (mt19937); Box & Muller 1958, in the order of pytorch@v2.13
 * aten/src/ATen/native/cpu/DistributionTemplates.h `normal_fill` and ATen/core/DistributionsHelper.h `normal_distribution`,
 * `uniform_int_from_to_distribution`, `uniform_real_distribution`.
 * Checked by: test/golden-runs/noise.ts against vectors of torch 2.13.
 */
const N = 624;
const M = 397;

/**
 * `torch.Generator("cpu")`: one stream that every kind of draw takes from, each call going on where the last one stopped.
 * Pipelines draw normals alone; the other kinds are what a recorded stream may have between them.
 */
export interface Generator {
  /** `torch.randn`: `count` draws from N(0, 1) */
  normals(count: number): Float32Array;
  /** `torch.randn(dtype=float64)` */
  doubleNormals(count: number): Float64Array;
  /** `torch.rand`: [0, 1), 24 bits */
  uniforms(count: number): Float32Array;
  /** `torch.rand(dtype=float64)`: [0, 1), 53 bits */
  doubleUniforms(count: number): Float64Array;
  /** `torch.randint(below, …)`, `below` ≤ 2²⁸: larger ranges draw 64 bits each */
  integers(below: number, count: number): Int32Array;
  /** mt19937's own 32-bit outputs */
  words(count: number): Uint32Array;
}

/** @param seed its low 32 bits count, as in torch; a negative one is 2⁶⁴ + seed */
export function generator(seed: number | bigint): Generator {
  const next = mt19937(Number(BigInt.asUintN(32, BigInt(seed))));
  const uniform = () => (next() & 0xff_ffff) / 2 ** 24;
  // The low 53 bits of a 64-bit draw, which has its high half first.
  const uniformDouble = () => {
    const high = next() & 0x1f_ffff;
    return (high * 2 ** 32 + next()) / 2 ** 53;
  };
  /** The second of a pair, kept for the next small draw. */
  let kept: number | undefined;

  function one(): number {
    if (kept !== undefined) {
      const value = kept;
      kept = undefined;
      return value;
    }
    const theta = 2 * Math.PI * uniformDouble();
    const radius = Math.sqrt(-2 * Math.log1p(-uniformDouble()));
    kept = radius * Math.sin(theta);
    return radius * Math.cos(theta);
  }

  /** Fewer than 16 one at a time; else uniforms first, and blocks of 16 of them turned into normals. */
  function fill<A extends Float32Array | Float64Array>(
    out: A,
    draw: () => number,
    boxMuller: (a: A, at: number) => void,
  ): A {
    const count = out.length;
    if (count < BLOCK) {
      for (let i = 0; i < count; i++) out[i] = one();
      return out;
    }
    for (let i = 0; i < count; i++) out[i] = draw();
    for (let i = 0; i + BLOCK <= count; i += BLOCK) boxMuller(out, i);
    if (count % BLOCK) {
      // The last 16 are drawn anew, over what some of them were.
      const from = count - BLOCK;
      for (let i = from; i < count; i++) out[i] = draw();
      boxMuller(out, from);
    }
    return out;
  }

  return {
    normals: (count) => fill(new Float32Array(count), uniform, boxMuller),
    doubleNormals: (count) => fill(new Float64Array(count), uniformDouble, boxMullerDouble),
    uniforms: (count) => Float32Array.from({ length: count }, uniform),
    doubleUniforms: (count) => Float64Array.from({ length: count }, uniformDouble),
    integers: (below, count) => Int32Array.from({ length: count }, () => next() % below),
    words: (count) => Uint32Array.from({ length: count }, next),
  };
}

const BLOCK = 16;

/** Turns 16 uniforms into normals, in float32 as torch: the first eight are radii, the last eight angles. */
function boxMuller(values: Float32Array, from: number): void {
  for (let i = from; i < from + 8; i++) {
    const radius = Math.fround(
      Math.sqrt(Math.fround(-2 * Math.fround(Math.log(Math.fround(1 - values[i]!))))),
    );
    const theta = Math.fround(Math.fround(2 * Math.PI) * values[i + 8]!);
    values[i] = radius * Math.fround(Math.cos(theta));
    values[i + 8] = radius * Math.fround(Math.sin(theta));
  }
}

function boxMullerDouble(values: Float64Array, from: number): void {
  for (let i = from; i < from + 8; i++) {
    const radius = Math.sqrt(-2 * Math.log(1 - values[i]!));
    const theta = 2 * Math.PI * values[i + 8]!;
    values[i] = radius * Math.cos(theta);
    values[i + 8] = radius * Math.sin(theta);
  }
}

/** 32-bit outputs. */
function mt19937(seed: number): () => number {
  const state = new Uint32Array(N);
  state[0] = seed;
  for (let i = 1; i < N; i++) {
    const last = state[i - 1]! ^ (state[i - 1]! >>> 30);
    state[i] = Math.imul(1_812_433_253, last) + i;
  }
  let at = N;
  return () => {
    if (at === N) {
      for (let i = 0; i < N; i++) {
        const y = (state[i]! & 0x8000_0000) | (state[(i + 1) % N]! & 0x7fff_ffff);
        state[i] = state[(i + M) % N]! ^ (y >>> 1) ^ (y & 1 ? 0x9908_b0df : 0);
      }
      at = 0;
    }
    let y = state[at++]!;
    y ^= y >>> 11;
    y ^= (y << 7) & 0x9d2c_5680;
    y ^= (y << 15) & 0xefc6_0000;
    y ^= y >>> 18;
    return y >>> 0;
  };
}
