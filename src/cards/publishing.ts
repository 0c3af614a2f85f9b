/** A picture's way into the gallery, in which two say yes: its owner, and those who look after the gallery. */
import { ButtonStyle } from 'discord-api-types/v10';
import { config } from '#config/env.ts';
import type { Batch } from '#src/doors/db.ts';
import { type Picture, pictureOfImage } from '#src/generations/pictures.ts';
import { sayToGuild } from '#src/guilds.ts';
import { sayToPerson } from '#src/people/people.ts';
import { galleryGuildOf } from '#src/people/rights.ts';
import { type Say, sayIn } from '#src/say.ts';
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
  const say = await sayToGuild(galleryGuildOf(batch));
  // What may still be decided of it is decided by who sees it.
  const files = open || where === 'published' ? pictureFiles(say, [picture]) : [];
  const who = `<@${batch.ownerId}>`;
  return card(
    say,
    open ? accents.waiting : where === 'published' ? accents.done : accents.ended,
    [
      text(
        `### ${say('For the gallery')}`,
        batch.guildId
          ? say('{who} would like to show this picture on the public page. Asked for in {channel}.', {
              who,
              channel: `<#${batch.channelId}>`,
            })
          : say('{who} would like to show this picture on the public page. Asked for in a direct message.', {
              who,
            }),
        `> ${plain(picture.prompt, PROMPT_SHOWN)}`,
      ),
      gallery(files),
      text(
        open ? say('It is shown there as soon as one of you presses Publish too.') : decided(say, picture),
      ),
      open
        ? row(
            button('picture.publish', picture.id, say('Publish'), ButtonStyle.Success),
            button('picture.decline', picture.id, say('Decline')),
          )
        : where === 'published'
          ? row(
              image.curatedAt
                ? button('picture.uncurate', picture.id, say('No longer one of the best'))
                : button('picture.curate', picture.id, say('One of the best')),
              button('picture.unpublish', picture.id, say('Take down')),
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
  const say = await sayToPerson(batch.ownerId);
  return card(
    say,
    waits ? accents.waiting : where === 'published' ? accents.done : accents.ended,
    [
      text(toOwner(say, picture), `-# ${plain(picture.prompt, 120)}`),
      waits ? row(button('picture.publish', picture.id, say('Publish'), ButtonStyle.Success)) : null,
    ],
    { mentions: [batch.ownerId], last: !waits },
  );
}

function toOwner(say: Say, picture: Picture): string {
  const { image, batch } = picture;
  const owner = `<@${batch.ownerId}>`;
  switch (wayOf(picture)) {
    case 'gallery-said-yes':
      return say(
        '{owner}, {who} would like to show your picture on the public page. Nothing happens unless you press Publish too.',
        { owner, who: `<@${image?.publishAskedBy}>` },
      );
    case 'owner-said-yes':
      return say('{owner}, your picture waits for those who look after the gallery.', { owner });
    case 'published': {
      const link = pageOf(image?.id ?? '');
      return link
        ? say(
            '{owner}, your picture is [in the gallery]({link}) now. Take it back with `/gallery unpublish`.',
            { owner, link },
          )
        : say('{owner}, your picture is in the gallery now. Take it back with `/gallery unpublish`.', {
            owner,
          });
    }
    case 'declined':
      return say(
        '{owner}, those who look after the gallery declined your picture. It stays as it is, where it was drawn.',
        { owner },
      );
    case 'private':
      return say('{owner}, your picture is not in the gallery.', { owner });
  }
}

/** Under a batch's pictures: which of them wait for the other's yes. */
export function offerLines(batch: Batch, pictures: readonly Picture[]): string[] {
  const say = sayIn(batch.locale);
  const only = batch.kind === 'imagine' && pictures.length === 1;
  return pictures.flatMap((picture) => {
    const line = only ? offerOfOnly(say, batch, picture) : offerOf(say, batch, picture);
    return line ? [`-# ${line}`] : [];
  });
}

function offerOf(say: Say, { ownerId }: Batch, picture: Picture): string | null {
  const number = picture.index + 1;
  switch (wayOf(picture)) {
    case 'owner-said-yes':
      return say(
        'Picture {number} is offered to the gallery. It comes there once somebody who looks after the gallery presses Publish, too.',
        { number },
      );
    case 'gallery-said-yes':
      return say(
        '{who} would like picture {number} in the gallery. It comes there once {owner} presses Publish, too.',
        { number, who: `<@${picture.image?.publishAskedBy}>`, owner: `<@${ownerId}>` },
      );
    case 'declined':
      return say('Picture {number} was declined for the gallery.', { number });
    default:
      return null;
  }
}

/** The same, of a picture that has no number as it is the only one. */
function offerOfOnly(say: Say, { ownerId }: Batch, picture: Picture): string | null {
  switch (wayOf(picture)) {
    case 'owner-said-yes':
      return say(
        'The picture is offered to the gallery. It comes there once somebody who looks after the gallery presses Publish, too.',
      );
    case 'gallery-said-yes':
      return say(
        '{who} would like the picture in the gallery. It comes there once {owner} presses Publish, too.',
        { who: `<@${picture.image?.publishAskedBy}>`, owner: `<@${ownerId}>` },
      );
    case 'declined':
      return say('The picture was declined for the gallery.');
    default:
      return null;
  }
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

function decided(say: Say, picture: Picture): string {
  const { image } = picture;
  const way = wayOf(picture);
  if (way === 'published') {
    const who = `<@${image?.publishedBy}>`;
    return image?.curatedAt
      ? say('In the gallery, by {who}, and one of its best.', { who })
      : say('In the gallery, by {who}.', { who });
  }
  return way === 'declined'
    ? say('Declined by {who}.', { who: `<@${image?.publishDeclinedBy}>` })
    : say('It is not offered any more.');
}

/** Its page in the gallery, where we know what links begin with. */
function pageOf(imageId: string): string | null {
  const { publicUrl } = config.web;
  return publicUrl === undefined ? null : new URL(`/pictures/${imageId}`, publicUrl).href;
}
