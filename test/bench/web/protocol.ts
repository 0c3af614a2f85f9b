/** What the processes of the bench say to each other. Bodies are sent as they are, so they are forked with `serialization: 'advanced'`. */
import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { z } from 'zod';
import { NEW_SPACE } from '#infra/local/processes.ts';

/** Something that the bare server answers with. Headers are name, value, name, value … as they go out. */
export const Answer = z.object({
  path: z.string(),
  etag: z.string(),
  headers: z.array(z.string()),
  /** of a 304 */
  short: z.array(z.string()),
  body: z.instanceof(Uint8Array<ArrayBufferLike>),
});
export type Answer = z.output<typeof Answer>;

/** One that is asked for over and over, in turns with the others of a load. */
export const Asked = z.object({ path: z.string(), headers: z.record(z.string(), z.string()) });
export type Asked = z.output<typeof Asked>;

export const Load = z.object({
  url: z.string(),
  asked: z.array(Asked),
  connections: z.int(),
  seconds: z.number(),
  /** requests a second; left out: as many as are answered */
  rate: z.number().optional(),
});
export type Load = z.output<typeof Load>;

export const Loaded = z.object({
  /** status → answers */
  statuses: z.record(z.string(), z.number()),
  /** no answer at all */
  errors: z.int(),
  seconds: z.number(),
});
export type Loaded = z.output<typeof Loaded>;

/** A process of the bench that answers what it is asked, one thing after the other. */
export class Part {
  readonly #child: ChildProcess;

  /** @param name of the file beside this one */
  constructor(name: 'bare' | 'load') {
    this.#child = fork(fileURLToPath(new URL(`./${name}.ts`, import.meta.url)), {
      serialization: 'advanced',
      // As our services have it.
      execArgv: [NEW_SPACE],
    });
  }

  get pid(): number {
    return this.#child.pid ?? 0;
  }

  /** @throws {Error} when it ends first */
  async ask<T>(what: object, type: z.ZodType<T>): Promise<T> {
    const over = new AbortController();
    const heard = once(this.#child, 'message', over);
    const ended = once(this.#child, 'exit', over).then(() =>
      Promise.reject(new Error('a process of the bench ended')),
    );
    this.#child.send(what);
    try {
      const [message] = (await Promise.race([heard, ended])) as [unknown];
      return type.parse(message);
    } finally {
      over.abort();
    }
  }

  async close(): Promise<void> {
    if (this.#child.exitCode !== null) return;
    const ended = once(this.#child, 'exit');
    this.#child.disconnect();
    await ended;
  }
}
