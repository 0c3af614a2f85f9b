/**
 * Photos to try a face folder with: people of the reference world, who do not exist, so nobody has to be asked. They are kept
 * beside this file, as one takes a second to draw; `node infra/local/discord/samples/draw.ts` draws them anew.
 */
import { readFile } from 'node:fs/promises';

/** By the numbers that the reference world gives them. */
const PEOPLE = ['ada', 'ben', 'cleo'] as const;
export const SHOTS = 3;

export interface Sample {
  readonly filename: string;
  readonly data: Buffer;
}

/** `ada-1.jpg`, `ada-2.jpg` … */
export const sampleNames: readonly string[] = PEOPLE.flatMap((name) =>
  Array.from({ length: SHOTS }, (_, shot) => `${name}-${shot + 1}.jpg`),
);

/** null: there is none of that name */
export async function samplePhoto(filename: string): Promise<Sample | null> {
  if (!sampleNames.includes(filename)) return null;
  return { filename, data: await readFile(new URL(filename, import.meta.url)) };
}
