/**
 * Where one writes. Plain text is a message; a slash opens the list of commands; a chosen command shows its options as
 * fields, completed by choices or by the bot while one types.
 *
 * @import { APIApplicationCommand, APIApplicationCommandBasicOption, APIApplicationCommandOption } from 'discord-api-types/v10'
 * @import { Outcome } from '../protocol.ts'
 */
import { Client } from './client.js';
import { fill, h } from './dom.js';
import { choicesOf } from './select-box.js';

/** Option types by number, as far as they differ here. */
const TYPE = {
  subcommand: 1,
  group: 2,
  string: 3,
  integer: 4,
  boolean: 5,
  user: 6,
  channel: 7,
  role: 8,
  mentionable: 9,
  number: 10,
  file: 11,
};
/** The select that offers the same things as an option of people, channels or roles. */
const SELECT_OF = { [TYPE.user]: 5, [TYPE.channel]: 8, [TYPE.role]: 6, [TYPE.mentionable]: 7 };
/** Typing pauses this long before the bot is asked. */
const ASK_AFTER_MS = 200;
/** Options of files that sample photos are offered for. */
const FOR_PHOTOS = /^photo/;

/** @typedef {{ command: APIApplicationCommand, path: string[], shown: string, description: string, options: APIApplicationCommandBasicOption[] }} Leaf */
/** @typedef {{ value: string | number | boolean, label: string }} Pick */
/** @typedef {{ text: string, pick: Pick | null, file: File | null }} Entry what stands in one option's field */
/** @typedef {{ title: string, hint?: string, mark?: string, picture?: string, choose: () => void }} Item */

export class Composer {
  #client;
  #onOutcome;
  #list = h('div', { class: 'suggestions', role: 'listbox', hidden: true });
  #error = h('div', { class: 'composer-error', role: 'alert', hidden: true });
  #line = h('div', { class: 'line' });
  /** @type {Leaf | null} */
  #leaf = null;
  /** @type {Map<string, Entry>} options shown, in order */
  #entries = new Map();
  /** @type {Item[]} */
  #items = [];
  #active = 0;
  /** what is listed fits an earlier text: it must not be chosen by Enter */
  #stale = false;
  #asked = 0;
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  #timer;

  /**
   * @param {HTMLElement} root
   * @param {Client} client
   * @param {(outcome: Outcome, name: string) => void} onOutcome
   */
  constructor(root, client, onOutcome) {
    this.#client = client;
    this.#onOutcome = onOutcome;
    fill(root, this.#list, this.#error, this.#line);
    root.addEventListener('keydown', (event) => this.#key(event));
    document.addEventListener('pointerdown', ({ target }) => {
      // What was pressed may be gone already, when pressing it changed the line.
      const pressed = /** @type {Node} */ (target);
      if (pressed.isConnected && !root.contains(pressed)) this.#suggest([]);
    });
    this.reset();
  }

  /** An empty line, as after sending or in another channel. */
  reset() {
    this.#leaf = null;
    this.#entries.clear();
    this.#say('');
    this.#suggest([]);
    const { channel } = this.#client;
    const can = channel?.canSend ?? true;
    const name = channel?.kind === 'text' ? `#${channel.name}` : (channel?.name ?? '');
    const input = h('textarea', {
      rows: 1,
      'aria-label': 'Message',
      placeholder: !can
        ? 'You may not write here, but / commands work'
        : channel?.kind === 'forum'
          ? `Begin a post in ${name}`
          : `Message ${name}, or / for commands`,
      oninput: () => this.#typed(input),
    });
    fill(this.#line, input);
  }

  /**
   * Puts a command into the line, to be looked at and sent.
   * @param {string} name with its subcommand
   * @param {Record<string, string>} options as typed; a file is a sample's name
   */
  async prepare(name, options) {
    const leaf = leaves(this.#client.commands).find((one) => nameOf(one) === name);
    if (!leaf) return;
    this.#begin(leaf);
    for (const option of leaf.options) {
      const text = options[option.name];
      if (text === undefined) continue;
      const file = option.type === TYPE.file ? await this.#client.sample(text) : null;
      this.#entries.set(option.name, { text: file ? '' : text, pick: null, file });
    }
    this.#suggest([]);
    this.#draw();
  }

  focus() {
    /** @type {HTMLElement | null} */ (this.#line.querySelector('textarea, input'))?.focus();
  }

  // Plain text

  /** @param {HTMLTextAreaElement} input */
  #typed(input) {
    input.style.height = 'auto';
    input.style.height = `${Math.min(input.scrollHeight, 200)}px`;
    this.#say('');
    const query = /^\/([^\n]*)$/.exec(input.value)?.[1];
    if (query === undefined) return this.#suggest([]);
    const leaf = leaves(this.#client.commands).find(
      (one) => `${one.shown} ` === query || `${nameOf(one)} ` === query,
    );
    if (leaf) return this.#begin(leaf);
    this.#suggest(
      leaves(this.#client.commands)
        .filter(
          (one) =>
            nameOf(one).startsWith(query) ||
            `${one.shown} ${nameOf(one)}`.split(/[ _-]/).some((part) => part.startsWith(query)),
        )
        .sort((a, b) => Number(!a.shown.startsWith(query)) - Number(!b.shown.startsWith(query)))
        .map((one) => ({
          title: `/${one.shown}`,
          hint: one.description,
          mark: one.options.map((option) => `${labelOf(option)}${option.required ? '' : '?'}`).join('  '),
          choose: () => this.#begin(one),
        })),
      'Commands',
    );
  }

  // A command

  /** @param {Leaf} leaf */
  #begin(leaf) {
    this.#leaf = leaf;
    this.#entries.clear();
    for (const option of leaf.options)
      if (option.required) this.#entries.set(option.name, { text: '', pick: null, file: null });
    this.#suggest([]);
    this.#draw([...this.#entries.keys()][0]);
  }

  /** @param {string} [focused] */
  #draw(focused) {
    const leaf = this.#leaf;
    if (!leaf) return;
    const shown = leaf.options.filter(({ name }) => this.#entries.has(name));
    const rest = leaf.options.filter(({ name }) => !this.#entries.has(name));
    fill(
      this.#line,
      h('span', { class: 'command-name' }, `/${leaf.shown}`),
      shown.map((option) => this.#field(option)),
      rest.length > 0 &&
        h(
          'button',
          { type: 'button', class: 'add-option', onclick: () => this.#offerOptions(rest) },
          `+${rest.length} optional`,
        ),
      h('button', { type: 'button', class: 'send', 'aria-label': 'Send', onclick: () => this.#send() }, '➤'),
      h(
        'button',
        { type: 'button', class: 'cancel', 'aria-label': 'Cancel', onclick: () => this.#cancel() },
        '✕',
      ),
    );
    const target = focused
      ? this.#line.querySelector(
          `[data-option="${CSS.escape(focused)}"] input, [data-option="${CSS.escape(focused)}"] button`,
        )
      : this.#line.querySelector('.send');
    /** @type {HTMLElement | null} */ (target)?.focus();
  }

  /** @param {APIApplicationCommandBasicOption} option */
  #field(option) {
    const { name, type } = option;
    const [label, description] = [labelOf(option), aboutOf(option)];
    const entry = /** @type {Entry} */ (this.#entries.get(name));
    const pill = h(
      'label',
      { class: 'option', 'data-option': name, title: description },
      h('span', {}, label),
    );
    if (type === TYPE.file) {
      const picker = h('input', { type: 'file', hidden: true });
      const withSamples = FOR_PHOTOS.test(name);
      const face = h(
        'button',
        {
          type: 'button',
          class: 'picker',
          'aria-label': `${label}: ${description}`,
          onclick: () => (withSamples ? this.#offerSamples(option, entry, picker) : picker.click()),
          onfocus: () => withSamples && !entry.file && this.#offerSamples(option, entry, picker),
        },
        entry.file?.name ?? (withSamples ? 'choose a photo…' : 'choose a file…'),
      );
      picker.addEventListener('change', () => {
        entry.file = picker.files?.[0] ?? null;
        this.#say('');
        this.#next(name);
      });
      pill.append(face, picker);
      return pill;
    }
    const numeric = type === TYPE.integer || type === TYPE.number;
    const input = h('input', {
      type: 'text',
      inputmode: numeric ? 'decimal' : 'text',
      autocomplete: 'off',
      spellcheck: 'false',
      'aria-label': `${label}: ${description}`,
      onfocus: () => this.#offer(option, entry, input),
      oninput: () => {
        entry.text = input.value;
        entry.pick = null;
        widen(input);
        this.#say('');
        pill.classList.remove('wrong');
        this.#offer(option, entry, input);
      },
    });
    input.value = entry.pick?.label ?? entry.text;
    widen(input);
    pill.append(input);
    return pill;
  }

  /**
   * Shows what could stand in the field: choices, people, or what the bot suggests.
   * @param {APIApplicationCommandBasicOption} option
   * @param {Entry} entry
   * @param {HTMLInputElement} input
   */
  #offer(option, entry, input) {
    clearTimeout(this.#timer);
    const ticket = ++this.#asked;
    const pick = (/** @type {Pick} */ chosen) => () => {
      entry.pick = chosen;
      entry.text = chosen.label;
      this.#next(option.name);
    };
    const fits = (/** @type {string} */ label) =>
      entry.pick !== null || label.toLowerCase().includes(entry.text.trim().toLowerCase());
    const about = `${labelOf(option)}: ${aboutOf(option)}${range(option)}`;
    if ('autocomplete' in option && option.autocomplete) {
      this.#stale = true;
      this.#list.classList.add('stale');
      if (this.#list.hidden || !this.#items.length) this.#suggest([], 'Asking the bot…', true);
      this.#timer = setTimeout(async () => {
        const leaf = this.#leaf;
        if (!leaf) return;
        /** @type {Outcome | null} */
        const outcome = await this.#client
          .act({
            kind: 'autocomplete',
            command: leaf.command.id,
            path: leaf.path,
            options: { ...this.#values(), [option.name]: entry.pick?.label ?? entry.text },
            focused: option.name,
          })
          .catch(() => null);
        if (ticket !== this.#asked || document.activeElement !== input) return;
        if (outcome?.kind !== 'choices') return this.#suggest([], 'Options could not be loaded.');
        const found = outcome.choices.map(({ name, value }) => ({
          title: name,
          choose: pick({ value, label: name }),
        }));
        this.#suggest(found, found.length ? about : 'Nothing fits.');
      }, ASK_AFTER_MS);
      return;
    }
    /** @type {{ label: string, value: string | number | boolean, mark?: string }[]} */
    let offered = [];
    if ('choices' in option && option.choices?.length) {
      offered = option.choices.map((choice) => ({ label: labelOf(choice), value: choice.value }));
    } else if (option.type === TYPE.boolean) {
      offered = [
        { label: 'True', value: true },
        { label: 'False', value: false },
      ];
    } else if (option.type in SELECT_OF) {
      offered = choicesOf(this.#client, { type: /** @type {number} */ (SELECT_OF[option.type]) });
    }
    this.#suggest(
      offered
        .filter(({ label }) => fits(label))
        .map(({ label, value, mark }) => ({
          title: label,
          ...(mark && { mark }),
          choose: pick({ value, label }),
        })),
      about,
    );
  }

  /**
   * A photo of one's own, or one of those that are there to try.
   * @param {APIApplicationCommandBasicOption} option
   * @param {Entry} entry
   * @param {HTMLInputElement} picker
   */
  async #offerSamples(option, entry, picker) {
    const { name } = option;
    const ticket = ++this.#asked;
    const samples = await this.#client.samples();
    if (ticket !== this.#asked) return;
    this.#suggest(
      [
        { title: 'A file of yours…', choose: () => picker.click() },
        ...samples.map((sample) => ({
          title: sample,
          hint: 'a sample: somebody who does not exist',
          picture: Client.sampleUrl(sample),
          choose: async () => {
            entry.file = await this.#client.sample(sample);
            this.#next(name);
          },
        })),
      ],
      `${labelOf(option)}: ${aboutOf(option)}`,
    );
  }

  /** @param {readonly APIApplicationCommandBasicOption[]} rest */
  #offerOptions(rest) {
    this.#suggest(
      rest.map((option) => ({
        title: labelOf(option),
        hint: aboutOf(option),
        choose: () => {
          this.#entries.set(option.name, { text: '', pick: null, file: null });
          this.#draw(option.name);
        },
      })),
      'Options',
    );
  }

  /** On to the next field that is empty, or to the end. @param {string} name */
  #next(name) {
    const names = [...this.#entries.keys()];
    const empty = names.slice(names.indexOf(name) + 1).find((one) => !this.#filled(one));
    this.#suggest([]);
    this.#draw(empty);
  }

  /** @param {string} name */
  #filled(name) {
    const entry = this.#entries.get(name);
    return Boolean(entry && (entry.file || entry.pick || entry.text.trim()));
  }

  /** What is filled in so far, in the options' own types; files are left for sending. */
  #values() {
    /** @type {Record<string, string | number | boolean>} */
    const values = {};
    for (const option of this.#leaf?.options ?? []) {
      const entry = this.#entries.get(option.name);
      if (!entry || entry.file || !this.#filled(option.name)) continue;
      const text = entry.text.trim();
      const numeric = option.type === TYPE.integer || option.type === TYPE.number;
      const typedChoice =
        'choices' in option
          ? option.choices?.find((choice) => labelOf(choice).toLowerCase() === text.toLowerCase())
          : undefined;
      values[option.name] =
        entry.pick?.value ??
        typedChoice?.value ??
        (numeric ? Number(text) : option.type === TYPE.boolean ? text.toLowerCase() === 'true' : text);
    }
    return values;
  }

  async #send() {
    const leaf = this.#leaf;
    if (!leaf) return;
    const empty = leaf.options.filter(({ name, required }) => required && !this.#filled(name));
    if (empty.length) {
      const missing = empty.map(({ name }) => name);
      const labels = empty.map(labelOf);
      for (const name of missing)
        this.#line.querySelector(`[data-option="${CSS.escape(name)}"]`)?.classList.add('wrong');
      this.#draw(missing[0]);
      this.#line.querySelector(`[data-option="${CSS.escape(missing[0] ?? '')}"]`)?.classList.add('wrong');
      return this.#say(
        labels.length > 1 ? `Please fill in ${labels.join(' and ')}.` : `Please fill in ${labels[0]}.`,
      );
    }
    this.#line.classList.add('sending');
    try {
      const options = this.#values();
      for (const [name, { file }] of this.#entries)
        if (file) options[name] = (await this.#client.upload(file)).id;
      const sent = this.#client.act({ kind: 'command', command: leaf.command.id, path: leaf.path, options });
      // The line is free again at once when the command is accepted; a mistake of the person's comes back quickly.
      const early = await Promise.race([sent, new Promise((later) => setTimeout(later, 150))]);
      this.reset();
      this.focus();
      const outcome = early ? /** @type {Outcome} */ (early) : await sent;
      this.#onOutcome(outcome, nameOf(leaf));
    } catch (error) {
      this.#say(error instanceof Error ? error.message : String(error));
    } finally {
      this.#line.classList.remove('sending');
    }
  }

  #cancel() {
    this.reset();
    this.focus();
  }

  // Suggestions and keys

  /**
   * @param {Item[]} items
   * @param {string} [title]
   * @param {boolean} [stale] the bot is still asked what fits
   */
  #suggest(items, title, stale = false) {
    this.#stale = stale;
    this.#list.classList.toggle('stale', stale);
    this.#items = items;
    this.#active = 0;
    this.#list.hidden = !items.length && !title;
    fill(
      this.#list,
      title && h('div', { class: 'suggestions-title' }, title),
      items.map(({ title: text, hint, mark, picture, choose }, i) =>
        h(
          'div',
          {
            role: 'option',
            'aria-selected': String(i === 0),
            onpointerdown: (/** @type {Event} */ event) => {
              event.preventDefault();
              choose();
            },
          },
          picture && h('img', { src: picture, alt: '' }),
          h('b', {}, text),
          mark && h('code', {}, mark),
          hint && h('small', {}, hint),
        ),
      ),
    );
  }

  /** @param {number} by */
  #move(by) {
    const options = this.#list.querySelectorAll('[role=option]');
    this.#active = (this.#active + by + options.length) % options.length;
    for (const [i, option] of options.entries())
      option.setAttribute('aria-selected', String(i === this.#active));
    options[this.#active]?.scrollIntoView({ block: 'nearest' });
  }

  /** @param {KeyboardEvent} event */
  #key(event) {
    const { key } = event;
    const input = /** @type {HTMLInputElement} */ (event.target);
    const listed = !this.#list.hidden && this.#items.length > 0;
    if (listed && (key === 'ArrowDown' || key === 'ArrowUp')) {
      event.preventDefault();
      this.#move(key === 'ArrowDown' ? 1 : -1);
    } else if (key === 'Escape') {
      if (listed) this.#suggest([]);
      else if (this.#leaf) this.#cancel();
    } else if (key === 'Backspace' && this.#leaf && input.tagName === 'INPUT' && input.value === '') {
      event.preventDefault();
      this.#removeOption(input.closest('[data-option]')?.getAttribute('data-option') ?? '');
    } else if ((key === 'Tab' && !event.shiftKey && listed) || (key === 'Enter' && !event.shiftKey)) {
      const field = input.closest('[data-option]')?.getAttribute('data-option');
      const typed = field !== null && field !== undefined && this.#entries.get(field)?.pick;
      if (this.#stale && field) {
        event.preventDefault();
        this.#next(field);
      } else if (listed && !typed) {
        event.preventDefault();
        this.#items[this.#active]?.choose();
      } else if (key === 'Enter' && input.tagName !== 'BUTTON') {
        event.preventDefault();
        if (this.#leaf) void this.#send();
        else void this.#post(input);
      }
    }
  }

  /** @param {string} name */
  #removeOption(name) {
    const option = this.#leaf?.options.find((one) => one.name === name);
    if (option?.required || !this.#entries.has(name)) return this.#cancel();
    this.#entries.delete(name);
    this.#suggest([]);
    this.#draw([...this.#entries.keys()].at(-1));
  }

  /** Sends a plain message. @param {HTMLInputElement} input */
  async #post(input) {
    const text = input.value.trim();
    if (!text) return;
    if (text.startsWith('/')) return this.#say('There is no such command here.');
    try {
      await this.#client.say(text);
      this.reset();
      this.focus();
    } catch (error) {
      this.#say(error instanceof Error ? error.message : String(error));
    }
  }

  /** @param {string} text what is wrong; empty: nothing */
  #say(text) {
    this.#error.hidden = !text;
    fill(this.#error, text);
  }
}

/**
 * Every command that can be typed, subcommands each for itself.
 * @param {readonly APIApplicationCommand[]} commands
 * @returns {Leaf[]}
 */
function leaves(commands) {
  /** @param {APIApplicationCommand} command @param {string[]} path @param {string} shown @param {readonly APIApplicationCommandOption[]} options @param {string} description @returns {Leaf[]} */
  const below = (command, path, shown, options, description) => {
    const subs = options.filter(({ type }) => type === TYPE.subcommand || type === TYPE.group);
    if (!subs.length) {
      return [
        {
          command,
          path,
          shown,
          description,
          options: /** @type {APIApplicationCommandBasicOption[]} */ (options),
        },
      ];
    }
    return subs.flatMap((sub) =>
      below(
        command,
        [...path, sub.name],
        `${shown} ${labelOf(sub)}`,
        'options' in sub ? /** @type {APIApplicationCommandOption[]} */ (sub.options ?? []) : [],
        aboutOf(sub),
      ),
    );
  };
  return commands
    .filter(({ type }) => type === 1)
    .flatMap((one) => below(one, [], labelOf(one), one.options ?? [], aboutOf(one)));
}

/** In the person's language, where the bot has it. @param {{ name: string, name_localized?: string | undefined }} named */
function labelOf({ name, name_localized: localized }) {
  return localized ?? name;
}

/** @param {{ description: string, description_localized?: string | undefined }} described */
function aboutOf({ description, description_localized: localized }) {
  return localized ?? description;
}

/** In English, as the bot knows it. @param {Leaf} leaf */
function nameOf({ command, path }) {
  return [command.name, ...path].join(' ');
}

/** " (0 to 10)" @param {APIApplicationCommandBasicOption} option */
function range(option) {
  const { min_value: min, max_value: max } = /** @type {{ min_value?: number, max_value?: number }} */ (
    option
  );
  if (min !== undefined && max !== undefined) return ` (${min} to ${max})`;
  if (min !== undefined) return ` (at least ${min})`;
  return max !== undefined ? ` (at most ${max})` : '';
}

/** The field grows with what is in it. @param {HTMLInputElement} input */
function widen(input) {
  input.style.width = `${Math.min(48, Math.max(6, input.value.length + 1))}ch`;
}
