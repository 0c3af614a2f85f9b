/** How near prompts come to concepts, by the reference bundle's text encoder: it knows curls and snow, and of colours nothing. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, inject, it, vi } from 'vitest';
import { parse } from 'yaml';
import { safety } from '#config/safety.ts';
import { meaningsOf, meanOf, nearness } from '#pipelines/safety/concepts.ts';
import type { Session } from '#pipelines/session.ts';
import { tensor } from '#pipelines/tensor.ts';
import { conceptsHash, conceptsIn } from '#src/bundles/concepts.ts';
import { bundleHash } from '#src/bundles/inspect.ts';
import { type LoadedBundle, loadBundle } from '#src/bundles/load.ts';
import { BundleManifest, readManifest } from '#src/bundles/manifest.ts';
import { ruleOfConcepts } from '#src/moderation/verdicts.ts';
import { copyBundle } from '#test/support/bundle-copy.ts';
import { tinyManifest } from '#test/support/tiny-manifest.ts';

vi.setConfig({ testTimeout: 120_000 });

const file = {
  ordinary: safety.ordinary,
  concepts: {
    curls: { title: 'curls', phrases: ['curly hair', 'wavy hair', 'frizzy curls'] },
    winter: { title: 'winter', phrases: ['a frozen landscape', 'snow and ice', 'an arctic winter'] },
  },
};
const thresholds = { curls: 0.3, winter: 0.3 };

let bundle: LoadedBundle;
let dir: string;
beforeAll(async () => {
  bundle = await loadBundle(inject('bundleDir'), { threads: 1 });
  dir = await mkdtemp(join(tmpdir(), 'atelier-concepts-'));
});
afterAll(async () => {
  await bundle.close();
  await rm(dir, { recursive: true, force: true });
});

/** The bundle's encoder, which counts its rows. */
function counting(rows: number[], run: Session['run'] = (...args) => bundle.textEncoder2.run(...args)) {
  const textEncoder2: Session = {
    ...bundle.textEncoder2,
    run(feeds, fetches) {
      rows.push(feeds.input_ids!.shape[0]!);
      return run(feeds, fetches);
    },
  };
  return { tokenizer2: bundle.tokenizer2, textEncoder2 };
}
/** Which concept each prompt is held by. */
const held = async (prompts: readonly string[]) =>
  (await conceptsIn(bundle, thresholds, file)(prompts)).map(ruleOfConcepts);

describe('nearness', () => {
  const axis = (...values: number[]) => Float32Array.from(values);

  it('is the cosine with the nearest phrase, less the mean one with ordinary texts', () => {
    const ordinary = meanOf([[axis(1, 0, 0)], [axis(0, 1, 0)]]);
    expect([...ordinary]).toEqual([0.5, 0.5, 0]);
    const phrases = [[axis(0, 0, 1)], [axis(0.6, 0, 0.8)]];
    expect(nearness([axis(0, 0, 1)], phrases, ordinary)).toBeCloseTo(1);
    expect(nearness([axis(1, 0, 0)], phrases, ordinary)).toBeCloseTo(0.6 - 0.5);
    // Of a long text its nearest part counts.
    expect(nearness([axis(1, 0, 0), axis(0, 0, 1)], phrases, ordinary)).toBeCloseTo(1);
  });

  it('is not moved by what all texts have in common, as a cosine is', () => {
    /** Of length 1, with so much of what all share, and the rest of its own. */
    const text = (shared: number, ...own: number[]) => {
      const rest = Math.sqrt(1 - shared ** 2) / Math.hypot(...own);
      return axis(shared, ...own.map((value) => value * rest));
    };
    const ordinary = meanOf([[text(0.8, 1, 0, 0, 0)], [text(0.8, 0, 1, 0, 0)]]);
    const phrase = text(0.8, 0, 0, 1, 0);
    const [plain, near] = [text(0.99, 0, 0, 0, 1), text(0.3, 0, 0, 1, 1)];
    const cosine = (a: Float32Array) => a.reduce((sum, value, i) => sum + value * phrase[i]!, 0);
    expect(cosine(plain)).toBeGreaterThan(cosine(near));
    expect(nearness([plain], [[phrase]], ordinary)).toBeCloseTo(0);
    expect(nearness([near], [[phrase]], ordinary)).toBeGreaterThan(0.1);
  });

  it('is that of the pooled state of each 77 tokens, of length 1', async () => {
    const long = `${'a man, '.repeat(40)}curly hair`;
    const [short, both] = await meaningsOf(bundle, ['a man', long]);
    expect([short!.length, both!.length]).toEqual([1, 2]);
    for (const one of [...short!, ...both!]) expect(Math.hypot(...one)).toBeCloseTo(1);
    expect([...both![0]!]).toEqual([...short![0]!]);
    expect([...both![1]!]).not.toEqual([...short![0]!]);
  });
});

describe('a bundle with thresholds', () => {
  it('tells which prompts come near to a concept, and no others', async () => {
    const prompts = {
      'a woman with curly hair': 'concept-curls',
      'an afro': 'concept-curls',
      'portrait of a man in the snow': 'concept-winter',
      'a woman with red hair': null,
      'portrait of an old man, forest': null,
      'of this it knows nothing at all': null,
      '': null,
    };
    expect(await held(Object.keys(prompts))).toEqual(Object.values(prompts));
  });

  it('is not led astray by length, weights or brackets', async () => {
    const padding = 'a quiet street, '.repeat(60);
    expect(await held([`${padding}curly hair`, `curly hair, ${padding}`, padding])).toEqual([
      'concept-curls',
      'concept-curls',
      null,
    ]);
    expect(await held(['(curly hair:0.1)', '[curly] hair'])).toEqual(['concept-curls', 'concept-curls']);
  });

  it('encodes its phrases once, and each prompt once', async () => {
    const rows: number[] = [];
    const ask = conceptsIn(counting(rows), thresholds, file);
    await ask(['a man', 'a man', 'a woman']);
    const first = rows.reduce((sum, one) => sum + one, 0);
    expect(first).toBe(3 + 3 + file.ordinary.length + 2);
    expect(Math.max(...rows)).toBeLessThanOrEqual(16);
    rows.length = 0;
    await ask(['a child']);
    expect(rows).toEqual([1]);
  });

  it('says null where the encoder fails or gives no numbers, and asks again with the next prompt', async () => {
    for (const answer of [
      () => Promise.reject(new Error('no encoder')),
      async () => ({ text_embeds: tensor(new Float32Array(16 * 64).fill(Number.NaN), [16, 64]) }),
    ]) {
      let isBroken = true;
      const ask = conceptsIn(
        counting([], (feeds, fetches) => (isBroken ? answer() : bundle.textEncoder2.run(feeds, fetches))),
        thresholds,
        file,
      );
      expect(await ask(['a man', 'a woman'])).toEqual([null, null]);
      isBroken = false;
      expect((await ask(['curly hair'])).map(ruleOfConcepts)).toEqual(['concept-curls']);
      isBroken = true;
      expect(await ask(['a man'])).toEqual([null]);
    }
  });

  it('runs nothing where it has none', async () => {
    const rows: number[] = [];
    expect(await conceptsIn(counting(rows), {}, file)(['curly hair', ''])).toEqual([{}, {}]);
    expect(rows).toEqual([]);
  });
});

describe('bundle.yaml', () => {
  const faultsOf = async (concepts: string) => {
    const copy = await copyBundle(join(dir, 'faulty'));
    await copy.manifest('ageError: 7', `ageError: 7\nconcepts:\n  ${concepts}`);
    return readManifest(copy.dir).then(
      ({ concepts: read }) => read,
      (error: Error) => error.message,
    );
  };

  it('names concepts that there are, and thresholds that can be reached; what is wrong is told with its line', async () => {
    expect(await faultsOf('gore: 0.1')).toEqual({ gore: 0.1 });
    expect(await faultsOf('gory: 0.1')).toMatch(
      /^bundle\.yaml:\d+: concepts\.gory: config\/safety\.yaml has no such concept; it has minors, /,
    );
    expect(await faultsOf('gore: 1')).toMatch(/^bundle\.yaml:\d+: concepts\.gore: .*<1/);
    expect(await faultsOf('gore: -1')).toMatch(/^bundle\.yaml:\d+: concepts\.gore: .*>-1/);
    expect(BundleManifest.parse(parse(tinyManifest)).concepts).toEqual({});
  });

  it('makes another bundle of it, for pictures that stand for each other, and so do other phrases', async () => {
    const copy = await copyBundle(join(dir, 'hashed'));
    const before = await bundleHash(copy.dir);
    expect(before).toBe(await bundleHash(inject('bundleDir')));
    await copy.manifest('ageError: 7', 'ageError: 7\nconcepts: { gore: 0.1 }');
    expect(await bundleHash(copy.dir)).not.toBe(before);
    const more = { ...file.concepts, curls: { title: 'curls', phrases: ['a perm'] } };
    expect(conceptsHash(thresholds, file)).not.toBe(conceptsHash(thresholds, { ...file, concepts: more }));
    expect(conceptsHash({ winter: 0.3 }, file)).toBe(
      conceptsHash({ winter: 0.3 }, { ...file, concepts: more }),
    );
  });
});
