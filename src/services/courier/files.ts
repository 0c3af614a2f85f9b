/**
 * The files of a message: an edit keeps those that the message has, and sends others as small as Discord wants them.
 *
 * What is too large here (a server's limit, a proxy's) is sent again at a quarter of the bytes, until nothing is left to send;
 * then the message says what it can't show, and where it can be seen.
 */
import {
  type APIComponentInContainer,
  type APIContainerComponent,
  ComponentType,
} from 'discord-api-types/v10';
import { z } from 'zod';
import type { Card, CardFile } from '#src/cards/cards.ts';
import { shrunk } from '#src/cards/shrink.ts';
import type { Say } from '#src/say.ts';
import type { Content, Posted, PostedFile } from './discord.ts';
import { faultOf } from './faults.ts';

/** What the message of a delivery has, as its row keeps it. */
export const PostedFiles = z.array(z.object({ id: z.string(), name: z.string() }));

type Loaded = Omit<CardFile, 'bytes'> & { readonly data: Buffer };

/** Part of the bytes that are tried after so many were too much. */
const SMALLER = 1 / 4;
/** Bytes; with less, a picture is not worth looking at. */
const ROOM_MIN = 32 * 1024;

/**
 * Sends the card's message by `send`, again with smaller files as long as they are too large.
 *
 * @param has what the message has already
 * @throws what `send` throws
 */
export async function sendFitting<P extends Posted>(
  { say, container, files, mentions }: Omit<Card, 'last' | 'readyAt' | 'told'>,
  has: readonly PostedFile[],
  send: (content: Content) => Promise<P>,
): Promise<P> {
  const there = new Map(has.map((file) => [subjectOf(file.name), file]));
  const kept = files.flatMap(({ name }) => there.get(subjectOf(name)) ?? []);
  const { loaded: others, gone } = await load(files.filter(({ name }) => !there.has(subjectOf(name))));
  const wanted = files.filter(({ name }) => !gone.has(name));

  const within = async (room: number): Promise<P> => {
    const fitting = await fitted(others, room);
    const shown = [...kept, ...fitting].map(({ name }) => name);
    try {
      return await send({
        container: showing(say, container, wanted, shown),
        files: fitting,
        kept: kept.map(({ id }) => id),
        mentions,
      });
    } catch (error) {
      if (faultOf(error).kind !== 'large' || !fitting.length) throw error;
      return within(SMALLER * fitting.reduce((bytes, { data }) => bytes + data.length, 0));
    }
  };
  return within(Number.POSITIVE_INFINITY);
}

/** @returns with the names of those that are gone by now */
async function load(
  files: readonly CardFile[],
): Promise<{ readonly loaded: readonly Loaded[]; readonly gone: ReadonlySet<string> }> {
  const gone = new Set<string>();
  const loading = files.map(async ({ bytes, ...file }): Promise<Loaded[]> => {
    const data = await bytes();
    if (data) return [{ ...file, data }];
    gone.add(file.name);
    return [];
  });
  return { loaded: (await Promise.all(loading)).flat(), gone };
}

const isPicture = (name: string) => /\.(png|jpg|webp)$/.test(name);

/** What a file shows. A picture's name stands for its pixels, and its ending for how small it was made. */
function subjectOf(name: string): string {
  return isPicture(name) ? name.replace(/\.\w+$/, '') : name;
}

/** Those that can be made to fit into so many bytes together. */
async function fitted(files: readonly Loaded[], room: number): Promise<Loaded[]> {
  const each = room / files.length;
  const fitting = files.map(async (file): Promise<Loaded | null> => {
    if (file.data.length <= each) return file;
    if (!file.source || room < ROOM_MIN) return null;
    const data = await shrunk(file.data, each, file.source);
    return { ...file, name: `${subjectOf(file.name)}.webp`, data };
  });
  return (await Promise.all(fitting)).filter((file) => file !== null);
}

/** The container with the files that there are, under the names that they have, and a line about the others. */
function showing(
  say: Say,
  container: APIContainerComponent,
  files: readonly CardFile[],
  names: readonly string[],
): APIContainerComponent {
  const nameOf = new Map(names.map((name) => [subjectOf(name), name]));
  const address = (url: string): string | null => {
    const name = url.replace('attachment://', '');
    if (name === url) return url;
    const shown = nameOf.get(subjectOf(name));
    return shown === undefined ? null : `attachment://${shown}`;
  };
  const components = container.components.flatMap((component): APIComponentInContainer[] => {
    if (component.type === ComponentType.MediaGallery) {
      const items = component.items.flatMap((item) => {
        const url = address(item.media.url);
        return url === null ? [] : [{ ...item, media: { url } }];
      });
      return items.length ? [{ ...component, items }] : [];
    }
    if (component.type === ComponentType.Section && component.accessory.type === ComponentType.Thumbnail) {
      const url = address(component.accessory.media.url);
      // A section is nothing without what stands beside it.
      if (url === null) return component.components;
      return [{ ...component, accessory: { ...component.accessory, media: { url } } }];
    }
    if (component.type === ComponentType.File) {
      const url = address(component.file.url);
      return url === null ? [] : [{ ...component, file: { url } }];
    }
    return [component];
  });
  const missing = files.filter(({ name }) => !nameOf.has(subjectOf(name)));
  if (!missing.length) return { ...container, components };
  const list = missing.map(({ name, page }) => (page ? `[${name}](${page})` : `\`${name}\``)).join(', ');
  const content = `-# ${say('Too large for Discord here: {list}', { list })}`;
  return { ...container, components: [...components, { type: ComponentType.TextDisplay, content }] };
}
