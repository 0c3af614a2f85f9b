/** What torch draws on the CPU: `randn`, and the other kinds of draw that share its stream. */
import { z } from 'zod';
import { generator } from '#pipelines/noise.ts';
import { compare, type GoldenCase, type GoldenRunner } from '../support/golden.ts';

const Params = z.object({
  seed: z.number().optional(),
  seeds: z.array(z.number()).optional(),
  call: z.string().optional(),
  dtype: z.string().optional(),
});
/** Natural logarithm, sine and cosine differ in the last bit between libraries. */
const CLOSE = { absolute: 1e-6, relative: 1e-6 };
/** Upper ends of the calls of randint, which the cases name in words alone. */
const upperEnds = (call = '') => [...call.matchAll(/randint\(0, ?(\d+)/g)].map(([, end]) => Number(end));

export const noise: GoldenRunner = () => (c) => {
  const { seed = 0, seeds, call, dtype } = Params.parse(c.params);
  const fresh = () => generator(seed);
  const wanted = (tensor: string) => c.get(tensor).data;
  const size = (tensor: string) => wanted(tensor).length;
  const exact = (tensor: string, got: ArrayLike<number>) => compare(tensor, got, wanted(tensor), {});
  const close = (tensor: string, got: ArrayLike<number>) => compare(tensor, got, wanted(tensor), CLOSE);

  if (c.has('uint32')) {
    return [
      exact('uint32', fresh().words(size('uint32'))),
      exact('random_0_2pow24', fresh().integers(2 ** 24, size('random_0_2pow24'))),
      exact('rand', fresh().uniforms(size('rand'))),
      exact('rand_float64', fresh().doubleUniforms(size('rand_float64'))),
    ];
  }
  const one = fresh();
  if (c.has('randn3')) {
    return [
      exact('randint', one.integers(upperEnds(call)[0]!, size('randint'))),
      close('randn3', one.normals(size('randn3'))),
      exact('rand4', one.uniforms(size('rand4'))),
      close('randn20', one.normals(size('randn20'))),
    ];
  }
  if (c.name.startsWith('randint')) {
    return inOrder(c).map((tensor, i) => exact(tensor, one.integers(upperEnds(call)[i]!, size(tensor))));
  }
  if (c.has('first')) return inOrder(c).map((tensor) => close(tensor, one.normals(size(tensor))));
  if (seeds) {
    const each = size('out') / seeds.length;
    return [close('out', Float32Array.from(seeds.flatMap((s) => [...generator(s).normals(each)])))];
  }
  return [
    dtype === 'float64'
      ? close('out', one.doubleNormals(size('out')))
      : close('out', one.normals(size('out'))),
  ];
};

const inOrder = (c: GoldenCase) => ['first', 'second', 'third'].filter((tensor) => c.has(tensor));
