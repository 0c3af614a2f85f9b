/**
 * Several operations at once, of which one goes on at a time: each stops at every gate, and a list of choices says who goes on, and
 * what befalls it there. So an order that broke something can be had again.
 */
import { AsyncLocalStorage } from 'node:async_hooks';

/** `killed`: it never goes on, as in a process that was killed. `thrown`: what the gate stands before or after throws. */
export type Fate = 'goes on' | 'killed' | 'thrown';

export interface Choice {
  /** who of those that wait, in the order in which they were given, counted round */
  readonly who: number;
  readonly fate: Fate;
}

interface Turns {
  /** by number of the operation */
  readonly waiting: Map<number, { go(): void; fail(error: Error): void }>;
  active: number;
  settled: () => void;
}

const current = new AsyncLocalStorage<{ readonly turns: Turns; readonly number: number }>();

/** Where an operation may be interrupted; nothing to anybody else. */
export async function gate(): Promise<void> {
  const operation = current.getStore();
  if (!operation) return;
  const { turns, number } = operation;
  await new Promise<void>((go, fail) => {
    turns.waiting.set(number, { go, fail });
    ended(turns);
  });
}

function ended(turns: Turns): void {
  turns.active--;
  if (!turns.active) turns.settled();
}

/** A function with a gate before its work is begun, and one after it was done. */
export function gated<A extends unknown[], R>(work: (...args: A) => Promise<R>): (...args: A) => Promise<R> {
  return async (...args) => {
    await gate();
    const result = await work(...args);
    await gate();
    return result;
  };
}

/** Storage with a gate before and after each of its reads and writes. For `vi.mock`. */
export function gatedStorage(real: typeof import('#src/doors/storage.ts')): typeof real {
  const { putFile, getFile, deleteFile } = real;
  return { ...real, putFile: gated(putFile), getFile: gated(getFile), deleteFile: gated(deleteFile) };
}

/** Postgres with a gate before and after each transaction that is asked for on `db`. For `vi.mock`. */
export function gatedDb(real: typeof import('#src/doors/db.ts')): typeof real {
  const db = new Proxy(real.db, {
    get: (client, property) =>
      property === '$transaction' ? gated(client.$transaction) : Reflect.get(client, property),
  });
  return { ...real, db };
}

/**
 * Until each has ended, or was killed; what they throw is of no interest. When the choices are used up, the first that waits goes
 * on until it has ended, then the next.
 */
export async function inTurns(
  operations: readonly (() => Promise<unknown>)[],
  choices: readonly Choice[],
): Promise<void> {
  const turns: Turns = { waiting: new Map(), active: operations.length, settled: () => {} };
  const settled = () =>
    new Promise<void>((done) => {
      turns.settled = done;
      if (!turns.active) done();
    });
  for (const [number, operation] of operations.entries()) {
    void current.run({ turns, number }, () =>
      gate()
        .then(operation)
        .catch(() => {})
        .finally(() => ended(turns)),
    );
  }
  let made = 0;
  for (await settled(); turns.waiting.size; await settled()) {
    const { who, fate } = choices[made++] ?? { who: 0, fate: 'goes on' };
    const numbers = [...turns.waiting.keys()].sort((a, b) => a - b);
    const number = numbers[who % numbers.length]!;
    const next = turns.waiting.get(number);
    turns.waiting.delete(number);
    if (fate === 'killed') continue;
    turns.active++;
    if (fate === 'thrown') next?.fail(new Error('broken by the test'));
    else next?.go();
  }
}
