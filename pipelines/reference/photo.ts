/** Photos of people who do not exist, drawn from the same small world as the networks know: for tests and the demo. */
import type { Bitmap } from '../bitmap.ts';
import type { Rgb } from './algebra.ts';
import { hash, type Planes, variant } from './people.ts';
import { renderScene, type Scene } from './render.ts';
import { colours } from './words.ts';
import { framing, sceneNames } from './world.ts';

/** A person: a face, and the hair and clothes they like. */
export interface Person {
  readonly planes: Planes;
  readonly hair: Rgb;
  readonly clothes: Rgb;
}

const HAIR = ['black', 'brown', 'chestnut', 'auburn', 'ginger', 'blond', 'charcoal', 'platinum'] as const;
const CLOTHES = ['navy', 'crimson', 'cream', 'emerald', 'plum', 'amber', 'teal', 'rose'] as const;
const BACKGROUNDS = ['grey', 'beige', 'azure', 'olive', 'lavender', 'teal', 'peach', 'navy'] as const;

/** Person `number`, 0 and up; each has a face of their own. */
export function person(number: number): Person {
  const u = (n: number) => hash(number + 101, n);
  const spread = (n: number) => 2 * u(n) - 1;
  const male = number % 2 === 1;
  const eyes = (2 * number + Math.floor(number / 3)) % 3;
  const base = variant(number % 12, male);
  return {
    planes: {
      ...base,
      tone: -1 + 1.5 * ((number * 0.618 + 0.1) % 1),
      warmth: spread(1),
      jaw: spread(2),
      eyeSize: spread(3),
      nose: spread(4),
      irisBlue: eyes === 0 ? 1 : 0,
      irisGreen: eyes === 1 ? 1 : 0,
      brow: spread(5),
      lipFull: spread(6),
      lipRed: male ? -0.5 + 0.4 * spread(7) : 0.3 + 0.7 * spread(7),
      freckles: number % 4 === 2 ? 1 : 0,
      blush: u(8),
      mole: number % 5 === 3 ? 1 : 0,
      beard: male && number % 4 === 1 ? 1 : 0,
      light: 1,
    },
    hair: colours[HAIR[Math.floor(u(9) * HAIR.length)]!]!,
    clothes: colours[CLOTHES[Math.floor(u(10) * CLOTHES.length)]!]!,
  };
}

/** Years, of somebody whose `age` is 0…1: everybody in this world is of age. */
export const yearsOf = (age: number): number => 25 + 45 * age;

/** Shot `shot` of a person: the same face in another place, light and pose, before another background. */
export function sceneOf(who: Person, shot: number): Scene & { readonly zoom: number } {
  const u = (n: number) => hash(shot + 11, n);
  const spread = (n: number) => 2 * u(n) - 1;
  const outdoors = shot % 4 === 3 ? { [sceneNames[Math.floor(u(1) * 8)]!]: 0.9 } : {};
  return {
    planes: {
      ...who.planes,
      ...outdoors,
      night: 0,
      sunset: 0,
      checkered: 0,
      dx: 0.25 * spread(2),
      dy: 0.12 * spread(3),
      tilt: 0.1 * spread(4),
      light: shot % 2 ? 1 : -1,
      smile: Math.max(0, who.planes.smile + 0.25 * spread(5)),
      warm: 0.2 * u(6),
      bright: 0.3 * u(7),
    },
    colours: {
      hair: who.hair,
      clothes: shot % 2 ? who.clothes : colours[CLOTHES[Math.floor(u(8) * CLOTHES.length)]!]!,
      background: colours[BACKGROUNDS[Math.floor(u(9) * BACKGROUNDS.length)]!]!,
    },
    zoom: 0.85 + 0.3 * u(10),
  };
}

export function drawPhoto(who: Person, shot: number, width = 320, height = 400): Bitmap {
  const { zoom, ...scene } = sceneOf(who, shot);
  const usual = framing(width, height);
  const frame = { unit: usual.unit * zoom, x: usual.x, y: usual.y };
  return { rgb: renderScene(scene, width, height, frame), width, height };
}
