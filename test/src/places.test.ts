import { describe, expect, it } from 'vitest';
import { openPlaces } from '#src/places.ts';
import { takeTurns } from '#src/turns.ts';
import { refusal } from '#test/support/sweeps.ts';

describe('places', () => {
  it('are two for each, and others find theirs meanwhile', () => {
    const places = openPlaces({ each: 2, all: 5 });
    const take = (who: string) => places.take(who);
    expect(['me', 'me', 'me', 'other', 'me'].map(take)).toEqual([null, null, 'each', null, 'each']);
    places.leave('me');
    expect(['me', 'me'].map(take)).toEqual([null, 'each']);
  });

  it('are five in all, and come back', () => {
    const places = openPlaces({ each: 2, all: 5 });
    const take = (who: string) => places.take(who);
    expect(['a', 'a', 'b', 'b', 'c', 'c', 'd', 'a'].map(take)).toEqual([
      ...[null, null, null, null, null],
      ...['all', 'all', 'each'],
    ]);
    places.leave('b');
    expect(['d', 'e'].map(take)).toEqual([null, 'all']);
    for (const who of ['a', 'a', 'b', 'c', 'd']) places.leave(who);
    expect(['a', 'a', 'b', 'b', 'c', 'c'].map(take)).toEqual([null, null, null, null, null, 'all']);
  });
});

describe('turns', () => {
  it('are one after the other, whoever asks; one that fails stops none behind it, and all places come back', async () => {
    const turns = takeTurns({ inAll: 3, each: 2, who: 'The thread', what: 'texts' });
    const told: string[] = [];
    const work = (name: string) => async () => {
      told.push(`${name} begins`);
      await new Promise((next) => setImmediate(next));
      told.push(`${name} ends`);
      if (name === 'first') throw new Error('no');
    };
    for (let round = 0; round < 2; round++) {
      told.length = 0;
      const all = [turns('a', work('first')), turns('b', work('second')), turns('a', work('third'))];
      expect((await refusal(turns('a', work('fourth')))).code).toBe('turns_taken');
      expect((await refusal(turns('c', work('fourth')))).says).toMatch(/^The thread did not answer/);
      expect((await Promise.allSettled(all)).map(({ status }) => status)).toEqual([
        ...['rejected', 'fulfilled', 'fulfilled'],
      ]);
      expect(told).toEqual(
        ['first', 'second', 'third'].flatMap((name) => [`${name} begins`, `${name} ends`]),
      );
    }
  });
});
