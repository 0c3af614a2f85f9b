/** `/faces`: reference photos of people who said yes. Photos are used only after the consent button was pressed. */
import { ActionRowBuilder, ButtonBuilder, ButtonStyle, SlashCommandBuilder } from 'discord.js';
import sharp from 'sharp';
import { customId } from '#src/custom-ids.ts';
import type { FacePhoto } from '#src/doors/db.ts';
import { explain, UserError } from '#src/errors.ts';
import {
  addPhotos,
  CONSENT_TEXT,
  folderPhotos,
  forgetRejected,
  getFolder,
  giveConsent,
  listFolders,
  refuseConsent,
  removeFolder,
  waitForChecks,
} from '#src/faces.ts';
import { folderName } from '#src/folder-name.ts';
import type { Say } from '#src/say.ts';
import { counted, quote } from '#src/text.ts';
import { takeTurns } from '#src/turns.ts';
import type { Upload } from '#src/uploads/fetch.ts';
import { type Photo, takePhoto } from '#src/uploads/photos.ts';
import type { Answer, SlashCommand } from './command.ts';
import { Context, Install, suggestFolders } from './options.ts';

const PHOTO_OPTIONS = ['photo1', 'photo2', 'photo3', 'photo4', 'photo5'] as const;
/** How long to wait until a worker has checked the photos; a busy one does so between two pictures. */
const CHECKED_WITHIN_MS = 90_000;
/** Shown photos are small: ten of them must fit one message. px */
const SHOWN_SIDE = 512;

/** Threads of this process do it, which others wait for as well. */
const shrinking = takeTurns({ inAll: 20, each: 2, who: 'What shrinks photos', what: 'face folders' });

export default {
  data: new SlashCommandBuilder()
    .setName('faces')
    .setDescription('Your face folders: photos of people to draw.')
    .setContexts(Context.Guild, Context.BotDM, Context.PrivateChannel)
    .setIntegrationTypes(Install.GuildInstall, Install.UserInstall)
    .addSubcommand((sub) => {
      sub
        .setName('add')
        .setDescription('Add photos of one person, each with one face.')
        .addStringOption((o) =>
          o
            .setName('name')
            .setDescription('Of the folder, new or old.')
            .setRequired(true)
            .setAutocomplete(true),
        );
      for (const [i, name] of PHOTO_OPTIONS.entries()) {
        sub.addAttachmentOption((o) =>
          o
            .setName(name)
            .setDescription('JPEG, PNG, WebP or AVIF.')
            .setRequired(i === 0),
        );
      }
      return sub;
    })
    .addSubcommand((sub) => sub.setName('list').setDescription('List your face folders.'))
    .addSubcommand((sub) =>
      sub
        .setName('show')
        .setDescription('Show the photos of a folder, to you alone.')
        .addStringOption((o) =>
          o.setName('name').setDescription('Which one.').setRequired(true).setAutocomplete(true),
        ),
    )
    .addSubcommand((sub) =>
      sub
        .setName('remove')
        .setDescription('Delete a folder with all its photos, for good.')
        .addStringOption((o) =>
          o.setName('name').setDescription('Which one.').setRequired(true).setAutocomplete(true),
        ),
    ),

  async run({ options }, { actor, say }) {
    const subcommand = options.getSubcommand();
    if (subcommand === 'list') return list(actor.id);
    const name = options.getString('name', true).trim();
    if (subcommand === 'show') return show(actor.id, name);
    if (subcommand === 'remove') {
      await removeFolder(actor, name);
      return `\`${name}\` is gone, with all its photos.`;
    }

    folderName(name);
    const uploads = PHOTO_OPTIONS.flatMap((option) => options.getAttachment(option) ?? []);
    const photos = await readAll(say, actor.id, uploads);
    const { folder, ids } = await addPhotos(actor, name, photos);
    const checked = await waitForChecks(ids, CHECKED_WITHIN_MS);
    await forgetRejected(ids);
    const files = new Map(ids.map((id, i) => [id, uploads[i]?.name ?? 'photo']));
    return consentCard(folder.id, name, checked, files);
  },

  async autocomplete(interaction) {
    return suggestFolders(interaction.user.id, interaction.options.getFocused());
  },

  press: {
    'consent.give': {
      answers: 'update',
      async run({ id, origin: { actor } }) {
        const { folder, photos } = await giveConsent(actor, id);
        return `Thank you: ${counted(photos, 'photo')} added to \`${folder.name}\`. Draw with \`/imagine face:${folder.name}\`.`;
      },
    },
    'consent.cancel': {
      answers: 'update',
      async run({ id, origin: { actor } }) {
        await refuseConsent(actor, id);
        return 'The photos are deleted; nothing of them was kept.';
      },
    },
  },
} satisfies SlashCommand;

/** Reads all of them, or tells every fault at once. @throws {UserError} `plan_faults` */
async function readAll(say: Say, personId: string, uploads: readonly Upload[]): Promise<Photo[]> {
  const read = await Promise.allSettled(uploads.map((upload) => takePhoto(personId, upload)));
  const faults = read.flatMap((result) => (result.status === 'rejected' ? explain(say, result.reason) : []));
  if (faults.length) throw new UserError('plan_faults', { faults: [...new Set(faults)] });
  return read.flatMap((result) => (result.status === 'fulfilled' ? result.value : []));
}

/** What the worker saw, and the question of consent when any photo is good. */
function consentCard(
  folderId: string,
  name: string,
  photos: readonly FacePhoto[],
  files: ReadonlyMap<string, string>,
): Answer {
  const good = photos.filter(({ state }) => state === 'checked').length;
  const refused = photos.flatMap(({ id, state, reason }) => {
    if (state !== 'rejected') return [];
    const file = quote(files.get(id) ?? 'photo');
    return reason === 'face_none' ? `I found no face in ${file}.` : `I found more than one face in ${file}.`;
  });
  if (!good)
    return [...refused, 'Use photos with one face, seen from the front. Nothing was kept.'].join('\n');

  const buttons = new ActionRowBuilder<ButtonBuilder>().addComponents(
    new ButtonBuilder()
      .setCustomId(customId('consent.give', folderId))
      .setLabel('I consent')
      .setStyle(ButtonStyle.Success),
    new ButtonBuilder()
      .setCustomId(customId('consent.cancel', folderId))
      .setLabel('Cancel')
      .setStyle(ButtonStyle.Secondary),
  );
  const content = [
    ...refused,
    `${counted(good, 'photo')} for \`${name}\`, each with one face. Before anything is drawn with them:`,
    ...CONSENT_TEXT.split('\n').map((line) => `> ${line}`),
    'Without an answer they are deleted within an hour.',
  ].join('\n');
  return { content, components: [buttons] };
}

async function list(userId: string): Promise<Answer> {
  const folders = await listFolders(userId);
  if (!folders.length) return 'You have no face folder. Make one with `/faces add`.';
  return folders
    .map(({ name, photos }) => `- \`${name}\`: ${photos ? counted(photos, 'photo') : 'waits for consent'}`)
    .join('\n');
}

async function show(userId: string, name: string): Promise<Answer> {
  const folder = await getFolder(userId, name);
  const photos = await folderPhotos(folder.id);
  if (!photos.length) throw new UserError('folder_empty', { name });
  const files = await shrinking(userId, async () => {
    const shown = [];
    for (const [i, png] of photos.entries())
      shown.push({
        attachment: await sharp(png)
          .resize({ width: SHOWN_SIDE, height: SHOWN_SIDE, fit: 'inside', withoutEnlargement: true })
          .webp()
          .toBuffer(),
        name: `${name}-${i + 1}.webp`,
        description: `Reference photo ${i + 1} of ${photos.length} in the face folder ${name}`,
      });
    return shown;
  });
  return { content: `\`${name}\`: ${counted(photos.length, 'photo')}, seen by you alone.`, files };
}
