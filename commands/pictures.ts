/** One picture, and what its buttons do. The person who pressed gets the answer; the courier shows what changed. */
import { ActionRowBuilder, ButtonBuilder, ButtonStyle, StringSelectMenuBuilder } from 'discord.js';
import { randomSeed } from '#src/batches/cells.ts';
import { detailsOf } from '#src/cards/details.ts';
import { nameOf } from '#src/cards/lines.ts';
import { type Action, customId } from '#src/custom-ids.ts';
import { turnPage } from '#src/deliveries.ts';
import { UserError } from '#src/errors.ts';
import { deleteImage } from '#src/generations/images.ts';
import { getPicture, type Picture, pictureBytes, visiblePicture } from '#src/generations/pictures.ts';
import { reportImage } from '#src/moderation/reviews.ts';
import type { Actor, Origin } from '#src/people/people.ts';
import { declineImage, publishImage, unpublishImage } from '#src/publishing.ts';
import { unmarked } from '#src/text.ts';
import { drawAlike, vary } from './alike.ts';
import type { Answer, Presses } from './command.ts';

const ALT_MAX = 1_024;
const SELECT_MAX = 25;
const LABEL_MAX = 100;

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
    run: async ({ id, origin }) => detailsOf(origin.actor.id, await visiblePicture(origin, id)),
  },
  'picture.delete': {
    answers: 'reply',
    async run({ id, origin: { actor } }) {
      await deleteImage(actor, id);
      return 'The picture is deleted.';
    },
  },
  // Not only where the picture is seen: an offer comes to the review channel, and to its owner wherever he is.
  'picture.publish': {
    answers: 'reply',
    run: async ({ id, origin: { actor } }) => publish(actor, await getPicture(id)),
  },
  'picture.decline': {
    answers: 'reply',
    async run({ id, origin: { actor } }) {
      const { image } = await getPicture(id);
      if (!image) throw new UserError('gone', {});
      await declineImage(actor, image.id);
      return 'Declined: the picture does not come into the gallery, and its owner is told.';
    },
  },
  'picture.unpublish': {
    answers: 'reply',
    async run({ id, origin }) {
      const { image } = await visiblePicture(origin, id);
      if (!image) throw new UserError('gone', {});
      await unpublishImage(origin.actor, image.id);
      return 'The picture is not in the gallery any more.';
    },
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
      return pictureCard(picture);
    },
  },
  'pictures.page': {
    answers: 'update',
    // Everybody in the channel may turn the page: it hides nothing, and turns back.
    async run({ id, values, interaction }) {
      await turnPage(id, interaction.message?.id ?? '', Number(values[0] ?? Number.NaN));
      return null;
    },
  },
} satisfies Presses;

/** Says yes to a picture in the gallery, and what is missing still. */
export async function publish(actor: Actor, { image, batch }: Picture): Promise<string> {
  if (!image) throw new UserError('gone', {});
  switch (await publishImage(actor, image.id)) {
    case 'published':
      return 'The picture is in the gallery now. Take it back with its button or `/gallery unpublish`.';
    case 'gallery-next':
      return 'The picture is offered to the gallery. Somebody who looks after the gallery must press Publish too; you will be told. Take the offer back with `/gallery unpublish`.';
    case 'owner-next':
      return `<@${batch.ownerId}> is asked: the picture comes into the gallery when they press Publish too.`;
  }
}

/** Takes a picture out of sight until a moderator has looked. */
export async function report({ actor }: Origin, { image }: Picture): Promise<Answer> {
  if (!image) throw new UserError('gone', {});
  await reportImage(actor, image.id);
  return 'Thank you. The picture is out of sight until a moderator has looked at it.';
}

/** A picture with its own buttons, for one person. */
async function pictureCard(picture: Picture): Promise<Answer> {
  const { id, image, batch, seed, prompt, index, state } = picture;
  if (!image) return `Picture ${index + 1} is ${state === 'done' ? 'gone' : state}.`;
  const bytes = await pictureBytes(picture);
  const button = (action: Action, label: string, style = ButtonStyle.Secondary) =>
    new ButtonBuilder().setCustomId(customId(action, id)).setLabel(label).setStyle(style);
  const rows = [
    new ActionRowBuilder<ButtonBuilder>().addComponents(
      button('picture.again', 'Again'),
      button('picture.vary', 'Vary'),
      button('picture.details', 'Details'),
    ),
    new ActionRowBuilder<ButtonBuilder>().addComponents(
      ...(batch.production
        ? [
            image.visibility === 'published'
              ? button('picture.unpublish', 'Take down')
              : button('picture.publish', 'Publish', ButtonStyle.Primary),
          ]
        : []),
      button('picture.report', 'Report'),
      button('picture.delete', 'Delete', ButtonStyle.Danger),
    ),
  ];
  const file = {
    attachment: bytes,
    name: `picture-${index + 1}.png`,
    description: prompt.slice(0, ALT_MAX),
  };
  return {
    content: `Picture ${index + 1} · ${unmarked(nameOf(picture))} · seed ${seed}`,
    components: rows,
    files: [file],
  };
}

/** Asks which of several pictures is meant. */
export function pickCard(batchId: string, pictures: readonly Picture[], content: string): Answer {
  const select = new StringSelectMenuBuilder()
    .setCustomId(customId('pictures.pick', batchId))
    .setPlaceholder('Which picture?')
    .addOptions(
      pictures.slice(0, SELECT_MAX).map((picture) => ({
        label: `${picture.index + 1}: ${unmarked(nameOf(picture))}`.slice(0, LABEL_MAX),
        description: `seed ${picture.seed} · ${picture.state}`,
        value: picture.id,
      })),
    );
  return { content, components: [new ActionRowBuilder<StringSelectMenuBuilder>().addComponents(select)] };
}
