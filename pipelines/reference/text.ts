/**
 * The two text encoders: each token looked up in a table of meanings, and a little grammar over the sequence: a colour goes
 * to the noun behind it, "no" turns the next word round. No word has weights that were learnt.
 */
import { Graph, type Value } from '../onnx-writer.ts';
import { makeTokenizer } from '../sdxl/tokenizer.ts';
import type { ClipVocabulary } from './clip-vocabulary.ts';
import { barriers, colours, hairWords, negations, nounOf, nouns, shades, traits, traitsOf } from './words.ts';

/** width of each encoder; the UNet's context is both, side by side */
export const WIDTH = 64;
/** Where the first encoder's states hold what; the second's are `traits`, in order. */
export const layout = {
  /** four numbers for each noun: red, green, blue, and how much of a colour was named */
  noun: (index: number) => index * 4,
  /** four numbers of every word that means nothing here */
  nudge: 24,
  /** how much of a person's identity is here, then the identity; no word writes here */
  identity: 32,
} as const;
export const NUDGES = 4;

/** [B, 77] ids → `hidden_states.0` … `.12`, all equal: there is one layer. */
export function textEncoder(clip: ClipVocabulary): Uint8Array {
  const g = new Graph('text_encoder');
  const ids = g.input('input_ids', 'int64', ['batch_size', 'sequence_length']);
  // columns: red, green, blue, is a colour, shade, is a barrier, nouns (6), hair red, green, blue, is one
  const columns = 6 + nouns.length + 4;
  const rows = new Map<string, number[]>();
  const row = (word: string) => {
    const found = rows.get(word) ?? Array<number>(columns).fill(0);
    rows.set(word, found);
    return found;
  };
  for (const [word, rgb] of Object.entries(colours)) row(word).splice(0, 4, ...rgb, 1);
  for (const [word, shade] of Object.entries(shades)) row(word)[4] = shade;
  for (const word of barriers) row(word)[5] = 1;
  for (const [word, noun] of nounOf) {
    row(word)[5] = 1;
    row(word)[6 + nouns.indexOf(noun)] = 1;
  }
  for (const [word, rgb] of Object.entries(hairWords)) row(word).splice(6 + nouns.length, 4, ...rgb, 1);
  const features = lookUp(g, ids, clip, rows, columns);
  const part = (from: number, count: number, of = features) =>
    g.op('Slice', [of, g.ints([from]), g.ints([from + count]), g.ints([2])]);
  const one = g.scalar(1);
  const not = (v: Value) => g.op('Sub', [one, v]);
  const mul = (...v: Value[]) => v.reduce((a, b) => g.op('Mul', [a, b]));
  const add = (...v: Value[]) => v.reduce((a, b) => g.op('Add', [a, b]));

  const isColour = part(3, 1);
  const shade = mul(before(g, part(4, 1), 1), isColour);
  const [lighter, darker] = [g.op('Relu', [shade]), g.op('Relu', [g.op('Neg', [shade])])];
  const plain = part(0, 3);
  const shaded = mul(add(mul(plain, not(lighter)), mul(isColour, lighter)), not(darker));
  const coloured = g.op('Concat', [shaded, isColour], { axis: 2 });
  // The nearest colour of the three words before, unless another noun or a comma stands between.
  let free: Value | undefined;
  const reached: Value[] = [];
  for (const back of [1, 2, 3]) {
    const here = before(g, coloured, back);
    reached.push(free ? mul(here, free) : here);
    const passes = mul(not(before(g, isColour, back)), not(before(g, part(5, 1), back)));
    free = free ? mul(free, passes) : passes;
  }
  const bound = add(...reached);
  const byNoun = nouns.map((noun, i) => {
    const own = mul(bound, part(6 + i, 1));
    return noun === 'hair' ? g.op('Max', [own, part(6 + nouns.length, 4)]) : own;
  });
  const known = knownMask(g, ids, clip);
  const numbers = g.op('Cast', [g.op('Unsqueeze', [ids, g.ints([2])])], { to: 1 });
  const hash = g.op('Sin', [mul(numbers, g.floats([0.7391, 1.9173, 2.6571, 3.8837], [1, 1, NUDGES]))]);
  const nudge = mul(hash, not(known));
  const used = nouns.length * 4 + NUDGES;
  const states = g.op('Pad', [
    g.op('Concat', [...byNoun, nudge], { axis: 2 }),
    g.ints([0, 0, 0, 0, 0, WIDTH - used]),
  ]);
  writeStates(g, states, 12);
  g.output('pooler_output', g.op('ReduceMean', [states, g.ints([1])], { keepdims: 0 }), 'float', [
    'batch_size',
    WIDTH,
  ]);
  return g.bytes();
}

/** [B, 77] ids → `hidden_states.0` … `.32`, all equal, and `text_embeds`: the strongest of each trait. */
export function textEncoder2(clip: ClipVocabulary): Uint8Array {
  const g = new Graph('text_encoder_2');
  const ids = g.input('input_ids', 'int64', ['batch_size', 'sequence_length']);
  const rows = new Map<string, number[]>();
  for (const [word, meaning] of traitsOf) {
    rows.set(word, [
      ...Array.from({ length: WIDTH - 1 }, (_, i) => meaning[traits[i] as keyof typeof meaning] ?? 0),
      0,
    ]);
  }
  for (const word of negations) rows.set(word, [...Array<number>(WIDTH - 1).fill(0), 1]);
  const features = lookUp(g, ids, clip, rows, WIDTH);
  const negated = before(g, g.op('Slice', [features, g.ints([WIDTH - 1]), g.ints([WIDTH]), g.ints([2])]), 1);
  const turn = g.op('Sub', [g.scalar(1), g.op('Mul', [g.scalar(2), negated])]);
  const meanings = g.op('Mul', [features, g.floats([...Array<number>(WIDTH - 1).fill(1), 0], [1, 1, WIDTH])]);
  const states = g.op('Mul', [meanings, turn]);
  writeStates(g, states, 32);
  const pooled = g.op('Add', [
    g.op('ReduceMax', [states, g.ints([1])], { keepdims: 0 }),
    g.op('ReduceMin', [states, g.ints([1])], { keepdims: 0 }),
  ]);
  g.output('text_embeds', pooled, 'float', ['batch_size', WIDTH]);
  return g.bytes();
}

function writeStates(g: Graph, states: Value, layers: number): void {
  const shape = ['batch_size', 'sequence_length', WIDTH];
  g.output('last_hidden_state', states, 'float', shape);
  for (let i = 0; i <= layers; i++) g.output(`hidden_states.${i}`, states, 'float', shape);
}

/** The sequence moved on by so many places, so that each token sees the one before it. */
function before(g: Graph, sequence: Value, places: number): Value {
  const padded = g.op('Pad', [sequence, g.ints([0, places, 0, 0, 0, 0])]);
  return g.op('Slice', [padded, g.ints([0]), g.ints([-places]), g.ints([1])]);
}

/** [B, S] ids → [B, S, columns]. A word of several tokens is known by its last two, and its meaning lies on the last. */
function lookUp(
  g: Graph,
  ids: Value,
  { vocabulary, merges }: ClipVocabulary,
  rows: ReadonlyMap<string, readonly number[]>,
  columns: number,
): Value {
  const tokenizer = makeTokenizer(vocabulary, merges, '<|endoftext|>');
  const size = Object.keys(vocabulary).length;
  const table = [Array<number>(columns).fill(0)];
  const rowOf = Array<number>(size).fill(0);
  // Words in pieces: which of the known beginnings and ends a token is; 0 is none of them.
  const [begins, ends] = [new Map<number, number>(), new Map<number, number>()];
  const pairs: { begin: number; end: number; row: number }[] = [];
  const indexOf = (known: Map<number, number>, id: number) => {
    const index = known.get(id) ?? known.size + 1;
    known.set(id, index);
    return index;
  };
  for (const [word, row] of rows) {
    const pieces = tokenizer.encode(word);
    const last = pieces.at(-1)!;
    const before = pieces.at(-2);
    if (before === undefined) rowOf[last] = table.length;
    else pairs.push({ begin: indexOf(begins, before), end: indexOf(ends, last), row: table.length });
    table.push([...row]);
  }
  const numbered = (known: Map<number, number>) => {
    const out = Array<number>(size).fill(0);
    for (const [id, index] of known) out[id] = index;
    return g.ints(out);
  };
  const across = ends.size + 1;
  const pairRows = Array<number>((begins.size + 1) * across).fill(0);
  for (const { begin, end, row } of pairs) pairRows[begin * across + end] = row;
  const first = g.op('Slice', [
    g.op('Pad', [ids, g.ints([0, 1, 0, 0])]),
    g.ints([0]),
    g.ints([-1]),
    g.ints([1]),
  ]);
  const begin = g.op('Gather', [numbered(begins), first]);
  const end = g.op('Gather', [numbered(ends), ids]);
  const pair = g.op('Add', [g.op('Mul', [begin, g.ints([across], [])]), end]);
  // A token that ends a known word in pieces has no meaning of its own there, so the larger row is the right one only of two zeros.
  const row = g.op('Max', [g.op('Gather', [g.ints(rowOf), ids]), g.op('Gather', [g.ints(pairRows), pair])]);
  return g.op('Gather', [g.floats(table.flat(), [table.length, columns]), row]);
}

/** [B, S, 1]: 1 where a token means something, or is no word at all (start, end, padding, marks). */
function knownMask(g: Graph, ids: Value, { vocabulary }: ClipVocabulary): Value {
  const known = Array<number>(Object.keys(vocabulary).length).fill(0);
  for (const [token, id] of Object.entries(vocabulary)) {
    const word = token.replace('</w>', '');
    const means =
      word in colours || word in shades || word in hairWords || nounOf.has(word) || traitsOf.has(word);
    if (means || !/^[a-z]{3,}$/.test(word) || COMMON.has(word)) known[id] = 1;
  }
  return g.op('Unsqueeze', [g.op('Gather', [g.floats(known, [known.length]), ids]), g.ints([2])]);
}

/** Words that should not move a picture. */
const COMMON = new Set(
  'portrait photo picture painting person the and with without for from wearing her his face close img style very'.split(
    ' ',
  ),
);
