/** The entries of a message's Apps menu. They find what the message shows in Postgres, so they work on old messages too. */
import { ApplicationCommandType, ContextMenuCommandBuilder } from 'discord.js';
import { detailsOf } from '#src/cards/details.ts';
import { PICTURES_PAGE } from '#src/deliveries.ts';
import { UserError } from '#src/errors.ts';
import { mayBeShown } from '#src/generations/images.ts';
import {
  countPictures,
  type Picture,
  shownBy,
  visiblePicture,
  visiblePictures,
} from '#src/generations/pictures.ts';
import type { Origin } from '#src/people/people.ts';
import { drawAnew } from './alike.ts';
import type { Answer, MessageCommand } from './command.ts';
import { end } from './ending.ts';
import { Context, Install } from './options.ts';
import { pickCard } from './picture-card.ts';
import { report } from './pictures.ts';
import { makePlan, sourceOf } from './plan.ts';

function entry(name: string): ContextMenuCommandBuilder {
  return new ContextMenuCommandBuilder()
    .setName(name)
    .setType(ApplicationCommandType.Message)
    .setContexts(Context.Guild, Context.BotDM, Context.PrivateChannel)
    .setIntegrationTypes(Install.GuildInstall, Install.UserInstall);
}

export const detailsEntry: MessageCommand = {
  data: entry('Details'),
  async run({ targetId }, origin) {
    return forOne(
      origin,
      targetId,
      () => true,
      (picture) => detailsOf(origin.say, origin.actor.id, picture),
    );
  },
};

export const reportEntry: MessageCommand = {
  data: entry('Report'),
  async run({ targetId }, origin) {
    return forOne(origin, targetId, isShown, (picture) => report(origin, picture));
  },
};

/** Repeats `/imagine` with new seeds; shows a new plan of a sweep or face test, in which pictures drawn before are free. */
export const rerunEntry: MessageCommand = {
  data: entry('Rerun'),
  async run(interaction, origin) {
    const { batchId, generationId } = await shownBy(interaction.targetId);
    const [first, ...others] = generationId
      ? [await visiblePicture(origin, generationId)]
      : await visiblePictures(origin, batchId);
    if (!first) throw new UserError('gone', {});
    const { kind, config } = first.batch;
    if (kind !== 'imagine' && !generationId) {
      const source = sourceOf(askedOf(config));
      if (!source) throw new UserError('gone', {});
      return makePlan(interaction, origin, kind, source);
    }
    return drawAnew(interaction, origin, [first, ...others]);
  },
};

export const cancelEntry: MessageCommand = {
  data: entry('Cancel'),
  async run({ targetId }, origin) {
    const { batchId } = await shownBy(targetId);
    return end(origin, batchId, 'cancelled');
  },
};

/** Acts on the message's only picture, or asks which one of several. */
async function forOne(
  origin: Origin,
  messageId: string,
  isMeant: (picture: Picture) => boolean,
  act: (picture: Picture) => Answer | Promise<Answer>,
): Promise<Answer> {
  const { delivery, batchId, generationId } = await shownBy(messageId);
  if (generationId) return act(await visiblePicture(origin, generationId));
  const page =
    delivery.kind === 'pictures' ? { skip: delivery.page * PICTURES_PAGE, take: PICTURES_PAGE } : undefined;
  const pictures = (await visiblePictures(origin, batchId, page)).filter(isMeant);
  const [only] = pictures;
  if (!only) throw new UserError('gone', {});
  if (pictures.length === 1) return act(only);
  const { say } = origin;
  const count = await countPictures(batchId);
  const question = say('{count, plural, one {# picture} other {# pictures}}. Which one?', { count });
  return pickCard(say, batchId, pictures, question);
}

function isShown({ image }: Picture): boolean {
  return image !== null && mayBeShown(image, image.review);
}

/** A batch's config is `{ asked, … }`. */
function askedOf(config: unknown): unknown {
  return typeof config === 'object' && config !== null && 'asked' in config ? config.asked : null;
}
