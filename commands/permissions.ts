/** What the bot must be allowed to do in a channel, checked before anything is charged or queued. */
import {
  type BaseInteraction,
  OAuth2Scopes,
  type PermissionResolvable,
  type PermissionsBitField,
} from 'discord.js';
import type { BatchKind } from '#src/doors/db.ts';
import { UserError } from '#src/errors.ts';
import { message } from '#src/say.ts';
import { threadParent } from './origin.ts';

/** The names that Discord's own settings give them. */
const WORDS = {
  ViewChannel: message('View Channel'),
  SendMessages: message('Send Messages'),
  AttachFiles: message('Attach Files'),
  EmbedLinks: message('Embed Links'),
  ReadMessageHistory: message('Read Message History'),
  CreatePublicThreads: message('Create Public Threads'),
  SendMessagesInThreads: message('Send Messages in Threads'),
} as const;
type Needed = keyof typeof WORDS;

/** What it takes to post a picture and to edit it later. */
export const POSTING = [
  'ViewChannel',
  'SendMessages',
  'AttachFiles',
  'EmbedLinks',
  'ReadMessageHistory',
] as const satisfies Needed[];
/** Face tests and sweeps report in a thread of their own. */
const THREADS = ['CreatePublicThreads', 'SendMessagesInThreads'] as const satisfies Needed[];

/** What the link that adds the bot to a server asks for: no more than is used. */
export const INSTALL = {
  scopes: [OAuth2Scopes.Bot, OAuth2Scopes.ApplicationsCommands],
  permissions: [...POSTING, ...THREADS],
} as const;

/** @throws {UserError} `channel_permissions`, naming what is missing */
export function mustPost(interaction: BaseInteraction, kind: BatchKind, botInside: boolean): void {
  // In DMs, and where the bot is no member, there is nothing to grant: messages go by the interaction's token.
  if (!interaction.guildId || !botInside) return;
  const inThread = interaction.channel?.isThread() ?? false;
  const posting = POSTING.map((one) => (inThread && one === 'SendMessages' ? 'SendMessagesInThreads' : one));
  // A forum's post holds no thread: what is asked for there is shown in the post itself.
  const startsThread = kind !== 'imagine' && (!inThread || threadParent(interaction) !== null);
  mustHave(interaction.appPermissions, startsThread ? [...POSTING, ...THREADS] : posting);
}

/** @throws {UserError} `channel_permissions` */
export function mustHave(given: Readonly<PermissionsBitField>, needed: readonly Needed[]): void {
  const missing = needed.filter((permission: Needed & PermissionResolvable) => !given.has(permission));
  if (missing.length) throw new UserError('channel_permissions', { missing: missing.map((p) => WORDS[p]) });
}
