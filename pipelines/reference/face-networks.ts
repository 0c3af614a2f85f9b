/**
 * What is read off a face: who it is (ArcFace's part), the ID tokens that draw it again (PhotoMaker's), 106 points, gender and
 * age. All of it is colours of patches of an aligned face. How a patch answers to a parameter of the drawing is measured on the
 * drawing itself, at build time, one parameter after the other; the networks are that, undone.
 */
import { generator } from '../noise.ts';
import { Graph, type Value } from '../onnx-writer.ts';
import { forms, LUMA, nodes } from './algebra.ts';
import { FINE_TRIES, fitter } from './detector.ts';
import { nobody } from './people.ts';
import { renderScene } from './render.ts';
import { layout, WIDTH } from './text.ts';
import { FACE_BOX, identityNames } from './world.ts';

/** ArcFace's square: px a unit, and where between the eyes is. */
const ALIGNED = { side: 112, unit: (73.5318 - 38.2946) / 0.8, x: 55.913, y: 51.599 } as const;
const PIXELS = ALIGNED.side ** 2;
const N = identityNames.length;
/** Norm of an embedding that differs by 1 in one parameter: real ones have norms in the tens. */
const GAIN = 12;

type Channel = 'luma' | 'red-blue' | 'blue-red' | 'green' | 'red-green';
const CHANNELS: Readonly<Record<Channel, readonly [number, number, number]>> = {
  luma: LUMA,
  'red-blue': [1, 0, -1],
  'blue-red': [-1, 0, 1],
  green: [-0.5, 1, -0.5],
  'red-green': [1, -1, 0],
};
interface Patch {
  /** units; on both sides unless `oneSide` */
  readonly x: number;
  readonly y: number;
  readonly across: number;
  readonly down: number;
  readonly oneSide?: 1 | -1;
}
/** Bare skin between the eyes: everything is relative to its brightness. */
const SKIN: Patch = { x: 0, y: -0.13, across: 0.11, down: 0.06 };
/** One reading for each identity parameter, in their order; the jaw's is of how like skin a place is. */
const READINGS: readonly {
  patch: Patch;
  channel: Channel;
  absolute?: true;
  likeSkin?: true;
  trust: number;
}[] = [
  { patch: SKIN, channel: 'luma', absolute: true, trust: 1.3 },
  { patch: SKIN, channel: 'red-blue', trust: 0.8 },
  { patch: { x: 0.69, y: 0.75, across: 0.09, down: 0.1 }, channel: 'luma', likeSkin: true, trust: 0.6 },
  { patch: { x: 0.4, y: 0.095, across: 0.1, down: 0.025 }, channel: 'luma', trust: 0.4 },
  { patch: { x: 0.4, y: 0.03, across: 0.06, down: 0.045 }, channel: 'blue-red', trust: 1 },
  { patch: { x: 0.4, y: 0.03, across: 0.06, down: 0.045 }, channel: 'green', trust: 1 },
  { patch: { x: 0.34, y: -0.29, across: 0.14, down: 0.09 }, channel: 'luma', trust: 0.8 },
  { patch: { x: 0.21, y: 0.5, across: 0.03, down: 0.03 }, channel: 'luma', trust: 0.5 },
  { patch: { x: 0.08, y: 1.035, across: 0.1, down: 0.02 }, channel: 'red-green', trust: 0.6 },
  { patch: { x: 0.1, y: 0.97, across: 0.08, down: 0.025 }, channel: 'red-green', trust: 0.9 },
  { patch: { x: 0.26, y: 0.34, across: 0.12, down: 0.06 }, channel: 'luma', trust: 1 },
  { patch: { x: 0.55, y: 0.5, across: 0.08, down: 0.08 }, channel: 'red-green', trust: 0.7 },
  { patch: { x: 0.46, y: 0.74, across: 0.035, down: 0.035, oneSide: 1 }, channel: 'luma', trust: 0.8 },
  { patch: { x: 0.1, y: 1.2, across: 0.14, down: 0.06 }, channel: 'luma', trust: 1.2 },
];

/** [pixels] weights that sum to 1 */
function weightsOf({ x, y, across, down, oneSide }: Patch): Float32Array {
  const out = new Float32Array(PIXELS);
  let sum = 0;
  for (let i = 0; i < PIXELS; i++) {
    const u = ((i % ALIGNED.side) - ALIGNED.x) / ALIGNED.unit;
    const v = (Math.floor(i / ALIGNED.side) - ALIGNED.y) / ALIGNED.unit;
    const inside = Math.abs((oneSide ? u * oneSide : Math.abs(u)) - x) <= across && Math.abs(v - y) <= down;
    if (inside) sum += out[i] = 1;
  }
  return out.map((w) => w / sum);
}
const skinWeights = weightsOf(SKIN);
const readingWeights = READINGS.map(({ patch }) => weightsOf(patch));
const LIKENESS_SPREAD = 0.12;

/** [N] readings of an aligned face, [112, 112, 3] levels. The same formulas as `readings`, on numbers. */
function readNumbers(rgb: Uint8Array): number[] {
  const mean = (weights: Float32Array, [r, g, b]: readonly [number, number, number]) => {
    let sum = 0;
    for (let i = 0; i < PIXELS; i++)
      if (weights[i])
        sum += (weights[i]! * (r * rgb[i * 3]! + g * rgb[i * 3 + 1]! + b * rgb[i * 3 + 2]!)) / 255;
    return sum;
  };
  const bright = mean(skinWeights, LUMA);
  const skin = [0, 1, 2].map((c) => mean(skinWeights, [c === 0 ? 1 : 0, c === 1 ? 1 : 0, c === 2 ? 1 : 0]));
  return READINGS.map(({ channel, absolute, likeSkin }, n) => {
    const weights = readingWeights[n]!;
    if (!likeSkin) return mean(weights, CHANNELS[channel]) / (absolute ? 1 : bright);
    let sum = 0;
    for (let i = 0; i < PIXELS; i++) {
      if (!weights[i]) continue;
      const off = [0, 1, 2].reduce((s, c) => s + ((rgb[i * 3 + c]! / 255 - skin[c]!) / bright) ** 2, 0);
      sum += weights[i]! * Math.exp(-off / LIKENESS_SPREAD);
    }
    return sum;
  });
}

/** [B, 3, 112, 112] in −1…1 → [B, N] */
function readings(g: Graph, input: Value): Value {
  const A = nodes(g);
  const { add, sub, mul, div, square, exp } = forms(A);
  const flat = add(mul(0.5, g.op('Reshape', [input, g.ints([0, 3, PIXELS])])), 0.5);
  const matrix = (columns: readonly Float32Array[]) =>
    g.floats(Array.from({ length: PIXELS }, (_, i) => columns.map((c) => c[i]!)).flat(), [
      PIXELS,
      columns.length,
    ]);
  const means = g.op('MatMul', [flat, matrix([skinWeights, ...readingWeights])]); // [B, 3, 1 + N]
  const skin = g.op('Slice', [means, g.ints([0]), g.ints([1]), g.ints([2])]); // [B, 3, 1]
  const channelSum = (v: Value) => g.op('ReduceSum', [v, g.ints([1])], { keepdims: 0 });
  const bright = channelSum(mul(skin, g.floats(LUMA, [1, 3, 1]))); // [B, 1]
  const mixed = channelSum(
    mul(
      g.op('Slice', [means, g.ints([1]), g.ints([1 + N]), g.ints([2])]),
      g.floats(
        [0, 1, 2].flatMap((c) => READINGS.map(({ channel }) => CHANNELS[channel][c]!)),
        [1, 3, N],
      ),
    ),
  ); // [B, N]
  const absolute = g.floats(
    READINGS.map((r) => (r.absolute ? 1 : 0)),
    [1, N],
  );
  const relative = div(mixed, add(absolute, mul(sub(1, absolute), bright)));
  const off = channelSum(square(div(sub(flat, skin), g.op('Unsqueeze', [bright, g.ints([2])])))); // [B, pixels]
  const like = g.op('MatMul', [exp(div(off, -LIKENESS_SPREAD)), matrix(readingWeights)]);
  const likeSkin = g.floats(
    READINGS.map((r) => (r.likeSkin ? 1 : 0)),
    [1, N],
  );
  return add(mul(relative, sub(1, likeSkin)), mul(like, likeSkin));
}

/** How readings answer to parameters, measured on the drawing, and undone. */
const calibration = (() => {
  const draw = (change: Readonly<Record<string, number>>) =>
    readNumbers(
      renderScene(
        { planes: { ...nobody, smile: 0.2, hairLength: 0.1, ...change }, colours: {} },
        ALIGNED.side,
        ALIGNED.side,
        {
          unit: ALIGNED.unit,
          x: ALIGNED.x + 0.5,
          y: ALIGNED.y + 0.5,
        },
      ),
    );
  const middle = draw({});
  const isShare = (i: number) => i >= N - 4;
  const slopes = identityNames.map((name, i) => {
    const [low, high] = [draw({ [name]: isShare(i) ? 0 : -0.8 }), draw({ [name]: 0.8 })];
    return middle.map((_, j) => (high[j]! - low[j]!) / (isShare(i) ? 0.8 : 1.6));
  });
  // readings ≈ middle + Σ pᵢ·slopesᵢ, so p = (readings − middle)·slopes⁻¹; to four digits, so that every machine says the same.
  const inverse = invert(slopes).map((row) => row.map((v) => Math.round(v * 1e4) / 1e4));
  return { middle: middle.map((v) => Math.round(v * 1e5) / 1e5), inverse };
})();

/** Gauss–Jordan with pivots. */
function invert(matrix: readonly (readonly number[])[]): number[][] {
  const n = matrix.length;
  const rows = matrix.map((row, i) => [...row, ...Array.from({ length: n }, (_, j) => (i === j ? 1 : 0))]);
  for (let c = 0; c < n; c++) {
    let p = c;
    for (let r = c + 1; r < n; r++) if (Math.abs(rows[r]![c]!) > Math.abs(rows[p]![c]!)) p = r;
    [rows[c], rows[p]] = [rows[p]!, rows[c]!];
    const pivot = rows[c]![c]!;
    rows[c] = rows[c]!.map((v) => v / pivot);
    for (let r = 0; r < n; r++) {
      if (r === c) continue;
      const factor = rows[r]![c]!;
      rows[r] = rows[r]!.map((v, j) => v - factor * rows[c]![j]!);
    }
  }
  return rows.map((row) => row.slice(n));
}

/** Orthonormal [N, 512]: how the parameters are spread over ArcFace's 512 numbers. */
const spread = (() => {
  const random = generator(512).normals(N * 512);
  const rows: Float64Array[] = [];
  for (let i = 0; i < N; i++) {
    let row = Float64Array.from(random.subarray(i * 512, (i + 1) * 512));
    for (const other of rows) {
      const dot = row.reduce((sum, v, j) => sum + v * other[j]!, 0);
      row = row.map((v, j) => v - dot * other[j]!);
    }
    const norm = Math.hypot(...row);
    rows.push(row.map((v) => v / norm));
  }
  return rows;
})();
/** The middle of a population: embeddings are measured from it. */
const CENTRE = identityNames.map((_, i) => (i >= N - 4 ? 0.25 : 0));

/** `faces/w600k_r50.onnx` */
export function recognizer(): Uint8Array {
  const g = new Graph('w600k_r50');
  const input = g.input('input.1', 'float', ['?', 3, 112, 112]);
  const { sub, mul } = forms(nodes(g));
  const { middle, inverse } = calibration;
  const parameters = g.op('MatMul', [
    sub(readings(g, input), g.floats(middle, [1, N])),
    g.floats(inverse.flat(), [N, N]),
  ]);
  const bounded = g.op('Clip', [parameters, g.scalar(-1.6), g.scalar(1.6)]);
  const weighted = mul(
    sub(bounded, g.floats(CENTRE, [1, N])),
    g.floats(
      READINGS.map((r) => GAIN * r.trust),
      [1, N],
    ),
  );
  const out = g.op('MatMul', [
    weighted,
    g.floats(
      spread.flatMap((row) => [...row]),
      [N, 512],
    ),
  ]);
  g.output('683', out, 'float', ['?', 512]);
  return g.bytes();
}

/** `photomaker/id_tokens.onnx`: the recogniser undone, in the places of the context that no word writes. */
export function idTokens(): Uint8Array {
  const g = new Graph('id_tokens');
  const pixels = g.input('id_pixel_values', 'float', ['n', 3, 224, 224]);
  const embeds = g.input('id_embeds', 'float', ['n', 512]);
  const { add, mul } = forms(nodes(g));
  const back = g.floats(Array.from({ length: 512 }, (_, j) => spread.map((row) => row[j]!)).flat(), [512, N]);
  const raw = mul(
    g.op('MatMul', [embeds, back]),
    g.floats(
      READINGS.map((r) => 1 / (GAIN * r.trust)),
      [1, N],
    ),
  );
  const parameters = g.op('Min', [
    g.op('Max', [
      add(raw, g.floats(CENTRE, [1, N])),
      g.floats(
        identityNames.map((_, i) => (i >= N - 4 ? 0 : -1.1)),
        [1, N],
      ),
    ]),
    g.scalar(1.1),
  ]);
  // The photo as a whole says nothing here: all that counts is in the aligned face.
  const one = add(
    1,
    mul(0, g.op('ReduceMean', [g.op('Reshape', [pixels, g.ints([0, -1])]), g.ints([1])], { keepdims: 1 })),
  );
  const token = g.op('Pad', [
    g.op('Concat', [one, parameters], { axis: 1 }),
    g.ints([0, layout.identity, 0, 2 * WIDTH - layout.identity - 1 - N]),
  ]);
  const row = g.op('Unsqueeze', [token, g.ints([1])]);
  g.output('id_tokens', g.op('Concat', [row, row], { axis: 1 }), 'float', ['n', 2, 2 * WIDTH]);
  return g.bytes();
}

/** `photomaker/fuse.onnx`: words and identity are in different places of a row, so their sum keeps both. */
export function idFuse(): Uint8Array {
  const g = new Graph('fuse');
  const words = g.input('class_embeds', 'float', ['k', 2 * WIDTH]);
  const tokens = g.input('id_tokens', 'float', ['k', 2 * WIDTH]);
  g.output('fused_embeds', g.op('Add', [words, tokens]), 'float', ['k', 2 * WIDTH]);
  return g.bytes();
}

/** InsightFace's 106 points on the drawing, units. */
function outline(): { x: number; y: number }[] {
  const points = Array.from({ length: 106 }, () => ({ x: 0, y: 0.3 }));
  const put = (indices: readonly number[], at: (t: number) => [number, number]) => {
    for (const [i, index] of indices.entries()) {
      const [x, y] = at(indices.length > 1 ? i / (indices.length - 1) : 0);
      points[index] = { x, y };
    }
  };
  const jaw = [
    1, 9, 10, 11, 12, 13, 14, 15, 16, 2, 3, 4, 5, 6, 7, 8, 0, 24, 23, 22, 21, 20, 19, 18, 32, 31, 30, 29, 28,
    27, 26, 25, 17,
  ];
  put(jaw, (t) => {
    const angle = Math.PI * 1.03 - Math.PI * 1.06 * t;
    const y = Math.sin(angle);
    return [0.93 * Math.cos(angle) * (1 - 0.15 * Math.max(0, y)), 1.42 * y];
  });
  const ring = (indices: readonly number[], cx: number, cy: number, rx: number, ry: number) =>
    put(indices, (t) => {
      const angle = 2 * Math.PI * t * ((indices.length - 1) / indices.length) + Math.PI;
      return [cx + rx * Math.cos(angle), cy + ry * Math.sin(angle)];
    });
  for (const [side, eye, pupil, brow] of [
    [
      -1,
      [35, 41, 40, 42, 39, 37, 33, 36],
      [34, 38],
      [
        [43, 48, 49, 51, 50],
        [44, 45, 47, 46],
      ],
    ],
    [
      1,
      [89, 95, 94, 96, 93, 91, 87, 90],
      [88, 92],
      [
        [102, 103, 104, 105, 101],
        [97, 98, 99, 100],
      ],
    ],
  ] as const) {
    ring(eye, 0.4 * side, 0, 0.21, 0.1);
    put(pupil, () => [0.4 * side, 0]);
    put(brow[0], (t) => [0.4 * side - 0.28 + 0.56 * t, -0.35 + 0.3 * (t - 0.5) ** 2]);
    put(brow[1], (t) => [0.4 * side - 0.2 + 0.4 * t, -0.27]);
  }
  ring([52, 55, 56, 53, 59, 58, 61, 68, 67, 71, 63, 64], 0, 0.92, 0.33, 0.1);
  ring([65, 54, 60, 57, 69, 70, 62, 66], 0, 0.92, 0.22, 0.03);
  put([72, 73, 74, 86], (t) => [0, 0.4 * t]);
  ring([75, 76, 77, 78, 79, 80, 81, 82, 83, 84, 85], 0, 0.46, 0.17, 0.08);
  return points;
}

/** `faces/2d106det.onnx`: the drawing's points, moved onto this face by its eyes and mouth. */
export function faceLandmarks(): Uint8Array {
  const g = new Graph('2d106det');
  const data = g.input('data', 'float', ['?', 3, 192, 192]);
  const { add, sub, mul } = forms(nodes(g));
  const grey = g.op('Conv', [
    data,
    g.floats(
      LUMA.map((w) => w / 255),
      [1, 3, 1, 1],
    ),
  ]);
  // The crop shows one and a half boxes.
  const unit = 192 / (1.5 * (FACE_BOX.bottom - FACE_BOX.top));
  const start = [96, 96 - (unit * (FACE_BOX.top + FACE_BOX.bottom)) / 2, unit, 0];
  const none = mul(0, g.op('ReduceMean', [grey, g.ints([2, 3])], { keepdims: 0 })); // [B, 1]
  const { settle, refine, column } = fitter(g, grey);
  const placed = add(g.op('Unsqueeze', [none, g.ints([2])]), g.floats(start, [1, 1, 4]));
  const fitted = settle(refine(refine(placed)), FINE_TRIES);
  const [x, y, a, b] = [0, 1, 2, 3].map((i) => column(fitted, i)) as [Value, Value, Value, Value]; // [B, 1, 1]
  const points = outline();
  const us = g.floats(
    points.map((p) => p.x),
    [1, 106, 1],
  );
  const vs = g.floats(
    points.map((p) => p.y),
    [1, 106, 1],
  );
  const px = add(x, sub(mul(a, us), mul(b, vs)));
  const py = add(y, add(mul(b, us), mul(a, vs)));
  const both = sub(mul(1 / 96, g.op('Concat', [px, py], { axis: 2 })), 1);
  g.output('fc1', g.op('Reshape', [both, g.ints([0, 212])]), 'float', ['?', 212]);
  return g.bytes();
}

/** Mouths that are redder than the skin by more than this share of its brightness are read as a woman's: the best for 32 people. */
const LIP_REDNESS = 0.12;

/** `faces/genderage.onnx`: a beard and pale lips speak for a man, red lips for a woman; everybody drawn here is of age. */
export function genderAge(): Uint8Array {
  const g = new Graph('genderage');
  const data = g.input('data', 'float', ['?', 3, 96, 96]);
  const { add, sub, mul, div, max } = forms(nodes(g));
  const unit = 96 / (1.5 * (FACE_BOX.bottom - FACE_BOX.top));
  const origin = 48 - (unit * (FACE_BOX.top + FACE_BOX.bottom)) / 2;
  const mean = (x: number, y: number, r: number) => {
    const range = (centre: number) => [
      Math.round(centre - r * unit),
      Math.max(Math.round(centre + r * unit), Math.round(centre - r * unit) + 1),
    ];
    const [[x0, x1], [y0, y1]] = [range(48 + x * unit), range(origin + y * unit)] as [
      [number, number],
      [number, number],
    ];
    const part = g.op('Slice', [data, g.ints([y0, x0]), g.ints([y1, x1]), g.ints([2, 3])]);
    return g.op('ReduceMean', [part, g.ints([2, 3])], { keepdims: 0 }); // [B, 3]
  };
  const along = (v: Value, weights: readonly number[]) =>
    g.op('ReduceSum', [mul(v, g.floats(weights, [1, 3])), g.ints([1])], { keepdims: 1 });
  const skin = mean(0, -0.13, 0.06);
  const light = max(along(skin, LUMA), 8);
  const beard = sub(1, div(along(mean(0, 1.22, 0.08), LUMA), light));
  const redder = div(along(sub(mean(0, 1.03, 0.04), skin), [1, -1, 0]), light);
  const male = add(beard, mul(4, sub(LIP_REDNESS, redder)));
  const age = add(0.31, mul(0.1, beard));
  g.output('fc1', g.op('Concat', [mul(-1, male), male, age], { axis: 1 }), 'float', ['?', 3]);
  return g.bytes();
}
