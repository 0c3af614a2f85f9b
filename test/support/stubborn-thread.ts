/** Speaks as src/sweeps/reading-thread.ts does, and comes to bad ends that no YAML is known to bring about. */
import { parentPort } from 'node:worker_threads';
import type { Asked, Said } from '#src/sweeps/reading-thread.ts';

parentPort?.on('message', ({ id, text }: Asked) => {
  parentPort?.postMessage({ id } satisfies Said);
  if (text === 'for ever') for (;;);
  if (text === 'all memory')
    for (const kept: string[][] = []; ; ) kept.push(String(kept.length).padEnd(300).split(''));
  if (text === 'slow') Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 300); // ms
  if (text === 'a fault of ours') throw new Error('a fault of ours');
  parentPort?.postMessage({ id, read: { faults: [text] } } satisfies Said);
});
