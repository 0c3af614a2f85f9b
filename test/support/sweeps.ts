/** Sweeps read without a thread, and how they are refused: for tests of what is pure. */
import { UserError } from '#src/errors.ts';
import type { SweepAsker, SweepDefinition } from '#src/sweeps/check.ts';
import { expandSweep, type SweepCell } from '#src/sweeps/expand.ts';
import { readSweep } from '#src/sweeps/read.ts';

/** The shortest sweep there is. */
export const MINIMAL = 'prompt: portrait of a woman\n';

/** May do all, and has two face folders. */
export const ANYBODY: SweepAsker = {
  language: 'en',
  operator: true,
  folders: [
    { name: 'ada', photos: 1 },
    { name: 'bob', photos: 2 },
  ],
};

export async function checked(text: string, asker = ANYBODY): Promise<SweepDefinition> {
  const read = readSweep(text, asker);
  if ('reason' in read) throw new UserError('yaml_broken', read);
  if ('faults' in read) throw new UserError('plan_faults', read);
  return read;
}

export async function expanded(text: string): Promise<SweepCell[]> {
  return expandSweep(await checked(text));
}

/** The code and the sentence that something is refused with. */
export async function refusal(work: Promise<unknown>): Promise<{ code: string; says: string }> {
  try {
    await work;
  } catch (error) {
    if (error instanceof UserError) return { code: error.code, says: error.userMessage };
    throw error;
  }
  throw new Error('nothing was refused');
}
