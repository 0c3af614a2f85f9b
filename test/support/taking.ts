/** Takes generations for a worker. */
import { tierRules } from '#config/tiers.ts';
import { joinFlows, type Look, lookAtBacklogs } from '#src/backlog/flows.ts';
import { nextTurn, startOfTime, type Warm } from '#src/backlog/order.ts';
import { db } from '#src/doors/db.ts';
import { type Drawing, takeTurn } from '#src/generations/generations.ts';

/** Takes one, whoever is next and whatever it waits for: as a turn of it alone. null when it does not wait */
export async function startGeneration(id: string, workerId: string): Promise<Drawing | null> {
  const generation = await db.generation.findUnique({ where: { id } });
  if (!generation) return null;
  if (generation.twinId !== null) {
    await db.generation.update({ where: { id }, data: { twinId: null } });
    await joinFlows(db, [generation]);
  }
  const { bundle, tier, userId, loras, faceId, costMs, shape } = generation;
  const flow = { tier, userId, loras, faceId, givenMs: 0, since: 0, pictures: [] };
  const turn = {
    loras,
    pictures: [{ id, costMs, shape, flow }],
    given: [{ tier, userId, givenMs: 0 }],
    clock: startOfTime,
    overdue: false,
  };
  for (;;) {
    const version = (await db.clock.findUnique({ where: { bundle } }))?.version ?? 0;
    const look = { version, clock: startOfTime, flows: [], corrections: [], now: 0 };
    const taken = await takeTurn(bundle, look, turn, workerId);
    if (taken) return taken[0] ?? null;
  }
}

/** What a worker sees of one bundle. */
export async function lookAtBacklog(bundle: string, warm: Warm): Promise<Look> {
  const looks = await lookAtBacklogs(new Map([[bundle, warm]]));
  return looks.get(bundle) ?? { version: 0, clock: startOfTime, flows: [], corrections: [], now: 0 };
}

/** The reference bundle without LoRAs, and no face. */
export const PLAIN = { loras: new Set(['']), faceIds: new Set<string>() };

/** Takes the turn that is next by the order. None when nothing waits, or another worker was quicker. */
export async function takeNext(workerId: string, bundle = 'reference'): Promise<Drawing[]> {
  const look = await lookAtBacklog(bundle, PLAIN);
  const turn = nextTurn(look.clock, look.flows, PLAIN, tierRules, look.now);
  return (turn && (await takeTurn(bundle, look, turn, workerId))) ?? [];
}

/** Nothing waits, nobody was given anything, and nothing was learned. */
export async function emptyBacklog(): Promise<void> {
  await db.review.deleteMany();
  await db.batch.deleteMany();
  await db.worker.deleteMany();
  await db.flow.deleteMany();
  await db.clock.deleteMany();
  await db.correction.deleteMany();
  await db.cost.deleteMany();
}
