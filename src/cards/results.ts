/** What came of a face test or sweep, in its thread: its pictures page by page, and at the end the manifest. */
import { type APIComponentInContainer, ComponentType } from 'discord-api-types/v10';
import { hashOf } from '#src/canonical.ts';
import { PICTURES_PAGE } from '#src/deliveries.ts';
import type { Batch } from '#src/doors/db.ts';
import { countPictures, picturesOf } from '#src/generations/pictures.ts';
import { sayIn } from '#src/say.ts';
import { duration, plain } from '#src/text.ts';
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
  const say = sayIn(batch.locale);
  const total = await countPictures(batch.id);
  const pageCount = Math.max(1, Math.ceil(total / PICTURES_PAGE));
  const page = Math.min(Math.max(0, wantedPage), pageCount - 1);
  const pictures = await picturesOf(batch.id, { skip: page * PICTURES_PAGE, take: PICTURES_PAGE });
  const files = pictureFiles(say, pictures);
  const hidden = pictures
    .filter((picture) => stateOf(picture) !== 'done')
    .map((picture) => `-# ${numberOf(picture)}: ${hiddenWords(say, picture)}`);
  const from = (n: number) => n * PICTURES_PAGE + 1;
  const to = (n: number) => Math.min(total, (n + 1) * PICTURES_PAGE);
  const contents = Array.from({ length: pageCount }, (_, n) =>
    say('pictures {first}–{last}', { first: from(n), last: to(n) }),
  );
  return card(
    say,
    accentOf(batch, pictures),
    [
      text(
        say('**Pictures {first}–{last}** of {total, number}', { first: from(page), last: to(page), total }),
        ...hidden,
        ...offerLines(batch, pictures),
      ),
      gallery(files),
      select(
        'pictures.pick',
        batch.id,
        say('Pick a picture…'),
        pictures.map((picture) => choiceOf(say, picture)),
      ),
      pages(say, 'pictures.page', batch.id, 'page', page, contents),
    ],
    { files },
  );
}

/** What the batch was and what came of it, as files. */
export async function manifestCard(batch: Batch): Promise<Card> {
  const say = sayIn(batch.locale);
  const pictures = await picturesOf(batch.id);
  const { csv, json, summary } = buildManifest(batch, pictures);
  const { done, reused, notShown, failed, cancelled } = summary;
  const file = (extension: string, bytes: Buffer): CardFile => ({
    name: `manifest-${hashOf(bytes.toString('base64')).slice(0, 8)}.${extension}`,
    bytes: async () => bytes,
  });
  const files = [file('csv', csv), file('json', json)];
  const stages = Object.entries(summary.stageMs)
    .filter(([, ms]) => ms > 0)
    .map(([stage, ms]) => `${plain(stage, 40)} ${duration(ms)}`);
  return card(
    say,
    accentOf(batch, pictures),
    [
      text(
        say('**Manifest of {title}**', { title: plain(batch.title, TITLE_SHOWN) }),
        [
          say('{done, number} of {total, plural, one {# picture} other {# pictures}} done', {
            done,
            total: summary.pictures,
          }),
          ...some(reused, say('{count, number} reused', { count: reused })),
          ...some(notShown, say('{count, number} not shown', { count: notShown })),
          ...some(failed, say('{count, number} failed', { count: failed })),
          ...some(cancelled, say('{count, number} cancelled', { count: cancelled })),
        ].join(' · '),
        summary.likeness !== null &&
          say('Mean likeness {likeness}, by the recogniser that also guides the drawing', {
            likeness: summary.likeness.toFixed(3),
          }),
        stages.length > 0 && say('Mean times: {stages}', { stages: stages.join(', ') }),
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
