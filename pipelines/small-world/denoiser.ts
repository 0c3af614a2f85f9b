/**
 * The UNet's part: the exact denoiser of a world in which a picture is a function of a prompt and a hidden code.
 *
 * Latents are three channels of colour, and a fourth that the decoder does not show: it carries 16 numbers from N(0, 1), the
 * code, each repeated over a sixteenth of the cells. So the posterior mean of the code, given noise of σ, is the mean of its
 * cells shrunk by 1/(1 + σ²/n); the colour channels are the portrait drawn from it. A seed chooses the code through the noise, and what the prompt leaves
 * open follows the code.
 *
 * Latents that were encoded from a picture carry a mark instead of a code. Then only the face of a square crop (twice the
 * detector's box) is drawn, as the person of the ID tokens; the rest is the picture itself, smoothed as much as it is noisy.
 */
import { alphasCumprod } from '../schedulers.ts';
import { forms, nodes } from './arithmetic.ts';
import { Graph, type Value } from './onnx.ts';
import { LOOK_SIZE, layout } from './text.ts';
import { type Noun, nouns, type Trait, traits } from './words.ts';
import {
  type Colour,
  FACE_CENTRE,
  FACE_SHARE,
  type Frame,
  type Look,
  palettes,
  places,
  type Scene,
  world,
} from './world.ts';

export const CODES = 16;
/** What an encoded picture's fourth channel says: far from what a code would. */
export const ENCODED_MARK = 4;
/** Colour contrast: latents of a typical portrait have about unit variance. */
export const COLOUR_SCALE = 1.6;
/** Rows: latent channels; columns: r, g, b of −1…1. Orthonormal. */
export const COLOUR_MATRIX = [
  [1 / Math.sqrt(3), 1 / Math.sqrt(3), 1 / Math.sqrt(3)],
  [1 / Math.sqrt(2), 0, -1 / Math.sqrt(2)],
  [1 / Math.sqrt(6), -2 / Math.sqrt(6), 1 / Math.sqrt(6)],
] as const;
/**
 * Guidance leaves the colours far beyond the drawing, and once it is off (below about this noise) a step takes back only its share.
 * So here the guess goes on past the drawing, by `PULL`: a trace of the guidance is left, more of a strong one.
 */
const GUIDANCE_ENDS = 0.26; // σ
const PULL = 0.65;
/** Half the face's height in a crop of twice the detector's box. Share of the crop's side. */
const CROP_SHARE = 1 / (2 * (places.box.bottom - places.box.top));

/** `unet/model.onnx` */
export function unet(): Uint8Array {
  const g = new Graph('unet');
  const A = nodes(g);
  const { k, add, sub, mul, div, min, max, clamp, mix, square, exp, sigmoid } = forms(A);
  const W = world(A);

  const sample = g.input('sample', 'float', ['batch_size', 4, 'height', 'width']);
  const timestep = g.input('timestep', 'float', []);
  const context = g.input('encoder_hidden_states', 'float', ['batch_size', 'sequence_length', layout.width]);
  const pooled = g.input('text_embeds', 'float', ['batch_size', layout.second]);
  const timeIds = g.input('time_ids', 'float', ['batch_size', 6]);

  // σ at the timestep, linear between the training steps; then y = x0 + σ·n from x = (x0 + σ·n)/√(σ² + 1).
  const sigmas = g.floats(
    alphasCumprod.map((a) => Math.sqrt((1 - a) / a)),
    [alphasCumprod.length],
  );
  const low = g.op('Floor', [timestep]);
  const at = (t: Value) => g.op('Gather', [sigmas, g.op('Cast', [clamp(t, 0, 999)], { to: 7 })]);
  const sigma = mix(at(low), at(add(low, 1)), sub(timestep, low));
  const level = A.sqrt(add(square(sigma), 1));
  const y = mul(sample, level);

  const channel = (x: Value, c: number) => g.op('Slice', [x, g.ints([c]), g.ints([c + 1]), g.ints([1])]);
  const mean = (x: Value, axes: number[]) => g.op('ReduceMean', [x, g.ints(axes)], { keepdims: 1 });
  const hidden = channel(y, 3);

  // The code, and whether the latents carry one.
  const blocks = g.op('SpaceToDepth', [hidden], { blocksize: 4 });
  const means = mean(blocks, [2, 3]); // [B, 16, 1, 1]
  const shape = g.op('Cast', [g.op('Shape', [sample])], { to: 1 });
  const side = (axis: number) => g.op('Gather', [shape, g.ints([axis], [])]);
  const [height, width] = [side(2), side(3)];
  const perCode = div(mul(height, width), CODES);
  const encoded = sigmoid(mul(20, sub(mean(means, [1]), ENCODED_MARK / 2))); // [B, 1, 1, 1]
  // A mark is no code: an encoded picture leaves nothing open by it.
  const codes = mul(div(means, add(1, div(square(sigma), perCode))), sub(1, encoded));
  const code = (i: number) => channel(codes, i);
  const spread = g.op('DepthToSpace', [g.op('Expand', [codes, g.op('Shape', [blocks])])], { blocksize: 4 });
  const hiddenClean = mix(spread, ENCODED_MARK, encoded);

  // What the prompt says.
  const said = g.op('Unsqueeze', [
    g.op('ReduceSum', [context, g.ints([1])], { keepdims: 0 }),
    g.ints([2, 3]),
  ]); // [B, D, 1, 1]
  const trait = Object.fromEntries(
    traits.map((name, i) => [name, clamp(channel(said, layout.trait + i), -1, 1)]),
  ) as Record<Trait, Value>;
  const named = (noun: Noun, otherwise: Colour<Value>): Colour<Value> => {
    const from = layout.noun + 4 * nouns.indexOf(noun);
    const raw = channel(said, from);
    const sure = clamp(mul(raw, 1.5));
    const of = (c: number) => div(channel(said, from + 1 + c), max(raw, 1e-3));
    return W.map(otherwise, (v, c) => mix(v, clamp(of(c)), sure));
  };
  const nudge = (i: number) =>
    mul(
      0.5,
      g.op('Unsqueeze', [g.op('Slice', [pooled, g.ints([i]), g.ints([i + 1]), g.ints([1])]), g.ints([2, 3])]),
    );

  // What it leaves open, the code says.
  const masculine = sub(trait.male, trait.female);
  const styleBias: Record<string, number> = { short: 1.2, long: -1.2, curly: 0, bob: -1, bun: -0.7 };
  const styleNames = Object.keys(styleBias) as Trait[];
  const logits = styleNames.map((name, i) => {
    const angle = (2 * Math.PI * i) / styleNames.length;
    const own = add(mul(code(8), Math.cos(angle)), mul(code(14), Math.sin(angle)));
    return exp(clamp(mul(9, add(own, mul(masculine, styleBias[name]!), mul(4, trait[name]))), -60, 60));
  });
  const total = add(...logits);
  const hairy = sub(1, clamp(trait.bald));
  const styles = Object.fromEntries(styleNames.map((name, i) => [name, mul(hairy, div(logits[i]!, total))]));

  const drawnHair = W.pick(palettes.hair, code(6), code(7));
  const aged = W.map(drawnHair, (v, i) => mix(v, [0.76, 0.77, 0.8][i]!, clamp(mul(0.85, trait.old))));
  const hair = named('hair', aged);
  const skin = W.pick(palettes.skin, code(9), code(10));
  const beard = clamp(add(mul(1.2, trait.beard), mul(clamp(masculine), sigmoid(mul(7, sub(code(13), 0.9))))));
  const worldLook: Look<Value> = {
    skin,
    lips: named('lips', W.pick(palettes.lips, code(12), code(1))),
    iris: named('eyes', W.pick(palettes.iris, code(11), code(12))),
    brows: W.shade(hair, 0.72),
    chin: W.over(skin, W.shade(hair, 0.82), mul(0.92, beard)),
  };

  // ID tokens: how strongly, and whose face. Rows of several photos are averaged.
  const flag = channel(said, layout.identity);
  const rows = g.op(
    'ReduceSum',
    [
      g.op(
        'Cast',
        [
          g.op('Greater', [
            g.op('Abs', [
              g.op('Slice', [context, g.ints([layout.identity]), g.ints([layout.identity + 1]), g.ints([2])]),
            ]),
            g.scalar(0.01),
          ]),
        ],
        { to: 1 },
      ),
      g.ints([1]),
    ],
    { keepdims: 0 },
  ); // [B, 1]
  const count = max(g.op('Unsqueeze', [rows, g.ints([2, 3])]), 1);
  const weight = div(flag, count);
  const identified = clamp(mul(20, weight));
  const theirs = (from: number): Colour<Value> => {
    const of = (c: number) => div(channel(said, layout.identity + 1 + from + c), max(flag, 1e-3));
    return [of(0), of(1), of(2)];
  };
  // Weight 1 is the person, less is between, more goes on beyond.
  const blend = (own: Colour<Value>, from: number) =>
    W.map(own, (v, c) => clamp(mix(v, theirs(from)[c]!, clamp(weight, 0, 1.5))));
  const look: Look<Value> = {
    skin: blend(worldLook.skin, 0),
    lips: blend(worldLook.lips, 3),
    iris: blend(worldLook.iris, 6),
    brows: blend(worldLook.brows, 9),
    chin: blend(worldLook.chin, 12),
  };

  const scene: Scene<Value> = {
    look,
    hair,
    clothes: named('clothes', W.pick(palettes.clothes, add(code(10), nudge(0)), add(code(5), nudge(1)))),
    hat: named('hat', W.pick(palettes.clothes, code(5), code(15))),
    background: named(
      'background',
      W.pick(palettes.background, add(code(3), nudge(2)), add(code(4), nudge(3))),
    ),
    traits: {
      ...trait,
      ...styles,
      smile: clamp(add(0.3, mul(0.25, code(14)), mul(0.9, trait.smile)), -0.9, 1),
      glasses: clamp(trait.glasses),
      beard,
      hat: clamp(trait.hat),
      earrings: clamp(trait.earrings),
      freckles: clamp(add(trait.freckles, sigmoid(mul(8, sub(code(15), 1.4))))),
      collar: clamp(trait.collar),
      scarf: clamp(trait.scarf),
    } as Record<Trait, Value>,
  };

  // Cells' places; `time_ids` say nothing more than the shape does here, and are only looked at.
  const range = (length: Value) =>
    add(
      g.op('Cast', [g.op('Range', [g.ints([0], []), g.op('Cast', [length], { to: 7 }), g.ints([1], [])])], {
        to: 1,
      }),
      0.5,
    );
  const unread = mul(0, g.op('ReduceSum', [timeIds], { keepdims: 0 }));
  const x = add(g.op('Reshape', [range(width), g.ints([1, 1, 1, -1])]), unread);
  const yy = g.op('Reshape', [range(height), g.ints([1, 1, -1, 1])]);
  const full: Frame<Value> = {
    ...{ x, y: yy, width, height },
    cx: mul(width, add(FACE_CENTRE.x, mul(0.02, code(0)))),
    cy: mul(height, add(FACE_CENTRE.y, mul(0.012, code(1)))),
    r: mul(min(height, mul(1.15, width)), FACE_SHARE, add(1, mul(0.04, clamp(code(2), -2, 2)))),
  };
  const portrait = toLatents(W.portrait(full, scene));

  // The crop of an encoded picture: blurred by its noise, with the person's face.
  const colour = g.op('Slice', [y, g.ints([0]), g.ints([3]), g.ints([1])]);
  const smooth = (size: number) =>
    g.op('AveragePool', [colour], {
      kernel_shape: [size, size],
      pads: Array(4).fill((size - 1) / 2),
      strides: [1, 1],
      count_include_pad: 0,
    });
  const noisy = div(square(sigma), add(square(sigma), 0.04));
  const surroundings = mix(
    colour,
    mix(smooth(3), smooth(15), noisy),
    div(square(sigma), add(square(sigma), 0.002)),
  );
  const r = mul(width, CROP_SHARE);
  const u = div(sub(x, mul(0.5, width)), r);
  const v = add(div(sub(yy, mul(0.5, height)), r), (places.box.top + places.box.bottom) / 2);
  // The forehead's upper end is left as it is: what hair falls over it, only the picture knows.
  const below = sigmoid(mul(26, add(v, 0.53)));
  const face = toLatents(W.face(u, v, r, scene));
  const drawn = mix(surroundings, face, mul(W.faceMask(u, v, r), below, identified));

  const target = mix(portrait, drawn, encoded);
  const pull = add(1, mul(PULL, sigmoid(mul(60, sub(GUIDANCE_ENDS, sigma)))));
  const clean = mix(clamp(colour, -4, 4), target, pull);
  const x0 = g.op('Concat', [clean, hiddenClean], { axis: 1 });
  g.output('out_sample', div(sub(y, x0), sigma), 'float', ['batch_size', 4, 'height', 'width']);
  return g.bytes();

  function toLatents(rgb: Colour<Value>): Value {
    const signed = rgb.map((c) => sub(mul(2, c), 1));
    const shape4 = g.op(
      'Concat',
      [
        g.op('Slice', [g.op('Shape', [sample]), g.ints([0]), g.ints([1])]),
        g.ints([1]),
        g.op('Slice', [g.op('Shape', [sample]), g.ints([2]), g.ints([4])]),
      ],
      { axis: 0 },
    );
    const channels = COLOUR_MATRIX.map((row) => {
      const value = mul(COLOUR_SCALE, add(...row.map((w, c) => mul(w, signed[c]!))));
      return g.op('Expand', [value, shape4]);
    });
    return g.op('Concat', channels, { axis: 1 });
  }
}

export const lookSize = LOOK_SIZE;
