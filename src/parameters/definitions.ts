/**
 * What parameters there are, and which values each takes: config/parameters.yaml with the choices that the program names.
 * Pure: it knows nobody's values.
 */
import { entryOf } from '#config/bundles.ts';
import { config } from '#config/env.ts';
import {
  type ParameterEntry,
  type ParameterJson,
  type ProgramChoices,
  parameterEntries,
} from '#config/parameters.ts';
import { tiers } from '#config/tiers.ts';
import { genders, guidanceCutoffs, schedulerNames, spacings } from '#pipelines/choices.ts';
import { parseLoras, sayLoras } from '#src/bundles/lora-choice.ts';
import { UserError } from '#src/errors.ts';
import { makerName } from '#src/maker-name.ts';
import { checkName, checkNegativePrompt } from '#src/moderation/words.ts';
import { message, type Say } from '#src/say.ts';
import { isKeepable } from '#src/text.ts';

export type { ParameterJson } from '#config/parameters.ts';

/** name → value */
export type ResolvedParameters = Record<string, ParameterJson>;

type Choice = Omit<Extract<ParameterEntry, { type: 'choice' }>, 'choices' | 'default'> & {
  readonly choices: readonly string[];
  readonly default: string;
};
export type Parameter = Exclude<ParameterEntry, { type: 'choice' }> | Choice;

const choices: Readonly<Record<ProgramChoices, readonly string[]>> = {
  schedulers: schedulerNames,
  spacings,
  cutoffs: guidanceCutoffs,
  genders,
  // One that a bundle has not is refused when it is drawn with that.
  shapes: [...new Set(config.bundles.flatMap((name) => Object.keys(entryOf(name).shapes)))],
  tiers: [...tiers.keys()],
  bundles: config.bundles,
};

/** name → definition, in the file's order */
export const parameters: ReadonlyMap<string, Parameter> = new Map(
  [...parameterEntries].map(([name, entry]) => [name, withChoices(name, entry)]),
);

/** @throws {Error} naming the parameter whose default is none of its choices */
function withChoices(name: string, entry: ParameterEntry): Parameter {
  if (entry.type !== 'choice') return entry;
  const named = typeof entry.choices === 'string' ? choices[entry.choices] : entry.choices;
  const byDefault = entry.default ?? (entry.choices === 'bundles' ? config.bundle : 'left out');
  if (!named.includes(byDefault))
    throw new Error(`config/parameters.yaml: ${name}: default ${byDefault} is none of ${named.join(', ')}`);
  return { ...entry, choices: named, default: byDefault };
}

/** The bundle that a picture with these values is drawn with. Rows from before there was a choice have none. */
export function bundleOf({ bundle }: ResolvedParameters): string {
  return typeof bundle === 'string' ? bundle : config.bundle;
}

const YES = new Set(['on', 'true', 'yes']);
const NO = new Set(['off', 'false', 'no']);
/** What a person types for "not set", where that is the default: a random seed, no negative prompt. */
const NOT_SET = new Set(['none', 'random']);
/** No hexadecimal, no exponent, no "Infinity": what a person would write. */
const NUMBER = /^[+-]?(?:\d+\.?\d*|\.\d+)$/;

/** @throws {UserError} `parameter_unknown` with the nearest names */
export function definition(name: string): Parameter {
  const found = parameters.get(name);
  if (found) return found;
  throw new UserError('parameter_unknown', { name, near: nearNames(name).slice(0, 3) });
}

/**
 * The value that `input` means for a parameter; from the text of `/set`, or from JSON and YAML. null and `default` mean
 * the default; `none` too, where the default is "not set".
 *
 * @throws {UserError} `parameter_unknown`, `_type`, `_range`, `_choice`, `_length`, `lora_…`, `text_unkeepable`, `text_grows`,
 *   `negative_blocked`, `name_blocked`
 */
export function parseParameter(name: string, input: ParameterJson): ParameterJson {
  const parameter = definition(name);
  const wrong = (expected: string) => new UserError('parameter_type', { name, expected, got: String(input) });
  const word = String(input).trim().toLowerCase();
  if (input === null || word === 'default' || (parameter.default === null && NOT_SET.has(word))) {
    return parameter.default;
  }

  switch (parameter.type) {
    case 'boolean': {
      if (YES.has(word)) return true;
      if (NO.has(word)) return false;
      throw wrong(message('`on` or `off`'));
    }
    case 'choice': {
      const { choices } = parameter;
      if (!choices.includes(word))
        throw new UserError('parameter_choice', { name, choices, got: String(input) });
      return word;
    }
    case 'loras': {
      if (typeof input !== 'string') throw wrong(message('names of LoRAs, as `film:0.6, ink`'));
      const loras = parseLoras(input);
      for (const lora of loras) checkName(lora.name, message('A LoRA'));
      return sayLoras(loras) || null;
    }
    case 'text': {
      if (typeof input !== 'string') throw wrong(message('text'));
      const text = input.trim();
      if (!isKeepable(text)) throw new UserError('text_unkeepable', { what: `\`${name}\`` });
      const got = [...text].length;
      if (got > parameter.maxLength)
        throw new UserError('parameter_length', { name, max: parameter.maxLength, got });
      if (name === 'negative_prompt') checkNegativePrompt(text);
      if (name === 'maker_name') return text ? makerName(text) : parameter.default;
      return text || parameter.default;
    }
    case 'number':
    case 'integer': {
      const { min, max, step, type } = parameter;
      const expected =
        type === 'integer' ? message('a whole number') : message('a number, with a point, as `7.5`');
      const number = typeof input === 'string' && NUMBER.test(word) ? Number(word) : input;
      if (typeof number !== 'number' || !Number.isFinite(number)) throw wrong(expected);
      if (type === 'integer' && !Number.isInteger(number)) throw wrong(expected);
      if (number < min || number > max)
        throw new UserError('parameter_range', { name, min, max, got: number });
      // -0 and 0 are one value, and one cell key; so are those that draw the same.
      return (step ? step * Math.round(number / step) : number) + 0;
    }
  }
}

/** What a person says of himself, not of a picture: no picture is drawn with it, and none keeps it. */
export const OF_PERSON: ReadonlySet<string> = new Set(['share_prompts', 'maker_name']);

/** The parameters that `mustGoTogether` looks at. */
export const TOGETHER = ['guidance_cutoff', 'negative_prompt'] as const;

/** Nothing may follow a negative prompt alone: the rules for prompts do not read it. @throws {UserError} `negative_alone` */
export function mustGoTogether({ guidance_cutoff, negative_prompt }: ResolvedParameters): void {
  if (guidance_cutoff === 'unconditional' && negative_prompt) throw new UserError('negative_alone', {});
}

/** What a parameter is called, in the reader's language. */
export function titleOf(say: Say, { title: message }: Parameter): string {
  return say(message);
}

export function descriptionOf(say: Say, { description: message }: Parameter): string {
  return say(message);
}

/** How a value is shown: `on`, `7.5`, `random`. */
export function showValue(name: string, value: ParameterJson): string {
  if (value === null) return name === 'seed' ? 'random' : 'none';
  if (typeof value === 'boolean') return value ? 'on' : 'off';
  return String(value);
}

/** A stored value, if the parameter would still take it; else the default. */
export function fitting(name: string, value: unknown): ParameterJson {
  const { default: byDefault } = definition(name);
  if (typeof value !== 'string' && typeof value !== 'number' && typeof value !== 'boolean') return byDefault;
  try {
    return parseParameter(name, value);
  } catch {
    return byDefault;
  }
}

/** Names that somebody may have meant, nearest first. The shorter a word, the nearer it must be: `foo` means nothing. */
export function nearNames(typed: string): string[] {
  const wanted = inOneWord(typed);
  const allowed = Math.min(DISTANCE_MAX, Math.ceil(wanted.length / 4));
  return [...parameters]
    .map(([name, { title }]) => ({
      name,
      far: Math.min(farFrom(wanted, name), farFrom(wanted, inOneWord(title))),
    }))
    .filter(({ far }) => far <= allowed)
    .sort((a, b) => a.far - b.far)
    .map(({ name }) => name);
}

const DISTANCE_MAX = 3;
/** Letters that a part of a name must have to be a guess at it. */
const PART_MIN = 3;

function inOneWord(text: string): string {
  return text
    .trim()
    .toLowerCase()
    .replaceAll(/[\s-]+/g, '_');
}

/** 0: its beginning; 1: a part of it; or else as many letters as differ. */
function farFrom(wanted: string, name: string): number {
  const part = wanted.length < PART_MIN ? -1 : name.indexOf(wanted);
  if (part >= 0) return Math.min(part, 1);
  return distance(wanted, name);
}

/** Levenshtein's, of two short words; one more than the most stands for anything beyond it. */
function distance(a: string, b: string): number {
  if (Math.abs(a.length - b.length) > DISTANCE_MAX) return DISTANCE_MAX + 1;
  let row = Array.from({ length: b.length + 1 }, (_, j) => j);
  for (let i = 1; i <= a.length; i++) {
    const next = [i];
    for (let j = 1; j <= b.length; j++) {
      const change = a[i - 1] === b[j - 1] ? 0 : 1;
      next.push(Math.min(row[j]! + 1, next[j - 1]! + 1, row[j - 1]! + change));
    }
    row = next;
  }
  return row[b.length]!;
}
