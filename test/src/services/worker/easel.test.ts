/** Batches as the draw thread draws them: real ONNX sessions, some of them in a session that runs out of memory or says something else. */
import { beforeAll, describe, expect, inject, it, vi } from 'vitest';
import { resize } from '#pipelines/bitmap.ts';
import {
  type Bitmap,
  drawPortrait,
  encodeFace,
  type FaceIdentity,
  type Portrait,
  type PortraitBundle,
} from '#pipelines/portrait.ts';
import { classifyAll } from '#pipelines/safety/classify.ts';
import type { Session } from '#pipelines/session.ts';
import { tensor } from '#pipelines/tensor.ts';
import type { ConceptsIn } from '#src/bundles/concepts.ts';
import { loadBundle } from '#src/bundles/load.ts';
import { isOutOfMemory } from '#src/doors/onnx.ts';
import { mayBeGlimpsed, verdictOf } from '#src/moderation/verdicts.ts';
import { openEasel } from '#src/services/worker/easel.ts';
import type { DrawnFacts, FacePhotos, PictureAsk } from '#src/services/worker/protocol.ts';
import { correlation } from '#test/support/correlation.ts';
import { portraitRequest } from '#test/support/portrait-request.ts';
import { noFacePhoto, portraitPhoto, portraitPicture } from '#test/support/portraits.ts';
import { usualPlace } from '#test/support/where.ts';

/** However busy this machine is. */
vi.setConfig({ testTimeout: 120_000 });

let bundle: PortraitBundle & { readonly conceptsIn: ConceptsIn };
let ada: FacePhotos;
let adaIdentity: FaceIdentity;
let landscape: FacePhotos;
beforeAll(async () => {
  bundle = await loadBundle(inject('bundleDir'), { threads: 1 });
  ada = { photoIds: ['ada-1', 'ada-2'], photos: [await portraitPhoto(2, 0), await portraitPhoto(2, 1)] };
  adaIdentity = await encodeFace(
    bundle,
    [0, 1].map((shot) => portraitPicture(2, shot)),
  );
  landscape = { photoIds: ['landscape'], photos: [await noFacePhoto()] };
});

type Asked = Omit<PictureAsk, 'id' | 'previewEveryMs'> & { readonly previewEveryMs?: number };
const asked = (
  prompt: string,
  more: Parameters<typeof portraitRequest>[1] = {},
  face: FacePhotos | null = null,
): Asked => {
  const size = { width: 256, height: 320, steps: 6, detailSteps: 6, detailSide: 320 };
  const { face: _, ...request } = portraitRequest(prompt, { ...size, ...more });
  return { request, face, where: { ...usualPlace, faceAsked: face !== null } };
};
const four = () => [
  asked('a woman, red hair, blue background', { seed: 92 }, ada),
  asked('a man, green background', { seed: 8 }),
  asked('a woman', { seed: 3, guidanceScale: 1 }),
  asked('a man', { seed: 9 }, ada),
];

interface Drawn {
  readonly picture: Bitmap;
  readonly facts: DrawnFacts;
}

/** An easel whose pictures can be waited for. */
function easelOf(
  drawnWith: PortraitBundle,
  bundleWith = async () => drawnWith,
  conceptsIn: ConceptsIn = bundle.conceptsIn,
) {
  const waiting = new Map<number, PromiseWithResolvers<Drawn>>();
  const progress = new Map<number, number[]>();
  const previews = new Map<number, (Bitmap | null)[]>();
  const stages = new Map<number, string[]>();
  const most: [size: string, pictures: number][] = [];
  const faces = new Map<string, number>();
  let onProgress = (_id: number, _share: number) => {};
  let last = 0;
  const easel = openEasel({ ...drawnWith, conceptsIn }, bundleWith, {
    progress(id, share) {
      progress.set(id, [...(progress.get(id) ?? []), share]);
      onProgress(id, share);
    },
    stage: (id, stage) => stages.set(id, [...(stages.get(id) ?? []), stage]),
    preview: (id, picture) => previews.set(id, [...(previews.get(id) ?? []), picture]),
    drawn: (id, picture, facts) => waiting.get(id)!.resolve({ picture, facts }),
    failed: (id, error) => waiting.get(id)!.reject(error),
    batchMax: (size, pictures) => most.push([size, pictures]),
    remembered: (face, bytes) => faces.set(face, bytes),
  });
  return {
    ...easel,
    most,
    faces,
    progress,
    previews,
    stages,
    onProgress(listener: typeof onProgress) {
      onProgress = listener;
    },
    /** Ids are given from 1. */
    draw(pictures: readonly Asked[]): Promise<Drawn>[] {
      const asks = pictures.map((picture) => ({ previewEveryMs: null, ...picture, id: ++last }));
      const promises = asks.map(({ id }) => {
        waiting.set(id, Promise.withResolvers());
        return waiting.get(id)!.promise;
      });
      easel.draw(asks, []);
      return promises;
    },
  };
}

/** The bundle with another network in place of one of its own. */
const withNetwork = (
  name: 'unet' | 'faceGenderAge',
  run: (own: Session) => Session['run'],
): PortraitBundle => ({
  ...bundle,
  [name]: { ...bundle[name], run: run(bundle[name]) },
});
/** The bundle with another classifier in place of its own. */
const withClassifier = (run: Session['run']): PortraitBundle => ({
  ...bundle,
  classifiers: bundle.classifiers.map((one) => ({ ...one, session: { ...one.session, run } })),
});
/** A UNet with room for so many rows: beyond them it says what onnxruntime does. */
const small = (rowsMax: number, rows: number[] = []) =>
  withNetwork('unet', (own) => (feeds, fetches) => {
    const [count = 0] = feeds.sample!.shape;
    rows.push(count);
    if (count <= rowsMax) return own.run(feeds, fetches);
    const error = new Error(
      'BFCArena::AllocateRawInternal Failed to allocate memory for requested buffer of size 9',
    );
    expect(isOutOfMemory(error)).toBe(true);
    return Promise.reject(error);
  });

const alone = new Map<string, Promise<Portrait>>();
/** Of the same bytes as when it is drawn by itself. */
async function isAlone({ picture, facts }: Drawn, { request, face }: Asked): Promise<void> {
  const key = JSON.stringify([request, face?.photoIds]);
  const known = alone.get(key) ?? drawPortrait(bundle, { ...request, face: face && adaIdentity });
  alone.set(key, known);
  const { picture: own, likeness, scores } = await known;
  expect(Buffer.compare(picture.rgb, own.rgb)).toBe(0);
  expect([facts.likeness, facts.scores]).toEqual([likeness, scores]);
}

describe('a batch', () => {
  it('is drawn as one, each to the byte as alone, and each tells its own progress and times', async () => {
    const rows: number[] = [];
    const easel = easelOf(small(8, rows));
    const drawn = await Promise.all(easel.draw(four()));
    // Both halves of three, and one that is not guided; without guidance in the last fifth.
    expect(rows.slice(0, 6)).toEqual([7, 7, 7, 7, 7, 4]);
    for (const [n, one] of four().entries()) await isAlone(drawn[n]!, one);
    const shares = [1, 2, 3, 4].map((id) => easel.progress.get(id)!);
    expect(shares[1]).toEqual([1, 2, 3, 4, 5].map((step) => step / 6).concat(0.99));
    expect(shares[0]!.slice(0, 6)).toEqual([1, 2, 3, 4, 5, 6].map((step) => step / 12));
    for (const { facts } of drawn) {
      expect(facts.batch).toBe(4);
      expect(facts.timings).toMatchObject({ base: expect.any(Number), safety: expect.any(Number) });
    }
    expect(drawn.map(({ facts }) => 'detail' in facts.timings)).toEqual([true, false, false, true]);
  });

  it('goes on without one whose face can’t be encoded, and one that is cancelled', async () => {
    const rows: number[] = [];
    const easel = easelOf(small(8, rows));
    const pictures = [asked('a woman', { seed: 4 }, landscape), ...four().slice(0, 3)];
    easel.onProgress((id, share) => {
      if (id === 3 && share >= 3 / 6) easel.cancel(3);
    });
    const [faceless, first, cancelled, last] = await Promise.allSettled(easel.draw(pictures));
    expect(faceless).toMatchObject({ reason: { message: 'Photo 1 has 0 faces, not one' } });
    expect(cancelled).toMatchObject({ reason: { message: 'cancelled' } });
    expect(rows.slice(0, 6)).toEqual([5, 5, 5, 3, 3, 2]);
    await isAlone((first as PromiseFulfilledResult<Drawn>).value, pictures[1]!);
    await isAlone((last as PromiseFulfilledResult<Drawn>).value, pictures[3]!);
  });

  it('fails as a whole when its LoRAs or its UNet fail, and the next one is drawn', async () => {
    let loras = 0;
    const easel = easelOf(bundle, async () => {
      if (++loras === 1) throw new Error('no such LoRA');
      return bundle;
    });
    const first = Promise.allSettled(easel.draw(four().slice(1, 3)));
    const second = easel.draw(four().slice(1, 3));
    const reason = { message: 'no such LoRA' };
    expect(await first).toMatchObject([{ reason }, { reason }]);
    await Promise.all(second);
  });

  it('is refused when its pictures are not of one shape', async () => {
    const easel = easelOf(bundle);
    const all = await Promise.allSettled(easel.draw([asked('a woman'), asked('a man', { steps: 7 })]));
    const reason = { message: 'Requests of one batch differ in steps' };
    expect(all).toMatchObject([{ reason }, { reason }]);
  });
});

describe('who is in a picture', () => {
  /** A classifier that gives so much of the score that is for adults. */
  const saying = (flagged: number, age?: Session['run']): PortraitBundle => {
    const logit = Math.log(flagged / (1 - flagged));
    const said = withClassifier(async () => ({ logits: tensor(Float32Array.of(0, logit), [1, 2]) }));
    return age ? { ...said, faceGenderAge: { ...said.faceGenderAge, run: age } } : said;
  };
  const aged =
    (years: number): Session['run'] =>
    async () => ({
      fc1: tensor(Float32Array.of(1, 0, years / 100), [1, 3]),
    });
  async function ruleOf(drawnWith: PortraitBundle, prompt = 'portrait of a woman, red hair') {
    const [one] = await Promise.all(
      easelOf(drawnWith).draw([asked(prompt, { seed: 7, width: 384, height: 448, steps: 10 })]),
    );
    return { rule: verdictOf(one!.facts, usualPlace).rule, ages: one!.facts.ages };
  }

  it('counts with any adult score: a face that may be under 18 is flagged, as is one whose age nobody reads', async () => {
    const error = bundle.ageError!;
    expect(error).toBeGreaterThan(0);
    expect(await ruleOf(saying(0.2, aged(18 + error)))).toEqual({ rule: null, ages: [18] });
    expect(await ruleOf(saying(0.2, aged(17 + error)))).toEqual({ rule: 'possible-minor', ages: [17] });
    const broken = saying(0.2, () => Promise.reject(new Error('no age network')));
    expect(await ruleOf(broken)).toEqual({ rule: 'possible-minor', ages: [null] });
    const unmeasured = { ...saying(0.2, aged(90)), ageError: null };
    expect(await ruleOf(unmeasured)).toEqual({ rule: 'possible-minor', ages: [null] });
  });

  it('is not looked for where no face could change anything', async () => {
    let looked = 0;
    const counting: Session['run'] = (feeds, fetches) => {
      looked++;
      return bundle.faceDetector.run(feeds, fetches);
    };
    const watched = (flagged: number) => ({
      ...saying(flagged),
      faceDetector: { ...bundle.faceDetector, run: counting },
    });
    expect(await ruleOf(watched(0.05))).toEqual({ rule: null, ages: null });
    expect(looked).toBe(0);
    expect((await ruleOf(watched(0.4))).rule).toMatch(/^(classifier-flagged|possible-minor)$/);
    expect(looked).toBeGreaterThan(0);
    // Where nobody is in it, the same score is clear.
    expect(await ruleOf(watched(0.4), 'a landscape, mountain, snow')).toEqual({ rule: null, ages: [] });
  });
});

describe('out of memory', () => {
  it('the halves of a batch are drawn one after the other, to the byte as alone, and no such batch is begun again', async () => {
    const rows: number[] = [];
    const easel = easelOf(small(4, rows));
    const drawn = await Promise.all(easel.draw(four()));
    expect(rows.slice(0, 2)).toEqual([7, 4]);
    expect(easel.most).toEqual([['256 × 320 px, faces in 320 px', 2]]);
    for (const [n, one] of four().entries()) await isAlone(drawn[n]!, one);
    expect(drawn.map(({ facts }) => facts.batch)).toEqual([2, 2, 2, 2]);
    for (const shares of easel.progress.values()) expect(shares).toEqual([...new Set(shares)].sort());

    rows.length = 0;
    await Promise.all(easel.draw(four()));
    expect(Math.max(...rows)).toBe(4);
    // Another size is another matter.
    rows.length = 0;
    await Promise.all(
      easel.draw(four().map((one) => ({ ...one, request: { ...one.request, height: 256 } }))),
    );
    expect(rows[0]).toBe(7);
  });

  it('one that is too large alone fails, and says so', async () => {
    const easel = easelOf(small(1));
    const pictures = [
      asked('a woman', { guidanceScale: 1 }),
      asked('a man'),
      asked('a man', { guidanceScale: 1 }),
    ];
    const [first, second, third] = await Promise.allSettled(easel.draw(pictures));
    expect(second).toMatchObject({
      reason: {
        message: expect.stringMatching(
          /^This machine has too little memory for one picture of 256 × 320 px, faces in 320 px: BFCArena/,
        ),
      },
    });
    expect([first!.status, third!.status]).toEqual(['fulfilled', 'fulfilled']);
    expect(easel.most).toEqual([
      ['256 × 320 px, faces in 320 px', 2],
      ['256 × 320 px, faces in 320 px', 1],
    ]);
  });
});

describe('what waits', () => {
  it('is drawn in turn, and what is cancelled there is never begun', async () => {
    const easel = easelOf(bundle);
    const pictures = four();
    const ended: number[] = [];
    const first = easel.draw(pictures.slice(0, 2));
    const second = easel.draw(pictures.slice(2));
    const [third] = easel.draw([pictures[3]!]);
    easel.cancel(5);
    await expect(third).rejects.toThrow('cancelled');
    expect(easel.progress.size).toBe(0);
    const all = [...first, ...second];
    await Promise.all(all.map((one, n) => one.then(() => ended.push(n))));
    // Of each batch the one without a face is ready first.
    expect(ended).toEqual([1, 0, 2, 3]);
    for (const [n, one] of pictures.entries()) await isAlone(await all[n]!, one);
    expect(easel.progress.has(5)).toBe(false);
  });

  it('with a face that is forgotten fails, and the face is known no more', async () => {
    const easel = easelOf(bundle);
    const [first] = easel.draw([four()[1]!]);
    const [second] = easel.draw([four()[0]!]);
    expect(easel.photoIds()).toEqual(['ada-1', 'ada-2']);
    easel.forget(new Set(['ada-2']));
    expect(easel.photoIds()).toEqual([]);
    await expect(second).rejects.toThrow('A photo of its face was forgotten');
    await first;
    await Promise.all(easel.draw([four()[0]!]));
    expect(easel.photoIds()).toEqual(['ada-1', 'ada-2']);
  });
});

describe('a preview', () => {
  const size = { width: 1024, height: 832, steps: 10, guidanceScale: 1 };

  it('is of at most 96 px, and comes near to the picture in the end; without being asked for there is none', async () => {
    const easel = easelOf(bundle);
    const pictures = [
      { ...asked('a woman in a red dress', size), previewEveryMs: 0 },
      { ...asked('a man, green background', { ...size, seed: 92 }, ada), previewEveryMs: 0 },
      asked('a man', size),
    ];
    const drawn = await Promise.all(easel.draw(pictures));
    const counts = [1, 2, 3].map((id) => easel.previews.get(id)?.length);
    expect(counts).toEqual([10, expect.any(Number), undefined]);
    expect(counts[1]).toBeGreaterThan(10); // stage 2's
    for (const n of [0, 1]) {
      const last = easel.previews.get(n + 1)!.at(-1)!;
      expect(easel.previews.get(n + 1)).not.toContain(null);
      expect([last.width, last.height]).toEqual([96, 78]);
      expect(correlation(last, resize(drawn[n]!.picture, 96, 78, 'bilinear'))).toBeGreaterThan(0.9);
    }
  });

  it('comes beside which part of the work is done, of each picture its own', async () => {
    const easel = easelOf(bundle);
    await Promise.all(easel.draw([asked('a woman'), asked('a man', {}, ada)]));
    expect(easel.stages.get(1)).toEqual(expect.arrayContaining(['base', 'decode', 'safety']));
    expect(easel.stages.get(1)).not.toContain('detail');
    expect(easel.stages.get(2)).toEqual(expect.arrayContaining(['face', 'base', 'detail', 'safety']));
    expect(easel.stages.get(2)).not.toContain('others');
    for (const stages of easel.stages.values()) expect(stages).not.toContain('lora');
    expect(easel.stages.get(1)).not.toContain('face');
  });

  it('comes no more often than it was asked for', async () => {
    const easel = easelOf(bundle);
    await Promise.all(easel.draw([{ ...asked('a woman'), previewEveryMs: 3_600_000 }]));
    expect(easel.previews.size).toBe(0);
  });

  it('comes less often where it costs much: classifiers that are slow do not slow the drawing', async () => {
    const [own] = bundle.classifiers;
    let looks = 0;
    const slow = withClassifier(async (feeds, fetches) => {
      looks++;
      await new Promise((done) => setTimeout(done, 1_000));
      return own!.session.run(feeds, fetches);
    });
    const easel = easelOf(slow);
    await Promise.all(easel.draw([{ ...asked('a woman', { ...size, steps: 20 }), previewEveryMs: 1 }]));
    // Every preview is a look, and the picture itself is the last: twenty seconds lie between two.
    expect(looks).toBeLessThan(6);
    expect(easel.previews.get(1)?.length).toBe(looks - 1);
  });

  it('that the classifier flags never leaves, nor does one when the classifier fails', async () => {
    const checkered = { ...asked('portrait of a woman, checkered background', size), previewEveryMs: 0 };
    const easel = easelOf(bundle);
    const [drawn] = await Promise.all(easel.draw([checkered]));
    expect(verdictOf(drawn!.facts, usualPlace).verdict).toBe('flagged');
    const told = easel.previews.get(1) ?? [];
    const left = told.filter((preview) => preview !== null);
    expect(left.length).toBeLessThan(10);
    // What was cleared before is taken back, once, and there was something to take back.
    expect(told.every((preview, n) => preview !== null || (n > 0 && told[n - 1] !== null))).toBe(true);
    if (told.length) expect(told.at(-1)).toBeNull();
    for (const preview of left) {
      expect(mayBeGlimpsed(await classifyAll(bundle.classifiers, preview), usualPlace)).toBe(true);
    }
    for (const answer of [
      async () => ({ logits: tensor(Float32Array.of(Number.NaN, 0), [1, 2]) }),
      () => Promise.reject(new Error('no classifier')),
    ]) {
      const blind = easelOf(withClassifier(answer));
      const [one] = await Promise.all(blind.draw([{ ...asked('a woman', size), previewEveryMs: 0 }]));
      expect(one!.facts.scores).toEqual({ checkerboard: null });
      expect(verdictOf(one!.facts, usualPlace)).toMatchObject({
        verdict: 'flagged',
        rule: 'classifier-failed',
      });
      expect(blind.previews.size).toBe(0);
    }
  });

  it('of a prompt that comes near to a concept is never made, nor where nobody can say whether it does', async () => {
    const asks: (readonly string[])[] = [];
    const answers = { 'a woman': { gore: { score: 0.2, threshold: 0.1 } }, 'a man': {}, 'a child': null };
    const easel = easelOf(
      bundle,
      async () => bundle,
      async (prompts) => {
        asks.push(prompts);
        return prompts.map((prompt) => answers[prompt as keyof typeof answers]);
      },
    );
    const prompts = Object.keys(answers);
    const drawn = await Promise.all(
      easel.draw(prompts.map((prompt) => ({ ...asked(prompt), previewEveryMs: 0 }))),
    );
    // Of all that are drawn together at once, before they are.
    expect(asks).toEqual([prompts]);
    expect([...easel.previews.keys()]).toEqual([2]);
    expect(drawn.map(({ facts }) => verdictOf(facts, usualPlace).rule)).toEqual([
      'concept-gore',
      null,
      'concepts-failed',
    ]);
  });
});
