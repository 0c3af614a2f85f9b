/** Sweeps read without a thread, and how they are refused: for tests of what is pure. */
import { UserError } from '#src/errors.ts';
import { checkSweep, type SweepAsker, type SweepDefinition } from '#src/sweeps/check.ts';
import { expandSweep, type SweepCell } from '#src/sweeps/expand.ts';
import { readYaml } from '#src/sweeps/yaml.ts';

/** The shortest sweep there is. */
export const MINIMAL = 'prompt: portrait of a woman\n';

/** May do all, and has every face folder. */
export const ANYBODY: SweepAsker = { operator: true, findFace: async () => {} };

export async function checked(text: string, asker = ANYBODY): Promise<SweepDefinition> {
  const parsed = readYaml(text);
  if ('reason' in parsed) throw new UserError('yaml_broken', parsed);
  return checkSweep(parsed.value, parsed.lines, asker);
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
