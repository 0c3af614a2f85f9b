/** onnxruntime keeps a file while it reports what it does: there is none when it was told not to. */
import { execFile } from 'node:child_process';
import { mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { goldenDir } from '#test/support/golden.ts';

let dir: string;
beforeAll(async () => {
  dir = await mkdtemp(join(tmpdir(), 'atelier-telemetry-'));
});
afterAll(() => rm(dir, { recursive: true, force: true }));

/** Files that a process leaves which opens a session in a thread, as the worker does. */
async function leftBy(first: string): Promise<string[]> {
  const inThread = `const { openSession } = await import('#src/doors/onnx.ts');
    await openSession(${JSON.stringify(join(goldenDir('sdxl-tiny'), 'vae_decoder/model.onnx'))});`;
  const code = `import { Worker } from 'node:worker_threads';
    ${first}
    const thread = new Worker(${JSON.stringify(inThread)}, { eval: true });
    await new Promise((resolve, reject) => { thread.on('exit', resolve); thread.on('error', reject); });`;
  await promisify(execFile)(process.execPath, ['--input-type=module', '--eval', code], {
    cwd: process.cwd(),
    // Nothing else: it also keeps quiet where it finds CI, GITHUB_ACTIONS and their like.
    env: { TMPDIR: dir },
  });
  return (await readdir(dir)).filter((name) => name.startsWith('mat-debug'));
}

it('onnxruntime reports nothing of what people draw', async () => {
  expect(await leftBy("await import('#config/env.ts');")).toEqual([]);
  // It would, if it were not told.
  expect(await leftBy('')).not.toEqual([]);
});
