/** What the buttons of pictures do. The person who pressed gets the answer; the courier shows what changed. */
import { gallery } from '#config/gallery.ts';
import { randomSeed } from '#src/batches/cells.ts';
import { detailsOf } from '#src/cards/details.ts';
import { numberOf } from '#src/cards/parts.ts';
import { sheetsOf } from '#src/cards/sheet.ts';
import { PICTURES_PAGE, turnPage } from '#src/deliveries.ts';
import { UserError } from '#src/errors.ts';
import { deleteImage } from '#src/generations/images.ts';
import {
  countPictures,
  getBatch,
  getPicture,
  type Picture,
  picturesOf,
  visiblePicture,
  visiblePictures,
} from '#src/generations/pictures.ts';
import { reportImage } from '#src/moderation/reviews.ts';
import type { Origin } from '#src/people/people.ts';
import {
  curateImage,
  declineImage,
  moveToCollection,
  publishImage,
  unpublishImage,
} from '#src/publishing.ts';
import { quote } from '#src/text.ts';
import { drawAlike, drawAnew, vary } from './alike.ts';
import type { Answer, Press, Presses } from './command.ts';
import { deleteQuestion, pictureCard } from './picture-card.ts';

export const picturePresses = {
  'picture.again': {
    answers: 'reply',
    run: ({ id, interaction, origin }) =>
      drawAlike(interaction, origin, [id], () => ({ seed: randomSeed() })),
  },
  'picture.vary': {
    answers: 'reply',
    run: ({ id, interaction, origin }) => drawAlike(interaction, origin, [id], (picture) => vary(picture)),
  },
  'picture.details': {
    answers: 'reply',
    run: async ({ id, origin }) => detailsOf(origin.say, origin.actor.id, await visiblePicture(origin, id)),
  },
  'picture.open': {
    answers: 'reply',
    run: async ({ id, origin }) => pictureCard(origin, await visiblePicture(origin, id)),
  },
  'picture.delete': {
    answers: 'reply',
    run: async ({ id, origin }) => deleteQuestion(origin, await visiblePicture(origin, id)),
  },
  'picture.deleted': {
    answers: 'update',
    async run({ id, origin }) {
      const picture = await visiblePicture(origin, id);
      await deleteImage(origin.actor, id).catch((error: unknown) => {
        // A second click, or somebody was faster: it is as was wished.
        if (!(error instanceof UserError && error.code === 'gone')) throw error;
      });
      return origin.say('Picture {number} is deleted.', { number: numberOf(picture) });
    },
  },
  'picture.keep': {
    answers: 'update',
    run: async ({ id, origin }) =>
      origin.say('Picture {number} is kept.', { number: numberOf(await visiblePicture(origin, id)) }),
  },
  // Not only where the picture is seen: an offer comes to the review channel, and to its owner wherever he is.
  'picture.publish': {
    answers: 'reply',
    run: async ({ id, origin }) => publish(origin, await getPicture(id)),
  },
  'picture.decline': {
    answers: 'reply',
    async run({ id, origin: { actor, say } }) {
      const { image } = await getPicture(id);
      if (!image) throw new UserError('gone', {});
      await declineImage(actor, image.id);
      return say('Declined: the picture does not come into the gallery, and its owner is told.');
    },
  },
  'picture.unpublish': {
    answers: 'reply',
    async run({ id, origin }) {
      const { image } = await visiblePicture(origin, id);
      if (!image) throw new UserError('gone', {});
      await unpublishImage(origin.actor, image.id);
      return origin.say('The picture is not in the gallery any more.');
    },
  },
  // What is in the gallery everybody sees: whoever decides for it may press wherever he is.
  'picture.curate': {
    answers: 'reply',
    run: async ({ id, origin }) => curate(origin, await getPicture(id), true),
  },
  'picture.uncurate': {
    answers: 'reply',
    run: async ({ id, origin }) => curate(origin, await getPicture(id), false),
  },
  'picture.collection': {
    answers: 'reply',
    run: async ({ id, values, origin }) => putInto(origin, await getPicture(id), values[0] ?? ''),
  },
  'picture.report': {
    answers: 'reply',
    run: async ({ id, origin }) => report(origin, await visiblePicture(origin, id)),
  },
  'pictures.pick': {
    answers: 'reply',
    async run({ id, values, origin }) {
      const picture = await visiblePicture(origin, values[0] ?? '');
      if (picture.batchId !== id) throw new UserError('gone', {});
      return pictureCard(origin, picture);
    },
  },
  'pictures.again': {
    answers: 'reply',
    run: async ({ id, interaction, origin }) =>
      drawAnew(interaction, origin, await visiblePictures(origin, id)),
  },
  // Everybody in the channel may turn pages: it hides nothing, and turns back.
  'pictures.page': {
    answers: 'update',
    run: (press) => turn(press, async (id) => Math.ceil((await countPictures(id)) / PICTURES_PAGE)),
  },
  'sheet.page': {
    answers: 'update',
    run: (press) =>
      turn(press, async (id) => (await sheetsOf(await getBatch(id), await picturesOf(id))).length),
  },
} satisfies Presses;

async function turn(
  { id, values, interaction }: Press,
  countPages: (batchId: string) => Promise<number>,
): Promise<null> {
  const page = Number(values[0] ?? Number.NaN);
  if (!Number.isInteger(page) || page < 0 || page >= (await countPages(id))) throw new UserError('gone', {});
  await turnPage(id, interaction.message?.id ?? '', page);
  return null;
}

/** Says yes to a picture in the gallery, and what is missing still. */
export async function publish(
  { actor, say }: Pick<Origin, 'actor' | 'say'>,
  { image, batch }: Picture,
): Promise<string> {
  if (!image) throw new UserError('gone', {});
  switch (await publishImage(actor, image.id)) {
    case 'published':
      return say('The picture is in the gallery now. Take it back with its button or `/gallery unpublish`.');
    case 'gallery-next':
      return say(
        'The picture is offered to the gallery. Somebody who looks after the gallery must press Publish too; you will be told. Take the offer back with `/gallery unpublish`.',
      );
    case 'owner-next':
      return say('{owner} is asked: the picture comes into the gallery when they press Publish too.', {
        owner: `<@${batch.ownerId}>`,
      });
  }
}

/** Chooses a picture of the gallery as one of its best, or takes that back. */
export async function curate(
  { actor, say }: Pick<Origin, 'actor' | 'say'>,
  { image }: Picture,
  chosen: boolean,
): Promise<string> {
  if (!image) throw new UserError('gone', {});
  await curateImage(actor, image.id, chosen);
  return chosen
    ? say('The picture is one of the best of the gallery now.')
    : say('The picture is not one of the best of the gallery any more.');
}

/** Has a picture of the gallery shown in another collection. */
export async function putInto(
  { actor, say }: Pick<Origin, 'actor' | 'say'>,
  { image }: Picture,
  collection: string,
): Promise<string> {
  if (!image) throw new UserError('gone', {});
  await moveToCollection(actor, image.id, collection);
  return say('The picture is in the collection {title} now.', {
    title: quote(gallery.collections[collection]?.title ?? collection),
  });
}

/** Takes a picture out of sight until a moderator has looked. */
export async function report({ actor, say }: Origin, { image }: Picture): Promise<Answer> {
  if (!image) throw new UserError('gone', {});
  await reportImage(actor, image.id);
  return say('Thank you. The picture is out of sight until a moderator has looked at it.');
}
