/** `npm run bundle -- lora`, as an operator runs it. */
import { execFile } from 'node:child_process';
import { readdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import lora from '#infra/bundle/lora.ts';
import { drawPortrait } from '#pipelines/portrait.ts';
import { loadBundle, withLoras } from '#src/bundles/load.ts';
import { loraFile } from '#src/bundles/loras.ts';
import { mergedNetworks } from '#src/bundles/merged-networks.ts';
import { type BundleCopy, copyBundle } from '#test/support/bundle-copy.ts';
import { goldenDir } from '#test/support/golden.ts';
import { portraitRequest } from '#test/support/portrait-request.ts';

/** Where nothing may be written by what is refused. */
const TARGET = join(tmpdir(), `atelier-lora-target-${process.pid}`);
let copy: BundleCopy;
beforeAll(async () => {
  copy = await copyBundle(join(tmpdir(), `atelier-lora-${process.pid}`));
});
afterAll(() => rm(copy.dir, { recursive: true, force: true }));

function run(...args: string[]): Promise<{ status: number; out: string; err: string }> {
  return new Promise((done) => {
    const child = execFile(
      process.execPath,
      [resolve('infra/bundle/bundle.ts'), 'lora', ...args],
      (_, out, err) => done({ status: child.exitCode ?? -1, out, err }),
    );
  });
}
const films = () => readdir(join(copy.dir, 'loras'));
const exists = (path: string) =>
  stat(path).then(
    () => true,
    () => false,
  );

describe('npm run bundle -- lora', () => {
  it('lists, adds under another name, and removes', async () => {
    const { out } = await run('list', copy.dir);
    expect(out).toBe(
      'golden-hour: 1 modules (1 of the unet), rank 1\nnoir: 1 modules (1 of the unet), rank 1\n',
    );
    const added = await run('add', copy.dir, loraFile(copy.dir, 'noir'), '--name', 'silver');
    expect(added).toMatchObject({ status: 0, err: '' });
    expect(added.out).toMatch(/^Added silver: 1 modules \(1 of the unet\), rank 1\n/);
    expect(await films()).toEqual(['golden-hour.safetensors', 'noir.safetensors', 'silver.safetensors']);
    expect(await run('remove', copy.dir, 'silver')).toEqual({ status: 0, out: 'Removed silver.\n', err: '' });
    expect(await films()).toEqual(['golden-hour.safetensors', 'noir.safetensors']);
  });

  it.each<[what: string, args: (dir: string) => string[], status: number, sentence: RegExp]>([
    ['nothing', () => [], 2, /^Usage:\n/],
    ['an unknown action', (dir) => ['burn', dir], 2, /^Usage:\n/],
    ['no bundle', () => ['list', tmpdir()], 2, /^There is no bundle\.yaml in /],
    [
      'a missing file',
      (dir) => ['add', dir, '/nowhere/film.safetensors'],
      1,
      /^\/nowhere\/film\.safetensors is missing\n$/,
    ],
    [
      'a file that is no LoRA',
      (dir) => ['add', dir, resolve('README.md'), '--name', 'film'],
      1,
      /README\.md: This is no safetensors file: its header is missing or cut off\.\n$/,
    ],
    [
      'a LoRA for another network',
      (dir) => ['add', dir, join(goldenDir('lora'), 'kohya.safetensors')],
      1,
      /^LoRA kohya is for another network: 11 of its 11 modules are not in the unet: down_blocks_0_resnets_0_conv1, /,
    ],
    [
      'a name that no one can type',
      (dir) => ['add', dir, loraFile(dir, 'noir'), '--name', 'No/Name'],
      2,
      /^"No\/Name" can't be a LoRA's name: 1 to 40 of a–z, 0–9, - and _\. Give one with --name\.\n$/,
    ],
    [
      'a name that is taken',
      (dir) => ['add', dir, loraFile(dir, 'noir')],
      1,
      /^There is a LoRA noir already; remove it first\.\n$/,
    ],
    [
      'an unknown one to remove',
      (dir) => ['remove', dir, 'film'],
      1,
      /^There is no LoRA film; there is golden-hour, noir\.\n$/,
    ],
    ['an unknown one to merge', (dir) => ['merge', dir, 'film', TARGET], 1, /^There is no LoRA film; /],
    [
      'a scale beyond all sense',
      (dir) => ['merge', dir, 'noir:99', TARGET],
      2,
      /^The scale of the LoRA `noir` is from −4 to 4, as `film:0\.8`\.\n$/,
    ],
    ['a folder that is there', (dir) => ['merge', dir, 'noir', dir], 1, /exists already\n$/],
  ])('says what is wrong with %s, and leaves everything as it was', async (_, args, status, sentence) => {
    const before = await films();
    const said: string[] = [];
    const write = vi.spyOn(process.stderr, 'write').mockImplementation((text) => said.push(String(text)) > 0);
    try {
      expect(await lora(args(copy.dir))).toBe(status);
    } finally {
      write.mockRestore();
    }
    expect(said.join('')).toMatch(sentence);
    expect(await films()).toEqual(before);
    expect(await exists(TARGET)).toBe(false);
  });

  it('merges into a new bundle, which draws what the choice draws', async () => {
    const out = `${copy.dir}-merged`;
    try {
      expect(await run('merge', copy.dir, 'noir:0.8', out)).toMatchObject({ status: 0, err: '' });
      const request = portraitRequest('a woman, red hair', { width: 256, height: 320, steps: 4 });
      const plain = await loadBundle(copy.dir, { threads: 1 });
      const { bundle, close } = await withLoras(copy.dir, plain, [{ name: 'noir', scale: 0.8 }], {
        threads: 1,
      });
      const chosen = await drawPortrait(bundle, request);
      await close();
      const merged = await drawPortrait(await loadBundle(out, { threads: 1 }), request);
      expect(merged.picture.rgb).toEqual(chosen.picture.rgb);
      expect(merged.picture.rgb).not.toEqual((await drawPortrait(plain, request)).picture.rgb);
    } finally {
      await rm(out, { recursive: true, force: true });
    }
  });
});

describe('merged networks', () => {
  it('are made once for what goes in, and the least recently used make room', async () => {
    const made = async (scale: number) => (await mergedNetworks(copy.dir, [{ name: 'noir', scale }]))!.dir;
    const first = await made(0.1);
    const { mtimeMs } = await stat(join(first, 'unet/model.onnx'));
    expect(await made(0.1)).toBe(first);
    expect((await stat(join(first, 'unet/model.onnx'))).mtimeMs).toBe(mtimeMs);
    for (const scale of [0.2, 0.3, 0.4]) await made(scale);
    await made(0.1); // used again: now 0.2 is the oldest
    await made(0.5);
    const kept = (await readdir(join(copy.dir, '.merged'))).filter((name) => !name.endsWith('.making'));
    expect(kept).toHaveLength(4);
    expect(await exists(first)).toBe(true);
  });

  it('are others when the file under a name is', async () => {
    const path = loraFile(copy.dir, 'noir');
    const bytes = await readFile(path);
    const before = await mergedNetworks(copy.dir, [{ name: 'noir', scale: 1 }]);
    await writeFile(path, await readFile(loraFile(copy.dir, 'golden-hour')));
    const after = await mergedNetworks(copy.dir, [{ name: 'noir', scale: 1 }]);
    await writeFile(path, bytes);
    expect(after!.dir).not.toBe(before!.dir);
  });

  it('made by several at once are whole, and one', async () => {
    const all = await Promise.all(
      Array.from({ length: 3 }, () => mergedNetworks(copy.dir, [{ name: 'golden-hour', scale: 0.7 }])),
    );
    expect(new Set(all.map((one) => one!.dir)).size).toBe(1);
  });
});

describe('a bundle’s own LoRAs', () => {
  it('are always merged in, and looked at when the bundle is', async () => {
    const own = await copyBundle(`${copy.dir}-own`);
    try {
      const yaml = await readFile(join(own.dir, 'bundle.yaml'), 'utf8');
      await writeFile(
        join(own.dir, 'bundle.yaml'),
        `${yaml}loras:\n  - file: loras/noir.safetensors\n    scale: 0.8\n`,
      );
      const request = portraitRequest('a woman, red hair', { width: 256, height: 320, steps: 4 });
      const { bundle } = await withLoras(copy.dir, await loadBundle(copy.dir, { threads: 1 }), [
        { name: 'noir', scale: 0.8 },
      ]);
      const chosen = await drawPortrait(bundle, request);
      const drawn = await drawPortrait(await loadBundle(own.dir, { threads: 1 }), request);
      expect(drawn.picture.rgb).toEqual(chosen.picture.rgb);

      await writeFile(join(own.dir, 'loras/noir.safetensors'), 'nothing');
      await expect(loadBundle(own.dir, { threads: 1 })).rejects.toThrow(
        'loras/noir.safetensors: This is no safetensors file: its header is missing or cut off.',
      );
    } finally {
      await rm(own.dir, { recursive: true, force: true });
    }
  });
});
