import { beforeEach, expect, it } from 'vitest';
import { joinFleet } from '#src/backlog/fleet.ts';
import { openBatch } from '#src/batches/batches.ts';
import { db } from '#src/doors/db.ts';
import { explain } from '#src/errors.ts';
import { sayIn } from '#src/say.ts';
import { actor, cell, origin, request } from '#test/support/requests.ts';

const state = { sessions: [], loras: [], aside: null };
let asked = 0;
/** A picture of 3 s. */
const ask = (tier: string, me = actor()) =>
  openBatch(
    origin({ actor: me }),
    request([cell({ prompt: `picture ${++asked}` }, { steps: 20 })], { tier }),
  );

beforeEach(async () => {
  await db.batch.deleteMany();
  await db.worker.deleteMany();
  await db.flow.deleteMany();
});

/** How many people a tier takes. */
async function taken(tier: string, most: number): Promise<number> {
  for (let people = 0; people < most; people++) {
    const refused = await ask(tier).then(
      () => null,
      (error: unknown) => explain(sayIn('en'), error),
    );
    if (refused === null) continue;
    expect(refused).toMatch(/^The tier `relax` is full: \d+ people wait in it/);
    return people;
  }
  return most;
}

it('a tier with a cap takes no more people than get a turn well within it, and those who wait already', async () => {
  await joinFleet({ id: 'w', bundle: 'reference', bundleHash: 'h' }, state);
  const first = actor();
  await ask('relax', first);
  // 180 s, of pictures of 3 s.
  expect(await taken('relax', 70)).toBe(59);
  await ask('relax', first);
  expect(await db.tokenEntry.count({ where: { reason: 'charge', userId: first.id } })).toBe(2);
}, 60_000);

it('takes twice as many with twice as many workers, and a twelfth of them beside tiers of more weight', async () => {
  for (const id of ['w1', 'w2']) await joinFleet({ id, bundle: 'reference', bundleHash: 'h' }, state);
  await ask('turbo');
  await ask('fast');
  await ask('relax');
  expect(await taken('relax', 20)).toBe(9);
});

it('promises nothing where there is no cap', async () => {
  expect(await taken('turbo', 30)).toBe(30);
});
