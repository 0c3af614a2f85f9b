/** A sweep's text, read and checked. Pure; called in a thread of its own (reading-thread.ts), as it can take seconds, and in tests. */
import { sayIn } from '#src/say.ts';
import { checkSweep, type SweepAsker, type SweepDefinition } from './check.ts';
import { readYaml, type Unreadable } from './yaml.ts';

/** What a text asks for, or why it is no YAML, or everything that is wrong with it. */
export type Read = SweepDefinition | Unreadable | { readonly faults: readonly string[] };

export function readSweep(text: string, asker: SweepAsker): Read {
  const say = sayIn(asker.language);
  const parsed = readYaml(text, say);
  return 'reason' in parsed ? parsed : checkSweep(parsed.value, parsed.lines, asker, say);
}
