/**
 * CLIP's byte-pair encoding, as both of SDXL's text encoders use it; they differ in the padding token alone.
 *
 * Source: Radford et al. 2021; openai/CLIP@d05afc4 `clip/simple_tokenizer.py`; huggingface/transformers 5.18 `CLIPTokenizer`.
 * Checked by: test/golden-runs/clip-tokenizer.ts (exact), and beside huggingface/tokenizers 0.23.2 itself on 100,000 random
 * strings of many scripts: 83 differ, all by characters that are newer than its Unicode tables.
 *
 * Why not a library: the JavaScript one, @huggingface/tokenizers 0.2.0, differs in 10,204 of those (Greek's last sigma, special
 * tokens in capitals), and npm's `tokenizers` is exact but 65 MB of binaries.
 */
/** tokens, with start and end */
export const CONTEXT_LENGTH = 77;

export interface Tokenizer {
  readonly startId: number;
  readonly endId: number;
  readonly padId: number;
  /** Ids without start, end and padding; special words (the trigger) as the ids they were given. */
  encode(text: string, specials?: Readonly<Record<string, number>>): number[];
  /** Whether a word ends with this token, so that the next one belongs to another. */
  endsWord(id: number): boolean;
  /** The text of ids, as the reference's `decode`: lower case, a space after each word. */
  decode(ids: readonly number[]): string;
}

const WORDS = /'s|'t|'re|'ve|'m|'ll|'d|\p{L}+|\p{N}|[^\p{White_Space}\p{L}\p{N}]+/gu;
/** The first of the reference's two splits: it alone knows special tokens, which capitals can hide from the search above. */
const SPECIALS_AND_WORDS = new RegExp(`<\\|(?:start|end)oftext\\|>|${WORDS.source}`, 'gu');
const WORD_END = '</w>';

/** What follows from a vocabulary alone: made when it is needed first, as each takes 20 to 50 ms for CLIP's, and a bundle is often only looked at. */
interface Tables {
  idOf(token: string): number | undefined;
  /** by id */
  tokens(): readonly string[];
  /** pair, `a b` → its rank: lower ones are merged first */
  rank(): ReadonlyMap<string, number>;
}

const tablesOf = new WeakMap<Tokenizer, Tables>();

/**
 * @param vocabulary  `vocab.json`: token → id
 * @param merges      `merges.txt`, first line a version
 * @param padToken    `<|endoftext|>` for the first tokenizer, `!` for the second
 */
export function makeTokenizer(
  vocabulary: Readonly<Record<string, number>>,
  merges: string,
  padToken: string,
): Tokenizer {
  return tokenizerOf(tabulate(vocabulary, merges), padToken);
}

/** One of the same vocabulary and merges, which takes no memory of its own for them, with another padding token. */
export function withPadding(tokenizer: Tokenizer, padToken: string): Tokenizer {
  const tables = tablesOf.get(tokenizer);
  if (!tables) throw new Error('This tokenizer was not made here');
  return tokenizerOf(tables, padToken);
}

function tabulate(vocabulary: Readonly<Record<string, number>>, merges: string): Tables {
  return {
    idOf: (token) => (Object.hasOwn(vocabulary, token) ? vocabulary[token] : undefined),
    tokens: once(() => {
      const tokens = new Array<string>(Object.keys(vocabulary).length);
      for (const [token, id] of Object.entries(vocabulary)) tokens[id] = token;
      return tokens;
    }),
    rank: once(() => {
      const rank = new Map<string, number>();
      for (const line of merges.split('\n'))
        if (line && !line.startsWith('#version')) rank.set(line, rank.size);
      return rank;
    }),
  };
}

function once<T>(make: () => T): () => T {
  let made: T | undefined;
  return () => {
    made ??= make();
    return made;
  };
}

function tokenizerOf(tables: Tables, padToken: string): Tokenizer {
  const { idOf, tokens, rank } = tables;
  const need = (token: string) => {
    const id = idOf(token);
    if (id === undefined) throw new Error(`The vocabulary has no ${JSON.stringify(token)}`);
    return id;
  };
  const startId = need('<|startoftext|>');
  const endId = need('<|endoftext|>');
  const padId = need(padToken);
  const { toCharacter, toByte } = byteAlphabet();
  const known = new Map<string, number[]>();

  function encodeWord(word: string): number[] {
    const cached = known.get(word);
    if (cached) return cached;
    let parts = [...new TextEncoder().encode(word)].map((byte) => toCharacter[byte]!);
    parts.push(parts.pop() + WORD_END);
    const ranks = rank();
    while (parts.length > 1) {
      let best = Number.POSITIVE_INFINITY;
      let pair = '';
      for (let i = 0; i + 1 < parts.length; i++) {
        const candidate = `${parts[i]} ${parts[i + 1]}`;
        const at = ranks.get(candidate) ?? Number.POSITIVE_INFINITY;
        if (at < best) [best, pair] = [at, candidate];
      }
      if (best === Number.POSITIVE_INFINITY) break;
      const merged: string[] = [];
      for (let i = 0; i < parts.length; i++) {
        if (`${parts[i]} ${parts[i + 1]}` === pair) merged.push(parts[i]! + parts[++i]!);
        else merged.push(parts[i]!);
      }
      parts = merged;
    }
    const out = parts.map((part) => idOf(part) ?? endId);
    // A word is at most a prompt long; prompts are many.
    if (known.size > 20_000) known.clear();
    known.set(word, out);
    return out;
  }

  const tokenizer: Tokenizer = {
    startId,
    endId,
    padId,
    encode(text, specials = {}) {
      // A padding token of one's own is special as well: in the second tokenizer `!` is found anywhere in the text.
      const special = { '<|startoftext|>': startId, '<|endoftext|>': endId, [padToken]: padId, ...specials };
      const anywhere = new RegExp(`(${Object.keys(special).map(escapeRegExp).join('|')})`, 'u');
      return text.split(anywhere).flatMap((part, i) => {
        if (i % 2) return [special[part]!];
        const pieces = lowerCase(part.normalize('NFC')).match(SPECIALS_AND_WORDS) ?? [];
        return pieces.flatMap((piece) => piece.match(WORDS) ?? []).flatMap(encodeWord);
      });
    },
    endsWord: (id) => tokens()[id]?.endsWith(WORD_END) ?? true,
    decode(list) {
      const characters = list.map((id) => tokens()[id] ?? '').join('');
      const text = characters.replaceAll(WORD_END, ' ');
      return new TextDecoder()
        .decode(Uint8Array.from([...text].map((c) => (c === ' ' ? 32 : (toByte.get(c) ?? 32)))))
        .trim();
    },
  };
  tablesOf.set(tokenizer, tables);
  return tokenizer;
}

/** Each character by itself, as the reference: a whole word at once, Greek's last sigma would become another letter. */
function lowerCase(text: string): string {
  return Array.from(text, (character) => character.toLowerCase()).join('');
}

/** Start, ids cut to 75, end, padding: [77]. */
export function frame(tokenizer: Tokenizer, ids: readonly number[], length = CONTEXT_LENGTH): number[] {
  const { startId, endId, padId } = tokenizer;
  const framed = [startId, ...ids.slice(0, length - 2), endId];
  return [...framed, ...Array<number>(length - framed.length).fill(padId)];
}

/** GPT-2's: each byte as a printable character. The inverse comes with it. */
export function byteAlphabet(): { toCharacter: string[]; toByte: Map<string, number> } {
  const printable = (b: number) => (b >= 33 && b <= 126) || (b >= 161 && b <= 172) || (b >= 174 && b <= 255);
  let next = 256;
  const toCharacter = Array.from({ length: 256 }, (_, b) => String.fromCodePoint(printable(b) ? b : next++));
  return { toCharacter, toByte: new Map(toCharacter.map((character, byte) => [character, byte])) };
}

function escapeRegExp(text: string): string {
  return text.replace(/[.*+?^${}()|[\]\\]/g, '\\$&');
}
