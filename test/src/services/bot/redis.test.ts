import { afterAll, beforeAll, describe, expect, inject, it } from 'vitest';
import type { LocalBot } from './local-bot.ts';

const redisUrl = inject('redisUrl');

describe.skipIf(!redisUrl)('the bot on Redis', () => {
  let local: LocalBot;
  beforeAll(async () => {
    // A logical database of its own, as one Redis serves all test files.
    process.env.REDIS_URL = `${redisUrl}/${Number(process.env.VITEST_POOL_ID ?? 1) % 16}`;
    local = await (await import('./local-bot.ts')).startLocalBot();
  });
  afterAll(async () => {
    await local?.close();
  });

  it('accepts a picture and leaves its message to the courier', async () => {
    const me = await local.as('member');
    expect((await me.type('imagine', { prompt: 'portrait of a weaver' })).content).toMatch(/^Accepted/);
    const { db } = await import('#src/doors/db.ts');
    const { queues } = await import('#src/doors/queue.ts');
    const delivery = await db.delivery.findFirstOrThrow();
    expect(queues().backend).toBe('redis');
    await expect.poll(() => queues().ids('delivery')).toContain(delivery.id);
  });
});
