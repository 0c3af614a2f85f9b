/**
 * What the YAML of a sweep may hold.
 *
 * ```yaml
 * name: strength against steps
 * prompts: [portrait of a woman in a garden, portrait of a man by the sea]   # or `prompt: …`, or by name, as
 *                                 # { garden: portrait of a woman in a garden, sea: portrait of a man by the sea }
 * method: grid                    # every combination; `random` draws `samples` of them; `list` takes `cells`
 * axes:                           # any parameter but seed, tier and production_mode
 *   detail_strength: 0.2, 0.4, .., 0.8
 *   steps: { from: 10, to: 30, step: 10 }
 *   scheduler: [ddim, euler]
 * samples: 8                      # of `random`, drawn by `random_seed`
 * cells: [{ steps: 10 }, { steps: 20, scheduler: euler }]                    # of `list`
 * seeds: [1, 2]                   # or how many: 2 is 1 and 2
 * faces: [ada]                    # face folders
 * set: { guidance_scale: 6 }      # the same in every cell
 * limit: 50                       # the first so many pictures, and no more
 * ```
 *
 * This is its shape alone; check.ts says what else has to be right.
 */
import { z } from 'zod';
import { message, type Say } from '#src/say.ts';
import { LABEL_LENGTH } from './labels.ts';

/** Values of one axis; 14 full ones are still counted and checked in some milliseconds. */
export const VALUES_MAX = 1_000;
/** Each is read against the safety rules, which takes up to two milliseconds of the thread. */
const PROMPTS_MAX = 200;
const SEED_MAX = 2 ** 32 - 1;

/** What our own reasons name. YAML is the same in every language. */
const facts = {
  values: VALUES_MAX,
  prompts: PROMPTS_MAX,
  characters: LABEL_LENGTH,
  seed: SEED_MAX,
  range: '`{ from: 10, to: 30, step: 10 }`',
};
const reasons = {
  value: message('must be a word, a number, `on` or `off`'),
  values: message(
    'must be a list of up to {values} values, as `[10, 20]`, or a range, as `0.2, 0.4, .., 0.8` or {range}',
  ),
  prompts: message(
    'must be a list of up to {prompts} prompts, or lines of `name: prompt` with names of up to {characters} characters',
  ),
  seeds: message('must be a list of whole numbers from 0 to {seed}, or how many'),
  sweep: message('must be lines of `key: value`, as `prompt: …` and `axes: …`'),
} as const;

/** What is wrong, as the end of a sentence: a reason of ours, or one of zod's, which are in English. */
export function reasonOf(say: Say, issue: z.core.$ZodIssue): string {
  const message = Object.values(reasons).find((reason) => reason === issue.message);
  return message ? say(message, facts) : issue.message;
}

const Value = z.union([z.string(), z.number(), z.boolean(), z.null()], reasons.value);
const Range = z.strictObject({ from: z.number(), to: z.number(), step: z.number() });
const Values = z.union([z.array(Value).min(1).max(VALUES_MAX), Range, Value], reasons.values);
const Seed = z.number().int().min(0).max(SEED_MAX);
const Settings = z.record(z.string(), Value);

export const Sweep = z.strictObject(
  {
    name: z.string().trim().min(1).max(80).default('Sweep'),
    method: z.enum(['grid', 'random', 'list']).default('grid'),
    prompt: z.string().optional(),
    prompts: z
      .union(
        [
          z.array(z.string()).min(1).max(PROMPTS_MAX),
          z
            .record(z.string().min(1).max(LABEL_LENGTH), z.string())
            .refine((named) => Object.keys(named).length <= PROMPTS_MAX),
        ],
        reasons.prompts,
      )
      .optional(),
    axes: z.record(z.string(), Values).default({}),
    cells: z.array(Settings).min(1).max(VALUES_MAX).optional(),
    seeds: z
      .union([z.array(Seed).min(1).max(VALUES_MAX), z.number().int().min(1).max(VALUES_MAX)], reasons.seeds)
      .default([1]),
    faces: z.array(z.string()).max(VALUES_MAX).default([]),
    set: Settings.default({}),
    samples: z.number().int().min(1).max(VALUES_MAX).default(8),
    random_seed: Seed.default(1),
    limit: z.number().int().min(1).optional(),
  },
  {
    error: (issue) => (issue.code === 'invalid_type' ? reasons.sweep : undefined),
  },
);

/** A sweep of the right shape. */
export type SweepShape = z.output<typeof Sweep>;
/** What is written for one axis. */
export type WrittenValues = z.output<typeof Values>;
