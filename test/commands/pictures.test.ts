import type { BaseInteraction } from 'discord.js';
import { describe, expect, it } from 'vitest';
import { drawAlike, vary } from '#commands/alike.ts';
import { openBatch } from '#src/batches/batches.ts';
import { db } from '#src/doors/db.ts';
import { visiblePicture } from '#src/generations/pictures.ts';
import type { Origin } from '#src/people/people.ts';
import { mustBeAllowed } from '#src/people/rights.ts';
import { actor, cell, origin, request, snowflake } from '../support/requests.ts';

/** In a DM nothing has to be granted. */
const inDm = { guildId: null } as BaseInteraction;

async function onePicture(me: Origin, changes: Parameters<typeof cell>[0] = {}) {
  const batch = await openBatch(me, request([cell(changes, { steps: 12 })]));
  return db.generation.findFirstOrThrow({ where: { batchId: batch.id } });
}

describe('Again', () => {
  it('draws the same prompt and parameters with another seed, for who presses', async () => {
    const me = origin();
    const { id } = await onePicture(me);
    const other = origin({ channelId: me.channelId });
    await drawAlike(inDm, other, [id], () => ({ seed: 7 }));

    const again = await db.generation.findFirstOrThrow({ where: { userId: other.actor.id } });
    expect(again).toMatchObject({ prompt: cell().prompt, seed: 7n, parameters: { steps: 12 } });
    expect(await db.tokenEntry.count({ where: { userId: other.actor.id, reason: 'charge' } })).toBe(1);
  });

  it('is held to the rules of today: a prompt and a negative prompt are checked again', async () => {
    const me = origin();
    const { id } = await onePicture(me);
    const again = () => drawAlike(inDm, origin({ channelId: me.channelId }), [id], () => ({ seed: 7 }));
    await db.generation.update({ where: { id }, data: { prompt: 'a naked man' } });
    await expect(again()).rejects.toMatchObject({ code: 'prompt_blocked' });
    const parameters = { ...cell().parameters, negative_prompt: 'nude, child' };
    await db.generation.update({ where: { id }, data: { prompt: 'a man', parameters } });
    await expect(again()).rejects.toMatchObject({ code: 'negative_blocked' });
  });

  it('takes the tier and production mode of who presses, not those of the picture', async () => {
    const operator = origin({ actor: actor({ managesGuild: true }) });
    const batch = await openBatch(
      operator,
      request([cell({}, { production_mode: true, tier: 'turbo' })], { production: true, tier: 'turbo' }),
    );
    const { id } = await db.generation.findFirstOrThrow({ where: { batchId: batch.id } });
    const other = origin({ channelId: operator.channelId });
    await drawAlike(inDm, other, [id], () => ({ seed: 2 }));

    expect(await db.batch.findFirstOrThrow({ where: { ownerId: other.actor.id } })).toMatchObject({
      production: false,
      tier: 'fast',
    });
  });

  it("never draws with somebody else's face folder", async () => {
    const me = origin();
    await db.user.create({ data: { id: me.actor.id } });
    const folder = await db.faceFolder.create({
      data: {
        ownerId: me.actor.id,
        name: 'ada',
        photos: {
          create: { state: 'accepted', storageKey: 'faces/a/b.png', sha256: 'a', width: 200, height: 200 },
        },
      },
    });
    const { id } = await onePicture(me, { faceFolderId: folder.id });
    const other = origin({ channelId: me.channelId });
    await expect(drawAlike(inDm, other, [id], () => ({ seed: 2 }))).rejects.toMatchObject({
      code: 'face_not_yours',
    });
    await expect(drawAlike(inDm, me, [id], () => ({ seed: 2 }))).resolves.toMatch(/Accepted/);
  });
});

describe('Vary', () => {
  const picture = (guidance: number) => ({ seed: 5n, parameters: { guidance_scale: guidance } });

  it('keeps the seed and moves the guidance by a tenth to four tenths, within its bounds', () => {
    for (const guidance of [1, 1.05, 7.5, 29.9, 30]) {
      for (const random of [0, 0.3, 0.49, 0.5, 0.999]) {
        const { seed, parameters = {} } = vary(picture(guidance), () => random);
        const now = Number(parameters.guidance_scale);
        expect(seed).toBe(5);
        expect(now).toBeGreaterThanOrEqual(1);
        expect(now).toBeLessThanOrEqual(30);
        const factor = Math.max(now / guidance, guidance / now);
        expect(factor).toBeGreaterThan(1.09);
        expect(factor).toBeLessThan(1.41);
      }
    }
  });
});

describe('a picture', () => {
  it('is seen in its channel, by its owner anywhere, and by moderators of its guild', async () => {
    const me = origin();
    const { id } = await onePicture(me);
    const elsewhere = { channelId: snowflake() };
    const moderator = actor({ guildId: me.actor.guildId, managesGuild: true });

    await expect(visiblePicture(origin({ channelId: me.channelId }), id)).resolves.toBeDefined();
    await expect(visiblePicture({ ...me, ...elsewhere }, id)).resolves.toBeDefined();
    await expect(visiblePicture(origin({ ...elsewhere, actor: moderator }), id)).resolves.toBeDefined();
    await expect(visiblePicture(origin(elsewhere), id)).rejects.toMatchObject({ code: 'gone' });
  });

  it('is managed by nobody from another guild, whatever they are there', async () => {
    const me = origin();
    const { batchId } = await onePicture(me);
    const batch = await db.batch.findUniqueOrThrow({ where: { id: batchId } });
    await expect(mustBeAllowed(actor({ managesGuild: true }), 'end', batch)).rejects.toMatchObject({
      code: 'not_yours',
    });
    const here = actor({ guildId: batch.guildId, managesGuild: true });
    await expect(mustBeAllowed(here, 'end', batch)).resolves.toBeUndefined();
  });
});
