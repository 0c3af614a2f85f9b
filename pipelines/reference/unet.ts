/**
 * The UNet's place: the denoiser of a known world.
 *
 * The world is a mixture: a few places of the head × a few people × palettes of colours, each conditioned by the prompt.
 * For such a mixture the best guess of the clean picture from a noisy one is known (Tweedie; Karras et al. 2022, eq. 3): the
 * prototypes' mean, weighted by softmax(log prior − ‖z − prototype‖² / 2σ²) with z = x0 + σ·n. Here the weights are found on a
 * coarse grid, colours first, then the head's place, then the person, and the mean is taken over what is drawn, not over
 * pixels: with little noise both are the same. What the prompt names is no longer open; the ID tokens replace the face.
 * The guess becomes ε = (x − α·x0) / (α·σ), which any scheduler can use.
 */
import { Graph, type Value } from '../onnx-writer.ts';
import { alphasCumprod } from '../schedulers.ts';
import { forms, nodes } from './algebra.ts';
import { effects, paletteColours, type palettes, poses, variants } from './people.ts';
import { layout, NUDGES, WIDTH } from './text.ts';
import { fromLatent, TO_LATENT } from './vae.ts';
import { nouns, type Trait, traits } from './words.ts';
import {
  type ColourName,
  colourNames,
  drawWorld,
  EXTRA_ABOVE,
  FRAME,
  HEADROOM,
  identityNames,
  type PlaneName,
  planeNames,
  poseNames,
} from './world.ts';

/** side of the grid that prototypes are compared on */
const COARSE = 28;
/** How much surer than the plain sum over cells: it makes the choice early, while anything is still open. */
const SURE = 2.5;
/** latent units², what prototypes and pictures differ by without noise */
const MODEL_ERROR = 0.02;
/** How far a colour may follow the picture away from its palette: latent units for the spread, 0…1 for the most. */
const COLOUR_SPREAD = 0.5;
const COLOUR_DRIFT = 0.1;
/** the same where no colour was named: there the picture decides */
const OPEN_DRIFT = 0.45;
/** Shares of the way from the face that is seen to the one of the ID tokens, and how strongly (nats) the whole way is wished. */
const LEVELS = [0, 0.25, 0.5, 0.75, 1];
const IDENTITY_WISH = 1_500;
/** Share of the person that any row of ID tokens gives, and each one more: four photos, of two rows each, give all. */
const PERSON_LEAST = 0.2;
const PERSON_A_ROW = 0.1;
/** Noise has no values beyond so many deviations: what lies beyond is a ghost, of guidance mostly, and is taken out faster. */
const GHOST = 2.5;
const EXORCISM = 0.7;

/** The module that LoRAs of this bundle change: what the prompt says, on its way to what is drawn. */
export const TRAIT_MODULE = 'mid_block.attentions.0.transformer_blocks.0.attn2.to_out.0';

export function unet(): Uint8Array {
  const g = new Graph('unet');
  const sample = g.input('sample', 'float', ['batch_size', 4, 'height', 'width']);
  const timestep = g.input('timestep', 'float', []);
  const context = g.input('encoder_hidden_states', 'float', ['batch_size', 'sequence_length', 2 * WIDTH]);
  const pooled = g.input('text_embeds', 'float', ['batch_size', WIDTH]);
  const times = g.input('time_ids', 'float', ['batch_size', 6]);
  const A = nodes(g);
  const { add, sub, mul, div, min, max, square, length, not, ramp, bump, abs, sqrt, clip, k } = forms(A);
  const int = (...values: number[]) => g.ints(values);
  const reshape = (v: Value, ...shape: number[]) => g.reshapeUnplanned(v, shape, sample);
  const sum = (v: Value, axes: number[], keepdims = 1) => g.op('ReduceSum', [v, g.ints(axes)], { keepdims });
  const slice = (v: Value, axis: number, from: number, to: number) =>
    g.op('Slice', [v, int(from), int(to), int(axis)]);
  /** Weighted means too: onnxruntime's sum over the axis behind the batch is, of a batch of one, another one in its last bit. */
  const matmul = (a: Value, b: Value) => g.op('MatMul', [a, b]);
  const softmax = (v: Value, axis: number) => g.op('Softmax', [v], { axis });
  const float = (v: Value) => g.op('Cast', [v], { to: 1 });

  // ---- noise: x = α·x0 + α·σ·n -----------------------------------------------------------------------------------------
  const table = g.floats(
    Float64Array.from(alphasCumprod, (a) => Math.sqrt((1 - a) / a)),
    [1000],
  );
  const low = max(min(A.floor(reshape(timestep, 1)), 999), 0);
  const at = (v: Value) => g.op('Gather', [table, g.op('Cast', [v], { to: 7 })]);
  const sigma = add(at(low), mul(clip(sub(timestep, low)), sub(at(min(add(low, 1), 999)), at(low))));
  const alpha = div(1, sqrt(add(square(sigma), 1)));
  const z = div(sample, alpha);

  // ---- size ------------------------------------------------------------------------------------------------------------
  const shape = float(g.op('Shape', [sample]));
  const [h, w] = [slice(shape, 0, 2, 3), slice(shape, 0, 3, 4)];
  const unit = div(min(h, w), FRAME);
  const eyeX = mul(0.5, w);
  const eyeY = add(mul(HEADROOM, unit), mul(EXTRA_ABOVE, max(0, sub(h, w))));
  const counted = (side: Value) =>
    float(
      g.op('Range', [
        g.ints([0], []),
        g.op('Squeeze', [g.op('Cast', [side], { to: 7 }), int(0)]),
        g.ints([1], []),
      ]),
    );
  const rows = counted(h);
  const columns = counted(w);

  // The coarse grid: means over equal parts of the picture, [B, 4, COARSE, COARSE].
  const parts = (side: Value, along: Value) => {
    const step = div(side, COARSE);
    const i = mul(
      g.floats(
        Array.from({ length: COARSE }, (_, n) => n),
        [COARSE, 1],
      ),
      step,
    ); // starts
    const j = reshape(along, 1, -1);
    const shared = max(0, sub(min(add(i, step), add(j, 1)), max(i, j)));
    return div(shared, step); // [COARSE, side]
  };
  const across = g.op('Transpose', [parts(w, columns)], { perm: [1, 0] });
  const coarse4 = matmul(matmul(parts(h, rows), z), across);
  const coarse = reshape(slice(coarse4, 1, 0, 3), 0, 1, 3, COARSE, COARSE); // [B, 1, 3, n, n]
  const cellVariance = div(mul(square(sigma), COARSE ** 2), mul(h, w));
  const coarseAt = (side: Value, origin: Value) =>
    div(
      sub(
        mul(
          g.floats(
            Array.from({ length: COARSE }, (_, n) => n + 0.5),
            [COARSE],
          ),
          div(side, COARSE),
        ),
        origin,
      ),
      unit,
    );
  const coarseView = {
    x: reshape(coarseAt(w, eyeX), 1, 1, 1, 1, COARSE),
    y: reshape(coarseAt(h, eyeY), 1, 1, 1, COARSE, 1),
    soft: div(div(max(h, w), COARSE), unit),
  };

  // ---- what the prompt says --------------------------------------------------------------------------------------------
  const words = slice(context, 2, 0, WIDTH);
  const spoken = slice(context, 2, WIDTH, 2 * WIDTH);
  const strongest = add(
    g.op('ReduceMax', [spoken, int(1)], { keepdims: 0 }),
    g.op('ReduceMin', [spoken, int(1)], { keepdims: 0 }),
  );
  // Both ways in count: the tokens' states and the pooled one.
  const heard = max(-1.5, min(1.5, add(mul(0.5, strongest), mul(0.5, pooled)))); // [B, WIDTH]
  // Changes nothing by itself: what a LoRA can change. The last place, which no trait has, is always 1.
  const always = g.floats(
    Array.from({ length: WIDTH }, (_, i) => (i === WIDTH - 1 ? 1 : 0)),
    [1, WIDTH],
  );
  const identity = Float32Array.from({ length: WIDTH * WIDTH }, (_, i) => (i % (WIDTH + 1) ? 0 : 1));
  const traitValues = g.linear(TRAIT_MODULE, add(heard, always), identity, WIDTH, WIDTH);
  const tokens = slice(g.op('Shape', [words]), 0, 1, 2);
  const each = g.op('Expand', [g.floats([1], [1, 1, 1]), g.op('Concat', [int(1, 1), tokens], { axis: 0 })]);
  const wordSum = reshape(matmul(each, words), -1, WIDTH); // [B, WIDTH]
  const named = Object.fromEntries(
    nouns.map((noun, i) => {
      const from = layout.noun(i);
      const amount = slice(wordSum, 1, from + 3, from + 4);
      const rgb = div(slice(wordSum, 1, from, from + 3), max(amount, 1e-3));
      return [noun, { rgb: reshape(rgb, -1, 1, 3, 1, 1), amount: reshape(clip(amount), -1, 1, 1, 1, 1) }];
    }),
  ) as Record<(typeof nouns)[number], { rgb: Value; amount: Value }>;
  const idAmount = reshape(slice(wordSum, 1, layout.identity, layout.identity + 1), -1, 1, 1); // [B, 1, 1]
  // The more of the prompt is the person, the more of the person is drawn.
  const isPerson = mul(g.op('Sign', [idAmount]), clip(add(PERSON_LEAST, mul(PERSON_A_ROW, idAmount)))); // [B, 1, 1]
  const idSum = slice(wordSum, 1, layout.identity + 1, layout.identity + 1 + identityNames.length);
  const idValues = div(reshape(idSum, -1, 1, identityNames.length), max(idAmount, 1e-3)); // [B, 1, n]

  // ---- the people it could be: [B, K, planes] ----------------------------------------------------------------------------
  const N = planeNames.length;
  const K = variants.length;
  const tableOf = (who: 'woman' | 'man') =>
    g.floats(
      variants.flatMap((v) => planeNames.map((name) => v[who][name])),
      [1, K, N],
    );
  const trait = (name: Trait) =>
    reshape(slice(traitValues, 1, traits.indexOf(name), traits.indexOf(name) + 1), -1, 1, 1);
  const [man, woman] = [clip(trait('male')), clip(trait('female'))];
  const male = add(
    mul(
      g.floats(
        variants.map((v) => v.male),
        [1, K, 1],
      ),
      not(clip(add(man, woman))),
    ),
    mul(man, not(mul(0.5, woman))),
  );
  const people = add(tableOf('woman'), mul(male, sub(tableOf('man'), tableOf('woman'))));
  const [values, touched] = [new Float32Array(WIDTH * N), new Float32Array(WIDTH * N)];
  for (const [name, effect] of Object.entries(effects) as [Trait, Partial<Record<PlaneName, number>>][]) {
    for (const [plane, value] of Object.entries(effect) as [PlaneName, number][]) {
      values[traits.indexOf(name) * N + planeNames.indexOf(plane)] = value;
      touched[traits.indexOf(name) * N + planeNames.indexOf(plane)] = 1;
    }
  }
  const fixed = reshape(clip(matmul(abs(traitValues), g.floats(touched, [WIDTH, N]))), -1, 1, N);
  const said = reshape(max(-1, min(1, matmul(traitValues, g.floats(values, [WIDTH, N])))), -1, 1, N);
  // "No beard" takes one away: below nothing there is only a smile.
  const signed = g.floats(
    planeNames.map((name) => (name === 'smile' ? -1 : 0)),
    [1, 1, N],
  );
  const withPrompt = add(mul(people, not(fixed)), max(said, signed));
  const idPlanes = g.floats(
    planeNames.map((name) => ((identityNames as readonly string[]).includes(name) ? 1 : 0)),
    [1, 1, N],
  );
  const idMatrix = new Float32Array(identityNames.length * N);
  for (const [i, name] of identityNames.entries())
    idMatrix[i * N + planeNames.indexOf(name as PlaneName)] = 1;
  const theirs = matmul(idValues, g.floats(idMatrix, [identityNames.length, N]));

  // ---- colours: the palette's mean under what is seen, then a little towards what is seen -----------------------------------
  const { x: cx, y: cy } = coarseView;
  const places: Record<keyof typeof palettes, Value> = {
    hair: mul(ramp(abs(cx), 0.7, 0.5), ramp(abs(add(cy, 1.1)), 0.3, 0.2)),
    background: mul(ramp(abs(cx), 1.45, 1.65), ramp(cy, 0.9, 0.6)),
    clothes: mul(ramp(abs(cx), 1.25, 1.05), ramp(cy, 2.2, 2.35), ramp(cy, 3.4, 3.0)),
  };
  const scenes = sum(
    reshape(slice(said, 2, planeNames.indexOf('forest'), planeNames.indexOf('space') + 1), 0, 1, 11, 1, 1),
    [2],
  );
  const hatted = reshape(
    slice(said, 2, planeNames.indexOf('hat'), planeNames.indexOf('hat') + 1),
    0,
    1,
    1,
    1,
    1,
  );
  const nudges = slice(wordSum, 1, layout.nudge, layout.nudge + NUDGES); // [B, 4]
  const colours = Object.fromEntries(
    colourNames.map((name) => {
      if (name !== 'hair' && name !== 'background' && name !== 'clothes') {
        return [
          name,
          add(
            mul(named[name].rgb, named[name].amount),
            mul(g.floats([0.42, 0.14, 0.16], [1, 1, 3, 1, 1]), not(named[name].amount)),
          ),
        ];
      }
      const palette = paletteColours(name);
      const inLatents = palette.map((rgb) =>
        TO_LATENT.map(
          (row, i) =>
            row.reduce((s, v, c) => s + v * rgb[c]!, 0) -
            (i === 0 ? row.reduce((s, v) => s + v * 0.5, 0) : 0),
        ),
      );
      const place = places[name];
      const total = max(sum(place, [2, 3, 4]), 1e-3);
      const seen = div(sum(mul(place, coarse), [3, 4]), total); // [B, 1, 3, 1, 1]
      const variance = div(mul(cellVariance, sum(square(place), [2, 3, 4])), square(total));
      const off = sub(seen, g.floats(inLatents.flat(), [1, palette.length, 3, 1, 1]));
      const likelihood = div(mul(-0.5, sum(square(off), [2])), add(variance, 0.05)); // [B, P, 1, 1, 1]
      const seedOf = { hair: 1, background: 2, clothes: 3 }[name];
      const taste = matmul(
        nudges,
        g.floats(
          Array.from({ length: NUDGES * palette.length }, (_, i) => 2 * Math.sin(i * 7.3 + seedOf * 1.7)),
          [NUDGES, palette.length],
        ),
      );
      const weights = softmax(add(likelihood, reshape(taste, -1, palette.length, 1, 1, 1)), 1);
      const mixed = matmul(
        reshape(weights, -1, palette.length),
        g.floats(palette.flat(), [palette.length, 3]),
      );
      const mean = reshape(mixed, -1, 1, 3, 1, 1);
      const chosen = add(mul(named[name].rgb, named[name].amount), mul(mean, not(named[name].amount)));
      const flat = reshape(seen, -1, 3);
      const back = fromLatent().map((row) => row.map((v) => v / 2));
      const transposed = g.floats(
        [0, 1, 2].flatMap((i) => [0, 1, 2].map((c) => back[c]![i]!)),
        [3, 3],
      );
      const seenRgb = add(reshape(matmul(flat, transposed), -1, 1, 3, 1, 1), 0.5);
      const trust = div(COLOUR_SPREAD ** 2, add(variance, COLOUR_SPREAD ** 2));
      const open = name === 'background' ? not(clip(scenes)) : name === 'hair' ? not(hatted) : k(1);
      const most = add(OPEN_DRIFT, mul(COLOUR_DRIFT - OPEN_DRIFT, named[name].amount));
      const drift = max(mul(-1, most), min(most, mul(trust, sub(seenRgb, chosen))));
      return [name, clip(add(chosen, mul(drift, open)))];
    }),
  ) as Record<ColourName, Value>;

  /** [B, K, planes] as planes for a drawing */
  const planesOf = (all: Value): Record<PlaneName, Value> => {
    const split = g.ops('Split', [g.op('Unsqueeze', [all, int(3, 4)])], N, { axis: 2, num_outputs: N });
    return {
      ...(Object.fromEntries(planeNames.map((name, i) => [name, split[i]!])) as Record<PlaneName, Value>),
      eyesTinted: named.eyes.amount,
      lipsTinted: named.lips.amount,
    };
  };
  const toLatent = (rgb: Value) => {
    const rowsOf = TO_LATENT.map((row, i) => {
      const level = sum(mul(rgb, g.floats(row, [1, 1, 3, 1, 1])), [2]);
      return i === 0 ? sub(level, row.reduce((s, v) => s + v, 0) / 2) : level;
    });
    return rowsOf;
  };
  /** softmax over K of how well drawings [B, K, …] fit what is seen, near the head: [B, 1, K] */
  const near = bump(length(div(cx, 1.5), div(sub(cy, 0.1), 1.6)));
  const fitOf = (planes: Record<PlaneName, Value>, count: number, logPrior: Value | number = 0) => {
    const drawn = g.op('Concat', toLatent(drawWorld(A, coarseView, planes, colours)), { axis: 2 });
    const error = sum(mul(near, square(sub(coarse, drawn))), [2, 3, 4], 0); // [B, K]
    const logLikelihood = div(mul(-0.5 * SURE, error), add(cellVariance, MODEL_ERROR));
    return reshape(softmax(add(logLikelihood, logPrior), 1), -1, 1, count);
  };

  // ---- where the head is, then who it is -------------------------------------------------------------------------------------
  const middle = matmul(g.floats(Array(K).fill(1 / K), [1, 1, K]), withPrompt); // [B, 1, planes]
  const posed = { ...planesOf(middle) };
  const ofPoses = (name: (typeof poseNames)[number], shape: number[]) =>
    g.floats(
      poses.map((p) => p[name]),
      shape,
    );
  for (const name of poseNames) posed[name] = ofPoses(name, [1, poses.length, 1, 1, 1]);
  const poseWeights = fitOf(posed, poses.length);
  const pose = Object.fromEntries(
    poseNames.map((name) => [
      name,
      reshape(matmul(poseWeights, ofPoses(name, [poses.length, 1])), -1, 1, 1, 1, 1),
    ]),
  );
  const somebody = matmul(fitOf({ ...planesOf(withPrompt), ...pose }, K), withPrompt); // [B, 1, N]
  // The ID tokens say who it should be, the picture who it is: with little noise left, a face stays nearer to what it was.
  const levels = g.floats(LEVELS, [1, LEVELS.length, 1]);
  const between = add(somebody, mul(isPerson, levels, idPlanes, sub(theirs, somebody)));
  const wish = mul(IDENTITY_WISH, reshape(levels, 1, -1));
  const level = fitOf({ ...planesOf(between), ...pose }, LEVELS.length, wish);
  const person = matmul(level, between); // [B, 1, N]

  // ---- the guess, at the middles of cells and at their corners -----------------------------------------------------------------
  const phase = g.floats([0.5, 1], [1, 2, 1, 1, 1]);
  const fine = {
    x: div(sub(add(reshape(columns, 1, 1, 1, 1, -1), phase), eyeX), unit),
    y: div(sub(add(reshape(rows, 1, 1, 1, -1, 1), phase), eyeY), unit),
    // A little wider than a cell: middles and corners then agree along slanted edges.
    soft: div(1.35, unit),
  };
  const picture = clip(drawWorld(A, fine, { ...planesOf(person), ...pose }, colours)); // [B, 2, 3, h, w]
  const [bright, blue, red] = toLatent(picture) as [Value, Value, Value];
  const [middles, corners] = [slice(bright, 1, 0, 1), slice(bright, 1, 1, 2)];
  const x0 = g.op('Squeeze', [
    g.op('Concat', [middles, slice(blue, 1, 0, 1), slice(red, 1, 0, 1), corners], { axis: 2 }),
    int(1),
  ]);
  const noise = div(sub(z, x0), sigma);
  const ghost = sub(noise, max(-GHOST, min(GHOST, noise)));
  // Next to the end what differs from the guess is the picture itself, as it came to be detailed, and no ghost.
  const epsilon = add(noise, mul(EXORCISM, ramp(sigma, 0.03, 0.15), ghost));
  // Size conditioning is part of the interface; this world's framing follows from the latents' own size.
  const silent = mul(0, sum(slice(times, 1, 0, 1), [0, 1], 0));
  g.output('out_sample', add(epsilon, silent), 'float', ['batch_size', 4, 'height', 'width']);
  return g.bytes();
}
