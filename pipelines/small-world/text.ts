/** The two text encoders: a bag of words behind CLIP's interface, with a colour bound to the noun behind it. */
import { makeTokenizer } from '../sdxl/tokenizer.ts';
import { Graph, type Value } from './onnx.ts';
import { colours, hairWords, knownWords, nounOf, nouns, traits, traitsOf } from './words.ts';

/** skin, lips, iris, brows, chin: r, g, b of each */
export const LOOK_SIZE = 15;

/** Where each meaning stands in a row of the context: first encoder, then second. */
export const layout = (() => {
  let at = 0;
  const take = (count: number) => {
    const from = at;
    at += count;
    return from;
  };
  const trait = take(traits.length);
  /** a noun's colour: how sure, then r, g, b times that */
  const noun = take(4 * nouns.length);
  /** always 0 from text: ID tokens put a 1 and a face's look there */
  const identity = take(1 + LOOK_SIZE);
  const first = Math.ceil(at / 32) * 32;
  return { trait, noun, identity, first, second: 32, width: first + 32 };
})();

const FIRST_LAYERS = 12;
const SECOND_LAYERS = 32;

/** Features of a word: traits, a colour (flag, r, g, b), nouns, a hair colour (flag, r, g, b). */
function rowOf(word: string): number[] {
  const own = traitsOf.get(word) ?? {};
  const colour = colours[word];
  const hair = hairWords[word];
  const noun = nounOf.get(word);
  return [
    ...traits.map((trait) => own[trait] ?? 0),
    ...(colour ? [1, ...colour] : [0, 0, 0, 0]),
    ...nouns.map((name) => (name === noun ? 1 : 0)),
    ...(hair ? [1, ...hair] : [0, 0, 0, 0]),
  ];
}

/** `text_encoder/model.onnx` */
export function textEncoder(vocabulary: ReadonlyMap<string, number>, merges: string): Uint8Array {
  const g = new Graph('text_encoder');
  const ids = g.input('input_ids', 'int64', ['batch_size', 'sequence_length']);
  const rows = [rowOf('')];
  const classes = new Array<number>(vocabulary.size).fill(0);
  const tokenizer = makeTokenizer(Object.fromEntries(vocabulary), merges, '!');
  for (const word of knownWords) {
    // A word of several tokens is known by its first, if that is long enough to be no other word's.
    const [id, ...others] = tokenizer.encode(word);
    if (id === undefined || (others.length && tokenizer.decode([id]).length < 4)) continue;
    if (classes[id]) continue;
    classes[id] = rows.length;
    rows.push(rowOf(word));
  }
  const width = rows[0]!.length;
  const kind = g.op('Gather', [
    g.ints(classes),
    g.op('Clip', [ids, g.ints([0], []), g.ints([vocabulary.size - 1], [])]),
  ]);
  const features = g.op('Gather', [g.floats(rows.flat(), [rows.length, width]), kind]);

  const part = (x: Value, from: number, to: number) =>
    g.op('Slice', [x, g.ints([from]), g.ints([to]), g.ints([2])]);
  /** each row becomes the one `by` places before it */
  const before = (x: Value, by: number) => {
    const padded = g.op('Pad', [x, g.ints([0, by, 0, 0, 0, 0])]);
    return g.op('Slice', [padded, g.ints([0]), g.ints([-by]), g.ints([1])]);
  };
  const T = traits.length;
  const trait = part(features, 0, T);
  const colour = part(features, T, T + 4);
  const noun = part(features, T + 4, T + 4 + nouns.length);
  const hair = part(features, T + 4 + nouns.length, width);
  const one = g.scalar(1);
  // The colour right before the noun; or, past one word that is neither colour nor noun, the one before that.
  const [c1, c2] = [before(colour, 1), before(colour, 2)];
  const taken = g.op('Clip', [
    g.op('Add', [part(c1, 0, 1), g.op('ReduceSum', [before(noun, 1), g.ints([2])], { keepdims: 1 })]),
    g.scalar(0),
    one,
  ]);
  const bound = g.op('Add', [c1, g.op('Mul', [c2, g.op('Sub', [one, taken])])]);
  const blocks = nouns.map((name, i) => {
    const colouring = g.op('Mul', [part(noun, i, i + 1), bound]);
    return name === 'hair' ? g.op('Add', [colouring, hair]) : colouring;
  });
  const rest = layout.first - T - 4 * nouns.length;
  const state = g.op('Pad', [g.op('Concat', [trait, ...blocks], { axis: 2 }), g.ints([0, 0, 0, 0, 0, rest])]);
  giveStates(g, state, FIRST_LAYERS, layout.first);
  g.output('pooler_output', g.op('ReduceMean', [state, g.ints([1])], { keepdims: 0 }), 'float', [
    'batch_size',
    layout.first,
  ]);
  return g.bytes();
}

/** `text_encoder_2/model.onnx`: a fingerprint of every token, so that words without a meaning here change a little too. */
export function textEncoder2(): Uint8Array {
  const g = new Graph('text_encoder_2');
  const ids = g.input('input_ids', 'int64', ['batch_size', 'sequence_length']);
  const SPECIAL_FROM = 49_406;
  const isWord = g.op('And', [
    g.op('Greater', [ids, g.ints([0], [])]),
    g.op('Less', [ids, g.ints([SPECIAL_FROM], [])]),
  ]);
  const number = g.op('Unsqueeze', [g.op('Cast', [ids], { to: 1 }), g.ints([2])]);
  const rates = Array.from({ length: layout.second }, (_, i) => 0.37 + 0.618 * i);
  const print = g.op('Sin', [g.op('Mul', [number, g.floats(rates, [1, 1, layout.second])])]);
  const state = g.op('Mul', [
    g.op('Mul', [print, g.scalar(0.2)]),
    g.op('Unsqueeze', [g.op('Cast', [isWord], { to: 1 }), g.ints([2])]),
  ]);
  giveStates(g, state, SECOND_LAYERS, layout.second);
  g.output('text_embeds', g.op('ReduceSum', [state, g.ints([1])], { keepdims: 0 }), 'float', [
    'batch_size',
    layout.second,
  ]);
  return g.bytes();
}

/** Hidden states of every layer, the last but one being the state; the others are it, fainter. */
function giveStates(g: Graph, state: Value, layers: number, width: number): void {
  const shape = ['batch_size', 'sequence_length', width];
  g.output('last_hidden_state', state, 'float', shape);
  for (let layer = 0; layer <= layers; layer++) {
    const share = layer === layers - 1 ? 1 : (layer + 1) / (layers + 1);
    g.output(`hidden_states.${layer}`, g.op('Mul', [state, g.scalar(share)]), 'float', shape);
  }
}
