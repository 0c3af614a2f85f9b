import { setImmediate as turn } from 'node:timers/promises';
import { expect, it } from 'vitest';
import { clearAway } from '#src/garbage.ts';

it('clears away what nobody holds, at once', async () => {
  const left = new WeakRef({ built: 'half' });
  const kept = { built: 'whole' };
  const held = new WeakRef(kept);
  await turn(); // a WeakRef holds what it was given until its turn of the loop ends
  clearAway();
  expect([left.deref(), held.deref()]).toEqual([undefined, kept]);
});
