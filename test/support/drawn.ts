/** A finished picture, as a worker hands it over: with every fact in place, to be changed where a test cares. */
import type { Drawn } from '#src/batches/ending.ts';
import type { Judgement } from '#src/moderation/verdicts.ts';

/** Of a picture that is clear with any face. */
export const clearJudgement: Judgement = {
  set: 'maybeMinor',
  score: null,
  label: null,
  thresholds: 'of then',
  face: null,
  minor: null,
  concepts: {},
};

export function drawn(changes: Partial<Drawn> = {}): Drawn {
  return {
    png: Buffer.from('the bytes'),
    width: 512,
    height: 640,
    sha256: 'aa',
    thumbhash: new Uint8Array([1, 2, 3]),
    verdict: 'clear',
    scores: { 'checkerboard.normal': 0.99, 'checkerboard.flagged': 0.01 },
    rule: null,
    judged: clearJudgement,
    likeness: null,
    bundleHash: 'weights',
    photoIds: [],
    timings: { base: 100 },
    ...changes,
  };
}
