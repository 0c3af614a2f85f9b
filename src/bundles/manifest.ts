/** `bundle.yaml`: which file is what, and what the bundle says of itself. */
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { z } from 'zod';
import { parseYaml } from '#config/load.ts';
import { safety } from '#config/safety.ts';

const file = z.string().regex(/^(?!.*\.\.)[\w./-]+$/, 'must be a path inside the bundle');

/** Of red, green and blue, of levels 0…1, as `preprocessor_config.json` has it; one number for all three. */
const ofChannels = (least: number) => {
  const level = z.number().min(least, OF_LEVELS).max(1, OF_LEVELS);
  return z
    .union([level, z.tuple([level, level, level])])
    .transform((value): [number, number, number] =>
      typeof value === 'number' ? [value, value, value] : value,
    );
};
const OF_LEVELS = 'is of levels 0…1, as preprocessor_config.json has it: 0.5 and 0.5 make −1…1';
const VIT_INPUT = {
  side: 224,
  resize: 'antialias' as const,
  mean: [0.5, 0.5, 0.5] as [number, number, number],
  std: [0.5, 0.5, 0.5] as [number, number, number],
};

/** One of the networks that look at each picture before it leaves. */
const classifier = z.strictObject({
  name: z.string().regex(/^[a-z][a-z0-9-]{0,31}$/),
  file,
  /** see `Feed` in pipelines/safety/classify.ts */
  input: z.strictObject({
    side: z.number().int().min(16).max(2048),
    resize: z.enum(['antialias', 'corners']),
    mean: ofChannels(0),
    std: ofChannels(0.001),
  }),
  /** in the order of its logits; config/safety.yaml says which of them mean what */
  labels: z
    .array(z.string().regex(/^[\w -]{1,40}$/))
    .min(2)
    .refine((labels) => new Set(labels).size === labels.length, 'has a label twice'),
  /** label → score: what it says of the test card (pipelines/safety/test-card.ts) where it is fed as it was trained */
  testCard: z.record(z.string(), z.number().min(0).max(1)).optional(),
});
export type ClassifierEntry = z.output<typeof classifier>;

/** `bundle.yaml` as it is written. */
const Written = z.strictObject({
  version: z.literal(1),
  name: z.string().regex(/^[a-z0-9-]+$/),
  title: z.string().min(1),
  family: z.literal('sdxl'),
  /** true: made for tests and demos, and says so wherever it is named */
  standIn: z.boolean().default(false),
  licence: z.string().min(1),
  triggerWord: z.string().regex(/^[a-z]+$/),
  memoryGib: z.number().positive(),
  files: z
    .strictObject({
      textEncoder: file,
      textEncoder2: file,
      unet: file,
      vaeEncoder: file,
      vaeDecoder: file,
      tokenizer: file,
      tokenizer2: file,
      scheduler: file,
      faceDetector: file,
      faceRecognizer: file,
      faceLandmarks: file,
      faceGenderAge: file,
      idTokens: file.optional(),
      idFuse: file.optional(),
      idEncoder: file.optional(),
      upscaler: file.optional(),
      /** the only classifier of older bundles, whose labels are `safetyLabels`; new ones have `classifiers` */
      safety: file.optional(),
    })
    .refine(
      ({ idTokens, idFuse, idEncoder }) =>
        idEncoder ? !idTokens && !idFuse : idTokens !== undefined && idFuse !== undefined,
      "PhotoMaker's ID encoder is idTokens and idFuse, or idEncoder alone",
    ),
  /** always merged in, as PhotoMaker's own is; what people may choose from lies in `loras/` */
  loras: z.array(z.strictObject({ file, scale: z.number().min(-4).max(4).default(1) })).default([]),
  safetyLabels: classifier.shape.labels.default(['normal', 'flagged']),
  classifiers: z.array(classifier).default([]),
  /**
   * Years that the age network reads too many: 95 of 100 faces are at least as old as it says, less this. `npm run bundle -- ages` measures
   * it. Left out, nobody knows, and every face may be a child's.
   */
  ageError: z.number().min(0).max(100).optional(),
  /**
   * Concept of config/safety.yaml → from how near on to it a prompt's picture is held for review, by this bundle's second text encoder.
   * `npm run bundle -- concepts` measures it. A concept that is left out is not asked about.
   */
  concepts: z
    .record(z.string(), z.number().gt(-1).lt(1))
    .superRefine((concepts, { addIssue }) => {
      const known = Object.keys(safety.concepts);
      for (const name of Object.keys(concepts).filter((one) => !known.includes(one)))
        addIssue({
          code: 'custom',
          path: [name],
          message: `config/safety.yaml has no such concept; it has ${known.join(', ')}`,
        });
    })
    .default({}),
  detector: z.strictObject({ size: z.number().int().multipleOf(32), threshold: z.number().min(0).max(1) }),
  /** px */
  detailSide: z.number().int().multipleOf(64).default(1024),
});

/** `bundle.yaml`: what looks at pictures is in `classifiers`, however it is written. */
export const BundleManifest = Written.transform(
  ({ files: { safety, ...files }, safetyLabels, classifiers, ...rest }) => ({
    ...rest,
    files,
    classifiers: [
      ...(safety === undefined
        ? []
        : [
            {
              name: 'safety',
              file: safety,
              input: VIT_INPUT,
              labels: safetyLabels,
            } satisfies ClassifierEntry,
          ]),
      ...classifiers,
    ],
  }),
)
  .refine(({ classifiers }) => classifiers.length > 0, {
    path: ['classifiers'],
    message: 'no picture leaves unseen: at least one classifier is needed',
  })
  .refine(({ classifiers }) => new Set(classifiers.map(({ name }) => name)).size === classifiers.length, {
    path: ['classifiers'],
    message: 'two classifiers have one name',
  });
export type BundleManifest = z.output<typeof BundleManifest>;

const notNetworks = ['tokenizer', 'tokenizer2', 'scheduler'] as const;
/** A network that a bundle has one of. */
export type FileRole = Exclude<keyof BundleManifest['files'], (typeof notNetworks)[number]>;
/** What a network is in the bundle. */
export type Role = FileRole | ClassifierRole;
export type ClassifierRole = `classifier ${string}`;
export const isClassifierRole = (role: Role): role is ClassifierRole => role.startsWith('classifier ');
export const classifierRole = ({ name }: Pick<ClassifierEntry, 'name'>): ClassifierRole =>
  `classifier ${name}`;

/** @throws {Error} `bundle.yaml:3: …` */
export async function readManifest(dir: string): Promise<BundleManifest> {
  let text: string;
  try {
    text = await readFile(join(dir, 'bundle.yaml'), 'utf8');
  } catch {
    throw new Error(`There is no bundle.yaml in ${dir}.`);
  }
  return parseYaml(text, BundleManifest, 'bundle.yaml');
}
