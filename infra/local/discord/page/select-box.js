/**
 * A select menu of any kind, in a message or a dialog: a field that opens a list, one or several to be chosen.
 *
 * @import { Client } from './client.js'
 * @import { Component } from './component.js'
 */
import { fill, h } from './dom.js';
import { openPopover } from './overlays.js';

/** @typedef {{ value: string, label: string, description?: string | undefined, mark?: string | undefined }} Choice */

/**
 * What can be chosen in a select of people, roles or channels, or in one with options of its own.
 * @param {Client} client
 * @param {Component} component
 * @returns {Choice[]}
 */
export function choicesOf(client, component) {
  const people = () =>
    (client.view?.users ?? []).map(({ id, name }) => ({ value: id, label: name, mark: '@' }));
  const roles = () =>
    (client.guild?.roles ?? [])
      .filter(({ name }) => name !== '@everyone')
      .map(({ id, name }) => ({ value: id, label: name, mark: '@' }));
  const channels = () =>
    (client.guild?.channels ?? []).map(({ id, name }) => ({ value: id, label: name, mark: '#' }));
  switch (component.type) {
    case 5:
      return people();
    case 6:
      return roles();
    case 7:
      return [...people(), ...roles()];
    case 8:
      return channels();
    default:
      return (component.options ?? []).map(({ value, label, description, emoji }) => ({
        ...{ value, label, description },
        mark: emoji?.name,
      }));
  }
}

/**
 * @param {Client} client
 * @param {Component} component
 * @param {{ onChosen: (values: string[]) => unknown }} options called when the list closes with another choice than before
 */
export function selectBox(client, component, { onChosen }) {
  const choices = choicesOf(client, component);
  const { min_values: min = 1, max_values: max = 1 } = component;
  /** @type {string[]} */
  let chosen = (component.options ?? []).filter((one) => one.default).map(({ value }) => value);
  const face = h('span');
  const box = h(
    'button',
    {
      type: 'button',
      class: 'select',
      disabled: component.disabled === true,
      'data-custom-id': component.custom_id,
      'aria-haspopup': 'listbox',
      onclick: open,
    },
    face,
    h('i', {}, '⌄'),
  );
  show();
  return box;

  function show() {
    const names = choices.filter(({ value }) => chosen.includes(value)).map(({ label }) => label);
    fill(face, names.length ? names.join(', ') : h('em', {}, component.placeholder ?? 'Choose…'));
  }

  function open() {
    const before = chosen.join();
    const list = h('div', { class: 'choices', role: 'listbox', 'aria-multiselectable': String(max > 1) });
    const close = openPopover(box, list, () => {
      show();
      if (chosen.join() !== before && chosen.length >= min) void onChosen(chosen);
    });
    draw();
    /** @type {HTMLElement | null} */ (list.firstElementChild)?.focus();

    function draw() {
      fill(
        list,
        choices.map(({ value, label, description, mark }) =>
          h(
            'button',
            {
              type: 'button',
              role: 'option',
              'aria-selected': String(chosen.includes(value)),
              onclick: () => {
                if (max === 1) {
                  chosen = [value];
                  close();
                  return;
                }
                chosen = chosen.includes(value)
                  ? chosen.filter((one) => one !== value)
                  : [...chosen, value].slice(-max);
                draw();
              },
            },
            mark && h('span', { class: 'mark' }, mark),
            h('span', {}, h('b', {}, label), description && h('small', {}, description)),
            max > 1 && h('i', { class: 'tick' }, chosen.includes(value) ? '✓' : ''),
          ),
        ),
        max > 1 && h('button', { type: 'button', class: 'button primary', onclick: () => close() }, 'Done'),
      );
    }
  }
}
