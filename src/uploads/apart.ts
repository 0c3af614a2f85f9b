/**
 * Strangers' files are read in processes of their own, with limits to memory and time and with none of our secrets in their environment:
 * a file of a kilobyte may take a gigabyte, and a decoder may have a hole.
 */
import { execFile } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { UserError } from '#src/errors.ts';

export interface Limits {
  /** MiB of the whole process; Node alone takes 80 */
  readonly memory: number;
  readonly withinMs: number;
}

/**
 * @param program is given `memory`, then `args`, and the file on stdin; it calls `endAbove` (bounds.ts)
 * @param file    its name, for people
 * @param most    bytes that it may write
 * @returns what it writes
 * @throws {UserError} `upload_heavy`
 */
export async function readApart(
  program: URL,
  args: readonly string[],
  bytes: Buffer,
  file: string,
  { memory, withinMs }: Limits,
  most: number,
): Promise<Buffer> {
  const running = promisify(execFile)(process.execPath, [fileURLToPath(program), String(memory), ...args], {
    encoding: 'buffer',
    env: {},
    timeout: withinMs,
    killSignal: 'SIGKILL',
    maxBuffer: most,
  });
  running.child.stdin?.on('error', () => {}); // it ended before it had read all
  running.child.stdin?.end(bytes);
  try {
    return (await running).stdout;
  } catch (error) {
    // Killed by its own limit, by ours, or by a fault of the decoder. Any other end is a fault of ours.
    if (running.child.signalCode) throw new UserError('upload_heavy', { file }, { cause: error });
    throw error;
  }
}
