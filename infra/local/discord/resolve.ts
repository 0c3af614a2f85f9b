/**
 * What a person filled in and named: ids become the objects a bot receives beside them (`data.resolved`), and a modal's
 * fields are checked as Discord's client checks them.
 */
import { ComponentType as C, ApplicationCommandOptionType as Option } from 'discord-api-types/v10';
import { TypingError } from './commands.ts';
import type { Json } from './fields.ts';
import type { FieldValue } from './protocol.ts';
import type { State } from './state.ts';
import type { StoredChannel } from './world.ts';

const KINDS = ['users', 'roles', 'channels', 'attachments', 'messages'] as const;
type Kind = (typeof KINDS)[number];
export type Ids = Partial<Record<Kind, readonly string[]>>;

/** Where ids are looked up: in a channel, for whoever named them. */
export interface Place {
  readonly state: State;
  readonly channel: StoredChannel;
  readonly personId: string;
}

/** The ids that typed options name. */
export function idsOfOptions(place: Place, options: readonly Json[]): Ids {
  return join(
    ...options.map(({ type, value, options: inner }) => {
      if (Array.isArray(inner)) return idsOfOptions(place, inner as Json[]);
      const kind: Kind | undefined = {
        [Option.User]: 'users' as const,
        [Option.Channel]: 'channels' as const,
        [Option.Role]: 'roles' as const,
        [Option.Mentionable]: mentionable(place, String(value)),
        [Option.Attachment]: 'attachments' as const,
      }[type as number];
      return kind ? { [kind]: [String(value)] } : {};
    }),
  );
}

/** The ids that a select or file upload of this type names. */
export function idsOfValues(place: Place, type: number, values: readonly string[]): Ids {
  return join(
    ...values.map((value) => {
      const kind: Kind | undefined = {
        [C.UserSelect]: 'users' as const,
        [C.RoleSelect]: 'roles' as const,
        [C.ChannelSelect]: 'channels' as const,
        [C.MentionableSelect]: mentionable(place, value),
        [C.FileUpload]: 'attachments' as const,
      }[type];
      return kind ? { [kind]: [value] } : {};
    }),
  );
}

export function join(...parts: readonly Ids[]): Ids {
  return Object.fromEntries(KINDS.map((kind) => [kind, parts.flatMap((ids) => ids[kind] ?? [])]));
}

function mentionable({ state, channel }: Place, id: string): Kind {
  return state.guild(channel.guildId)?.roles.some((role) => role.id === id) ? 'roles' : 'users';
}

/**
 * `{ resolved }`, to be spread into an interaction's data; nothing where nothing is named.
 *
 * @throws {TypingError} for an id of nothing
 */
export function resolve({ state, channel: place, personId }: Place, ids: Ids): { resolved?: Json } {
  const guild = state.guild(place.guildId);
  const lookUp: Record<Kind, (id: string) => unknown> = {
    users: (id) => state.user(id),
    roles: (id) => guild?.roles.find((role) => role.id === id),
    attachments: (id) => state.attachments.get(id),
    messages: (id) => state.message(place.id, id, personId),
    channels: (id) => {
      const channel = state.channels.get(id);
      return (
        channel && {
          ...state.apiChannel(channel),
          permissions: String(state.permissions(channel, personId)),
          app_permissions: String(state.permissions(channel, state.world.applicationId)),
        }
      );
    },
  };
  const members = (ids.users ?? []).flatMap((id) => {
    const member = guild && state.member(guild, id);
    if (!member) return [];
    const { user: _, deaf: __, mute: ___, ...rest } = member;
    return [[id, { ...rest, permissions: String(state.permissions(place, id)) }] as const];
  });
  const found = KINDS.flatMap((kind) => {
    const entries = (ids[kind] ?? []).map((id) => {
      const one = lookUp[kind](id);
      if (!one) throw new TypingError(`One of the ${kind} you named is not there.`);
      return [id, one] as const;
    });
    return entries.length ? [[kind, Object.fromEntries(entries)] as const] : [];
  });
  if (!found.length) return {};
  return {
    resolved: {
      ...Object.fromEntries(found),
      ...(members.length && { members: Object.fromEntries(members) }),
    },
  };
}

/** One field of a modal as it is sent, checked as Discord's client checks it. */
export function filled(field: Json, given: FieldValue | undefined): FieldValue {
  const {
    type,
    custom_id,
    required = true,
  } = field as { type: number; custom_id: string; required?: boolean };
  const need = (present: boolean) => {
    if (required && !present) throw new TypingError(`“${custom_id}” must be filled in.`);
  };
  if (type === C.Checkbox) return given === true;
  if (type === C.TextInput || type === C.RadioGroup) {
    const text = String(given ?? field.value ?? '');
    need(text !== '');
    if (text && type === C.RadioGroup) checkChosen(field, [text]);
    const { min_length = 0, max_length = 4000 } = field as { min_length?: number; max_length?: number };
    if (text && (text.length < min_length || text.length > max_length)) {
      throw new TypingError(`“${custom_id}” must have ${min_length} to ${max_length} characters.`);
    }
    return text;
  }
  const values = Array.isArray(given) ? given.map(String) : given ? [String(given)] : [];
  need(values.length > 0);
  const { min_values = 1, max_values = type === C.CheckboxGroup ? 10 : 1 } = field as {
    min_values?: number;
    max_values?: number;
  };
  if (values.length > max_values || (values.length && values.length < min_values)) {
    throw new TypingError(`“${custom_id}” takes ${min_values} to ${max_values}.`);
  }
  checkChosen(field, values);
  return values;
}

/**
 * What was chosen is there to be chosen, and once; of users, roles and channels `resolve` knows.
 *
 * @throws {TypingError}
 */
export function checkChosen({ custom_id, options }: Json, values: readonly string[]): void {
  const offered = Array.isArray(options) ? (options as Json[]).map(({ value }) => value) : null;
  const wrong = values.find(
    (value, i) => values.indexOf(value) !== i || (offered && !offered.includes(value)),
  );
  if (wrong !== undefined) throw new TypingError(`“${String(custom_id)}” does not offer “${wrong}”.`);
}
