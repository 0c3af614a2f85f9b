/**
 * `npm run bundle -- look DIR [PICTURES]`: what a bundle's classifiers say of pictures, and which would be held for review, by the thresholds
 * of config/safety.yaml: so that an operator sees what they would do before they do it.
 *
 * PICTURES is a folder of pictures. Without it, it looks at the reference world: photos of its people, and what the bundle draws of it.
 *
 * Ends with 0 when none would be held, with 1 when some would, or when nothing can be looked at, with 2 when the arguments are wrong.
 */
import { readdir } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { config } from '#config/env.ts';
import { agesIn, type Bitmap, drawPortrait, type PortraitBundle } from '#pipelines/portrait.ts';
import { drawPhoto, person } from '#pipelines/reference/photo.ts';
import { classifyAll } from '#pipelines/safety/classify.ts';
import { loadBundle } from '#src/bundles/load.ts';
import { log, messageOf } from '#src/doors/log.ts';
import { verdictOf } from '#src/moderation/verdicts.ts';
import type { Command } from './command.ts';
import { readPicture } from './read-picture.ts';

const PEOPLE = 32;
/** What the reference bundle draws, and nobody would hold. */
const PROMPTS = [
  'portrait of a woman, red hair, blue background',
  'portrait of an old man with a beard and glasses, forest',
  'a woman in a red dress, garden, noir',
  'a man in a green coat, city at night',
  'portrait of a woman, freckles, hat, sea, sunset',
  'a bald man, scarf, snow',
  'a landscape, mountain, sunset',
  'a panorama, desert, bright',
];

const look: Command = async ([dir, folder, ...more]) => {
  if (!dir || more.length || dir.startsWith('-')) {
    process.stderr.write('Usage: npm run bundle -- look DIR [PICTURES]\n');
    return 2;
  }
  log.level = 'silent';
  try {
    return await lookAt(resolve(dir), folder === undefined ? null : resolve(folder));
  } catch (error) {
    process.stderr.write(`${messageOf(error)}\n`);
    return 1;
  }
};
export default look;

async function lookAt(dir: string, folder: string | null): Promise<number> {
  const say = (line: string) => process.stdout.write(`${line}\n`);
  const bundle = await loadBundle(dir, { threads: config.onnxThreads, providers: config.onnxProviders });
  const where = { ageRestricted: false, faceAsked: false, guild: {} };
  let [looked, held, ms] = [0, 0, 0];
  for await (const { name, picture } of folder === null ? referenceWorld(bundle) : picturesIn(folder)) {
    const startedAt = performance.now();
    const scores = await classifyAll(bundle.classifiers, picture);
    ms += performance.now() - startedAt;
    const verdict = verdictOf({ scores, ages: await agesIn(bundle, picture), concepts: {} }, where);
    looked++;
    if (verdict.verdict === 'flagged') held++;
    const said = Object.entries(verdict.scores).map(([label, score]) => `${label} ${score.toFixed(2)}`);
    say(`${verdict.rule ?? 'clear'}   ${name}   ${said.join(', ')}`);
  }
  await bundle.close();
  say('');
  say(`${looked} pictures, ${(ms / looked).toFixed(0)} ms each: ${held || 'none'} would be held.`);
  return held || !looked ? 1 : 0;
}

interface Named {
  readonly name: string;
  readonly picture: Bitmap;
}

async function* picturesIn(folder: string): AsyncGenerator<Named> {
  for (const name of (await readdir(folder)).sort()) {
    if (/\.(png|jpe?g|webp|avif)$/i.test(name))
      yield { name, picture: await readPicture(join(folder, name)) };
  }
}

async function* referenceWorld(bundle: PortraitBundle): AsyncGenerator<Named> {
  for (let i = 0; i < PEOPLE; i++) yield { name: `person ${i}`, picture: drawPhoto(person(i), i % 4) };
  for (const [seed, prompt] of PROMPTS.entries()) {
    const { picture } = await drawPortrait(bundle, {
      ...{ prompt, negativePrompt: null, seed, width: 512, height: 640, face: null },
      ...{
        scheduler: 'dpmpp_2m_karras',
        spacing: 'leading',
        steps: 12,
        guidanceScale: 6,
        guidanceRescale: 0,
      },
      ...{ guidanceCutoff: 'conditional', weight: 1, gender: 'auto', startMergeStep: 1_000, faceIdWeight: 1 },
      ...{ detailSteps: 1, detailGuidanceScale: 1, detailStrength: 0, detailCropFactor: 2, detailSide: null },
      detailFeather: 0.1,
    });
    yield { name: prompt, picture };
  }
}
