/** A sweep: YAML in, a checked definition out. Its cells are made from it in expand.ts. */
import { UserError } from '#src/errors.ts';
import { checkSweep, type SweepAsker, type SweepDefinition } from './check.ts';
import { parseInThread } from './parse-in-thread.ts';

export const SWEEP_BYTES_MAX = 64 * 1024;
/** How long parsing alone may take: the thread has started by then. */
const PARSE_WITHIN_MS = 1_000;

/**
 * @param withinMs how long parsing may take before it is given up
 * @throws {UserError} `file_large`, `yaml_broken`, `plan_faults` with every fault at once, each with its line
 */
export async function parseSweep(
  text: string,
  asker: SweepAsker,
  withinMs = PARSE_WITHIN_MS,
): Promise<SweepDefinition> {
  const bytes = Buffer.byteLength(text);
  if (bytes > SWEEP_BYTES_MAX)
    throw new UserError('file_large', { what: 'The YAML', bytes, max: SWEEP_BYTES_MAX });
  const { value, lines } = await parseInThread(text, withinMs);
  return checkSweep(value, lines, asker);
}
