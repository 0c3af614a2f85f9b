/**
 * A set of rules, ready to be asked: config/safety.yaml, or a candidate beside it. Which of them count in this process is told by
 * standing.ts.
 */
import { cleanPrompts, type English, english, nextSafety, type SafetyFile, safety } from '#config/safety.ts';
import { hashOf } from '#src/canonical.ts';
import { type Folded, fold } from './folding.ts';
import { type Broken, type Rule, rulesOf } from './rules.ts';
import { fileInForce, fileLookingOn } from './standing.ts';

/** Raised when the same text is read otherwise by the same rules. */
const READING_VERSION = 3;

/** A prompt in a script of syllables becomes up to three times as long by folding; one made to grow, eighteen times. */
export const FOLDED_MAX = 4 * safety.promptMax;

export interface RuleSet {
  /** of all that a verdict by them depends on */
  readonly hash: string;
  readonly file: SafetyFile;
  /** Made when they are asked for first: they take 14 MB, and 0.2 s. @throws {Error} as `gatesOf` */
  readonly gates: Gates;
}

export interface Gates {
  readonly prompts: (readings: readonly Folded[]) => Broken | undefined;
  readonly negatives: (readings: readonly Folded[]) => Broken | undefined;
}

/** @param name of its file. @throws {Error} when the rules stop ordinary prompts, saying which word, and how many */
export function gatesOf(file: SafetyFile, name: string, words: English, clean: readonly string[]): Gates {
  const forPrompts = Object.entries(file.rules).map(([id, rule]): Rule => ({ id, ...rule }));
  const forNegatives = [
    ...forPrompts.filter(({ negative }) => negative),
    ...Object.entries(file.negatives).map(
      ([id, rule]): Rule => ({ id, ...rule, negative: rule.says, alone: true }),
    ),
  ];
  // Together they are one automaton.
  const rules = rulesOf(file, [...new Set([...forPrompts, ...forNegatives])], words);
  const gates: Gates = {
    prompts: (readings) => rules(readings, forPrompts),
    negatives: (readings) => rules(readings, forNegatives),
  };
  mustLetPass(gates.prompts, name, clean);
  return gates;
}

/** Of a hundred ordinary prompts, rules may stop one: a word that stops more is in so many that nobody could draw. */
const STOPPED_MAX = 0.01;

function mustLetPass(stops: Gates['prompts'], name: string, clean: readonly string[]): void {
  const stopped = clean.flatMap((prompt) => stops(fold(prompt, FOLDED_MAX) ?? []) ?? []);
  if (stopped.length <= clean.length * STOPPED_MAX) return;
  const byWord = Map.groupBy(stopped, ({ rule, phrase }) => `rules.${rule.id}: \`${phrase}\``);
  const told = [...byWord]
    .sort(([, a], [, b]) => b.length - a.length)
    .slice(0, 5)
    .map(([word, all]) => `${name}: ${word} would stop ${all.length} of the ${clean.length} clean prompts`);
  throw new Error(`${told.join('\n')}\nTake such words out, or let them count in a phrase.`);
}

/** The rest of them is for `npm run bench -- safety`: a process that starts tries enough to know. */
const TRIED_AT_START = 100;

/** @param name of its file, for what is wrong with it */
export function ruleSetOf(file: SafetyFile, name: string): RuleSet {
  const hash = hashOf({ version: READING_VERSION, ...file, english });
  let gates: Gates | undefined;
  return {
    hash,
    file,
    get gates() {
      gates ??= gatesOf(file, name, english, cleanPrompts.slice(0, TRIED_AT_START));
      return gates;
    },
  };
}

/** Those of config/safety.yaml. */
export const ownRules = ruleSetOf(safety, 'safety.yaml');
/** Those of config/safety.next.yaml; null: there are none. */
export const nextRules = nextSafety && ruleSetOf(nextSafety, 'safety.next.yaml');

/** Of the rules that a `CheckedPrompt` was checked by: one that was kept counts only as long as they are the same. */
export const rulesHash = (): string => rulesInForce().hash;
export const rulesInForce = (): RuleSet => ofFile(fileInForce()) ?? ownRules;
/** Nothing comes of what these say; null: there are none. */
export const rulesLookingOn = (): RuleSet | null => ofFile(fileLookingOn());

const ofFile = (file: SafetyFile | null) => [ownRules, nextRules].find((one) => one?.file === file) ?? null;
