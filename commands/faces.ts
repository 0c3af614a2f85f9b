/** `/faces`: reference photos of people who said yes. Photos are used only after the consent button was pressed. */
import { ActionRowBuilder, ButtonBuilder, ButtonStyle, SlashCommandBuilder } from 'discord.js';
import sharp from 'sharp';
import { customId } from '#src/custom-ids.ts';
import type { FacePhoto } from '#src/doors/db.ts';
import { explain, UserError } from '#src/errors.ts';
import {
  addPhotos,
  consentText,
  folderPhotos,
  forgetRejected,
  getFolder,
  giveConsent,
  listFolders,
  refuseConsent,
  waitForChecks,
} from '#src/faces.ts';
import { newFolderName } from '#src/folder-name.ts';
import { message, type Say, sayIn } from '#src/say.ts';
import { quote } from '#src/text.ts';
import { takeTurns } from '#src/turns.ts';
import type { Upload } from '#src/uploads/fetch.ts';
import { type Photo, takePhoto } from '#src/uploads/photos.ts';
import { removeFolder } from '#src/withdrawal.ts';
import type { Answer, SlashCommand } from './command.ts';
import { Context, Install, photosOf, suggestFolders } from './options.ts';
import { sayTo } from './origin.ts';

const PHOTO_OPTIONS = ['photo1', 'photo2', 'photo3', 'photo4', 'photo5'] as const;
/** How long to wait until a worker has checked the photos; a busy one does so between two pictures. */
const CHECKED_WITHIN_MS = 90_000;
/** Shown photos are small: ten of them must fit one message. px */
const SHOWN_SIDE = 512;

/** Threads of this process do it, which others wait for as well. */
const shrinking = takeTurns({
  inAll: 20,
  each: 2,
  who: message('What shrinks photos'),
  what: message('face folders'),
});

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
    if (subcommand === 'list') return list(say, actor.id);
    const name = options.getString('name', true).trim();
    if (subcommand === 'show') return show(say, actor.id, name);
    if (subcommand === 'remove') {
      const count = await removeFolder(actor, name);
      const gone = say('`{name}` is gone, with all its photos.', { name });
      if (!count) return gone;
      return `${gone} ${say('{count, plural, one {# picture that was} other {# pictures that were}} to be drawn with it will not be; the tokens are back.', { count })}`;
    }

    newFolderName(name);
    const uploads = PHOTO_OPTIONS.flatMap((option) => options.getAttachment(option) ?? []);
    const photos = await readAll(say, actor.id, uploads);
    const { folder, ids } = await addPhotos(actor, name, photos);
    const checked = await waitForChecks(ids, CHECKED_WITHIN_MS);
    await forgetRejected(ids);
    const files = new Map(ids.map((id, i) => [id, uploads[i]?.name ?? '']));
    return consentCard(say, folder.id, name, checked, files);
  },

  async autocomplete(interaction) {
    return suggestFolders(sayTo(interaction), interaction.user.id, interaction.options.getFocused());
  },

  press: {
    'consent.give': {
      answers: 'update',
      async run({ id, argument, origin: { actor, say } }) {
        // As they read it: Discord may have been set to another language since.
        const read = consentText(sayIn(argument));
        const { folder, photos } = await giveConsent(actor, id, read);
        return say(
          'Thank you: {photos, plural, one {# photo} other {# photos}} added to `{name}`. Draw with `/imagine face:{name}`.',
          { photos, name: folder.name },
        );
      },
    },
    'consent.cancel': {
      answers: 'update',
      async run({ id, origin: { actor, say } }) {
        await refuseConsent(actor, id);
        return say('The photos are deleted; nothing of them was kept.');
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
  say: Say,
  folderId: string,
  name: string,
  photos: readonly FacePhoto[],
  files: ReadonlyMap<string, string>,
): Answer {
  const good = photos.filter(({ state }) => state === 'checked').length;
  const refused = photos.flatMap(({ id, state, reason }) => {
    if (state !== 'rejected') return [];
    const file = quote(files.get(id) ?? '');
    return reason === 'face_none'
      ? say('I found no face in {file}.', { file })
      : say('I found more than one face in {file}.', { file });
  });
  if (!good)
    return [...refused, say('Use photos with one face, seen from the front. Nothing was kept.')].join('\n');

  const buttons = new ActionRowBuilder<ButtonBuilder>().addComponents(
    new ButtonBuilder()
      .setCustomId(customId('consent.give', folderId, say.language))
      .setLabel(say('I consent'))
      .setStyle(ButtonStyle.Success),
    new ButtonBuilder()
      .setCustomId(customId('consent.cancel', folderId))
      .setLabel(say('Cancel'))
      .setStyle(ButtonStyle.Secondary),
  );
  const content = [
    ...refused,
    say(
      '{photos, plural, one {# photo} other {# photos}} for `{name}`, each with one face. Before anything is drawn with them:',
      { photos: good, name },
    ),
    ...consentText(say)
      .split('\n')
      .map((line) => `> ${line}`),
    say('Without an answer they are deleted within an hour.'),
  ].join('\n');
  return { content, components: [buttons] };
}

async function list(say: Say, userId: string): Promise<Answer> {
  const folders = await listFolders(userId);
  if (!folders.length) return say('You have no face folder. Make one with `/faces add`.');
  return folders.map(({ name, photos }) => `- \`${name}\`: ${photosOf(say, photos)}`).join('\n');
}

async function show(say: Say, userId: string, name: string): Promise<Answer> {
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
        description: say('Reference photo {number} of {photos} in the face folder {name}', {
          number: i + 1,
          photos: photos.length,
          name,
        }),
      });
    return shown;
  });
  const content = say('`{name}`: {photos, plural, one {# photo} other {# photos}}, seen by you alone.', {
    name,
    photos: photos.length,
  });
  return { content, files };
}
