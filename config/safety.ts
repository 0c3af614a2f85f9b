/** `config/safety.yaml`: rules for prompts, and the image classifier's threshold. */
import { z } from 'zod';
import { loadYaml } from './load.ts';

const phrases = z
  .array(
    z
      .string()
      .regex(/^[a-z]{2,}(?: [a-z]+)*$/, 'must be lower-case words of a–z, the first of two letters or more'),
  )
  .min(1);
const SafetyFile = z.strictObject({
  rules: z.record(
    z.string().regex(/^[a-z_]+$/),
    z.strictObject({
      says: z.string().min(1).max(200),
      any: phrases,
      both: phrases.optional(),
      negative: z.boolean().default(false),
    }),
  ),
  harmless: phrases,
  promptMax: z.number().int().positive(),
  classifier: z.strictObject({ label: z.string().min(1), threshold: z.number().min(0).max(1) }),
});

export const safety = loadYaml(new URL('./safety.yaml', import.meta.url), SafetyFile);
