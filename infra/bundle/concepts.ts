/**
 * `npm run bundle -- concepts DIR [--write]`: from how near on to each concept of config/safety.yaml a prompt should be held, by the
 * bundle's own text encoder; and how often that is wrong. `--write` puts it into `bundle.yaml`.
 *
 * Two halves each, of what means no harm (config/english/prompts.txt), and of what is made of a concept's phrases: fillers inside, words in
 * another order, a clean prompt's own words around it. The first halves set the threshold, the second ones, which are of other phrases'
 * surroundings and other fillers, tell how often it errs. Where that is too often, the encoder does not tell the concept apart, and there
 * is no threshold: better none than a wrong one. Made prompts have one of the concept's phrases in them, so that real ones are missed
 * more often; how often those are that none of its phrases says is told as well, by leaving each phrase out for what is made of it.
 *
 * Ends with 0, with 1 when nothing can be measured, with 2 when the arguments are wrong.
 */
import { readFile, writeFile } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { isMap, parseDocument } from 'yaml';
import { config } from '#config/env.ts';
import { cleanPrompts, type SafetyFile, safety } from '#config/safety.ts';
import {
  type Meaning,
  meaningsOf,
  meanOf,
  nearness,
  type PooledEncoder,
} from '#pipelines/safety/concepts.ts';
import { loadBundle } from '#src/bundles/load.ts';
import { log, messageOf } from '#src/doors/log.ts';
import { type Share, sayShare, shareOf } from '#src/intervals.ts';
import { mulberry32 } from '#src/mulberry32.ts';
import type { Command } from './command.ts';

type Phrases = Pick<SafetyFile, 'concepts' | 'ordinary' | 'fillers'>;

/** Made of a concept's phrases, for each half. */
const MADE = 240;
/** Of the clean prompts that set a threshold, this share may be above it: each is a picture that somebody must look at. */
const ALARMS_SET = 0.005;
/** Told apart is what in truth, as far as the held-out half tells, is no more often wrong than so. */
const ALARMS_MAX = 0.02;
const MISSED_MAX = 0.25;
const SEED = 20_261_201;
/** Of digits that a threshold is written with. */
const DIGITS = 4;

export interface Measured {
  readonly name: string;
  /** null: the encoder does not tell it apart */
  readonly threshold: number | null;
  /** of the held-out half that was made of its phrases */
  readonly missed: Share;
  /** of the clean held-out half */
  readonly alarms: Share;
  /** of the held-out half, each without the phrase that it was made of */
  readonly unlisted: Share;
}

export const conceptsOf =
  (file: Phrases): Command =>
  async (args) => {
    const [dir, ...more] = args.filter((arg) => arg !== '--write');
    if (!dir || more.length || dir.startsWith('-')) {
      process.stderr.write('Usage: npm run bundle -- concepts DIR [--write]\n');
      return 2;
    }
    log.level = 'silent';
    try {
      const bundle = await loadBundle(resolve(dir), {
        threads: config.onnxThreads,
        providers: config.onnxProviders,
      });
      const measured = await measure(bundle, file, cleanPrompts).finally(() => bundle.close());
      sayAll(measured);
      if (args.includes('--write')) await write(resolve(dir), measured);
      return 0;
    } catch (error) {
      process.stderr.write(`${messageOf(error)}\n`);
      return 1;
    }
  };
export default conceptsOf(safety);

const say = (line = '') => process.stdout.write(`${line}\n`);

/** A threshold for each concept, and how often it is wrong. @param clean prompts that mean no harm */
export async function measure(
  encoder: PooledEncoder,
  { concepts, ordinary, fillers }: Phrases,
  clean: readonly string[],
): Promise<Measured[]> {
  const around = meanOf(await meaningsOf(encoder, ordinary));
  const cleanHalves = halves(clean);
  const fillerHalves = halves(fillers);
  const cleanSetting = await meaningsOf(encoder, cleanHalves[0]);
  const cleanHeld = await meaningsOf(encoder, cleanHalves[1]);
  const all: Measured[] = [];
  for (const [name, { phrases }] of Object.entries(concepts)) {
    const known = await meaningsOf(encoder, phrases);
    const near = (text: Meaning) => nearness(text, known, around);
    const made = async (half: 0 | 1) => {
      const prompts = madeOf(phrases, cleanHalves[half], fillerHalves[half], mulberry32(SEED + half));
      const meanings = await meaningsOf(
        encoder,
        prompts.map(({ text }) => text),
      );
      return prompts.map(({ phrase }, i) => ({ phrase, meaning: meanings[i]! }));
    };
    const setting = (await made(0)).map(({ meaning }) => near(meaning));
    const threshold = thresholdOf(setting, cleanSetting.map(near));

    const held = await made(1);
    const below = (scores: readonly number[]) => scores.filter((score) => score < threshold).length;
    const missed = shareOf(below(held.map(({ meaning }) => near(meaning))), held.length);
    const unlisted = held.map(({ meaning, phrase }) => nearness(meaning, known.toSpliced(phrase, 1), around));
    const alarms = shareOf(cleanHeld.length - below(cleanHeld.map(near)), cleanHeld.length);
    const isApart = Math.abs(threshold) < 1 && alarms.high <= ALARMS_MAX && missed.high <= MISSED_MAX;
    all.push({
      name,
      threshold: isApart ? threshold : null,
      missed,
      alarms,
      unlisted: shareOf(below(unlisted), held.length),
    });
  }
  return all;
}

/** Every other one: neighbours in a list are alike. */
function halves<T>(all: readonly T[]): [T[], T[]] {
  return [0, 1].map((half) => all.filter((_, i) => i % 2 === half)) as [T[], T[]];
}

interface Made {
  readonly text: string;
  /** index of the phrase that it was made of */
  readonly phrase: number;
}

/** Prompts that say what a concept's phrases say. */
function madeOf(
  phrases: readonly string[],
  clean: readonly string[],
  fillers: readonly string[],
  random: () => number,
): Made[] {
  const any = <T>(all: readonly T[]): T => all[Math.floor(random() * all.length)]!;
  return Array.from({ length: MADE }, (_, i) => {
    const phrase = i % phrases.length;
    let words = phrases[phrase]!.split(' ');
    // A filler before one of its words; its end first; or as it is.
    const change = any(['filler', 'order', 'none']);
    const at = Math.floor(random() * words.length);
    if (change === 'filler') words.splice(at, 0, any(fillers));
    if (change === 'order') words = [...words.slice(at), ...words.slice(0, at)];
    const said = words.join(' ');
    const [subject = '', ...style] = any(clean).split(', ');
    const text = any([
      [said],
      [said, ...style],
      [...style, said],
      [subject, said, ...style],
      [`${said} and ${subject}`, ...style],
    ]).join(', ');
    return { text, phrase };
  });
}

/**
 * Above all clean scores but as many as may be, and as far from them as from the lowest of the others above: so that what is a little
 * different on either side stays there.
 */
function thresholdOf(made: readonly number[], clean: readonly number[]): number {
  const mayBeAbove = Math.floor(clean.length * ALARMS_SET);
  const below = clean.toSorted((a, b) => b - a)[mayBeAbove] ?? -1;
  const above = Math.min(...made.filter((score) => score > below));
  const middle = Number.isFinite(above) ? (below + above) / 2 : below;
  const rounded = Number(middle.toFixed(DIGITS));
  // Where nothing lies between them.
  return rounded > below ? rounded : rounded + 10 ** -DIGITS;
}

function sayAll(measured: readonly Measured[]): void {
  for (const { name, threshold, missed, alarms, unlisted } of measured) {
    say(
      threshold === null
        ? `${name}: this text encoder does not tell it from ordinary prompts, so it gets no threshold`
        : `${name}: held from ${threshold} on`,
    );
    say(`  missed ${sayShare(missed)} that say it in its phrases' words`);
    say(`  missed ${sayShare(unlisted)} that say it in words of none of its other phrases`);
    say(`  false alarms ${sayFine(alarms)} clean prompts`);
  }
  const found = measured.filter(({ threshold }) => threshold !== null);
  say();
  say(found.length ? 'For bundle.yaml:' : 'There is nothing to put into bundle.yaml.');
  if (!found.length) return;
  say();
  say('concepts:');
  for (const { name, threshold } of found) say(`  ${name}: ${threshold}`);
}

/** In tenths of a percent: false alarms are few, or too many. */
function sayFine({ share, low, high, of }: Share): string {
  const percent = (part: number) => (100 * part).toFixed(1);
  return `${percent(share)} % (${percent(low)}–${percent(high)} %) of ${of}`;
}

/** In place of what stood there; all else stays as it is written. */
async function write(dir: string, measured: readonly Measured[]): Promise<void> {
  const path = join(dir, 'bundle.yaml');
  const document = parseDocument(await readFile(path, 'utf8'));
  for (const { name, threshold } of measured) {
    if (threshold === null) document.deleteIn(['concepts', name]);
    else document.setIn(['concepts', name], threshold);
  }
  const left = document.get('concepts');
  if (isMap(left) && !left.items.length) document.delete('concepts');
  await writeFile(path, document.toString({ lineWidth: 0 }));
  say();
  say(`Written to ${path}.`);
}
