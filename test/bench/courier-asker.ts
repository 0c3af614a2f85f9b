/** Asks for pictures as the bot does, and posts as a bare @discordjs/rest does: what the parent says, one thing after the other. */
import { REST } from '@discordjs/rest';
import { Routes } from 'discord-api-types/v10';
import { z } from 'zod';
import { config } from '#config/env.ts';
import { openBatch } from '#src/batches/batches.ts';
import { closeDb } from '#src/doors/db.ts';
import { closeQueues } from '#src/doors/queue.ts';
import { actor, cell, origin, request } from '#test/support/requests.ts';

const Place = z.object({ channelId: z.string(), guildId: z.string().nullable() });
const Order = z.discriminatedUnion('what', [
  z.object({ what: z.literal('ask'), prompt: z.string(), ...Place.shape }),
  z.object({
    what: z.literal('post'),
    bodies: z.array(z.object({ channelId: z.string(), body: z.unknown() })),
  }),
]);
export type Order = z.output<typeof Order>;

async function follow(order: Order): Promise<void> {
  switch (order.what) {
    case 'ask': {
      const { prompt, channelId, guildId } = order;
      await openBatch(origin({ actor: actor({ guildId }), channelId }), request([cell({ prompt })]));
      return;
    }
    case 'post': {
      const rest = new REST({ version: '10', api: config.discord.apiUrl }).setToken(
        config.discord.token ?? '',
      );
      const all = order.bodies.map(({ channelId, body }) =>
        rest.post(Routes.channelMessages(channelId), { body }),
      );
      await Promise.all(all);
      return;
    }
  }
}

let last = Promise.resolve();
process.on('message', (message) => {
  last = last.then(async () => {
    await follow(Order.parse(message));
    process.send?.('done');
  });
});
process.on('disconnect', () => void last.then(closeQueues).then(closeDb));
process.send?.('ready');
