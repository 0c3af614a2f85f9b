import type { Session } from './session.ts';

/** 8-bit RGB, rows from the top. */
export interface Picture {
  /** [height, width, 3] */
  readonly rgb: Uint8Array;
  /** px */
  readonly width: number;
  /** px */
  readonly height: number;
}

/** One face of a person's reference photos, ready to condition on. Made once per face folder by `encodeFace`. */
export interface FaceIdentity {
  /** n reference photos with a face */
  readonly count: number;
  /** [n, 512] raw ArcFace-role vectors */
  readonly embeddings: Float32Array;
  /** [n, 2, D] PhotoMaker ID tokens */
  readonly idTokens: Float32Array;
  /** D */
  readonly width: number;
}

export type SchedulerName = 'ddim' | 'euler' | 'euler_a' | 'dpmpp_2m' | 'dpmpp_2m_karras' | 'unipc' | 'lcm';

export interface PortraitRequest {
  readonly prompt: string;
  /** `null`: zeros stand for it; `''` is encoded. */
  readonly negativePrompt: string | null;
  /** px, a multiple of 64 */
  readonly width: number;
  /** px, a multiple of 64 */
  readonly height: number;
  readonly seed: number;
  readonly scheduler: SchedulerName;
  readonly steps: number;
  readonly guidanceScale: number;
  /** Emphasis of the whole prompt: `empty + weight · (prompt − empty)` on the conditioning; 1 changes nothing. */
  readonly weight: number;
  /** null: no stage 2. */
  readonly face: FaceIdentity | null;
  readonly detailSteps: number;
  readonly detailGuidanceScale: number;
  /** 0…1, share of the detailing schedule that is executed. */
  readonly detailStrength: number;
  /** 0…2, how far the ID tokens move the class tokens; 1 is PhotoMaker's own. */
  readonly faceIdWeight: number;
  /** Identity conditioning is used from the step after this one. 1000: never in the base. */
  readonly startMergeStep: number;
}

/** The parts of a loaded bundle that `portrait` uses. `src/models.ts` loads it. */
export interface PortraitBundle {
  readonly name: string;
  readonly triggerWord: string;
  readonly textEncoder: Session;
  readonly textEncoder2: Session;
  readonly unet: Session;
  readonly vaeEncoder: Session;
  readonly vaeDecoder: Session;
  readonly faceDetector: Session;
  readonly faceRecognizer: Session;
  readonly faceLandmarks: Session;
  readonly faceGenderAge: Session;
  readonly idTokens: Session;
  readonly idFuse: Session;
  readonly safety: Session;
}
