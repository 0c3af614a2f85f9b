/** What the worker and its draw thread say to each other. Bytes are transferred or copied, never shared. */
import type { PortraitRequest } from '#pipelines/portrait.ts';
import type { LoraChoice } from '#src/bundles/lora-choice.ts';
import type { SessionReport } from '#src/doors/onnx.ts';

/** A face, as far as the thread has to know it. */
export interface FacePhotos {
  /** the identity is remembered by them */
  readonly photoIds: readonly string[];
  /** stored files, in the same order */
  readonly photos: readonly Uint8Array[];
}

/** from the worker to the thread */
export type Ask =
  | {
      readonly kind: 'draw';
      readonly id: number;
      readonly request: Omit<PortraitRequest, 'face'>;
      readonly face: FacePhotos | null;
      readonly loras: readonly LoraChoice[];
    }
  | { readonly kind: 'count-faces'; readonly id: number; readonly photo: Uint8Array }
  /** which faces it remembers */
  | { readonly kind: 'faces'; readonly id: number }
  | { readonly kind: 'forget'; readonly id: number; readonly photoIds: readonly string[] }
  | { readonly kind: 'abort'; readonly id: number };

export interface DrawResult {
  readonly png: Uint8Array<ArrayBuffer>;
  readonly width: number;
  readonly height: number;
  readonly thumbhash: Uint8Array<ArrayBuffer>;
  /** label → 0…1; null: the classifier failed */
  readonly scores: Record<string, number> | null;
  readonly likeness: number | null;
  /** stage → ms */
  readonly timings: Record<string, number>;
}

/** from the thread to the worker */
export type ThreadMessage =
  /** a network was loaded, or its first run showed where it runs */
  | { readonly kind: 'session'; readonly report: SessionReport }
  /** the bundle is loaded, of these files */
  | { readonly kind: 'ready'; readonly files: readonly string[] }
  /** 0…1 of the whole picture */
  | { readonly kind: 'progress'; readonly id: number; readonly progress: number }
  | { readonly kind: 'drawn'; readonly id: number; readonly result: DrawResult }
  | { readonly kind: 'counted'; readonly id: number; readonly faces: number }
  /** ids of the photos of all faces that it remembers */
  | { readonly kind: 'remembered'; readonly id: number; readonly photoIds: readonly string[] }
  | { readonly kind: 'failed'; readonly id: number; readonly error: Error };
