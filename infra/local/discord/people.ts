/** The people's side of the local Discord: what protocol.ts describes, and the files of the channel page. */
import { readFile } from 'node:fs/promises';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { extname } from 'node:path';
import { ChannelType, PermissionFlagsBits as P } from 'discord-api-types/v10';
import { commandsFor, inLanguage, TypingError } from './commands.ts';
import { DiscordError } from './discord-error.ts';
import { isObject, type Json } from './fields.ts';
import type { Interactions } from './interactions.ts';
import { createMessage } from './messages.ts';
import { has } from './permissions.ts';
import type { Ask, Misbehaviour, PersonEvent, View, ViewChannel, ViewUser } from './protocol.ts';
import { contentTypeOf, readBytes } from './rest.ts';
import { sampleNames, samplePhoto } from './samples/samples.ts';
import { type Change, FILE_MAX, type State } from './state.ts';
import { createPost, isForum, openForWriting } from './threads.ts';
import { PEOPLE, type PersonName, type StoredChannel } from './world.ts';

const PAGE = new URL('./page/', import.meta.url);
const PAGE_TYPES: Record<string, string> = {
  '.html': 'text/html; charset=utf-8',
  '.css': 'text/css; charset=utf-8',
  '.js': 'text/javascript; charset=utf-8',
  '.svg': 'image/svg+xml',
};
/** Nothing from elsewhere: not even by a message that tries. */
const PAGE_POLICY =
  "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data: blob:; connect-src 'self'; base-uri 'none'; form-action 'none'";

interface Parts {
  readonly state: State;
  readonly interactions: Interactions;
  readonly misbehave: (how: Misbehaviour) => Misbehaviour;
}

interface PeopleSide {
  handle(request: IncomingMessage, response: ServerResponse): Promise<void>;
  /** Ends the event streams. */
  close(): void;
}

export function createPeopleSide({ state, interactions, misbehave }: Parts): PeopleSide {
  const streams = new Map<ServerResponse, PersonName>();
  const write = (body: unknown) => JSON.stringify(body, state.attachments.signing);
  state.onChange((change) => {
    for (const [stream, person] of streams) {
      const event = eventFor(state, PEOPLE[person].id, change);
      if (event) stream.write(`data: ${write(event)}\n\n`);
    }
  });
  // A comment now and then keeps the streams open and notices those that are gone.
  const beat = setInterval(() => {
    for (const stream of streams.keys()) stream.write(': here\n\n');
  }, 15_000).unref();

  return {
    close() {
      clearInterval(beat);
      for (const stream of streams.keys()) stream.end();
    },

    async handle(request, response) {
      const url = new URL(request.url ?? '/', 'http://localhost');
      try {
        if (url.pathname === '/sandbox/events') return listen(url, response);
        if (url.pathname.startsWith('/sandbox/samples/')) return await sample(url, response);
        const body = url.pathname.startsWith('/sandbox/')
          ? await answer(request, url)
          : await page(url.pathname, response);
        if (body === undefined) return;
        response.writeHead(200, { 'content-type': 'application/json' }).end(write(body));
      } catch (error) {
        const [status, message] =
          error instanceof TypingError || error instanceof DiscordError || error instanceof SyntaxError
            ? [400, error.message]
            : [500, String(error)];
        response
          .writeHead(status, { 'content-type': 'application/json' })
          .end(JSON.stringify({ error: message }));
      }
    },
  };

  async function sample({ pathname }: URL, response: ServerResponse): Promise<void> {
    const photo = await samplePhoto(pathname.split('/')[3] ?? '');
    if (!photo) throw new TypingError('No such sample.');
    response.writeHead(200, { 'content-type': 'image/jpeg', 'cache-control': 'no-cache' }).end(photo.data);
  }

  function listen(url: URL, response: ServerResponse): void {
    const person = personOf(url.searchParams.get('person'));
    response.writeHead(200, { 'content-type': 'text/event-stream', 'cache-control': 'no-store' });
    response.write(`data: ${JSON.stringify({ type: 'ready' } satisfies PersonEvent)}\n\n`);
    streams.set(response, person);
    response.on('close', () => streams.delete(response));
  }

  async function answer(request: IncomingMessage, url: URL): Promise<unknown> {
    const [, , what, id, part] = url.pathname.split('/');
    const query = url.searchParams;
    if (request.method === 'GET') {
      const person = personOf(query.get('person'));
      if (what === 'view') return viewOf(state, person);
      if (what === 'samples') return sampleNames;
      const channel = what === 'channels' ? visible(id, person) : null;
      if (channel && part === 'messages') return state.messages(channel.id, PEOPLE[person].id).slice(-200);
      if (channel && part === 'commands') {
        const commands = commandsFor(state, PEOPLE[person].id, channel.id);
        return inLanguage(commands, query.get('locale') ?? 'en-US');
      }
      throw new TypingError('No such page.');
    }
    if (what === 'uploads') {
      const channel = visible(query.get('channel'), personOf(query.get('person')));
      const filename = (query.get('filename') ?? 'file').replaceAll(/[^\p{L}\p{N}._-]/gu, '_');
      const contentType = contentTypeOf(filename);
      const data = await readBytes(request, FILE_MAX);
      return state.attachments.add(
        { filename, contentType, data },
        { channelId: channel.id, ephemeral: true },
      );
    }

    const body: unknown = JSON.parse((await readBytes(request)).toString() || '{}');
    const given: Json = isObject(body) ? body : {};
    if (what === 'misbehave') return misbehave(given as Misbehaviour);
    if (what === 'interactions') return interactions.ask(given as unknown as Ask);
    const person = personOf(given.person);
    const channel = visible(what === 'channels' ? id : given.channel, person);
    const personId = PEOPLE[person].id;
    if (what === 'channels' && part === 'messages') {
      if (!viewChannel(state, channel, personId).canSend) throw new TypingError('You may not write here.');
      const content = String(given.content ?? '');
      const draft = { body: { content }, files: new Map() };
      if (isForum(channel)) {
        const title = { name: content.slice(0, 100) };
        return (await createPost(state, channel, personId, title, draft)).message;
      }
      openForWriting(state, channel, personId);
      return createMessage(state, channel, draft, { author: state.user(personId)! });
    }
    if (what === 'dismiss') {
      const message = state.message(channel.id, String(given.message), personId);
      if (message && (message.flags ?? 0) & 64) state.deleteMessage(message);
      return {};
    }
    throw new TypingError('No such page.');
  }

  function visible(id: unknown, person: PersonName): StoredChannel {
    const channel = state.channels.get(String(id));
    if (!channel || !has(state.permissions(channel, PEOPLE[person].id), P.ViewChannel)) {
      throw new TypingError('You cannot see this channel.');
    }
    return channel;
  }
}

function personOf(name: unknown): PersonName {
  if (typeof name === 'string' && Object.hasOwn(PEOPLE, name)) return name as PersonName;
  throw new TypingError(`Nobody is called “${String(name)}”: ${Object.keys(PEOPLE).join(', ')}.`);
}

async function page(path: string, response: ServerResponse): Promise<undefined> {
  const name = path === '/' ? 'index.html' : path.slice(1);
  const type = PAGE_TYPES[extname(name)];
  const file = type && /^[\w.-]+$/.test(name) ? await readFile(new URL(name, PAGE)).catch(() => null) : null;
  response
    .writeHead(file ? 200 : 404, {
      'content-type': file ? type! : 'text/plain',
      'cache-control': 'no-store',
      'content-security-policy': PAGE_POLICY,
      'x-content-type-options': 'nosniff',
    })
    .end(file ?? 'Not found');
}

function viewChannel(state: State, channel: StoredChannel, personId: string): ViewChannel {
  const kind = {
    [ChannelType.DM]: 'dm',
    [ChannelType.GroupDM]: 'group',
    [ChannelType.GuildText]: 'text',
    [ChannelType.GuildAnnouncement]: 'text',
    [ChannelType.GuildForum]: 'forum',
    [ChannelType.GuildMedia]: 'forum',
  } as const;
  const held = state.permissions(channel, personId);
  return {
    id: channel.id,
    name: channel.type === ChannelType.DM ? (state.bot.global_name ?? 'Atelier') : (channel.name ?? ''),
    kind: kind[channel.type as keyof typeof kind] ?? 'thread',
    topic: channel.topic ?? null,
    parentId: channel.parentId ?? null,
    canSend: has(held, channel.thread ? P.SendMessagesInThreads : P.SendMessages),
  };
}

function viewOf(state: State, person: PersonName): View {
  const me = PEOPLE[person];
  const all = [...state.channels.values()].filter((channel) =>
    has(state.permissions(channel, me.id), P.ViewChannel),
  );
  const shown = (list: readonly StoredChannel[]) => list.map((one) => viewChannel(state, one, me.id));
  const colourOf = new Map<string, string>(Object.values(PEOPLE).map(({ id, colour }) => [id, colour]));
  const viewUser = (id: string): ViewUser => {
    const user = state.user(id)!;
    const name = user.bot ? 'Atelier' : (user.global_name ?? user.username);
    return { id, name, bot: user.bot === true, colour: colourOf.get(id) ?? '#7c5cff' };
  };
  return {
    me: { ...viewUser(me.id), key: person },
    people: (Object.keys(PEOPLE) as PersonName[]).map((key) => ({
      key,
      name: PEOPLE[key].name,
      colour: PEOPLE[key].colour,
    })),
    users: [...state.world.users.keys()].map(viewUser),
    guilds: state.world.guilds.map(({ id, name, roles }) => ({
      id,
      name,
      roles: roles.map((role) => ({ id: role.id, name: role.name, color: role.color })),
      channels: shown(all.filter(({ guildId }) => guildId === id)),
    })),
    direct: shown(all.filter(({ guildId }) => !guildId)),
  };
}

/** What of a change one person's client hears. */
function eventFor(state: State, personId: string, change: Change): PersonEvent | null {
  if (change.type === 'commands') return { type: 'commands' };
  const { channel } = change;
  if ('onlyFor' in change && change.onlyFor && change.onlyFor !== personId) return null;
  if (!has(state.permissions(channel, personId), P.ViewChannel)) return null;
  switch (change.type) {
    case 'message_create':
    case 'message_update':
      return { type: change.type, message: change.message };
    case 'message_delete':
      return { type: 'message_delete', channelId: channel.id, ids: change.ids };
    case 'typing':
      return { type: 'typing', channelId: channel.id, userId: change.userId };
    default:
      return { type: 'view' };
  }
}
