/** What the services wrote: faults that nobody caught, and how much was said. */
import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { z } from 'zod';

export interface Logs {
  /** what is no line of the log, as a stack, and lines of level error */
  readonly errors: readonly string[];
  readonly longest: { readonly file: string; readonly bytes: number };
  /** the same line at the most times within a second, of level warn and above */
  readonly mostRepeated: { readonly times: number; readonly line: string };
}

const Line = z.object({
  level: z.number(),
  time: z.number(),
  pid: z.number(),
  service: z.string().default(''),
  msg: z.string().default(''),
  err: z.object({ message: z.string() }).optional(),
});
const WARN = 40;
const ERROR = 50;
/** A line's time is cut to whole milliseconds, and may be a little younger than what held the others back. */
const SECOND_MS = 995;
const SHOWN = 160;

export async function readLogs(dir: string): Promise<Logs> {
  const errors: string[] = [];
  let longest = { file: '', bytes: 0 };
  /** process, service and message → when each such line was written */
  const times = new Map<string, number[]>();
  for (const file of (await readdir(dir)).sort()) {
    const text = await readFile(join(dir, file), 'utf8');
    const bytes = Buffer.byteLength(text);
    if (bytes > longest.bytes) longest = { file, bytes };
    for (const line of text.split('\n')) {
      if (!line.trim()) continue;
      const { success, data } = Line.safeParse(parsed(line));
      if (!success) {
        // Of a stack only what it is of.
        if (!/^\s|^[}\])]/.test(line)) errors.push(`${file}: ${line.slice(0, SHOWN)}`);
        continue;
      }
      const { level, time, pid, service, msg, err } = data;
      if (level >= ERROR)
        errors.push(`${file}: ${msg}${err ? `: ${err.message.trim().slice(0, SHOWN)}` : ''}`);
      if (level < WARN) continue;
      const key = `${pid} ${service}: ${msg}`;
      times.set(key, [...(times.get(key) ?? []), time]);
    }
  }
  const repeated = [...times].map(([key, all]) => ({
    times: mostInASecond(all),
    line: key.replace(/^\d+ /, ''),
  }));
  const [mostRepeated = { times: 0, line: '' }] = repeated.sort((a, b) => b.times - a.times);
  return { errors, longest, mostRepeated };
}

/** @param times rising */
function mostInASecond(times: readonly number[]): number {
  let most = 0;
  let first = 0;
  for (const [last, time] of times.entries()) {
    while (time - times[first]! >= SECOND_MS) first++;
    most = Math.max(most, last - first + 1);
  }
  return most;
}

function parsed(line: string): unknown {
  try {
    return JSON.parse(line);
  } catch {
    return undefined;
  }
}
