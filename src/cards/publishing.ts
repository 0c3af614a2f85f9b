/** A picture's way into the gallery, in which two say yes: its owner, and those who look after the gallery. */
import { ButtonStyle } from 'discord-api-types/v10';
import { config } from '#config/env.ts';
import type { Batch } from '#src/doors/db.ts';
import { type Picture, pictureOfImage } from '#src/generations/pictures.ts';
import { plain } from '#src/text.ts';
import { accents, button, type Card, card, gallery, pictureFiles, row, stateOf, text } from './parts.ts';

const PROMPT_SHOWN = 600;

/** In the review channel: an owner's offer. */
export async function requestCard(imageId: string): Promise<Card | null> {
  const picture = await pictureOfImage(imageId);
  const { image, batch } = picture ?? {};
  if (!picture || !image || !batch) return null;
  const where = wayOf(picture);
  const open = where === 'owner-said-yes';
  const files = open ? pictureFiles([picture]) : [];
  const place = batch.guildId ? `<#${batch.channelId}>` : 'a direct message';
  return card(
    open ? accents.waiting : where === 'published' ? accents.done : accents.ended,
    [
      text(
        '### For the gallery',
        `<@${batch.ownerId}> would like to show this picture on the public page. Asked for in ${place}.`,
        `> ${plain(picture.prompt, PROMPT_SHOWN)}`,
      ),
      gallery(files),
      text(open ? 'It is shown there as soon as one of you presses Publish too.' : decided(picture)),
      open
        ? row(
            button('picture.publish', picture.id, 'Publish', ButtonStyle.Success),
            button('picture.decline', picture.id, 'Decline'),
          )
        : null,
    ],
    { files, last: !open },
  );
}

/** To the owner: somebody would like to see the picture in the gallery, or what became of the offer. */
export async function galleryNotice(imageId: string): Promise<Card | null> {
  const picture = await pictureOfImage(imageId);
  const { image, batch } = picture ?? {};
  if (!picture || !image || !batch) return null;
  const where = wayOf(picture);
  const waits = where === 'gallery-said-yes';
  const owner = `<@${batch.ownerId}>`;
  const words: Readonly<Record<Way, string>> = {
    'gallery-said-yes': `${owner}, <@${image.publishAskedBy}> would like to show your picture on the public page. Nothing happens unless you press Publish too.`,
    'owner-said-yes': `${owner}, your picture waits for those who look after the gallery.`,
    published: `${owner}, your picture is ${linked('in the gallery', image.id)} now. Take it back with \`/gallery unpublish\`.`,
    declined: `${owner}, those who look after the gallery declined your picture. It stays as it is, where it was drawn.`,
    private: `${owner}, your picture is not in the gallery.`,
  };
  return card(
    waits ? accents.waiting : where === 'published' ? accents.done : accents.ended,
    [
      text(words[where], `-# ${plain(picture.prompt, 120)}`),
      waits ? row(button('picture.publish', picture.id, 'Publish', ButtonStyle.Success)) : null,
    ],
    { mentions: [batch.ownerId], last: !waits },
  );
}

/** Under a batch's pictures: which of them wait for the other's yes. */
export function offerLines({ ownerId, kind }: Batch, pictures: readonly Picture[]): string[] {
  const only = kind === 'imagine' && pictures.length === 1;
  return pictures.flatMap((picture) => {
    const name = only ? 'The picture' : `Picture ${picture.index + 1}`;
    switch (wayOf(picture)) {
      case 'owner-said-yes':
        return `-# ${name} is offered to the gallery. It comes there once somebody who looks after the gallery presses Publish, too.`;
      case 'gallery-said-yes':
        return `-# <@${picture.image?.publishAskedBy}> would like ${name.toLowerCase()} in the gallery. It comes there once <@${ownerId}> presses Publish, too.`;
      case 'declined':
        return `-# ${name} was declined for the gallery.`;
      default:
        return [];
    }
  });
}

type Way = 'private' | 'owner-said-yes' | 'gallery-said-yes' | 'declined' | 'published';

function wayOf(picture: Picture): Way {
  const { image, batch } = picture;
  if (!image || stateOf(picture) !== 'done') return 'private';
  if (image.visibility === 'published') return 'published';
  if (image.publishAskedBy === null) return 'private';
  if (image.publishDeclinedBy) return 'declined';
  return image.publishAskedBy === batch.ownerId ? 'owner-said-yes' : 'gallery-said-yes';
}

function decided(picture: Picture): string {
  const { image } = picture;
  const way = wayOf(picture);
  if (way === 'published') return `In the gallery, by <@${image?.publishedBy}>.`;
  return way === 'declined' ? `Declined by <@${image?.publishDeclinedBy}>.` : 'It is not offered any more.';
}

/** A link to its page, where we know what links begin with. */
function linked(words: string, imageId: string): string {
  const { publicUrl } = config.web;
  return publicUrl === undefined ? words : `[${words}](${new URL(`/pictures/${imageId}`, publicUrl).href})`;
}
