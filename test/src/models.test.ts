import { cp, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, inject, it } from 'vitest';
import { fromHalf, toHalf } from '#pipelines/half.ts';
import { bundleHash } from '#src/bundle-files.ts';
import { loadBundle } from '#src/models.ts';

let dir: string;
beforeAll(async () => {
  dir = await mkdtemp(join(tmpdir(), 'atelier-bundle-'));
});
afterAll(() => rm(dir, { recursive: true, force: true }));

/** A copy of the reference bundle, changed. */
async function changed(name: string, change: (bundle: string) => Promise<void>): Promise<string> {
  const copy = join(dir, name);
  await cp(inject('bundleDir'), copy, { recursive: true });
  await change(copy);
  return copy;
}
const swap = async (bundle: string, from: string, to: string) => {
  const file = join(bundle, 'bundle.yaml');
  await writeFile(file, (await readFile(file, 'utf8')).replace(from, to));
};

describe('a bundle', () => {
  it('loads, and says that it is a stand-in', async () => {
    const { manifest, unet } = await loadBundle(inject('bundleDir'), { threads: 1 });
    expect(manifest).toMatchObject({ name: 'reference', standIn: true, family: 'sdxl' });
    expect(unet.inputs.map(({ name }) => name)).toEqual(
      expect.arrayContaining(['sample', 'timestep', 'encoder_hidden_states', 'text_embeds', 'time_ids']),
    );
  });

  it('with missing files is refused, every one named', async () => {
    const bundle = await changed('missing', async (at) => {
      await rm(join(at, 'unet/model.onnx'));
      await rm(join(at, 'tokenizer/merges.txt'));
    });
    const refusal = loadBundle(bundle, { threads: 1 });
    await expect(refusal).rejects.toThrow(/unet\/model\.onnx is missing/);
    await expect(refusal).rejects.toThrow(/tokenizer\/.*merges\.txt/);
  });

  it('with a network of other inputs is refused, naming what is there and what is needed', async () => {
    const bundle = await changed('swapped', (at) =>
      swap(at, 'unet: unet/model.onnx', 'unet: vae_decoder/model.onnx'),
    );
    await expect(loadBundle(bundle, { threads: 1 })).rejects.toThrow(
      /has no input timestep; its inputs are latent_sample/,
    );
  });

  it('with a file that is no network is refused', async () => {
    const bundle = await changed('broken', (at) => writeFile(join(at, 'safety/model.onnx'), 'not a network'));
    await expect(loadBundle(bundle, { threads: 1 })).rejects.toThrow(/safety\/model\.onnx does not load/);
  });

  it('with a bad manifest is refused with the line', async () => {
    const bundle = await changed('manifest', (at) => swap(at, 'family: sdxl', 'family: sd15'));
    await expect(loadBundle(bundle, { threads: 1 })).rejects.toThrow(/bundle\.yaml:\d+: family/);
    await expect(loadBundle(join(dir, 'nowhere'), { threads: 1 })).rejects.toThrow(/no bundle\.yaml/);
  });

  it('has a hash that changes with any of its bytes', async () => {
    const before = await bundleHash(inject('bundleDir'));
    expect(await bundleHash(inject('bundleDir'))).toBe(before);
    const bundle = await changed('hashed', async (at) => {
      const file = join(at, 'scheduler/scheduler_config.json');
      await writeFile(file, `${await readFile(file, 'utf8')} `);
    });
    expect(await bundleHash(bundle)).not.toBe(before);
  });
});

describe('half precision', () => {
  it('goes there and back', () => {
    for (const x of [0, 1, -1, 0.5, 65_504, 6e-8, 1 / 3, -123.4, Number.POSITIVE_INFINITY]) {
      const back = fromHalf(toHalf(x));
      expect(Math.abs(back - x) <= Math.abs(x) * 2 ** -11 + 2 ** -25 || back === x).toBe(true);
    }
    expect(toHalf(1)).toBe(0x3c00);
    expect(toHalf(70_000)).toBe(0x7c00);
    expect(fromHalf(toHalf(Number.NaN))).toBeNaN();
  });
});
