/** What a person presses, chooses from or fills in: the rules of buttons, selects and the fields of modals. */
import { ButtonStyle, ComponentType as C, ChannelType } from 'discord-api-types/v10';
import { type Fields, isObject, type Json, type Path } from './fields.ts';

export const SELECTS: readonly number[] = [
  C.StringSelect,
  C.UserSelect,
  C.RoleSelect,
  C.MentionableSelect,
  C.ChannelSelect,
];
/** What a label may hold. */
export const FIELDS: readonly number[] = [
  C.TextInput,
  ...SELECTS,
  C.FileUpload,
  C.RadioGroup,
  C.CheckboxGroup,
  C.Checkbox,
];

const EMOJI = /^(?:\p{RGI_Emoji}|\p{Extended_Pictographic})$/v;

export function readButton(fields: Fields, path: Path, input: Json): Json {
  const { faults } = fields;
  const at = (key: string) => [...path, key];
  const { style, label, url, custom_id, sku_id, emoji } = input;
  fields.choice(at('style'), style, [1, 2, 3, 4, 5, 6]);
  fields.text0(at('label'), label, 80);
  fields.flag(at('disabled'), input.disabled);
  if (style === ButtonStyle.Premium) {
    if (!sku_id) faults.add(at('sku_id'), 'BASE_TYPE_REQUIRED', 'This field is required');
    if (custom_id || label || url || emoji) {
      const sentence = 'A premium button has neither custom id, label, url nor emoji';
      faults.add(path, 'BUTTON_COMPONENT_INVALID_PREMIUM_FIELDS', sentence);
    }
    return {};
  }
  if (!label && !emoji) {
    faults.add(path, 'BUTTON_COMPONENT_LABEL_OR_EMOJI_REQUIRED', 'A label or an emoji is required');
  }
  readEmoji(fields, at('emoji'), emoji);
  if (sku_id) {
    faults.add(at('sku_id'), 'BUTTON_COMPONENT_INVALID_SKU', 'Only a premium button has an SKU');
  }
  if (url !== undefined && url !== null && (custom_id || style !== ButtonStyle.Link)) {
    const sentence = 'A custom id and url cannot both be specified';
    faults.add(path, 'BUTTON_COMPONENT_CUSTOM_ID_URL_MUTUALLY_EXCLUSIVE', sentence);
  }
  if (style === ButtonStyle.Link) fields.url(at('url'), url, ['http', 'https', 'discord'], 512);
  return {};
}

/** Whether the button needs a custom id of its own. */
export function isPressed(input: Json): boolean {
  return input.style !== ButtonStyle.Link && input.style !== ButtonStyle.Premium;
}

function readEmoji({ faults }: Fields, path: Path, emoji: unknown): void {
  if (!isObject(emoji) || emoji.id) return;
  if (typeof emoji.name === 'string' && EMOJI.test(emoji.name)) return;
  faults.add([...path, 'name'], 'BUTTON_COMPONENT_INVALID_EMOJI', 'Invalid emoji');
}

/** Selects, text inputs and the other things a person fills in. The custom id is checked by the caller. */
export function readField(fields: Fields, path: Path, input: Json, modal: boolean): Json {
  const at = (key: string) => [...path, key];
  fields.flag(at('disabled'), input.disabled);
  fields.flag(at('required'), input.required);
  if (modal && input.disabled === true) {
    fields.faults.add(at('disabled'), 'MODAL_COMPONENT_DISABLED', 'Nothing in a modal can be disabled');
  }
  if (input.type === C.TextInput) return readTextInput(fields, path, input);
  if (input.type === C.Checkbox) {
    fields.flag(at('default'), input.default);
    return {};
  }
  fields.text0(at('placeholder'), input.placeholder, 150);
  const options = readOptions(fields, path, input);
  if (input.type === C.RadioGroup) {
    checkDefaults(fields, at('options'), options, 1);
    return {};
  }
  const range = readRange(fields, path, input, modal, options?.length);
  checkDefaults(fields, at('options'), options, range.max_values);
  if (SELECTS.includes(input.type as number)) readDefaultValues(fields, path, input, range);
  if (input.type === C.ChannelSelect && Array.isArray(input.channel_types)) {
    const known = Object.values(ChannelType).filter((one) => typeof one === 'number');
    for (const [i, one] of input.channel_types.entries()) {
      fields.choice([...at('channel_types'), i], one, known);
    }
  }
  return range;
}

function readTextInput(fields: Fields, path: Path, input: Json): Json {
  const at = (key: string) => [...path, key];
  fields.choice(at('style'), input.style, [1, 2]);
  fields.text0(at('label'), input.label, 45);
  fields.text0(at('placeholder'), input.placeholder, 100);
  const max = fields.integer(at('max_length'), input.max_length, { min: 1, max: 4000 }) ?? 4000;
  fields.integer(at('min_length'), input.min_length, { min: 0, max: Math.min(max, 4000) });
  fields.text0(at('value'), input.value, Math.min(max, 4000));
  return {};
}

const OPTIONS: Partial<Record<number, { readonly min: number; readonly max: number }>> = {
  [C.StringSelect]: { min: 1, max: 25 },
  [C.RadioGroup]: { min: 2, max: 10 },
  [C.CheckboxGroup]: { min: 1, max: 10 },
};

/** What there is to choose from, where that is listed. */
function readOptions(fields: Fields, path: Path, input: Json): readonly Json[] | undefined {
  const limits = OPTIONS[input.type as number];
  if (!limits) return;
  const list = fields.list([...path, 'options'], input.options, limits.min, limits.max);
  const options = list.map((one) => (isObject(one) ? one : {}));
  const values = new Set<unknown>();
  for (const [i, one] of options.entries()) {
    const at = (key: string) => [...path, 'options', i, key];
    fields.text1(at('label'), one.label, 100);
    fields.text1(at('value'), one.value, 100);
    fields.text0(at('description'), one.description, 100);
    fields.flag(at('default'), one.default);
    readEmoji(fields, at('emoji'), one.emoji);
    if (values.has(one.value)) {
      const sentence = 'The specified option value is already used';
      fields.faults.add(at('value'), 'SELECT_COMPONENT_OPTION_VALUE_DUPLICATED', sentence);
    }
    values.add(one.value);
  }
  return options;
}

/** How many may be chosen. */
function readRange(
  fields: Fields,
  path: Path,
  input: Json,
  modal: boolean,
  listed = Number.POSITIVE_INFINITY,
) {
  const at = (key: string) => [...path, key];
  const most = SELECTS.includes(input.type as number) ? 25 : 10;
  // Of the many boxes of a group all may be ticked; of a select one, unless it says otherwise.
  const usual = input.type === C.CheckboxGroup ? listed : 1;
  const max_values =
    fields.integer(at('max_values'), input.max_values, { min: 1, max: Math.min(most, listed) }) ?? usual;
  const min_values =
    fields.integer(at('min_values'), input.min_values, { min: 0, max: Math.min(most, max_values) }) ?? 1;
  // In a message `required` means nothing, and is held against the range all the same.
  if (min_values === 0 && (modal ? input.required !== false : input.required === true)) {
    const sentence = 'Select menus marked as required cannot have a min_values of 0';
    fields.faults.add(at('min_values'), 'SELECT_COMPONENT_REQUIRED_ZERO_MIN_VALUES', sentence);
  }
  return { min_values, max_values };
}

function checkDefaults(
  { faults }: Fields,
  path: Path,
  options: readonly Json[] | undefined,
  max: number,
): void {
  if ((options ?? []).filter((one) => one.default === true).length <= max) return;
  faults.add(path, 'SELECT_COMPONENT_TOO_MANY_DEFAULTS', `At most ${max} can be chosen from the start`);
}

const DEFAULTS: Partial<Record<number, readonly string[]>> = {
  [C.UserSelect]: ['user'],
  [C.RoleSelect]: ['role'],
  [C.MentionableSelect]: ['user', 'role'],
  [C.ChannelSelect]: ['channel'],
};

function readDefaultValues(
  fields: Fields,
  path: Path,
  input: Json,
  { min_values, max_values }: { min_values: number; max_values: number },
): void {
  const at = [...path, 'default_values'];
  const types = DEFAULTS[input.type as number];
  if (input.default_values === undefined || input.default_values === null) return;
  if (!types) {
    fields.faults.add(at, 'SELECT_COMPONENT_DEFAULT_VALUES_UNSUPPORTED', 'Its options say what is chosen');
    return;
  }
  const values = fields.list(at, input.default_values, min_values, max_values);
  for (const [i, one] of values.entries()) {
    const { id, type } = isObject(one) ? one : {};
    fields.choice([...at, i, 'type'], type, types);
    if (!/^\d+$/.test(String(id))) {
      fields.faults.add([...at, i, 'id'], 'NUMBER_TYPE_COERCE', `Value "${String(id)}" is not snowflake.`);
    }
  }
}
