/** `/gallery` puts a picture on the public gallery page, or takes it back; and says where in the gallery it is shown. */
import { SlashCommandBuilder } from 'discord.js';
import { z } from 'zod';
import { gallery } from '#config/gallery.ts';
import { UserError } from '#src/errors.ts';
import { mayBeShown } from '#src/generations/images.ts';
import {
  getPicture,
  type Picture,
  pictureOfImage,
  picturesOf,
  recentPictures,
  shownBy,
  visiblePicture,
} from '#src/generations/pictures.ts';
import type { Origin } from '#src/people/people.ts';
import { unpublishImage } from '#src/publishing.ts';
import { quote, unmarked } from '#src/text.ts';
import type { SlashCommand } from './command.ts';
import { Context, Install } from './options.ts';
import { curate, publish, putInto } from './pictures.ts';

const LABEL_MAX = 100;
const RECENT = 50;
const MESSAGE_LINK = /\/channels\/(?:@me|\d+)\/\d+\/(\d+)$/;

/** Of a picture's page in the gallery: the id of its image. */
const PAGE_LINK = /\/pictures\/([0-9a-f-]{36})(?:[/?#].*)?$/;
const CHOICES_MAX = 25;

const pictureOption = 'A message link or a picture’s id. Your latest picture when left out.';
const shownOption =
  'A link to it, in the gallery or in Discord, or its id. Your latest in the gallery when left out.';
const collections = Object.entries(gallery.collections)
  .slice(0, CHOICES_MAX)
  .map(([value, { title }]) => ({ name: title, value }));

export default {
  data: new SlashCommandBuilder()
    .setName('gallery')
    .setDescription('Show a picture on the gallery page, or take it back.')
    .setContexts(Context.Guild, Context.BotDM)
    .setIntegrationTypes(Install.GuildInstall)
    .addSubcommand((sub) =>
      sub
        .setName('publish')
        .setDescription('Offer a picture drawn in production mode to the public gallery.')
        .addStringOption((o) => o.setName('picture').setDescription(pictureOption).setAutocomplete(true)),
    )
    .addSubcommand((sub) =>
      sub
        .setName('unpublish')
        .setDescription('Take a picture off the gallery page, or an offer back.')
        .addStringOption((o) => o.setName('picture').setDescription(pictureOption).setAutocomplete(true)),
    )
    .addSubcommand((sub) =>
      sub
        .setName('curate')
        .setDescription('For those who look after the gallery: choose a picture as one of its best.')
        .addStringOption((o) => o.setName('picture').setDescription(shownOption).setAutocomplete(true))
        .addBooleanOption((o) => o.setName('best').setDescription('False takes that back.')),
    )
    .addSubcommand((sub) =>
      sub
        .setName('collection')
        .setDescription('For those who look after the gallery: show a picture in another collection.')
        .addStringOption((o) =>
          o
            .setName('collection')
            .setDescription('Where it is shown from now on.')
            .setRequired(true)
            .addChoices(...collections),
        )
        .addStringOption((o) => o.setName('picture').setDescription(shownOption).setAutocomplete(true)),
    ),

  async run({ options }, origin) {
    const deed = deedOf(options.getSubcommand());
    const picture = await meant(origin, options.getString('picture'), deed);
    const { image, prompt } = picture;
    if (!image) throw new UserError('gone', {});
    const { actor, say } = origin;
    switch (deed) {
      case 'publish':
        return `${quote(prompt)}: ${await publish(origin, picture)}`;
      case 'unpublish':
        await unpublishImage(actor, image.id);
        return say('{prompt} is off the gallery page.', { prompt: quote(prompt) });
      case 'curate':
        return curate(origin, picture, options.getBoolean('best') ?? true);
      case 'collection':
        return putInto(origin, picture, options.getString('collection', true));
    }
  },

  async autocomplete({ options, user }) {
    const typed = options.getFocused().toLowerCase();
    const deed = deedOf(options.getSubcommand());
    return (await recentPictures(user.id, RECENT))
      .filter((picture) => isCandidate(picture, deed) && picture.prompt.toLowerCase().includes(typed))
      .map(({ id, prompt, seed }) => ({
        name: `${unmarked(prompt)} · seed ${seed}`.slice(0, LABEL_MAX),
        value: id,
      }));
  },
} satisfies SlashCommand;

const deeds = ['publish', 'unpublish', 'curate', 'collection'] as const;
type Deed = (typeof deeds)[number];

/** @throws {UserError} `command_old` */
function deedOf(subcommand: string): Deed {
  const deed = deeds.find((one) => one === subcommand);
  if (!deed) throw new UserError('command_old', {});
  return deed;
}

/** @throws {UserError} `gone` when there is no such picture, `picture_unclear` when there are several */
async function meant(origin: Origin, text: string | null, deed: Deed): Promise<Picture> {
  if (text === null) {
    const latest = (await recentPictures(origin.actor.id, RECENT)).find((picture) =>
      isCandidate(picture, deed),
    );
    if (!latest) throw new UserError('gone', {});
    return latest;
  }
  const id = text.trim();
  const imageId = PAGE_LINK.exec(id)?.[1];
  const paged = imageId === undefined ? null : await pictureOfImage(imageId);
  // What is in the gallery everybody sees: those who look after it may name it wherever they are.
  if (paged?.image?.visibility === 'published') return paged;
  if (z.uuid().safeParse(id).success) {
    const decides = deed === 'curate' || deed === 'collection';
    const picture = decides ? await getPicture(id) : null;
    return picture?.image?.visibility === 'published' ? picture : visiblePicture(origin, id);
  }
  const messageId = MESSAGE_LINK.exec(id)?.[1] ?? (/^\d{17,20}$/.test(id) ? id : null);
  if (!messageId) throw new UserError('gone', {});
  const { batchId, generationId } = await shownBy(messageId);
  if (generationId) return visiblePicture(origin, generationId);
  const pictures = (await picturesOf(batchId)).filter((picture) => isCandidate(picture, deed));
  const [only] = pictures;
  if (!only) throw new UserError('gone', {});
  if (pictures.length > 1) throw new UserError('picture_unclear', { pictures: pictures.length });
  return visiblePicture(origin, only.id);
}

function isCandidate({ image }: Picture, deed: Deed): boolean {
  if (!image || !mayBeShown(image, image.review)) return false;
  const isThere = image.visibility === 'published';
  if (deed === 'publish') return !isThere;
  return isThere || (deed === 'unpublish' && image.publishAskedBy !== null);
}
