/**
 * The face networks' parts, made of plain image operators.
 *
 * - Detector: normalised cross-correlation with an average drawn face at many sizes, on a picture of an eighth of the size; it
 *   does not mind how light the skin is. Its nine outputs are SCRFD's.
 * - Recogniser: colours of patches of an aligned face, in 512 mixed numbers. What it reads is what the world draws a face from, so
 *   PhotoMaker's part can undo it.
 * - Landmarks: where the points of a face that fills its box are, whoever it is. Gender and age: from how dark the chin is.
 */
import { normals } from '../noise.ts';
import { Graph, type Value } from './onnx.ts';
import { drawPhoto, person } from './photo.ts';
import { LOOK_SIZE, layout } from './text.ts';
import { places } from './world.ts';

const STRIDES = [8, 16, 32];
const ANCHORS = 2;
/** Half face heights that are looked for, in cells of 8 px: 36 to 290 px in the detector's square. */
const SIZES = Array.from({ length: 18 }, (_, i) => 4.5 * 1.13 ** i);
/** Correlation at which a face is as likely as not. */
const ENOUGH = 0.4;
const CERTAINTY = 30;
/** The face as the template sees it ends a little inside its outline. */
const TEMPLATE = { u: 0.7, top: -0.45, bottom: 0.92 };

/** px of the drawing that templates are measured on, and half the face's height in it. */
const DRAWING = { side: 400, r: 170 } as const;

interface DrawnFace {
  /** brightness, [side, side] */
  readonly grey: Float32Array;
  /** red less blue, [side, side]: skin has much of it whatever its shade, eyes little */
  readonly warmth: Float32Array;
}

/** A few drawn faces, light and dark. */
function drawnFaces(): DrawnFace[] {
  const { side, r } = DRAWING;
  return [0, 2, 3, 4, 5, 6].map((number) => {
    const { look, hair } = person(number);
    const { rgb } = drawPhoto({
      look,
      hair,
      traits: { short: 1 },
      width: side,
      height: side,
      scale: r / (0.225 * side),
      shift: { x: 0, y: 0.09 },
    });
    const of = (f: (r: number, g: number, b: number) => number) =>
      new Float32Array(side * side).map((_, p) => f(rgb[p * 3]!, rgb[p * 3 + 1]!, rgb[p * 3 + 2]!) / 255);
    return {
      grey: of((red, green, blue) => 0.3 * red + 0.59 * green + 0.11 * blue),
      warmth: of((red, _, blue) => red - blue),
    };
  });
}

/** How much brightness varies within a square of `window` px around a place; whatever the skin's shade, eyes and mouth stand out. */
function contrastAt(grey: Float32Array, x: number, y: number, window: number): number {
  const { side } = DRAWING;
  const half = window / 2;
  let [sum, squares, n] = [0, 0, 0];
  for (let j = Math.max(0, Math.round(y - half)); j < Math.min(side, Math.round(y + half)); j++) {
    for (let i = Math.max(0, Math.round(x - half)); i < Math.min(side, Math.round(x + half)); i++) {
      const v = grey[j * side + i]!;
      sum += v;
      squares += v * v;
      n++;
    }
  }
  return n ? Math.sqrt(Math.max(0, squares / n - (sum / n) ** 2)) : 0;
}

/** Side of the window that contrast is measured over, cells, odd: about a third of half a face's height. */
const windowOf = (r: number) => 2 * Math.round(0.15 * r) + 1;

/** Mean within a square of `window` px. */
function meanAt(plane: Float32Array, x: number, y: number, window: number): number {
  const { side } = DRAWING;
  const half = window / 2;
  let [sum, n] = [0, 0];
  for (let j = Math.max(0, Math.round(y - half)); j < Math.min(side, Math.round(y + half)); j++) {
    for (let i = Math.max(0, Math.round(x - half)); i < Math.min(side, Math.round(x + half)); i++) {
      sum += plane[j * side + i]!;
      n++;
    }
  }
  return n ? sum / n : 0;
}

/** The templates at one size: weights that sum to 0 with norm 1 over their mask, and the mask; all [k, k]. `r` in cells. */
function templatesOf(faces: readonly DrawnFace[], r: number) {
  const half = Math.ceil(r);
  const k = 2 * half + 1;
  const mask = new Float64Array(k * k);
  const contrast = new Float64Array(k * k);
  const warmth = new Float64Array(k * k);
  for (let j = 0; j < k; j++) {
    for (let i = 0; i < k; i++) {
      const [u, v] = [(i - half) / r, (j - half) / r];
      if (
        v < TEMPLATE.top ||
        v > TEMPLATE.bottom ||
        Math.abs(u) > TEMPLATE.u * (1 - 0.25 * Math.max(0, v) ** 2)
      )
        continue;
      const [x, y] = [DRAWING.side / 2 + u * DRAWING.r, DRAWING.side / 2 + v * DRAWING.r];
      const mean = (measure: (face: DrawnFace) => number) =>
        faces.reduce((sum, face) => sum + measure(face), 0) / faces.length;
      contrast[j * k + i] = mean(({ grey }) => contrastAt(grey, x, y, (windowOf(r) * DRAWING.r) / r));
      // Of each face in its own terms, or the light ones alone would speak.
      warmth[j * k + i] = mean(
        ({ warmth: w }) =>
          meanAt(w, x, y, DRAWING.r / r) /
          meanAt(w, DRAWING.side / 2 - 0.2 * DRAWING.r, DRAWING.side / 2 + 0.4 * DRAWING.r, 10),
      );
      mask[j * k + i] = 1;
    }
  }
  const n = mask.reduce((a, b) => a + b);
  const normed = (values: Float64Array) => {
    const mean = values.reduce((a, b) => a + b) / n;
    const centred = values.map((v, p) => (mask[p] ? v - mean : 0));
    const norm = Math.hypot(...centred);
    return centred.map((v) => v / norm);
  };
  return { k, n, mask, contrast: normed(contrast), warmth: normed(warmth) };
}

/** `faces/det_10g.onnx` */
export function detector(): Uint8Array {
  const g = new Graph('det_10g');
  const input = g.input('input.1', 'float', [1, 3, '?', '?']);
  const add = (a: Value, b: Value) => g.op('Add', [a, b]);
  const sub = (a: Value, b: Value) => g.op('Sub', [a, b]);
  const mul = (a: Value, b: Value) => g.op('Mul', [a, b]);
  const k = (value: number) => g.scalar(value);

  const small = g.op('AveragePool', [input], { kernel_shape: [8, 8], strides: [8, 8] });
  const fine = g.op('Conv', [input, g.floats([0.3, 0.59, 0.11], [1, 3, 1, 1])]);
  const eighth = (x: Value) => g.op('AveragePool', [x], { kernel_shape: [8, 8], strides: [8, 8] });
  const [first, second] = [eighth(fine), eighth(mul(fine, fine))];
  const warmth = g.op('Conv', [small, g.floats([1, 0, -1], [1, 3, 1, 1])]);
  const faces = drawnFaces();
  const correlations = SIZES.map((r) => {
    const template = templatesOf(faces, r);
    const pads = Array<number>(4).fill((template.k - 1) / 2);
    const conv = (x: Value, w: ArrayLike<number>) =>
      g.op('Conv', [x, g.floats(w, [1, 1, template.k, template.k])], { pads });
    const even = template.mask.map((m) => m / template.n);
    /** Correlation of a plane with weights; a flat patch has no pattern to agree with. */
    const agreement = (x: Value, weights: ArrayLike<number>, flat: number) => {
      const mean = conv(x, even);
      const variance = g.op('Max', [sub(conv(mul(x, x), even), mul(mean, mean)), k(0)]);
      return g.op('Div', [
        conv(x, weights),
        mul(add(g.op('Sqrt', [variance]), k(flat)), k(Math.sqrt(template.n))),
      ]);
    };
    // Contrast over a window that grows with the face.
    const window = windowOf(r);
    const around = (x: Value) =>
      g.op('AveragePool', [x], {
        kernel_shape: [window, window],
        pads: Array(4).fill((window - 1) / 2),
        strides: [1, 1],
        count_include_pad: 0,
      });
    const contrast = g.op('Sqrt', [
      g.op('Max', [sub(around(second), mul(around(first), around(first))), k(0)]),
    ]);
    const seen = add(
      mul(agreement(contrast, template.contrast, 0.02), k(0.4)),
      mul(agreement(warmth, template.warmth, 0.03), k(0.6)),
    );
    const warm = g.op('Sigmoid', [mul(sub(conv(warmth, even), k(0.1)), k(60))]);
    return mul(seen, warm);
  });
  const all = g.op('Concat', correlations, { axis: 1 }); // [1, S, h, w]
  // The size: a mean over those that agree about as well as the best.
  const best = g.op('ReduceMax', [all, g.ints([1])], { keepdims: 1 });
  const shares = g.op('Softmax', [mul(all, k(60))], { axis: 1 });
  const logR = g.op(
    'ReduceSum',
    [mul(shares, g.floats(SIZES.map(Math.log), [1, SIZES.length, 1, 1])), g.ints([1])],
    { keepdims: 1 },
  );
  // Half a step of the sizes is lost where an edge is blurred.
  const r = mul(g.op('Exp', [logR]), k(1.05)); // [1, 1, h, w], in cells of 8 px, as strides of 8 are
  // A place within a better face is not a face of its own: neither beside its middle nor in its mouth.
  const reach = (x: Value, half: number) => {
    const size = 2 * half + 1;
    const across = g.op('MaxPool', [x], {
      kernel_shape: [1, size],
      pads: [0, half, 0, half],
      strides: [1, 1],
    });
    return g.op('MaxPool', [across], { kernel_shape: [size, 1], pads: [half, 0, half, 0], strides: [1, 1] });
  };
  const peak = g.op(
    'Max',
    SIZES.map((r, i) => reach(correlations[i]!, Math.max(2, Math.round(1.35 * r)))),
  );
  const isPeak = g.op('Cast', [g.op('GreaterOrEqual', [best, peak])], { to: 1 });
  const score = mul(g.op('Sigmoid', [mul(sub(best, k(ENOUGH)), k(CERTAINTY))]), isPeak);
  // Where within its cell: the mean of the places around, by how well they agree.
  const pull = (kernel: number[]) => {
    const sharp = g.op('Exp', [mul(best, k(50))]);
    const conv = (w: number[]) => g.op('Conv', [sharp, g.floats(w, [1, 1, 3, 3])], { pads: [1, 1, 1, 1] });
    return g.op('Div', [conv(kernel), add(conv(Array(9).fill(1)), k(1e-20))]);
  };
  const dx = add(pull([-1, 0, 1, -1, 0, 1, -1, 0, 1]), k(0.5));
  const dy = add(pull([-1, -1, -1, 0, 0, 0, 1, 1, 1]), k(0.5));

  const rows = (channels: Value[], width: number, stride: number): Value => {
    const flat = g.op('Concat', channels, { axis: 1 }); // [1, width, h, w]
    const pooled =
      stride === 8
        ? flat
        : g.op('MaxPool', [flat], {
            kernel_shape: [stride / 8, stride / 8],
            strides: [stride / 8, stride / 8],
          });
    const list = g.op('Reshape', [
      g.op('Transpose', [pooled], { perm: [0, 2, 3, 1] }),
      g.ints([-1, 1, width]),
    ]);
    // Both anchors of a cell say the same; only the first says how sure.
    return g.op('Reshape', [
      g.op('Concat', Array<Value>(ANCHORS).fill(list), { axis: 1 }),
      g.ints([-1, width]),
    ]);
  };
  const { box, eye, nose, mouth } = places;
  const along = (offset: Value, at: number) => add(offset, mul(r, k(at)));
  const outputs: [number, Value[]][] = [
    [1, [score]],
    [
      4,
      [
        sub(mul(r, k(-box.left)), dx),
        sub(mul(r, k(-box.top)), dy),
        along(dx, box.right),
        along(dy, box.bottom),
      ],
    ],
    [
      10,
      (
        [
          [-eye.u, eye.v],
          [eye.u, eye.v],
          [nose.u, nose.v],
          [-mouth.u, mouth.v],
          [mouth.u, mouth.v],
        ] as const
      ).flatMap(([u, v]) => [along(dx, u), along(dy, v)]),
    ],
  ];
  let name = 448;
  for (const [width, channels] of outputs) {
    for (const stride of STRIDES) {
      const value = rows(channels, width, stride);
      // Sizes are all found at the finest stride; the others are there and say nothing.
      const said = width === 1 && stride !== 8 ? mul(value, k(0)) : value;
      g.output(String(name++), said, 'float', ['?', width]);
    }
  }
  return g.bytes();
}

/** Patches that tell faces apart, in half face heights: mean of both sides. Order of the look: skin, lips, iris, brows, chin. */
const PATCHES = [
  { u: places.cheek.u, v: places.cheek.v, radius: 0.075 },
  { u: 0.07, v: places.mouth.v + 0.04, radius: 0.04 },
  { u: places.eye.u, v: places.eye.v, radius: 0.07 },
  { u: places.brow.u - 0.03, v: places.brow.v + 0.01, radius: 0.05 },
  { u: 0.06, v: places.chin.v - 0.04, radius: 0.06 },
];
/** In ArcFace's 112 px: its eyes are 35.2 px apart, which is twice `eye.u`. */
const UNIT_112 = (73.5318 - 38.2946) / (2 * places.eye.u);
const CENTRE_112 = { x: 55.9, y: 51.6 - places.eye.v * UNIT_112 };
/** What an average face gives, so that the numbers say how one differs. */
const MEAN_LOOK = [0.72, 0.55, 0.45, 0.7, 0.36, 0.37, 0.42, 0.4, 0.38, 0.35, 0.24, 0.19, 0.66, 0.5, 0.41];
const GAIN = 60;

/** An orthonormal [15, 512]: how the look is spread over ArcFace's 512. */
function spreading(): Float64Array[] {
  const random = normals(20_240).draw(LOOK_SIZE * 512);
  const rows: Float64Array[] = [];
  for (let i = 0; i < LOOK_SIZE; i++) {
    const row = Float64Array.from(random.subarray(i * 512, (i + 1) * 512));
    for (const other of rows) {
      const dot = row.reduce((sum, v, j) => sum + v * other[j]!, 0);
      for (let j = 0; j < 512; j++) row[j] = row[j]! - dot * other[j]!;
    }
    const norm = Math.hypot(...row);
    rows.push(row.map((v) => v / norm));
  }
  return rows;
}

/** `faces/w600k_r50.onnx` */
export function recognizer(): Uint8Array {
  const g = new Graph('w600k_r50');
  const input = g.input('input.1', 'float', ['batch_size', 3, 112, 112]);
  // [112·112, patches]: a soft disc on each side.
  const weights = new Float64Array(112 * 112 * PATCHES.length);
  for (const [j, { u, v, radius }] of PATCHES.entries()) {
    let sum = 0;
    const own: [number, number][] = [];
    for (let p = 0; p < 112 * 112; p++) {
      const pu = ((p % 112) + 0.5 - CENTRE_112.x) / UNIT_112;
      const pv = (Math.floor(p / 112) + 0.5 - CENTRE_112.y) / UNIT_112;
      const w = Math.exp(-((Math.abs(pu) - u) ** 2 + (pv - v) ** 2) / (2 * (radius / 1.6) ** 2));
      if (w < 1e-3) continue;
      own.push([p, w]);
      sum += w;
    }
    for (const [p, w] of own) weights[p * PATCHES.length + j] = w / sum;
  }
  const flat = g.op('Reshape', [input, g.ints([0, 3, 112 * 112])]);
  const means = g.op('MatMul', [flat, g.floats(weights, [112 * 112, PATCHES.length])]); // [B, 3, patches]
  const look = g.op('Reshape', [g.op('Transpose', [means], { perm: [0, 2, 1] }), g.ints([0, LOOK_SIZE])]);
  // From −1…1 to 0…1, less the average.
  const own = g.op('Sub', [
    g.op('Mul', [g.op('Add', [look, g.scalar(1)]), g.scalar(0.5)]),
    g.floats(MEAN_LOOK, [1, LOOK_SIZE]),
  ]);
  const spread = spreading();
  const out = g.op('MatMul', [
    g.op('Mul', [own, g.scalar(GAIN)]),
    g.floats(
      spread.flatMap((row) => [...row]),
      [LOOK_SIZE, 512],
    ),
  ]);
  g.output('683', out, 'float', ['batch_size', 512]);
  return g.bytes();
}

/**
 * `photomaker/id_tokens.onnx`: undoes the recogniser. A patch is not only what it is named after: the eye's holds pupil and white,
 * the brow's some skin; that is undone as well.
 */
export function idTokens(): Uint8Array {
  const g = new Graph('id_tokens');
  const pixels = g.input('id_pixel_values', 'float', ['n', 3, 224, 224]);
  const embeds = g.input('id_embeds', 'float', ['n', 512]);
  const spread = spreading();
  const back = Array.from({ length: 512 }, (_, i) => spread.map((row) => row[i]!)).flat();
  const look = g.op('Add', [
    g.op('Div', [g.op('MatMul', [embeds, g.floats(back, [512, LOOK_SIZE])]), g.scalar(GAIN)]),
    g.floats(MEAN_LOOK, [1, LOOK_SIZE]),
  ]);
  const { matrix, bias } = unmixing();
  const own = g.op('Clip', [
    g.op('Add', [
      g.op('MatMul', [look, g.floats(matrix, [LOOK_SIZE, LOOK_SIZE])]),
      g.floats(bias, [1, LOOK_SIZE]),
    ]),
    g.scalar(0),
    g.scalar(1),
  ]);
  // The photo as a whole is looked at and says nothing: all that counts here is in the aligned face.
  const unread = g.op('Mul', [g.op('ReduceMean', [pixels, g.ints([1, 2, 3])], { keepdims: 0 }), g.scalar(0)]);
  const one = g.op('Add', [g.op('Unsqueeze', [unread, g.ints([1])]), g.scalar(1)]);
  const before = layout.identity;
  const after = layout.width - before - 1 - LOOK_SIZE;
  const token = g.op('Pad', [g.op('Concat', [one, own], { axis: 1 }), g.ints([0, before, 0, after])]);
  const both = g.op('Unsqueeze', [token, g.ints([1])]);
  g.output('id_tokens', g.op('Concat', [both, both], { axis: 1 }), 'float', ['n', 2, layout.width]);
  return g.bytes();
}

/** Patch colours to the colours they were drawn from: a patch is a mixture, measured on the drawing itself. */
function unmixing(): { matrix: number[]; bias: number[] } {
  // [patch][part]: how much of each part's colour is in a patch; and a rest that does not depend on the person.
  const share = [
    [1, 0, 0, 0, 0],
    [0, 0.94, 0, 0, 0],
    [0, 0, 0.62, 0, 0],
    [0.2, 0, 0, 0.8, 0],
    [0, 0, 0, 0, 0.95],
  ];
  const rest = [0, 0, 0.13, 0, 0];
  const matrix = new Array<number>(LOOK_SIZE * LOOK_SIZE).fill(0);
  const bias = new Array<number>(LOOK_SIZE).fill(0);
  const direct = [1, 0.94, 0.62, 0.8, 0.95];
  for (let part = 0; part < 5; part++) {
    for (let c = 0; c < 3; c++) {
      const to = part * 3 + c;
      matrix[to * LOOK_SIZE + to] = 1 / direct[part]!;
      // Skin between the hairs of a brow is not the brow's.
      if (part === 3) matrix[c * LOOK_SIZE + to] = -share[3]![0]! / direct[3]!;
      bias[to] = -rest[part]! / direct[part]!;
    }
  }
  return { matrix, bias };
}

/** `photomaker/fuse.onnx`: text rows have nothing where ID tokens have theirs, so that adding keeps both. */
export function idFuse(): Uint8Array {
  const g = new Graph('fuse');
  const text = g.input('class_embeds', 'float', ['k', layout.width]);
  const id = g.input('id_tokens', 'float', ['k', layout.width]);
  g.output('fused_embeds', g.op('Add', [text, id]), 'float', ['k', layout.width]);
  return g.bytes();
}

/** `faces/2d106det.onnx` */
export function faceLandmarks(): Uint8Array {
  const g = new Graph('2d106det');
  const data = g.input('data', 'float', ['batch_size', 3, 192, 192]);
  const unread = g.op('Mul', [g.op('ReduceMean', [data, g.ints([1, 2, 3])], { keepdims: 0 }), g.scalar(0)]);
  const points = meanShape().flatMap(({ x, y }) => [x, y]);
  const out = g.op('Add', [g.op('Unsqueeze', [unread, g.ints([1])]), g.floats(points, [1, 212])]);
  g.output('fc1', out, 'float', ['batch_size', 212]);
  return g.bytes();
}

/** InsightFace's 106 points on the average face, as its network gives them: −1…1 over one and a half boxes. */
function meanShape(): { x: number; y: number }[] {
  const { box, eye, brow, mouth } = places;
  const size = 1.5 * Math.max(box.right - box.left, box.bottom - box.top);
  const middle = { u: (box.left + box.right) / 2, v: (box.top + box.bottom) / 2 };
  const at = (u: number, v: number) => ({ x: ((u - middle.u) / size) * 2, y: ((v - middle.v) / size) * 2 });
  const points = Array.from({ length: 106 }, () => at(0, 0));
  const jaw = [
    1, 9, 10, 11, 12, 13, 14, 15, 16, 2, 3, 4, 5, 6, 7, 8, 0, 24, 23, 22, 21, 20, 19, 18, 32, 31, 30, 29, 28,
    27, 26, 25, 17,
  ];
  for (const [i, index] of jaw.entries()) {
    // From the image-left temple (just above the eyes) around the chin.
    const angle = Math.PI + 0.15 - ((Math.PI + 0.3) * i) / (jaw.length - 1);
    const v = Math.sin(angle) * 1.0;
    const half = 0.78 - 0.17 * Math.max(v, 0) ** 2;
    points[index] = at(half * Math.cos(angle), v);
  }
  const ring = (indices: number[], u: number, v: number, ru: number, rv: number) => {
    for (const [i, index] of indices.entries()) {
      const angle = (2 * Math.PI * i) / indices.length;
      points[index] = at(u + ru * Math.cos(angle), v + rv * Math.sin(angle));
    }
  };
  ring([35, 36, 33, 37, 39, 42, 40, 41], -eye.u, eye.v, 0.17, 0.09);
  ring([89, 90, 87, 91, 93, 96, 94, 95], eye.u, eye.v, 0.17, 0.09);
  for (const i of [34, 38]) points[i] = at(-eye.u, eye.v);
  for (const i of [88, 92]) points[i] = at(eye.u, eye.v);
  const arch = (indices: number[], sign: number) => {
    for (const [i, index] of indices.entries()) {
      const t = i / (indices.length - 1);
      points[index] = at(sign * (brow.u + 0.2 - 0.4 * t), brow.v - 0.05 * Math.sin(Math.PI * t));
    }
  };
  arch([43, 48, 49, 51, 50], -1);
  arch([44, 45, 47, 46], -1);
  arch([101, 105, 104, 103, 102], 1);
  arch([97, 98, 99, 100], 1);
  ring([61, 58, 59, 53, 56, 55, 52, 64, 63, 71, 67, 68], 0, mouth.v, mouth.u, 0.08);
  ring([62, 60, 57, 54, 65, 66, 70, 69], 0, mouth.v, 0.2, 0.04);
  for (const [i, index] of [72, 73, 74, 86].entries()) points[index] = at(0, -0.1 + 0.12 * i);
  ring([75, 76, 77, 78, 79, 80, 81, 82, 83, 84, 85], 0, 0.28, 0.12, 0.08);
  return points;
}

/** `faces/genderage.onnx` */
export function genderAge(): Uint8Array {
  const g = new Graph('genderage');
  const data = g.input('data', 'float', ['batch_size', 3, 96, 96]);
  const slice = (top: number, bottom: number) =>
    g.op(
      'ReduceMean',
      [g.op('Slice', [data, g.ints([top, 42]), g.ints([bottom, 54]), g.ints([2, 3])]), g.ints([1, 2, 3])],
      { keepdims: 0 },
    );
  // The chin against the nose: a beard is darker.
  const darker = g.op('Unsqueeze', [
    g.op('Div', [g.op('Sub', [slice(50, 56), slice(70, 76)]), g.scalar(40)]),
    g.ints([1]),
  ]);
  const female = g.op('Sub', [g.scalar(0.5), darker]);
  const age = g.op('Add', [g.op('Mul', [darker, g.scalar(0.05)]), g.scalar(0.3)]);
  g.output('fc1', g.op('Concat', [female, darker, age], { axis: 1 }), 'float', ['batch_size', 3]);
  return g.bytes();
}

/**
 * `safety/model.onnx`: how many corners of a checkerboard there are. Two by two squares of alternating sign answer to nothing
 * but such corners: along any plain edge they cancel.
 */
export function safety(): Uint8Array {
  const g = new Graph('safety');
  const pixels = g.input('pixel_values', 'float', ['batch_size', 3, 224, 224]);
  const SQUARE = 8;
  const kernel = Array.from({ length: 4 * SQUARE * SQUARE }, (_, p) => {
    const [x, y] = [p % (2 * SQUARE), Math.floor(p / (2 * SQUARE))];
    return (x < SQUARE === y < SQUARE ? 1 : -1) / (4 * SQUARE * SQUARE);
  });
  const grey = g.op('Conv', [pixels, g.floats([0.3, 0.59, 0.11], [1, 3, 1, 1])]);
  const corner = g.op('Abs', [g.op('Conv', [grey, g.floats(kernel, [1, 1, 2 * SQUARE, 2 * SQUARE])])]);
  const strong = g.op('Sigmoid', [g.op('Mul', [g.op('Sub', [corner, g.scalar(0.3)]), g.scalar(40)])]);
  const share = g.op('ReduceMean', [strong, g.ints([1, 2, 3])], { keepdims: 0 });
  const logit = g.op('Unsqueeze', [
    g.op('Mul', [g.op('Sub', [share, g.scalar(0.012)]), g.scalar(500)]),
    g.ints([1]),
  ]);
  g.output('logits', g.op('Concat', [g.op('Neg', [logit]), logit], { axis: 1 }), 'float', ['batch_size', 2]);
  return g.bytes();
}
