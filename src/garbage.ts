/**
 * What a start leaves behind: sources, tables half built, files read whole. It is as much as what stays, and V8 keeps it until there is
 * twice as much, which in a service that does little may be never.
 */
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';

/** Gives it back to the machine, this thread's alone. For when a start ends: it takes a tenth of a second, in which nothing else runs. */
export function clearAway(): void {
  setFlagsFromString('--expose-gc');
  const collect: unknown = runInNewContext('gc');
  // By itself it leaves pages half empty. What it is given here is V8's word for: whatever can go.
  if (typeof collect === 'function') collect({ type: 'major', execution: 'sync', flavor: 'last-resort' });
}
