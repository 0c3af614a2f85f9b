/**
 * What the two text encoders make of a prompt.
 *
 * Source: Podell et al. 2023 (arXiv:2307.01952) §2; huggingface/diffusers@58eb52c
 * `pipeline_stable_diffusion_xl.py` `encode_prompt`; of weights and of more than 77 tokens, which diffusers has not:
 * comfyanonymous/ComfyUI `comfy/sd1_clip.py` `encode_token_weights`.
 * Checked by: test/golden-runs/sdxl-tiny.ts, test/pipelines/sdxl/conditioning.test.ts.
 */
import type { Session, Tensor } from '../session.ts';
import { combine, type FloatTensor, floats, stack } from '../tensor.ts';
import { type Chunk, chunksOf, parsePrompt, tokensOf } from './prompt.ts';
import { CONTEXT_LENGTH, frame, type Tokenizer } from './tokenizer.ts';

/** One prompt. C = width of the first encoder + width of the second, P = width of the pooled state. */
export interface TextConditioning {
  /** [tokens, C] penultimate hidden states of both encoders, side by side */
  readonly context: Float32Array;
  /** a multiple of 77 */
  readonly tokens: number;
  /** [P] pooled state of the second encoder, of the first 77 tokens */
  readonly pooled: Float32Array;
  /** index of the first token that a face is fused into, where one is */
  readonly person?: number;
}

export interface TextEncoders {
  readonly tokenizer: Tokenizer;
  readonly tokenizer2: Tokenizer;
  readonly textEncoder: Session;
  readonly textEncoder2: Session;
}

/**
 * Encodes a prompt of any length, `''` included: 75 tokens at a time, the states one after the other. A weight moves its
 * tokens' states: `empty + weight · (state − empty)`, empty being what the encoder makes of `''` at the same place.
 */
export async function encodePrompt(encoders: TextEncoders, prompt: string): Promise<TextConditioning> {
  const parts = parsePrompt(prompt);
  const { tokenizer, tokenizer2 } = encoders;
  return encodeChunks(
    encoders,
    chunksOf(tokenizer, tokensOf(tokenizer, parts)),
    chunksOf(tokenizer2, tokensOf(tokenizer2, parts)),
  );
}

/**
 * @param first, second each encoder's own chunks; where one has fewer, its empty prompt stands for the rest
 * @param clipSkip      layers to leave out before the penultimate state
 */
export async function encodeChunks(
  { tokenizer, tokenizer2, textEncoder, textEncoder2 }: TextEncoders,
  first: readonly Chunk[],
  second: readonly Chunk[],
  clipSkip = 0,
): Promise<TextConditioning> {
  const count = Math.max(first.length, second.length);
  const one = await statesOf(textEncoder, tokenizer, first, count, clipSkip);
  const two = await statesOf(textEncoder2, tokenizer2, second, count, clipSkip);
  const pooled = floats(two.textEmbeds, 'text_embeds');
  return {
    context: sideBySide(one.states, two.states, count * CONTEXT_LENGTH),
    tokens: count * CONTEXT_LENGTH,
    pooled: pooled.data.slice(0, pooled.shape[1]),
  };
}

/** [P] pooled state of the second encoder for each chunk, whichever prompt it is of; weights change nothing in it. */
export async function pooledStates(
  encoder: Session,
  chunks: readonly Pick<Chunk, 'ids'>[],
): Promise<Float32Array[]> {
  const result = await encoder.run({ input_ids: idTensor(chunks.map(({ ids }) => ids)) }, ['text_embeds']);
  const { data } = floats(result.text_embeds, 'text_embeds');
  const width = data.length / chunks.length;
  return chunks.map((_, n) => data.slice(n * width, (n + 1) * width));
}

/** Encodes [77] ids for each encoder as they are, without weights. */
export async function encodeIds(
  encoders: TextEncoders,
  ids: readonly number[],
  ids2: readonly number[],
  clipSkip = 0,
): Promise<TextConditioning> {
  const chunk = (list: readonly number[]): Chunk => ({ ids: list, weights: list.map(() => 1), length: 0 });
  return encodeChunks(encoders, [chunk(ids)], [chunk(ids2)], clipSkip);
}

/** What stands for "no negative prompt": zeros, which is not what encoding `''` gives (`force_zeros_for_empty_prompt`). */
export function zerosLike({ context, pooled, tokens }: TextConditioning): TextConditioning {
  return { context: new Float32Array(context.length), pooled: new Float32Array(pooled.length), tokens };
}

/** Emphasis of a whole prompt: `from + weight · (to − from)`; weight 1 is `to` itself, to the bit. */
export function emphasise(from: TextConditioning, to: TextConditioning, weight: number): TextConditioning {
  if (weight === 1) return to;
  const mix = (a: Float32Array, b: Float32Array) => combine([1 - weight, a], [weight, b]);
  return { ...to, context: mix(from.context, to.context), pooled: mix(from.pooled, to.pooled) };
}

/** Brings texts to one length, as a network takes them together: shorter ones go on with the 77 tokens of `empty`. */
export function evened(texts: readonly TextConditioning[], empty: TextConditioning): TextConditioning[] {
  const tokens = Math.max(...texts.map((text) => text.tokens));
  return texts.map((text) => {
    const missing = (tokens - text.tokens) / CONTEXT_LENGTH;
    if (!missing) return text;
    const rest = Array<Float32Array>(missing).fill(empty.context);
    return { ...text, tokens, context: stack([text.context, ...rest]) };
  });
}

/** Original size, crop and target size, each height before width, px: [6]. */
export function timeIds(height: number, width: number): Float32Array {
  return Float32Array.of(height, width, 0, 0, height, width);
}

/** @returns states [77·count, W] */
async function statesOf(
  encoder: Session,
  tokenizer: Tokenizer,
  chunks: readonly Chunk[],
  count: number,
  clipSkip: number,
): Promise<{ states: FloatTensor; textEmbeds: Tensor | undefined }> {
  const empty = frame(tokenizer, []);
  const weights = chunks.flatMap((chunk) => chunk.weights);
  const isWeighted = weights.some((weight) => weight !== 1);
  const rows = Array.from({ length: count }, (_, n) => chunks[n]?.ids ?? empty);
  if (isWeighted) rows.push(empty);

  // Two outputs of 35: the rest is not computed for us.
  const name = hiddenState(encoder, clipSkip);
  const pooled = encoder.outputs.some((output) => output.name === 'text_embeds') ? ['text_embeds'] : [];
  const result = await encoder.run({ input_ids: idTensor(rows) }, [name, ...pooled]);
  const states = floats(result[name], name);
  if (isWeighted) weigh(states, weights, count);
  return { states, textEmbeds: result.text_embeds };
}

/** Moves each weighted token's state away from the empty prompt's state, or towards it. The empty prompt is the last row. */
function weigh({ data, shape }: FloatTensor, weights: readonly number[], count: number): void {
  const width = shape[2] ?? 0;
  const empty = data.subarray(count * CONTEXT_LENGTH * width);
  for (const [t, weight] of weights.entries()) {
    if (weight === 1) continue;
    const from = (t % CONTEXT_LENGTH) * width;
    for (let i = 0; i < width; i++) {
      const base = empty[from + i]!;
      data[t * width + i] = base + weight * (data[t * width + i]! - base);
    }
  }
}

/** `hidden_states.N`, last but one: without the final LayerNorm, which SDXL was trained without. */
function hiddenState({ outputs }: Session, clipSkip: number): string {
  const states = outputs.filter(({ name }) => name.startsWith('hidden_states.'));
  return `hidden_states.${states.length - 2 - clipSkip}`;
}

/** [k, 77] */
function idTensor(rows: readonly (readonly number[])[]): Tensor {
  return {
    type: 'int64',
    data: BigInt64Array.from(rows.flat(), BigInt),
    shape: [rows.length, CONTEXT_LENGTH],
  };
}

/** [·, 77, A] and [·, 77, B], as far as `tokens`, to [tokens, A + B] */
function sideBySide(a: FloatTensor, b: FloatTensor, tokens: number): Float32Array {
  const [wa, wb] = [a.shape[2] ?? 0, b.shape[2] ?? 0];
  const out = new Float32Array(tokens * (wa + wb));
  for (let i = 0; i < tokens; i++) {
    out.set(a.data.subarray(i * wa, (i + 1) * wa), i * (wa + wb));
    out.set(b.data.subarray(i * wb, (i + 1) * wb), i * (wa + wb) + wa);
  }
  return out;
}
