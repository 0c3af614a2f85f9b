/** What one person gets to see of a picture: the picture with its own buttons, a list to pick one from, the question before it goes. */

import { ActionRowBuilder, ButtonBuilder, ButtonStyle, StringSelectMenuBuilder } from 'discord.js';
import { gallery } from '#config/gallery.ts';
import { choiceOf, hiddenWords, nameOf, seedOf } from '#src/cards/lines.ts';
import { numberOf } from '#src/cards/parts.ts';
import { type Action, customId } from '#src/custom-ids.ts';
import { UserError } from '#src/errors.ts';
import { type Picture, pictureBytes } from '#src/generations/pictures.ts';
import type { Origin } from '#src/people/people.ts';
import { decidesForGallery, mustBeAllowed } from '#src/people/rights.ts';
import type { Say } from '#src/say.ts';
import { bare, plain } from '#src/text.ts';
import type { Answer } from './command.ts';

const ALT_MAX = 1_024;
const SELECT_MAX = 25;
const LABEL_MAX = 100;
const NAME_SHOWN = 120;

/** A picture with all that can be done with it. *Delete* is kept apart from *Details*. */
export async function pictureCard(
  { actor, say }: Pick<Origin, 'actor' | 'say'>,
  picture: Picture,
): Promise<Answer> {
  const { id, image, batch, prompt } = picture;
  const number = numberOf(picture);
  if (!image) return say('Picture {number}: {what}', { number, what: hiddenWords(say, picture) });
  const bytes = await pictureBytes(picture);
  const inGallery = image.visibility === 'published';
  const decides = inGallery && (await decidesForGallery(actor, batch));
  const rows = [
    buttons(
      button('picture.again', id, say('Again')),
      button('picture.vary', id, say('Vary')),
      button('picture.details', id, say('Details')),
      ...(inGallery ? [button('picture.unpublish', id, say('Take down'))] : []),
      ...(decides ? [curateButton(say, picture)] : []),
      ...(batch.production && !inGallery
        ? [button('picture.publish', id, say('Publish'), ButtonStyle.Primary)]
        : []),
    ),
    buttons(
      button('picture.use', id, say('Use these settings')),
      button('picture.report', id, say('Report')),
      button('picture.delete', id, say('Delete…')),
    ),
    ...(decides ? collections(say, picture) : []),
  ];
  const file = {
    attachment: bytes,
    name: `picture-${number}.png`,
    description: prompt.slice(0, ALT_MAX),
  };
  const facts = [
    say('**Picture {number}**', { number }),
    plain(nameOf(picture), NAME_SHOWN),
    ...seedOf(say, picture),
  ];
  return { content: facts.join(' · '), components: rows, files: [file] };
}

function curateButton(say: Say, { id, image }: Picture): ButtonBuilder {
  return image?.curatedAt
    ? button('picture.uncurate', id, say('No longer one of the best'))
    : button('picture.curate', id, say('One of the best'), ButtonStyle.Success);
}

/** Where in the gallery it is shown; nothing where there is no choice. */
function collections(say: Say, { id, image }: Picture): ActionRowBuilder<StringSelectMenuBuilder>[] {
  const all = Object.entries(gallery.collections).slice(0, SELECT_MAX);
  if (all.length < 2) return [];
  const select = new StringSelectMenuBuilder()
    .setCustomId(customId('picture.collection', id))
    .setPlaceholder(say('In which collection?'))
    .addOptions(
      all.map(([value, { title }]) => ({ label: title, value, default: value === image?.collection })),
    );
  return [new ActionRowBuilder<StringSelectMenuBuilder>().addComponents(select)];
}

/** Asks which of several pictures is meant. */
export function pickCard(say: Say, batchId: string, pictures: readonly Picture[], content: string): Answer {
  const select = new StringSelectMenuBuilder()
    .setCustomId(customId('pictures.pick', batchId))
    .setPlaceholder(say('Which picture?'))
    .addOptions(
      pictures.slice(0, SELECT_MAX).map((picture) => {
        const { label, ...rest } = choiceOf(say, picture);
        return { label: bare(label, LABEL_MAX), ...rest };
      }),
    );
  return { content, components: [new ActionRowBuilder<StringSelectMenuBuilder>().addComponents(select)] };
}

/** Bytes that are deleted are gone, so this is asked before. @throws {UserError} `not_yours`, `gone` */
export async function deleteQuestion({ actor, say }: Origin, picture: Picture): Promise<Answer> {
  const { id, image, batch } = picture;
  await mustBeAllowed(actor, 'delete', batch);
  if (!image || image.deletedAt) throw new UserError('gone', {});
  const number = numberOf(picture);
  return {
    content: [
      say('Delete picture {number} for good? Nobody can bring it back, and its tokens stay spent.', {
        number,
      }),
      ...(image.visibility === 'published' ? [say('It leaves the gallery as well.')] : []),
    ].join(' '),
    components: [
      buttons(
        button('picture.deleted', id, say('Delete for good'), ButtonStyle.Danger),
        button('picture.keep', id, say('Keep it')),
      ),
    ],
  };
}

function button(action: Action, id: string, label: string, style = ButtonStyle.Secondary): ButtonBuilder {
  return new ButtonBuilder().setCustomId(customId(action, id)).setLabel(label).setStyle(style);
}

function buttons(...some: ButtonBuilder[]): ActionRowBuilder<ButtonBuilder> {
  return new ActionRowBuilder<ButtonBuilder>().addComponents(...some);
}
