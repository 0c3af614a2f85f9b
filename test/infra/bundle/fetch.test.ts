/**
 * `npm run bundle -- fetch`: what it brings is what TensorFlow.js runs, and what it writes. The package comes from the registry, so these are
 * skipped where there is none; what is pinned is pinned there as well.
 */
import { createHash } from 'node:crypto';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { parse } from 'yaml';
import { fetchSafety } from '#infra/bundle/fetch.ts';
import { fetchPackage } from '#infra/bundle/npm-package.ts';
import { convert, LABELS, NETWORKS, type NetworkName, NSFWJS } from '#infra/bundle/nsfwjs.ts';
import type { Bitmap } from '#pipelines/bitmap.ts';
import { drawPhoto, person } from '#pipelines/reference/photo.ts';
import { type Classifier, classify } from '#pipelines/safety/classify.ts';
import { inspectBundle } from '#src/bundles/inspect.ts';
import { loadBundle } from '#src/bundles/load.ts';
import { openSession } from '#src/doors/onnx.ts';
import { verdictOf } from '#src/moderation/verdicts.ts';
import { copyBundle } from '#test/support/bundle-copy.ts';
import { isRequired } from '#test/support/required.ts';
import { usualPlace } from '#test/support/where.ts';
import pairs from './nsfwjs/pairs.json' with { type: 'json' };

vi.setConfig({ testTimeout: 240_000, hookTimeout: 240_000 });

const files = await fetchPackage(NSFWJS).catch((error: unknown) => {
  if (isRequired('registry')) throw error;
  return null;
});

/** sha256, hex: the same bytes on every machine. */
const BYTES: Readonly<Record<NetworkName, string>> = {
  mobilenet: '9acae391034374937ef0983b87f08b5071d475b8e72b635cb6eb64ee3f89e266',
  inception: '2439699272d8110d36bc1589e4c7e92ae0d3ca1ed69fa550acb8f8a6cfcb058d',
};

let dir: string;
beforeAll(async () => {
  dir = await mkdtemp(join(tmpdir(), 'atelier-fetch-'));
});
afterAll(() => rm(dir, { recursive: true, force: true }));

/** As nsfwjs/make.mjs makes them. */
function golden(seed: number, width: number, height: number): Bitmap {
  const rgb = new Uint8Array(width * height * 3);
  for (let y = 0; y < height; y++)
    for (let x = 0; x < width; x++)
      for (let c = 0; c < 3; c++) {
        const stripes = ((x * (seed + c)) >> 2) % 64;
        const squares = ((x >> (3 + (seed % 3))) + (y >> 4)) % 2 ? 70 : 0;
        const shade = Math.floor((y * (90 + 20 * c)) / height);
        rgb[(y * width + x) * 3 + c] = (stripes + squares + shade + 10 * seed) % 256;
      }
  return { rgb, width, height };
}

it('takes no other file than the one that was looked at', async () => {
  if (!files) return;
  const other = fetchPackage({ ...NSFWJS, integrity: 'sha512-AAAA' });
  await expect(other).rejects.toThrow(
    /^nsfwjs@4\.4\.0 is not the file that was looked at: its hash is sha512-krC1/,
  );
});

it('says what npm said where there is no such package', async () => {
  const none = fetchPackage({ spec: 'nsfwjs@0.0.0-none', integrity: 'sha512-AAAA' });
  await expect(none).rejects.toThrow(/^npm could not fetch nsfwjs@0\.0\.0-none: /);
});

/** Inception takes as long as all else here: where the registry is asked for by name, as in CI. */
const networks: readonly NetworkName[] = isRequired('registry') ? ['mobilenet', 'inception'] : ['mobilenet'];

describe.skipIf(!files).each(networks)('%s', (network) => {
  it('is the same bytes each time, and says what TensorFlow.js says', async () => {
    const onnx = convert(files!, network);
    expect(createHash('sha256').update(onnx).digest('hex')).toBe(BYTES[network]);
    const { side } = NETWORKS[network];
    const { put } = await copyBundle(join(dir, network));
    await put('nsfw.onnx', onnx);
    const session = await openSession(join(dir, network, 'nsfw.onnx'), { threads: 1 });
    const classifier: Classifier = {
      name: 'nsfw',
      session,
      labels: LABELS,
      input: { side, resize: 'corners', mean: [0, 0, 0], std: [1, 1, 1] },
    };
    const mine = pairs.filter((one) => one.network === network);
    expect(mine).toHaveLength(3);
    for (const { seed, width, height, scores } of mine) {
      const said = Object.values(await classify(classifier, golden(seed, width, height)));
      for (const [i, score] of scores.entries()) expect(Math.abs(said[i]! - score)).toBeLessThan(2e-6);
    }
    // Fed otherwise it says something else: the pairs hold the feeding, too.
    const wrong = { ...classifier, input: { ...classifier.input, resize: 'antialias' as const } };
    const off: number[] = [];
    for (const { seed, width, height, scores } of mine) {
      const said = Object.values(await classify(wrong, golden(seed, width, height)));
      off.push(...said.map((score, i) => Math.abs(score - scores[i]!)));
    }
    expect(Math.max(...off)).toBeGreaterThan(1e-3);
    await session.close();
  });
});

describe.skipIf(!files)('fetch safety', () => {
  it('puts network, licence and entry into a bundle, once, and it holds no picture of the reference world', async () => {
    const copy = await copyBundle(join(dir, 'whole'));
    await fetchSafety(copy.dir, 'mobilenet');
    const yaml = await readFile(join(copy.dir, 'bundle.yaml'), 'utf8');
    await fetchSafety(copy.dir, 'mobilenet');
    expect(await readFile(join(copy.dir, 'bundle.yaml'), 'utf8')).toBe(yaml);
    expect(await readFile(join(copy.dir, 'safety/nsfw-LICENSE'), 'utf8')).toMatch(/MIT License/);
    expect(parse(yaml).licence).toBe('MIT; nsfwjs@4.4.0 (image classifier): MIT');
    const { faults, manifest } = await inspectBundle(copy.dir);
    expect(faults).toEqual([]);
    expect(manifest.classifiers.map(({ name }) => name)).toEqual(['checkerboard', 'nsfw']);

    const bundle = await loadBundle(copy.dir, { threads: 1 });
    const [, nsfw] = bundle.classifiers;
    for (const number of [0, 1, 2, 3, 4, 5]) {
      const scores = { nsfw: await classify(nsfw!, drawPhoto(person(number), number)) };
      // As one that a child may be in, which is the strictest.
      expect(verdictOf({ scores, ages: null, concepts: {} }, usualPlace)).toMatchObject({ verdict: 'clear' });
    }
    await bundle.close();

    // Read with another range, it is refused before the first picture.
    await copy.manifest(
      'side: 224\n      resize: corners\n      mean: 0\n',
      'side: 224\n      resize: corners\n      mean: 0.5\n',
    );
    await expect(loadBundle(copy.dir, { threads: 1 })).rejects.toThrow(
      /safety\/nsfw\.onnx: it gives Drawing 0\.\d+ on the test card, and 0\.40 is expected: are side, resize, mean, std/,
    );
  });
});
