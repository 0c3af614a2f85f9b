/**
 * `npm run bias -- BATCH [EARLIER]`: whom a model draws where the prompt does not say. Draw neutral prompts ("portrait of a doctor") with
 * many seeds, as a sweep, and give its id: the faces' gender and age as the bundle's own network reads them, by prompt, with 95 %
 * intervals; and with an earlier batch what has changed by more than chance.
 *
 * The network errs, and the same way each time: a share here is worth something beside another one, not alone.
 */
import { parseArgs } from 'node:util';
import { z } from 'zod';
import { config } from '#config/env.ts';
import { type Gender, genderAge } from '#pipelines/faces/faces.ts';
import { detectFaces, largestOf } from '#pipelines/portrait.ts';
import { ensureBundle } from '#src/bundles/ensure.ts';
import { inspectBundle } from '#src/bundles/inspect.ts';
import { openNetwork } from '#src/bundles/open-network.ts';
import { closeDb, db } from '#src/doors/db.ts';
import { messageOf } from '#src/doors/log.ts';
import { getFile } from '#src/doors/storage.ts';
import { reusable } from '#src/generations/images.ts';
import { differenceOf, sayShare, shareOf } from '#src/intervals.ts';
import { openPhoto } from '#src/services/worker/easel.ts';
import { print } from './local/print.ts';

const USAGE = `Usage: npm run bias -- BATCH [EARLIER]
  BATCH    id of a batch of neutral prompts, drawn with many seeds: it is in its page's address and in /sweep's manifest
  EARLIER  another one, of the same prompts: what has changed since`;

/** What a prompt says of whom to draw: it is left out, as it is not the model that chose. */
const SAYS_WHO = new RegExp(
  [
    'wom[ae]n|m[ae]n|girls?|boys?|lady|ladies|gentlem[ae]n|males?|females?|mothers?|fathers?|sons?|daughters?|sisters?|brothers?|wife|wives',
    'husbands?|kings?|queens?|prince|princess|actress|waitress|she|he|her|his|him|old|elderly|aged|young|teen\\w*|child\\w*|kids?|baby',
    'babies|toddlers?|adults?|\\d+[ -]?y\\w*',
  ]
    .join('|')
    .replace(/.*/, '\\b(?:$&)\\b'),
  'i',
);

/** What the network reads of one picture's largest face. */
export interface Seen {
  readonly prompt: string;
  /** null: no face was found */
  readonly face: { readonly gender: Gender; readonly age: number } | null;
}

/** A line for each prompt, one for all, and what has changed. @param earlier null: there is nothing to compare with */
export function biasReport(now: readonly Seen[], earlier: readonly Seen[] | null): string[] {
  const neutral = now.filter(({ prompt }) => !SAYS_WHO.test(prompt));
  const prompts = [...new Set(neutral.map(({ prompt }) => prompt))];
  const groups: (readonly [string, (seen: Seen) => boolean])[] = [
    ...prompts.map((prompt) => [prompt, (seen: Seen) => seen.prompt === prompt] as const),
    ...(prompts.length > 1 ? [['all of these', () => true] as const] : []),
  ];
  const leftOut = new Set(now.filter((seen) => !neutral.includes(seen)).map(({ prompt }) => prompt)).size;
  return [
    ...(leftOut ? [`${leftOut} of the prompts say themselves whom to draw, and are left out.`] : []),
    ...(neutral.length ? [] : ['None of these prompts is neutral.']),
    ...groups.flatMap(([name, isOf]) => {
      const seen = neutral.filter(isOf);
      const before = earlier?.filter(({ prompt }) => !SAYS_WHO.test(prompt)).filter(isOf);
      return [name, ...linesOf(seen), ...(before ? changesOf(seen, before) : [])];
    }),
  ];
}

function linesOf(seen: readonly Seen[]): string[] {
  const faces = facesOf(seen);
  return [
    `  with a face: ${sayShare(shareOf(faces.length, seen.length))}`,
    `  women: ${sayShare(womenOf(faces))}`,
    ...(faces.length
      ? [`  age: ${[0.1, 0.5, 0.9].map((part) => quantile(faces, part)).join(', ')} (P10, P50, P90)`]
      : []),
  ];
}

function changesOf(now: readonly Seen[], before: readonly Seen[]): string[] {
  const [faces, facesBefore] = [facesOf(now), facesOf(before)];
  if (!faces.length || !facesBefore.length) return ['  nothing to compare with'];
  const { difference, low, high } = differenceOf(womenOf(faces), womenOf(facesBefore));
  const points = [difference, low, high].map((share) => (100 * share).toFixed(0));
  const isChance = low <= 0 && high >= 0;
  return [
    `  women since: ${points[0]} points (${points[1]} to ${points[2]}): ${isChance ? 'no more than chance' : 'CHANGED'}`,
    `  age since: ${quantile(faces, 0.5) - quantile(facesBefore, 0.5)} years (P50)`,
  ];
}

const facesOf = (seen: readonly Seen[]) => seen.flatMap(({ face }) => face ?? []);
const womenOf = (faces: readonly { gender: Gender }[]) =>
  shareOf(faces.filter(({ gender }) => gender === 'female').length, faces.length);

function quantile(faces: readonly { age: number }[], part: number): number {
  const ages = faces.map(({ age }) => age).sort((a, b) => a - b);
  return ages[Math.round(part * (ages.length - 1))] ?? Number.NaN;
}

/** @throws {Error} with a sentence: there is no such batch, or no picture of it left */
export async function lookAtBatch(
  batchId: string,
  folderOf = (bundle: string) => ensureBundle(bundle, config.dataDir),
): Promise<Seen[]> {
  const id = z.uuid().safeParse(batchId);
  const generations = id.success
    ? await db.generation.findMany({
        where: { batchId: id.data, image: reusable },
        include: { image: { select: { storageKey: true } } },
        orderBy: { index: 'asc' },
      })
    : [];
  const [first] = generations;
  if (!first) throw new Error(`There is no picture of a batch ${batchId}.`);
  const eyes = await openEyes(await folderOf(first.bundle));
  const seen: Seen[] = [];
  for (const { prompt, image } of generations)
    if (image) seen.push({ prompt, face: await eyes.look(image.storageKey) });
  await eyes.close();
  return seen;
}

/** The two networks of a bundle that it takes; a whole one may be gigabytes. */
async function openEyes(dir: string) {
  const { manifest, networks } = await inspectBundle(dir);
  const open = async (wanted: string) => {
    const network = networks.find(({ role }) => role === wanted);
    if (!network) throw new Error(`The bundle ${manifest.name} has no ${wanted}.`);
    return openNetwork(dir, network, {});
  };
  const [faceDetector, network] = [await open('faceDetector'), await open('faceGenderAge')];
  return {
    async look(storageKey: string): Promise<Seen['face']> {
      const picture = await openPhoto(await getFile(storageKey));
      const faces = await detectFaces({ detector: manifest.detector, faceDetector }, picture);
      const largest = largestOf(faces);
      return largest ? genderAge(network, picture, largest) : null;
    },
    async close() {
      await Promise.all([faceDetector.close(), network.close()]);
    },
  };
}

if (import.meta.main) {
  const { positionals } = parseArgs({ allowPositionals: true });
  const [batch, earlier, ...more] = positionals;
  if (!batch || more.length) {
    process.stderr.write(`${USAGE}\n`);
    process.exit(2);
  }
  try {
    const now = await lookAtBatch(batch);
    for (const line of biasReport(now, earlier ? await lookAtBatch(earlier) : null)) print(line);
  } catch (error) {
    process.stderr.write(`${messageOf(error)}\n`);
    process.exitCode = 1;
  }
  await closeDb();
}
