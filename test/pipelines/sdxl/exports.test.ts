/** The golden runs again, with the same networks in the other forms that exports have. */
import { mkdir, mkdtemp, readdir, readFile, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { sdxlTiny } from '#test/golden-runs/sdxl-tiny.ts';
import { type GoldenCheck, type GoldenSet, goldenDir, openSet } from '#test/support/golden.ts';
import { castInput, external, half, halfBorder, halfWeights, INT32 } from '#test/support/onnx-variants.ts';

const NETWORKS = ['text_encoder', 'text_encoder_2', 'unet', 'vae_encoder', 'vae_decoder'];
const DATA = 'model.onnx_data';
const RUNS = ['euler-wide', 'dpmpp_2m_karras-batch', 'img2img-euler', 'text_encoder', 'text_encoder_2'];

type Form = (model: Uint8Array, network: string) => { model: Uint8Array; data?: Uint8Array };
/** Of each form, how far any compared tensor may be from the reference, over its largest value; 0: as the float32 files. */
const FORMS: readonly (readonly [what: string, limit: number, form: Form])[] = [
  ['weights in a file beside it', 0, (model) => external(model, DATA)],
  ['weights in half precision', 5e-3, (model) => ({ model: halfWeights(model) })],
  [
    'half precision at the border, ids of int32',
    3e-3,
    (model, network) => ({
      model: network.startsWith('text')
        ? castInput(halfBorder(model), 'input_ids', INT32)
        : halfBorder(model),
    }),
  ],
  [
    'half precision throughout, and a VAE of full precision',
    1e-2,
    (model, network) => (network.startsWith('vae') ? { model } : external(half(model), DATA)),
  ],
];

let dir: string;
beforeAll(async () => {
  dir = await mkdtemp(join(tmpdir(), 'atelier-exports-'));
});
afterAll(() => rm(dir, { recursive: true, force: true }));

/** The golden set, with other files for its networks. */
async function setOf(name: string, form: Form): Promise<GoldenSet> {
  const from = goldenDir('sdxl-tiny');
  const to = join(dir, name);
  await mkdir(to);
  for (const entry of await readdir(from))
    if (!NETWORKS.includes(entry)) await symlink(join(from, entry), join(to, entry));
  for (const network of NETWORKS) {
    const { model, data } = form(await readFile(join(from, network, 'model.onnx')), network);
    await mkdir(join(to, network));
    await writeFile(join(to, network, 'model.onnx'), model);
    if (data) await writeFile(join(to, network, DATA), data);
  }
  return openSet(to);
}

describe.each(FORMS)('SDXL with %s', (what, limit, form) => {
  let set: GoldenSet;
  let check: GoldenCheck;
  beforeAll(async () => {
    set = await setOf(what, form);
    check = await sdxlTiny(set);
  });

  it.each(RUNS)('gives what the reference gives: %s', async (name) => {
    const results = await check(set.named(name));
    expect(results.length).toBeGreaterThan(3);
    const far = results.filter((result) =>
      // Pictures in whole levels are not told apart so finely.
      limit && !result.what.endsWith('.png') ? result.relative > limit : !result.passed,
    );
    expect(far).toEqual([]);
  });
});
