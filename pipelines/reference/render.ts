/** The small world in pixels: what a camera would see of it. */
import { type Field, type FieldColour, numbers, type Rgb } from './algebra.ts';
import { type ColourName, colourNames, drawWorld, framing, type PlaneName, planeNames } from './world.ts';

export interface Scene {
  readonly planes: Readonly<Partial<Record<PlaneName, number>>>;
  readonly colours: Readonly<Partial<Record<ColourName, Rgb>>>;
}

/** Rows drawn at a time: few enough that their planes stay in the processor's cache. */
const BAND = 16;

/** What is taken for anything a scene does not say. */
export const plainPlanes = Object.fromEntries(
  planeNames.map((name) => [name, name === 'zoom' || name === 'light' ? 1 : 0]),
) as Record<PlaneName, number>;
const plainColours: Record<ColourName, Rgb> = {
  hair: [0.3, 0.2, 0.15],
  background: [0.7, 0.72, 0.75],
  clothes: [0.25, 0.35, 0.5],
  hat: [0.4, 0.2, 0.2],
  eyes: [0.3, 0.2, 0.1],
  lips: [0.7, 0.3, 0.3],
};

/**
 * @param frame px of a unit and of the eyes' usual place; a portrait's by default
 * @returns     [height, width, 3] levels 0…255
 */
export function renderScene(
  scene: Scene,
  width: number,
  height: number,
  frame = framing(width, height),
): Uint8Array {
  const planes = { ...plainPlanes, ...scene.planes } as Record<PlaneName, Field>;
  const colours = { ...plainColours, ...scene.colours } as Record<ColourName, FieldColour>;
  for (const name of colourNames) colours[name] ??= [0, 0, 0];
  const out = new Uint8Array(width * height * 3);
  for (let top = 0; top < height; top += BAND) {
    const rows = Math.min(BAND, height - top);
    const x = new Float32Array(rows * width);
    const y = new Float32Array(rows * width);
    for (let i = 0; i < x.length; i++) {
      x[i] = ((i % width) + 0.5 - frame.x) / frame.unit;
      y[i] = (top + Math.floor(i / width) + 0.5 - frame.y) / frame.unit;
    }
    const colour = drawWorld(numbers, { x, y, soft: 1.3 / frame.unit }, planes, colours);
    for (const [c, field] of colour.entries()) {
      for (let i = 0; i < x.length; i++) {
        const level = typeof field === 'number' ? field : field[i]!;
        out[(top * width + i) * 3 + c] = Math.round(Math.min(Math.max(level, 0), 1) * 255);
      }
    }
  }
  return out;
}
