import { mkdir, mkdtemp, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { type BundleEntry, bundles } from '#config/bundles.ts';
import { ensureBundle, ensureReferenceBundle } from '#src/bundles/ensure.ts';
import { inspectBundle } from '#src/bundles/inspect.ts';
import { readManifest } from '#src/bundles/manifest.ts';

let dir: string;
beforeAll(async () => {
  dir = await mkdtemp(join(tmpdir(), 'atelier-bundles-'));
});
afterAll(() => rm(dir, { recursive: true, force: true }));

it('builds the reference bundle where it is missing, once, and again when its sources changed', async () => {
  const bundle = await ensureBundle('reference', dir);
  const builtAt = async () => (await stat(join(bundle, 'unet/model.onnx'))).mtimeMs;
  const first = await builtAt();
  expect(await readFile(join(bundle, 'bundle.yaml'), 'utf8')).toContain('reference');

  expect(await ensureReferenceBundle(bundle)).toBe(false);
  expect(await builtAt()).toBe(first);

  await writeFile(join(bundle, '.built-from'), 'other sources');
  expect(await ensureReferenceBundle(bundle)).toBe(true);
  expect(await builtAt()).toBeGreaterThan(first);
});

it('names a bundle that is not configured, and those that are', async () => {
  await expect(ensureBundle('nowhere', dir)).rejects.toThrow(
    /^BUNDLES: config\/bundles\.yaml has no entry nowhere; it has reference/,
  );
});

it('makes a bundle of another one with LoRAs in its weights, once', async () => {
  const folder = await ensureBundle('noir', dir);
  const { name, title } = await readManifest(folder);
  expect([name, title]).toEqual(['noir', 'Atelier reference bundle (stand-in) with noir']);
  expect((await inspectBundle(folder)).faults).toEqual([]);
  const unet = (bundle: string) => readFile(join(bundle, 'unet/model.onnx'));
  expect((await unet(folder)).equals(await unet(join(dir, 'bundles/reference')))).toBe(false);
  const madeAt = (await stat(join(folder, 'unet/model.onnx'))).mtimeMs;
  await ensureBundle('noir', dir);
  expect((await stat(join(folder, 'unet/model.onnx'))).mtimeMs).toBe(madeAt);
});

it('takes a bundle of the operator’s from its folder, and says which file is missing there', async () => {
  // As config/bundles.yaml would have it.
  const entry: BundleEntry = { path: 'bundles/mine', shapes: {}, seconds: 1 };
  (bundles as Map<string, BundleEntry>).set('mine', entry);
  const folder = join(dir, 'bundles/mine');
  await mkdir(folder, { recursive: true });
  await expect(ensureBundle('mine', dir)).rejects.toThrow(
    `Bundle mine: ${folder}/bundle.yaml is missing. Put the bundle's folder there.`,
  );
  await writeFile(join(folder, 'bundle.yaml'), '');
  expect(await ensureBundle('mine', dir)).toBe(folder);
});
