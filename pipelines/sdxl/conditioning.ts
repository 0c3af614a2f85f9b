/**
 * What the two text encoders make of a prompt.
 *
 * Source: Podell et al. 2023 (arXiv:2307.01952) §2; huggingface/diffusers@58eb52c
 * `pipeline_stable_diffusion_xl.py` `encode_prompt`.
 * Checked by: test/pipelines/sdxl/runs.test.ts.
 */
import type { Session, Tensor } from '../session.ts';
import { combine, type FloatTensor, floats } from '../tensor.ts';
import { CONTEXT_LENGTH, frame, type Tokenizer } from './tokenizer.ts';

/** One prompt. C = width of the first encoder + width of the second, P = width of the pooled state. */
export interface TextConditioning {
  /** [77, C] penultimate hidden states of both encoders, side by side */
  readonly context: Float32Array;
  /** [P] pooled state of the second encoder */
  readonly pooled: Float32Array;
}

export interface TextEncoders {
  readonly tokenizer: Tokenizer;
  readonly tokenizer2: Tokenizer;
  readonly textEncoder: Session;
  readonly textEncoder2: Session;
}

/** Encodes a prompt, `''` included. */
export async function encodePrompt(encoders: TextEncoders, prompt: string): Promise<TextConditioning> {
  const { tokenizer, tokenizer2 } = encoders;
  return encodeIds(
    encoders,
    frame(tokenizer, tokenizer.encode(prompt)),
    frame(tokenizer2, tokenizer2.encode(prompt)),
  );
}

/** @param ids, ids2 [77], of each encoder */
export async function encodeIds(
  { textEncoder, textEncoder2 }: TextEncoders,
  ids: readonly number[],
  ids2: readonly number[],
): Promise<TextConditioning> {
  const [first, second] = [penultimate(textEncoder), penultimate(textEncoder2)];
  // Two outputs of 35: the rest is not computed for us.
  const one = await textEncoder.run({ input_ids: idTensor(ids) }, [first]);
  const two = await textEncoder2.run({ input_ids: idTensor(ids2) }, [second, 'text_embeds']);
  return {
    context: sideBySide(floats(one[first], first), floats(two[second], second)),
    pooled: floats(two.text_embeds, 'text_embeds').data,
  };
}

/** What stands for "no negative prompt": zeros, which is not what encoding `''` gives (`force_zeros_for_empty_prompt`). */
export function zerosLike({ context, pooled }: TextConditioning): TextConditioning {
  return { context: new Float32Array(context.length), pooled: new Float32Array(pooled.length) };
}

/** Emphasis: `from + weight · (to − from)`; weight 1 is `to` itself, to the bit. */
export function emphasise(from: TextConditioning, to: TextConditioning, weight: number): TextConditioning {
  if (weight === 1) return to;
  const mix = (a: Float32Array, b: Float32Array) => combine([1 - weight, a], [weight, b]);
  return { context: mix(from.context, to.context), pooled: mix(from.pooled, to.pooled) };
}

/** Original size, crop and target size, each height before width, px: [6]. */
export function timeIds(height: number, width: number): Float32Array {
  return Float32Array.of(height, width, 0, 0, height, width);
}

/** `hidden_states.N`, last but one: without the final LayerNorm, which SDXL was trained without. */
function penultimate({ outputs }: Session): string {
  const states = outputs.filter(({ name }) => name.startsWith('hidden_states.'));
  return `hidden_states.${states.length - 2}`;
}

function idTensor(ids: readonly number[]): Tensor {
  return { type: 'int64', data: BigInt64Array.from(ids, BigInt), shape: [1, ids.length] };
}

/** [1, 77, A] and [1, 77, B] to [77, A + B] */
function sideBySide(a: FloatTensor, b: FloatTensor): Float32Array {
  const [wa, wb] = [a.shape[2] ?? 0, b.shape[2] ?? 0];
  const out = new Float32Array(CONTEXT_LENGTH * (wa + wb));
  for (let i = 0; i < CONTEXT_LENGTH; i++) {
    out.set(a.data.subarray(i * wa, (i + 1) * wa), i * (wa + wb));
    out.set(b.data.subarray(i * wb, (i + 1) * wb), i * (wa + wb) + wa);
  }
  return out;
}
