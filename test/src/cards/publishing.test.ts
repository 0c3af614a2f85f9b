/** What is said of a picture on its way into the gallery, and to those who look after a server. */
import type { APIAttachment } from 'discord-api-types/v10';
import { describe, expect, it } from 'vitest';
import { readComponents, walk } from '#infra/local/discord/components.ts';
import { Faults } from '#infra/local/discord/discord-error.ts';
import { renderCard } from '#src/cards/cards.ts';
import type { Card } from '#src/cards/parts.ts';
import { type Delivery, db, type Prisma } from '#src/doors/db.ts';
import { reportImage } from '#src/moderation/reviews.ts';
import { curateImage, declineImage, publishImage, unpublishImage } from '#src/publishing.ts';
import { actor, snowflake } from '#test/support/requests.ts';
import { TRUSTED_GUILD } from '#test/support/staff.ts';
import { makePicture } from '../services/web/pictures.ts';

async function render(delivery: Prisma.DeliveryUncheckedCreateInput | Delivery): Promise<Card> {
  const row = 'createdAt' in delivery ? (delivery as Delivery) : await db.delivery.create({ data: delivery });
  const batch = row.batchId ? await db.batch.findUnique({ where: { id: row.batchId } }) : null;
  const card = await renderCard(row, batch);
  if (!card) throw new Error('nothing to show');
  const attachments = card.files.map(({ name }, id) => ({ id: String(id), filename: name }));
  const faults = new Faults();
  const as = { v2: true, attachments: attachments as APIAttachment[], faults, path: [] };
  readComponents([card.container], as);
  faults.throwIfAny();
  return card;
}
const words = (card: Card) =>
  [...walk([card.container])].map(({ content, label }) => content ?? label ?? '').join('\n');

async function scene() {
  const owner = actor({ guildId: TRUSTED_GUILD });
  const { image } = await makePicture(1, {}, { owner });
  const { batchId } = await db.generation.findUniqueOrThrow({ where: { id: image.generationId } });
  const sent = (kind: 'request' | 'notice') =>
    db.delivery.findFirstOrThrow({ where: { imageId: image.id, kind }, orderBy: { id: 'desc' } });
  return {
    image,
    owner,
    keeper: actor({ guildId: TRUSTED_GUILD, managesGuild: true }),
    card: async () => words(await render({ kind: 'card', batchId, userId: owner.id, nonce: snowflake() })),
    request: async () => render(await sent('request')),
    notice: async () => render(await sent('notice')),
  };
}

describe('an offer to the gallery', () => {
  it('is said under the picture, and shown to those who decide until it is decided', async () => {
    const { image, owner, keeper, ...cards } = await scene();
    expect(await cards.card()).not.toContain('gallery');
    await publishImage(owner, image.id);
    expect(await cards.card()).toContain('once somebody who looks after the gallery presses Publish, too');
    const request = await cards.request();
    expect(words(request)).toMatch(/would like to show this picture[\s\S]*Publish\nDecline/);
    expect([request.files.length, request.last]).toEqual([1, false]);
    expect(request.mentions).toEqual([]);

    await publishImage(keeper, image.id);
    expect(await cards.card()).toContain('in the gallery');
    const decided = await cards.request();
    expect(words(decided)).toContain(`In the gallery, by <@${keeper.id}>`);
    expect(words(decided)).toMatch(/\nOne of the best\nTake down$/);
    expect([decided.files.length, decided.last]).toEqual([1, true]);
    await curateImage(keeper, image.id, true);
    expect(words(await cards.request())).toMatch(
      /, and one of its best\.\n+No longer one of the best\nTake down$/,
    );
    await unpublishImage(keeper, image.id);
    const gone = await cards.request();
    expect([words(gone), gone.files]).toEqual([expect.stringMatching(/It is not offered any more\.$/), []]);
  });

  it('that came into the gallery is told to its owner', async () => {
    const { image, owner, keeper, ...cards } = await scene();
    await publishImage(owner, image.id);
    await publishImage(keeper, image.id);
    const notice = await cards.notice();
    expect(words(notice)).toContain('your picture is in the gallery now');
    expect([notice.mentions, notice.last]).toEqual([[owner.id], true]);
  });

  it('declined is said to its owner, and under the picture', async () => {
    const { image, owner, keeper, ...cards } = await scene();
    await publishImage(owner, image.id);
    await declineImage(keeper, image.id);
    expect(await cards.card()).toContain('was declined for the gallery');
    expect(words(await cards.request())).toContain(`Declined by <@${keeper.id}>`);
    expect(words(await cards.notice())).toContain('declined your picture');
  });

  it('to its owner has the button, until it is taken back', async () => {
    const { image, owner, keeper, ...cards } = await scene();
    await publishImage(keeper, image.id);
    expect(await cards.card()).toContain(`once <@${owner.id}> presses Publish, too`);
    expect(words(await cards.notice())).toMatch(/unless you press Publish too[\s\S]*Publish$/);
    await unpublishImage(keeper, image.id);
    expect(words(await cards.notice())).toMatch(/is not in the gallery\.\n[^\n]*$/);
    expect(await cards.card()).not.toContain('gallery');
  });

  it('of a picture that was reported shows it to nobody', async () => {
    const { image, owner, ...cards } = await scene();
    await publishImage(owner, image.id);
    await reportImage(actor(), image.id);
    const request = await cards.request();
    expect(request.files).toEqual([]);
    expect(words(request)).toContain('It is not offered any more.');
  });
});

describe('to those who look after a server', () => {
  it('the greeting asks for a review channel as long as there is none', async () => {
    const { id } = await db.guildSettings.create({ data: { id: snowflake() } });
    const greeting = { kind: 'greeting', guildId: id, userId: snowflake() } as const;
    expect(words(await render({ ...greeting, nonce: snowflake() }))).toMatch(
      /no channel for that yet[\s\S]*Set up$/,
    );
    await db.guildSettings.update({ where: { id }, data: { reviewChannelId: '7' } });
    expect(words(await render({ ...greeting, nonce: snowflake() }))).not.toMatch(/Set up/);
  });

  it('the warning names who sees the review channel', async () => {
    const id = snowflake();
    await db.guildSettings.create({ data: { id, reviewSeenBy: ['5', '6'] } });
    const warning = { kind: 'warning', guildId: id, channelId: '7', userId: snowflake() } as const;
    const card = await render({ ...warning, nonce: snowflake() });
    expect(words(card)).toMatch(/<#7> can be seen by <@&5>, <@&6>, so I show no flagged pictures there/);
    expect(card.mentions).toEqual([]);
  });
});
