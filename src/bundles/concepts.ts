/**
 * Which concepts of config/safety.yaml a bundle's prompts come near to, by its own text encoder and the thresholds that `bundle.yaml` has
 * for it (`npm run bundle -- concepts` measures them).
 */
import { type SafetyFile, safety } from '#config/safety.ts';
import {
  type Meaning,
  meaningsOf,
  meanOf,
  nearness,
  type PooledEncoder,
} from '#pipelines/safety/concepts.ts';
import { hashOf } from '#src/canonical.ts';
import { log } from '#src/doors/log.ts';
import type { Concepts } from '#src/moderation/verdicts.ts';
import type { BundleManifest } from './manifest.ts';

/** How near each prompt comes to each concept that the bundle has a threshold for. Never rejects: null is what could not be asked. */
export type ConceptsIn = (prompts: readonly string[]) => Promise<readonly Concepts[]>;

type Phrases = Pick<SafetyFile, 'concepts' | 'ordinary'>;
type Thresholds = BundleManifest['concepts'];

/** Of digits that are kept. */
const DIGITS = 4;

/** @param encoder without LoRAs that people choose: thresholds are of this one */
export function conceptsIn(
  encoder: PooledEncoder,
  thresholds: Thresholds,
  file: Phrases = safety,
): ConceptsIn {
  const asked = Object.entries(thresholds);
  if (!asked.length) return async (prompts) => prompts.map(() => ({}));
  let known: ReturnType<typeof encoded> | null = null;

  async function encoded() {
    const concepts: { name: string; threshold: number; phrases: Meaning[] }[] = [];
    for (const [name, threshold] of asked)
      concepts.push({ name, threshold, phrases: await meaningsOf(encoder, phrasesOf(name, file)) });
    return { concepts, ordinary: meanOf(await meaningsOf(encoder, file.ordinary)) };
  }

  return async (prompts) => {
    try {
      if (!known) {
        known = encoded();
        // Tried again with the next prompt.
        known.catch(() => {
          known = null;
        });
      }
      const { concepts, ordinary } = await known;
      // Of one prompt there are often several pictures.
      const distinct = [...new Set(prompts)];
      const meanings = await meaningsOf(encoder, distinct);
      return prompts.map((prompt) => {
        const meaning = meanings[distinct.indexOf(prompt)]!;
        return Object.fromEntries(
          concepts.map(({ name, threshold, phrases }) => {
            const score = Number(nearness(meaning, phrases, ordinary).toFixed(DIGITS));
            return [name, { score, threshold }];
          }),
        );
      });
    } catch (err) {
      log.warn({ err }, 'prompts could not be held against concepts: their pictures are held');
      return prompts.map(() => null);
    }
  };
}

/** Of all that such an answer depends on beside the bundle's files; null: nothing is asked. */
export function conceptsHash(thresholds: Thresholds, file: Phrases = safety): string | null {
  const names = Object.keys(thresholds);
  if (!names.length) return null;
  return hashOf([file.ordinary, names.map((name) => [name, phrasesOf(name, file)])]);
}

const phrasesOf = (name: string, { concepts }: Phrases) => concepts[name]?.phrases ?? [];
