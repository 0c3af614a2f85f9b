/** `bundle.yaml`: which file is what, and what the bundle says of itself. */
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { z } from 'zod';
import { parseYaml } from '#config/load.ts';

const file = z.string().regex(/^(?!.*\.\.)[\w./-]+$/, 'must be a path inside the bundle');

/** `bundle.yaml` */
export const BundleManifest = z.strictObject({
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
      safety: file,
    })
    .refine(
      ({ idTokens, idFuse, idEncoder }) =>
        idEncoder ? !idTokens && !idFuse : idTokens !== undefined && idFuse !== undefined,
      "PhotoMaker's ID encoder is idTokens and idFuse, or idEncoder alone",
    ),
  /** always merged in, as PhotoMaker's own is; what people may choose from lies in `loras/` */
  loras: z.array(z.strictObject({ file, scale: z.number().min(-4).max(4).default(1) })).default([]),
  safetyLabels: z.array(z.string()).min(2).default(['normal', 'flagged']),
  detector: z.strictObject({ size: z.number().int().multipleOf(32), threshold: z.number().min(0).max(1) }),
  /** px */
  detailSide: z.number().int().multipleOf(64).default(1024),
});
export type BundleManifest = z.output<typeof BundleManifest>;

const notNetworks = ['tokenizer', 'tokenizer2', 'scheduler'] as const;
/** What a network is in the bundle. */
export type Role = Exclude<keyof BundleManifest['files'], (typeof notNetworks)[number]>;

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
