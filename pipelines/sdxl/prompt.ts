/**
 * A prompt's text as weighted parts, and those as chunks of tokens that a text encoder takes.
 *
 * Source of the notation: AUTOMATIC1111/stable-diffusion-webui `modules/prompt_parser.py`, which most prompts in circulation are
 * written for: `(word:1.2)` weighs 1.2, `(word)` 1.1, `[word]` 1/1.1, nested ones multiply, `\(` is a bracket itself.
 */
import { CONTEXT_LENGTH, type Tokenizer } from './tokenizer.ts';

export interface PromptPart {
  readonly text: string;
  /** 1 changes nothing */
  readonly weight: number;
}

/** 77 tokens as an encoder takes them: start, at most 75, end, padding. */
export interface Chunk {
  /** [77] */
  readonly ids: readonly number[];
  /** [77]; start, end and padding weigh 1 */
  readonly weights: readonly number[];
  /** 0…75, how many of them are the prompt's, after the start */
  readonly length: number;
}

const EMPHASIS = 1.1;
/** Beyond it the text's embedding is none that the UNet was trained on. */
const WEIGHT_MAX = 2;
/** How many tokens of a chunk are the prompt's. */
const CHUNK = CONTEXT_LENGTH - 2;

/** Brackets that are not closed, or not opened, are text. Weights are kept within 0…2. */
export function parsePrompt(prompt: string): PromptPart[] {
  const parts: { text: string; weight: number }[] = [];
  const open: { bracket: string; part: number }[] = [];
  const say = (text: string) => parts.push({ text, weight: 1 });
  const pieces = /\\([()[\]\\])|[([]|:\s*(\d+(?:\.\d*)?|\.\d+)\s*\)|[)\]]|[^\\()[\]:]+|[\\:]/gu;
  for (const [piece, escaped, number] of prompt.matchAll(pieces)) {
    const closes = piece.endsWith(']') ? '[' : '(';
    const at = open.findLastIndex(({ bracket }) => bracket === closes);
    if (escaped) say(escaped);
    else if (piece === '(' || piece === '[') open.push({ bracket: piece, part: say(piece) - 1 });
    else if (at >= 0 && (number !== undefined || piece === ')' || piece === ']')) {
      const { part } = open[at]!;
      // What was opened within it and not closed stays text; the bracket itself was none.
      open.length = at;
      parts[part]!.text = '';
      const factor = number === undefined ? (closes === '(' ? EMPHASIS : 1 / EMPHASIS) : Number(number);
      for (const inner of parts.slice(part + 1)) inner.weight *= factor;
    } else say(piece);
  }

  const out: { text: string; weight: number }[] = [];
  for (const { text, weight } of parts) {
    if (!text) continue;
    const kept = Math.min(Math.max(weight, 0), WEIGHT_MAX);
    const last = out.at(-1);
    if (last?.weight === kept) last.text += text;
    else out.push({ text, weight: kept });
  }
  return out.length ? out : [{ text: '', weight: 1 }];
}

/** A token of a prompt. Those of one word stay together when the prompt is cut, and so do those that stand for a face. */
export interface Token {
  readonly id: number;
  readonly weight: number;
  /** whether a chunk may begin after it */
  readonly ends: boolean;
}

/** Tokens of all parts, in order. `specials` are the tokenizer's. */
export function tokensOf(
  tokenizer: Tokenizer,
  parts: readonly PromptPart[],
  specials?: Readonly<Record<string, number>>,
): Token[] {
  return parts.flatMap(({ text, weight }) =>
    tokenizer.encode(text, specials).map((id) => ({ id, weight, ends: tokenizer.endsWord(id) })),
  );
}

/** As many chunks as the tokens fill, at least one; cut between words where a word ends within the chunk. */
export function chunksOf(tokenizer: Tokenizer, tokens: readonly Token[]): Chunk[] {
  const chunks: Chunk[] = [];
  let rest = tokens;
  do {
    let length = Math.min(CHUNK, rest.length);
    if (length < rest.length) {
      const end = rest.slice(0, length).findLastIndex(({ ends }) => ends);
      if (end >= 0) length = end + 1;
    }
    chunks.push(framed(tokenizer, rest.slice(0, length)));
    rest = rest.slice(length);
  } while (rest.length);
  return chunks;
}

function framed({ startId, endId, padId }: Tokenizer, tokens: readonly Token[]): Chunk {
  const { length } = tokens;
  const padding = CONTEXT_LENGTH - length - 2;
  return {
    length,
    ids: [startId, ...tokens.map(({ id }) => id), endId, ...Array<number>(padding).fill(padId)],
    weights: [1, ...tokens.map(({ weight }) => weight), ...Array<number>(padding + 1).fill(1)],
  };
}
