/**
 * The small world: one person before one background, drawn in closed form. Photos for tests and the network's own pictures
 * are this same drawing, over numbers or over graph nodes (`algebra.ts`).
 *
 * Lengths are in units of about half a face's width: the eyes are 0.8 apart, at the origin; y grows downwards.
 */
import { type Algebra, forms, type Rgb } from './algebra.ts';
import { hex } from './words.ts';

/** What makes a face this person's, −1…1 each unless said. */
export const identityNames = [
  'tone',
  'warmth',
  'jaw',
  'eyeSize',
  'irisBlue',
  'irisGreen',
  'brow',
  'nose',
  'lipFull',
  'lipRed',
  // From here on 0…1.
  'freckles',
  'blush',
  'mole',
  'beard',
] as const;

export const poseNames = ['dx', 'dy', 'zoom', 'tilt'] as const;

/** 0…1 each; `smile` −1…1 */
export const styleNames = [
  'hairLength',
  'curly',
  'fringe',
  'bun',
  'bald',
  'volume',
  'smile',
  'glasses',
  'hat',
  'earrings',
  'collar',
  'scarf',
  'age',
] as const;

export const sceneNames = [
  'forest',
  'sea',
  'city',
  'sunset',
  'night',
  'garden',
  'snow',
  'mountain',
  'desert',
  'checkered',
  'space',
] as const;

/** 0…1: how the whole is graded; `empty` leaves the person out. */
export const moodNames = [
  'pastel',
  'noir',
  'warm',
  'cool',
  'neon',
  'dark',
  'bright',
  'empty',
  'eyesTinted',
  'lipsTinted',
  'light',
] as const;

export const planeNames = [
  ...poseNames,
  ...identityNames,
  ...styleNames,
  ...sceneNames,
  ...moodNames,
] as const;
export type PlaneName = (typeof planeNames)[number];

export const colourNames = ['hair', 'background', 'clothes', 'hat', 'eyes', 'lips'] as const;
export type ColourName = (typeof colourNames)[number];

/** Where samples are. */
export interface View<T> {
  /** units right of the face's usual middle */
  readonly x: T;
  /** units below the eyes' usual height */
  readonly y: T;
  /** units between samples: how soft an edge is */
  readonly soft: T;
}

/** A square frame is so many units wide; `CROP_FACTOR` times a face's box, so that a face's crop is framed as a portrait is. */
export const FRAME = 4.8;
/** units of the frame above the eyes */
export const HEADROOM = 2.15;
/** share of a tall picture's extra height that is above */
export const EXTRA_ABOVE = 0.3;
/** A face's box, units from between the eyes: its middle is the square frame's, its height half of it. */
export const FACE_BOX = { left: -1, right: 1, top: -0.95, bottom: 1.45 } as const;

/** Pixels a unit, and the eyes' usual place, px. */
export function framing(width: number, height: number) {
  const unit = Math.min(width, height) / FRAME;
  return { unit, x: width / 2, y: HEADROOM * unit + EXTRA_ABOVE * Math.max(0, height - width) };
}

const rgb = (value: string): Rgb => hex(value);

export function drawWorld<T, C>(
  A: Algebra<T, C>,
  { x: X, y: Y, soft }: View<T>,
  p: Readonly<Record<PlaneName, T>>,
  c: Readonly<Record<ColourName, C>>,
): C {
  const f = forms(A);
  const { k, add, sub, mul, div, min, max, mix, square, length, not, ramp, bump, abs, sin, floor, clip } = f;
  const paint = (under: C, over: C, mask: T) => A.mixColours(under, over, mask);
  const constant = (value: string) => A.colour(rgb(value));
  /** 1 inside a shape, from its signed distance; the edge is one sample wide */
  const inside = (distance: T, width: T | number = soft): T => clip(sub(0.5, div(distance, width)));
  const ellipse = (x: T, y: T, a: T | number, b: T | number, size: number): T =>
    mul(sub(length(div(x, a), div(y, b)), 1), size);
  const stroke = (distance: T, half: T | number): T => inside(sub(abs(distance), half));

  // ---- the background, in the picture's own frame -------------------------------------------------------------------
  const scene = background();

  // ---- the person's frame --------------------------------------------------------------------------------------------
  // Small turns: cos ≈ 1 − t²/2, sin ≈ t.
  const cos = sub(1, mul(0.5, square(p.tilt)));
  const [px, py] = [div(sub(X, p.dx), p.zoom), div(sub(Y, p.dy), p.zoom)];
  // Heads turn about the neck.
  const py0 = sub(py, 1.6);
  const x = add(mul(cos, px), mul(p.tilt, py0));
  const y = add(sub(mul(cos, py0), mul(p.tilt, px)), 1.6);
  const ax = abs(x);

  // ---- colours of the person -----------------------------------------------------------------------------------------
  const skinLight = A.mixColours(constant('f2c9ac'), constant('f4cfa0'), add(0.5, mul(0.5, p.warmth)));
  const skinMiddle = A.mixColours(constant('c98d6e'), constant('cf9560'), add(0.5, mul(0.5, p.warmth)));
  const skinDeep = A.mixColours(constant('78493a'), constant('7d4f31'), add(0.5, mul(0.5, p.warmth)));
  const skin = paint(paint(skinLight, skinMiddle, clip(add(p.tone, 1))), skinDeep, clip(p.tone));
  const skinShade = A.scaleColour(paint(skin, constant('8c3b2e'), k(0.16)), k(0.8));
  const iris = paint(
    paint(
      paint(constant('5a3a22'), constant('4f8fd0'), clip(p.irisBlue)),
      constant('5f9a55'),
      clip(mul(0.85, p.irisGreen)),
    ),
    c.eyes,
    p.eyesTinted,
  );
  const lipColour = paint(
    paint(paint(skin, constant('b5564e'), k(0.62)), constant('b01f35'), clip(mul(0.62, add(p.lipRed, 0.6)))),
    c.lips,
    p.lipsTinted,
  );
  const hairColour = paint(c.hair, constant('b9b6b4'), mul(0.7, p.age));
  const hairDark = A.scaleColour(hairColour, k(0.62));
  const browColour = paint(A.scaleColour(c.hair, k(0.55)), constant('2a1d18'), k(0.5));

  // ---- shapes --------------------------------------------------------------------------------------------------------
  const down = max(y, 0);
  const t = add(div(down, 1.42), div(min(y, 0), 1.3));
  const taper = sub(1, mul(sub(0.16, mul(0.13, p.jaw)), clip(mul(1.15, div(down, 1.42)))));
  const headDistance = mul(sub(length(div(x, mul(0.92, taper)), t), 1), 1.05);
  const head = inside(headDistance);
  const wave = mul(
    p.curly,
    add(mul(0.07, sin(add(mul(9, y), mul(4, ax)))), mul(0.05, sin(sub(mul(13, x), mul(6, y))))),
  );
  const bulk = add(0.14, mul(0.22, p.volume), mul(0.14, p.curly));
  const withHair = not(p.bald);

  let picture = scene;

  // Hair behind the head: a cap and, for long hair, curtains down to the shoulders.
  const capDistance = add(ellipse(x, add(y, 0.2), add(0.93, bulk), add(1.14, bulk), 1.05), wave);
  const fall = mix(0.35, 2.55, p.hairLength);
  const flare = add(
    0.84,
    bulk,
    mul(0.1, max(min(y, 1.5), 0)),
    mul(-0.5, square(max(sub(y, sub(fall, 0.6)), 0))),
  );
  const curtainDistance = max(
    add(sub(ax, flare), wave),
    mul(-1, add(y, 0.25)),
    add(sub(y, fall), mul(0.1, ax)),
  );
  const cap = mul(inside(capDistance), inside(sub(y, max(0.42, fall))));
  const back = mul(max(cap, mul(inside(curtainDistance), ramp(p.hairLength, 0.12, 0.2))), withHair);
  const bunShape = mul(
    inside(add(ellipse(x, add(y, 1.62), 0.44, 0.4, 0.42), mul(0.5, wave))),
    mul(p.bun, withHair),
  );
  const strands = add(
    mul(0.55, sin(add(mul(21, x), mul(3, sin(mul(2.3, y)))))),
    mul(0.45, sin(add(mul(37, x), mul(5, y)))),
  );
  const backHair = A.scaleColour(hairDark, add(1, mul(0.07, strands)));
  picture = paint(picture, backHair, max(back, bunShape));
  const bunShine = mul(bunShape, bump(div(length(add(x, 0.1), add(y, 1.72)), 0.2)));
  picture = paint(picture, hairColour, mul(0.6, bunShine));

  // Body.
  const bodyDistance = min(
    ellipse(px, min(sub(py, 3.4), 0), 1.95, 1.42, 1.4),
    ellipse(px, min(sub(py, 2.35), 0), 0.62, 0.5, 0.5),
  );
  const body = inside(bodyDistance);
  const folds = add(
    mul(0.1, sub(0.2, px)),
    mul(-0.1, clip(mul(0.7, sub(py, 2.4)))),
    mul(-0.16, bump(div(sub(abs(px), sub(1.42, mul(0.06, py))), 0.07)), ramp(py, 2.8, 3.2)),
  );
  const cloth = A.scaleColour(c.clothes, add(1, folds));
  // Neck, and the skin that a neckline shows.
  const neckWidth = add(0.4, mul(0.06, p.jaw), mul(0.22, square(ramp(py, 1.5, 2.2))));
  const neck = mul(inside(sub(abs(px), neckWidth)), inside(sub(0.7, py)), inside(sub(py, 2.02)));
  const vNeck = inside(max(sub(abs(px), mul(0.62, sub(add(2.62, mul(0.35, p.collar)), py))), sub(1.6, py)));
  const roundNeck = inside(ellipse(px, sub(py, 2.02), 0.6, 0.42, 0.45));
  const opening = mix(roundNeck, vNeck, p.collar);
  const chinShadow = mul(
    add(mul(0.85, inside(ellipse(sub(px, 0.05), sub(py, 1.1), 0.72, 0.72, 0.72), k(0.28))), 0.08),
    ramp(mul(-1, py), -2.6, -1.2),
  );
  picture = paint(picture, cloth, body);
  const shirt = paint(constant('f3efe8'), c.clothes, k(0.12));
  const shirtShape = mul(inside(max(sub(abs(px), mul(0.72, sub(3.45, py))), sub(1.85, py))), body, p.collar);
  picture = paint(picture, shirt, shirtShape);
  const lapel = mul(
    stroke(sub(abs(px), mul(0.72, sub(3.45, py))), 0.035),
    ramp(py, 2.05, 2.2),
    p.collar,
    body,
  );
  picture = paint(picture, A.scaleColour(c.clothes, k(0.6)), lapel);
  const neckSkin = A.mixColours(skin, skinShade, clip(chinShadow));
  picture = paint(picture, neckSkin, max(mul(neck, max(not(body), opening)), mul(opening, body)));
  const hem = mul(
    stroke(ellipse(px, sub(py, 2.02), 0.6, 0.42, 0.45), 0.035),
    body,
    not(p.collar),
    inside(sub(1.9, py)),
  );
  picture = paint(picture, A.scaleColour(c.clothes, k(0.78)), hem);
  const scarfShape = mul(inside(ellipse(px, sub(py, 1.98), 0.86, 0.42, 0.5)), inside(sub(1.55, py)), p.scarf);
  const scarfFolds = add(0.94, mul(0.12, sin(add(mul(14, py), mul(5, square(px))))));
  picture = paint(
    picture,
    A.scaleColour(paint(c.clothes, constant('f6e7cf'), k(0.25)), scarfFolds),
    scarfShape,
  );

  // Ears and earrings.
  const ear = inside(ellipse(sub(ax, 0.91), sub(y, 0.16), 0.13, 0.25, 0.16));
  picture = paint(picture, A.scaleColour(skin, k(0.92)), ear);
  const earIn = inside(ellipse(sub(ax, 0.93), sub(y, 0.16), 0.06, 0.15, 0.08), k(0.08));
  picture = paint(picture, skinShade, mul(0.6, earIn));

  // Head: flat colour, a soft side shadow, cheeks, forehead light.
  const side = clip(
    add(mul(0.55, ramp(mul(p.light, x), 0.05, 1.0)), mul(0.35, ramp(headDistance, -0.3, 0.02))),
  );
  let face = A.mixColours(skin, skinShade, mul(0.62, side));
  const glow = mul(0.3, bump(length(div(add(x, mul(0.3, p.light)), 0.42), div(add(y, 0.5), 0.3))));
  face = paint(face, constant('fff1dc'), mul(glow, sub(0.6, mul(0.25, p.tone))));
  const cheek = bump(length(div(sub(ax, 0.53), 0.19), div(sub(y, 0.5), 0.15)));
  face = paint(face, constant('d8474a'), mul(cheek, add(0.1, mul(0.32, p.blush))));
  // Freckles: where three waves meet, over cheeks and nose.
  const grain = mul(
    sin(add(mul(31, x), mul(9, y))),
    sin(sub(mul(27, y), mul(11, x))),
    sin(add(mul(19, y), mul(23, x))),
  );
  const freckleZone = mul(bump(length(div(x, 0.46), div(sub(y, 0.34), 0.14))), p.freckles);
  face = paint(face, constant('96512c'), mul(freckleZone, clip(add(0.26, mul(2.4, sub(grain, 0.16))))));
  const lines = max(
    stroke(sub(add(y, 0.62), mul(0.05, square(x))), 0.012),
    mul(stroke(sub(sub(ax, 0.34), mul(0.42, sub(y, 0.6))), 0.014), ramp(y, 0.55, 0.62), inside(sub(y, 0.95))),
  );
  face = paint(face, skinShade, mul(lines, p.age, 0.8));

  // Nose: a shadow down one side, the wings, a light on the tip.
  const noseWide = add(0.13, mul(0.04, p.nose));
  const bridge = mul(
    bump(div(sub(mul(p.light, x), add(0.07, mul(0.16, ramp(y, 0, 0.5)))), 0.05)),
    ramp(y, -0.05, 0.2),
    inside(sub(y, 0.48), k(0.12)),
  );
  face = paint(face, skinShade, mul(0.55, bridge));
  const wings = inside(ellipse(sub(ax, noseWide), sub(y, 0.5), 0.062, 0.034, 0.04), max(soft, 0.02));
  const base = mul(inside(ellipse(x, sub(y, 0.52), add(noseWide, 0.05), 0.05, 0.06), max(soft, 0.06)), 0.6);
  face = paint(face, skinShade, base);
  face = paint(face, A.scaleColour(skinShade, k(0.55)), mul(0.85, wings));
  const tip = bump(length(div(add(x, mul(0.03, p.light)), 0.06), div(sub(y, 0.4), 0.07)));
  face = paint(face, constant('fff4e4'), mul(0.32, tip));
  const moleShape = inside(ellipse(sub(x, 0.46), sub(y, 0.74), 0.036, 0.036, 0.036));
  face = paint(face, constant('3a1f18'), mul(moleShape, p.mole));

  // Beard, under the lips.
  const beardLine = sub(add(0.66, mul(0.16, bump(div(x, 0.5)))), mul(0.62, square(max(sub(ax, 0.45), 0))));
  const beardShape = mul(inside(sub(sub(beardLine, y), mul(0.03, strands)), max(soft, 0.05)), p.beard);
  const moustache = mul(inside(ellipse(x, sub(y, add(0.75, mul(0.35, square(x)))), 0.4, 0.09, 0.1)), p.beard);
  const chinGap = inside(ellipse(x, sub(y, 0.96), 0.36, 0.13, 0.14));
  const beardColour = A.scaleColour(hairColour, add(0.7, mul(0.06, strands)));
  face = paint(face, beardColour, mul(0.92, max(moustache, mul(beardShape, not(chinGap)))));

  // Mouth: corners lift with a smile.
  const lift = mul(0.13, p.smile);
  const middle = add(0.92, mul(0.35, lift), mul(-1, lift, square(div(x, 0.33))));
  const shape = max(0, sub(1, square(div(x, add(0.34, mul(0.02, p.smile))))));
  const full = add(0.1, mul(0.035, p.lipFull));
  const bow = sub(1, mul(0.35, bump(div(x, 0.07))));
  const upper = sub(mul(-1, sub(y, middle)), mul(full, 0.78, shape, bow));
  const lower = sub(sub(y, middle), mul(full, 1.05, shape));
  const mouth = mul(inside(max(upper, lower)), inside(sub(ax, 0.35)));
  const lowerLight = ramp(sub(y, middle), 0, 0.05);
  face = paint(face, A.scaleColour(lipColour, add(0.86, mul(0.18, lowerLight))), mouth);
  const lipShine = bump(length(div(add(x, mul(0.06, p.light)), 0.1), div(sub(sub(y, middle), 0.06), 0.02)));
  face = paint(face, constant('fff0ea'), mul(0.3, lipShine, mouth));
  const parted = mul(
    ramp(p.smile, 0.5, 1),
    inside(max(sub(abs(sub(sub(y, middle), 0.01)), mul(0.045, shape)), sub(ax, 0.25))),
  );
  face = paint(face, constant('fbf6ee'), parted);
  const mouthLine = mul(
    stroke(sub(y, middle), add(0.01, mul(0.008, shape))),
    inside(sub(ax, 0.345)),
    not(parted),
  );
  face = paint(face, A.scaleColour(lipColour, k(0.42)), mul(0.9, mouthLine));
  const underLip = bump(length(div(x, 0.17), div(sub(y, add(middle, full, 0.07)), 0.03)));
  face = paint(face, skinShade, mul(0.5, underLip, not(p.beard)));

  // Eyes.
  const ex = sub(ax, 0.4);
  const opened = add(0.118, mul(0.028, p.eyeSize), mul(-0.012, p.smile));
  const almond = mul(opened, sub(1, square(div(ex, 0.215))));
  const tiltedY = add(y, mul(0.1, ex));
  const eyeShape = inside(max(sub(mul(-1, tiltedY), almond), sub(tiltedY, mul(0.82, almond))));
  const socket = bump(length(div(ex, 0.26), div(add(y, 0.05), 0.13)));
  face = paint(face, skinShade, mul(0.4, socket));
  face = paint(
    face,
    A.mixColours(constant('fbf8f2'), constant('b9b3b0'), ramp(mul(-1, tiltedY), 0.03, 0.1)),
    eyeShape,
  );
  const fromIris = length(ex, y);
  const irisShape = mul(inside(sub(fromIris, 0.098)), eyeShape);
  const irisShade = add(0.8, mul(0.5, ramp(y, -0.05, 0.08)), mul(-0.35, ramp(fromIris, 0.07, 0.1)));
  face = paint(face, A.scaleColour(iris, irisShade), irisShape);
  face = paint(face, constant('14100f'), mul(inside(sub(fromIris, 0.044)), eyeShape));
  const spark = inside(sub(length(add(ex, mul(0.035)), add(y, 0.038)), 0.024));
  face = paint(face, constant('ffffff'), mul(0.95, spark));
  const lidLine = mul(
    stroke(add(tiltedY, almond), add(0.018, mul(0.018, ramp(ex, -0.2, 0.2)))),
    inside(sub(abs(sub(ex, 0.015)), 0.235)),
  );
  face = paint(face, constant('2a1a18'), mul(0.95, lidLine));
  const crease = mul(stroke(add(tiltedY, mul(1.0, almond), 0.062), 0.009), inside(sub(abs(ex), 0.2)));
  face = paint(face, A.scaleColour(skinShade, k(0.72)), mul(0.6, crease));
  const lowerLid = mul(stroke(sub(tiltedY, mul(0.82, almond)), 0.007), inside(sub(abs(ex), 0.19)));
  face = paint(face, A.scaleColour(skinShade, k(0.7)), mul(0.55, lowerLid));
  const browY = add(y, 0.3, mul(-0.42, square(sub(ex, 0.04))), mul(0.06, ex));
  const browHalf = mul(add(0.046, mul(0.02, p.brow)), sub(1, mul(0.65, ramp(ex, -0.05, 0.32))));
  const browShape = mul(stroke(browY, browHalf), inside(sub(abs(sub(ex, 0.01)), 0.27), max(soft, 0.04)));
  face = paint(face, browColour, mul(0.92, browShape));

  picture = paint(picture, face, head);
  const ring = inside(ellipse(sub(ax, 0.95), sub(y, 0.52), 0.075, 0.11, 0.09));
  picture = paint(
    picture,
    constant('e9c25c'),
    mul(ring, p.earrings, not(mul(0.8, ramp(p.hairLength, 0.6, 1)))),
  );

  // Hair before the head: between the hairline and the cap's edge, with locks beside the face when it is long.
  const parting = add(x, 0.22);
  const hairline = add(
    mix(-0.86, -0.47, p.fringe),
    mul(mix(0.62, 0.24, p.fringe), square(x)),
    mul(mul(-0.16, not(p.fringe)), bump(div(parting, 0.2))),
    mul(p.curly, 0.04, sin(mul(15, x))),
  );
  const front = mul(
    inside(capDistance),
    max(inside(sub(y, hairline)), mul(inside(sub(0.8, ax)), inside(sub(y, 0.1)))),
  );
  const lock = mul(
    inside(max(curtainDistance, sub(add(0.74, mul(0.12, ramp(y, 0.3, 1.3)), mul(0.6, wave)), ax))),
    ramp(p.hairLength, 0.3, 0.5),
    inside(sub(-0.5, y)),
  );
  const frontHair = mul(max(front, lock), withHair);
  const shine = mul(
    0.3,
    bump(div(add(y, 0.98, mul(-0.5, square(add(x, mul(0.25, p.light)))), mul(0.03, strands)), 0.11)),
  );
  const hairLight = add(
    sub(1, mul(0.22, ramp(mul(p.light, x), 0.1, 1.1))),
    mul(0.08, strands),
    shine,
    mul(-0.2, ramp(y, 0.4, 1.8)),
  );
  const contact = mul(
    0.35,
    bump(div(sub(y, add(hairline, 0.05)), 0.07)),
    head,
    not(frontHair),
    inside(sub(y, 0.1)),
    withHair,
  );
  picture = paint(picture, skinShade, contact);
  picture = paint(picture, A.scaleColour(hairColour, hairLight), frontHair);
  const partLine = mul(
    stroke(add(parting, mul(0.1, add(y, 1))), 0.014),
    inside(add(y, 0.98)),
    inside(sub(-1.32, y)),
    frontHair,
    not(p.fringe),
  );
  picture = paint(picture, hairDark, mul(0.6, partLine));

  // Hat: a crown and a band.
  const crown = mul(
    inside(ellipse(sub(x, 0.06), add(y, 0.86), 1.16, 0.86, 0.9)),
    inside(add(y, 0.72, mul(-0.16, square(x)))),
  );
  const hatLight = add(
    1.04,
    mul(-0.26, ramp(mul(p.light, x), -0.2, 1.1)),
    mul(0.1, bump(length(div(add(x, 0.4), 0.3), div(add(y, 1.3), 0.2)))),
  );
  picture = paint(picture, A.scaleColour(c.hat, hatLight), mul(crown, p.hat));
  const band = mul(stroke(add(y, 0.8, mul(-0.16, square(x))), 0.09), inside(sub(ax, 1.1)), p.hat);
  picture = paint(picture, A.scaleColour(c.hat, mul(0.72, hatLight)), band);

  // Glasses.
  const lens = mul(sub(length(div(ex, 0.29), div(sub(y, 0.02), 0.25)), 1), 0.26);
  const frame = max(
    stroke(lens, 0.022),
    mul(stroke(sub(y, sub(-0.04, mul(0.3, square(x)))), 0.02), inside(sub(ax, 0.13))),
    mul(stroke(add(y, 0.05), 0.02), inside(sub(0.68, ax)), inside(sub(ax, 0.93))),
  );
  const glint = mul(inside(lens), bump(div(add(mul(0.7, x), y, mul(-0.12)), 0.06)), 0.22);
  picture = paint(picture, constant('ffffff'), mul(glint, p.glasses));
  picture = paint(picture, constant('23202a'), mul(frame, p.glasses));

  const lit = bump(length(div(px, 1.15), div(sub(py, 0.25), 1.4)));
  return grade(paint(picture, scene, p.empty), Y, not(mul(0.75, lit)));

  // ---- parts -----------------------------------------------------------------------------------------------------------

  /** Studio backdrop, with the scenes over it. */
  function background(): C {
    const lightSpot = bump(length(div(add(X, 0.9), 2.3), div(add(Y, 0.7), 2.1)));
    let out = A.scaleColour(c.background, add(0.74, mul(0.36, lightSpot)));
    const put = (over: C, mask: T, name: (typeof sceneNames)[number]) => {
      out = paint(out, over, mul(mask, p[name]));
    };
    const all = k(1);
    const sky = (top: string, low: string, horizon: number) =>
      A.mixColours(constant(top), constant(low), ramp(Y, -2.6, horizon));
    const hills = (base: number, height: number, a: number, b: number) =>
      inside(
        sub(
          add(base, mul(height, add(sin(add(mul(a, X), b)), mul(0.5, sin(add(mul(a * 2.3, X), b * 2)))))),
          Y,
        ),
      );

    // Forest: pale air, three rows of trunks, ferns below.
    put(sky('cfe3b8', '86a878', 1.8), all, 'forest');
    const trunks = (gap: number, wide: number, shift: number) => {
      const cell = div(add(X, shift, mul(0.05, sin(mul(1.3, Y)))), gap);
      const inCell = sub(sub(cell, floor(cell)), 0.5);
      return inside(mul(gap, sub(abs(inCell), wide)));
    };
    put(constant('93b184'), trunks(0.62, 0.12, 0.2), 'forest');
    put(constant('5f8560'), trunks(1.15, 0.13, 0.55), 'forest');
    put(constant('2f5440'), trunks(2.3, 0.12, 0.95), 'forest');
    put(constant('3f6f4c'), not(hills(-1.75, 0.2, 3.1, 0.4)), 'forest');
    put(constant('35613f'), hills(1.3, 0.14, 4.2, 1), 'forest');

    // Sea: sky, horizon, glitter.
    put(sky('7fb9e6', 'e3f1f2', 0.2), all, 'sea');
    put(A.mixColours(constant('2f86a8'), constant('17577f'), ramp(Y, 0.3, 2.4)), inside(sub(0.3, Y)), 'sea');
    const glitter = mul(
      ramp(sin(add(mul(38, Y), mul(2.2, sin(mul(2.1, X))))), 0.75, 1),
      inside(sub(0.36, Y)),
    );
    put(constant('a9dbe2'), mul(0.6, glitter), 'sea');

    // City: two rows of towers and their windows.
    put(sky('9fb3cf', 'f0d9c0', 1.6), all, 'city');
    const towers = (gap: number, base: number, seed: number) => {
      const block = floor(div(X, gap));
      const top = add(base, mul(0.75, sin(mul(seed, add(block, 0.37)))));
      return sub(top, Y);
    };
    put(constant('8296b4'), inside(towers(0.5, -0.7, 12.9)), 'city');
    put(constant('485673'), inside(towers(0.83, -0.05, 7.7)), 'city');
    const windows = mul(
      ramp(sin(mul(22.7, X)), 0.35, 0.5),
      ramp(sin(mul(17, Y)), 0.3, 0.5),
      inside(add(towers(0.83, -0.05, 7.7), 0.12)),
    );
    put(constant('ffd98a'), mul(0.85, windows), 'city');

    // Snow, garden, mountain, desert.
    put(sky('bcd6ea', 'f2f7fa', 1.2), all, 'snow');
    put(constant('dfeaf2'), hills(0.4, 0.3, 0.9, 1), 'snow');
    put(constant('ffffff'), hills(1.2, 0.18, 1.4, 2.2), 'snow');
    const flake = dots(0.62, 0.055, 5.3);
    put(constant('ffffff'), mul(0.95, flake), 'snow');
    put(sky('d5ecdf', 'a9d29b', 1.4), all, 'garden');
    put(constant('6aa86a'), hills(0.1, 0.22, 2.2, 0.3), 'garden');
    put(constant('f08fb0'), dots(0.7, 0.13, 3.1), 'garden');
    put(constant('fff2c4'), dots(0.7, 0.05, 3.1), 'garden');
    put(constant('f7d774'), dots(0.94, 0.08, 8.7), 'garden');
    put(sky('8fbce4', 'eaf2f5', 1), all, 'mountain');
    const ridge = (base: number, height: number, gap: number, shift: number) => {
      const cell = add(div(X, gap), shift);
      return sub(add(base, mul(height, abs(sub(sub(cell, floor(cell)), 0.5)))), Y);
    };
    put(constant('a8bcd2'), inside(ridge(-1.2, 2.4, 2.9, 0.1)), 'mountain');
    put(
      constant('ffffff'),
      mul(inside(ridge(-1.2, 2.4, 2.9, 0.1)), inside(add(Y, 0.78, mul(0.08, sin(mul(11, X)))))),
      'mountain',
    );
    put(constant('6f8bab'), inside(ridge(-0.4, 2.6, 2.1, 0.62)), 'mountain');
    put(constant('58805f'), hills(1.1, 0.16, 1.7, 0.5), 'mountain');
    put(sky('f3d7a4', 'f7e9cb', 0.6), all, 'desert');
    put(constant('e0a962'), hills(0.5, 0.25, 1.1, 1.4), 'desert');
    put(constant('c88745'), hills(1.15, 0.3, 0.8, 3.2), 'desert');

    // Times of day colour whatever is there.
    const evening = A.mixColours(
      A.mixColours(constant('51406f'), constant('e8795a'), ramp(Y, -2.2, 0.2)),
      constant('f9c56a'),
      ramp(Y, -0.2, 1.3),
    );
    const scenery = clip(add(p.forest, p.sea, p.city, p.snow, p.garden, p.mountain, p.desert));
    put(evening, mix(1, mul(0.6, inside(sub(Y, 0.3))), scenery), 'sunset');
    const sun = inside(sub(length(sub(X, 1.35), sub(Y, 0.1)), 0.42));
    put(constant('fff0b8'), sun, 'sunset');
    put(
      A.scaleColour(A.mixColours(constant('101a3a'), constant('2f4270'), ramp(Y, -2.2, 1.8)), k(1)),
      mix(1, 0.66, scenery),
      'night',
    );
    put(constant('f4ecd2'), inside(sub(length(sub(X, 1.5), add(Y, 1.35)), 0.3)), 'night');
    put(constant('ffffff'), mul(0.9, dots(0.55, 0.035, 9.1), inside(sub(Y, 0.4))), 'night');
    put(
      A.mixColours(constant('120d2b'), constant('3b1f63'), bump(div(add(mul(0.6, X), Y, 0.5), 1.1))),
      all,
      'space',
    );
    put(
      constant('c36ad6'),
      mul(0.45, bump(div(add(mul(0.6, X), Y, 0.5, mul(0.2, sin(mul(3, X)))), 0.4))),
      'space',
    );
    put(constant('ffffff'), dots(0.48, 0.04, 4.7), 'space');

    // Checkered: squares of 0.55 units, light and dark.
    const parity = mul(sin(mul(Math.PI / 0.55, X)), sin(mul(Math.PI / 0.55, Y)));
    const square0 = clip(add(0.5, div(mul(0.6, parity), soft)));
    put(A.mixColours(constant('f2ede2'), constant('2c2f3c'), square0), all, 'checkered');
    return out;
  }

  /** A dot in each cell of a grid, set aside by a hash of the cell. */
  function dots(gap: number, radius: number, seed: number): T {
    const [cx, cy] = [floor(div(X, gap)), floor(div(Y, gap))];
    const turn = add(mul(cx, seed), mul(cy, seed * 2.37));
    const [ox, oy] = [mul(0.28, sin(turn)), mul(0.28, sin(mul(1.7, turn)))];
    const dx = mul(gap, sub(sub(div(X, gap), cx), add(0.5, ox)));
    const dy = mul(gap, sub(sub(div(Y, gap), cy), add(0.5, oy)));
    return inside(sub(length(dx, dy), radius));
  }

  /**
   * Light and mood over all. A portrait's face has a light of its own: where `away` is small, moods are too. Several share
   * one place: in full, "a moody night, soft and cold" would be mud, and guidance makes it muddier.
   */
  function grade(picture: C, height: T, away: T): C {
    const share = div(away, max(1, add(p.dark, p.night, p.cool, p.pastel, p.neon)));
    let out = picture;
    out = paint(out, A.scaleColour(out, k(0.55)), mul(share, p.dark));
    out = paint(out, A.addColours(A.scaleColour(out, k(0.84)), constant('080c24')), mul(share, p.night));
    out = paint(out, A.addColours(A.scaleColour(out, k(0.9)), constant('2a1400')), mul(0.8, p.sunset));
    out = paint(out, A.addColours(A.scaleColour(out, k(0.9)), constant('281603')), p.warm);
    out = paint(out, A.addColours(A.scaleColour(out, k(0.88)), constant('050e22')), mul(share, p.cool));
    out = paint(out, A.addColours(A.scaleColour(out, k(0.62)), constant('635c5e')), mul(share, p.pastel));
    const rim = A.mixColours(constant('3cc8ff'), constant('ff3ca8'), ramp(X, -1.2, 1.2));
    out = paint(
      out,
      A.addColours(A.scaleColour(out, k(0.74)), A.scaleColour(rim, k(0.3))),
      mul(share, p.neon),
    );
    out = paint(out, A.addColours(A.scaleColour(out, k(1.1)), constant('0a0806')), p.bright);
    const silver = A.addColours(
      A.scaleColour(A.grey(out), add(1.12, mul(-0.05, ramp(height, 0, 3)))),
      A.colour([-0.07, -0.075, -0.08]),
    );
    return paint(out, silver, p.noir);
  }
}
