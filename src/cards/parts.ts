/** What cards are made of: texts that carry a person's words safely, buttons, galleries and files. */
import {
  type APIButtonComponentWithCustomId,
  type APIButtonComponentWithURL,
  type APIComponentInContainer,
  type APIComponentInMessageActionRow,
  type APIContainerComponent,
  ButtonStyle,
  ComponentType,
} from 'discord-api-types/v10';
import { config } from '#config/env.ts';
import type { ToldState } from '#src/backlog/reasons.ts';
import { type Action, customId } from '#src/custom-ids.ts';
import type { Review } from '#src/doors/db.ts';
import { mayBeShown } from '#src/generations/images.ts';
import { type Picture, pictureBytes } from '#src/generations/pictures.ts';
import type { Source } from '#src/marks/marks.ts';
import { message, type Say } from '#src/say.ts';
import { oneLine } from '#src/text.ts';
import type { SheetCellState } from './contact-sheet/contact-sheet.ts';
import { shrunk } from './shrink.ts';

/** A file of a message. Its name stands for its bytes: an edit that has it already does not send it again. */
export interface CardFile {
  /** letters, digits, `-`, `_` and `.` only, as Discord keeps them */
  readonly name: string;
  /** alt text, at most 1,024 characters */
  readonly description?: string;
  /** how a picture came to be: it is marked so again where it is made smaller; left out: it is no picture */
  readonly source?: Source;
  readonly spoiler?: boolean;
  /** where everybody can see it, if anywhere */
  readonly page?: string;
  /** asked for only when it has to be sent; null: it is gone by now, and the message is sent without it */
  readonly bytes: () => Promise<Buffer | null>;
}

/** A message as it should be now. */
export interface Card {
  /** the language that it is in */
  readonly say: Say;
  readonly container: APIContainerComponent;
  readonly files: readonly CardFile[];
  /** Discord ids that are notified by it; nobody else is, whatever the text says */
  readonly mentions: readonly string[];
  /** nothing will change any more */
  readonly last: boolean;
  /** when it says that all will be ready; null: it does not say */
  readonly readyAt: Date | null;
  /** what is known now that it says so, to tell later why it took longer */
  readonly told: ToldState | null;
}

/** Colours of Discord's own palette. */
export const accents = {
  waiting: 0x80848e,
  running: 0x5865f2,
  done: 0x23a55a,
  held: 0xf0b232,
  failed: 0xda373c,
  ended: 0x4e5058,
} as const;

/** The most bytes of a file without boosts, and of all files of one request together. */
const FILE_MAX = 10 * 1024 * 1024;
const FILES_MAX = 24 * 1024 * 1024;
const ALT_MAX = 1_024;

export function card(
  say: Say,
  accent: number,
  components: readonly (APIComponentInContainer | null)[],
  {
    files = [],
    mentions = [],
    last = false,
    readyAt = null,
    told = null,
  }: Partial<Omit<Card, 'say' | 'container'>> = {},
): Card {
  const present = components.filter((one) => one !== null);
  const container = { type: ComponentType.Container, accent_color: accent, components: present } as const;
  return { say, container, files, mentions, last, readyAt, told };
}

/** Markdown of ours. A person's words inside it come through `plain`. */
export function text(...lines: readonly (string | null | false)[]): APIComponentInContainer | null {
  const content = lines.filter(Boolean).join('\n');
  return content ? { type: ComponentType.TextDisplay, content } : null;
}

export function button(
  action: Action,
  id: string,
  label: string,
  style: APIButtonComponentWithCustomId['style'] = ButtonStyle.Secondary,
): APIButtonComponentWithCustomId {
  return { type: ComponentType.Button, custom_id: customId(action, id), label, style };
}

/** Leads to a page on the web for who signs in; nothing where `PUBLIC_URL` is not set. */
export function webLink(label: string, path: string): APIButtonComponentWithURL[] {
  const { publicUrl } = config.web;
  if (publicUrl === undefined) return [];
  const url = new URL(path, publicUrl).href;
  return [{ type: ComponentType.Button, style: ButtonStyle.Link, label, url }];
}

export function row(
  ...components: readonly APIComponentInMessageActionRow[]
): APIComponentInContainer | null {
  return components.length ? { type: ComponentType.ActionRow, components: [...components] } : null;
}

export interface Choice {
  readonly label: string;
  readonly value: string;
  readonly description?: string;
  readonly default?: boolean;
}

/** Choices that Discord takes in one select. */
export const SELECT_MAX = 25;

/** @param choices only the first `SELECT_MAX` are offered */
export function select(
  action: Action,
  id: string,
  placeholder: string,
  choices: readonly Choice[],
): APIComponentInContainer | null {
  if (!choices.length) return null;
  const short = (words: string) => [...words].slice(0, 100).join('');
  const options = choices.slice(0, SELECT_MAX).map(({ label, description, ...rest }) => ({
    ...rest,
    label: short(label),
    ...(description && { description: short(description) }),
  }));
  return row({ type: ComponentType.StringSelect, custom_id: customId(action, id), placeholder, options });
}

const turned = {
  page: message('Page {number} of {count}'),
  sheet: message('Sheet {number} of {count}'),
} as const;

/**
 * Turns the pages of a message; of more than a select holds, those around this one are offered.
 *
 * @param page from 0
 * @param contents what is on each page
 * @returns null when there is nothing to turn
 */
export function pages(
  say: Say,
  action: Action,
  id: string,
  what: keyof typeof turned,
  page: number,
  contents: readonly string[],
): APIComponentInContainer | null {
  const count = contents.length;
  if (count < 2) return null;
  const first = Math.max(0, Math.min(page - 12, count - SELECT_MAX));
  const message = turned[what];
  const name = (n: number) => say(message, { number: n + 1, count });
  const choices = contents.map((content, n) => ({
    label: `${name(n)}: ${content}`,
    value: String(n),
    default: n === page,
  }));
  return select(action, id, name(page), choices.slice(first, first + SELECT_MAX));
}

/** At most ten: Discord takes no more. */
export function gallery(files: readonly CardFile[]): APIComponentInContainer | null {
  if (!files.length) return null;
  const items = files.slice(0, 10).map(({ name, description, spoiler }) => ({
    media: { url: `attachment://${name}` },
    ...(description && { description }),
    ...(spoiler && { spoiler }),
  }));
  return { type: ComponentType.MediaGallery, items };
}

/** Text with a small picture to its right. */
export function beside(
  lines: readonly (string | null | false)[],
  { name, description }: CardFile,
): APIComponentInContainer {
  const media = { url: `attachment://${name}` };
  return {
    type: ComponentType.Section,
    components: [{ type: ComponentType.TextDisplay, content: lines.filter(Boolean).join('\n') }],
    accessory: { type: ComponentType.Thumbnail, media, ...(description && { description }) },
  };
}

/** What is to be said of one picture; `done` is the only state in which it may be seen. */
export function stateOf({
  state,
  image,
}: Pick<Picture, 'state'> & {
  readonly image:
    | (Parameters<typeof mayBeShown>[0] & { readonly review: Pick<Review, 'state'> | null })
    | null;
}): SheetCellState {
  if (state === 'queued') return 'waiting';
  if (state !== 'done') return state;
  if (!image || image.deletedAt) return 'gone';
  if (mayBeShown(image, image.review)) return 'done';
  return image.review?.state === 'rejected' ? 'gone' : 'held';
}

/** What a picture is called in its batch: in cards, on contact sheets, in forms and in manifests. From 1. */
export function numberOf({ index }: Pick<Picture, 'index'>): number {
  return index + 1;
}

/** axis → label */
export function coordinatesOf({ coordinates }: Picture): Record<string, string> {
  return coordinates as Record<string, string>; // written by us, as text by axis
}

/** The files of those pictures that may be seen, small enough to go together in one message. */
export function pictureFiles(say: Say, pictures: readonly Picture[]): CardFile[] {
  const shown = pictures.filter((picture) => stateOf(picture) === 'done');
  const room = Math.min(FILE_MAX, Math.floor(FILES_MAX / Math.max(1, shown.length)));
  return shown.flatMap((picture) => {
    const { image, prompt } = picture;
    if (!image) return [];
    const { id, sha256, visibility } = image;
    const { publicUrl } = config.web;
    const fits = image.bytes <= room;
    return {
      name: `picture-${numberOf(picture)}-${sha256.slice(0, 8)}.${fits ? 'png' : 'webp'}`,
      source: 'drawn',
      description: [
        ...say('Picture {number}: {prompt}', { number: numberOf(picture), prompt: oneLine(prompt) }),
      ]
        .slice(0, ALT_MAX / 2)
        .join(''),
      ...(publicUrl && visibility === 'published' && { page: new URL(`/pictures/${id}`, publicUrl).href }),
      bytes: async () => {
        const png = await pictureBytes(picture);
        return fits ? png : shrunk(png, room, 'drawn');
      },
    };
  });
}

/** @param share 0…1 */
export function bar(share: number, length = 16): string {
  const full = Math.round(Math.min(1, Math.max(0, share)) * length);
  return `${'▰'.repeat(full)}${'▱'.repeat(length - full)}`;
}
