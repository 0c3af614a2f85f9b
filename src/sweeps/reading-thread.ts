/** The thread that reads people's sweeps, one text after another. keep-thread.ts keeps it, and ends it. */
import { parentPort } from 'node:worker_threads';
import type { SweepAsker } from './check.ts';
import { type Read, readSweep } from './read.ts';

/** A text to read, and for whom. */
export interface Asked {
  readonly id: number;
  readonly text: string;
  readonly asker: SweepAsker;
}

/** What the thread says of a text: that it begins, then what it read. */
export interface Said {
  readonly id: number;
  readonly read?: Read;
}

parentPort?.on('message', ({ id, text, asker }: Asked) => {
  tell({ id });
  tell({ id, read: readSweep(text, asker) });
});

function tell(said: Said): void {
  parentPort?.postMessage(said);
}
