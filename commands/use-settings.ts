/** *Use these settings*: a picture's parameters become one's own, chosen by its number on the contact sheet or from its card. */

import { LabelBuilder, ModalBuilder, TextInputBuilder, TextInputStyle } from 'discord.js';
import { numberOf } from '#src/cards/parts.ts';
import { customId } from '#src/custom-ids.ts';
import { UserError } from '#src/errors.ts';
import {
  countPictures,
  getBatch,
  type Picture,
  picturesOf,
  visiblePicture,
} from '#src/generations/pictures.ts';
import { fitting, parameters, type ResolvedParameters } from '#src/parameters/definitions.ts';
import { adoptParameters } from '#src/parameters/values.ts';
import type { Origin } from '#src/people/people.ts';
import { mustSee } from '#src/people/rights.ts';
import type { Say } from '#src/say.ts';
import type { Answer, Presses } from './command.ts';
import { changeLine } from './set.ts';

const FIELD = 'number';
/** Characters that are asked for: more than any number of a picture has, so that what is wrong with it can be said. */
const FIELD_MAX = 20;
/** Characters that Discord takes. */
const TITLE_MAX = 45;
const DESCRIPTION_MAX = 100;

export const usePresses = {
  'picture.use': {
    answers: 'reply',
    run: async ({ id, origin }) => use(origin, await visiblePicture(origin, id)),
  },
  'sheet.use': {
    answers: 'form',
    form: async ({ id, origin }) =>
      numberForm(origin.say, customId('sheet.used', id), await visibleCount(origin, id)),
  },
  'sheet.used': {
    answers: 'reply',
    async run({ id, interaction, origin }) {
      const typed = interaction.isModalSubmit() ? interaction.fields.getTextInputValue(FIELD) : '';
      const count = await visibleCount(origin, id);
      const number = Number(/^\s*#?\s*(\d+)\s*$/.exec(typed)?.[1] ?? Number.NaN);
      if (!(number >= 1 && number <= count))
        throw new UserError('picture_number', { got: typed, max: count });
      const [picture] = await picturesOf(id, { skip: number - 1, take: 1 });
      if (!picture) throw new UserError('gone', {});
      return use(origin, picture);
    },
  },
} satisfies Presses;

/** @throws {UserError} `gone` */
async function visibleCount(origin: Origin, batchId: string): Promise<number> {
  await mustSee(origin, await getBatch(batchId));
  return countPictures(batchId);
}

function numberForm(say: Say, submit: string, count: number): ModalBuilder {
  return new ModalBuilder()
    .setCustomId(submit)
    .setTitle(say('Use these settings').slice(0, TITLE_MAX))
    .addLabelComponents(
      new LabelBuilder()
        .setLabel(say('Number of the picture').slice(0, TITLE_MAX))
        .setDescription(
          say('As on the contact sheet: 1 to {count}. Your parameters become those it was drawn with.', {
            count,
          }).slice(0, DESCRIPTION_MAX),
        )
        .setTextInputComponent(
          new TextInputBuilder().setCustomId(FIELD).setStyle(TextInputStyle.Short).setMaxLength(FIELD_MAX),
        ),
    );
}

async function use({ actor, say }: Origin, picture: Picture): Promise<Answer> {
  const changed = await adoptParameters(actor, settingsOf(picture));
  const number = numberOf(picture);
  if (!changed.length) return say('Your settings are those of picture {number} already.', { number });
  return [
    say('Your settings are those of picture {number} now:', { number }),
    ...changed.map(changeLine),
    say('The seed stays as you have it. `/settings` shows them all, and changes them back.'),
  ].join('\n');
}

/** What a picture was drawn with, as far as it is a person's own to set for all their pictures: no seed, tier or production mode. */
function settingsOf(picture: Picture): ResolvedParameters {
  const drawnWith = picture.parameters as ResolvedParameters;
  const names = [...parameters].flatMap(([name, { pixels, operators }]) =>
    pixels && !operators && name !== 'seed' ? name : [],
  );
  const values = Object.fromEntries(names.map((name) => [name, fitting(name, drawnWith[name])]));
  return { ...values, bundle: fitting('bundle', picture.bundle) };
}
