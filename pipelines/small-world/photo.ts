/** Photos of people who do not exist, drawn by the same world as the networks: for tests and the demo. */
import type { Picture } from '../picture.ts';
import { type Field, numbers } from './arithmetic.ts';
import { type Rgb, type Trait, traits } from './words.ts';
import { FACE_CENTRE, FACE_SHARE, type Look, palettes, type Scene, world } from './world.ts';

export interface PhotoOptions {
  readonly look: Look<Field>;
  readonly hair: Rgb;
  readonly clothes?: Rgb;
  readonly background?: Rgb;
  readonly traits?: Partial<Record<Trait, number>>;
  /** px */
  readonly width?: number;
  /** px */
  readonly height?: number;
  /** of the face's middle, share of the width and height off the usual place */
  readonly shift?: { readonly x: number; readonly y: number };
  /** of the face's usual size */
  readonly scale?: number;
  /** of all light: 1 as it is */
  readonly exposure?: number;
}

/** A person: a look, and hair that goes with it. Persons 0…7 are far enough apart to be told apart. */
export function person(number: number): {
  look: Look<number>;
  hair: Rgb;
  traits: Partial<Record<Trait, number>>;
} {
  const at = <V>(list: readonly V[], step: number, from: number) =>
    list[(from + number * step) % list.length]!;
  const skin = at(palettes.skin, 1, 0);
  const hair = at(palettes.hair, 3, 1);
  const bearded = number % 4 === 1;
  const brows = hair.map((v) => v * 0.75) as unknown as Rgb;
  const tint = [0.04 * Math.sin(number * 5), 0, 0.05 * Math.cos(number * 3)];
  const own = skin.map((v, i) => Math.min(1, Math.max(0, v + tint[i]!))) as unknown as Rgb;
  return {
    look: {
      skin: own,
      lips: at(palettes.lips, 3, 1),
      iris: at(palettes.iris, 2, 2),
      brows,
      chin: bearded ? (hair.map((v, i) => v * 0.8 + own[i]! * 0.1) as unknown as Rgb) : own,
    },
    hair,
    traits: {
      [(['long', 'short', 'bob', 'curly', 'bun'] as const)[number % 5]!]: 1,
      freckles: number % 3 === 0 ? 1 : 0,
    },
  };
}

export function drawPhoto(options: PhotoOptions): Picture {
  const { width = 320, height = 400, shift = { x: 0, y: 0 }, scale = 1, exposure = 1 } = options;
  const x = new Float32Array(width * height).map((_, i) => (i % width) + 0.5);
  const y = new Float32Array(width * height).map((_, i) => Math.floor(i / width) + 0.5);
  const given: Partial<Record<Trait, number>> = options.traits ?? { short: 1 };
  const scene: Scene<Field> = {
    look: options.look,
    hair: options.hair,
    clothes: options.clothes ?? [0.25, 0.3, 0.4],
    hat: [0.3, 0.2, 0.25],
    background: options.background ?? [0.6, 0.68, 0.74],
    traits: Object.fromEntries(traits.map((trait) => [trait, given[trait] ?? 0])) as Record<Trait, Field>,
  };
  const frame = {
    ...{ x, y, width, height },
    cx: width * (FACE_CENTRE.x + shift.x),
    cy: height * (FACE_CENTRE.y + shift.y),
    r: FACE_SHARE * Math.min(height, 1.15 * width) * scale,
  };
  const drawn = world(numbers).portrait(frame, scene);
  const rgb = new Uint8Array(width * height * 3);
  for (let p = 0; p < width * height; p++) {
    for (let c = 0; c < 3; c++) {
      const channel = drawn[c]!;
      const v = typeof channel === 'number' ? channel : channel[p]!;
      rgb[p * 3 + c] = Math.round(Math.min(1, Math.max(0, v * exposure)) * 255);
    }
  }
  return { rgb, width, height };
}
