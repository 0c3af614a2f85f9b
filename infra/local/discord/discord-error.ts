/** What the local Discord refuses, in Discord's own shape: `{ code, message, errors? }`. */

type Path = readonly (string | number)[];

interface FieldErrors {
  _errors?: { code: string; message: string }[];
  [field: string]: FieldErrors | FieldErrors['_errors'];
}

export class DiscordError extends Error {
  override readonly name = 'DiscordError';
  readonly status: number;
  readonly code: number;
  readonly errors: FieldErrors | undefined;

  constructor(status: number, code: number, message: string, errors?: FieldErrors) {
    super(message);
    this.status = status;
    this.code = code;
    this.errors = errors;
  }

  get body() {
    return { message: this.message, code: this.code, ...(this.errors && { errors: this.errors }) };
  }
}

/** https://docs.discord.com/developers/topics/opcodes-and-status-codes, as far as our bot can meet them. */
export const refusals = {
  unauthorized: () => new DiscordError(401, 0, '401: Unauthorized'),
  notFound: () => new DiscordError(404, 0, '404: Not Found'),
  methodNotAllowed: () => new DiscordError(405, 0, '405: Method Not Allowed'),
  unknownChannel: () => new DiscordError(404, 10003, 'Unknown Channel'),
  unknownGuild: () => new DiscordError(404, 10004, 'Unknown Guild'),
  unknownMember: () => new DiscordError(404, 10007, 'Unknown Member'),
  unknownMessage: () => new DiscordError(404, 10008, 'Unknown Message'),
  unknownRole: () => new DiscordError(404, 10011, 'Unknown Role'),
  unknownUser: () => new DiscordError(404, 10013, 'Unknown User'),
  unknownWebhook: () => new DiscordError(404, 10015, 'Unknown Webhook'),
  unknownInteraction: () => new DiscordError(404, 10062, 'Unknown interaction'),
  unknownCommand: () => new DiscordError(404, 10063, 'Unknown application command'),
  alreadyCrossposted: () => new DiscordError(400, 40033, 'This message has already been crossposted.'),
  tooLarge: () => new DiscordError(413, 40005, 'Request entity too large'),
  alreadyAcknowledged: () => new DiscordError(400, 40060, 'Interaction has already been acknowledged.'),
  threadExists: () => new DiscordError(400, 160004, 'A thread has already been created for this message'),
  missingAccess: () => new DiscordError(403, 50001, 'Missing Access'),
  notYourMessage: () => new DiscordError(403, 50005, 'Cannot edit a message authored by another user'),
  emptyMessage: () => new DiscordError(400, 50006, 'Cannot send an empty message'),
  cannotDm: () => new DiscordError(403, 50007, 'Cannot send messages to this user'),
  onDirectChannel: () => new DiscordError(400, 50003, 'Cannot execute action on a DM channel'),
  tooFewOrMany: () =>
    new DiscordError(
      400,
      50016,
      'Provided too few or too many messages to delete. Must provide at least 2 and fewer than 100 messages to delete.',
    ),
  wrongChannelType: () => new DiscordError(400, 50024, 'Cannot execute action on this channel type'),
  invalidRecipients: () => new DiscordError(400, 50033, 'Invalid Recipient(s)'),
  tooOldToDelete: () =>
    new DiscordError(400, 50034, 'You can only bulk delete messages that are under 14 days old.'),
  missingPermissions: () => new DiscordError(403, 50013, 'Missing Permissions'),
  invalidWebhookToken: () => new DiscordError(401, 50027, 'Invalid Webhook Token'),
  notATextChannel: () => new DiscordError(400, 50008, 'Cannot send messages in a non-text channel'),
  replyUnread: () => new DiscordError(400, 160002, 'Cannot reply without permission to read message history'),
  threadLocked: () => new DiscordError(400, 160005, 'Thread is locked'),
  threadArchived: () => new DiscordError(400, 50083, 'Thread is archived'),
  invalidVersion: () => new DiscordError(400, 50041, 'Invalid API version provided'),
  badJson: () => new DiscordError(400, 50109, 'The request body contains invalid JSON.'),
} as const;

/** Collects what is wrong with a body, field by field, as Discord reports it: all at once, under code 50035. */
export class Faults {
  #found: { path: Path; code: string; message: string }[] = [];

  add(path: Path, code: string, message: string): void {
    this.#found.push({ path, code, message });
  }

  /** @throws {DiscordError} 50035 with every fault at its path */
  throwIfAny(): void {
    if (!this.#found.length) return;
    const errors: FieldErrors = {};
    for (const { path, code, message } of this.#found) {
      let at = errors;
      for (const key of path) {
        at[key] ??= {};
        at = at[key] as FieldErrors;
      }
      at._errors = [...(at._errors ?? []), { code, message }];
    }
    throw new DiscordError(400, 50035, 'Invalid Form Body', errors);
  }
}

/** One fault alone. */
export function invalid(path: Path, code: string, message: string): DiscordError {
  const faults = new Faults();
  faults.add(path, code, message);
  try {
    faults.throwIfAny();
  } catch (error) {
    return error as DiscordError;
  }
  throw new Error('unreachable');
}
