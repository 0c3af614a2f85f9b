/** Portraits in batches, with long and weighted prompts, and looked at on the way: the reference bundle. */
import { beforeAll, describe, expect, inject, it, vi } from 'vitest';
import { type Bitmap, resize } from '#pipelines/bitmap.ts';
import {
  drawPortrait,
  drawPortraits,
  drawTogether,
  encodeFace,
  type FaceIdentity,
  type Portrait,
  type PortraitBundle,
  type PortraitRequest,
} from '#pipelines/portrait.ts';
import { drawPhoto, person } from '#pipelines/reference/photo.ts';
import type { Session } from '#pipelines/session.ts';
import { loadBundle } from '#src/bundles/load.ts';
import { correlation } from '../support/correlation.ts';
import { portraitRequest } from '../support/portrait-request.ts';

/** However busy this machine is. */
vi.setConfig({ testTimeout: 120_000 });

let bundle: PortraitBundle;
let face: FaceIdentity;
beforeAll(async () => {
  bundle = await loadBundle(inject('bundleDir'), { threads: 1 });
  face = await encodeFace(
    bundle,
    [0, 1].map((shot) => drawPhoto(person(2), shot)),
  );
});

const request = (prompt: string, more: Partial<PortraitRequest> = {}) =>
  portraitRequest(prompt, { width: 256, height: 320, steps: 8, detailSteps: 8, ...more });
const differs = (a: Bitmap, b: Bitmap) =>
  a.rgb.reduce((sum, v, i) => sum + Math.abs(v - b.rgb[i]!), 0) / a.rgb.length;

/** The bundle, whose UNet tells what it is fed. */
const watched = (tell: (feeds: Parameters<Session['run']>[0]) => void): PortraitBundle => ({
  ...bundle,
  unet: {
    ...bundle.unet,
    run(feeds, fetches) {
      tell(feeds);
      return bundle.unet.run(feeds, fetches);
    },
  },
});
/** The bundle, one of whose networks throws in one of its runs, counting from 1. */
function failing(network: 'vaeDecoder' | 'classifier', inRun: number): PortraitBundle {
  const [classifier] = bundle.classifiers;
  const session = network === 'classifier' ? classifier!.session : bundle[network];
  let runs = 0;
  const run: Session['run'] = async (feeds, fetches) => {
    if (++runs === inRun) throw new Error(`${network} failed`);
    return session.run(feeds, fetches);
  };
  return network === 'classifier'
    ? { ...bundle, classifiers: [{ ...classifier!, session: { ...session, run } }] }
    : { ...bundle, [network]: { ...session, run } };
}

describe('a person', () => {
  it('is of the gender that most of the photos show; as many of each show none', async () => {
    expect(face.gender).toBe('female');
    const [woman, man, sameMan] = [drawPhoto(person(0), 0), drawPhoto(person(1), 0), drawPhoto(person(1), 1)];
    const genderOf = async (...photos: Bitmap[]) => (await encodeFace(bundle, photos)).gender;
    expect([
      await genderOf(man),
      await genderOf(man, woman),
      await genderOf(woman, sameMan, man),
      await genderOf(woman, man, woman),
    ]).toEqual(['male', null, 'male', 'female']);
  });

  it('who is named nowhere is in the base too, and no trigger is a word there', async () => {
    const base = async (prompt: string, more: Partial<PortraitRequest> = {}) =>
      (await drawPortrait(bundle, request(prompt, { detailStrength: 0, ...more }))).base;
    const named = await base('blue background, woman');
    expect(await base('blue background', { face })).toEqual(named);
    expect(await base('blue background, woman img', { face })).toEqual(named);
    expect(await base('blue background')).not.toEqual(named);
  });

  it('is what the request says they are, and without a face that says nothing', async () => {
    const base = async (prompt: string, more: Partial<PortraitRequest>) =>
      (await drawPortrait(bundle, request(prompt, { detailStrength: 0, ...more }))).base;
    // Told by a number: a difference of two pictures would be printed for minutes.
    const man = await base('man blue background', {});
    expect(differs(await base('blue background', { face, gender: 'man' }), man)).toBe(0);
    expect(differs(await base('blue background', { face, gender: 'woman' }), man)).toBeGreaterThan(1);
    const plain = await base('blue background', {});
    expect(differs(await base('blue background', { face, gender: 'none' }), plain)).toBe(0);
    expect(differs(await base('blue background', { gender: 'man' }), plain)).toBe(0);
  });

  it.each([
    ['man', 'man img blue background'],
    ['none', 'blue background img'],
  ] as const)('is what the request says, %s, where the face is drawn as well', async (gender, said) => {
    const drawn = async (prompt: string, more: Partial<PortraitRequest> = {}) =>
      (await drawPortrait(bundle, request(prompt, { face, startMergeStep: 0, detailStrength: 0, ...more })))
        .base;
    const wanted = await drawn(said);
    expect(differs(await drawn('blue background', { gender }), wanted)).toBe(0);
    expect(differs(await drawn('blue background'), wanted)).toBeGreaterThan(1);
  });
});

describe('a batch', () => {
  const size = { width: 384, height: 448, steps: 10 };
  const mixed = () => [
    request('a woman, red hair, blue background', { ...size, face }),
    request('a man, green background', {
      ...size,
      seed: 8,
      guidanceScale: 7,
      guidanceRescale: 0.5,
      guidanceCutoff: 'none',
      negativePrompt: 'beard',
    }),
    request(`a woman, ${Array(30).fill('very fine picture,').join(' ')} blue hair`, {
      ...size,
      guidanceScale: 1,
      guidanceCutoff: 'unconditional',
    }),
    request('a man', { ...size, seed: 9, detailGuidanceScale: 2, startMergeStep: 2, face }),
  ];
  /** Of the same bytes. Told by a number: a difference of two pictures would be printed for minutes. */
  const isAlone = async (one: Portrait, asked: PortraitRequest) => {
    const alone = await drawPortrait(bundle, asked);
    expect(differs(one.base, alone.base)).toBe(0);
    expect(differs(one.picture, alone.picture)).toBe(0);
    expect([one.likeness, one.scores, one.faces]).toEqual([alone.likeness, alone.scores, alone.faces]);
  };

  it('gives each request what it gets alone, to the byte: prompt, seed, guidance, length and face differ', async () => {
    const together = await drawPortraits(bundle, mixed());
    expect(together.map(({ faces }) => faces)).toEqual([1, 0, 0, 1]);
    for (const [n, one] of mixed().entries()) await isAlone(together[n]!, one);
  });

  it.each([
    ['the base', 'base', 3],
    ['its face', 'detail', 2],
  ] as const)(
    'that one leaves while %s is drawn gives the others what they get alone',
    async (_, stage, after) => {
      const [leaving, faceless, , faced] = mixed();
      const abort = new AbortController();
      const batches: number[] = [];
      let now = '';
      let steps = 0;
      const asked = [leaving!, faceless!, faced!];
      const drawn = await Promise.allSettled(
        drawTogether(
          watched((feeds) => batches.push(feeds.sample!.shape[0]!)),
          asked.map((one, n) => ({
            request: one,
            ...(n === 0 && {
              signal: abort.signal,
              onStage(next: string) {
                now = next;
              },
              onStep() {
                if (now === stage && ++steps === after) abort.abort(new Error('enough'));
              },
            }),
          })),
        ),
      );
      expect(drawn[0]).toMatchObject({ status: 'rejected', reason: { message: 'enough' } });
      for (const n of [1, 2]) await isAlone((drawn[n] as PromiseFulfilledResult<Portrait>).value, asked[n]!);
      // Both halves of three, then of two; in the last fifth the unguided ones'. Stage 2 has those with a face.
      const base = stage === 'base' ? [6, 6, 6, 4, 4, 4, 4, 4, 3, 3] : [...Array(8).fill(6), 4, 4];
      const detail = stage === 'base' ? [2, 2, 2, 2] : [4, 4, 2, 2];
      expect(batches).toEqual([...base, ...detail]);
    },
  );

  it('that one of fails gives the others what they get alone', async () => {
    const asked = mixed();
    const broken = failing('vaeDecoder', 2);
    const drawn = await Promise.allSettled(
      drawTogether(
        broken,
        asked.map((one) => ({ request: one })),
      ),
    );
    // The third is drawn after the others, as its prompt is longer.
    expect(drawn.map(({ status }) => status)).toEqual(['fulfilled', 'rejected', 'fulfilled', 'fulfilled']);
    for (const n of [0, 2, 3]) await isAlone((drawn[n] as PromiseFulfilledResult<Portrait>).value, asked[n]!);
  });

  it('takes a classifier that throws for one picture as that picture being flagged', async () => {
    const asked = mixed().slice(0, 2);
    const [first, second] = await drawPortraits(failing('classifier', 1), asked);
    // The one without a face is ready first.
    expect([first!.scores, second!.scores]).toEqual([
      { checkerboard: expect.any(Object) },
      { checkerboard: null },
    ]);
  });

  it('ends without a face first, and no picture waits for another to be told', async () => {
    const ended: number[] = [];
    const portraits = drawTogether(
      bundle,
      mixed()
        .slice(0, 2)
        .map((one) => ({ request: one })),
    );
    await Promise.all(portraits.map((one, n) => one.then(() => ended.push(n))));
    expect(ended).toEqual([1, 0]);
  });

  it.each([
    ['width', { width: 320 }],
    ['steps', { steps: 9 }],
    ['scheduler', { scheduler: 'euler' }],
    ['detailStrength', { detailStrength: 0.5 }],
    ['detailSide', { detailSide: 512 }],
  ] as const)('whose requests differ in %s is refused before anything is drawn', async (name, more) => {
    const stages: string[] = [];
    const draw = drawPortraits(bundle, [request('a woman'), request('a man', more)], {
      onStage: (stage) => stages.push(stage),
    });
    await expect(draw).rejects.toThrow(`Requests of one batch differ in ${name}`);
    expect(stages).toEqual([]);
  });
});

describe('a size', () => {
  it('that is no multiple of 8 is refused', async () => {
    const draw = drawPortrait(bundle, request('a woman', { width: 250 }));
    await expect(draw).rejects.toThrow('250 × 320 px: sides are multiples of 8');
    const detail = drawPortrait(bundle, request('a woman', { detailSide: 300 }));
    await expect(detail).rejects.toThrow('detailSide 300 px: it is a multiple of 8');
  });

  it.each([
    [264, 328],
    [328, 264],
  ])('of any multiple of 8 is drawn: %i × %i', async (width, height) => {
    const { picture } = await drawPortrait(bundle, request('a woman', { width, height, steps: 4 }));
    expect([picture.width, picture.height, picture.rgb.length]).toEqual([width, height, width * height * 3]);
  });
});

describe('a word beyond the 75th token', () => {
  const fill = Array(30).fill('very fine picture,').join(' ');
  /** Mean red less blue of the whole picture. */
  const redness = ({ rgb }: Bitmap) => {
    let sum = 0;
    for (let p = 0; p < rgb.length; p += 3) sum += rgb[p]! - rgb[p + 2]!;
    return (sum * 3) / rgb.length;
  };

  it('shows', async () => {
    const draw = async (prompt: string) => redness((await drawPortrait(bundle, request(prompt))).picture);
    const [red, blue] = [
      await draw(`portrait, ${fill} red background`),
      await draw(`portrait, ${fill} blue background`),
    ];
    expect(red).toBeGreaterThan(blue + 60);
  });
});

describe('a face', () => {
  it('is drawn in a square of the size that is asked for, or of the bundle’s own', async () => {
    const squares: string[] = [];
    const run: typeof bundle.unet.run = (feeds, outputs) => {
      const [, , height, width] = feeds.sample!.shape;
      squares.push(`${8 * width!}x${8 * height!}`);
      return bundle.unet.run(feeds, outputs);
    };
    const watched = { ...bundle, unet: { ...bundle.unet, run } };
    const size = { width: 384, height: 448, seed: 92, detailSteps: 2, face };
    for (const detailSide of [null, 320])
      await drawPortrait(watched, request('portrait of a woman', { ...size, detailSide }));
    expect([...new Set(squares)]).toEqual(['384x448', '640x640', '320x320']);
  });
});

describe('a UNet that takes 77 tokens and no more', () => {
  it('is given those that the person is in', async () => {
    const inputs = bundle.unet.inputs.map((input) =>
      input.name === 'encoder_hidden_states' ? { ...input, shape: ['B', 77, input.shape[2]!] } : input,
    );
    const seen: (readonly number[])[] = [];
    const run: typeof bundle.unet.run = (feeds, outputs) => {
      seen.push(feeds.encoder_hidden_states!.shape);
      return bundle.unet.run(feeds, outputs);
    };
    const narrow = { ...bundle, unet: { ...bundle.unet, inputs, run } };
    const size = { width: 384, height: 448, steps: 10, detailSteps: 12, detailSide: null, face };
    const likeness = async (prompt: string) =>
      (await drawPortrait(narrow, request(prompt, { seed: 92, ...size }))).likeness!;
    const long = `portrait, ${Array(30).fill('very fine picture,').join(' ')} of a woman`;
    expect(await likeness(long)).toBeGreaterThan((await likeness('portrait of a woman')) - 0.05);
    expect(seen.every(([, tokens]) => tokens === 77)).toBe(true);
  });
});

describe('a weight', () => {
  it('of more shows more, and of 0 not at all', async () => {
    const blue = async (prompt: string) => {
      const { picture } = await drawPortrait(bundle, request(prompt, { guidanceScale: 1.5 }));
      let sum = 0;
      for (let p = 0; p < 40 * 3; p += 3) sum += picture.rgb[p + 2]! - picture.rgb[p]!;
      return sum / 40;
    };
    const [none, half, one] = [
      await blue('portrait, (blue background:0)'),
      await blue('portrait, (blue background:0.5)'),
      await blue('portrait, blue background'),
    ];
    expect(half).toBeLessThan(one);
    expect(none).toBeLessThan(one - 20);
  });
});

describe('previews', () => {
  it('come nearer to the picture with the steps, an eighth of its size', async () => {
    const asked: Promise<Bitmap>[] = [];
    const { base } = await drawPortrait(bundle, request('a woman in a red dress', { guidanceScale: 1 }), {
      onStep: (preview) => void asked.push(preview()),
    });
    const all = await Promise.all(asked);
    expect(all.map(({ width, height }) => `${width}x${height}`)).toEqual(Array(8).fill('32x40'));
    const small = resize(base, 32, 40, 'bilinear');
    expect(differs(all[7]!, small)).toBeLessThan(6);
    expect(differs(all[0]!, small)).toBeGreaterThan(differs(all[7]!, small));
    expect(correlation(all[7]!, small)).toBeGreaterThan(0.9);
  });

  it('show the whole picture while a face is drawn, and the face in it', async () => {
    const size = { width: 384, height: 448, steps: 10, seed: 92, detailStrength: 1 };
    const asked: Promise<Bitmap>[] = [];
    const { base, picture, faces } = await drawPortrait(bundle, request('a woman', { ...size, face }), {
      onStep: (preview) => void asked.push(preview()),
    });
    expect([faces, asked.length]).toEqual([1, 18]);
    const last = await asked.at(-1)!;
    const [before, after] = [base, picture].map((one) => resize(one, 48, 56, 'bilinear'));
    expect(correlation(last, after!)).toBeGreaterThan(0.9);
    expect(differs(last, after!)).toBeLessThan(differs(before!, after!));
  });
});
