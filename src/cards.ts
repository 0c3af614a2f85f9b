/**
 * What the courier's messages look like: each kind of delivery, drawn from rows. Components v2.
 *
 * People's words are quoted, never markdown and never mentions. A picture is shown only where `mayBeShown` says so; but for
 * moderators, blurred.
 */
import {
  type APIActionRowComponent,
  type APIButtonComponentWithCustomId,
  type APIComponentInContainer,
  type APIMessageTopLevelComponent,
  ButtonStyle,
  ComponentType,
} from 'discord-api-types/v10';
import sharp from 'sharp';
import { waitFor } from './batches.ts';
import { drawContactSheet, type SheetCell } from './contact-sheet.ts';
import { type Action, customId } from './custom-ids.ts';
import { type Batch, type Delivery, db } from './db.ts';
import { quote, relative } from './errors.ts';
import { coordinatesOf, toCsv, toJson } from './manifest.ts';
import { countPictures, type Picture, picturesOf } from './messages.ts';
import { mayBeShown } from './moderation.ts';
import { getFile } from './storage.ts';
import { sheetAxes } from './sweeps.ts';

export interface CardFile {
  readonly name: string;
  readonly data: Buffer;
  /** for those who do not see it, at most 1,024 characters */
  readonly description?: string;
}

export interface Card {
  readonly components: APIMessageTopLevelComponent[];
  readonly files: readonly CardFile[];
  /** ids of people who are told; nobody else ever is */
  readonly mentions?: readonly string[];
  /** nothing that it shows will change any more */
  readonly final: boolean;
}

/** Pictures of one page of a gallery message; Discord takes ten. */
export const PAGE = 10;
const PAGES_MAX = 25;
const FILE_MAX = 9 * 1024 * 1024;
/** px, of a blurred picture */
const BLUR_SIGMA = 28;

const colours = {
  waiting: 0x8b8f98,
  going: 0x3b82c4,
  done: 0x3f9d62,
  held: 0xd29a2f,
  ended: 0x6b7280,
  bad: 0xc0453f,
};

/** null: its subject is gone, and the delivery can be closed. */
export async function renderCard(delivery: Delivery): Promise<Card | null> {
  switch (delivery.kind) {
    case 'card':
      return ofBatch(delivery, async (batch) =>
        batch.kind === 'imagine' ? imagineCard(batch) : summaryCard(batch),
      );
    case 'status':
      return ofBatch(delivery, statusCard);
    case 'pictures':
      return ofBatch(delivery, (batch) => picturesCard(batch, delivery.page));
    case 'manifest':
      return ofBatch(delivery, manifestCard);
    case 'review':
      return reviewCard(delivery);
    case 'notice':
      return noticeCard(delivery);
  }
}

async function ofBatch(delivery: Delivery, render: (batch: Batch) => Promise<Card>): Promise<Card | null> {
  const batch = delivery.batchId ? await db.batch.findUnique({ where: { id: delivery.batchId } }) : null;
  return batch && render(batch);
}

// --- /imagine ---------------------------------------------------------------------------------------------------

async function imagineCard(batch: Batch): Promise<Card> {
  const pictures = await picturesOf(batch.id);
  const shown = pictures.filter(isShown);
  const files = await Promise.all(shown.map(fileOf));
  const [first] = pictures;
  const lines = [
    `${mention(batch.ownerId)} asked for ${quote(first?.prompt ?? '')}`,
    await stateLine(batch, pictures),
  ];
  const seeds = `-# ${batch.title} · seed ${pictures.map(({ seed }) => String(seed)).join(', ')}${first?.faceFolder ? ' · with a face' : ''}${batch.production ? ' · production' : ''}`;
  return {
    components: [
      container(colourOf(batch, pictures), [
        text(`${lines.join('\n')}\n${seeds}`),
        ...(files.length ? [gallery(files)] : []),
        ...shown.map((picture, i) => pictureButtons(picture, batch, shown.length > 1 ? i + 1 : null)),
        ...(batch.endedAt ? [] : [row(button('batch.cancel', batch.id, 'Cancel', ButtonStyle.Secondary))]),
      ]),
    ],
    files,
    final: false,
  };
}

async function stateLine(batch: Batch, pictures: readonly Picture[]): Promise<string> {
  const running = pictures.filter(({ state }) => state === 'running');
  const parts: string[] = [];
  if (running.length) {
    const progress = running.reduce((sum, { progress: p }) => sum + p, 0) / running.length;
    parts.push(`Drawing ${bar(progress)} ${Math.round(progress * 100)} %`);
  }
  const waiting = pictures.filter(({ state }) => state === 'queued').length;
  if (waiting) {
    const { ahead, seconds } = await waitFor(batch.tier, batch.ownerId, 0, batch.id);
    const when = relative(new Date(Date.now() + Math.max(seconds, 1) * 1000));
    parts.push(
      ahead
        ? `${counted(waiting, 'picture')} waiting, ${ahead} ahead, about ${when}`
        : `${counted(waiting, 'picture')} next in line`,
    );
  }
  const held = pictures.filter(isHeld).length;
  if (held) parts.push(`${counted(held, 'picture')} held for review by the moderators`);
  const rejected = pictures.filter(({ image }) => image?.review?.state === 'rejected').length;
  if (rejected) parts.push(`${counted(rejected, 'picture')} kept back by the moderators`);
  const deleted = pictures.filter(
    ({ image }) => image?.deletedAt && image.review?.state !== 'rejected',
  ).length;
  if (deleted) parts.push(`${counted(deleted, 'picture')} deleted`);
  const failed = pictures.filter(({ state }) => state === 'failed').length;
  if (failed) parts.push(`${counted(failed, 'picture')} could not be drawn; the tokens were given back`);
  const cancelled = pictures.filter(({ state }) => state === 'cancelled').length;
  if (cancelled) parts.push(`${counted(cancelled, 'picture')} cancelled; the tokens were given back`);
  return parts.join(' · ') || 'Done';
}

function pictureButtons(picture: Picture, batch: Batch, number: number | null) {
  const label = (word: string) => (number ? `${number} ${word}` : word);
  const { Primary, Secondary, Success, Danger } = ButtonStyle;
  return row(
    button('picture.again', picture.id, label('Again'), Primary),
    button('picture.vary', picture.id, label('Vary'), Secondary),
    button('picture.details', picture.id, label('Details'), Secondary),
    ...(batch.production ? [button('picture.publish', picture.id, label('Publish'), Success)] : []),
    button('picture.delete', picture.id, label('Delete'), Danger),
  );
}

// --- face tests and sweeps --------------------------------------------------------------------------------------

async function summaryCard(batch: Batch): Promise<Card> {
  const pictures = await picturesOf(batch.id);
  const thread = batch.threadId ? ` · <#${batch.threadId}>` : '';
  return {
    components: [
      container(colourOf(batch, pictures), [
        text(
          `**${batch.kind === 'sweep' ? 'Sweep' : 'Face test'}: ${quote(batch.title)}** by ${mention(batch.ownerId)}${thread}\n${await countLine(batch, pictures)}`,
        ),
      ]),
    ],
    files: [],
    final: false,
  };
}

async function statusCard(batch: Batch): Promise<Card> {
  const pictures = await picturesOf(batch.id);
  const sheet = await sheetOf(batch, pictures);
  const file = { name: 'contact-sheet.jpg', data: sheet.bytes, description: sheet.alt };
  const refunded = pictures
    .filter(({ state }) => state === 'failed' || state === 'cancelled')
    .reduce((sum, { price }) => sum + price, 0);
  const lines = [
    `**${quote(batch.title)}**`,
    await countLine(batch, pictures),
    `-# ${counted(batch.charged, 'token')} charged${refunded ? `, ${refunded} given back` : ''} · tier ${batch.tier}${batch.production ? ' · production' : ''}`,
  ];
  const { Secondary, Danger } = ButtonStyle;
  const going = batch.state === 'open' || batch.state === 'stopped';
  return {
    components: [
      container(colourOf(batch, pictures), [
        text(lines.join('\n')),
        gallery([file]),
        ...(going && !batch.endedAt
          ? [
              row(
                ...(batch.state === 'open' ? [button('batch.stop', batch.id, 'Stop', Secondary)] : []),
                button('batch.cancel', batch.id, 'Cancel', Danger),
              ),
            ]
          : []),
      ]),
    ],
    files: [file],
    final: false,
  };
}

async function countLine(batch: Batch, pictures: readonly Picture[]): Promise<string> {
  const count = (fits: (picture: Picture) => boolean) => pictures.filter(fits).length;
  const done = count(({ state }) => state === 'done');
  const ended = count(({ state }) => state !== 'queued' && state !== 'running');
  const parts = [
    `${done} of ${pictures.length} drawn`,
    ...named(
      count(({ reused }) => reused),
      'reused',
    ),
    ...named(
      count(({ state }) => state === 'running'),
      'being drawn',
    ),
    ...named(count(isHeld), 'held'),
    ...named(
      count(({ state }) => state === 'failed'),
      'failed',
    ),
    ...named(
      count(({ state }) => state === 'cancelled'),
      'cancelled',
    ),
  ];
  if (batch.endedAt) return `${stateWord(batch)} · ${parts.join(', ')}`;
  const { seconds } = await waitFor(batch.tier, batch.ownerId, 0, undefined);
  const ready = relative(new Date(Date.now() + Math.max(seconds, 1) * 1000));
  return `${bar(ended / Math.max(1, pictures.length))} ${parts.join(', ')} · ${batch.state === 'open' ? `ready about ${ready}` : 'stopping'}`;
}

async function sheetOf(batch: Batch, pictures: readonly Picture[]) {
  const { rows, columns } = sheetAxes(pictures.map(coordinatesOf));
  const cells = pictures.map((picture): SheetCell => {
    const { image } = picture;
    const state: SheetCell['state'] = isHeld(picture)
      ? 'held'
      : picture.state === 'done'
        ? isShown(picture)
          ? 'done'
          : 'gone'
        : picture.state === 'queued'
          ? 'waiting'
          : picture.state;
    return {
      id: image?.id ?? picture.id,
      coordinates: coordinatesOf(picture),
      state,
      width: picture.width,
      height: picture.height,
      ...(state === 'done' && image && { load: () => getFile(image.storageKey) }),
      ...(picture.failure && { failure: picture.failure }),
      ...(picture.reused && { reused: true }),
    };
  });
  const subtitle = `${batch.createdAt.toISOString().slice(0, 10)} · ${stateWord(batch)}`;
  return drawContactSheet({ title: batch.title, subtitle, rows, columns, cells });
}

async function picturesCard(batch: Batch, wanted: number): Promise<Card> {
  const total = await countPictures(batch.id);
  const pages = Math.min(PAGES_MAX, Math.max(1, Math.ceil(total / PAGE)));
  const page = Math.min(Math.max(0, wanted), pages - 1);
  const pictures = await picturesOf(batch.id, { skip: page * PAGE, take: PAGE });
  const shown = pictures.filter(isShown);
  const files = await Promise.all(shown.map(fileOf));
  const missing = pictures.length - shown.length;
  const label = (picture: Picture) => nameOf(picture).slice(0, 100);
  return {
    components: [
      container(colours.done, [
        text(
          `**Pictures** ${page * PAGE + 1}–${page * PAGE + pictures.length} of ${total}${missing ? ` · ${missing} not to be shown` : ''}`,
        ),
        ...(files.length ? [gallery(files)] : []),
        ...(shown.length
          ? [
              select(
                'pictures.pick',
                batch.id,
                'Pick a picture …',
                shown.map((picture) => ({ label: label(picture), value: picture.id })),
              ),
            ]
          : []),
        ...(pages > 1
          ? [
              select(
                'pictures.page',
                batch.id,
                `Page ${page + 1} of ${pages}`,
                Array.from({ length: pages }, (_, i) => ({
                  label: `Page ${i + 1}: ${i * PAGE + 1}–${Math.min(total, (i + 1) * PAGE)}`,
                  value: String(i),
                  default: i === page,
                })),
              ),
            ]
          : []),
      ]),
    ],
    files,
    final: false,
  };
}

async function manifestCard(batch: Batch): Promise<Card> {
  const pictures = await picturesOf(batch.id);
  const files = [
    { name: 'manifest.csv', data: Buffer.from(toCsv(batch, pictures)) },
    { name: 'manifest.json', data: Buffer.from(toJson(batch, pictures)) },
  ];
  return {
    components: [
      text(`${mention(batch.ownerId)} ${quote(batch.title)} has ended: ${await countLine(batch, pictures)}`),
      ...files.map(({ name }) => ({
        type: ComponentType.File as const,
        file: { url: `attachment://${name}` },
      })),
    ],
    files,
    mentions: [batch.ownerId],
    final: true,
  };
}

// --- moderation -------------------------------------------------------------------------------------------------

async function reviewCard(delivery: Delivery): Promise<Card | null> {
  const review = await db.review.findUnique({
    where: { id: delivery.reviewId ?? '' },
    include: { image: { include: { generation: { include: { batch: true } } } } },
  });
  if (!review) return null;
  const { image } = review;
  const { generation } = image;
  const pending = review.state === 'pending';
  const scores = Object.entries(image.scores as Record<string, number>).map(
    ([name, score]) => `${name} ${score.toFixed(2)}`,
  );
  const lines = [
    `**${pending ? 'For review' : review.state === 'approved' ? 'Approved' : 'Rejected'}** · ${causes[review.cause] ?? review.cause}${scores.length ? ` (${scores.join(', ')})` : ''}`,
    `Asked by ${mention(generation.userId)} in <#${generation.batch.channelId}>: ${quote(generation.prompt)}`,
    ...(review.reportedBy ? [`Reported by ${mention(review.reportedBy)}`] : []),
    ...(review.moderatorId
      ? [`By ${mention(review.moderatorId)}${review.reason ? `: ${quote(review.reason)}` : ''}`]
      : []),
  ];
  const files = pending && !image.deletedAt ? [await blurred(image.storageKey)] : [];
  return {
    components: [
      container(pending ? colours.held : review.state === 'approved' ? colours.done : colours.bad, [
        text(lines.join('\n')),
        ...(files.length ? [gallery(files, true)] : []),
        ...(pending
          ? [
              row(
                button('review.approve', review.id, 'Approve', ButtonStyle.Success),
                button('review.reject', review.id, 'Reject', ButtonStyle.Danger),
              ),
            ]
          : []),
      ]),
    ],
    files,
    final: !pending,
  };
}

const causes: Readonly<Record<string, string>> = {
  classifier: 'flagged by the classifier',
  'classifier-failed': 'the classifier failed',
  report: 'reported',
};

/** So strongly that nothing is made out, and small, so that nothing can be brought back. */
async function blurred(storageKey: string): Promise<CardFile> {
  const data = await sharp(await getFile(storageKey))
    .resize(400, 500, { fit: 'inside' })
    .blur(BLUR_SIGMA)
    .webp()
    .toBuffer();
  return { name: 'held.webp', data, description: 'A picture held for review, blurred' };
}

async function noticeCard(delivery: Delivery): Promise<Card | null> {
  const review = await db.review.findUnique({
    where: { id: delivery.reviewId ?? '' },
    include: {
      image: {
        include: {
          generation: { include: { batch: true, faceFolder: true, image: { include: { review: true } } } },
        },
      },
    },
  });
  if (!review || review.state === 'pending') return null;
  const picture = review.image.generation;
  const approved = review.state === 'approved';
  const files = approved && isShown(picture) ? [await fileOf(picture)] : [];
  const says = approved
    ? `your picture was approved: ${quote(picture.prompt)}`
    : `your picture of ${quote(picture.prompt)} was kept back by the moderators${review.reason ? `: ${quote(review.reason)}` : '.'}`;
  return {
    components: [
      container(approved ? colours.done : colours.bad, [
        text(`${mention(picture.userId)}, ${says}`),
        ...(files.length ? [gallery(files), pictureButtons(picture, picture.batch, null)] : []),
      ]),
    ],
    files,
    mentions: [picture.userId],
    final: true,
  };
}

// --- parts ------------------------------------------------------------------------------------------------------

const isShown = ({ image }: Pick<Picture, 'image'>): boolean =>
  image !== null && mayBeShown(image, image.review);
const isHeld = ({ image }: Picture): boolean => image?.review?.state === 'pending';

async function fileOf(
  picture: Pick<Picture, 'image' | 'index' | 'seed' | 'coordinates' | 'width' | 'height'>,
): Promise<CardFile> {
  const { image } = picture;
  if (!image) throw new Error('A picture without an image is never shown');
  const stored = await getFile(image.storageKey);
  const small = stored.length <= FILE_MAX;
  const data = small ? stored : await sharp(stored).webp({ quality: 92 }).toBuffer();
  return {
    name: `picture-${picture.index + 1}-${image.sha256.slice(0, 8)}.${small ? 'png' : 'webp'}`,
    data,
    description: `Portrait, ${picture.width} × ${picture.height} px, ${nameOf(picture)}`.slice(0, 1_024),
  };
}

function nameOf(picture: Pick<Picture, 'index' | 'seed' | 'coordinates'>): string {
  const coordinates = Object.entries(coordinatesOf(picture)).map(([axis, label]) => `${axis} ${label}`);
  return `${picture.index + 1}: ${coordinates.join(', ') || `seed ${picture.seed}`}`;
}

function colourOf(batch: Batch, pictures: readonly Picture[]): number {
  if (pictures.some(isHeld)) return colours.held;
  if (pictures.some(({ state }) => state === 'running')) return colours.going;
  if (!batch.endedAt) return colours.waiting;
  if (pictures.every(({ state }) => state === 'failed')) return colours.bad;
  return batch.state === 'finished' ? colours.done : colours.ended;
}

const stateWord = ({ state, endedAt }: Batch) =>
  state === 'finished'
    ? 'Finished'
    : state === 'stopped'
      ? 'Stopped'
      : state === 'cancelled'
        ? 'Cancelled'
        : endedAt
          ? 'Ended'
          : 'Running';
const mention = (userId: string) => `<@${userId}>`;
const counted = (count: number, thing: string) =>
  `${count.toLocaleString('en')} ${thing}${count === 1 ? '' : 's'}`;
const named = (count: number, word: string) => (count ? [`${count} ${word}`] : []);
const bar = (share: number) => '▰'.repeat(Math.round(share * 10)).padEnd(10, '▱');

const text = (content: string) => ({
  type: ComponentType.TextDisplay as const,
  content: content.slice(0, 4_000),
});

function container(accent: number, components: APIComponentInContainer[]): APIMessageTopLevelComponent {
  return { type: ComponentType.Container, accent_color: accent, components };
}

function gallery(files: readonly CardFile[], spoiler = false): APIComponentInContainer {
  return {
    type: ComponentType.MediaGallery,
    items: files.map(({ name, description }) => ({
      media: { url: `attachment://${name}` },
      ...(description && { description }),
      ...(spoiler && { spoiler }),
    })),
  };
}

function button(
  action: Action,
  id: string,
  label: string,
  style: APIButtonComponentWithCustomId['style'],
): APIButtonComponentWithCustomId {
  return { type: ComponentType.Button, custom_id: customId(action, id), label, style };
}

function row(
  ...components: APIButtonComponentWithCustomId[]
): APIActionRowComponent<APIButtonComponentWithCustomId> {
  return { type: ComponentType.ActionRow, components };
}

function select(
  action: Action,
  id: string,
  placeholder: string,
  options: { label: string; value: string; default?: boolean }[],
): APIComponentInContainer {
  return {
    type: ComponentType.ActionRow,
    components: [{ type: ComponentType.StringSelect, custom_id: customId(action, id), placeholder, options }],
  };
}
