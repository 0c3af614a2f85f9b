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
  ComponentType as C,
} from 'discord-api-types/v10';
import { unsigned } from './attachments.ts';
import { FIELDS, isPressed, readButton, readField, SELECTS } from './component-inputs.ts';
import type { Faults } from './discord-error.ts';
import { Fields, isObject, type Json, type Path } from './fields.ts';
import { snowflake } from './snowflake.ts';

const MESSAGE_TOP: Record<'legacy' | 'v2', readonly number[]> = {
  legacy: [C.ActionRow],
  v2: [C.ActionRow, C.Section, C.TextDisplay, C.MediaGallery, C.File, C.Separator, C.Container],
};
const IN_CONTAINER = [C.ActionRow, C.Section, C.TextDisplay, C.MediaGallery, C.File, C.Separator] as const;
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
  const reader = new Reader(faults, attachments, input);
  const list = reader.fields.list(path, input, 0, v2 ? COMPONENTS_MAX : 5);
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
  const input = isObject(data) ? data : {};
  const reader = new Reader(faults, [], input.components);
  reader.fields.text1(['data', 'title'], input.title, 45);
  reader.fields.text1(['data', 'custom_id'], input.custom_id, 100);
  const list = reader.fields.list(['data', 'components'], input.components, 1, 5);
  const components = list.map((one, i) =>
    reader.component(['data', 'components', i], one, [C.ActionRow, C.Label, C.TextDisplay], true),
  );
  return { ...input, components } as unknown as APIModalInteractionResponseCallbackData;
}

class Reader {
  readonly fields: Fields;
  count = 0;
  text = 0;
  #nextId = 1;
  /** ids that the bot gave itself; those that it left out are counted around them */
  readonly #given: ReadonlySet<unknown>;
  readonly #ids = new Set<number>();
  readonly #customIds = new Set<string>();
  readonly #attachments: readonly APIAttachment[];

  constructor(faults: Faults, attachments: readonly APIAttachment[], input: unknown) {
    this.fields = new Fields(faults);
    this.#attachments = attachments;
    this.#given = new Set(Array.isArray(input) ? [...walk(input)].map(({ id }) => id) : []);
  }

  component(path: Path, input: unknown, allowed: readonly number[], modal = false): Json {
    this.count++;
    if (!isObject(input) || !allowed.includes(input.type as number)) {
      const choices = `Value of field "type" must be one of (${allowed.join(', ')}).`;
      this.fields.faults.add([...path, 'type'], 'UNION_TYPE_CHOICES', choices);
      return {};
    }
    return { ...input, id: this.#id([...path, 'id'], input.id), ...this.#rest(path, input, modal) };
  }

  /** Its own, or the next that nobody has; 0 stands for none. */
  #id(path: Path, given: unknown): number {
    const id = this.fields.integer(path, given, { min: 0, max: 2 ** 31 - 1 });
    if (id && this.#ids.has(id)) {
      this.fields.faults.add(path, 'COMPONENT_ID_DUPLICATED', 'Component id cannot be duplicated');
    }
    while (!id && this.#given.has(this.#nextId)) this.#nextId++;
    const own = id || this.#nextId++;
    this.#ids.add(own);
    return own;
  }

  /** What a component holds beyond `type` and `id`, checked, with Discord's defaults. */
  #rest(path: Path, input: Json, modal: boolean): Json {
    const at = (key: string) => [...path, key];
    const children = (key: string, min: number, max: number, allowed: readonly number[]) =>
      this.fields
        .list(at(key), input[key], min, max)
        .map((one, i) => this.component([...at(key), i], one, allowed, modal));

    switch (input.type) {
      case C.ActionRow: {
        const row = children('components', 1, 5, modal ? [C.TextInput] : [C.Button, ...SELECTS]);
        if (row.length > 1 && row.some(({ type }) => type !== C.Button)) {
          this.fields.faults.add(
            at('components'),
            'COMPONENT_LAYOUT_WIDTH_EXCEEDED',
            'The specified components exceed the maximum width',
          );
        }
        return { components: row };
      }
      case C.Button:
        if (isPressed(input)) this.#customId(path, input);
        return readButton(this.fields, path, input);
      case C.Section:
        return {
          components: children('components', 1, 3, [C.TextDisplay]),
          accessory: this.component(at('accessory'), input.accessory, [C.Button, C.Thumbnail]),
        };
      case C.TextDisplay:
        this.text += this.fields.text1(at('content'), input.content, TEXT_MAX).length;
        return {};
      case C.Thumbnail:
        return {
          media: this.#media(at('media'), input.media),
          description: this.fields.text0(at('description'), input.description, 1024) ?? null,
          spoiler: input.spoiler === true,
        };
      case C.MediaGallery:
        return {
          items: this.fields.list(at('items'), input.items, 1, 10).map((one, i) => {
            const item = isObject(one) ? one : {};
            return {
              media: this.#media([...at('items'), i, 'media'], item.media),
              description:
                this.fields.text0([...at('items'), i, 'description'], item.description, 1024) ?? null,
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
        this.fields.flag(at('divider'), input.divider);
        this.fields.choice(at('spacing'), input.spacing ?? 1, [1, 2]);
        return { divider: input.divider !== false, spacing: input.spacing ?? 1 };
      case C.Container:
        return {
          components: children('components', 1, COMPONENTS_MAX, IN_CONTAINER),
          accent_color:
            this.fields.integer(at('accent_color'), input.accent_color, { min: 0, max: 0xffffff }) ?? null,
          spoiler: input.spoiler === true,
        };
      case C.Label:
        this.fields.text1(at('label'), input.label, 45);
        this.fields.text0(at('description'), input.description, 100);
        return { component: this.component(at('component'), input.component, FIELDS, true) };
      default:
        this.#customId(path, input);
        return readField(this.fields, path, input, modal);
    }
  }

  #customId(path: Path, input: Json): void {
    const customId = this.fields.text1([...path, 'custom_id'], input.custom_id, 100);
    if (this.#customIds.has(customId)) {
      this.fields.faults.add(
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
      this.fields.faults.add([...path, 'url'], 'MEDIA_ITEM_ATTACHMENT_NOT_FOUND', message);
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
