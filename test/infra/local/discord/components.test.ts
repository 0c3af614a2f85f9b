/** Components and modals, one rule at a time: what Discord takes, and what it refuses at which field. */
import { describe, expect, it } from 'vitest';
import { readComponents, readModal } from '#infra/local/discord/components.ts';
import { Faults } from '#infra/local/discord/discord-error.ts';
import { faultsOf, type Loose } from './faults-of.ts';

const row = (...components: Loose[]) => ({ type: 1, components });
const button = (extra: Loose = {}) => ({ type: 2, style: 1, label: 'x', custom_id: 'a', ...extra });
const options = (...values: string[]) => values.map((value) => ({ label: value, value }));
const select = (extra: Loose = {}) => ({
  type: 3,
  custom_id: 's',
  options: options('a', 'b', 'c'),
  ...extra,
});
const label = (component: Loose) => ({ type: 18, label: 'A question', component });
const input = (extra: Loose = {}) => ({ type: 4, custom_id: 't', style: 1, ...extra });
const text = (extra: Loose = {}) => ({ type: 10, content: 'x', ...extra });

const inMessage = (...components: Loose[]) =>
  faultsOf((faults) => readComponents(components, { v2: true, attachments: [], faults, path: [] }));
const inModal = (...components: Loose[]) =>
  faultsOf((faults) => readModal({ custom_id: 'm', title: 'A form', components }, faults)).map((fault) =>
    fault.replace('data.components.', ''),
  );

describe('a button', () => {
  it.each<[string, Loose]>([
    ['of each style', { style: 4 }],
    ['with an emoji alone', { label: undefined, emoji: { name: '🔁' } }],
    ['with an emoji of several code points', { emoji: { name: '👩‍🎨' } }],
    ['with a server’s emoji', { emoji: { id: '1', name: 'x' } }],
    ['that leads somewhere', { style: 5, custom_id: undefined, url: 'https://example.com/' }],
    ['that sells', { style: 6, custom_id: undefined, label: undefined, sku_id: '1' }],
  ])('%s is taken', (_, extra) => {
    expect(inMessage(row(button(extra)))).toEqual([]);
  });

  const at = '0.components.0';
  it.each<[string, Loose, string]>([
    ['without a style', { style: undefined }, `${at}.style BASE_TYPE_CHOICES`],
    ['of a style that is none', { style: 7 }, `${at}.style BASE_TYPE_CHOICES`],
    ['with neither label nor emoji', { label: '' }, `${at} BUTTON_COMPONENT_LABEL_OR_EMOJI_REQUIRED`],
    [
      'with a word for an emoji',
      { emoji: { name: 'repeat' } },
      `${at}.emoji.name BUTTON_COMPONENT_INVALID_EMOJI`,
    ],
    ['with an address', { url: 'https://a.b' }, `${at} BUTTON_COMPONENT_CUSTOM_ID_URL_MUTUALLY_EXCLUSIVE`],
    ['that leads nowhere', { style: 5, custom_id: undefined }, `${at}.url BASE_TYPE_REQUIRED`],
    [
      'that leads to a script',
      { style: 5, custom_id: undefined, url: 'javascript:alert(1)' },
      `${at}.url URL_TYPE_INVALID_SCHEME`,
    ],
    [
      'that leads to no address',
      { style: 5, custom_id: undefined, url: 'here' },
      `${at}.url URL_TYPE_INVALID_URL`,
    ],
    [
      'that sells nothing',
      { style: 6, custom_id: undefined, label: undefined },
      `${at}.sku_id BASE_TYPE_REQUIRED`,
    ],
    ['that sells, with a label', { style: 6, sku_id: '1' }, `${at} BUTTON_COMPONENT_INVALID_PREMIUM_FIELDS`],
    ['with something to sell', { sku_id: '1' }, `${at}.sku_id BUTTON_COMPONENT_INVALID_SKU`],
    ['disabled by a word', { disabled: 'yes' }, `${at}.disabled BOOLEAN_TYPE_CONVERT`],
  ])('%s is refused', (_, extra, fault) => {
    expect(inMessage(row(button(extra)))).toEqual([fault]);
  });
});

describe('a container and a separator', () => {
  it('take what Discord takes', () => {
    const inside = [text(), { type: 14 }, { type: 14, spacing: 2, divider: false }];
    expect(inMessage({ type: 17, accent_color: 0xffffff, components: inside })).toEqual([]);
    expect(inMessage({ type: 17, accent_color: null, components: inside })).toEqual([]);
  });

  it.each<[string, Loose, string]>([
    [
      'a colour above white',
      { type: 17, accent_color: 0x1000000, components: [text()] },
      '0.accent_color NUMBER_TYPE_MAX',
    ],
    [
      'a colour below black',
      { type: 17, accent_color: -1, components: [text()] },
      '0.accent_color NUMBER_TYPE_MIN',
    ],
    [
      'a colour’s name',
      { type: 17, accent_color: 'red', components: [text()] },
      '0.accent_color NUMBER_TYPE_COERCE',
    ],
    ['a separator of size 3', { type: 14, spacing: 3 }, '0.spacing BASE_TYPE_CHOICES'],
    ['a divider that is a number', { type: 14, divider: 2 }, '0.divider BOOLEAN_TYPE_CONVERT'],
  ])('refuse %s', (_, component, fault) => {
    expect(inMessage(component)).toEqual([fault]);
  });
});

describe('a select', () => {
  it.each<[string, Loose]>([
    ['with its defaults', {}],
    ['of none to all', { min_values: 0, max_values: 3 }],
    ['with numbers as text', { min_values: '1', max_values: '2' }],
    [
      'with as many chosen as it allows',
      { max_values: 2, options: options('a', 'b').map((o) => ({ ...o, default: true })) },
    ],
    [
      'of people, with one chosen',
      { type: 5, options: undefined, default_values: [{ id: '7', type: 'user' }] },
    ],
    ['of channels of a kind', { type: 8, options: undefined, channel_types: [0, 5] }],
  ])('%s is taken', (_, extra) => {
    expect(inMessage(row(select(extra)))).toEqual([]);
  });

  const at = '0.components.0';
  it.each<[string, Loose, string]>([
    ['more at least than at most', { min_values: 2 }, `${at}.min_values NUMBER_TYPE_MAX`],
    ['more than 25', { type: 5, options: undefined, max_values: 26 }, `${at}.max_values NUMBER_TYPE_MAX`],
    ['more than there are', { max_values: 4 }, `${at}.max_values NUMBER_TYPE_MAX`],
    ['at most none', { max_values: 0, min_values: 0 }, `${at}.max_values NUMBER_TYPE_MIN`],
    ['fewer than none', { min_values: -1 }, `${at}.min_values NUMBER_TYPE_MIN`],
    ['half a choice', { max_values: 1.5 }, `${at}.max_values NUMBER_TYPE_COERCE`],
    [
      'none, and required',
      { min_values: 0, required: true },
      `${at}.min_values SELECT_COMPONENT_REQUIRED_ZERO_MIN_VALUES`,
    ],
    ['a placeholder of 151', { placeholder: 'x'.repeat(151) }, `${at}.placeholder BASE_TYPE_MAX_LENGTH`],
    [
      'two chosen of at most one',
      { options: options('a', 'b').map((o) => ({ ...o, default: true })) },
      `${at}.options SELECT_COMPONENT_TOO_MANY_DEFAULTS`,
    ],
    [
      'two people chosen of at most one',
      { type: 5, options: undefined, default_values: ['7', '8'].map((id) => ({ id, type: 'user' })) },
      `${at}.default_values BASE_TYPE_BAD_LENGTH`,
    ],
    [
      'a role chosen among people',
      { type: 5, options: undefined, default_values: [{ id: '7', type: 'role' }] },
      `${at}.default_values.0.type BASE_TYPE_CHOICES`,
    ],
    [
      'default values beside options',
      { default_values: [{ id: '7', type: 'user' }] },
      `${at}.default_values SELECT_COMPONENT_DEFAULT_VALUES_UNSUPPORTED`,
    ],
    [
      'a kind of channel that is none',
      { type: 8, options: undefined, channel_types: [99] },
      `${at}.channel_types.0 BASE_TYPE_CHOICES`,
    ],
  ])('with %s is refused', (_, extra, fault) => {
    expect(inMessage(row(select(extra)))).toEqual([fault]);
  });
});

describe('ids', () => {
  it('are given in order around those that the bot gave, 0 standing for none', () => {
    const faults = new Faults();
    const given = [text({ id: 2 }), text(), text({ id: 0 }), text({ id: 1 }), text()];
    const read = readComponents(given, { v2: true, attachments: [], faults, path: [] });
    expect(read.map(({ id }) => id)).toEqual([2, 3, 4, 1, 5]);
    faults.throwIfAny();
  });

  it.each<[string, Loose[], string]>([
    ['twice', [text({ id: 7 }), text({ id: 7 })], '1.id COMPONENT_ID_DUPLICATED'],
    ['twice, nested', [text({ id: 7 }), row(button({ id: 7 }))], '1.components.0.id COMPONENT_ID_DUPLICATED'],
    ['of 33 bits', [text({ id: 2 ** 31 })], '0.id NUMBER_TYPE_MAX'],
    ['below 0', [text({ id: -1 })], '0.id NUMBER_TYPE_MIN'],
    ['as a word', [text({ id: 'one' })], '0.id NUMBER_TYPE_COERCE'],
    [
      'of the bot’s own, twice',
      [row(button(), button())],
      '0.components.1.custom_id COMPONENT_CUSTOM_ID_DUPLICATED',
    ],
    [
      'of the bot’s own, in two containers',
      [row(button()), { type: 17, components: [row(button())] }],
      '1.components.0.components.0.custom_id COMPONENT_CUSTOM_ID_DUPLICATED',
    ],
  ])('%s are refused', (_, components, fault) => {
    expect(inMessage(...components)).toEqual([fault]);
  });
});

describe('a modal', () => {
  it('takes each kind of field', () => {
    const boxes = { type: 22, custom_id: 'c', options: options('a', 'b') };
    const radio = { type: 21, custom_id: 'r', options: options('a', 'b') };
    const files = { type: 19, custom_id: 'f', min_values: 0, max_values: 10, required: false };
    expect(
      inModal(
        label(input({ min_length: 2, max_length: 4, value: 'four' })),
        label(select({ required: false, min_values: 0 })),
        label(files),
        label(radio),
        label(boxes),
      ),
    ).toEqual([]);
    expect(inModal(label({ type: 23, custom_id: 'b', default: true }))).toEqual([]);
  });

  const at = '0.component';
  it.each<[string, Loose, string]>([
    ['a text of no style', input({ style: undefined }), `${at}.style BASE_TYPE_CHOICES`],
    [
      'a suggested text that is too long',
      input({ max_length: 3, value: 'four' }),
      `${at}.value BASE_TYPE_MAX_LENGTH`,
    ],
    ['a suggested text above 4,000', input({ value: 'x'.repeat(4_001) }), `${at}.value BASE_TYPE_MAX_LENGTH`],
    [
      'more letters at least than at most',
      input({ min_length: 5, max_length: 4 }),
      `${at}.min_length NUMBER_TYPE_MAX`,
    ],
    ['no letter at most', input({ max_length: 0 }), `${at}.max_length NUMBER_TYPE_MIN`],
    ['more than 4,000 letters', input({ max_length: 4_001 }), `${at}.max_length NUMBER_TYPE_MAX`],
    [
      'a placeholder of 101',
      input({ placeholder: 'x'.repeat(101) }),
      `${at}.placeholder BASE_TYPE_MAX_LENGTH`,
    ],
    ['something disabled', select({ disabled: true }), `${at}.disabled MODAL_COMPONENT_DISABLED`],
    [
      'none of something required',
      select({ min_values: 0 }),
      `${at}.min_values SELECT_COMPONENT_REQUIRED_ZERO_MIN_VALUES`,
    ],
    ['more than ten files', { type: 19, custom_id: 'f', max_values: 11 }, `${at}.max_values NUMBER_TYPE_MAX`],
    [
      'a choice of one',
      { type: 21, custom_id: 'r', options: options('a') },
      `${at}.options BASE_TYPE_BAD_LENGTH`,
    ],
    [
      'two chosen where one can be',
      { type: 21, custom_id: 'r', options: options('a', 'b').map((o) => ({ ...o, default: true })) },
      `${at}.options SELECT_COMPONENT_TOO_MANY_DEFAULTS`,
    ],
    [
      'more ticks than boxes',
      { type: 22, custom_id: 'c', options: options('a'), max_values: 2 },
      `${at}.max_values NUMBER_TYPE_MAX`,
    ],
    ['a button', button(), `${at}.type UNION_TYPE_CHOICES`],
  ])('with %s is refused', (_, component, fault) => {
    expect(inModal(label(component))).toEqual([fault]);
  });
});
