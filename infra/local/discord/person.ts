/**
 * A person at the keyboard, for tests and scripted demos: types, presses, chooses and reads over the same HTTP endpoints as
 * the channel page.
 *
 *   const member = await connectPerson(sandbox.pageUrl, { person: 'member', channel: 'portraits' });
 *   await member.command('imagine', { prompt: 'a lighthouse keeper' });
 *   const reply = await member.waitForReply();
 *   await member.press(reply, 'Cancel');
 */
import { readFile } from 'node:fs/promises';
import { basename } from 'node:path';
import {
  type APIApplicationCommand,
  type APIApplicationCommandOptionChoice,
  type APIAttachment,
  type APIMessage,
  type APIUnfurledMediaItem,
  ApplicationCommandType,
  MessageFlags,
  ApplicationCommandOptionType as Option,
} from 'discord-api-types/v10';
import { type OptionValue, optionsAt } from './commands.ts';
import { mediaOf, walk } from './components.ts';
import type { Json } from './fields.ts';
import type { Ask, FieldValue, Modal, Outcome, PersonEvent, PersonName, View } from './protocol.ts';

export type { Modal, Outcome, PersonName } from './protocol.ts';

const WAIT_MS = 10_000;

/** A path, or a name and bytes. */
export type FileToSend = string | { readonly filename: string; readonly data: Uint8Array };

export interface PersonPlace {
  readonly person: PersonName;
  /** 0 is the default */
  readonly guild?: 0 | 1 | 2;
  /** a name in that guild, `dm` (with the bot), `friends` (the group chat), or an id, a thread's too */
  readonly channel: string;
  /** of the person's Discord; `en-US` is the default */
  readonly locale?: string;
}

interface Waiting {
  readonly timeoutMs?: number;
}

export interface Person {
  readonly id: string;
  readonly name: PersonName;
  readonly channelId: string;
  /** The same person and connection in another channel; names as in `PersonPlace`. */
  in(channel: string): Promise<Person>;
  /** Commands offered here. */
  commands(): Promise<APIApplicationCommand[]>;
  /** `command('faces add', { name: 'ada' }, { photo: 'ada.png' })` */
  command(
    name: string,
    options?: Readonly<Record<string, OptionValue>>,
    attachments?: Readonly<Record<string, FileToSend>>,
  ): Promise<Outcome>;
  /** What the bot offers while `focused` is being typed; nothing when it does not answer. */
  autocomplete(
    name: string,
    options: Readonly<Record<string, OptionValue>>,
    focused: string,
  ): Promise<readonly APIApplicationCommandOptionChoice[]>;
  /** A message command, from the menu of a message. */
  contextMenu(name: string, message: APIMessage | string): Promise<Outcome>;
  /** A button, by custom id, label, or the beginning of a custom id. */
  press(message: APIMessage | string, customIdOrLabel: string): Promise<Outcome>;
  select(message: APIMessage | string, customId: string, values: readonly string[]): Promise<Outcome>;
  /** Fields by custom id; `files` are uploaded first. Fields left out keep what the modal suggests. */
  submitModal(
    modal: Modal,
    values: Readonly<Record<string, FieldValue>>,
    files?: Readonly<Record<string, readonly FileToSend[]>>,
  ): Promise<Outcome>;
  /** Writes an ordinary message. */
  say(content: string): Promise<APIMessage>;
  /** What this person sees here, oldest first; their ephemeral messages too. */
  messages(): Promise<APIMessage[]>;
  dismiss(message: APIMessage): Promise<void>;
  /** The first message here, already there or yet to come, that fits as it now is. */
  waitForMessage(fits: (message: APIMessage) => boolean, waiting?: Waiting): Promise<APIMessage>;
  /** The answer to the last interaction (of this person, anywhere), once it no longer says "thinking". */
  waitForReply(waiting?: Waiting): Promise<APIMessage>;
  /** The message as soon as it fits; without a test, as soon as it differs from what is given. */
  waitForEdit(
    message: APIMessage,
    fits?: (message: APIMessage) => boolean,
    waiting?: Waiting,
  ): Promise<APIMessage>;
  close(): void;
}

/** Whether only one person sees it. */
export function isEphemeral(message: APIMessage): boolean {
  return ((message.flags ?? 0) & MessageFlags.Ephemeral) !== 0;
}

export function isThinking(message: APIMessage): boolean {
  return ((message.flags ?? 0) & MessageFlags.Loading) !== 0;
}

/** All that a message says: content, embeds and text displays, line by line. */
export function textOf(message: APIMessage): string {
  const embeds = message.embeds.flatMap(({ title, description, fields }) => [
    title,
    description,
    ...(fields ?? []).flatMap(({ name, value }) => [name, value]),
  ]);
  const components = [...walk(message.components ?? [])].map(({ type, content, label }) =>
    type === 2 ? label : content,
  );
  return [message.content, ...embeds, ...components]
    .filter((part) => typeof part === 'string' && part)
    .join('\n');
}

export type ShownFile = Pick<APIAttachment, 'id' | 'filename' | 'url' | 'content_type'>;

/** The files of a message, in the order that they are seen: of those in components Discord says no more. */
export function filesOf(message: APIMessage): ShownFile[] {
  const inComponents = [...walk(message.components ?? [])].flatMap(mediaOf).flatMap((media): ShownFile[] => {
    const { attachment_id: id, url, content_type } = media as unknown as APIUnfurledMediaItem;
    const filename = decodeURIComponent(basename(new URL(url).pathname));
    return id === undefined ? [] : [{ id, filename, url, ...(content_type && { content_type }) }];
  });
  return [...message.attachments, ...inComponents];
}

export async function connectPerson(
  pageUrl: string,
  { person, guild = 0, channel, locale = 'en-US' }: PersonPlace,
): Promise<Person> {
  const connection = await Connection.open(pageUrl, person);
  return at(connection, guild, await connection.channelId(channel, guild), locale);
}

function at(connection: Connection, guild: 0 | 1 | 2, channelId: string, locale: string): Person {
  const { person } = connection;
  const place = { person, channel: channelId };
  const ask = async (rest: AskRest): Promise<Outcome> => {
    const outcome = await connection.post<Outcome>('interactions', { ...place, locale, ...rest } as Ask);
    if (rest.kind !== 'autocomplete') connection.lastInteraction = outcome;
    return outcome;
  };
  const commands = () => connection.get<APIApplicationCommand[]>(`channels/${channelId}/commands`);
  const find = async (name: string, type: ApplicationCommandType) => {
    const [first, ...path] = type === ApplicationCommandType.ChatInput ? name.split(' ') : [name];
    const offered = await commands();
    const command = offered.find((one) => one.name === first && one.type === type);
    if (!command) {
      const names = offered.map((one) => one.name).join(', ');
      throw new Error(`${person} is not offered “${name}” here. Offered: ${names || 'nothing'}`);
    }
    return { command, path };
  };
  const uploaded = (file: FileToSend) => connection.upload(channelId, file);
  const idOf = (message: APIMessage | string) => (typeof message === 'string' ? message : message.id);
  const componentsOf = async (message: APIMessage | string): Promise<Json[]> => {
    const shown = (await self.messages()).find(({ id }) => id === idOf(message));
    if (!shown) throw new Error(`${person} does not see message ${idOf(message)}`);
    return [...walk(shown.components ?? [])];
  };

  const self: Person = {
    id: connection.view.me.id,
    name: person,
    channelId,
    in: async (channel) => at(connection, guild, await connection.channelId(channel, guild), locale),
    commands,

    async command(name, options = {}, attachments = {}) {
      const { command, path } = await find(name, ApplicationCommandType.ChatInput);
      const filled: Record<string, OptionValue> = { ...options };
      for (const [option, file] of Object.entries(attachments)) {
        const known = optionsAt(command, path).some(
          (one) => one.name === option && one.type === Option.Attachment,
        );
        if (!known) throw new Error(`/${name} takes no file as “${option}”`);
        filled[option] = (await uploaded(file)).id;
      }
      return ask({ kind: 'command', command: command.id, path, options: filled });
    },

    async autocomplete(name, options, focused) {
      const { command, path } = await find(name, ApplicationCommandType.ChatInput);
      const outcome = await ask({ kind: 'autocomplete', command: command.id, path, options, focused });
      return outcome.kind === 'choices' ? outcome.choices : [];
    },

    async contextMenu(name, message) {
      const { command } = await find(name, ApplicationCommandType.Message);
      return ask({ kind: 'command', command: command.id, target: idOf(message) });
    },

    async press(message, wanted) {
      const buttons = (await componentsOf(message)).filter(({ type, custom_id }) => type === 2 && custom_id);
      const found =
        buttons.find(({ custom_id }) => custom_id === wanted) ??
        buttons.find(({ label }) => label === wanted) ??
        buttons.find(({ custom_id }) => String(custom_id).startsWith(wanted));
      if (!found) {
        const labels = buttons.map(({ label, custom_id }) => label ?? custom_id).join(', ');
        throw new Error(`The message has no button “${wanted}”. It has: ${labels || 'none'}`);
      }
      return ask({ kind: 'component', message: idOf(message), customId: String(found.custom_id) });
    },

    select: (message, customId, values) =>
      ask({ kind: 'component', message: idOf(message), customId, values }),

    async submitModal(modal, values, files = {}) {
      const fields: Record<string, FieldValue> = { ...values };
      for (const [name, list] of Object.entries(files)) {
        fields[name] = (await Promise.all(list.map(uploaded))).map(({ id }) => id);
      }
      return ask({ kind: 'modal', modal: modal.interactionId, fields });
    },

    say: (content) => connection.post<APIMessage>(`channels/${channelId}/messages`, { ...place, content }),
    messages: () => connection.get<APIMessage[]>(`channels/${channelId}/messages`),
    dismiss: async (message) => void (await connection.post('dismiss', { ...place, message: message.id })),

    waitForMessage: (fits, waiting) =>
      connection.until(
        async () => (await self.messages()).find(fits),
        ({ channel_id }) => channel_id === channelId,
        'a message that fits',
        waiting,
      ),

    waitForReply(waiting) {
      const asked = connection.lastInteraction;
      if (!asked) throw new Error(`${person} has not asked for anything yet`);
      if (asked.kind === 'failed') throw new Error(asked.reason);
      // The first answer may have been deleted and followed up: any message of this interaction answers it.
      const answers = (message: APIMessage) =>
        !isThinking(message) &&
        (message.interaction_metadata?.id === asked.interactionId ||
          (asked.kind === 'updated' && message.id === asked.message.id));
      return connection.until(
        async () => {
          const here = asked.kind === 'reply' || asked.kind === 'deferred' || asked.kind === 'updated';
          const place = here ? asked.message.channel_id : channelId;
          return (await connection.get<APIMessage[]>(`channels/${place}/messages`)).find(answers);
        },
        answers,
        'a reply',
        waiting,
      );
    },

    waitForEdit(message, fits, waiting) {
      const before = JSON.stringify(message);
      const changed = fits ?? ((now: APIMessage) => JSON.stringify(now) !== before);
      return connection.until(
        async () => (await self.messages()).find((now) => now.id === message.id && changed(now)),
        ({ id }) => id === message.id,
        `an edit of message ${message.id}`,
        waiting,
      );
    },

    close: () => connection.close(),
  };
  return self;
}

type AskRest = Ask extends infer One ? (One extends Ask ? Omit<One, 'person' | 'channel'> : never) : never;

/** One person's line to the local Discord: requests, and the stream of what changes. */
class Connection {
  readonly person: PersonName;
  view: View;
  lastInteraction: Outcome | null = null;
  readonly #base: string;
  readonly #ended = new AbortController();
  readonly #listeners = new Set<(event: PersonEvent) => void>();

  private constructor(base: string, person: PersonName, view: View) {
    this.#base = base;
    this.person = person;
    this.view = view;
  }

  static async open(pageUrl: string, person: PersonName): Promise<Connection> {
    const base = new URL('/sandbox/', pageUrl).href;
    const response = await fetch(`${base}view?person=${person}`);
    const connection = new Connection(base, person, (await response.json()) as View);
    const { promise: ready, resolve } = Promise.withResolvers<void>();
    connection.#listeners.add(() => resolve());
    void connection.#listen();
    await ready;
    connection.#listeners.clear();
    return connection;
  }

  async #listen(): Promise<void> {
    try {
      const response = await fetch(`${this.#base}events?person=${this.person}`, {
        signal: this.#ended.signal,
      });
      let text = '';
      for await (const chunk of response.body!.pipeThrough(new TextDecoderStream())) {
        text += chunk;
        const events = text.split('\n\n');
        text = events.pop()!;
        for (const line of events) {
          if (!line.startsWith('data: ')) continue;
          const event = JSON.parse(line.slice(6)) as PersonEvent;
          for (const listener of this.#listeners) listener(event);
        }
      }
    } catch {
      // The line was closed, by us or by the other side's end; whoever waits runs into the time limit.
    }
  }

  async get<T>(path: string): Promise<T> {
    return this.#read(await fetch(`${this.#base}${path}?person=${this.person}`));
  }

  async post<T>(path: string, body: object): Promise<T> {
    return this.#read(await fetch(`${this.#base}${path}`, { method: 'POST', body: JSON.stringify(body) }));
  }

  async upload(channel: string, file: FileToSend): Promise<APIAttachment> {
    const { filename, data } =
      typeof file === 'string' ? { filename: basename(file), data: await readFile(file) } : file;
    const query = new URLSearchParams({ person: this.person, channel, filename });
    const body = new Uint8Array(data);
    return this.#read(await fetch(`${this.#base}uploads?${query}`, { method: 'POST', body }));
  }

  async #read<T>(response: Response): Promise<T> {
    const body = (await response.json()) as T & { error?: string };
    if (!response.ok) throw new Error(body.error ?? `HTTP ${response.status}`);
    return body;
  }

  async channelId(name: string, guild: 0 | 1 | 2): Promise<string> {
    this.view = await this.get<View>('view');
    const { guilds, direct } = this.view;
    const here = guilds[guild]?.channels ?? [];
    const found =
      name === 'dm'
        ? direct.find(({ kind }) => kind === 'dm')
        : (here.find((one) => one.name === name) ??
          [...direct, ...guilds.flatMap(({ channels }) => channels)].find(
            (one) => one.id === name || one.name === name,
          ));
    if (!found)
      throw new Error(`${this.person} sees no channel “${name}”: ${here.map((one) => one.name).join(', ')}`);
    return found.id;
  }

  /** Looks now and after every event that concerns it; events alone could be missed, looking alone would be slow. */
  until(
    look: () => Promise<APIMessage | undefined>,
    concerns: (message: APIMessage) => boolean,
    what: string,
    { timeoutMs = WAIT_MS }: Waiting = {},
  ): Promise<APIMessage> {
    const { promise, resolve, reject } = Promise.withResolvers<APIMessage>();
    const check = () =>
      void look().then((found) => {
        if (found) resolve(found);
      }, reject);
    const onEvent = (event: PersonEvent) => {
      if ('message' in event && concerns(event.message)) check();
    };
    const timer = setTimeout(
      () => reject(new Error(`${this.person} waited ${timeoutMs / 1000} s for ${what}`)),
      timeoutMs,
    );
    this.#listeners.add(onEvent);
    check();
    return promise.finally(() => {
      clearTimeout(timer);
      this.#listeners.delete(onEvent);
    });
  }

  close(): void {
    this.#ended.abort();
  }
}
