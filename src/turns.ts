/** Heavy work that people ask for, one piece after another in a process: nobody fills the line alone, and all together no more than it. */
import { UserError } from './errors.ts';
import { openPlaces } from './places.ts';

/** Works when its turn comes. @throws {UserError} at once: `turns_taken` when the person has enough in the line, `busy` when it is full */
export type Turns = <T>(personId: string, work: () => Promise<T>) => Promise<T>;

export interface TurnLimits {
  /** pieces in the line, with the one that is worked on */
  readonly inAll: number;
  /** of one person */
  readonly each: number;
  /** who works, as a sentence begins */
  readonly who: string;
  /** what is worked on, as in "2 sweeps" */
  readonly what: string;
}

export function takeTurns({ inAll, each, who, what }: TurnLimits): Turns {
  const places = openPlaces({ each, all: inAll });
  let last: Promise<unknown> = Promise.resolve();

  return async (personId, work) => {
    const full = places.take(personId);
    if (full === 'each') throw new UserError('turns_taken', { what, max: each });
    if (full === 'all') throw new UserError('busy', { what: who });
    const turn = last.then(work).finally(() => places.leave(personId));
    last = turn.catch(() => {}); // one that fails stops none behind it
    return turn;
  };
}
