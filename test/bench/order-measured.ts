/** A process of order.ts: writes so many pictures that are done, or that wait; then takes a turn and tells a place whenever it is asked to. */
import { once } from 'node:events';
import { tierRules } from '#config/tiers.ts';
import { joinFleet } from '#src/backlog/fleet.ts';
import { recountFlows } from '#src/backlog/flows.ts';
import { nextTurn } from '#src/backlog/order.ts';
import { placeOf } from '#src/backlog/place.ts';
import { closeDb, db } from '#src/doors/db.ts';
import { closeQueues } from '#src/doors/queue.ts';
import { takeTurn } from '#src/generations/generations.ts';
import { mulberry32 } from '#src/mulberry32.ts';
import { lookAtBacklog } from '#test/support/taking.ts';

/** ms */
export interface Taken {
  readonly choosing: number;
  readonly taking: number;
  readonly place: number;
}

/** Who wait, however much. */
const PEOPLE = 200;
const BUNDLE = 'reference';
/** Rows of one statement: it may take 30 s, also on a machine that has other work. */
const AT_ONCE = 100_000;
const warm = { loras: new Set(['']), faceIds: new Set<string>() };
const random = mulberry32(1);

const [what, count] = process.argv.slice(2) as ['done' | 'queued', string];
if (what === 'done') {
  await joinFleet({ id: 'w', bundle: BUNDLE, bundleHash: 'h' }, { sessions: [], loras: [], aside: null });
  await db.$executeRaw`INSERT INTO "User" (id) SELECT 'u' || n FROM generate_series(1, 10000) n`;
}
await fill(what, Number(count), what === 'done' ? 10_000 : PEOPLE);
await recountFlows();
await db.$executeRaw`VACUUM ANALYZE`;
const batches = await db.batch.findMany({ where: { endedAt: null }, select: { id: true }, take: 1_000 });
process.on('message', async () => process.send?.(await measure()));
process.send?.('ready');
await once(process, 'disconnect');
await closeQueues();
await closeDb();

async function measure(): Promise<Taken> {
  const at = performance.now();
  const look = await lookAtBacklog(BUNDLE, warm);
  const turn = nextTurn(look.clock, look.flows, warm, tierRules, look.now);
  if (!turn) throw new Error('nothing waits');
  const chosen = performance.now();
  // One picture each, so that enough are left.
  await takeTurn(BUNDLE, look, { ...turn, pictures: turn.pictures.slice(0, 1) }, 'w');
  const taken = performance.now();
  await placeOf(batches[Math.floor(random() * batches.length)]!.id);
  return { choosing: chosen - at, taking: taken - chosen, place: performance.now() - taken };
}

/** Batches of one picture; a third of the people in each tier, one in ten with a LoRA. */
async function fill(state: 'done' | 'queued', count: number, people: number): Promise<void> {
  const isDone = state === 'done';
  for (let from = 1; from <= count; from += AT_ONCE) {
    const to = Math.min(count, from + AT_ONCE - 1);
    await db.$executeRaw`
      INSERT INTO "Batch" (id, kind, state, "ownerId", "channelId", "interactionId", tier, title, config, "openedAt", "endedAt")
      SELECT ${state} || n, 'imagine', ${isDone ? 'finished' : 'open'}::"BatchState", 'u' || (1 + n % ${people}::int), 'c', ${state} || n,
        (ARRAY['turbo', 'fast', 'relax'])[1 + n % ${people}::int % 3], '', '{}', now(), CASE WHEN ${isDone} THEN now() END
      FROM generate_series(${from}::int, ${to}::int) n`;
    await db.$executeRaw`
      INSERT INTO "Generation" (id, "batchId", index, state, "userId", tier, bundle, prompt, parameters, seed, width, height, steps, "costMs",
        loras, shape, key, price, "endedAt")
      SELECT ${state} || n, ${state} || n, 0, ${state}::"GenerationState", 'u' || (1 + n % ${people}::int),
        (ARRAY['turbo', 'fast', 'relax'])[1 + n % ${people}::int % 3], ${BUNDLE}, 'portrait of a woman', '{}', n, 512, 640, 40,
        6000, CASE n % 10 WHEN 0 THEN 'film:0.6' ELSE '' END, 'a', ${state} || n, 1, CASE WHEN ${isDone} THEN now() END
      FROM generate_series(${from}::int, ${to}::int) n`;
  }
}
