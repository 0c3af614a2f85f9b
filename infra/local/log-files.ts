/** One file a service, `<name>.log`, also where several share a process. */
import { createWriteStream } from 'node:fs';
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';

export interface LogFiles {
  /** A line of a process with these services in it. One that names none of them, as the stack of a crash, is of each. */
  write(names: readonly string[], line: string): void;
  close(): Promise<void>;
}

export async function openLogFiles(dir: string, services: readonly string[]): Promise<LogFiles> {
  await mkdir(dir, { recursive: true });
  const files = new Map(
    services.map((name) => [name, createWriteStream(join(dir, `${name}.log`), { flags: 'a' })]),
  );
  return {
    write(names, line) {
      const said = serviceOf(line);
      const of = said !== undefined && names.includes(said) ? [said] : names;
      for (const name of of) files.get(name)?.write(`${line}\n`);
    },
    async close() {
      await Promise.all([...files.values()].map((file) => new Promise<void>((done) => file.end(done))));
    },
  };
}

/** What stands in a line as the log writes it, before anything that was logged. */
function serviceOf(line: string): string | undefined {
  return /^\{[^{}]*?"service":"(\w+)"/.exec(line)?.[1];
}
