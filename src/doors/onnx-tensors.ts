/**
 * Types at a network's border. Exports differ: half precision, ids of int32, a timestep of shape [1]. Pipelines see one form.
 */
import { fromHalves, toHalves } from '#pipelines/half.ts';
import type { Tensor, TensorData, TensorInfo, TensorType } from '#pipelines/session.ts';

/** A pipeline's tensor as this input of the network takes it; unchanged where there is no way to make it fit. */
export function toNetwork(value: Tensor, { type, shape }: TensorInfo): Tensor {
  const wanted = shape.length === 1 && value.shape.length === 0 ? { ...value, shape: [1] } : value;
  if (wanted.type === type) return wanted;
  const { data } = wanted;
  const made = data instanceof BigInt64Array ? fromWhole(data, type) : fromNumbers(data, type);
  return made ? { type, data: made, shape: wanted.shape } : wanted;
}

function fromWhole(data: BigInt64Array, type: TensorType): TensorData | null {
  if (type === 'int32') {
    const out = new Int32Array(data.length);
    for (let i = 0; i < out.length; i++) out[i] = Number(data[i]);
    return out;
  }
  const numbers = new Float32Array(data.length);
  for (let i = 0; i < numbers.length; i++) numbers[i] = Number(data[i]);
  return type === 'float32' ? numbers : type === 'float16' ? toHalves(numbers) : null;
}

function fromNumbers(data: Exclude<TensorData, BigInt64Array>, type: TensorType): TensorData | null {
  if (type === 'float16') return toHalves(data instanceof Float32Array ? data : new Float32Array(data));
  if (type === 'float32') return new Float32Array(data);
  if (type === 'int32') return new Int32Array(data);
  if (type !== 'int64') return null;
  const out = new BigInt64Array(data.length);
  // A timestep may be fractional; whole ones are what such an export was made for.
  for (let i = 0; i < out.length; i++) out[i] = BigInt(Math.round(data[i]!));
  return out;
}

/** What a network gave, as pipelines take it: half precision widened. */
export function fromNetwork(value: Tensor): Tensor {
  if (value.type !== 'float16') return value;
  return { type: 'float32', data: fromHalves(value.data as Uint16Array), shape: value.shape };
}
