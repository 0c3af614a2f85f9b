/** Whom a message names, as far as its `allowed_mentions` let it. */
import { type APIMessage, PermissionFlagsBits as P } from 'discord-api-types/v10';
import { type Fields, isObject, type Json, type Path } from './fields.ts';
import { has } from './permissions.ts';
import type { State } from './state.ts';
import type { StoredChannel } from './world.ts';

type Kind = 'users' | 'roles' | 'everyone';
const KINDS: readonly Kind[] = ['users', 'roles', 'everyone'];
const LISTED_MAX = 100;

interface Allowed {
  /** kinds of which all may be named */
  readonly parse: readonly unknown[];
  readonly users: readonly string[];
  readonly roles: readonly string[];
  readonly repliedUser: boolean;
}

/**
 * What a body allows; without a word about it everything, of an answer to an interaction only people.
 *
 * A kind can be allowed as a whole or one by one, not both.
 */
export function readAllowedMentions(fields: Fields, path: Path, body: Json, byToken: boolean): Allowed {
  const { allowed_mentions: given } = body;
  if (!isObject(given)) {
    return { parse: byToken ? ['users'] : KINDS, users: [], roles: [], repliedUser: !byToken };
  }
  const at = [...path, 'allowed_mentions'];
  const parse: readonly unknown[] = Array.isArray(given.parse) ? given.parse : [];
  for (const [i, kind] of parse.entries()) fields.choice([...at, 'parse', i], kind, KINDS);
  const listed = (kind: 'users' | 'roles') => {
    const ids = fields.list([...at, kind], given[kind] ?? [], 0, LISTED_MAX).map(String);
    if (ids.length && parse.includes(kind)) {
      const sentence = `parse:["${kind}"] and ${kind}: [ids...] are mutually exclusive.`;
      fields.faults.add(at, 'MESSAGE_ALLOWED_MENTIONS_PARSE_EXCLUSIVE', sentence);
    }
    return ids;
  };
  return { parse, users: listed('users'), roles: listed('roles'), repliedUser: given.replied_user === true };
}

/** @param message as it will be, but for whom it names */
export function mentionsOf(
  state: State,
  channel: StoredChannel,
  message: APIMessage,
  text: string,
  allowed: Allowed,
): Pick<APIMessage, 'mentions' | 'mention_roles' | 'mention_everyone'> {
  const may = (kind: 'users' | 'roles', id: string) =>
    allowed.parse.includes(kind) || allowed[kind].includes(id);
  const named = (pattern: RegExp) => [...text.matchAll(pattern)].map(([, id]) => id!);
  const answered = message.referenced_message?.author.id;
  const people = [
    ...named(/<@!?(\d+)>/g).filter((id) => may('users', id)),
    ...(answered && allowed.repliedUser ? [answered] : []),
  ];
  const roles = state.guild(channel.guildId)?.roles ?? [];
  const loud = has(state.permissions(channel, message.author.id), P.MentionEveryone);
  return {
    mentions: [...new Set(people)].flatMap((id) => state.user(id) ?? []),
    mention_roles: [...new Set(named(/<@&(\d+)>/g))].filter(
      (id) => may('roles', id) && roles.some((role) => role.id === id && (role.mentionable || loud)),
    ),
    mention_everyone: loud && allowed.parse.includes('everyone') && /@(everyone|here)\b/.test(text),
  };
}
