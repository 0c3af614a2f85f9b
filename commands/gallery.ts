/** `/gallery` puts a picture on the public gallery page, or takes it back. */
import { SlashCommandBuilder } from 'discord.js';
import { z } from 'zod';
import { UserError } from '#src/errors.ts';
import { mayBeShown } from '#src/generations/images.ts';
import {
  type Picture,
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
import { publish } from './pictures.ts';

const LABEL_MAX = 100;
const RECENT = 50;
const MESSAGE_LINK = /\/channels\/(?:@me|\d+)\/\d+\/(\d+)$/;

const pictureOption = 'A message link or a picture’s id. Your latest picture when left out.';

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
    ),

  async run({ options }, origin) {
    const isPublish = options.getSubcommand() === 'publish';
    const picture = await meant(origin, options.getString('picture'), isPublish);
    const { image, prompt } = picture;
    if (!image) throw new UserError('gone', {});
    if (isPublish) return `${quote(prompt)}: ${await publish(origin, picture)}`;
    const { actor, say } = origin;
    await unpublishImage(actor, image.id);
    return say('{prompt} is off the gallery page.', { prompt: quote(prompt) });
  },

  async autocomplete({ options, user }) {
    const typed = options.getFocused().toLowerCase();
    const publish = options.getSubcommand() === 'publish';
    return (await recentPictures(user.id, RECENT))
      .filter((picture) => isCandidate(picture, publish) && picture.prompt.toLowerCase().includes(typed))
      .map(({ id, prompt, seed }) => ({
        name: `${unmarked(prompt)} · seed ${seed}`.slice(0, LABEL_MAX),
        value: id,
      }));
  },
} satisfies SlashCommand;

/** @throws {UserError} `gone` when there is no such picture, `picture_unclear` when there are several */
async function meant(origin: Origin, text: string | null, publish: boolean): Promise<Picture> {
  if (text === null) {
    const latest = (await recentPictures(origin.actor.id, RECENT)).find((picture) =>
      isCandidate(picture, publish),
    );
    if (!latest) throw new UserError('gone', {});
    return latest;
  }
  const id = text.trim();
  if (z.uuid().safeParse(id).success) return visiblePicture(origin, id);
  const messageId = MESSAGE_LINK.exec(id)?.[1] ?? (/^\d{17,20}$/.test(id) ? id : null);
  if (!messageId) throw new UserError('gone', {});
  const { batchId, generationId } = await shownBy(messageId);
  if (generationId) return visiblePicture(origin, generationId);
  const pictures = (await picturesOf(batchId)).filter((picture) => isCandidate(picture, publish));
  const [only] = pictures;
  if (!only) throw new UserError('gone', {});
  if (pictures.length > 1) throw new UserError('picture_unclear', { pictures: pictures.length });
  return visiblePicture(origin, only.id);
}

function isCandidate({ image }: Picture, publish: boolean): boolean {
  if (!image || !mayBeShown(image, image.review)) return false;
  const isThere = image.visibility === 'published';
  return publish ? !isThere : isThere || image.publishAskedBy !== null;
}
