/**
 * The bot as it runs, before the local Discord: real shards, in a process of their own, on this file's own
 * database. People type and
 * press as its page does. There is no worker and no courier: what they would do is done by the tests.
 */
import type { APIApplicationCommandOptionChoice, APIMessage } from 'discord.js';
import { connectPerson, type Modal, type Outcome, type Person } from '#infra/local/discord/person.ts';
import { type Sandbox, type SandboxOptions, startSandbox } from '#infra/local/discord/sandbox.ts';
import { type PersonName, STAFF } from '#infra/local/discord/world.ts';
import type { Bot, BotOptions } from '#src/services/bot/supervisor.ts';

const TOKEN = 'local.a-token-of-thirty-characters-or-more';
const APPLICATION = '1100000000000000001';

export interface LocalBot {
  readonly sandbox: Sandbox;
  readonly bot: Bot;
  /** of a channel that the moderator sees */
  channel(name: string, guild?: 0 | 1 | 2): Promise<string>;
  /** guild 0 is shard 0's, guild 1 shard 1's */
  as(person: PersonName, channel?: string, guild?: 0 | 1 | 2, locale?: string): Promise<Typist>;
  /** As the bot, as the courier asks it: POST. */
  rest<T>(path: string, body: object): Promise<T>;
  post(channelId: string, content: string, components?: readonly object[]): Promise<APIMessage>;
  close(): Promise<void>;
}

type Options = Readonly<Record<string, string | number | boolean>>;
type Files = Readonly<Record<string, { filename: string; data: Uint8Array }>>;

/** A person whose every move resolves with what they then read. */
export interface Typist {
  readonly id: string;
  readonly channelId: string;
  /** `/name path…` */
  type(command: string, options?: Options, files?: Files): Promise<APIMessage>;
  /** a command or button that opens a form */
  open(command: string): Promise<Modal>;
  openBy(message: APIMessage, button: string): Promise<Modal>;
  /** a select that opens a form */
  chooseForm(message: APIMessage, customId: string, values: readonly string[]): Promise<Modal>;
  suggest(
    command: string,
    options: Options,
    focused: string,
  ): Promise<readonly APIApplicationCommandOptionChoice[]>;
  /** a button; or with values, a select. The answer below it, or the message as it is then. */
  press(message: APIMessage, customId: string, values?: readonly string[]): Promise<APIMessage>;
  send(
    form: Modal,
    fields: Readonly<Record<string, string | string[]>>,
    from?: APIMessage,
  ): Promise<APIMessage>;
  /** of a message's Apps menu */
  choose(message: APIMessage, entry: string): Promise<APIMessage>;
}

/** Sets the environment that `config` and the shards' processes read: nothing of ours may be imported before. */
export async function startLocalBot(
  options: Partial<SandboxOptions> = {},
  botOptions: BotOptions = {},
): Promise<LocalBot> {
  const sandbox = await startSandbox({
    token: TOKEN,
    applicationId: APPLICATION,
    check: 'openapi',
    rateLimits: false,
    ...options,
  });
  Object.assign(process.env, {
    DISCORD_TOKEN: TOKEN,
    DISCORD_APPLICATION_ID: APPLICATION,
    DISCORD_API_URL: sandbox.apiUrl,
    DISCORD_CDN_HOSTS: new URL(sandbox.apiUrl).host,
    SHARDS: '2',
    ...STAFF,
  });
  const { startBot } = await import('#src/services/bot/supervisor.ts');
  const bot = await startBot({ pauseMs: 100, ...botOptions });
  const people = new Map<string, Person>();

  const connect = async (person: PersonName, channel: string, guild: 0 | 1 | 2, locale = 'en-US') => {
    const key = `${person} ${channel} ${guild} ${locale}`;
    const known =
      people.get(key) ?? (await connectPerson(sandbox.pageUrl, { person, channel, guild, locale }));
    people.set(key, known);
    return known;
  };

  const rest = async <T>(path: string, body: object): Promise<T> => {
    const response = await fetch(`${sandbox.apiUrl}/v10/${path}`, {
      method: 'POST',
      headers: { authorization: `Bot ${TOKEN}`, 'content-type': 'application/json' },
      body: JSON.stringify(body),
    });
    if (!response.ok) throw new Error(await response.text());
    return (await response.json()) as T;
  };

  return {
    sandbox,
    bot,
    channel: async (name, guild = 0) => (await connect('moderator', name, guild)).channelId,
    as: async (person, channel = 'portraits', guild = 0, locale) =>
      typist(await connect(person, channel, guild, locale)),
    rest,
    post: (channelId, content, components = []) =>
      rest<APIMessage>(`channels/${channelId}/messages`, { content, components }),
    async close() {
      for (const person of people.values()) person.close();
      await bot.close();
      await sandbox.close();
    },
  };
}

function typist(person: Person): Typist {
  /** An acknowledged press changes its message, or is answered below it. */
  const read = async (outcome: Outcome, pressed?: APIMessage): Promise<APIMessage> => {
    if (outcome.kind === 'failed') throw new Error(outcome.reason);
    if (outcome.kind !== 'acknowledged' || !pressed) return person.waitForReply();
    return Promise.any([person.waitForReply(), person.waitForEdit(pressed)]);
  };
  const form = (outcome: Outcome): Modal => {
    if (outcome.kind === 'modal') return outcome.modal;
    throw new Error(`No form was opened: ${JSON.stringify(outcome)}`);
  };
  return {
    id: person.id,
    channelId: person.channelId,
    type: async (command, options, files) => read(await person.command(command, options, files)),
    open: async (command) => form(await person.command(command)),
    openBy: async (message, button) => form(await person.press(message, button)),
    chooseForm: async (message, customId, values) => form(await person.select(message, customId, values)),
    suggest: (command, options, focused) => person.autocomplete(command, options, focused),
    async press(message, customId, values) {
      const outcome = values
        ? await person.select(message, customId, values)
        : await person.press(message, customId);
      return read(outcome, message);
    },
    send: async (modal, fields, from) => read(await person.submitModal(modal, fields), from),
    choose: async (message, entry) => read(await person.contextMenu(entry, message)),
  };
}
