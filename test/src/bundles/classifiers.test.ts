/** Classifiers as a bundle has them: any number, each fed its own way; wrong ones named; one that hangs ended, and begun again. */
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { parse, stringify } from 'yaml';
import type { Bitmap } from '#pipelines/bitmap.ts';
import { Graph } from '#pipelines/onnx-writer.ts';
import { classify, classifyAll } from '#pipelines/safety/classify.ts';
import { testCard } from '#pipelines/safety/test-card.ts';
import { type OpenClassifiers, openClassifiers } from '#src/bundles/classifiers.ts';
import { inspectBundle } from '#src/bundles/inspect.ts';
import { BundleManifest, type ClassifierEntry, classifierRole } from '#src/bundles/manifest.ts';
import { verdictOf } from '#src/moderation/verdicts.ts';
import { copyBundle } from '#test/support/bundle-copy.ts';
import { hangingClassifier } from '#test/support/hanging-classifier.ts';
import { tinyManifest } from '#test/support/tiny-manifest.ts';
import { usualPlace } from '#test/support/where.ts';

/** However busy this machine is. */
vi.setConfig({ testTimeout: 120_000 });

let dir: string;
beforeAll(async () => {
  dir = await mkdtemp(join(tmpdir(), 'atelier-classifiers-'));
});
const open: OpenClassifiers[] = [];
afterAll(async () => {
  for (const one of open) await one.close();
  await rm(dir, { recursive: true, force: true });
});

/** Its two logits are the mean of what it is fed, times `gain`, and its negative. */
function meanOf(side: number, gain: number, labels = 2): Uint8Array {
  const g = new Graph('mean');
  const pixels = g.input('anything', 'float', ['n', 3, side, side]);
  const mean = g.op('ReduceMean', [pixels, g.ints([1, 2, 3])], { keepdims: 0 });
  const column = g.op('Unsqueeze', [mean, g.ints([1])]);
  const gains = Array.from({ length: labels }, (_, i) => (i % 2 ? -gain : gain));
  g.output('scores', g.op('Mul', [column, g.floats(gains, [1, labels])]), 'float', ['n', '?']);
  return g.bytes();
}

const entry = (name: string, side: number, more: Partial<ClassifierEntry> = {}): ClassifierEntry => ({
  name,
  file: `${name}.onnx`,
  input: { side, resize: 'antialias', mean: [0.5, 0.5, 0.5], std: [0.5, 0.5, 0.5] },
  labels: ['normal', 'flagged'],
  ...more,
});

async function opened(
  files: Readonly<Record<string, Uint8Array>>,
  classifiers: readonly ClassifierEntry[],
  classifierLimitMs?: number,
): Promise<OpenClassifiers> {
  for (const [name, bytes] of Object.entries(files)) await writeFile(join(dir, `${name}.onnx`), bytes);
  const networks = classifiers.map((one) => ({
    role: classifierRole(one),
    path: one.file,
    renamed: { logits: 'scores' },
    data: [],
    bytes: 1,
  }));
  const options = { threads: 1, ...(classifierLimitMs !== undefined && { classifierLimitMs }) };
  const result = await openClassifiers(dir, { classifiers: [...classifiers] }, networks, options);
  open.push(result);
  return result;
}

const plain = (level: number): Bitmap => ({
  rgb: new Uint8Array(64 * 48 * 3).fill(level),
  width: 64,
  height: 48,
});

describe('classifiers', () => {
  it('are any number, each fed its own way', async () => {
    const files = { one: meanOf(32, 1), two: meanOf(48, 2) };
    const { classifiers, faults } = await opened(files, [
      entry('one', 32),
      entry('two', 48, {
        labels: ['Porn', 'Neutral'],
        input: { side: 48, resize: 'corners', mean: [0, 0, 0], std: [1, 1, 1] },
      }),
    ]);
    expect(faults).toEqual([]);
    const scores = await classifyAll(classifiers, plain(255));
    const sigmoid = (x: number) => 1 / (1 + Math.exp(-x));
    expect(scores.one?.normal).toBeCloseTo(sigmoid(2), 5);
    expect(scores.two?.Porn).toBeCloseTo(sigmoid(4), 5);
    expect((await classifyAll(classifiers, plain(0))).two?.Porn).toBeCloseTo(0.5, 5);
  });

  it('that fail on the test card are named, with what was found and what to do', async () => {
    const files = {
      few: meanOf(32, 1, 3),
      nan: meanOf(32, Number.NaN),
      side: meanOf(32, 1),
      card: meanOf(32, 1),
    };
    const { faults } = await opened(files, [
      entry('few', 32),
      entry('nan', 32),
      entry('side', 48),
      entry('card', 32, { testCard: { normal: 0.9 } }),
      entry('label', 32, { file: 'card.onnx', testCard: { Normal: 0.9 } }),
    ]);
    expect(faults).toEqual([
      'few.onnx: it fails on the test card: few gives 3 logits, and has 2 labels: normal, flagged',
      'nan.onnx: it fails on the test card: nan gives NaN, NaN, and numbers are needed',
      expect.stringMatching(/^side\.onnx: it fails on the test card: .*Got: 48 Expected: 32/s),
      expect.stringMatching(
        /^card\.onnx: it gives normal 0\.\d\d on the test card, and 0\.90 is expected: are side, resize, mean, std and the order of labels/,
      ),
      'card.onnx: bundle.yaml expects the label Normal of it on the test card; its labels are normal, flagged',
    ]);
  });

  it('one that hangs is ended, its picture is held, and the next is looked at again', async () => {
    const { classifiers, faults } = await opened(
      { hanging: hangingClassifier() },
      [entry('hanging', 224)],
      1_500,
    );
    expect(faults).toEqual([]);
    const look = async (level: number) => {
      const scores = await classifyAll(classifiers, plain(level));
      return verdictOf({ scores, ages: [], concepts: {} }, usualPlace).rule;
    };
    expect(await look(100)).toBeNull();
    expect(await look(255)).toBe('classifier-failed');
    await vi.waitFor(async () => expect(await look(100)).toBeNull(), { timeout: 60_000, interval: 200 });
    // Twice in a row, and in a crowd: each is held, and it comes back.
    expect(await Promise.all([look(255), look(255)])).toEqual(['classifier-failed', 'classifier-failed']);
    await vi.waitFor(async () => expect(await look(100)).toBeNull(), { timeout: 60_000, interval: 200 });
  });
});

describe('bundle.yaml', () => {
  const read = (changes: Record<string, unknown>) =>
    BundleManifest.safeParse({ ...(parse(tinyManifest) as object), ...changes });

  it('of an older bundle has one classifier, fed as a ViT', () => {
    expect(read({}).data?.classifiers).toEqual([
      {
        name: 'safety',
        file: 'safety/model.onnx',
        input: { side: 224, resize: 'antialias', mean: [0.5, 0.5, 0.5], std: [0.5, 0.5, 0.5] },
        labels: ['normal', 'flagged'],
      },
    ]);
  });

  it.each([
    ['in levels of 0…255', { mean: 127.5 }, /is of levels 0…1, as preprocessor_config\.json has it/],
    ['divided by nothing', { std: 0 }, /is of levels 0…1/],
    ['of no side', { side: 0 }, />=16/],
    ['by an unknown resize', { resize: 'nearest' }, /antialias.*corners/],
  ])('with a classifier fed %s is refused', (_, input, message) => {
    const { error } = read({
      classifiers: [{ ...entry('a', 32), input: { ...entry('a', 32).input, ...input } }],
    });
    expect(JSON.stringify(error?.issues)).toMatch(message);
  });

  it('without any is refused, and with two of one name', () => {
    const { files } = parse(tinyManifest) as { files: object };
    const without = read({ files: { ...files, safety: undefined } });
    expect(without.error?.issues[0]?.message).toBe(
      'no picture leaves unseen: at least one classifier is needed',
    );
    expect(read({ classifiers: [entry('safety', 32)] }).error?.issues[0]?.message).toBe(
      'two classifiers have one name',
    );
  });

  it('whose labels nobody here knows is refused, with those that are known', async () => {
    const copy = await copyBundle(join(dir, 'labels'));
    await copy.manifest('      - flagged', '      - naughty');
    const { faults } = await inspectBundle(copy.dir);
    expect(faults).toEqual([
      expect.stringMatching(
        /^safety\/model\.onnx has the labels normal, naughty, and config\/safety\.yaml has a score of none of them; it knows flagged, /,
      ),
    ]);
    await copy.manifest('side: 224', 'side: 256');
    await copy.put('bundle.yaml', stringify({ ...parse(tinyManifest), classifiers: [entry('x', 256)] }));
    expect((await inspectBundle(copy.dir)).faults).toContain('x.onnx is missing');
  });
});

it('the test card is the same everywhere, and not square', async () => {
  const { rgb, width, height } = testCard();
  expect([width, height]).toEqual([500, 380]);
  let sum = 0;
  for (const [i, level] of rgb.entries()) sum = (sum + level * ((i % 251) + 1)) % 1_000_003;
  expect(sum).toMatchInlineSnapshot(`721449`);
  const { classifiers } = await opened({ one: meanOf(32, 1) }, [entry('one', 32)]);
  expect((await classify(classifiers[0]!, testCard())).normal).toBeGreaterThan(0);
});
