/** One picture, and what its buttons do. A press is answered to who pressed; what changed is shown by the courier. */
import {
  ActionRowBuilder,
  type BaseInteraction,
  ButtonBuilder,
  ButtonStyle,
  StringSelectMenuBuilder,
} from 'discord.js';
import { openBatch } from '#src/batches/batches.ts';
import { type Cell, randomSeed } from '#src/batches/cells.ts';
import { type Action, customId } from '#src/custom-ids.ts';
import { turnPage } from '#src/deliveries.ts';
import { UserError } from '#src/errors.ts';
import { publishImage, unpublishImage } from '#src/gallery.ts';
import { deleteImage, mayBeShown } from '#src/generations/images.ts';
import { faceFound, getPicture, type Picture, pictureBytes } from '#src/generations/pictures.ts';
import { reportImage } from '#src/moderation/reviews.ts';
import { parameters, type ResolvedParameters, showValue } from '#src/parameters/definitions.ts';
import { resolveParameters } from '#src/parameters/values.ts';
import type { Origin } from '#src/people/people.ts';
import { mustSee } from '#src/people/rights.ts';
import { block, counted, quote, unmarked } from '#src/text.ts';
import type { Answer, Presses } from './command.ts';
import { accepted } from './imagine.ts';
import { mustPost } from './permissions.ts';

const ALT_MAX = 1_024;
const SELECT_MAX = 25;
const LABEL_MAX = 100;
const PROMPT_SHOWN = 700;

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
    run: async ({ id, origin }) => details(origin, await visiblePicture(origin, id)),
  },
  'picture.delete': {
    answers: 'reply',
    async run({ id, origin: { actor } }) {
      await deleteImage(actor, id);
      return 'The picture is deleted.';
    },
  },
  'picture.publish': {
    answers: 'reply',
    async run({ id, origin }) {
      const { image } = await visiblePicture(origin, id);
      if (!image) throw new UserError('gone', {});
      await publishImage(origin.actor, image.id);
      return 'The picture is in the gallery now. Take it back with its button or `/gallery unpublish`.';
    },
  },
  'picture.unpublish': {
    answers: 'reply',
    async run({ id, origin }) {
      const { image } = await visiblePicture(origin, id);
      if (!image) throw new UserError('gone', {});
      await unpublishImage(origin.actor, image.id);
      return 'The picture is no longer in the gallery.';
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

/** @throws {UserError} `gone`: not there, or not to be seen by them */
export async function visiblePicture(origin: Origin, generationId: string): Promise<Picture> {
  const picture = await getPicture(generationId);
  await mustSee(origin, picture.batch);
  return picture;
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
    content: `Picture ${index + 1} · ${labelOf(picture)} · seed ${seed}`,
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
        label: `${picture.index + 1}: ${labelOf(picture)}`.slice(0, LABEL_MAX),
        description: `seed ${picture.seed} · ${picture.state}`,
        value: picture.id,
      })),
    );
  return { content, components: [new ActionRowBuilder<StringSelectMenuBuilder>().addComponents(select)] };
}

/** Its place in the batch's axes, or else what it shows. */
function labelOf({ coordinates, prompt }: Picture): string {
  const axes = Object.entries(coordinates as Record<string, string>).map(
    ([axis, label]) => `${axis} ${label}`,
  );
  return unmarked(axes.join(', ') || prompt);
}

/** What differs from a picture, of which there are several with `index` from 0. */
type Change = (
  picture: Picture,
  index: number,
) => { readonly seed: number; readonly parameters?: ResolvedParameters };

/**
 * Draws pictures like these, changed: for the tokens, in the tier and under the production mode of who presses.
 *
 * @throws {UserError} `face_not_yours`, `gone`, and as `openBatch`
 */
export async function drawAlike(
  interaction: BaseInteraction,
  origin: Origin,
  generationIds: readonly string[],
  change: Change,
): Promise<Answer> {
  mustPost(interaction, 'imagine', origin.botInside);
  const cells = await Promise.all(
    generationIds.map(async (id, index): Promise<Cell> => {
      const picture = await visiblePicture(origin, id);
      const { prompt, faceFolder, ideaId } = picture;
      // Consent is for the folder's owner alone; and without the folder it would be somebody else's face.
      if (faceFolder && faceFolder.ownerId !== origin.actor.id) throw new UserError('face_not_yours', {});
      if (!faceFolder && wasWithFace(picture)) throw new UserError('gone', {});
      const { seed, parameters: changed = {} } = change(picture, index);
      const { tier: _, production_mode: __, ...stored } = picture.parameters as ResolvedParameters;
      const values = await resolveParameters(origin.actor, { ...stored, ...changed, seed });
      return {
        prompt,
        parameters: values,
        seed,
        faceFolderId: faceFolder?.id ?? null,
        ideaId,
        coordinates: {},
      };
    }),
  );
  const { tier, production_mode: production } = cells[0]?.parameters ?? {};
  const opened = await openBatch(origin, {
    kind: 'imagine',
    title: counted(cells.length, 'picture'),
    asked: { again: [...generationIds] },
    cells,
    tier: String(tier),
    production: production === true,
  });
  return accepted(opened, cells.length);
}

/** How far `vary` moves the guidance, at least and at most: a factor of it, or of its inverse. */
const VARY_BY = { min: 1.1, max: 1.4 };

/**
 * The same seed, so the same noise and composition; another guidance scale, so other details. Nothing is hidden: the
 * new value stands among the new picture's details.
 */
export function vary(
  picture: Pick<Picture, 'seed' | 'parameters'>,
  random = Math.random,
): ReturnType<Change> {
  const bounds = parameters.get('guidance_scale');
  if (bounds?.type !== 'number') throw new Error('config/parameters.yaml has no number guidance_scale');
  const { min, max } = bounds;
  const now = Number((picture.parameters as ResolvedParameters).guidance_scale ?? bounds.default);
  const factor = VARY_BY.min + random() * (VARY_BY.max - VARY_BY.min);
  const ways = [now * factor, now / factor].filter((value) => value >= min && value <= max);
  const chosen = ways[Math.floor(random() * ways.length)] ?? now;
  return { seed: Number(picture.seed), parameters: { guidance_scale: Number(chosen.toFixed(2)) } };
}

/** A picture that was drawn with a face has a likeness, even when the folder is gone. */
function wasWithFace({ image }: Picture): boolean {
  return image?.likeness !== null && image?.likeness !== undefined;
}

/** Everything that made a picture, and what it took. The face folder's name is its owner's alone. */
export function details({ actor }: Origin, picture: Picture): Answer {
  const { prompt, seed, width, height, image, batch, faceFolder, timings, reused, tier, price, state } =
    picture;
  const values = Object.entries(picture.parameters as ResolvedParameters)
    .filter(([name]) => name !== 'seed')
    .map(([name, value]) => `${name} ${quote(showValue(name, value))}`);
  const took = Object.entries(timings as Record<string, number>).map(
    ([stage, ms]) => `${stage} ${Math.round(ms).toLocaleString('en')} ms`,
  );
  const face = faceFolder && (faceFolder.ownerId === actor.id ? `\`${faceFolder.name}\`` : 'a face folder');
  const shown = image && !image.deletedAt && mayBeShown(image, image.review);
  return [
    block(prompt.length > PROMPT_SHOWN ? `${prompt.slice(0, PROMPT_SHOWN)}…` : prompt),
    `Seed ${seed} · ${width}×${height} · ${tier}${batch.production ? ' · production' : ''} · ${state}${face ? ` · face: ${face}` : ''}`,
    values.join(' · '),
    reused ? 'Drawn before under the same settings: free.' : `${counted(price, 'token')}`,
    ...(took.length ? [`Took ${took.join(', ')}`] : []),
    ...(image?.likeness != null ? [`Likeness ${image.likeness.toFixed(3)}`] : []),
    ...(faceFound(picture) === false ? ['No face was found in it, so the face folder is not in it.'] : []),
    ...(image && !shown ? ['Not shown: it is deleted, or held for review.'] : []),
    ...(shown ? [`sha256 \`${image.sha256}\``] : []),
    ...(picture.bundleHash ? [`Bundle ${quote(picture.bundle)} \`${picture.bundleHash.slice(0, 16)}\``] : []),
    `Id \`${picture.id}\``,
  ].join('\n');
}
