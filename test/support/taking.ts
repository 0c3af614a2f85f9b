/** Takes one generation for a worker, whoever is next and whatever it waits for: as a turn of it alone. */
import { joinFlows } from '#src/backlog/flows.ts';
import { startOfTime } from '#src/backlog/order.ts';
import { db } from '#src/doors/db.ts';
import { type Drawing, takeTurn } from '#src/generations/generations.ts';

/** null when it does not wait */
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
