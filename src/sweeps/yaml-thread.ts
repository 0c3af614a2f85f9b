/** The thread that reads people's YAML, one text after another. parse-in-thread.ts keeps it, and ends it. */
import { parentPort } from 'node:worker_threads';
import { type Parsed, readYaml } from './yaml.ts';

/** A text to read. */
export interface Asked {
  readonly id: number;
  readonly text: string;
}

/** What the thread says of a text: that it begins, then what it read. */
export interface Said {
  readonly id: number;
  readonly parsed?: Parsed;
}

parentPort?.on('message', ({ id, text }: Asked) => {
  say({ id });
  say({ id, parsed: readYaml(text) });
});

function say(said: Said): void {
  parentPort?.postMessage(said);
}
