/** The people and settings that are drawn where a prompt leaves things open: a fixed small population, made from hashes. */
import type { Rgb } from './algebra.ts';
import { colours, type Trait } from './words.ts';
import { type PlaneName, planeNames } from './world.ts';

/** 0…1, the same for the same two numbers. */
export function hash(a: number, b: number): number {
  let h = Math.imul(a + 0x9e37, 0x85eb_ca6b) ^ Math.imul(b + 0x79b9, 0xc2b2_ae35);
  h = Math.imul(h ^ (h >>> 15), 0x2c1b_3c6d);
  h = Math.imul(h ^ (h >>> 12), 0x297a_2d39);
  return ((h ^ (h >>> 15)) >>> 0) / 2 ** 32;
}

export type Planes = Readonly<Record<PlaneName, number>>;
export const nobody = Object.fromEntries(
  planeNames.map((name) => [name, name === 'zoom' || name === 'light' ? 1 : 0]),
) as Planes;

const VARIANTS = 12;
/** Person `i` of the population, as a woman or as a man. */
export function variant(i: number, male: boolean): Planes {
  const u = (n: number) => hash(i, n);
  const spread = (n: number) => 2 * u(n) - 1;
  const shared = {
    tone: -0.95 + 1.8 * ((i * 0.382) % 1) ** 1.3,
    warmth: spread(2),
    eyeSize: spread(3),
    nose: spread(4),
    irisBlue: u(5) > 0.66 ? 1 : 0,
    irisGreen: u(5) < 0.25 ? 1 : 0,
    smile: 0.15 + 0.4 * u(6),
    freckles: u(7) > 0.8 ? 0.7 : 0,
    light: i % 2 ? 1 : -1,
    curly: i % 5 === 2 ? 1 : 0,
  };
  return male
    ? {
        ...nobody,
        ...shared,
        jaw: 0.5 + 0.5 * spread(8),
        brow: 0.5 + 0.5 * spread(9),
        lipFull: -0.5,
        lipRed: -0.6,
        blush: 0.1,
        hairLength: 0.05,
        volume: 0.4 * u(10),
        fringe: i % 4 === 1 ? 0.4 : 0,
        collar: i % 3 === 0 ? 1 : 0,
        beard: i % 4 === 2 ? 1 : 0,
      }
    : {
        ...nobody,
        ...shared,
        jaw: -0.4 + 0.5 * spread(8),
        brow: -0.4 + 0.4 * spread(9),
        lipFull: 0.5 + 0.4 * spread(11),
        lipRed: 0.3 + 0.5 * spread(12),
        blush: 0.3 + 0.4 * u(13),
        hairLength: [0.95, 0.5, 0.8, 0.1][i % 4]!,
        fringe: i % 3 === 1 ? 0.8 : 0,
        volume: 0.2 + 0.5 * u(10),
        bun: i % 4 === 3 ? 1 : 0,
        earrings: i % 3 === 0 ? 1 : 0,
        collar: i % 4 === 0 ? 1 : 0,
      };
}
export const variants = Array.from({ length: VARIANTS }, (_, i) => ({
  woman: variant(i, false),
  man: variant(i, true),
  male: i % 2 ? 1 : 0,
}));

/** Where a head can be: a few places, sizes and turns, the frame's own middle among them. */
export const poses: readonly { dx: number; dy: number; zoom: number; tilt: number }[] = [
  ...[-0.07, 0, 0.07].map((tilt) => ({ dx: 0, dy: 0, zoom: 1, tilt })),
  ...[-0.07, 0, 0.07].flatMap((tilt, i) => [
    { dx: -0.16, dy: 0.05, zoom: 1.03 - 0.03 * i, tilt },
    { dx: 0.16, dy: -0.02, zoom: 0.95 + 0.03 * i, tilt },
    { dx: -0.06, dy: 0.1, zoom: 1.06, tilt },
    { dx: 0.07, dy: -0.04, zoom: 0.94, tilt },
  ]),
];

/** What an open colour is taken from. */
export const palettes = {
  hair: ['black', 'brown', 'chestnut', 'auburn', 'ginger', 'blond', 'charcoal', 'bronze', 'platinum'],
  background: [
    'teal',
    'beige',
    'lavender',
    'azure',
    'peach',
    'olive',
    'plum',
    'grey',
    'coral',
    'mint',
    'navy',
    'amber',
  ],
  clothes: [
    'navy',
    'crimson',
    'cream',
    'emerald',
    'charcoal',
    'plum',
    'amber',
    'teal',
    'white',
    'rose',
    'olive',
    'coral',
  ],
} as const;
export const paletteColours = (name: keyof typeof palettes): Rgb[] =>
  palettes[name].map((word) => colours[word]!);

/** trait → what it makes of a picture. `male`, `female` choose between the two forms of a person instead. */
export const effects: Readonly<Partial<Record<Trait, Partial<Record<PlaneName, number>>>>> = {
  old: { age: 1 },
  child: { age: 0, blush: 0.6 },
  smile: { smile: 1 },
  glasses: { glasses: 1 },
  beard: { beard: 1 },
  hat: { hat: 1, bun: 0 },
  earrings: { earrings: 1 },
  freckles: { freckles: 1 },
  collar: { collar: 1 },
  scarf: { scarf: 1 },
  short: { hairLength: 0.04, bun: 0 },
  long: { hairLength: 0.96, bun: 0, bald: 0 },
  curly: { curly: 1, volume: 0.8, bun: 0 },
  bob: { hairLength: 0.5, fringe: 0.9, bun: 0 },
  bald: { bald: 1, hairLength: 0 },
  bun: { bun: 1, hairLength: 0.08 },
  forest: { forest: 1 },
  sea: { sea: 1 },
  city: { city: 1 },
  sunset: { sunset: 1 },
  night: { night: 1 },
  garden: { garden: 1 },
  snow: { snow: 1 },
  mountain: { mountain: 1 },
  desert: { desert: 1 },
  checkered: { checkered: 1 },
  space: { space: 1 },
  pastel: { pastel: 1 },
  noir: { noir: 1 },
  warm: { warm: 1 },
  cool: { cool: 1 },
  neon: { neon: 1 },
  dark: { dark: 1 },
  bright: { bright: 1 },
  empty: { empty: 1 },
};
