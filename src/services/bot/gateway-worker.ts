/** The thread for a gateway, started while nobody knows yet which shards it will have: what it loads takes a quarter of a second. */
import { Worker } from 'node:worker_threads';

const THREAD = new URL('./gateway-thread.ts', import.meta.url);
let prepared: Worker | undefined;

/** Its faults are told once it is taken. */
export function prepareGatewayThread(): void {
  const thread = new Worker(THREAD);
  thread.on('error', () => {});
  thread.once('exit', () => {
    if (prepared === thread) prepared = undefined;
  });
  prepared = thread;
}

/** One that waits for its `ThreadData`. */
export function gatewayThread(): Worker {
  const thread = prepared ?? new Worker(THREAD);
  prepared = undefined;
  return thread;
}
