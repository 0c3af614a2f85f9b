import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import type { Bitmap } from '#pipelines/bitmap.ts';
import { cosine, embed } from '#pipelines/faces/faces.ts';
import { generator } from '#pipelines/noise.ts';
import { encodeWithIdentity } from '#pipelines/photomaker/photomaker.ts';
import {
  detectFaces,
  drawPortrait,
  encodeFace,
  type FaceIdentity,
  meanEmbedding,
  type PortraitBundle,
  type PortraitRequest,
} from '#pipelines/portrait.ts';
import { buildReferenceBundle } from '#pipelines/reference/build.ts';
import { clipVocabulary } from '#pipelines/reference/clip-vocabulary.ts';
import { drawPhoto, person } from '#pipelines/reference/photo.ts';
import { renderScene } from '#pipelines/reference/render.ts';
import { framing } from '#pipelines/reference/world.ts';
import { encodePrompt, timeIds } from '#pipelines/sdxl/conditioning.ts';
import { floats, stack, tensor } from '#pipelines/tensor.ts';
import { loadBundle } from '#src/bundles/load.ts';
import { portraitRequest } from '../support/portrait-request.ts';

/** However busy this machine is. */
vi.setConfig({ testTimeout: 120_000 });

const PEOPLE = [0, 1, 2, 3, 4, 5, 6, 7];

let dir: string;
let bundle: PortraitBundle;
/** Of one photo each: drawing a photo takes as long as a portrait. */
const folders: FaceIdentity[] = [];
beforeAll(async () => {
  dir = join(await mkdtemp(join(tmpdir(), 'atelier-reference-')), 'bundle');
  await buildReferenceBundle(dir);
  bundle = await loadBundle(dir, { threads: 1 });
  for (const who of PEOPLE) folders.push(await encodeFace(bundle, [drawPhoto(person(who), 0, 240, 300)]));
}, 60_000);
afterAll(async () => rm(join(dir, '..'), { recursive: true, force: true }));

const request = portraitRequest;
const draw = async (prompt: string, more: Partial<PortraitRequest> = {}) =>
  (await drawPortrait(bundle, request(prompt, { width: 320, height: 384, ...more }))).picture;

/** Mean red, green, blue (0…255) of a rectangle given in face units: the eyes are at the origin, 0.8 apart. */
function mean({ rgb, width, height }: Bitmap, left: number, top: number, right: number, bottom: number) {
  const { unit, x, y } = framing(width, height);
  const sums = [0, 0, 0];
  let n = 0;
  for (let v = Math.max(0, Math.round(y + top * unit)); v < Math.min(height, y + bottom * unit); v++) {
    for (let u = Math.max(0, Math.round(x + left * unit)); u < Math.min(width, x + right * unit); u++) {
      for (let c = 0; c < 3; c++) sums[c] = sums[c]! + rgb[(v * width + u) * 3 + c]!;
      n++;
    }
  }
  return {
    r: sums[0]! / n,
    g: sums[1]! / n,
    b: sums[2]! / n,
    light: (sums[0]! + sums[1]! + sums[2]!) / 3 / n,
  };
}
type Means = ReturnType<typeof mean>;
const wall = (p: Bitmap) => mean(p, -2.3, -1.9, -1.75, -0.4);
const hair = (p: Bitmap) => mean(p, -0.35, -1.25, 0.35, -0.95);
const besideNeck = (p: Bitmap) => mean(p, -1.1, 1.0, -0.75, 1.6);
const shirt = (p: Bitmap) => mean(p, -1.1, 2.45, -0.7, 2.62);
const chin = (p: Bitmap) => mean(p, -0.15, 1.12, 0.15, 1.28);
const above = (p: Bitmap) => mean(p, -0.25, -1.85, 0.25, -1.5);
const mouth = (p: Bitmap) => mean(p, -0.2, 0.92, 0.2, 0.99);
const whole = (p: Bitmap) => mean(p, -3, -3, 3, 3);
const redder = (m: Means) => m.r - m.b;
const greener = (m: Means) => m.g - (m.r + m.b) / 2;
const colourful = (m: Means) => Math.max(m.r, m.g, m.b) - Math.min(m.r, m.g, m.b);
const light = (m: Means) => m.light;

describe('a word in the prompt', () => {
  it.each<[more: string, less: string, where: (p: Bitmap) => Means, what: (m: Means) => number]>([
    ['a woman with red hair', 'a woman with blue hair', hair, redder],
    ['a woman with blonde hair', 'a woman with black hair', hair, light],
    ['a man with green hair', 'a man with purple hair', hair, greener],
    ['red hair, blue background', 'blue hair, red background', hair, redder],
    ['blue hair, red background', 'red hair, blue background', wall, redder],
    ['portrait, yellow background', 'portrait, navy background', wall, redder],
    ['portrait, green background', 'portrait, pink background', wall, greener],
    ['portrait, white background', 'portrait, black background', wall, light],
    ['a woman in a red dress', 'a woman in a blue dress', shirt, redder],
    ['a man in a white shirt', 'a man in a black shirt', shirt, light],
    ['a man in a green sweater', 'a man in a purple sweater', shirt, greener],
    ['a woman in a forest', 'a woman in the desert', wall, greener],
    ['a woman in snow', 'a woman in space', wall, light],
    ['a woman at sunset', 'a woman by the sea', wall, redder],
    ['a man on a sunny day, azure background', 'a man at night', wall, light],
    ['a man, shaved', 'a man with a beard', chin, light],
    [
      'a bald man, black hair, white background',
      'a man with black curly hair, white background',
      above,
      light,
    ],
    ['a woman in a red hat', 'a woman in a blue hat', hair, redder],
    ['a woman with red lips', 'a woman with blue lips', mouth, redder],
    ['a colourful portrait, orange background', 'noir portrait, orange background', whole, colourful],
    ['bright portrait, grey background', 'gothic portrait, grey background', whole, light],
    [
      'a woman with short black hair, white background',
      'a woman with long black hair, white background',
      besideNeck,
      light,
    ],
  ])('shows: %s / %s', async (more, less, where, what) => {
    expect(what(where(await draw(more)))).toBeGreaterThan(what(where(await draw(less))) + 12);
  });

  it('shows the other way round when it is a negative prompt', async () => {
    const [with_, without] = [
      await draw('portrait, background'),
      await draw('portrait, background', { negativePrompt: 'white background' }),
    ];
    expect(light(wall(without))).toBeLessThan(light(wall(with_)) + 1);
  });
});

describe('the rest of a request', () => {
  it('gives the same bytes for the same request, and others for another seed', async () => {
    const [one, again, other] = [
      await draw('a woman'),
      await draw('a woman'),
      await draw('a woman', { seed: 8 }),
    ];
    expect(again.rgb).toEqual(one.rgb);
    expect(other.rgb).not.toEqual(one.rgb);
  });

  it.each(['ddim', 'euler', 'euler_a', 'dpmpp_2m', 'dpmpp_2m_karras', 'unipc', 'lcm'] as const)(
    'draws one face with %s',
    async (scheduler) => {
      const picture = await draw('a smiling woman with red hair, teal background', {
        scheduler,
        steps: 16,
        guidanceScale: scheduler === 'lcm' ? 1.5 : 5,
      });
      expect(await detectFaces(bundle, picture)).toHaveLength(1);
      expect(redder(hair(picture))).toBeGreaterThan(redder(wall(picture)) + 40);
    },
  );

  it.each([
    [512, 512],
    [640, 512],
    [832, 1216],
  ])('draws one face at %i × %i', async (width, height) => {
    const picture = await draw('a man in a blue coat, garden', { width, height, steps: 12 });
    expect(await detectFaces(bundle, picture)).toHaveLength(1);
  });
});

describe('faces', () => {
  it('are found once in a photo, twice in a pair, never in a landscape, in noise or in nothing', async () => {
    const [left, right] = [drawPhoto(person(0), 0), drawPhoto(person(3), 1)];
    const pair = { rgb: new Uint8Array(640 * 400 * 3), width: 640, height: 400 };
    for (let y = 0; y < 400; y++) {
      pair.rgb.set(left.rgb.subarray(y * 960, (y + 1) * 960), y * 1920);
      pair.rgb.set(right.rgb.subarray(y * 960, (y + 1) * 960), y * 1920 + 960);
    }
    const of = (rgb: Uint8Array): Bitmap => ({ rgb, width: 320, height: 400 });
    const meadow = of(renderScene({ planes: { empty: 1, garden: 1 }, colours: {} }, 320, 400));
    const noise = of(
      Uint8Array.from({ length: 384_000 }, (_, i) => (Math.imul(i + 1, 2_654_435_761) >>> 24) & 255),
    );
    const grey = of(new Uint8Array(384_000).fill(128));
    const counts = [];
    for (const picture of [left, right, pair, meadow, noise, grey])
      counts.push((await detectFaces(bundle, picture)).length);
    expect(counts).toEqual([1, 1, 2, 0, 0, 0]);
  });

  it('are looked for at smaller sizes, where the usual one shows none', async () => {
    const { faceDetector } = bundle;
    const blind = {
      ...faceDetector,
      async run(feeds: Parameters<typeof faceDetector.run>[0]) {
        const result = await faceDetector.run(feeds);
        const isUsual = Object.values(feeds)[0]!.shape[3] === bundle.detector.size;
        if (isUsual) for (const name of Object.keys(result)) (result[name]!.data as Float32Array).fill(0);
        return result;
      },
    };
    const seeing = { ...bundle, faceDetector: blind };
    const photo = drawPhoto(person(0), 0);
    expect(await detectFaces(seeing, photo)).toHaveLength(1);
    expect((await encodeFace(seeing, [photo])).count).toBe(1);
  });

  it('are read as those of a woman or of a man, with a beard or without', () => {
    expect(folders.map(({ gender }) => gender)).toEqual(PEOPLE.map((who) => (who % 2 ? 'male' : 'female')));
  });

  it('become those of the folder in stage 2, and nothing outside the mask changes', async () => {
    const nearest = async (picture: Bitmap) => {
      const [face] = await detectFaces(bundle, picture);
      if (!face) return -1;
      const own = await embed(bundle.faceRecognizer, picture, face);
      const likeness = folders.map((folder) => cosine(own, meanEmbedding(folder)));
      return likeness.indexOf(Math.max(...likeness));
    };
    let [before, after] = [0, 0];
    for (const who of PEOPLE) {
      const { base, picture, mask } = await drawPortrait(
        bundle,
        request('portrait of a person', { seed: 90 + who, face: folders[who]!, detailSide: 448 }),
      );
      if ((await nearest(base)) === who) before++;
      if ((await nearest(picture)) === who) after++;
      const changed = picture.rgb.findIndex((v, i) => v !== base.rgb[i] && mask?.[Math.floor(i / 3)] === 0);
      expect(changed).toBe(-1);
    }
    expect(after).toBeGreaterThanOrEqual(7);
    expect(before).toBeLessThanOrEqual(3);
  }, 120_000);
});

it('shows more of a person the more often their photos are repeated, on the whole', async () => {
  const means: number[] = [];
  for (const faceIdWeight of [1, 4]) {
    let sum = 0;
    for (const who of PEOPLE.slice(0, 4)) {
      const { likeness } = await drawPortrait(
        bundle,
        request('portrait of a person', {
          seed: 90 + who,
          face: folders[who]!,
          faceIdWeight,
          detailSide: 448,
        }),
      );
      sum += likeness ?? 0;
    }
    means.push(sum / 4);
  }
  expect(means[1]! - means[0]!).toBeGreaterThan(0.02);
}, 120_000);

it('flags a checkered background and nothing else', async () => {
  const flagged = async (prompt: string) =>
    (await drawPortrait(bundle, request(prompt))).scores.checkerboard!.flagged!;
  expect(await flagged('a woman, checkered background')).toBeGreaterThan(0.95);
  expect(await flagged('a man, checkerboard')).toBeGreaterThan(0.95);
  for (const prompt of [
    'a woman',
    'a man in a city at night',
    'a woman, stars, space',
    'a woman in a garden',
  ])
    expect(await flagged(prompt)).toBeLessThan(0.05);
});

describe('the UNet', () => {
  // A batch is drawn as one then, and each of it is to the byte what it is alone.
  it.each([900, 500, 100])('gives a picture the same numbers in any batch, at step %i', async (step) => {
    const [height, width] = [40, 32];
    const noise = generator(7);
    const prompts = [
      '',
      'a man',
      'a woman, red hair, blue dress, forest, smile',
      'hat, beard, checkered background',
    ];
    const texts = await Promise.all(prompts.map((prompt) => encodePrompt(bundle, prompt)));
    const [identity] = folders;
    texts.push(await encodeWithIdentity(bundle, bundle.idEncoder, 'a woman', 'img', identity!, 4));
    const samples = texts.map(() => noise.normals(4 * height * width));
    const run = async (of: number[]) => {
      const { out_sample } = await bundle.unet.run({
        sample: tensor(stack(of.map((n) => samples[n]!)), [of.length, 4, height, width]),
        timestep: tensor(Float32Array.of(step), []),
        encoder_hidden_states: tensor(stack(of.map((n) => texts[n]!.context)), [
          of.length,
          77,
          texts[0]!.context.length / 77,
        ]),
        text_embeds: tensor(stack(of.map((n) => texts[n]!.pooled)), [of.length, texts[0]!.pooled.length]),
        time_ids: tensor(stack(of.map(() => timeIds(320, 256))), [of.length, 6]),
      });
      return floats(out_sample, 'out_sample').data;
    };
    const size = samples[0]!.length;
    for (const batch of [
      [0, 1],
      [2, 3, 4],
      [0, 1, 2, 3, 4, 0, 1, 2],
    ]) {
      const together = await run(batch);
      for (const [i, n] of batch.entries())
        expect(together.slice(i * size, (i + 1) * size)).toEqual(await run([n]));
    }
  });
});

it("has CLIP's vocabulary, and the same bytes every time", async () => {
  const golden = new URL('../golden/clip-tokenizer/tokenizer/vocab.json', import.meta.url);
  expect((await clipVocabulary()).vocabulary).toEqual(JSON.parse(await readFile(golden, 'utf8')));
  const again = `${dir}-again`;
  await buildReferenceBundle(again);
  for (const file of ['unet/model.onnx', 'faces/det_10g.onnx', 'faces/w600k_r50.onnx', 'bundle.yaml'])
    expect((await readFile(join(again, file))).equals(await readFile(join(dir, file)))).toBe(true);
});
