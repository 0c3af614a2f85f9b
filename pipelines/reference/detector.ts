/**
 * Finding faces by plain image operators, in two steps. At many sizes, every place is asked a few questions that any skin
 * answers alike (are there two spots darker than what is between and under them, is the skin even, is the mouth darker?).
 * The best places are then fitted: a small patch is sampled in the face's frame, the frame moved by where the dark of eyes
 * and mouth lies in it, a few times; and the fitted patch is compared with drawn faces by normalised correlation.
 */
import { Graph, type Value } from '../onnx-writer.ts';
import { forms, LUMA, nodes, type Rgb } from './algebra.ts';
import { nobody, type Planes, variants } from './people.ts';
import { renderScene } from './render.ts';
import { FACE_BOX } from './world.ts';

/** The patch: units of the face's frame that it shows, and its side in samples. */
const PATCH = { left: -1.2, top: -0.85, size: 2.4, side: 40 } as const;
const SAMPLES = PATCH.side ** 2;
const patchX = (i: number) => PATCH.left + (((i % PATCH.side) + 0.5) / PATCH.side) * PATCH.size;
const patchY = (i: number) => PATCH.top + ((Math.floor(i / PATCH.side) + 0.5) / PATCH.side) * PATCH.size;

/** Where the dark of eyes and mouth is looked for, units; the spread is a Gaussian's. */
const FEATURES = [
  { x: -0.4, y: 0, across: 0.11, down: 0.08 },
  { x: 0.4, y: 0, across: 0.11, down: 0.08 },
  { x: 0, y: 0.92, across: 0.16, down: 0.07 },
] as const;
/** Dark is what has less than this share of the skin's brightness. */
const DARK = 0.82;
/** As much darkness as moves a feature half way. */
const DOUBT = 0.3;

/** Each feature's weights over the patch, plain and times x and y: [samples, 9]. */
const featureWeights = Array.from({ length: SAMPLES }, (_, i) => {
  const [x, y] = [patchX(i), patchY(i)];
  return FEATURES.flatMap((f) => {
    const w = Math.exp(-0.5 * (((x - f.x) / f.across) ** 2 + ((y - f.y) / f.down) ** 2));
    return [w, w * (x - f.x), w * (y - f.y)];
  });
});
/** Skin that everybody shows: between the eyes, beside the nose. */
const skinWeights = (() => {
  const raw = Array.from({ length: SAMPLES }, (_, i) => {
    const [x, y] = [patchX(i), patchY(i)];
    const at = (u: number, v: number, r: number) =>
      Math.exp((-0.5 * ((Math.abs(x) - u) ** 2 + (y - v) ** 2)) / r ** 2);
    return at(0, -0.08, 0.07) + at(0.34, 0.34, 0.07);
  });
  const sum = raw.reduce((a, b) => a + b);
  return raw.map((w) => w / sum);
})();

function drawnPatch(planes: Partial<Planes>, hair: Rgb = [0.3, 0.2, 0.15]): Float32Array {
  const unit = PATCH.side / PATCH.size;
  const rgb = renderScene({ planes: { ...nobody, ...planes }, colours: { hair } }, PATCH.side, PATCH.side, {
    unit,
    x: -PATCH.left * unit,
    y: -PATCH.top * unit,
  });
  return Float32Array.from({ length: SAMPLES }, (_, i) =>
    LUMA.reduce<number>((s, w, c) => s + (w * rgb[i * 3 + c]!) / 255, 0),
  );
}
/** Drawn faces of many kinds, [samples] brightness each: a face is what looks like one of them. */
const drawnPatches = [
  ...variants.flatMap(({ woman, man }, i) => [
    drawnPatch({ ...woman, light: -woman.light }),
    drawnPatch({ ...man, freckles: i % 4 === 0 ? 1 : man.freckles }),
    drawnPatch({ ...(i % 2 ? man : woman), glasses: 1, age: i % 3 ? 0 : 1 }),
  ]),
  // Deep skin has the most to lose: the white of the eyes is what stands out, and fair brows do not.
  ...[0.45, 0.7, 0.95].flatMap((tone) =>
    [-1, 1].flatMap((light) => [
      drawnPatch({ tone, light, brow: 0.5 }, [0.12, 0.1, 0.1]),
      drawnPatch({ tone, light, irisBlue: 1 }, [0.85, 0.7, 0.45]),
    ]),
  ),
];

/** Where the dark of a drawn face lies, by the same measure: what a fitted face should show. [6] offsets, units */
const expected = (() => {
  const patch = drawnPatch({ tone: -1, smile: 0.2, hairLength: 0.1 });
  const skin = patch.reduce((s, v, i) => s + v * skinWeights[i]!, 0);
  const sums = Array<number>(9).fill(0);
  for (const [i, v] of patch.entries()) {
    const dark = Math.max(0, DARK - v / skin) ** 2;
    for (let j = 0; j < 9; j++) sums[j] = sums[j]! + dark * featureWeights[i]![j]!;
  }
  return [0, 1, 2].flatMap((f) => [sums[3 * f + 1]! / sums[3 * f]!, sums[3 * f + 2]! / sums[3 * f]!]);
})();

/** The inner face, where patches are compared; 0 or 1 each. */
const innerFace = Array.from({ length: SAMPLES }, (_, i) => {
  const [x, y] = [patchX(i), patchY(i)];
  return Math.abs(x) < 0.66 && y > -0.4 && y < 0.62 ? 1 : 0;
});

/** Fits frames to faces. Frames are rows (x, y, a, b): (u, v) units lie at (x + a·u − b·v, y + b·u + a·v) px. */
export function fitter(g: Graph, grey: Value) {
  const A = nodes(g);
  const { add, sub, mul, div, max, square, sqrt } = forms(A);
  const shape = g.op('Cast', [g.op('Shape', [grey])], { to: 1 });
  const side = (axis: number) => g.op('Slice', [shape, g.ints([axis]), g.ints([axis + 1])]);
  const [h, w] = [side(2), side(3)];
  const constants = (values: readonly number[], ...dims: number[]) => g.floats(values, dims);
  const column = (frames: Value, i: number) =>
    g.op('Slice', [frames, g.ints([i]), g.ints([i + 1]), g.ints([2])]);
  const us = constants(
    Array.from({ length: SAMPLES }, (_, i) => patchX(i)),
    1,
    1,
    SAMPLES,
  );
  const vs = constants(
    Array.from({ length: SAMPLES }, (_, i) => patchY(i)),
    1,
    1,
    SAMPLES,
  );
  const sum = (v: Value) => g.op('ReduceSum', [v, g.ints([2])], { keepdims: 1 });

  /** [N, K, 4] → [N, K, samples] brightness */
  const patches = (frames: Value): Value => {
    const [x, y, a, b] = [0, 1, 2, 3].map((i) => column(frames, i)) as [Value, Value, Value, Value];
    const px = add(x, sub(mul(a, us), mul(b, vs)));
    const py = add(y, add(mul(b, us), mul(a, vs)));
    const to = (p: Value, size: Value) => g.op('Unsqueeze', [sub(div(mul(2, p), size), 1), g.ints([3])]);
    const grid = g.op('Concat', [to(px, w), to(py, h)], { axis: 3 });
    const seen = g.op('GridSample', [grey, grid], {
      mode: 'linear',
      padding_mode: 'border',
      align_corners: 0,
    });
    return g.op('Squeeze', [seen, g.ints([1])]);
  };
  const skinOf = (patch: Value) => max(g.op('MatMul', [patch, constants(skinWeights, SAMPLES, 1)]), 0.02);

  const refine = (frames: Value): Value => {
    const patch = patches(frames);
    const dark = square(g.op('Relu', [sub(DARK, div(patch, skinOf(patch)))]));
    const sums = g.op('MatMul', [dark, constants(featureWeights.flat(), SAMPLES, 9)]); // [N, K, 9]
    // Observed places of the three features, relative to where they should be in this frame.
    const points = FEATURES.map((feature, f) => {
      // Where little is dark, as with lips on deep skin, the frame's own place is believed.
      const dark = column(sums, 3 * f);
      const moved = (i: 1 | 2) =>
        div(sub(column(sums, 3 * f + i), mul(dark, expected[2 * f + i - 1]!)), add(dark, DOUBT));
      return { u: add(feature.x, moved(1)), v: add(feature.y, moved(2)), feature };
    });
    const cy = FEATURES.reduce((s, f) => s + f.y, 0) / 3;
    const norm = FEATURES.reduce((s, f) => s + f.x ** 2 + (f.y - cy) ** 2, 0);
    const mean = (key: 'u' | 'v') => div(add(...points.map((p) => p[key])), 3);
    const [mu, mv] = [mean('u'), mean('v')];
    const turn = (f: (q: (typeof FEATURES)[number], u: Value, v: Value) => Value) =>
      div(add(...points.map(({ feature, u, v }) => f(feature, sub(u, mu), sub(v, mv)))), norm);
    const da = turn((q, u, v) => add(mul(q.x, u), mul(q.y - cy, v)));
    const db = turn((q, u, v) => sub(mul(q.x, v), mul(q.y - cy, u)));
    // The new frame within the old one: (u, v) ↦ (ou, ov) + (da, db)·(u, v).
    const ou = add(mu, mul(cy, db));
    const ov = sub(mv, mul(cy, da));
    const [x, y, a, b] = [0, 1, 2, 3].map((i) => column(frames, i)) as [Value, Value, Value, Value];
    return g.op(
      'Concat',
      [
        add(x, sub(mul(a, ou), mul(b, ov))),
        add(y, add(mul(b, ou), mul(a, ov))),
        sub(mul(a, da), mul(b, db)),
        add(mul(a, db), mul(b, da)),
      ],
      { axis: 2 },
    );
  };

  /** [N, K, 4] → [N, K, 1] −1…1: the best correlation with a drawn face */
  const likeness = (frames: Value): Value => {
    const patch = patches(frames);
    const n = innerFace.reduce<number>((a, b) => a + b, 0);
    const mask = constants(innerFace, 1, 1, SAMPLES);
    const mean = div(sum(mul(patch, mask)), n);
    const centred = mul(sub(patch, mean), mask);
    const spread = sqrt(div(sum(square(centred)), n));
    const templates = drawnPatches.map((drawn) => {
      const m = drawn.reduce((s, v, i) => s + v * innerFace[i]!, 0) / n;
      const own = Array.from(drawn, (v, i) => (v - m) * innerFace[i]!);
      const norm = Math.hypot(...own);
      return own.map((v) => v / norm / Math.sqrt(n));
    });
    const matches = g.op('MatMul', [
      centred,
      constants(
        Array.from({ length: SAMPLES }, (_, i) => templates.map((t) => t[i]!)).flat(),
        SAMPLES,
        templates.length,
      ),
    ]);
    const best = g.op('ReduceMax', [matches, g.ints([2])], { keepdims: 1 });
    // A flat patch has no pattern to agree with.
    return div(best, add(spread, 0.015));
  };
  /** Tries frames a little larger, smaller, higher and lower, and takes the mean of those most like a face. */
  const settle = (frames: Value, tries: readonly (readonly [scale: number, down: number])[]): Value => {
    const T = tries.length;
    const [x, y, a, b] = [0, 1, 2, 3].map((i) => column(frames, i)) as [Value, Value, Value, Value];
    const scales = constants(
      tries.map(([s]) => s),
      1,
      1,
      T,
    );
    const downs = constants(
      tries.map(([, d]) => d),
      1,
      1,
      T,
    );
    const parts = [sub(x, mul(b, downs)), add(y, mul(a, downs)), mul(a, scales), mul(b, scales)].map((v) =>
      g.op('Unsqueeze', [v, g.ints([3])]),
    );
    const all = g.op('Concat', parts, { axis: 3 }); // [N, K, T, 4]
    const like = g.op('Reshape', [likeness(g.op('Reshape', [all, g.ints([0, -1, 4])])), g.ints([0, -1, T])]);
    const weights = g.op('Unsqueeze', [g.op('Softmax', [mul(50, like)], { axis: 2 }), g.ints([3])]);
    return g.op('ReduceSum', [mul(weights, all), g.ints([2])], { keepdims: 0 });
  };
  return { refine, likeness, settle, column };
}

/** px between the eyes at which a place is asked its questions. */
const BETWEEN_EYES = 10;
/** The smallest distance of eyes that is looked for, px of the detector's square, and the steps from it up. */
const SMALLEST = 16;
const STEP = 2 ** (1 / 4);
const OCTAVES = 4;
const CANDIDATES = 80;
const REFINEMENTS = 5;
const COARSE_TRIES = [0.9, 1, 1.11, 1.23].flatMap((s) => [-0.07, 0, 0.07].map((d) => [s, d] as const));
export const FINE_TRIES = [0.96, 1, 1.04].flatMap((s) => [-0.03, 0, 0.03].map((d) => [s, d] as const));
/** Correlation at which a face is as likely as not, and how quickly it becomes sure. */
const ENOUGH = 0.62;
const SURENESS = 28;

/** `faces/det_10g.onnx`: SCRFD's nine outputs. */
export function detector(): Uint8Array {
  const g = new Graph('det_10g');
  const input = g.input('input.1', 'float', [1, 3, '?', '?']);
  const A = nodes(g);
  const { add, sub, mul, div, min, max, abs, clip } = forms(A);
  const toGrey = g.floats(
    LUMA.map((v) => v * (128 / 255)),
    [1, 3, 1, 1],
  );
  const grey = g.reshapeUnplanned(add(g.op('Conv', [input, toGrey]), 0.5), [0, 0, 0, 0], input);
  const window3 = { kernel_shape: [3, 3], pads: [1, 1, 1, 1], strides: [1, 1] };
  const reshape = (v: Value, ...shape: number[]) => g.op('Reshape', [v, g.ints(shape)]);

  const float = (v: Value) => g.op('Cast', [v], { to: 1 });

  const scores: Value[] = [];
  const frames: Value[] = [];
  for (let s = 0; s < Math.round(1 / Math.log2(STEP)); s++) {
    const first = (SMALLEST / BETWEEN_EYES) * STEP ** s;
    let level = g.op('Resize', [grey, '', g.floats([1, 1, 1 / first, 1 / first], [4])], {
      mode: 'linear',
      antialias: 1,
    });
    for (let octave = 0; octave < OCTAVES; octave++) {
      if (octave > 0)
        level = g.op('AveragePool', [level], { kernel_shape: [2, 2], strides: [2, 2], ceil_mode: 0 });
      addLevel(level, first * 2 ** octave);
    }
  }

  // The best places of all sizes, fitted.
  const all = g.op('Concat', scores, { axis: 0 }); // [P]
  const [, best] = g.ops('TopK', [all, g.ints([CANDIDATES])], 2, { axis: 0 }) as [Value, Value];
  const start = g.op('Unsqueeze', [g.op('Gather', [g.op('Concat', frames, { axis: 0 }), best]), g.ints([0])]); // [1, K, 4]
  const { refine, likeness, settle, column } = fitter(g, grey);
  let fitted = start;
  for (let i = 0; i < REFINEMENTS; i++) fitted = refine(fitted);
  fitted = settle(fitted, COARSE_TRIES);
  fitted = settle(fitted, FINE_TRIES);
  const like = likeness(fitted);
  const [x, y, a, b] = [0, 1, 2, 3].map((i) => column(fitted, i)) as [Value, Value, Value, Value];
  const size = g.op('Sqrt', [add(mul(a, a), mul(b, b))]);
  // What lies in a better face, an eye of it for one, is no face of its own.
  const other = (v: Value) => g.op('Transpose', [v], { perm: [0, 2, 1] }); // [1, 1, K]
  const apart = g.op('Sqrt', [
    add(A.mul(sub(x, other(x)), sub(x, other(x))), A.mul(sub(y, other(y)), sub(y, other(y)))),
  ]);
  const within = float(g.op('Less', [apart, max(mul(1.6, other(size)), mul(1.2, size))]));
  const better = float(g.op('Greater', [other(like), add(like, 0.01)]));
  const alone = sub(1, g.op('ReduceMax', [mul(within, better), g.ints([2])], { keepdims: 1 })); // [1, K, 1]
  // A fit that ran away from where it began, or lies on its side, is none.
  const startSize = column(start, 2);
  const change = abs(A.sub(size, startSize));
  const settled = clip(mul(12, sub(0.45, div(change, startSize))));
  const upright = clip(mul(8, sub(0.55, div(abs(b), size))));
  const score = mul(g.op('Sigmoid', [mul(SURENESS, sub(like, ENOUGH))]), settled, upright, alone); // [1, K, 1]
  const at = (u: number, v: number): [Value, Value] => [
    add(x, sub(mul(a, u), mul(b, v))),
    add(y, add(mul(b, u), mul(a, v))),
  ];
  const middle = at((FACE_BOX.left + FACE_BOX.right) / 2, (FACE_BOX.top + FACE_BOX.bottom) / 2);
  const half = {
    w: mul(size, (FACE_BOX.right - FACE_BOX.left) / 2),
    h: mul(size, (FACE_BOX.bottom - FACE_BOX.top) / 2),
  };
  const points = [at(-0.4, 0), at(0.4, 0), at(0, 0.46), at(-0.33, 0.92), at(0.33, 0.92)].flat();

  // Each face is told by the anchor next to its middle: small ones by the fine grid, large ones by the coarse.
  const shape = g.op('Shape', [input]);
  const side = (axis: number) => g.op('Slice', [shape, g.ints([axis]), g.ints([axis + 1])]);
  const [height, width] = [float(side(2)), float(side(3))];
  const outputs: [Value, number][][] = [[], [], []];
  for (const [stride, smallest, largest] of [
    [8, 0, 96],
    [16, 96, 224],
    [32, 224, 1e6],
  ] as const) {
    const [columns, lines] = [A.floor(div(width, stride)), A.floor(div(height, stride))];
    const cell = (p: Value, n: Value) => max(0, min(A.floor(add(div(p, stride), 0.5)), sub(n, 1)));
    const [cx, cy] = [cell(middle[0], columns), cell(middle[1], lines)];
    const index = reshape(g.op('Cast', [mul(2, add(mul(cy, columns), cx))], { to: 7 }), CANDIDATES, 1);
    const boxHeight = mul(2, half.h);
    const ours = mul(
      float(g.op('GreaterOrEqual', [boxHeight, g.scalar(smallest)])),
      float(g.op('Less', [boxHeight, g.scalar(largest)])),
    );
    const count = g.op('Cast', [mul(2, mul(columns, lines))], { to: 7 });
    // Written from the least sure to the surest: where two have one anchor, the surer one stays.
    const [, order] = g.ops('TopK', [reshape(mul(score, ours), CANDIDATES), g.ints([CANDIDATES])], 2, {
      axis: 0,
      largest: 0,
    }) as [Value, Value];
    const write = (values: Value, channels: number): Value => {
      const empty = g.op('Expand', [g.scalar(0), g.op('Concat', [count, g.ints([channels])], { axis: 0 })]);
      const sorted = (v: Value) => g.op('Gather', [v, order]);
      return g.op('ScatterND', [empty, sorted(index), sorted(reshape(values, CANDIDATES, channels))]);
    };
    const offset = (p: Value, c: Value) => div(sub(p, mul(c, stride)), stride);
    const [px, py] = [mul(cx, stride), mul(cy, stride)];
    const box = [
      div(sub(px, sub(middle[0], half.w)), stride),
      div(sub(py, sub(middle[1], half.h)), stride),
      div(sub(add(middle[0], half.w), px), stride),
      div(sub(add(middle[1], half.h), py), stride),
    ];
    outputs[0]!.push([write(mul(score, ours), 1), 1]);
    outputs[1]!.push([write(g.op('Concat', box, { axis: 2 }), 4), 4]);
    outputs[2]!.push([
      write(
        g.op(
          'Concat',
          points.map((p, i) => offset(p, i % 2 ? cy : cx)),
          { axis: 2 },
        ),
        10,
      ),
      10,
    ]);
  }
  for (const [i, [value, channels]] of outputs.flat().entries())
    g.output(String(448 + i), value, 'float', ['?', channels]);
  return g.bytes();

  /** Asks every place of one size. `factor`: input px a px of the level. */
  function addLevel(level: Value, factor: number): void {
    const soft = g.op('AveragePool', [level], { ...window3, count_include_pad: 0 });
    // An eye counts by its darkest spot, or its white would hide it; skin counts by its mean.
    const darkest = g.op('Neg', [g.op('MaxPool', [g.op('Neg', [level])], window3)]);
    const REACH = 12;
    const pad = (map: Value) =>
      g.op('Pad', [map, g.ints([0, 0, REACH, REACH, 0, 0, REACH, REACH])], { mode: 'edge' });
    const [padded, paddedDark] = [pad(soft), pad(darkest)];
    const seen = (dx: number, dy: number, map = padded) => {
      const range = (d: number) => [REACH + d, d - REACH || Number.MAX_SAFE_INTEGER] as const;
      const [[x0, x1], [y0, y1]] = [range(dx), range(dy)];
      return g.op('Slice', [map, g.ints([y0, x0]), g.ints([y1, x1]), g.ints([2, 3])]);
    };
    const [left, right, bridge] = [seen(-5, 0, paddedDark), seen(5, 0, paddedDark), seen(0, 0)];
    const skins = [bridge, seen(-5, 4), seen(5, 4), seen(-3, 4), seen(3, 4), seen(-5, 6), seen(5, 6)];
    const skin = add(div(add(...skins), skins.length), 0.03);
    const darker = sub(min(bridge, skins[1]!, skins[2]!), max(left, right));
    const uneven = sub(max(...skins), min(...skins));
    const mouth = sub(mul(0.5, add(skins[5]!, skins[6]!)), seen(0, 11, paddedDark));
    const score = mul(
      clip(div(darker, mul(0.45, skin))),
      clip(sub(1.8, mul(2, div(uneven, skin)))),
      add(0.4, mul(0.6, clip(div(mouth, mul(0.25, skin))))),
    );
    const peak = g.op('MaxPool', [score], window3);
    const kept = mul(score, g.op('Cast', [g.op('GreaterOrEqual', [score, peak])], { to: 1 }));
    scores.push(reshape(kept, -1));

    // Each place's frame: its middle, and a unit's px.
    const size = g.op('Cast', [g.op('Shape', [level])], { to: 1 });
    const places = (axis: number) => {
      const n = g.op('Squeeze', [
        g.op('Cast', [g.op('Slice', [size, g.ints([axis]), g.ints([axis + 1])])], { to: 7 }),
        g.ints([0]),
      ]);
      const i = g.op('Cast', [g.op('Range', [g.ints([0], []), n, g.ints([1], [])])], { to: 1 });
      return mul(factor, add(i, 0.5));
    };
    const zero = mul(0, reshape(kept, -1));
    const like = g.op('Squeeze', [mul(0, kept), g.ints([0, 1])]); // [h, w]
    const x = reshape(add(like, reshape(places(3), 1, -1)), -1, 1);
    const y = reshape(add(like, reshape(places(2), -1, 1)), -1, 1);
    const unit = reshape(add(zero, (BETWEEN_EYES / 0.8) * factor), -1, 1);
    frames.push(g.op('Concat', [x, y, unit, reshape(zero, -1, 1)], { axis: 1 }));
  }
}
