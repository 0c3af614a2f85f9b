/**
 * A modal of the bot, as a dialog: labels with text inputs, selects, radio and checkbox groups, and file uploads.
 *
 * @import { Client } from './client.js'
 * @import { Component } from './component.js'
 * @import { FieldValue, Modal, Outcome } from '../protocol.ts'
 */
import { fill, h } from './dom.js';
import { markdown } from './markdown.js';
import { selectBox } from './select-box.js';

/** @typedef {{ element: HTMLElement, value: () => Promise<FieldValue> | FieldValue, problem: () => string | null }} Field */

/**
 * @param {Client} client
 * @param {Modal} modal
 * @param {(outcome: Outcome) => void} onOutcome
 */
export function openDialog(client, modal, onOutcome) {
  /** @type {Map<string, Field>} */
  const fields = new Map();
  const problem = h('p', { class: 'problem', hidden: true, role: 'alert' });
  const submit = h('button', { type: 'submit', class: 'button primary' }, 'Submit');
  const dialog = h(
    'dialog',
    { class: 'modal', 'aria-label': modal.title, onclose: () => dialog.remove() },
    h(
      'form',
      { method: 'dialog', novalidate: true, onsubmit: send },
      h(
        'header',
        {},
        h('span', { class: 'avatar', style: '--colour: #7c5cff' }, 'A'),
        h('h2', {}, modal.title),
        h(
          'button',
          { type: 'button', class: 'close', 'aria-label': 'Close', onclick: () => dialog.close() },
          '✕',
        ),
      ),
      h(
        'div',
        { class: 'fields' },
        /** @type {Component[]} */ (/** @type {unknown} */ (modal.components)).map(top),
      ),
      problem,
      h(
        'footer',
        {},
        h('button', { type: 'button', class: 'button secondary', onclick: () => dialog.close() }, 'Cancel'),
        submit,
      ),
    ),
  );
  document.body.append(dialog);
  dialog.showModal();
  // As in Discord: what is to be filled in, not the ✕ before it.
  /** @type {HTMLElement | null} */ (dialog.querySelector('.fields :is(textarea, input, button)'))?.focus();

  /** @param {Component} component @returns {HTMLElement} */
  function top(component) {
    if (component.type === 10)
      return h('div', { class: 'content note' }, markdown(component.content ?? '', client.names));
    const input = component.type === 18 ? component.component : component.components?.[0];
    if (!input?.custom_id) return h('div');
    const field = createField(client, input);
    fields.set(input.custom_id, field);
    const title = component.label ?? input.label ?? '';
    return h(
      'label',
      { class: 'field', 'data-custom-id': input.custom_id },
      h(
        'span',
        { class: 'field-title' },
        title,
        input.required !== false && h('b', { title: 'required' }, ' *'),
      ),
      component.description && h('span', { class: 'field-description' }, component.description),
      field.element,
      h('span', { class: 'field-problem' }),
    );
  }

  /** @param {SubmitEvent} event */
  async function send(event) {
    event.preventDefault();
    let fine = true;
    for (const [customId, field] of fields) {
      const text = field.problem();
      const place = dialog.querySelector(`[data-custom-id="${CSS.escape(customId)}"] .field-problem`);
      if (place) fill(place, text ?? '');
      if (text) fine = false;
    }
    if (!fine) return;
    submit.disabled = true;
    try {
      const values = await Promise.all([...fields].map(async ([id, field]) => [id, await field.value()]));
      const outcome = await client.act({
        kind: 'modal',
        modal: modal.interactionId,
        fields: Object.fromEntries(values),
      });
      if (outcome.kind === 'failed') throw new Error('Something went wrong. Try again.');
      dialog.close();
      onOutcome(outcome);
    } catch (error) {
      problem.hidden = false;
      fill(problem, error instanceof Error ? error.message : String(error));
    }
    submit.disabled = false;
  }
}

/**
 * @param {Client} client
 * @param {Component} input
 * @returns {Field}
 */
function createField(client, input) {
  const required = input.required !== false;
  const { min_length: min = 0, max_length: max = 4000 } = input;
  switch (input.type) {
    case 4: {
      const lines = (input.value ?? '').split('\n').length;
      const rows = Math.min(14, Math.max(4, lines + 2));
      const attributes = { placeholder: input.placeholder, maxlength: max, rows };
      const element =
        input.style === 2 ? h('textarea', attributes) : h('input', { type: 'text', ...attributes });
      element.value = input.value ?? '';
      return {
        element,
        value: () => element.value,
        problem: () => {
          if (!element.value) return required ? 'Please fill this in.' : null;
          return element.value.length < min ? `At least ${min} characters, please.` : null;
        },
      };
    }
    case 19:
      return fileField(client, input, required);
    case 21:
    case 22:
      return groupField(input, required);
    case 23: {
      const element = h('input', { type: 'checkbox', checked: input.default === true });
      return { element, value: () => element.checked, problem: () => null };
    }
    default: {
      let chosen = (input.options ?? []).filter((one) => one.default).map(({ value }) => value);
      const element = selectBox(client, input, {
        onChosen: (values) => {
          chosen = values;
        },
      });
      return {
        element,
        value: () => chosen,
        problem: () => (required && !chosen.length ? 'Please choose.' : null),
      };
    }
  }
}

/** @param {Client} client @param {Component} input @param {boolean} required @returns {Field} */
function fileField(client, input, required) {
  const most = input.max_values ?? 1;
  const picker = h('input', { type: 'file', multiple: most > 1, hidden: true });
  const names = h('span', {}, 'Choose a file…');
  picker.addEventListener('change', () => {
    fill(names, [...(picker.files ?? [])].map(({ name }) => name).join(', ') || 'Choose a file…');
  });
  const element = h('span', { class: 'file-field' }, '⬆ ', names, picker);
  return {
    element,
    value: async () => {
      const uploads = await Promise.all([...(picker.files ?? [])].map((file) => client.upload(file)));
      return uploads.map(({ id }) => id);
    },
    problem: () => {
      const count = picker.files?.length ?? 0;
      if (required && !count) return 'Please choose a file.';
      return count > most ? `At most ${most}, please.` : null;
    },
  };
}

/** @param {Component} input @param {boolean} required @returns {Field} */
function groupField(input, required) {
  const one = input.type === 21;
  const boxes = (input.options ?? []).map((option) => ({
    option,
    box: h('input', {
      type: one ? 'radio' : 'checkbox',
      name: input.custom_id,
      checked: option.default === true,
    }),
  }));
  const element = h(
    'span',
    { class: 'checks' },
    boxes.map(({ option, box }) =>
      h(
        'label',
        {},
        box,
        h('span', {}, option.label, option.description && h('small', {}, option.description)),
      ),
    ),
  );
  const chosen = () => boxes.filter(({ box }) => box.checked).map(({ option }) => option.value);
  return {
    element,
    value: () => (one ? (chosen()[0] ?? '') : chosen()),
    problem: () => (required && !chosen().length ? 'Please choose.' : null),
  };
}
