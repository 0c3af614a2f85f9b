/**
 * Errors meant for people.
 *
 * Code anywhere may throw a `UserError`. Only the ends of the way catch: `src/services/bot/dispatch.ts`, the worker, Mecene
 * and the web service; they show what `explain` says.
 */
import { randomUUID } from 'node:crypto';
import { log } from './doors/log.ts';
import { isAway } from './doors/postgres.ts';
import { quote, relative } from './text.ts';

/** One line per thing we may say, with the facts it needs. Discord markdown; a person's words come `quote`d. */
const messages = {
  // parameters
  parameter_unknown: (d: { name: string; near: string[] }) =>
    `There is no parameter named ${quote(d.name)}.${d.near.length ? ` Did you mean ${d.near.map(quote).join(' or ')}?` : ' `/settings` lists them all.'}`,
  parameter_type: (d: { name: string; expected: string; got: string }) =>
    `\`${d.name}\` must be ${d.expected}; ${quote(d.got)} is not.`,
  parameter_range: (d: { name: string; min: number; max: number; got: number }) =>
    `\`${d.name}\` must be between ${d.min} and ${d.max}; ${d.got} is outside.`,
  parameter_choice: (d: { name: string; choices: readonly string[]; got: string }) =>
    `\`${d.name}\` must be one of ${d.choices.map((c) => `\`${c}\``).join(', ')}; ${quote(d.got)} is not.`,
  parameter_length: (d: { name: string; max: number; got: number }) =>
    `\`${d.name}\` may have ${d.max} characters; yours has ${d.got}.`,
  parameter_lora: (d: { name: string; problem: string }) => `\`${d.name}\`: ${d.problem}.`,
  negative_alone: (_: object) =>
    'With `guidance_cutoff` `unconditional` the last steps follow the negative prompt alone, so the two do not go together. Take one of them away, as by `/set parameter:negative_prompt value:none`.',
  lora_unknown: (d: { name: string; known: readonly string[] }) =>
    `There is no LoRA ${quote(d.name)}${d.known.length ? `; there is ${d.known.map((n) => `\`${n}\``).join(', ')}` : ' here, nor any other'}.`,
  parameter_operators: (d: { name: string }) => `Only operators may set \`${d.name}\`.`,

  // prompts and batches
  text_unkeepable: (d: { what: string }) =>
    `${d.what} has a character that can't be kept, such as NUL or half of an emoji. Leave it out.`,
  prompt_empty: (_: object) => 'The prompt is empty: say in a few words what to draw.',
  prompt_long: (d: { max: number; got: number }) =>
    `A prompt may have ${d.max} characters; yours has ${d.got}. Shorten it.`,
  text_grows: (d: { what: string; max: number }) =>
    `${d.what} has characters that stand for many, such as ﷺ: written out it has more than ${d.max}. Use plainer ones.`,
  negative_blocked: (_: object) =>
    "I can't use that negative prompt: it has words for children beside words of sex, and those are never taken here, not even to be kept out. Leave one or the other out.",
  prompt_blocked: (d: { rule: string; says: string }) => `I can't draw that: ${d.says} Nothing was charged.`,
  tokens_short: (d: { price: number; balance: number }) =>
    `That costs ${d.price} tokens and you have ${d.balance}. Ask for fewer pictures, or use the tier \`relax\`; more tokens come every day.`,
  waiting_limit: (d: { waiting: number; max: number }) =>
    `You already have ${d.waiting} pictures waiting, and ${d.max} is the most. Wait for some, or cancel them with \`/queue\`.`,
  batch_limit: (d: { pictures: number | bigint; max: number }) =>
    `That makes ${d.pictures.toLocaleString('en')} pictures, and ${d.max} is the most for one command. Use fewer values, or set \`limit\`.`,
  blocked_until: (d: { until: Date }) => `You can ask for pictures again ${relative(d.until)}.`,
  channel_permissions: (d: { missing: string[] }) =>
    `I can't post here: I lack ${d.missing.join(', ')}. Ask an administrator, or try another channel.`,

  // sweeps and face tests: many faults in one reply
  plan_faults: (d: { faults: readonly string[] }) =>
    `Nothing was started. ${d.faults.length === 1 ? 'One thing needs mending' : `${d.faults.length} things need mending`}:\n${d.faults.map((f) => `- ${f}`).join('\n')}`,
  plan_long: (d: { max: number; got: number }) =>
    `A form holds ${d.max} characters and this YAML has ${d.got}. Change the file and give it to \`/sweep\` again.`,
  plan_changed: (_: object) =>
    'This plan was changed or is already running, or is from before an update. Use the newest card, or give the command again.',
  plan_production: (d: { on: boolean }) =>
    `Production mode was switched ${d.on ? 'on' : 'off'} here since this plan was shown. Ask for it again.`,
  yaml_broken: (d: { line: number; column: number; reason: string }) =>
    `The YAML does not parse at line ${d.line}, column ${d.column}: ${d.reason}`,
  file_large: (d: { what: string; bytes: number; max: number }) =>
    `${d.what} has ${Math.ceil(d.bytes / 1024)} KiB, and ${Math.floor(d.max / 1024)} KiB is the most.`,

  // faces
  folder_name: (d: { name: string }) =>
    `${quote(d.name)} can't be a face folder: use 1 to 32 lower-case letters, digits, \`-\` or \`_\`, beginning with a letter or digit.`,
  folder_unknown: (d: { name: string; mine: string[] }) =>
    `You have no face folder named ${quote(d.name)}.${d.mine.length ? ` Yours: ${d.mine.map((n) => `\`${n}\``).join(', ')}.` : ' Make one with `/faces add`.'}`,
  folder_empty: (d: { name: string }) =>
    `\`${d.name}\` has no photo with consent yet. Add one with \`/faces add\` and press the consent button.`,
  upload_not_image: (d: { file: string }) =>
    `${quote(d.file)} is not a picture I can read: use a JPEG, PNG, WebP or AVIF file.`,
  upload_pixels: (d: { file: string; megapixels: number; max: number; of: '' | 'AVIF' | '16-bit' }) =>
    `${quote(d.file)} has ${d.megapixels} megapixels, and ${d.max} is the most${d.of && ` of an ${d.of === 'AVIF' ? 'AVIF file' : 'image with 16-bit colours'}`}. Scale it down.`,
  upload_heavy: (d: { file: string }) =>
    `${quote(d.file)} takes too much memory or time to read. Scale it down, or save it as a plain JPEG.`,
  upload_small: (d: { file: string; min: number }) =>
    `${quote(d.file)} is too small: each side needs ${d.min} px or more.`,
  upload_gone: (d: { file: string }) =>
    `${quote(d.file)} could not be fetched from Discord. Upload it again.`,
  face_none: (d: { file: string }) =>
    `I found no face in ${quote(d.file)}: use a photo with one face, seen from the front.`,
  face_not_yours: (_: object) =>
    'That picture uses a face folder of the person who asked for it: only they may draw with it.',
  face_many: (d: { file: string; faces: number }) =>
    `I found ${d.faces} faces in ${quote(d.file)}: use a photo with one face.`,
  photos_limit: (d: { max: number }) => `A face folder holds ${d.max} photos at most.`,

  // buttons
  not_yours: (_: object) => 'Only the person who asked for this may press that.',
  moderators_only: (_: object) => 'Only moderators may do that.',
  own_part: (d: { what: string }) => `You ${d.what} this picture, so another moderator must decide on it.`,
  operators_only: (_: object) => 'Only operators may do that.',
  administrators_only: (_: object) => 'Only people who may Manage Server may do that.',
  already_done: (d: { what: string }) => `That was done already: ${d.what}.`,
  gone: (_: object) => 'That is not there any more.',
  command_old: (_: object) =>
    'Your Discord shows an older form of this command. Reload it (Ctrl+R) and type the command again.',
  card_old: (_: object) => 'This button is not one I know. Run the command again for a fresh card.',

  // pictures
  picture_unclear: (d: { pictures: number }) =>
    `That message shows ${d.pictures} pictures. Choose one there with Apps → Details, and give its id.`,
  image_flagged: (_: object) => 'That picture is held for review by the moderators.',
  publish_others: (_: object) =>
    'Only the person who asked for a picture, and those who look after the gallery, may publish it.',
  publish_nobody: (_: object) =>
    'What was asked for here comes into the gallery only through the platform’s own people, and there is no place yet where they could be asked.',
  image_not_production: (_: object) =>
    'Only pictures drawn in production mode can be published; this one was a test. An operator can switch it on for a channel or the server with `/guild production`; what is drawn from then on can be.',

  review_channel_open: (d: { channelId: string; roles: string }) =>
    `<#${d.channelId}> can't be the review channel, as it can be seen by ${d.roles}. Flagged pictures are for operators and moderators alone: hide it from the others, or name who they are with \`/guild moderators\`.`,

  // services
  busy: (d: { what: string }) =>
    `${d.what} did not answer in time. Nothing was charged; try again in a minute.`,
  database_away: (_: object) =>
    'My database does not answer right now. Try again in a minute; if what you asked for comes all the same, it was accepted before that.',
  turns_taken: (d: { what: string; max: number }) =>
    `I am still at ${d.max} ${d.what} of yours, and that is the most at once. Wait for the answer, then try again.`,
  mecene_failed: (_: object) => 'Mecene could not make a prompt of that. Try other words.',
};

export type UserErrorCode = keyof typeof messages;
type Details<C extends UserErrorCode> = Parameters<(typeof messages)[C]>[0];

export class UserError<C extends UserErrorCode = UserErrorCode> extends Error {
  override readonly name = 'UserError';
  readonly code: C;
  /** What the person reads. Discord markdown. */
  readonly userMessage: string;

  constructor(code: C, details: Details<C>, options?: ErrorOptions) {
    super(code, options);
    this.code = code;
    this.userMessage = (messages[code] as (d: Details<C>) => string)(details);
  }
}

/** Why a generation came to nothing, as its row keeps it: a word that a card has a sentence for. */
export type Failure = keyof typeof failures;

const failures = {
  internal: 'Something broke on our side.',
  folder_empty: 'Its face folder has no photo with consent any more.',
  gone: 'Its face folder is gone.',
  lora_unknown: 'Its LoRA is not there any more.',
} satisfies Partial<Record<UserErrorCode | 'internal', string>>;

const isFailure = (code: string): code is Failure => Object.hasOwn(failures, code);

/** What a row keeps of an error. One that has no sentence is ours, whatever it is. */
export function failureOf(error: unknown): Failure {
  return error instanceof UserError && isFailure(error.code) ? error.code : 'internal';
}

/** @param failure as a row has it; null or a word of another version: ours */
export function failureSentence(failure: string | null): string {
  return failures[failure !== null && isFailure(failure) ? failure : 'internal'];
}

/**
 * What to tell the person. An error that is not for people is ours: it is logged under the id they may quote, unless it is Postgres
 * that is away for everybody.
 */
export function explain(error: unknown): string {
  if (error instanceof UserError) return error.userMessage;
  if (isAway(error)) {
    log.warn({ err: error }, 'Postgres is out of reach');
    return new UserError('database_away', {}).userMessage;
  }
  const errorId = randomUUID().slice(0, 8);
  log.error({ err: error, errorId }, 'unexpected error');
  return `Something broke on our side. If it goes on, quote \`${errorId}\`.`;
}
