/**
 * The door to onnxruntime with a UNet as slow as a large one on a GPU: a step takes so long, and nothing of the CPU. Every run is
 * written as a line, `run {…}`, to standard output.
 */
import { writeSync } from 'node:fs';
import { isMainThread, threadId } from 'node:worker_threads';
import { type OpenSession, openSession as open, type SessionOptions } from '#src/doors/onnx.ts';

export * from '#src/doors/onnx.ts';

/** Of the two halves of guidance together; a picture of 20 steps is done in 6 s, as guidance is off for the last fifth. */
const STEP_MS = 6_000 / (20 - 4 / 2);

/** One run of a network. */
export interface Run {
  readonly network: string;
  /** ms since the epoch */
  readonly from: number;
  readonly to: number;
  /** threads count from 1 */
  readonly thread: number;
}

export async function openSession(
  path: string,
  options: SessionOptions & { readonly network?: string } = {},
): Promise<OpenSession> {
  const session = await open(path, options);
  const { network = path } = options;
  const now = () => performance.timeOrigin + performance.now();
  return {
    ...session,
    async run(feeds, fetches) {
      const from = now();
      const results = await session.run(feeds, fetches);
      if (network === 'unet') {
        const images = feeds.sample?.shape[0] ?? 0;
        // As a run of onnxruntime, it holds the thread's event loop.
        const left = from + (STEP_MS * images) / 2 - now();
        if (left > 0) Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, left);
      }
      const run: Run = { network, from, to: now(), thread: isMainThread ? 0 : threadId };
      writeSync(1, `run ${JSON.stringify(run)}\n`);
      return results;
    },
  };
}
