/**
 * Components and modals: reads what a bot sent, checks what Discord checks, and gives back what Discord shows.
 *
 * The OpenAPI description alone is too lenient here (it counts neither nested components nor duplicate custom ids), so these
 * rules hold whether or not it is consulted.
 */
import {
  type APIAttachment,
  type APIMessageTopLevelComponent,
  type APIModalInteractionResponseCallbackData,
  ButtonStyle,
  ComponentType as C,
} from 'discord-api-types/v10';
import { unsigned } from './attachments.ts';
import type { Faults } from './discord-error.ts';
import { snowflake } from './snowflake.ts';

export type Json = { readonly [key: string]: unknown };
type Path = readonly (string | number)[];

export function isObject(value: unknown): value is Json {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

const MESSAGE_TOP: Record<'legacy' | 'v2', readonly number[]> = {
  legacy: [C.ActionRow],
  v2: [C.ActionRow, C.Section, C.TextDisplay, C.MediaGallery, C.File, C.Separator, C.Container],
};
const IN_CONTAINER = [C.ActionRow, C.Section, C.TextDisplay, C.MediaGallery, C.File, C.Separator] as const;
const SELECTS: readonly number[] = [
  C.StringSelect,
  C.UserSelect,
  C.RoleSelect,
  C.MentionableSelect,
  C.ChannelSelect,
];
const IN_LABEL: readonly number[] = [
  C.TextInput,
  ...SELECTS,
  C.FileUpload,
  C.RadioGroup,
  C.CheckboxGroup,
  C.Checkbox,
];

/** Counted with everything nested in them. */
const COMPONENTS_MAX = 40;
/** Characters of all text displays of a message together. */
const TEXT_MAX = 4_000;

export interface ReadContext {
  readonly v2: boolean;
  /** what `attachment://name` may mean */
  readonly attachments: readonly APIAttachment[];
  readonly faults: Faults;
  readonly path: Path;
}

/** A message's components as a person will see them: ids given, defaults filled in, media resolved. */
export function readComponents(
  input: unknown,
  { v2, attachments, faults, path }: ReadContext,
): APIMessageTopLevelComponent[] {
  const reader = new Reader(faults, attachments);
  const list = reader.list(path, input, 0, v2 ? COMPONENTS_MAX : 5);
  const read = list.map((one, i) => reader.component([...path, i], one, MESSAGE_TOP[v2 ? 'v2' : 'legacy']));
  if (reader.count > COMPONENTS_MAX) {
    faults.add(
      path,
      'COMPONENT_MAX_TOTAL_COMPONENTS_EXCEEDED',
      `The total number of components is above ${COMPONENTS_MAX}`,
    );
  }
  if (reader.text > TEXT_MAX) {
    faults.add(
      path,
      'COMPONENT_DISPLAYABLE_TEXT_SIZE_EXCEEDED',
      `The total text is above ${TEXT_MAX} characters`,
    );
  }
  return read as unknown as APIMessageTopLevelComponent[];
}

/** A modal as it will be shown. */
export function readModal(data: unknown, faults: Faults): APIModalInteractionResponseCallbackData {
  const reader = new Reader(faults, []);
  const input = isObject(data) ? data : {};
  reader.text1(['data', 'title'], input.title, 45);
  reader.text1(['data', 'custom_id'], input.custom_id, 100);
  const list = reader.list(['data', 'components'], input.components, 1, 5);
  const components = list.map((one, i) =>
    reader.component(['data', 'components', i], one, [C.ActionRow, C.Label, C.TextDisplay], true),
  );
  return { ...input, components } as unknown as APIModalInteractionResponseCallbackData;
}

class Reader {
  count = 0;
  text = 0;
  #nextId = 1;
  #customIds = new Set<string>();
  readonly #faults: Faults;
  readonly #attachments: readonly APIAttachment[];

  constructor(faults: Faults, attachments: readonly APIAttachment[]) {
    this.#faults = faults;
    this.#attachments = attachments;
  }

  list(path: Path, value: unknown, min: number, max: number): readonly unknown[] {
    const list = Array.isArray(value) ? value : [];
    if (list.length < min || list.length > max) {
      this.#faults.add(path, 'BASE_TYPE_BAD_LENGTH', `Must be between ${min} and ${max} in length.`);
    }
    return list;
  }

  /** A text that must be there. */
  text1(path: Path, value: unknown, max: number): string {
    if (typeof value !== 'string' || !value) {
      this.#faults.add(path, 'BASE_TYPE_REQUIRED', 'This field is required');
      return '';
    }
    return this.text0(path, value, max) ?? '';
  }

  /** A text that may be absent. */
  text0(path: Path, value: unknown, max: number): string | undefined {
    if (typeof value !== 'string') return;
    if (value.length > max) {
      this.#faults.add(path, 'BASE_TYPE_MAX_LENGTH', `Must be ${max} or fewer in length.`);
    }
    return value;
  }

  component(path: Path, input: unknown, allowed: readonly number[], modal = false): Json {
    this.count++;
    if (!isObject(input) || !allowed.includes(input.type as number)) {
      const choices = `Value of field "type" must be one of (${allowed.join(', ')}).`;
      this.#faults.add([...path, 'type'], 'UNION_TYPE_CHOICES', choices);
      return {};
    }
    const id = typeof input.id === 'number' && input.id > 0 ? input.id : this.#nextId++;
    return { ...input, id, ...this.#rest(path, input, modal) };
  }

  /** What a component holds beyond `type` and `id`, checked, with Discord's defaults. */
  #rest(path: Path, input: Json, modal: boolean): Json {
    const at = (key: string) => [...path, key];
    const children = (key: string, min: number, max: number, allowed: readonly number[]) =>
      this.list(at(key), input[key], min, max).map((one, i) =>
        this.component([...at(key), i], one, allowed, modal),
      );

    switch (input.type) {
      case C.ActionRow: {
        const row = children('components', 1, 5, modal ? [C.TextInput] : [C.Button, ...SELECTS]);
        if (row.length > 1 && row.some(({ type }) => type !== C.Button)) {
          this.#faults.add(
            at('components'),
            'COMPONENT_LAYOUT_WIDTH_EXCEEDED',
            'The specified components exceed the maximum width',
          );
        }
        return { components: row };
      }
      case C.Button:
        return this.#button(path, input);
      case C.Section:
        return {
          components: children('components', 1, 3, [C.TextDisplay]),
          accessory: this.component(at('accessory'), input.accessory, [C.Button, C.Thumbnail]),
        };
      case C.TextDisplay:
        this.text += this.text1(at('content'), input.content, TEXT_MAX).length;
        return {};
      case C.Thumbnail:
        return {
          media: this.#media(at('media'), input.media),
          description: this.text0(at('description'), input.description, 1024) ?? null,
          spoiler: input.spoiler === true,
        };
      case C.MediaGallery:
        return {
          items: this.list(at('items'), input.items, 1, 10).map((one, i) => {
            const item = isObject(one) ? one : {};
            return {
              media: this.#media([...at('items'), i, 'media'], item.media),
              description: this.text0([...at('items'), i, 'description'], item.description, 1024) ?? null,
              spoiler: item.spoiler === true,
            };
          }),
        };
      case C.File: {
        const file = this.#media(at('file'), input.file, true);
        const attachment = this.#attachments.find(({ id }) => id === file.attachment_id);
        return {
          file,
          name: attachment?.filename ?? null,
          size: attachment?.size ?? null,
          spoiler: input.spoiler === true,
        };
      }
      case C.Separator:
        return { divider: input.divider !== false, spacing: input.spacing ?? 1 };
      case C.Container:
        return {
          components: children('components', 1, COMPONENTS_MAX, IN_CONTAINER),
          accent_color: input.accent_color ?? null,
          spoiler: input.spoiler === true,
        };
      case C.Label:
        this.text1(at('label'), input.label, 45);
        this.text0(at('description'), input.description, 100);
        return { component: this.component(at('component'), input.component, IN_LABEL, true) };
      default:
        return this.#input(path, input);
    }
  }

  #button(path: Path, input: Json): Json {
    this.text0([...path, 'label'], input.label, 80);
    if (!input.label && !input.emoji && input.style !== ButtonStyle.Premium) {
      this.#faults.add(path, 'BUTTON_COMPONENT_LABEL_OR_EMOJI_REQUIRED', 'A label or an emoji is required');
    }
    if (input.style === ButtonStyle.Link) {
      this.text1([...path, 'url'], input.url, 512);
      if (input.custom_id) {
        this.#faults.add(
          path,
          'BUTTON_COMPONENT_CUSTOM_ID_URL_MUTUALLY_EXCLUSIVE',
          'A custom id and url cannot both be specified',
        );
      }
    } else this.#customId(path, input);
    return {};
  }

  /** Selects, text inputs and the other things a person fills in. */
  #input(path: Path, input: Json): Json {
    this.#customId(path, input);
    this.text0([...path, 'placeholder'], input.placeholder, input.type === C.TextInput ? 100 : 150);
    if (input.type === C.TextInput) {
      this.text0([...path, 'value'], input.value, 4000);
      this.text0([...path, 'label'], input.label, 45);
      return {};
    }
    if (input.type === C.StringSelect || input.type === C.RadioGroup || input.type === C.CheckboxGroup) {
      const [min, max] = { [C.StringSelect]: [1, 25], [C.RadioGroup]: [2, 10], [C.CheckboxGroup]: [1, 10] }[
        input.type
      ] as [number, number];
      const options = this.list([...path, 'options'], input.options, min, max);
      const values = new Set<unknown>();
      for (const [i, option] of options.entries()) {
        const one = isObject(option) ? option : {};
        const optionPath = [...path, 'options', i];
        this.text1([...optionPath, 'label'], one.label, 100);
        this.text1([...optionPath, 'value'], one.value, 100);
        this.text0([...optionPath, 'description'], one.description, 100);
        if (values.has(one.value)) {
          this.#faults.add(
            [...optionPath, 'value'],
            'SELECT_COMPONENT_OPTION_VALUE_DUPLICATED',
            'The specified option value is already used',
          );
        }
        values.add(one.value);
      }
    }
    if (SELECTS.includes(input.type as number)) {
      const { min_values = 1, max_values = 1 } = input;
      if (Number(min_values) > Number(max_values)) {
        this.#faults.add([...path, 'min_values'], 'BASE_TYPE_BAD_LENGTH', 'min_values is above max_values');
      }
      return { min_values, max_values };
    }
    return {};
  }

  #customId(path: Path, input: Json): void {
    const customId = this.text1([...path, 'custom_id'], input.custom_id, 100);
    if (this.#customIds.has(customId)) {
      this.#faults.add(
        [...path, 'custom_id'],
        'COMPONENT_CUSTOM_ID_DUPLICATED',
        'Component custom id cannot be duplicated',
      );
    }
    this.#customIds.add(customId);
  }

  #media(path: Path, input: unknown, attachmentOnly = false) {
    const url = isObject(input) && typeof input.url === 'string' ? unsigned(input.url) : '';
    const attachment = attachmentNamed(url, this.#attachments);
    if (!attachment && (attachmentOnly || !/^https?:/.test(url))) {
      const message = url.startsWith('attachment://')
        ? 'The referenced attachment was not uploaded with the message'
        : 'Not a well formed URL.';
      this.#faults.add([...path, 'url'], 'MEDIA_ITEM_ATTACHMENT_NOT_FOUND', message);
    }
    return {
      id: snowflake(),
      url: attachment?.url ?? url,
      proxy_url: attachment?.proxy_url ?? url,
      width: attachment?.width ?? null,
      height: attachment?.height ?? null,
      content_type: attachment?.content_type ?? null,
      ...(attachment && { attachment_id: attachment.id }),
    };
  }
}

/** `attachment://name`, or the address of an attachment kept from before an edit. */
export function attachmentNamed(
  url: string,
  attachments: readonly APIAttachment[],
): APIAttachment | undefined {
  const name = /^attachment:\/\/(.+)$/.exec(url)?.[1];
  return attachments.find((one) =>
    name ? one.filename === decodeURIComponent(name) : one.url === unsigned(url),
  );
}

/** Every component of a message or modal, nested ones too. */
export function* walk(components: readonly unknown[]): Generator<Json> {
  for (const one of components) {
    if (!isObject(one)) continue;
    yield one;
    if (Array.isArray(one.components)) yield* walk(one.components);
    if (one.accessory) yield* walk([one.accessory]);
    if (one.component) yield* walk([one.component]);
  }
}

/** What one component shows that has an address: pictures of a gallery, a thumbnail, a file. */
export function mediaOf({ items, media, file }: Json): Json[] {
  const shown = Array.isArray(items) ? items.map((item) => (isObject(item) ? item.media : null)) : [];
  return [...shown, media, file].filter(isObject);
}
