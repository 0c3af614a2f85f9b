/**
 * One message as a list item: who, when, what it answers, content, embeds, attachments, components.
 *
 * @import { APIAttachment, APIEmbed, APIMessage } from 'discord-api-types/v10'
 * @import { Client } from './client.js'
 * @import { Component, Media } from './component.js'
 */
import { add, h, safeUrl, sizeText } from './dom.js';
import { markdown } from './markdown.js';
import { openLightbox } from './overlays.js';
import { selectBox } from './select-box.js';

/** @typedef {(message: APIMessage, component: Component, values?: string[]) => Promise<void>} Press */

const FLAG = { ephemeral: 1 << 6, thinking: 1 << 7, v2: 1 << 15 };
const GROUP_WITHIN_MS = 7 * 60_000;

/** @param {APIMessage} message */
export const isEphemeral = (message) => Boolean((message.flags ?? 0) & FLAG.ephemeral);

/** @param {string} name @param {string} colour */
export function avatar(name, colour) {
  return h(
    'span',
    { class: 'avatar', style: `--colour: ${colour}`, 'aria-hidden': 'true' },
    name.slice(0, 1),
  );
}

/**
 * @param {APIMessage} message
 * @param {APIMessage | undefined} before
 */
export function continues(message, before) {
  return (
    before?.author.id === message.author.id &&
    !message.interaction &&
    !message.referenced_message &&
    isEphemeral(before) === isEphemeral(message) &&
    Date.parse(message.timestamp) - Date.parse(before.timestamp) < GROUP_WITHIN_MS
  );
}

/**
 * @param {Client} client
 * @param {APIMessage} message
 * @param {{ joined: boolean, press: Press, menu: (message: APIMessage, at: MouseEvent) => void, openChannel: (id: string) => void }} options
 */
export function renderMessage(client, message, { joined, press, menu, openChannel }) {
  const user = client.user(message.author.id);
  const name = user?.name ?? message.author.username;
  const ephemeral = isEphemeral(message);
  const mine = message.mentions.some(({ id }) => id === client.view?.me.id);
  const time = new Date(message.timestamp);
  const short = new Intl.DateTimeFormat('en', { timeStyle: 'short' }).format(time);

  const body = h('div', { class: 'body' });
  if (!joined) {
    body.append(
      h(
        'div',
        { class: 'who' },
        h('span', { class: 'name', style: `color: ${user?.bot ? '#c9bcff' : user?.colour}` }, name),
        user?.bot && h('span', { class: 'tag' }, 'APP'),
        h('time', { title: time.toString() }, short),
      ),
    );
  }
  if ((message.flags ?? 0) & FLAG.thinking) {
    body.append(
      h(
        'div',
        { class: 'thinking' },
        h('i', { class: 'dots' }, h('b'), h('b'), h('b')),
        `${name} is thinking…`,
      ),
    );
  } else fillBody(client, message, body, press);
  const problem = h('div', { class: 'problem', hidden: true });
  body.append(problem);
  if (ephemeral) {
    body.append(
      h(
        'div',
        { class: 'only-you' },
        h('i', { class: 'eye' }),
        'Only you can see this · ',
        h(
          'button',
          { type: 'button', class: 'link', onclick: () => client.dismiss(message) },
          'Dismiss message',
        ),
      ),
    );
  }
  if (message.thread) {
    const { id, name: title } = message.thread;
    body.append(threadLink(id, title ?? 'thread', openChannel));
  }
  if (message.type === 18 && message.message_reference) {
    body.replaceChildren(
      h('div', { class: 'system' }, h('strong', {}, name), ' started a thread: '),
      threadLink(message.message_reference.channel_id, message.content, openChannel),
    );
  }

  return h(
    'li',
    {
      class: ['message', joined && 'joined', ephemeral && 'ephemeral', mine && 'mentions-me']
        .filter(Boolean)
        .join(' '),
      'data-id': message.id,
      oncontextmenu: (/** @type {MouseEvent} */ event) => {
        if (/** @type {Element} */ (event.target).closest('a, input, textarea')) return;
        event.preventDefault();
        menu(message, event);
      },
    },
    origin(client, message),
    h(
      'div',
      { class: 'row' },
      joined ? h('span', { class: 'gutter' }, short) : avatar(name, user?.colour ?? '#7c5cff'),
      body,
    ),
    h(
      'button',
      {
        type: 'button',
        class: 'more',
        'aria-label': 'More',
        onclick: (/** @type {MouseEvent} */ event) => menu(message, event),
      },
      '⋯',
    ),
  );
}

/** "Member used /imagine", or the message that is answered. */
function origin(/** @type {Client} */ client, /** @type {APIMessage} */ message) {
  const { interaction, referenced_message: target } = message;
  if (interaction) {
    const who = client.user(interaction.user.id);
    const { command_type: kind = 1 } = /** @type {{ command_type?: number }} */ (
      message.interaction_metadata ?? {}
    );
    const slash = kind === 1;
    return h(
      'div',
      { class: 'origin' },
      avatar(who?.name ?? '?', who?.colour ?? '#888'),
      h('strong', {}, who?.name ?? interaction.user.username),
      ' used ',
      h('span', { class: 'pill' }, `${slash ? '/' : ''}${interaction.name}`),
    );
  }
  if (!target) return null;
  const who = client.user(target.author.id);
  const text =
    target.content || firstText(/** @type {Component[]} */ (target.components ?? [])) || 'an attachment';
  return h(
    'div',
    { class: 'origin' },
    avatar(who?.name ?? '?', who?.colour ?? '#888'),
    h('strong', {}, who?.name ?? target.author.username),
    h('span', { class: 'excerpt' }, markdown(text.split('\n', 1)[0] ?? '', client.names).textContent),
  );
}

/** @param {Component[]} components @returns {string | undefined} */
function firstText(components) {
  for (const one of components) {
    const found = one.content ?? firstText(one.components ?? []);
    if (found) return found;
  }
}

/** @param {string} id @param {string} name @param {(id: string) => void} open */
function threadLink(id, name, open) {
  return h(
    'button',
    { type: 'button', class: 'thread-link', onclick: () => open(id) },
    h('span', {}, '⌇ '),
    name,
    h('em', {}, ' Open ›'),
  );
}

/**
 * @param {Client} client
 * @param {APIMessage} message
 * @param {HTMLElement} body
 * @param {Press} press
 */
function fillBody(client, message, body, press) {
  if (message.content) {
    const edited = message.edited_timestamp && h('span', { class: 'edited' }, ' (edited)');
    const content = h('div', { class: 'content' });
    add(content, [markdown(message.content, client.names), edited]);
    body.append(content);
  }
  const v2 = Boolean((message.flags ?? 0) & FLAG.v2);
  if (!v2) {
    const { attachments } = message;
    const images = attachments.filter(({ content_type }) => content_type?.startsWith('image/'));
    if (images.length) {
      body.append(
        gallery(
          images.map((one) => ({
            media: one,
            description: one.description,
            spoiler: Boolean((one.flags ?? 0) & 8),
          })),
        ),
      );
    }
    for (const one of attachments.filter((file) => !images.includes(file)))
      body.append(fileBox(one.filename, one.size, one.url));
  }
  for (const embed of message.embeds) body.append(renderEmbed(client, embed));
  const components = /** @type {Component[]} */ (/** @type {unknown} */ (message.components ?? []));
  body.append(...components.map((one) => renderComponent(client, message, one, press)));
}

/**
 * @param {Client} client
 * @param {APIMessage} message
 * @param {Component} component
 * @param {Press} press
 * @returns {HTMLElement}
 */
function renderComponent(client, message, component, press) {
  const inner = (/** @type {Component[]} */ list) =>
    list.map((one) => renderComponent(client, message, one, press));
  switch (component.type) {
    case 1:
      return h('div', { class: 'action-row' }, inner(component.components ?? []));
    case 2:
      return button(message, component, press);
    case 9:
      return h(
        'div',
        { class: 'section' },
        h('div', {}, inner(component.components ?? [])),
        component.accessory && renderComponent(client, message, component.accessory, press),
      );
    case 10:
      return h('div', { class: 'content' }, markdown(component.content ?? '', client.names));
    case 11:
      return h(
        'div',
        { class: 'thumbnail' },
        component.media &&
          image(component.media, component.description, component.spoiler, [component.media]),
      );
    case 12:
      return gallery(component.items ?? []);
    case 13:
      return fileBox(component.name ?? 'file', component.size ?? 0, component.file?.url ?? '');
    case 14:
      return h('hr', {
        class: `${component.divider ? '' : 'blank'} ${component.spacing === 2 ? 'large' : ''}`,
      });
    case 17: {
      const accent = component.accent_color;
      const colour = typeof accent === 'number' ? `#${accent.toString(16).padStart(6, '0')}` : null;
      return h(
        'div',
        { class: `container${colour ? ' accented' : ''}`, style: colour && `--accent: ${colour}` },
        inner(component.components ?? []),
      );
    }
    default:
      return h(
        'div',
        { class: 'select-row' },
        selectBox(client, component, { onChosen: (values) => press(message, component, values) }),
      );
  }
}

const BUTTON = ['', 'primary', 'secondary', 'success', 'danger', 'link-button'];

/**
 * @param {APIMessage} message
 * @param {Component} component
 * @param {Press} press
 * @returns {HTMLElement}
 */
function button(message, component, press) {
  const face = [
    component.emoji?.name && h('span', { class: 'emoji' }, component.emoji.name),
    component.label ?? '',
  ];
  const style = BUTTON[component.style ?? 2] ?? 'secondary';
  if (component.style === 5) {
    const href = safeUrl(component.url ?? '');
    return h(
      'a',
      { class: `button ${style}`, href, target: '_blank', rel: 'noreferrer noopener' },
      face,
      ' ↗',
    );
  }
  /** @type {HTMLButtonElement} */
  const element = h(
    'button',
    {
      type: 'button',
      class: `button ${style}`,
      disabled: component.disabled === true,
      'data-custom-id': component.custom_id,
      onclick: async () => {
        element.classList.add('busy');
        element.disabled = true;
        await press(message, component);
        element.classList.remove('busy');
        element.disabled = component.disabled === true;
      },
    },
    face,
  );
  return element;
}

/** @param {{ media: Media, description?: string | null | undefined, spoiler?: boolean | undefined }[]} items */
function gallery(items) {
  const all = items.map(({ media }) => media);
  return h(
    'div',
    { class: `gallery n${Math.min(items.length, 10)}` },
    items.map(({ media, description, spoiler }) => image(media, description, spoiler, all)),
  );
}

/**
 * @param {Media} media
 * @param {string | null | undefined} description
 * @param {boolean | undefined} spoiler
 * @param {Media[]} all what the lightbox leafs through
 */
function image(media, description, spoiler, all) {
  const { width, height } = media;
  const frame = h(
    'button',
    {
      type: 'button',
      class: `picture${spoiler ? ' hidden-picture' : ''}`,
      style: width && height && `--ratio: ${width} / ${height}; --width: ${width}px`,
      title: description,
      onclick: () => {
        if (frame.classList.contains('hidden-picture')) frame.classList.remove('hidden-picture');
        else
          openLightbox(
            all.map(({ url }) => url),
            media.url,
          );
      },
    },
    h('img', { src: safeUrl(media.url), alt: description ?? '', width, height }),
  );
  return frame;
}

/** @param {string} name @param {number} size @param {string} url */
function fileBox(name, size, url) {
  return h(
    'div',
    { class: 'file' },
    h('span', { class: 'file-icon' }, name.split('.').at(-1)?.slice(0, 4) ?? ''),
    h(
      'div',
      {},
      h('a', { href: safeUrl(url), download: name, target: '_blank' }, name),
      h('small', {}, sizeText(size)),
    ),
  );
}

/**
 * @param {Client} client
 * @param {APIEmbed} embed
 */
function renderEmbed(
  client,
  { title, url, description, color, fields, image: large, thumbnail, footer, author, timestamp },
) {
  const colour = typeof color === 'number' ? `#${color.toString(16).padStart(6, '0')}` : '#4a4d57';
  const link = url && safeUrl(url);
  return h(
    'div',
    { class: 'embed', style: `--accent: ${colour}` },
    h(
      'div',
      { class: 'embed-text' },
      author && h('div', { class: 'embed-author' }, author.name),
      title &&
        h(
          'div',
          { class: 'embed-title' },
          link
            ? h('a', { href: link, target: '_blank', rel: 'noreferrer' }, title)
            : markdown(title, client.names),
        ),
      description && h('div', { class: 'content' }, markdown(description, client.names)),
      fields?.length &&
        h(
          'dl',
          {},
          fields.map(({ name, value, inline }) =>
            h(
              'div',
              { class: inline ? 'inline' : '' },
              h('dt', {}, markdown(name, client.names)),
              h('dd', {}, markdown(value, client.names)),
            ),
          ),
        ),
      large && h('div', { class: 'gallery n1' }, image(large, null, false, [large])),
      (footer || timestamp) &&
        h(
          'div',
          { class: 'embed-footer' },
          [footer?.text, timestamp && new Date(timestamp).toLocaleString('en')].filter(Boolean).join(' · '),
        ),
    ),
    thumbnail && h('div', { class: 'thumbnail' }, image(thumbnail, null, false, [thumbnail])),
  );
}
