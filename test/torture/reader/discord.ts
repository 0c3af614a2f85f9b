/** What everybody sees in the local Discord, by its REST API as the bot may ask it: all channels, threads and direct messages. */
import { setTimeout as sleep } from 'node:timers/promises';
import { z } from 'zod';
import { sha256 } from './files.ts';

export interface Seen {
  readonly id: string;
  readonly channelId: string;
  readonly byBot: boolean;
  /** an ordinary message or a reply, not what Discord says by itself */
  readonly isPost: boolean;
  readonly files: readonly { readonly name: string; readonly sha256: string }[];
}

export interface Account {
  /** ends in `/api` */
  readonly apiUrl: string;
  readonly token: string;
}

const Id = z.object({ id: z.string() });
const Message = z.looseObject({
  id: z.string(),
  type: z.number(),
  author: Id,
  attachments: z.array(z.object({ url: z.string() })),
  components: z.array(z.unknown()).default([]),
});
const PAGE = 100;
/** Discord's: an ordinary message, a reply */
const POSTS = [0, 19];

/** @param users whose direct messages with the bot are read */
export async function readDiscord(account: Account, users: readonly string[]): Promise<Seen[]> {
  const get = <T>(path: string, as: z.ZodType<T>) => ask(account, 'GET', path, undefined, as);
  const bot = (await get('/users/@me', Id)).id;
  const guilds = await get('/users/@me/guilds', z.array(Id));
  const channels: string[] = [];
  for (const { id } of guilds) {
    channels.push(...(await get(`/guilds/${id}/channels`, z.array(Id))).map((channel) => channel.id));
    const { threads } = await get(`/guilds/${id}/threads/active`, z.object({ threads: z.array(Id) }));
    channels.push(...threads.map((thread) => thread.id));
  }
  for (const user of users)
    channels.push((await ask(account, 'POST', '/users/@me/channels', { recipient_id: user }, Id)).id);

  const seen: Seen[] = [];
  for (const channelId of new Set(channels)) {
    for (let before = ''; ; ) {
      const page = await get(
        `/channels/${channelId}/messages?limit=${PAGE}${before && `&before=${before}`}`,
        z.array(Message),
      );
      for (const { id, type, author, attachments, components } of page) {
        const urls = [...attachments.map(({ url }) => url), ...urlsIn(components)];
        const files = await Promise.all([...new Set(urls)].map(readFile));
        seen.push({ id, channelId, byBot: author.id === bot, isPost: POSTS.includes(type), files });
      }
      if (page.length < PAGE) break;
      before = page.at(-1)?.id ?? '';
    }
  }
  return seen;
}

/** Addresses of uploaded files, wherever they stand in a message's components. */
function urlsIn(value: unknown): string[] {
  if (Array.isArray(value)) return value.flatMap(urlsIn);
  if (typeof value !== 'object' || value === null) return [];
  const own =
    'url' in value && typeof value.url === 'string' && value.url.includes('/attachments/') ? [value.url] : [];
  return [...own, ...Object.values(value).flatMap(urlsIn)];
}

async function readFile(url: string): Promise<Seen['files'][number]> {
  const response = await fetch(url);
  const name = decodeURIComponent(new URL(url).pathname.split('/').at(-1) ?? '');
  if (!response.ok) return { name, sha256: `HTTP ${response.status}` };
  return { name, sha256: sha256(new Uint8Array(await response.arrayBuffer())) };
}

async function ask<T>(
  { apiUrl, token }: Account,
  method: string,
  path: string,
  body: object | undefined,
  as: z.ZodType<T>,
): Promise<T> {
  for (;;) {
    const response = await fetch(`${apiUrl}/v10${path}`, {
      method,
      headers: { authorization: `Bot ${token}`, ...(body && { 'content-type': 'application/json' }) },
      ...(body && { body: JSON.stringify(body) }),
    });
    if (response.status === 429) {
      await sleep(1_000 * Number(response.headers.get('retry-after') ?? 1) + 50);
      continue;
    }
    if (!response.ok) throw new Error(`${method} ${path}: ${response.status} ${await response.text()}`);
    return as.parse(await response.json());
  }
}
