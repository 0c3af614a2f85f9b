/**
 * What the page knows, and its line to the local Discord (see ../protocol.ts).
 *
 * @import { APIApplicationCommand, APIAttachment, APIMessage } from 'discord-api-types/v10'
 * @import { Ask, Outcome, PersonEvent, PersonName, View, ViewChannel } from '../protocol.ts'
 */

/** @typedef {Ask extends infer One ? One extends Ask ? Omit<One, 'person' | 'channel'> : never : never} Act */

export class Client {
  /** @type {PersonName} */
  person = 'member';
  /** what the person's client is set to, as Discord names it */
  locale = 'en-US';
  /** @type {View | null} */
  view = null;
  channelId = '';
  /** @type {Map<string, APIMessage>} of the open channel, by id */
  messages = new Map();
  /** @type {APIApplicationCommand[]} */
  commands = [];
  /** @type {EventSource | null} */
  #stream = null;
  /** @type {(event: PersonEvent) => void} */
  #onEvent;

  /** @param {(event: PersonEvent) => void} onEvent called after the client itself has taken note */
  constructor(onEvent) {
    this.#onEvent = onEvent;
  }

  /** @param {PersonName} person */
  async become(person) {
    this.person = person;
    this.view = await this.#get('view');
    this.#stream?.close();
    this.#stream = new EventSource(`sandbox/events?person=${person}`);
    let opened = false;
    this.#stream.onmessage = async ({ data }) => {
      /** @type {PersonEvent} */
      const event = JSON.parse(data);
      // A second "ready" follows an interruption: something may have been missed.
      if (event.type === 'ready' && opened && this.channelId) await this.open(this.channelId);
      opened = true;
      await this.#note(event);
      this.#onEvent(event);
    };
  }

  /** @param {string} channelId */
  async open(channelId) {
    this.channelId = channelId;
    /** @type {[APIMessage[], APIApplicationCommand[]]} */
    const [messages, commands] = await Promise.all([
      this.#get(`channels/${channelId}/messages`),
      this.#get(`channels/${channelId}/commands`),
    ]);
    if (this.channelId !== channelId) return;
    this.messages = new Map(messages.map((message) => [message.id, message]));
    this.commands = commands;
  }

  /** @param {PersonEvent} event */
  async #note(event) {
    if (event.type === 'view') this.view = await this.#get('view');
    else if (event.type === 'commands' && this.channelId) {
      this.commands = await this.#get(`channels/${this.channelId}/commands`);
    } else if ('message' in event && event.message.channel_id === this.channelId) {
      this.messages.set(event.message.id, event.message);
    } else if (event.type === 'message_delete') {
      for (const id of event.ids) this.messages.delete(id);
    }
  }

  /** @returns {ViewChannel | undefined} */
  get channel() {
    return this.#allChannels.find(({ id }) => id === this.channelId);
  }

  get #allChannels() {
    return [...(this.view?.guilds.flatMap(({ channels }) => channels) ?? []), ...(this.view?.direct ?? [])];
  }

  get guild() {
    return this.view?.guilds.find(({ channels }) => channels.some(({ id }) => id === this.channelId));
  }

  /** @param {string} id */
  user(id) {
    return this.view?.users.find((user) => user.id === id);
  }

  /** What mentions are called here. */
  names = {
    user: (/** @type {string} */ id) => this.user(id)?.name,
    role: (/** @type {string} */ id) =>
      this.view?.guilds
        .flatMap(({ roles }) => roles)
        .find((role) => role.id === id)
        ?.name.replace(/^@/, ''),
    channel: (/** @type {string} */ id) => this.#allChannels.find((channel) => channel.id === id)?.name,
  };

  /**
   * @param {Act} act
   * @returns {Promise<Outcome>}
   */
  act(act) {
    return this.#post('interactions', {
      ...act,
      person: this.person,
      channel: this.channelId,
      locale: this.locale,
    });
  }

  /** @param {string} content */
  say(content) {
    return this.#post(`channels/${this.channelId}/messages`, { person: this.person, content });
  }

  /** @param {APIMessage} message */
  async dismiss(message) {
    await this.#post('dismiss', { person: this.person, channel: message.channel_id, message: message.id });
  }

  /**
   * @param {File} file
   * @returns {Promise<APIAttachment>}
   */
  async upload(file) {
    const query = new URLSearchParams({ person: this.person, channel: this.channelId, filename: file.name });
    return this.#read(await fetch(`sandbox/uploads?${query}`, { method: 'POST', body: file }));
  }

  /** Names of photos that one can try. @returns {Promise<string[]>} */
  samples() {
    return this.#get('samples');
  }

  /** @param {string} name */
  static sampleUrl(name) {
    return `sandbox/samples/${encodeURIComponent(name)}`;
  }

  /** @param {string} name @returns {Promise<File>} */
  async sample(name) {
    const response = await fetch(Client.sampleUrl(name));
    if (!response.ok) throw new Error(`There is no sample ${name}.`);
    return new File([await response.blob()], name, { type: 'image/jpeg' });
  }

  /** @param {string} path */
  async #get(path) {
    return this.#read(await fetch(`sandbox/${path}?person=${this.person}&locale=${this.locale}`));
  }

  /**
   * @param {string} path
   * @param {object} body
   */
  async #post(path, body) {
    return this.#read(await fetch(`sandbox/${path}`, { method: 'POST', body: JSON.stringify(body) }));
  }

  /** @param {Response} response */
  async #read(response) {
    const body = await response.json();
    if (!response.ok) throw new Error(body.error ?? `HTTP ${response.status}`);
    return body;
  }
}
