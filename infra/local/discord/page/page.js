/**
 * The channel page: puts the parts together and keeps them up to date.
 *
 *   client.js    what there is, and the line to the local Discord
 *   message.js   one message · markdown.js its text · select-box.js its menus
 *   first-run.js three things to try
 *   composer.js  where one types · dialog.js modals · overlays.js menus and the lightbox
 *
 * @import { APIMessage } from 'discord-api-types/v10'
 * @import { Outcome, PersonEvent, PersonName, ViewChannel } from '../protocol.ts'
 */
import { Client } from './client.js';
import { Composer } from './composer.js';
import { openDialog } from './dialog.js';
import { byId, fill, h } from './dom.js';
import { firstRun } from './first-run.js';
import { refreshTimes } from './markdown.js';
import { avatar, continues, isEphemeral, renderMessage } from './message.js';
import { closeOverlay, openMenu } from './overlays.js';

const SIGNS = { text: '#', forum: '▤', thread: '⌇', dm: '@', group: '⚭' };

const client = new Client(onEvent);
const list = byId('messages');
const composer = new Composer(byId('composer'), client, (outcome, name) => show(outcome, { command: name }));
/** Failures that only this page knows of, shown at the end of the channel. @type {{ channelId: string, name: string, reason: string }[]} */
let failures = [];
/** Channels with something new. @type {Set<string>} */
const unread = new Set();
/** Elements that need not be built again, with what they were built from. @type {Map<string, { key: string, element: HTMLElement }>} */
let built = new Map();

/** Discord's names of the languages that one can look at this with. */
const LANGUAGES = { 'en-US': 'English', de: 'Deutsch', fr: 'Français', 'es-ES': 'Español', ja: '日本語' };
const LANGUAGE_KEPT = 'locale';

await start();

async function start() {
  const locale = localStorage.getItem(LANGUAGE_KEPT) ?? '';
  if (Object.hasOwn(LANGUAGES, locale)) client.locale = locale;
  const [person, channelId] = location.hash.slice(1).split('/');
  await become(/** @type {PersonName} */ (person || 'member'), channelId);
  byId('menu').addEventListener('click', () => document.body.classList.toggle('drawer'));
  byId('messages').addEventListener('click', ({ target }) => {
    document.body.classList.remove('drawer');
    const id = /** @type {Element} */ (target).closest('[data-channel]')?.getAttribute('data-channel');
    if (id) void open(id);
  });
  setInterval(refreshTimes, 1_000);
  document.addEventListener('keydown', ({ key, ctrlKey, metaKey, altKey, target }) => {
    const typing = /** @type {Element} */ (target).closest('input, textarea, dialog, button');
    if (!typing && key.length === 1 && !ctrlKey && !metaKey && !altKey) composer.focus();
  });
}

/** @param {PersonName} person @param {string} [channelId] */
async function become(person, channelId) {
  failures = [];
  await client.become(person).catch(() => client.become('member'));
  const { guilds = [], direct = [] } = client.view ?? {};
  const all = [...guilds.flatMap(({ channels }) => channels), ...direct];
  await open((all.find(({ id }) => id === channelId) ?? all[0])?.id ?? '');
}

/** @param {string} channelId */
async function open(channelId) {
  document.body.classList.remove('drawer');
  closeOverlay();
  fill(byId('typing'));
  await client.open(channelId);
  unread.delete(channelId);
  history.replaceState(null, '', `#${client.person}/${channelId}`);
  built = new Map();
  drawFrame();
  composer.reset();
  drawMessages(true);
  if (matchMedia('(min-width: 700px)').matches) composer.focus();
}

/** @param {PersonEvent} event */
function onEvent(event) {
  if (event.type === 'view') return drawFrame();
  if (event.type === 'typing') return typing(event.channelId, event.userId);
  if ('message' in event && event.message.channel_id !== client.channelId) {
    if (event.type === 'message_create' && event.message.author.id !== client.view?.me.id) {
      unread.add(event.message.channel_id);
      drawFrame();
    }
    return;
  }
  if (event.type !== 'message_create') return drawMessages();
  fill(byId('typing'));
  // What one said or asked for oneself is brought into view, wherever one was reading.
  const { message } = event;
  const own = message.author.id === client.view?.me.id || isEphemeral(message);
  drawMessages(own);
}

/**
 * What came of something the person did.
 * @param {Outcome} outcome
 * @param {{ command?: string, message?: APIMessage }} from
 */
function show(outcome, { command, message }) {
  if (outcome.kind === 'modal') return openDialog(client, outcome.modal, (next) => show(next, {}));
  if (outcome.kind !== 'failed') return;
  if (message) return problemAt(message, 'This interaction failed');
  failures.push({ channelId: client.channelId, name: command ?? '', reason: outcome.reason });
  drawMessages();
}

/** @param {APIMessage} message @param {string} text */
function problemAt(message, text) {
  const place = list.querySelector(`[data-id="${message.id}"] .problem`);
  if (!(place instanceof HTMLElement)) return;
  place.hidden = false;
  fill(place, `⚠ ${text}`);
  setTimeout(() => {
    place.hidden = true;
  }, 6_000);
}

/** @param {APIMessage} message @param {import('./component.js').Component} component @param {string[]} [values] */
async function press(message, component, values) {
  try {
    const act = {
      kind: /** @type {const} */ ('component'),
      message: message.id,
      customId: component.custom_id ?? '',
    };
    show(await client.act(values ? { ...act, values } : act), { message });
  } catch (error) {
    problemAt(message, error instanceof Error ? error.message : String(error));
  }
}

/** @param {APIMessage} message @param {MouseEvent} at */
function menu(message, at) {
  const item = (/** @type {string} */ text, /** @type {() => unknown} */ act) =>
    h('button', { type: 'button', role: 'menuitem', onclick: act }, text);
  const apps = client.commands.filter(({ type }) => type === 3);
  openMenu(at, [
    h('div', { class: 'menu-title' }, 'Apps'),
    ...apps.map(({ id, name }) =>
      item(name, async () => {
        try {
          show(await client.act({ kind: 'command', command: id, target: message.id }), { command: name });
        } catch (error) {
          problemAt(message, error instanceof Error ? error.message : String(error));
        }
      }),
    ),
    apps.length ? null : h('div', { class: 'menu-none' }, 'No message commands here'),
    h('hr'),
    message.content ? item('Copy text', () => navigator.clipboard.writeText(message.content)) : null,
    item('Copy message id', () => navigator.clipboard.writeText(message.id)),
    isEphemeral(message) ? item('Dismiss message', () => client.dismiss(message)) : null,
  ]);
}

/** @type {ReturnType<typeof setTimeout> | undefined} */
let typingEnds;
/** @param {string} channelId @param {string} userId */
function typing(channelId, userId) {
  if (channelId !== client.channelId) return;
  fill(
    byId('typing'),
    h('i', { class: 'dots' }, h('b'), h('b'), h('b')),
    h('strong', {}, client.names.user(userId) ?? ''),
    ' is typing…',
  );
  clearTimeout(typingEnds);
  typingEnds = setTimeout(() => fill(byId('typing')), 8_000);
}

/** @param {boolean} [toEnd] */
function drawMessages(toEnd = false) {
  const atEnd = toEnd || list.scrollHeight - list.scrollTop - list.clientHeight < 120;
  /** @type {typeof built} */
  const next = new Map();
  /** @type {APIMessage | undefined} */
  let before;
  for (const message of [...client.messages.values()].sort((a, b) =>
    BigInt(a.id) < BigInt(b.id) ? -1 : 1,
  )) {
    const joined = continues(message, before);
    const key = JSON.stringify([message, joined]);
    const old = built.get(message.id);
    const element =
      old?.key === key
        ? old.element
        : renderMessage(client, message, { joined, press, menu, openChannel: open });
    next.set(message.id, { key, element });
    before = message;
  }
  built = next;
  const here = failures.filter(({ channelId }) => channelId === client.channelId);
  fill(
    list,
    intro(),
    [...next.values()].map(({ element }) => element),
    here.map(failureItem),
    firstRun(client, ({ command, options }) => composer.prepare(command, options)),
  );
  if (atEnd) scrollToEnd();
}

/** Pictures have their size from the start, so one jump is enough; late fonts and wraps get a second. */
function scrollToEnd() {
  list.scrollTop = list.scrollHeight;
  requestAnimationFrame(() => {
    list.scrollTop = list.scrollHeight;
  });
}

function intro() {
  const { channel } = client;
  if (!channel) return null;
  const sign = SIGNS[channel.kind];
  return h(
    'li',
    { class: 'intro' },
    h('span', { class: 'intro-sign' }, sign),
    h('h2', {}, channel.kind === 'text' ? `Welcome to #${channel.name}` : channel.name),
    h('p', {}, channel.topic ?? 'This is where it begins.'),
  );
}

/** @param {{ name: string, reason: string }} failure */
function failureItem(failure) {
  const { name, reason } = failure;
  const me = client.view?.me;
  return h(
    'li',
    { class: 'message ephemeral failure' },
    h(
      'div',
      { class: 'origin' },
      avatar(me?.name ?? '', me?.colour ?? ''),
      h('strong', {}, me?.name ?? ''),
      ' used ',
      h('span', { class: 'pill' }, `/${name}`),
    ),
    h(
      'div',
      { class: 'row' },
      avatar('A', '#7c5cff'),
      h(
        'div',
        { class: 'body' },
        h(
          'div',
          { class: 'who' },
          h('span', { class: 'name', style: 'color: #c9bcff' }, 'Atelier'),
          h('span', { class: 'tag' }, 'APP'),
        ),
        h('div', { class: 'failed' }, `⚠ ${reason}`),
        h(
          'div',
          { class: 'only-you' },
          h('i', { class: 'eye' }),
          'Only you can see this · ',
          h(
            'button',
            {
              type: 'button',
              class: 'link',
              onclick: () => {
                failures = failures.filter((one) => one !== failure);
                drawMessages();
              },
            },
            'Dismiss message',
          ),
        ),
      ),
    ),
  );
}

/** Everything around the messages: servers, channels, who one is, the top line. */
function drawFrame() {
  const { view, channel, guild } = client;
  if (!view) return;
  const groups = [
    ...view.guilds.map(({ name, channels }) => ({ name, letter: name.slice(0, 1), channels })),
    { name: 'Direct messages', letter: '@', channels: view.direct },
  ];
  const current = groups.find(({ channels }) => channels.some(({ id }) => id === channel?.id)) ?? groups[0];
  fill(
    byId('guilds'),
    groups.map((group) =>
      h(
        'button',
        {
          type: 'button',
          class: `${group === current ? 'current' : ''} ${group.channels.some(({ id }) => unread.has(id)) ? 'unread' : ''}`,
          title: group.name,
          'aria-label': group.name,
          onclick: () => open(group.channels[0]?.id ?? ''),
        },
        group.letter,
      ),
    ),
  );
  fill(byId('guild-name'), current?.name ?? '');
  const own = current?.channels ?? [];
  fill(
    byId('channels'),
    own
      .filter(({ kind }) => kind !== 'thread')
      .flatMap((one) => [
        channelLink(one),
        ...own.filter(({ parentId }) => parentId === one.id).map(channelLink),
      ]),
  );
  fill(
    byId('me'),
    h(
      'button',
      { type: 'button', onclick: switchPerson },
      avatar(view.me.name, view.me.colour),
      h('span', {}, h('b', {}, view.me.name), h('small', {}, roleOf(client.person))),
      h('span', { class: 'switch' }, 'Be somebody else'),
    ),
    languageSelect(),
  );
  const sign = channel ? SIGNS[channel.kind] : '';
  fill(byId('channel-name'), h('span', { class: 'sign' }, sign), channel?.name ?? '');
  fill(byId('channel-topic'), channel?.topic ?? '');
  document.title = `${channel?.kind === 'text' ? '#' : ''}${channel?.name ?? ''} · ${guild?.name ?? 'Direct'} (local stand-in)`;
}

/** What this person's client is set to: an interaction tells it to the bot. */
function languageSelect() {
  const select = h(
    'select',
    {
      'aria-label': 'Language',
      onchange: () => {
        client.locale = select.value;
        localStorage.setItem(LANGUAGE_KEPT, select.value);
        void open(client.channelId);
      },
    },
    Object.entries(LANGUAGES).map(([value, name]) => h('option', { value }, name)),
  );
  select.value = client.locale;
  return select;
}

/** @param {PersonName} person */
function roleOf(person) {
  return {
    member: 'no roles',
    operator: 'manages the servers',
    moderator: 'reviews what is flagged',
    other: 'no roles',
  }[person];
}

/** @param {ViewChannel} channel */
function channelLink({ id, name, kind }) {
  const classes = ['channel', kind, id === client.channelId && 'current', unread.has(id) && 'unread'];
  return h(
    'button',
    { type: 'button', class: classes.filter(Boolean).join(' '), onclick: () => open(id) },
    h('span', { class: 'sign' }, SIGNS[kind]),
    h('span', {}, name),
  );
}

function switchPerson() {
  const people = client.view?.people ?? [];
  const { left, top } = byId('me').getBoundingClientRect();
  openMenu({ x: left + 8, y: top - 52 * people.length - 40 }, [
    h('div', { class: 'menu-title' }, 'Be somebody else'),
    ...people.map(({ key, name, colour }) =>
      h(
        'button',
        {
          type: 'button',
          role: 'menuitem',
          class: key === client.person ? 'current' : '',
          onclick: () => become(key, client.channelId),
        },
        avatar(name, colour),
        h('span', {}, name, h('small', {}, roleOf(key))),
      ),
    ),
  ]);
}
