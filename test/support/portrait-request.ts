/** A portrait asked of a pipeline, with every fact in place, to be changed where a test cares. */
import type { PortraitRequest } from '#pipelines/portrait.ts';

export function portraitRequest(prompt: string, changes: Partial<PortraitRequest> = {}): PortraitRequest {
  return {
    prompt,
    negativePrompt: null,
    width: 384,
    height: 448,
    seed: 7,
    scheduler: 'ddim',
    spacing: 'ays',
    steps: 10,
    guidanceScale: 5,
    guidanceRescale: 0,
    guidanceCutoff: 'conditional',
    weight: 1,
    face: null,
    detailSteps: 12,
    detailGuidanceScale: 4,
    detailStrength: 0.6,
    detailCropFactor: 2,
    // Half of what the bundle draws faces at: a quarter of the time.
    detailSide: 320,
    detailFeather: 0.14,
    faceIdWeight: 4,
    gender: 'auto',
    startMergeStep: 1000,
    ...changes,
  };
}
