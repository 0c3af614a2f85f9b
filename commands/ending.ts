/** Stop and Cancel of a batch: for its owner, and for moderators and operators of the guild where it was asked for. */
import { endBatch } from '#src/batches/ending.ts';
import type { Batch } from '#src/doors/db.ts';
import { UserError } from '#src/errors.ts';
import { getBatch } from '#src/generations/pictures.ts';
import type { Origin } from '#src/people/people.ts';
import { mustBeAllowed } from '#src/people/rights.ts';
import { message } from '#src/say.ts';
import type { Presses } from './command.ts';

/** @throws {UserError} `gone`, `not_yours`, `already_done` */
export async function end(
  { actor, say }: Pick<Origin, 'actor' | 'say'>,
  batchId: string,
  how: 'stopped' | 'cancelled',
): Promise<string> {
  const batch = await getBatch(batchId);
  await mustBeAllowed(actor, 'end', batch);
  if (!(await endBatch(batchId, how))) throw new UserError('already_done', { what: already[batch.state] });
  return how === 'stopped'
    ? say('Stopped: what is being drawn will be finished, the rest is not begun. Its tokens came back.')
    : say('Cancelled: what is finished is kept, and the tokens of the rest come back.');
}

const already = {
  planned: message('it was never started'),
  open: message('it has ended'),
  stopped: message('it is stopped'),
  cancelled: message('it is cancelled'),
  finished: message('it is finished'),
  discarded: message('it was discarded'),
} as const satisfies Record<Batch['state'], string>;

export const endingPresses = {
  'batch.stop': { answers: 'reply', run: ({ id, origin }) => end(origin, id, 'stopped') },
  'batch.cancel': { answers: 'reply', run: ({ id, origin }) => end(origin, id, 'cancelled') },
} satisfies Presses;
