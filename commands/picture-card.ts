/** What one person gets to see of a picture: the picture with its own buttons, a list to pick one from, the question before it goes. */

import { ActionRowBuilder, ButtonBuilder, ButtonStyle, StringSelectMenuBuilder } from 'discord.js';
import { choiceOf, hiddenWords, nameOf, seedOf } from '#src/cards/lines.ts';
import { numberOf } from '#src/cards/parts.ts';
import { type Action, customId } from '#src/custom-ids.ts';
import { UserError } from '#src/errors.ts';
import { type Picture, pictureBytes } from '#src/generations/pictures.ts';
import type { Actor } from '#src/people/people.ts';
import { mustBeAllowed } from '#src/people/rights.ts';
import { bare, plain } from '#src/text.ts';
import type { Answer } from './command.ts';

const ALT_MAX = 1_024;
const SELECT_MAX = 25;
const LABEL_MAX = 100;
const NAME_SHOWN = 120;

/** A picture with all that can be done with it. *Delete* is kept apart from *Details*. */
export async function pictureCard(picture: Picture): Promise<Answer> {
  const { id, image, batch, prompt } = picture;
  const number = numberOf(picture);
  if (!image) return `Picture ${number}: ${hiddenWords(picture)}`;
  const bytes = await pictureBytes(picture);
  const rows = [
    buttons(
      button('picture.again', id, 'Again'),
      button('picture.vary', id, 'Vary'),
      button('picture.details', id, 'Details'),
      ...(image.visibility === 'published' ? [button('picture.unpublish', id, 'Take down')] : []),
      ...(batch.production && image.visibility !== 'published'
        ? [button('picture.publish', id, 'Publish', ButtonStyle.Primary)]
        : []),
    ),
    buttons(
      button('picture.use', id, 'Use these settings'),
      button('picture.report', id, 'Report'),
      button('picture.delete', id, 'Delete…'),
    ),
  ];
  const file = {
    attachment: bytes,
    name: `picture-${number}.png`,
    description: prompt.slice(0, ALT_MAX),
  };
  const facts = [`**Picture ${number}**`, plain(nameOf(picture), NAME_SHOWN), ...seedOf(picture)];
  return { content: facts.join(' · '), components: rows, files: [file] };
}

/** Asks which of several pictures is meant. */
export function pickCard(batchId: string, pictures: readonly Picture[], content: string): Answer {
  const select = new StringSelectMenuBuilder()
    .setCustomId(customId('pictures.pick', batchId))
    .setPlaceholder('Which picture?')
    .addOptions(
      pictures.slice(0, SELECT_MAX).map((picture) => {
        const { label, ...rest } = choiceOf(picture);
        return { label: bare(label, LABEL_MAX), ...rest };
      }),
    );
  return { content, components: [new ActionRowBuilder<StringSelectMenuBuilder>().addComponents(select)] };
}

/** Bytes that are deleted are gone, so this is asked before. @throws {UserError} `not_yours`, `gone` */
export async function deleteQuestion(actor: Actor, picture: Picture): Promise<Answer> {
  const { id, image, batch } = picture;
  await mustBeAllowed(actor, 'delete', batch);
  if (!image || image.deletedAt) throw new UserError('gone', {});
  const leaves = image.visibility === 'published' ? ' It leaves the gallery as well.' : '';
  return {
    content: `Delete picture ${numberOf(picture)} for good? Nobody can bring it back, and its tokens stay spent.${leaves}`,
    components: [
      buttons(
        button('picture.deleted', id, 'Delete for good', ButtonStyle.Danger),
        button('picture.keep', id, 'Keep it'),
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
