/** Heavy work that people ask for, one piece after another in a process: nobody fills the line alone, and all together no more than it. */
import { UserError } from './errors.ts';

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
  const counts = new Map<string, number>();
  let count = 0;
  let last: Promise<unknown> = Promise.resolve();

  return async (personId, work) => {
    const own = counts.get(personId) ?? 0;
    if (own >= each) throw new UserError('turns_taken', { what, max: each });
    if (count >= inAll) throw new UserError('busy', { what: who });
    counts.set(personId, own + 1);
    count++;
    const turn = last.then(work).finally(() => {
      count--;
      const left = counts.get(personId)! - 1;
      if (left) counts.set(personId, left);
      else counts.delete(personId);
    });
    last = turn.catch(() => {}); // one that fails stops none behind it
    return turn;
  };
}
