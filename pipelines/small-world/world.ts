/**
 * The small world that the reference bundle knows: portraits, drawn by formula. Lengths on the head are in half face heights
 * (u to the right, v down, the face's middle at 0), background coordinates in 0…1. Colours are RGB 0…1.
 *
 * Written over an algebra (arithmetic.ts): the same lines draw photos from numbers, and the network's guess of the picture as an
 * ONNX graph.
 */
import { type Algebra, forms } from './arithmetic.ts';
import { colours, type Rgb, type Trait } from './words.ts';

export type Colour<T> = readonly [T, T, T];

/** What tells one face from another. */
export interface Look<T> {
  readonly skin: Colour<T>;
  readonly lips: Colour<T>;
  readonly iris: Colour<T>;
  readonly brows: Colour<T>;
  /** of the chin: the skin's own, or a beard's */
  readonly chin: Colour<T>;
}

export interface Scene<T> {
  readonly look: Look<T>;
  readonly hair: Colour<T>;
  readonly clothes: Colour<T>;
  readonly hat: Colour<T>;
  readonly background: Colour<T>;
  /** 0…1 each; `smile` −1…1 */
  readonly traits: Readonly<Record<Trait, T>>;
}

/** Where the head is, in px of the drawing (cells of latents, or pixels of a photo). */
export interface Frame<T> {
  readonly x: T;
  readonly y: T;
  /** middle of the face */
  readonly cx: T;
  readonly cy: T;
  /** half the face's height */
  readonly r: T;
  readonly width: T;
  readonly height: T;
}

/** Places on the face, in half face heights: the drawing, the detector and ArcFace's patches agree on them. */
export const places = {
  eye: { u: 0.33, v: -0.08 },
  brow: { u: 0.36, v: -0.3 },
  nose: { u: 0, v: 0.3 },
  mouth: { u: 0.26, v: 0.6 },
  cheek: { u: 0.2, v: 0.4 },
  chin: { u: 0, v: 0.86 },
  /** of the detector's box */
  box: { left: -0.82, top: -0.97, right: 0.82, bottom: 1.03 },
} as const;

/** Half the face's height for a full portrait, of the shorter of height and 1.15 × width. */
export const FACE_SHARE = 0.225;
export const FACE_CENTRE = { x: 0.5, y: 0.41 } as const;

const NATURAL_HAIR = ['black', 'brown', 'chestnut', 'auburn', 'blonde', 'copper', 'grey'].map(
  (name) => colours[name]!,
);
const STUDIO = ['teal', 'lavender', 'sky', 'peach', 'rose', 'mint', 'beige', 'indigo'].map(
  (name) => colours[name]!,
);
const CLOTHING = ['navy', 'emerald', 'crimson', 'cream', 'charcoal', 'plum', 'amber'].map(
  (name) => colours[name]!,
);
const IRIS = ['brown', 'hazel', 'blue', 'emerald', 'grey'].map((name) => colours[name]!);
const SKIN: readonly Rgb[] = [
  [0.97, 0.84, 0.75],
  [0.93, 0.75, 0.62],
  [0.84, 0.63, 0.48],
  [0.68, 0.47, 0.34],
  [0.5, 0.33, 0.24],
  [0.37, 0.24, 0.18],
];
const LIPS: readonly Rgb[] = [
  [0.8, 0.4, 0.4],
  [0.72, 0.3, 0.34],
  [0.86, 0.5, 0.48],
  [0.6, 0.26, 0.28],
];
export const palettes = {
  hair: NATURAL_HAIR,
  background: STUDIO,
  clothes: CLOTHING,
  iris: IRIS,
  skin: SKIN,
  lips: LIPS,
};

export function world<T>(A: Algebra<T>) {
  const { k, add, sub, mul, div, min, max, clamp, mix, square, length, abs, exp, sin, sigmoid, floor } =
    forms(A);
  const rgb = ([r, g, b]: Rgb): Colour<T> => [k(r), k(g), k(b)];
  const map = (c: Colour<T>, f: (v: T, i: number) => T): Colour<T> => [f(c[0], 0), f(c[1], 1), f(c[2], 2)];
  const over = (base: Colour<T>, top: Colour<T>, alpha: T): Colour<T> =>
    map(base, (v, i) => mix(v, top[i]!, alpha));
  const shade = (c: Colour<T>, by: T | number): Colour<T> => map(c, (v) => clamp(mul(v, by)));

  /** One of a palette, chosen by a direction in the plane: near a direction its colour, between two a blend. */
  function pick(palette: readonly Rgb[], a: T, b: T, sharpness = 2.2): Colour<T> {
    const weights = palette.map((_, i) => {
      const angle = (2 * Math.PI * i) / palette.length;
      return exp(mul(sharpness, add(mul(a, Math.cos(angle)), mul(b, Math.sin(angle)))));
    });
    const total = add(...weights);
    const channel = (c: number) =>
      div(add(...palette.map((colour, i) => mul(weights[i]!, colour[c]!))), total);
    return [channel(0), channel(1), channel(2)];
  }

  /** The whole portrait. */
  function portrait(frame: Frame<T>, scene: Scene<T>): Colour<T> {
    const { traits, hair, clothes } = scene;
    const u = div(sub(frame.x, frame.cx), frame.r);
    const v = div(sub(frame.y, frame.cy), frame.r);
    const mask = masks(frame.r);
    const { inside, ellipse } = mask;
    const au = abs(u);

    let picture = background(frame, scene);

    // Hair behind the head. The weights of the styles add up to 1.
    const wave = mul(0.05, mul(sin(mul(u, 11)), sin(mul(v, 11))));
    const cap = ellipse(u, v, 0, -0.17, 0.9, 0.98);
    const down = (to: number, half: number) => inside(max(max(sub(au, half), sub(v, to)), sub(-0.25, v)));
    const styles: Partial<Record<Trait, T>> = {
      short: cap,
      long: max(cap, down(2.15, 0.98)),
      curly: inside(sub(sub(length(div(u, 1.16), div(add(v, 0.12), 1.2)), 1), wave)),
      bob: max(cap, down(0.92, 0.97)),
      bun: max(cap, ellipse(u, v, 0, -1.3, 0.36, 0.34)),
    };
    const behind = add(...Object.entries(styles).map(([style, m]) => mul(traits[style as Trait], m!)));
    picture = over(picture, shade(hair, 0.86), behind);

    // Neck, clothes.
    const neck = inside(max(sub(au, add(0.33, mul(0.1, max(sub(v, 1), 0)))), max(sub(0.5, v), sub(v, 1.9))));
    picture = over(picture, shade(scene.look.skin, 0.84), neck);
    const body = ellipse(u, v, 0, 2.6, 1.9, 1.22);
    const neckline = ellipse(u, v, 0, 1.32, 0.42, 0.36);
    const fold = add(1, mul(0.07, sin(add(mul(u, 5), mul(v, 3)))));
    picture = over(picture, shade(clothes, fold), mul(body, sub(1, neckline)));
    const lapel = inside(
      max(sub(abs(sub(sub(au, mul(0.55, sub(v, 1.15))), 0.12)), 0.1), max(sub(1.2, v), sub(v, 2.1))),
    );
    picture = over(
      picture,
      map(clothes, (c) => mix(c, 1, 0.55)),
      mul(traits.collar, mul(lapel, body)),
    );
    picture = over(picture, shade(clothes, 1.2), mul(traits.scarf, ellipse(u, v, 0, 1.3, 0.72, 0.3)));

    // Ears, face.
    picture = over(
      picture,
      shade(scene.look.skin, 0.92),
      mul(ellipse(au, v, 0.77, 0.04, 0.1, 0.19), sub(1, traits.long)),
    );
    picture = over(picture, rgb(colours.gold!), mul(traits.earrings, ellipse(au, v, 0.79, 0.34, 0.065, 0.1)));
    picture = over(picture, face(u, v, frame.r, scene), faceMask(u, v, frame.r));

    // Hair in front.
    const crown = ellipse(u, v, 0, -0.2, 0.86, 0.93);
    const line = (at: T) => inside(sub(v, at));
    const parted = mul(crown, line(add(-0.6, mul(0.16, u), mul(0.2, square(u)))));
    const fringe = mul(crown, line(add(-0.42, mul(0.06, sin(mul(u, 14))))));
    const high = mul(crown, line(add(-0.68, mul(0.28, square(u)))));
    const curls = mul(crown, line(add(-0.52, mul(0.09, sin(mul(u, 9))), mul(0.2, square(u)))));
    const front = add(
      mul(traits.short, high),
      mul(traits.long, parted),
      mul(traits.curly, curls),
      mul(traits.bob, fringe),
      mul(traits.bun, high),
    );
    const gloss = add(1.02, mul(0.14, sin(add(mul(u, 4), mul(v, 7)))));
    picture = over(picture, shade(hair, gloss), front);

    const dome = mul(ellipse(u, v, 0, -0.62, 0.98, 0.72), line(k(-0.5)));
    const brim = ellipse(u, v, 0, -0.5, 1.2, 0.11);
    picture = over(picture, scene.hat, mul(traits.hat, max(dome, brim)));
    picture = over(
      picture,
      shade(scene.hat, 0.7),
      mul(traits.hat, mul(inside(abs(add(v, 0.64))), mul(dome, 0.8))),
    );

    return light(frame, picture, traits);
  }

  /** The face alone: everything inside its outline. */
  function face(u: T, v: T, r: T, { look, traits }: Pick<Scene<T>, 'look' | 'traits'>): Colour<T> {
    const { ellipse, inside } = masks(r);
    const au = abs(u);
    // Lit from the upper left.
    const lit = sub(1.05, mul(0.13, sigmoid(mul(4, sub(add(u, mul(0.25, v)), 0.3)))));
    let picture = shade(look.skin, lit);

    const spots = mul(sin(mul(u, 43)), sin(add(mul(v, 47), mul(u, 11))));
    const speckled = mul(
      traits.freckles,
      mul(sigmoid(mul(14, sub(spots, 0.55))), ellipse(au, v, 0.36, 0.2, 0.3, 0.2)),
    );
    picture = over(picture, shade(look.skin, 0.72), speckled);
    const blush = exp(mul(-1, add(square(div(sub(au, 0.5), 0.16)), square(div(sub(v, 0.22), 0.13)))));
    picture = over(picture, look.lips, mul(blush, 0.22));

    // Chin or beard: everything below the mouth's height, and around it.
    const jaw = sigmoid(mul(12, sub(v, add(0.52, mul(-0.5, max(sub(au, 0.42), 0))))));
    picture = over(picture, shade(look.chin, lit), mul(jaw, 0.95));

    const side = exp(mul(-1, add(square(div(sub(u, 0.1), 0.05)), square(div(sub(v, 0.1), 0.2)))));
    picture = over(picture, shade(look.skin, 0.82), mul(side, 0.55));
    picture = over(picture, shade(look.skin, 0.74), ellipse(au, v, 0.05, 0.325, 0.055, 0.026));
    picture = over(picture, shade(look.skin, 1.12), mul(0.6, ellipse(u, v, -0.015, 0.26, 0.035, 0.05)));

    // Eyes: white, iris, pupil, glint, lid.
    const { eye, brow } = places;
    const open = ellipse(au, v, eye.u, eye.v, 0.172, 0.094);
    picture = over(picture, shade(look.skin, 0.8), ellipse(au, v, eye.u, eye.v - 0.02, 0.2, 0.13));
    picture = over(picture, rgb([0.97, 0.96, 0.94]), open);
    picture = over(picture, look.iris, mul(open, ellipse(au, v, eye.u, eye.v, 0.092, 0.092)));
    picture = over(picture, rgb([0.06, 0.05, 0.07]), mul(open, ellipse(au, v, eye.u, eye.v, 0.042, 0.042)));
    const leftGlint = ellipse(u, v, -eye.u - 0.032, eye.v - 0.034, 0.022, 0.022);
    const rightGlint = ellipse(u, v, eye.u - 0.032, eye.v - 0.034, 0.022, 0.022);
    picture = over(picture, rgb([1, 1, 1]), max(leftGlint, rightGlint));
    const lid = mul(
      ellipse(au, v, eye.u, eye.v - 0.012, 0.2, 0.118),
      sub(1, ellipse(au, v, eye.u, eye.v + 0.022, 0.19, 0.105)),
    );
    picture = over(picture, rgb([0.12, 0.09, 0.1]), mul(lid, 0.9));
    const arch = add(v, mul(-0.5, square(sub(au, brow.u - 0.04))), mul(-0.1, sub(au, brow.u)));
    picture = over(picture, look.brows, ellipse(au, arch, brow.u, brow.v + 0.01, 0.17, 0.042));

    // Mouth: lips, and the line between them; a smile lifts its corners.
    const bend = sub(v, sub(places.mouth.v, mul(mul(0.1, traits.smile), sub(square(div(u, 0.26)), 0.4))));
    const bow = add(bend, mul(0.012, exp(mul(-1, square(div(u, 0.05))))));
    picture = over(picture, look.lips, ellipse(u, bow, 0, 0.006, 0.25, 0.078));
    picture = over(picture, shade(look.lips, 1.18), mul(0.6, ellipse(u, bend, 0, 0.042, 0.13, 0.024)));
    picture = over(picture, shade(look.lips, 0.45), mul(0.9, ellipse(u, bend, 0, -0.004, 0.235, 0.016)));
    picture = over(picture, shade(look.chin, 0.86), mul(0.6, ellipse(u, bend, 0, 0.13, 0.11, 0.022)));

    const ring = abs(sub(length(div(sub(au, eye.u), 0.255), div(sub(v, eye.v + 0.01), 0.215)), 1));
    const frameMask = max(
      inside(sub(mul(ring, 0.22), 0.02)),
      mul(inside(sub(abs(add(v, 0.1)), 0.018)), inside(sub(au, 0.09))),
    );
    picture = over(picture, rgb([0.13, 0.12, 0.15]), mul(traits.glasses, frameMask));
    return picture;
  }

  /** 1 on the face, with the edge of half a px. */
  function faceMask(u: T, v: T, r: T): T {
    const half = sub(0.78, mul(0.17, square(max(v, 0))));
    return masks(r).inside(sub(length(div(u, half), v), 1));
  }

  /** Shapes with an edge of about one px, where `r` px are the unit. */
  function masks(r: T) {
    const sharp = mul(r, 3);
    /** `distance`: negative inside */
    const inside = (distance: T): T => sigmoid(mul(mul(distance, -1), sharp));
    /** Distance to an ellipse, nearly: exact at its axes, and right in slope everywhere (Quílez). */
    const ellipse = (u: T, v: T, cu: number, cv: number, ru: number, rv: number): T => {
      const [x, y] = [sub(u, cu), sub(v, cv)];
      const near = length(div(x, ru), div(y, rv));
      const slope = length(div(x, ru * ru), div(y, rv * rv));
      return inside(div(mul(near, sub(near, 1)), add(slope, 1e-3)));
    };
    return { inside, ellipse };
  }

  function background(frame: Frame<T>, { background: colour, traits }: Scene<T>): Colour<T> {
    const x = div(frame.x, frame.width);
    const y = div(frame.y, frame.height);
    const aspect = div(frame.width, frame.height);
    const gradient = (top: Rgb, bottom: Rgb, at: T = y): Colour<T> =>
      map(rgb(top), (c, i) => mix(c, bottom[i]!, clamp(at)));
    const step = (at: T, sharpness = 40): T => sigmoid(mul(at, sharpness));
    const tri = (at: T): T => abs(sub(mul(2, sub(at, floor(at))), 1));
    const random = (at: T): T => {
      const s = mul(sin(mul(at, 12.9898)), 43.758);
      return sub(s, floor(s));
    };
    const disc = (cx: number, cy: number, radius: number): T =>
      step(sub(radius, length(sub(x, cx), div(sub(y, cy), aspect))), 90);
    const stars = (amount: number): T =>
      step(
        sub(
          mul(mul(sin(add(mul(x, 57), mul(y, 13))), sin(sub(mul(y, 61), mul(x, 17)))), sin(mul(x, 31))),
          amount,
        ),
        30,
      );

    const far = length(sub(x, 0.45), sub(y, 0.38));
    const plain = shade(colour, sub(1.16, mul(0.5, far)));
    const trunk = step(sub(sin(add(mul(x, 34), mul(2, sin(mul(x, 9))))), 0.72), 9);
    const leaves = mul(sin(add(mul(x, 23), mul(3, sin(mul(y, 7))))), sin(mul(y, 19)));
    const forest = () =>
      over(
        over(
          gradient([0.62, 0.76, 0.5], [0.13, 0.29, 0.19]),
          rgb([0.28, 0.45, 0.24]),
          mul(step(leaves, 5), 0.55),
        ),
        rgb([0.2, 0.17, 0.13]),
        mul(trunk, 0.85),
      );
    const swell = step(sub(sin(add(mul(y, 85), mul(2.5, sin(mul(x, 9))))), 0.55), 6);
    const sea = () =>
      over(
        gradient([0.55, 0.78, 0.93], [0.9, 0.95, 0.96], mul(y, 1.7)),
        over(gradient([0.2, 0.53, 0.68], [0.05, 0.25, 0.42]), rgb([0.75, 0.9, 0.93]), mul(swell, 0.3)),
        step(sub(y, 0.55), 80),
      );
    const block = mul(x, 8);
    const roof = add(0.2, mul(0.38, random(floor(block))));
    const windows = mul(step(sub(sin(mul(x, 150)), 0.35), 8), step(sub(sin(mul(y, 105)), 0.35), 8));
    const city = () =>
      over(
        gradient([0.33, 0.36, 0.58], [0.95, 0.66, 0.5], mul(y, 1.4)),
        over(rgb([0.15, 0.17, 0.27]), rgb([0.99, 0.83, 0.5]), mul(windows, 0.75)),
        step(sub(y, roof), 90),
      );
    const sunset = () =>
      over(
        over(
          gradient([0.32, 0.22, 0.48], [0.97, 0.55, 0.33], mul(y, 1.6)),
          rgb([1, 0.86, 0.55]),
          disc(0.8, 0.42, 0.11),
        ),
        rgb([0.24, 0.16, 0.3]),
        step(sub(y, add(0.62, mul(0.03, sin(mul(x, 9))))), 60),
      );
    const night = () =>
      over(
        over(gradient([0.04, 0.06, 0.17], [0.13, 0.17, 0.36]), rgb([0.95, 0.95, 1]), stars(0.72)),
        rgb([0.97, 0.95, 0.85]),
        disc(0.82, 0.15, 0.08),
      );
    const petals = mul(
      sin(add(mul(x, 29), mul(2, sin(mul(y, 11))))),
      sin(add(mul(y, 27), mul(2, sin(mul(x, 8))))),
    );
    const garden = () =>
      over(
        over(
          gradient([0.72, 0.85, 0.6], [0.3, 0.5, 0.28]),
          rgb([0.93, 0.5, 0.62]),
          step(sub(petals, 0.5), 12),
        ),
        rgb([0.98, 0.86, 0.5]),
        step(sub(mul(petals, -1), 0.72), 12),
      );
    const snow = () => over(gradient([0.7, 0.8, 0.9], [0.94, 0.96, 0.98]), rgb([1, 1, 1]), stars(0.5));
    const ridge = add(0.28, mul(0.3, tri(add(mul(x, 1.7), 0.2))), mul(0.06, tri(mul(x, 6.3))));
    const mountain = () =>
      over(
        gradient([0.5, 0.7, 0.9], [0.88, 0.92, 0.95], mul(y, 1.5)),
        over(rgb([0.36, 0.42, 0.54]), rgb([0.96, 0.97, 0.99]), step(sub(add(ridge, 0.1), y), 40)),
        step(sub(y, ridge), 70),
      );
    const dune = add(0.48, mul(0.09, sin(add(mul(x, 6), 0.8))));
    const desert = () =>
      over(
        gradient([0.5, 0.75, 0.9], [0.98, 0.88, 0.7], mul(y, 1.6)),
        over(
          rgb([0.88, 0.64, 0.36]),
          rgb([0.74, 0.48, 0.25]),
          step(sub(y, add(0.66, mul(0.08, sin(mul(x, 9))))), 30),
        ),
        step(sub(y, dune), 60),
      );
    const squares = mul(sin(mul(x, 8 * Math.PI)), sin(div(mul(y, 8 * Math.PI), aspect)));
    const checkered = () => over(rgb([0.94, 0.93, 0.9]), shade(colour, 0.45), step(squares, 14));
    const cloud = mul(sin(add(mul(x, 6), mul(2, sin(mul(y, 5))))), sin(add(mul(y, 7), mul(x, 3))));
    const space = () =>
      over(
        over(rgb([0.06, 0.04, 0.13]), rgb([0.5, 0.2, 0.55]), mul(0.7, sigmoid(mul(3, cloud)))),
        rgb([0.9, 0.95, 1]),
        stars(0.68),
      );
    let picture = plain;
    const scenes = { forest, sea, city, sunset, night, garden, snow, mountain, desert, space, checkered };
    for (const [name, draw] of Object.entries(scenes)) {
      const weight = traits[name as Trait];
      if (!A.isZero(weight)) picture = over(picture, draw(), clamp(weight));
    }
    return picture;
  }

  function light(frame: Frame<T>, picture: Colour<T>, traits: Scene<T>['traits']): Colour<T> {
    const x = div(frame.x, frame.width);
    const y = div(frame.y, frame.height);
    const grey = add(mul(picture[0], 0.3), mul(picture[1], 0.59), mul(picture[2], 0.11));
    const contrast = clamp(add(0.5, mul(1.25, sub(grey, 0.5))));
    let out = map(picture, (c) => mix(c, contrast, clamp(traits.noir)));
    out = map(out, (c, i) =>
      mul(
        c,
        add(
          1,
          mul(clamp(traits.warm), [0.07, 0, -0.13][i]!),
          mul(clamp(traits.cool), [-0.1, -0.02, 0.09][i]!),
        ),
      ),
    );
    out = map(out, (c) => mix(c, add(0.32, mul(0.66, mix(c, grey, 0.2))), clamp(traits.pastel)));
    const left = mul(clamp(traits.neon), mul(0.42, sigmoid(mul(8, sub(0.38, x)))));
    const right = mul(clamp(traits.neon), mul(0.42, sigmoid(mul(8, sub(x, 0.62)))));
    out = over(over(out, rgb([0.95, 0.16, 0.65]), left), rgb([0.1, 0.75, 0.95]), right);
    const edge = clamp(mul(1.3, length(sub(x, 0.5), sub(y, 0.42))));
    out = map(out, (c) => mul(c, sub(1, mul(clamp(traits.dark), mul(0.75, edge)))));
    return map(out, (c) => clamp(mul(c, add(1, mul(0.1, clamp(traits.bright))))));
  }

  return { portrait, face, faceMask, pick, rgb, over, shade, map, masks };
}
