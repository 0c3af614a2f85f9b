/** Places of batches whose pictures wait for several bundles. */
import { beforeAll, beforeEach, expect, it } from 'vitest';
import type { ToldState } from '#src/backlog/reasons.ts';
import { actor, cell, origin, request } from '#test/support/requests.ts';

process.env.BUNDLES = 'reference,noir';

type Bundle = 'reference' | 'noir';
/** ms of a step of either, see config/bundles.yaml */
const STEP_MS = 150;
const STEPS = 10;
const PICTURE_MS = STEPS * STEP_MS;

// Only now: `config` is read when the first of our modules is imported.
let modules: Awaited<ReturnType<typeof load>>;
async function load() {
  const [place, batches, fleet, { db }, taking, statements] = await Promise.all([
    import('#src/backlog/place.ts'),
    import('#src/batches/batches.ts'),
    import('#src/backlog/fleet.ts'),
    import('#src/doors/db.ts'),
    import('#test/support/taking.ts'),
    import('#test/support/statements.ts'),
  ]);
  return { ...place, ...batches, ...fleet, db, ...taking, ...statements };
}
beforeAll(async () => {
  modules = await load();
});
/** What the worker tells of itself. @param warm the bundle that it has in memory */
const having = (warm: Bundle) => {
  const of = (bundle: Bundle) => ({
    ...{ state: bundle === warm ? ('warm' as const) : ('cold' as const), loadMs: 700 },
    ...{ hash: 'h', loras: [], bytes: 1 },
  });
  const bundles = { reference: of('reference'), noir: of('noir') };
  const pool = { bundle: warm, bundleHash: 'h', memory: 1, budget: 1, bundles };
  return { sessions: [], loras: [], aside: null, pool };
};
beforeEach(async () => {
  await modules.emptyBacklog();
  await modules.joinFleet({ id: 'w', bundle: 'reference', bundleHash: 'h' }, having('reference'));
});

let asked = 0;
/** @param pictures of each bundle */
async function ask(pictures: Readonly<Partial<Record<Bundle, number>>>, tier = 'relax'): Promise<string> {
  const prompt = `picture ${++asked}`;
  const cells = Object.entries(pictures).flatMap(([bundle, count]) =>
    Array.from({ length: count }, (_, seed) => cell({ seed, prompt }, { steps: STEPS, bundle })),
  );
  const { id } = await modules.openBatch(origin({ actor: actor() }), request(cells, { tier }));
  return id;
}

/** As the card that its person sees first keeps it. */
async function tell(batchId: string, changes: Partial<ToldState> = {}): Promise<ToldState> {
  const { told } = await modules.placeOf(batchId);
  await modules.db.batch.update({ where: { id: batchId }, data: { told: { ...told, ...changes } } });
  return told;
}

it('are read in one statement, however many bundles and batches', async () => {
  const ids = [await ask({ reference: 1, noir: 2 }), await ask({ noir: 1 }), await ask({ reference: 2 })];
  await modules.placesOf(ids); // what ranges are learned is read now and then
  const heard = modules.listen();
  await modules.placesOf(ids);
  expect(heard).toHaveLength(1);
});

it('are ready when the last bundle’s pictures are, and begun with the first’s', async () => {
  const { placeOf, forecastOf } = modules;
  await ask({ noir: 3 }, 'fast');
  const planned = await forecastOf({
    userId: actor().id,
    tier: 'relax',
    parts: [
      { bundle: 'reference', pictures: 1, costMs: PICTURE_MS },
      { bundle: 'noir', pictures: 2, costMs: 2 * PICTURE_MS },
    ],
  });
  const place = await placeOf(await ask({ reference: 1, noir: 2 }));
  expect(place).toMatchObject({ tier: 'relax', ahead: 0, told: { bundle: 'noir' } });
  // Its two and those before and between, loading, and what waits for the other bundle meanwhile.
  expect(place.aheadBy).toMatchObject({ fast: 1 });
  expect(place.readyMs).toBe(4 * PICTURE_MS + 700 + PICTURE_MS);
  expect(place.range.toMs).toBeGreaterThan(place.readyMs);
  // Of the plan nothing waits yet, so noir shares the worker with nobody.
  expect(planned.readyMs).toBe(4 * PICTURE_MS + 700);

  const alone = await placeOf(await ask({ reference: 1 }, 'turbo'));
  expect(alone.told.bundle).toBe('reference');
});

it('are of the default bundle for what waits nowhere', async () => {
  await ask({ noir: 3 });
  expect(await modules.placeOf('no batch')).toMatchObject({
    ahead: 0,
    readyMs: 0,
    told: { bundle: 'reference' },
  });
});

it('are later for the reason of the bundle that was told, and for none when another is last by now', async () => {
  const { placeOf, tellState } = modules;
  const mine = await ask({ reference: 2, noir: 2 });
  expect(await tell(mine, { toAt: Date.now() - 1 })).toMatchObject({ bundle: 'noir' });
  await ask({ reference: 3, noir: 3 }, 'turbo');
  expect((await placeOf(mine)).reason).toMatchObject({ kind: 'passed', tier: 'turbo' });

  // The other one is to be loaded now: it ends last, and how it stood then was not kept.
  await tellState('w', having('noir'));
  expect(await placeOf(mine)).toMatchObject({ told: { bundle: 'reference' }, reason: null });
  await tell(mine, { toAt: Date.now() - 1, aheadBy: {} });
  expect((await placeOf(mine)).reason).toMatchObject({ kind: 'passed', tier: 'turbo' });
});
