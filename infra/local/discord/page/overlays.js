/** What lies above the page: popovers, menus and the lightbox. One at a time; Escape and a click outside close it. */
import { byId, fill, h } from './dom.js';

/** @type {(() => void) | null} */
let closeCurrent = null;

export function closeOverlay() {
  closeCurrent?.();
}

/**
 * A panel under (or above) an element.
 * @param {Element} anchor
 * @param {HTMLElement} panel
 * @param {() => void} [onClose]
 * @returns {() => void} closes it
 */
export function openPopover(anchor, panel, onClose) {
  const { left, top, bottom, width } = anchor.getBoundingClientRect();
  const below = window.innerHeight - bottom;
  const style =
    below > 260 || below > top
      ? `left: ${left}px; top: ${bottom + 4}px; max-height: ${below - 16}px; min-width: ${Math.min(width, 420)}px`
      : `left: ${left}px; bottom: ${window.innerHeight - top + 4}px; max-height: ${top - 16}px; min-width: ${Math.min(width, 420)}px`;
  return place(panel, style, onClose, anchor.closest('dialog'));
}

/**
 * @param {{ x: number, y: number }} at
 * @param {(HTMLElement | null)[]} items
 */
export function openMenu({ x, y }, items) {
  const menu = h('div', { class: 'menu', role: 'menu', onclick: () => close() }, items);
  const close = place(menu, 'visibility: hidden');
  const { width, height } = menu.getBoundingClientRect();
  const left = Math.max(8, Math.min(x, window.innerWidth - width - 8));
  const top = Math.max(8, Math.min(y, window.innerHeight - height - 8));
  menu.setAttribute('style', `left: ${left}px; top: ${top}px`);
  /** @type {HTMLElement | null} */ (menu.querySelector('button'))?.focus();
}

/**
 * @param {HTMLElement} panel
 * @param {string} style
 * @param {(() => void) | undefined} [onClose]
 * @param {Element | null} [inside] a dialog lies above everything else, so its popovers must lie in it
 */
function place(panel, style, onClose, inside) {
  closeCurrent?.();
  panel.classList.add('overlay');
  panel.setAttribute('style', style);
  const backdrop = h('div', { class: 'backdrop', onclick: () => close() });
  (inside ?? byId('layer')).append(backdrop, panel);
  const onKey = (/** @type {KeyboardEvent} */ event) => {
    if (event.key === 'Escape') {
      event.preventDefault();
      close();
    } else if (event.key === 'ArrowDown' || event.key === 'ArrowUp') {
      const buttons = /** @type {HTMLElement[]} */ ([...panel.querySelectorAll('button')]);
      const next =
        buttons.indexOf(/** @type {HTMLElement} */ (document.activeElement)) +
        (event.key === 'ArrowDown' ? 1 : -1);
      event.preventDefault();
      buttons.at(next % buttons.length)?.focus();
    }
  };
  document.addEventListener('keydown', onKey, true);
  let open = true;
  const close = () => {
    if (!open) return;
    open = false;
    if (closeCurrent === close) closeCurrent = null;
    document.removeEventListener('keydown', onKey, true);
    backdrop.remove();
    panel.remove();
    onClose?.();
  };
  closeCurrent = close;
  return close;
}

/**
 * @param {string[]} urls
 * @param {string} first
 */
export function openLightbox(urls, first) {
  let at = Math.max(0, urls.indexOf(first));
  const frame = h('div', { class: 'frame' });
  const box = h(
    'dialog',
    { class: 'lightbox', 'aria-label': 'Picture', onclick: () => box.close(), onclose: () => box.remove() },
    frame,
  );
  const turn = (/** @type {number} */ by) => {
    at = (at + by + urls.length) % urls.length;
    show();
  };
  box.addEventListener('keydown', ({ key }) => {
    if (key === 'ArrowRight') turn(1);
    if (key === 'ArrowLeft') turn(-1);
  });
  const arrow = (/** @type {string} */ text, /** @type {number} */ by) =>
    h(
      'button',
      {
        type: 'button',
        class: 'arrow',
        onclick: (/** @type {Event} */ event) => {
          event.stopPropagation();
          turn(by);
        },
      },
      text,
    );
  const show = () =>
    fill(
      frame,
      h('img', { src: urls[at], alt: '' }),
      h(
        'div',
        { class: 'under' },
        urls.length > 1 && arrow('‹', -1),
        h('span', {}, urls.length > 1 ? `${at + 1} of ${urls.length}` : ''),
        urls.length > 1 && arrow('›', 1),
        h(
          'a',
          {
            href: urls[at],
            target: '_blank',
            onclick: (/** @type {Event} */ event) => event.stopPropagation(),
          },
          'Open original',
        ),
      ),
    );
  show();
  document.body.append(box);
  box.showModal();
}
