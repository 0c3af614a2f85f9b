/**
 * A sweep: YAML in, a checked definition out. Its cells are made from it in expand.ts.
 *
 * A few KiB can keep a YAML parser busy for seconds, and the rules about prompts for tens of milliseconds: all of it is read in a
 * thread, once.
 */
import { UserError } from '#src/errors.ts';
import { message } from '#src/say.ts';
import { takeTurns } from '#src/turns.ts';
import type { SweepAsker, SweepDefinition } from './check.ts';
import { keepThread } from './keep-thread.ts';

export const SWEEP_BYTES_MAX = 64 * 1024;
/** How long reading alone may take: the thread has started by then. */
const READ_WITHIN_MS = 1_000;

/** Each may take a second, and nobody is to wait for minutes. */
const turns = takeTurns({
  inAll: 33,
  each: 2,
  who: message('The thread that reads sweeps'),
  what: message('sweeps'),
});
const readInThread = keepThread(new URL('./reading-thread.ts', import.meta.url));

/**
 * @param withinMs how long reading may take before it is given up
 * @throws {UserError} `file_large`, `yaml_broken`, `plan_faults` with every fault at once, each with its line; `turns_taken` and
 *   `busy` when too many are read at once
 */
export async function parseSweep(
  text: string,
  personId: string,
  asker: SweepAsker,
  withinMs = READ_WITHIN_MS,
): Promise<SweepDefinition> {
  const bytes = Buffer.byteLength(text);
  if (bytes > SWEEP_BYTES_MAX) throw new UserError('yaml_large', { bytes, max: SWEEP_BYTES_MAX });
  const read = await turns(personId, () => readInThread(text, asker, withinMs));
  if ('reason' in read) throw new UserError('yaml_broken', read);
  if ('faults' in read) throw new UserError('plan_faults', read);
  return read;
}
