/**
 * Seeded normals: the numbers that `torch.randn` draws on the CPU, so that a seed means the same here and in the
 * reference implementations.
 *
 * Source: Matsumoto & Nishimura 1998 (mt19937); Box & Muller 1958, in the order of pytorch@v2.13
 * aten/src/ATen/native/cpu/DistributionTemplates.h `normal_fill` and ATen/core/DistributionsHelper.h `normal_distribution`.
 * Checked by test/pipelines/noise.test.ts against vectors of torch 2.13.
 */
const N = 624;
const M = 397;

/** A stream of normals; each call goes on where the last one stopped. */
export interface Normals {
  /** `count` draws from N(0, 1) */
  draw(count: number): Float32Array;
}

/** @param seed its low 32 bits count, as in torch */
export function normals(seed: number | bigint): Normals {
  const next = mt19937(Number(BigInt.asUintN(32, BigInt(seed))));
  /** [0, 1), 24 bits */
  const uniform = () => (next() & 0xff_ffff) / 2 ** 24;
  /** [0, 1), 53 bits of a 64-bit draw, high half first */
  const uniformDouble = () => {
    const high = next();
    const low = next();
    return Number(((BigInt(high) << 32n) | BigInt(low)) & ((1n << 53n) - 1n)) / 2 ** 53;
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

  return {
    draw(count) {
      const out = new Float32Array(count);
      if (count < 16) {
        for (let i = 0; i < count; i++) out[i] = one();
        return out;
      }
      for (let i = 0; i < count; i++) out[i] = uniform();
      for (let i = 0; i + 16 <= count; i += 16) boxMuller(out, i);
      if (count % 16) {
        // The last 16 are drawn anew, over what some of them were.
        const from = count - 16;
        for (let i = from; i < count; i++) out[i] = uniform();
        boxMuller(out, from);
      }
      return out;
    },
  };
}

/** Turns 16 uniforms into normals: the first eight are radii, the last eight angles. */
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
