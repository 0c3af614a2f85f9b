/** Stop and Cancel of a batch: for its owner, and for moderators and operators of the guild where it was asked for. */
import { endBatch } from '#src/batches/ending.ts';
import { UserError } from '#src/errors.ts';
import { getBatch } from '#src/generations/pictures.ts';
import type { Actor } from '#src/people/people.ts';
import { mustBeAllowed } from '#src/people/rights.ts';
import type { Presses } from './command.ts';

/** @throws {UserError} `gone`, `not_yours`, `already_done` */
export async function end(actor: Actor, batchId: string, how: 'stopped' | 'cancelled'): Promise<string> {
  const batch = await getBatch(batchId);
  await mustBeAllowed(actor, 'end', batch);
  if (!(await endBatch(batchId, how))) throw new UserError('already_done', { what: `it is ${batch.state}` });
  return how === 'stopped'
    ? 'Stopped: what is being drawn will be finished, the rest is not begun. Its tokens came back.'
    : 'Cancelled: nothing more is drawn. The tokens of what was not finished come back.';
}

export const endingPresses = {
  'batch.stop': { answers: 'reply', run: ({ id, origin: { actor } }) => end(actor, id, 'stopped') },
  'batch.cancel': { answers: 'reply', run: ({ id, origin: { actor } }) => end(actor, id, 'cancelled') },
} satisfies Presses;
