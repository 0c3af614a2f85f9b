/**
 * What the portrait pipeline takes of a generation: the one place that says which parameter means what to it. A parameter that
 * changes the picture and is missing here would be charged and draw the same picture:
 * test/src/services/worker/requests/portrait.test.ts fails then.
 */
import { z } from 'zod';
import { genders, guidanceCutoffs, schedulerNames, spacings } from '#pipelines/choices.ts';
import type { PortraitRequest } from '#pipelines/portrait.ts';
import { type LoraChoice, parseLoras } from '#src/bundles/lora-choice.ts';
import type { Generation } from '#src/doors/db.ts';

/**
 * The row may hold more, for others. A row that waited while Atelier was updated lacks new parameters: it was asked with
 * their defaults.
 */
const PortraitParameters = z.object({
  guidance_scale: z.number(),
  guidance_rescale: z.number().default(0),
  guidance_cutoff: z.enum(guidanceCutoffs).default('conditional'),
  steps: z.number().int(),
  weight: z.number(),
  negative_prompt: z.string().nullable(),
  lora: z.string().nullable().default(null),
  scheduler: z.enum(schedulerNames),
  timestep_spacing: z.enum(spacings).default('ays'),
  detail_guidance_scale: z.number(),
  detail_steps: z.number().int(),
  detail_strength: z.number(),
  detail_crop_factor: z.number().default(2),
  detail_size: z.number().nullable().default(null),
  detail_feather: z.number().default(0.14),
  // It was a share once, 0…2.
  face_id_weight: z.number().transform((count) => Math.max(1, Math.round(count))),
  gender: z.enum(genders).default('auto'),
  start_merge_step: z.number().int(),
});

/** A picture to be drawn, without its face: the photos are fetched when it is drawn. */
export interface PortraitTask {
  readonly request: Omit<PortraitRequest, 'face'>;
  /** merged into the networks beforehand */
  readonly loras: readonly LoraChoice[];
}

/** @param generation its shape parameter is in width and height */
export function portraitTask({
  prompt,
  width,
  height,
  seed,
  parameters,
}: Pick<Generation, 'prompt' | 'width' | 'height' | 'seed' | 'parameters'>): PortraitTask {
  const values = PortraitParameters.parse(parameters);
  const request = {
    prompt,
    negativePrompt: values.negative_prompt,
    width,
    height,
    seed: Number(seed),
    scheduler: values.scheduler,
    spacing: values.timestep_spacing,
    steps: values.steps,
    guidanceScale: values.guidance_scale,
    guidanceRescale: values.guidance_rescale,
    guidanceCutoff: values.guidance_cutoff,
    weight: values.weight,
    detailSteps: values.detail_steps,
    detailGuidanceScale: values.detail_guidance_scale,
    detailStrength: values.detail_strength,
    detailCropFactor: values.detail_crop_factor,
    detailSide: values.detail_size,
    detailFeather: values.detail_feather,
    faceIdWeight: values.face_id_weight,
    gender: values.gender,
    startMergeStep: values.start_merge_step,
  };
  return { request, loras: parseLoras(values.lora ?? '') };
}
