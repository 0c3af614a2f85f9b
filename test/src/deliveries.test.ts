/** Whatever changes what a message shows says so in its row, and wakes the courier. */
import { beforeEach, expect, it, vi } from 'vitest';
import { openBatch } from '#src/batches/batches.ts';
import {
  abandonGeneration,
  endBatch,
  failGeneration,
  finishGeneration,
  handBack,
} from '#src/batches/ending.ts';
import { db, type Verdict } from '#src/doors/db.ts';
import { queues } from '#src/doors/queue.ts';
import { deleteImage } from '#src/generations/images.ts';
import { decide, reportImage } from '#src/moderation/reviews.ts';
import type { Actor } from '#src/people/people.ts';
import { publishImage, unpublishImage } from '#src/publishing.ts';
import { drawn } from '#test/support/drawn.ts';
import { actor, cell, origin, request } from '#test/support/requests.ts';
import { TRUSTED_GUILD } from '#test/support/staff.ts';
import { startGeneration } from '#test/support/taking.ts';

interface Scene {
  readonly me: Actor;
  readonly moderator: Actor;
  readonly batchId: string;
  readonly generationId: string;
}

async function opened(): Promise<Scene> {
  const me = actor({ guildId: TRUSTED_GUILD, managesGuild: true });
  const batch = await openBatch(
    origin({ actor: me }),
    request([cell({ prompt: `${me.id} asks` })], { production: true }),
  );
  const { id: generationId } = await db.generation.findFirstOrThrow({ where: { batchId: batch.id } });
  return {
    me,
    moderator: actor({ guildId: me.guildId, managesGuild: true }),
    batchId: batch.id,
    generationId,
  };
}

const begin = ({ generationId }: Scene) => startGeneration(generationId, 'w');
const imageOf = ({ generationId }: Scene) => db.image.findUniqueOrThrow({ where: { generationId } });

async function draw(scene: Scene, verdict: Verdict = 'clear'): Promise<string> {
  const drawing = await begin(scene);
  await finishGeneration(drawing!, 'w', drawn({ verdict }));
  return (await imageOf(scene)).id;
}

/** [what, before it, the change itself] */
const changes: [string, (scene: Scene) => Promise<unknown>, (scene: Scene) => Promise<unknown>][] = [
  ['begun', async () => {}, begin],
  ['drawn', async () => {}, (scene) => draw(scene)],
  ['flagged', async () => {}, (scene) => draw(scene, 'flagged')],
  ['failed', begin, ({ generationId }) => failGeneration(generationId, 'w', 'internal')],
  ['abandoned', begin, ({ generationId }) => abandonGeneration(generationId, 'w')],
  ['handed back', begin, ({ generationId }) => handBack(generationId, 'w')],
  ['stopped', async () => {}, ({ batchId }) => endBatch(batchId, 'stopped')],
  ['deleted', draw, ({ me, generationId }) => deleteImage(me, generationId)],
  ['published', draw, async (scene) => publishImage(scene.me, (await imageOf(scene)).id)],
  [
    'taken down',
    async (scene) => publishImage(scene.me, await draw(scene)),
    async (scene) => unpublishImage(scene.me, (await imageOf(scene)).id),
  ],
  ['reported', draw, async (scene) => reportImage(actor(), (await imageOf(scene)).id)],
  [
    'decided on',
    (scene) => draw(scene, 'flagged'),
    async ({ moderator, generationId }) => {
      const review = await db.review.findFirstOrThrow({ where: { image: { generationId } } });
      await decide(moderator, review.id, 'approved', null);
    },
  ],
];

/** ids of deliveries that the courier was woken for */
const woken: string[] = [];
beforeEach(() => {
  woken.length = 0;
  vi.spyOn(queues(), 'wake').mockImplementation((kind, payload, options) => {
    if (kind !== 'delivery') return; // workers are woken as well
    expect(payload).toEqual({ deliveryId: options?.id });
    woken.push(options?.id ?? '');
  });
});

it.each(changes)('a picture that is %s', async (_, before, change) => {
  const scene = await opened();
  await before(scene);
  woken.length = 0;
  const card = { batchId: scene.batchId, kind: 'card' } as const;
  const { id, wanted } = await db.delivery.findFirstOrThrow({ where: card });

  await change(scene);
  expect((await db.delivery.findUniqueOrThrow({ where: { id } })).wanted).toBeGreaterThan(wanted);
  expect(woken).toContain(id);
});

it('a message that is new wakes the courier as well', async () => {
  const { batchId } = await opened();
  const { id } = await db.delivery.findFirstOrThrow({ where: { batchId } });
  expect(woken).toEqual([id]);
});
