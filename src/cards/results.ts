/** What came of a face test or sweep, in its thread: its pictures page by page, and at the end the manifest. */
import { type APIComponentInContainer, ComponentType } from 'discord-api-types/v10';
import { hashOf } from '#src/canonical.ts';
import { PICTURES_PAGE } from '#src/deliveries.ts';
import type { Batch } from '#src/doors/db.ts';
import { countPictures, picturesOf } from '#src/generations/pictures.ts';
import { counted, duration, plain } from '#src/text.ts';
import { accentOf, choiceOf, hiddenWords, some, TITLE_SHOWN } from './lines.ts';
import { buildManifest } from './manifest.ts';
import {
  type Card,
  type CardFile,
  card,
  gallery,
  numberOf,
  pages,
  pictureFiles,
  select,
  stateOf,
  text,
} from './parts.ts';
import { offerLines } from './publishing.ts';

/** The pictures, ten a page. @param wantedPage from 0 */
export async function picturesCard(batch: Batch, wantedPage: number): Promise<Card> {
  const total = await countPictures(batch.id);
  const pageCount = Math.max(1, Math.ceil(total / PICTURES_PAGE));
  const page = Math.min(Math.max(0, wantedPage), pageCount - 1);
  const pictures = await picturesOf(batch.id, { skip: page * PICTURES_PAGE, take: PICTURES_PAGE });
  const files = pictureFiles(pictures);
  const hidden = pictures
    .filter((picture) => stateOf(picture) !== 'done')
    .map((picture) => `-# ${numberOf(picture)}: ${hiddenWords(picture)}`);
  const from = (n: number) => n * PICTURES_PAGE + 1;
  const to = (n: number) => Math.min(total, (n + 1) * PICTURES_PAGE);
  const contents = Array.from({ length: pageCount }, (_, n) => `pictures ${from(n)}–${to(n)}`);
  return card(
    accentOf(batch, pictures),
    [
      text(`**Pictures ${from(page)}–${to(page)}** of ${total}`, ...hidden, ...offerLines(batch, pictures)),
      gallery(files),
      select('pictures.pick', batch.id, 'Pick a picture…', pictures.map(choiceOf)),
      pages('pictures.page', batch.id, 'Page', page, contents),
    ],
    { files },
  );
}

/** What the batch was and what came of it, as files. */
export async function manifestCard(batch: Batch): Promise<Card> {
  const pictures = await picturesOf(batch.id);
  const { csv, json, summary } = buildManifest(batch, pictures);
  const file = (extension: string, bytes: Buffer): CardFile => ({
    name: `manifest-${hashOf(bytes.toString('base64')).slice(0, 8)}.${extension}`,
    bytes: async () => bytes,
  });
  const files = [file('csv', csv), file('json', json)];
  const stages = Object.entries(summary.stageMs)
    .filter(([, ms]) => ms > 0)
    .map(([stage, ms]) => `${plain(stage, 40)} ${duration(ms)}`);
  return card(
    accentOf(batch, pictures),
    [
      text(
        `**Manifest of ${plain(batch.title, TITLE_SHOWN)}**`,
        [
          `${summary.done} of ${counted(summary.pictures, 'picture')} done`,
          ...some(summary.reused, 'reused'),
          ...some(summary.notShown, 'not shown'),
          ...some(summary.failed, 'failed'),
          ...some(summary.cancelled, 'cancelled'),
        ].join(' · '),
        summary.likeness !== null &&
          `Mean likeness ${summary.likeness.toFixed(3)}, by the recogniser that also guides the drawing`,
        stages.length > 0 && `Mean times: ${stages.join(', ')}`,
      ),
      ...files.map(
        ({ name }): APIComponentInContainer => ({
          type: ComponentType.File,
          file: { url: `attachment://${name}` },
        }),
      ),
    ],
    { files },
  );
}
