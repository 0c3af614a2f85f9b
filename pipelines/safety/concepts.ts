/**
 * How near a prompt comes to what is never drawn, by the text encoder that draws it: the pooled state of the second encoder, which stands
 * for a text as a whole.
 *
 * All that such encoders make has much in common, and the more so the shorter and plainer it is. So what counts is how much nearer a text
 * comes to a concept than it comes to ordinary texts in the mean. infra/decisions/34-concepts.md compares this with other measures.
 */
import { pooledStates, type TextEncoders } from '../sdxl/conditioning.ts';
import { type Chunk, chunksOf, parsePrompt, tokensOf } from '../sdxl/prompt.ts';

export type PooledEncoder = Pick<TextEncoders, 'tokenizer2' | 'textEncoder2'>;

/** What a text means: [P] of length 1 for each 77 tokens of it. All zeros: the encoder knows nothing of it. */
export type Meaning = readonly Float32Array[];

/** Chunks that are encoded at once: as many as a network of this size holds beside others. */
const ROWS = 16;

/** @throws {RangeError} when the encoder gives what is no number */
export async function meaningsOf(
  { tokenizer2, textEncoder2 }: PooledEncoder,
  texts: readonly string[],
): Promise<Meaning[]> {
  const chunks = texts.map((text) => chunksOf(tokenizer2, tokensOf(tokenizer2, parsePrompt(text))));
  const all: readonly Chunk[] = chunks.flat();
  const states: Float32Array[] = [];
  for (let at = 0; at < all.length; at += ROWS)
    states.push(...(await pooledStates(textEncoder2, all.slice(at, at + ROWS))).map(unit));
  let from = 0;
  return chunks.map(({ length }) => {
    from += length;
    return states.slice(from - length, from);
  });
}

/** Ordinary texts as one: the mean of their directions, [P]. */
export function meanOf(meanings: readonly Meaning[]): Float32Array {
  const all = meanings.flat();
  const mean = new Float32Array(all[0]?.length ?? 0);
  for (const one of all) for (const [i, value] of one.entries()) mean[i] = mean[i]! + value / all.length;
  return mean;
}

/**
 * −2…2: cosine with the nearest of the phrases, less the mean cosine with ordinary texts. Of a long prompt its nearest 77 tokens count.
 *
 * @param ordinary [P], see `meanOf`
 */
export function nearness(text: Meaning, phrases: readonly Meaning[], ordinary: Float32Array): number {
  const ofChunk = (chunk: Float32Array) =>
    Math.max(...phrases.flat().map((phrase) => dot(chunk, phrase))) - dot(chunk, ordinary);
  return Math.max(...text.map(ofChunk));
}

function unit(state: Float32Array): Float32Array {
  const length = Math.hypot(...state);
  if (!Number.isFinite(length)) throw new RangeError('The text encoder gives what is no number');
  return length === 0 ? state : state.map((value) => value / length);
}

function dot(a: Float32Array, b: Float32Array): number {
  let sum = 0;
  for (let i = 0; i < a.length; i++) sum += a[i]! * b[i]!;
  return sum;
}
