/** What the worker, a bundle's draw thread and its finish thread say to each other. Bytes are transferred or copied, never shared. */
import type { Bitmap, PortraitRequest } from '#pipelines/portrait.ts';
import type { LoraChoice } from '#src/bundles/lora-choice.ts';
import type { SessionReport } from '#src/doors/onnx.ts';
import type { Circumstances, SeenIn } from '#src/moderation/verdicts.ts';

/** Pictures that are drawn together, at most. */
export const BATCH_MAX = 4;

/** A face, as far as the thread has to know it. */
export interface FacePhotos {
  /** the identity is remembered by them */
  readonly photoIds: readonly string[];
  /** stored files, in the same order */
  readonly photos: readonly Uint8Array[];
}

/** What a face is remembered by. */
export const faceKey = ({ photoIds }: Pick<FacePhotos, 'photoIds'>) => photoIds.join(' ');

/** A picture to be drawn. */
export interface PictureAsk {
  readonly id: number;
  readonly request: Omit<PortraitRequest, 'face'>;
  readonly face: FacePhotos | null;
  /** 0: after each step, whatever that costs; null: none are wanted */
  readonly previewEveryMs: number | null;
  /** what its previews are judged by */
  readonly where: Circumstances;
}

/** from the worker to the draw thread */
export type Ask =
  | {
      readonly kind: 'draw';
      /** `generationId`: what its marks say */
      readonly pictures: readonly (PictureAsk & { readonly generationId: string })[];
      readonly loras: readonly LoraChoice[];
    }
  | { readonly kind: 'count-faces'; readonly id: number; readonly photo: Uint8Array }
  /** which faces it remembers */
  | { readonly kind: 'faces'; readonly id: number }
  | { readonly kind: 'forget'; readonly id: number; readonly photoIds: readonly string[] }
  /** to load a set of LoRAs beside what is drawn; it may be there */
  | { readonly kind: 'load-loras'; readonly id: number; readonly loras: readonly LoraChoice[] }
  /** to let sets of LoRAs and faces go, by their keys; nothing is drawn with them */
  | {
      readonly kind: 'drop';
      readonly id: number;
      readonly loras: readonly string[];
      readonly faces: readonly string[];
    }
  /** to say when all that was asked for so far has left the networks */
  | { readonly kind: 'rest'; readonly id: number }
  /** to close every session; nothing is asked for any more */
  | { readonly kind: 'close'; readonly id: number }
  | { readonly kind: 'abort'; readonly id: number };

/** What is kept of a picture. */
export interface DrawResult extends SeenIn {
  readonly png: Uint8Array<ArrayBuffer>;
  readonly width: number;
  readonly height: number;
  readonly thumbhash: Uint8Array<ArrayBuffer>;
  /** of the PNG, hex */
  readonly sha256: string;
  readonly likeness: number | null;
  /**
   * stage → ms, in all what went by from the start of its batch to its end. What is run for a whole batch counts whole for each of its
   * pictures; `others` is what a picture waited for the rest of its batch.
   */
  readonly timings: Record<string, number>;
}

export interface DrawnTogether extends DrawResult {
  /** pictures that were drawn together, itself included */
  readonly batch: number;
}

/** What is known of a picture beside its pixels. */
export type DrawnFacts = Pick<DrawnTogether, keyof SeenIn | 'likeness' | 'timings' | 'batch'>;

/** from the draw thread to the finish thread; pixels are transferred */
export type Pixels =
  | {
      readonly kind: 'picture';
      readonly id: number;
      readonly generationId: string;
      readonly picture: Bitmap;
      readonly facts: DrawnFacts;
    }
  | { readonly kind: 'preview'; readonly id: number; readonly picture: Bitmap };

/** from either thread to the worker */
export type ThreadMessage =
  /** a network was loaded, or its first run showed where it runs */
  | { readonly kind: 'session'; readonly report: SessionReport }
  /** the bundle is loaded, of these files */
  | { readonly kind: 'ready'; readonly files: readonly string[] }
  /** a set of LoRAs or a face is in memory from now on */
  | { readonly kind: 'kept'; readonly what: 'loras' | 'face'; readonly key: string; readonly bytes: number }
  /** `load-loras`, `drop`, `rest` or `close` was done */
  | { readonly kind: 'did'; readonly id: number }
  /** 0…1 of the whole picture */
  | { readonly kind: 'progress'; readonly id: number; readonly progress: number }
  /** a part of its work begins, as the pipeline names it */
  | { readonly kind: 'stage'; readonly id: number; readonly stage: string }
  /** a small WebP of what it is on the way to; the classifiers have cleared it. null: it would not clear the newest one */
  | { readonly kind: 'preview'; readonly id: number; readonly webp: Uint8Array<ArrayBuffer> | null }
  | { readonly kind: 'drawn'; readonly id: number; readonly result: DrawnTogether }
  /** more than `most` pictures of that size were too many for this machine's memory */
  | { readonly kind: 'batch-max'; readonly size: string; readonly most: number }
  | { readonly kind: 'counted'; readonly id: number; readonly faces: number }
  /** ids of the photos of all faces that it remembers */
  | { readonly kind: 'remembered'; readonly id: number; readonly photoIds: readonly string[] }
  | { readonly kind: 'failed'; readonly id: number; readonly error: Error };

/** What decides how much memory a picture takes. */
export type Size = Pick<PortraitRequest, 'width' | 'height' | 'detailSide'>;

export const sizeOf = ({ width, height, detailSide }: Size) =>
  [`${width} × ${height} px`, ...(detailSide ? [`faces in ${detailSide} px`] : [])].join(', ');
