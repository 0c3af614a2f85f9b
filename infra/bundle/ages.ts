/**
 * `npm run bundle -- ages DIR [PHOTOS]`: how far a bundle's age network is off, and what to write into `bundle.yaml` for it.
 *
 * PHOTOS is a folder of photos whose names begin with an age in years, as `34-anything.jpg` (UTKFace's `34_0_0_….jpg` too), of one face
 * each. Without it the people of the reference world are read, whose ages are known, and which says something of the reference bundle alone.
 *
 * Only one side of the error can harm: a face that is read older than it is. So what counts is how many years are too many at most, of 95
 * of 100 faces.
 *
 * Ends with 0, with 1 when nothing can be read, with 2 when the arguments are wrong.
 */
import { readdir } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { config } from '#config/env.ts';
import type { Bitmap } from '#pipelines/bitmap.ts';
import { agesIn } from '#pipelines/portrait.ts';
import { drawPhoto, person, yearsOf } from '#pipelines/reference/photo.ts';
import { loadBundle } from '#src/bundles/load.ts';
import { log, messageOf } from '#src/doors/log.ts';
import type { Command } from './command.ts';
import { readPicture } from './read-picture.ts';

const SHARE = 0.95;
/** Fewer faces say nothing of one in twenty. */
const ENOUGH = 40;

interface Aged {
  readonly years: number;
  picture(): Promise<Bitmap>;
}

const ages: Command = async ([dir, folder, ...more]) => {
  if (!dir || more.length || dir.startsWith('-')) {
    process.stderr.write('Usage: npm run bundle -- ages DIR [PHOTOS]\n');
    return 2;
  }
  log.level = 'silent';
  const say = (line: string) => process.stdout.write(`${line}\n`);
  try {
    const all = folder ? await photosIn(resolve(folder)) : referencePeople();
    const bundle = await loadBundle(resolve(dir), {
      threads: config.onnxThreads,
      providers: config.onnxProviders,
    });
    const errors: number[] = [];
    let unread = 0;
    for (const { years, picture } of all) {
      const read = await agesIn({ ...bundle, ageError: 0 }, await picture());
      const [age] = read ?? [];
      if (read?.length === 1 && typeof age === 'number') errors.push(age - years);
      else unread++;
    }
    await bundle.close();
    if (errors.length < ENOUGH)
      throw new Error(
        `${errors.length} faces could be read of ${all.length} photos, and ${ENOUGH} at least are needed.`,
      );
    const found = summaryOf(errors);
    say(`${errors.length} faces read${unread ? `, ${unread} photos without exactly one` : ''}.`);
    say(
      `Read too old or too young by ${found.mean.toFixed(1)} years in the mean; older than it is by ${found.most} at most.`,
    );
    say(`Of 95 in 100, too old by ${found.bound} years at most. For bundle.yaml:`);
    say('');
    say(`ageError: ${found.bound}`);
    return 0;
  } catch (error) {
    process.stderr.write(`${messageOf(error)}\n`);
    return 1;
  }
};
export default ages;

/** @param errors years read minus years lived. `bound` never below 0: who is read too young is no child for that */
export function summaryOf(errors: readonly number[]): { mean: number; bound: number; most: number } {
  const sorted = [...errors].sort((a, b) => a - b);
  const at = Math.min(sorted.length - 1, Math.ceil(SHARE * sorted.length) - 1);
  const mean = errors.reduce((sum, one) => sum + Math.abs(one), 0) / errors.length;
  const up = (years: number) => Math.max(0, Math.ceil(years));
  return { mean, bound: up(sorted[at] ?? 0), most: up(sorted.at(-1) ?? 0) };
}

async function photosIn(folder: string): Promise<Aged[]> {
  return (await readdir(folder)).sort().flatMap((name) => {
    const [, years] = /^(\d{1,3})[-_]/.exec(name) ?? [];
    return years === undefined
      ? []
      : [{ years: Number(years), picture: () => readPicture(join(folder, name)) }];
  });
}

/** People of the reference world, young and old, in several photos. */
function referencePeople(): Aged[] {
  return Array.from({ length: 60 }, (_, i) => {
    const who = person(i);
    const age = (i % 5) / 4;
    const aged = { ...who, planes: { ...who.planes, age } };
    return { years: yearsOf(age), picture: async () => drawPhoto(aged, i % 4) };
  });
}
