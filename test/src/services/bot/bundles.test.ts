/** Bundles as people choose them, where there are several. */
import { afterAll, beforeAll, expect, it } from 'vitest';
import type { LocalBot } from './local-bot.ts';

process.env.BUNDLES = 'reference,noir';

let local: LocalBot;
let db: typeof import('#src/doors/db.ts').db;
beforeAll(async () => {
  local = await (await import('./local-bot.ts')).startLocalBot();
  // Only now: `config` is read when the first of our modules is imported.
  ({ db } = await import('#src/doors/db.ts'));
});
afterAll(() => local?.close());

const member = () => local.as('member');
/** The bundles of what somebody asked for last, picture by picture. */
async function bundlesOf(ownerId: string): Promise<string[]> {
  const [batch] = await db.batch.findMany({
    where: { ownerId, state: 'open' },
    orderBy: { createdAt: 'desc' },
    include: { generations: { orderBy: { index: 'asc' } } },
    take: 1,
  });
  return batch!.generations.map(({ bundle }) => bundle);
}

it('complete themselves, and say which is ready at once', async () => {
  const me = await member();
  const offered = () => me.suggest('imagine', { prompt: 'x', bundle: '' }, 'bundle');
  expect(await offered()).toEqual([
    { name: 'reference', value: 'reference' },
    { name: 'noir', value: 'noir' },
  ]);
  const seenAt = new Date(Date.now() + 60_000);
  await db.worker.create({
    data: { id: 'w', bundle: 'reference', bundleHash: 'h', seenAt, warm: ['reference'] },
  });
  expect((await offered()).map(({ name }) => name)).toEqual(['reference · ready at once', 'noir']);
  expect(await me.suggest('imagine', { prompt: 'x', bundle: 'no' }, 'bundle')).toHaveLength(1);
  const values = await me.suggest('set', { parameter: 'bundle', value: 'n' }, 'value');
  expect(values.map(({ value }) => value)).toContain('noir');
  await db.worker.deleteMany();
  const faceTest = { face_folders: 'all', ideas: '1', generations_per_input: 1 };
  expect(await me.suggest('test_face_mecene', { ...faceTest, bundle: '' }, 'bundle')).toHaveLength(2);
  expect((await me.type('test_face_mecene', { ...faceTest, bundle: 'sepia' })).content).toMatch(
    /^`bundle` must be one of/,
  );
});

it('are chosen for one picture, or set for all', async () => {
  const me = await member();
  await me.type('imagine', { prompt: 'portrait of a smith' });
  expect(await bundlesOf(me.id)).toEqual(['reference']);
  await me.type('imagine', { prompt: 'portrait of a smith', bundle: 'noir', count: 2 });
  expect(await bundlesOf(me.id)).toEqual(['noir', 'noir']);
  expect((await me.type('set', { parameter: 'bundle', value: 'noir' })).content).toContain('noir');
  await me.type('imagine', { prompt: 'portrait of a tanner' });
  expect(await bundlesOf(me.id)).toEqual(['noir']);
  await me.type('imagine', { prompt: 'portrait of a tanner', bundle: 'reference' });
  expect(await bundlesOf(me.id)).toEqual(['reference']);
  await me.type('set', { parameter: 'bundle', value: 'default' });

  const refused = await me.type('imagine', { prompt: 'portrait of a miner', bundle: 'sepia' });
  expect(refused.content).toBe('`bundle` must be one of `reference`, `noir`; `sepia` is not.');
});

it('are an axis of a sweep, and each picture is one’s own', async () => {
  const me = await member();
  const yaml = 'prompt: portrait of a baker\naxes:\n  bundle: [reference, noir]\nseeds: 1\nset: {steps: 4}';
  const card = await me.type('sweep', { config: yaml });
  expect(card.content).toContain('2 pictures');
  const run = JSON.stringify(card.components).match(/v1:plan\.run:[^"]+/)?.[0];
  await me.press(card, run ?? '');
  expect(await bundlesOf(me.id)).toEqual(['reference', 'noir']);
  const keys = await db.generation.findMany({ where: { prompt: 'portrait of a baker' } });
  expect(new Set(keys.map(({ key }) => key)).size).toBe(2);
  expect(
    await db.flow.count({ where: { userId: me.id, waiting: { gt: 0 }, bundle: 'noir' } }),
  ).toBeGreaterThan(0);
});
