/** Writes 10,000 pictures that wait, of 500 people, and stands for a worker that is busy with others: it is alive and takes none. */
import type { z } from 'zod';
import { joinFleet, renewWorker } from '#src/backlog/fleet.ts';
import { recountFlows } from '#src/backlog/flows.ts';
import { openBatch } from '#src/batches/batches.ts';
import { closeDb, db } from '#src/doors/db.ts';
import { closeQueues } from '#src/doors/queue.ts';
import { actor, cell, origin, request } from '#test/support/requests.ts';
import { Channels } from './protocol.ts';

const PEOPLE = 500;
const EACH = 20;

async function write(channels: z.output<typeof Channels>) {
  await joinFleet(
    { id: 'w', bundle: 'reference', bundleHash: 'h' },
    { sessions: [], loras: [], aside: null },
  );
  const [channel] = channels;
  if (!channel) throw new Error('no channels');
  const asker = actor({ guildId: channel.guildId });
  const batch = await openBatch(origin({ actor: asker, channelId: channel.id }), request([cell()]));
  const [ids, guilds] = [channels.map(({ id }) => id), channels.map(({ guildId }) => guildId)];
  await db.$executeRaw`INSERT INTO "User" SELECT (jsonb_populate_record(u, jsonb_build_object('id', (9e17 + n)::bigint::text))).*
    FROM "User" u, generate_series(1, ${PEOPLE}::int) n WHERE u.id = ${asker.id}`;
  await db.$executeRaw`INSERT INTO "Batch" SELECT (jsonb_populate_record(b, jsonb_build_object('id', gen_random_uuid(),
      'ownerId', (9e17 + n)::bigint::text, 'interactionId', (8e17 + n)::bigint::text,
      'channelId', (${ids}::text[])[1 + n % ${ids.length}::int], 'guildId', (${guilds}::text[])[1 + n % ${ids.length}::int]))).*
    FROM "Batch" b, generate_series(1, ${PEOPLE}::int) n WHERE b.id = ${batch.id}`;
  await db.$executeRaw`INSERT INTO "Generation" SELECT (jsonb_populate_record(g, jsonb_build_object('id', gen_random_uuid(),
      'batchId', b.id, 'userId', b."ownerId", 'index', n, 'key', md5(b.id || n), 'seed', n))).*
    FROM "Generation" g, "Batch" b, generate_series(0, ${EACH - 1}::int) n WHERE g."batchId" = ${batch.id} AND b.id <> g."batchId"`;
  await recountFlows();
  await db.delivery.deleteMany();
  await db.$executeRaw`ANALYZE`;
  const waiting = await db.flow.aggregate({ _sum: { waiting: true } });
  const some = await db.generation.findMany({ where: { index: 1 }, include: { batch: true } });
  const buttons = Object.fromEntries(some.map(({ id, batch: { channelId } }) => [channelId, id]));
  process.send?.({ waiting: waiting._sum.waiting, buttons });
}

process.on('message', (message) => void write(Channels.parse(message)));
const renewing = setInterval(() => void renewWorker('w'), 1_000);
process.on('disconnect', () => {
  clearInterval(renewing);
  void closeQueues().then(closeDb);
});
process.send?.('started');
