/** `config/parameters.yaml`: the parameters that people can set. */
import { z } from 'zod';
import { loadYaml } from './load.ts';

/** What `/settings` shows together, in this order. */
export const parameterGroups = ['picture', 'drawing', 'face', 'queue'] as const;
export type ParameterGroup = (typeof parameterGroups)[number];

const common = {
  /** shown above a form's field: at most 45 characters */
  title: z.string().min(1).max(45),
  group: z.enum(parameterGroups),
  /** shown by Discord: at most 100 characters */
  description: z.string().min(1).max(100),
  operators: z.boolean().default(false),
  pixels: z.boolean().default(true),
};

const NumberParameter = z
  .strictObject({
    ...common,
    type: z.enum(['number', 'integer']),
    min: z.number(),
    max: z.number(),
    /** values are rounded to the nearest multiple; min and max are multiples of it */
    step: z.number().positive().optional(),
    default: z.number().nullable(),
  })
  .refine(
    (p) => p.min < p.max && (p.default === null || (p.default >= p.min && p.default <= p.max)),
    'min, default and max are not in order',
  )
  .refine(
    ({ min, max, step, default: byDefault }) =>
      !step || [min, max, byDefault ?? min].every((value) => value % step === 0),
    'min, default and max are not multiples of step',
  );
const BooleanParameter = z.strictObject({ ...common, type: z.literal('boolean'), default: z.boolean() });
/** Lists of choices that the program makes, in `src/parameters/definitions.ts`. */
const programChoices = [
  'schedulers',
  'spacings',
  'cutoffs',
  'genders',
  'shapes',
  'tiers',
  'bundles',
] as const;
export type ProgramChoices = (typeof programChoices)[number];
const ChoiceParameter = z.strictObject({
  ...common,
  type: z.literal('choice'),
  choices: z.union(
    [z.array(z.string().min(1)).min(1), z.enum(programChoices)],
    `must be a list of words, or one of ${programChoices.join(', ')}`,
  ),
  /** left out of `bundles`: what BUNDLE names */
  default: z.string().optional(),
});
const TextParameter = z.strictObject({
  ...common,
  type: z.literal('text'),
  maxLength: z.number().int().positive(),
  default: z.string().nullable(),
});

/** Names of LoRAs that workers have, with scales; see src/bundles/lora-choice.ts. */
const LorasParameter = z.strictObject({ ...common, type: z.literal('loras'), default: z.null() });

const ParameterEntry = z.discriminatedUnion('type', [
  NumberParameter,
  BooleanParameter,
  ChoiceParameter,
  TextParameter,
  LorasParameter,
]);

/** A parameter as the file has it; see `src/parameters/definitions.ts` for one with its choices. */
export type ParameterEntry = z.output<typeof ParameterEntry>;
/** A value of any parameter. null: not set. */
export type ParameterJson = string | number | boolean | null;

const ParametersFile = z.record(
  z.string().regex(/^[a-z][a-z0-9_]{0,31}$/, 'must be lower_case'),
  ParameterEntry,
);

/** name → definition, in the file's order */
export const parameterEntries: ReadonlyMap<string, ParameterEntry> = new Map(
  Object.entries(loadYaml(new URL('./parameters.yaml', import.meta.url), ParametersFile)),
);
