/**
 * What a pipeline knows of a network: named tensors in, named tensors out.
 *
 * `src/doors/onnx.ts` makes these from ONNX files; tests make them from functions.
 */
export type TensorType = 'float32' | 'float16' | 'int64' | 'int32' | 'bool';

export type TensorData = Float32Array | Uint16Array | BigInt64Array | Int32Array | Uint8Array;

export interface Tensor {
  readonly type: TensorType;
  readonly data: TensorData;
  /** Row-major; height before width. `[]` is a scalar. */
  readonly shape: readonly number[];
}

/** One input or output as the file declares it; symbolic axes are strings. */
export interface TensorInfo {
  readonly name: string;
  readonly type: TensorType;
  readonly shape: readonly (number | string)[];
}

export interface Session {
  readonly inputs: readonly TensorInfo[];
  readonly outputs: readonly TensorInfo[];
  /** Runs the network. `fetches` names the outputs wanted; all of them when left out. */
  run(feeds: Readonly<Record<string, Tensor>>, fetches?: readonly string[]): Promise<Record<string, Tensor>>;
}
