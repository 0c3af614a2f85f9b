/**
 * Errors meant for people.
 *
 * Code anywhere may throw a `UserError`. Only the ends of the way catch: `src/services/bot/dispatch.ts`, the worker, Mecene
 * and the web service; they show what `explain` says.
 */
import { randomUUID } from 'node:crypto';
import { log } from './doors/log.ts';
import { isAway } from './doors/postgres.ts';
import { isFull, isStorageAway } from './doors/storage.ts';
import { message, type Say, sayIn } from './say.ts';
import { quote, relative } from './text.ts';

/** A `message` of say.ts, to be said in the language of whoever reads it. */
type Message = string;

/** One line per thing we may say, with the facts it needs. Discord markdown; a person's words come `quote`d. */
const messages = {
  // parameters
  parameter_unknown: ({ name, near }: { name: string; near: string[] }, say) =>
    near.length
      ? say('There is no parameter named {name}. Did you mean {near}?', {
          name: quote(name),
          near: new Intl.ListFormat(say.language, { type: 'disjunction' }).format(near.map(quote)),
        })
      : say('There is no parameter named {name}. `/settings` lists them all.', { name: quote(name) }),
  parameter_type: ({ name, expected: message, got }: { name: string; expected: Message; got: string }, say) =>
    say('`{name}` must be {expected}; {got} is not.', { name, expected: say(message), got: quote(got) }),
  parameter_range: (d: { name: string; min: number; max: number; got: number }, say) =>
    say('`{name}` must be between {min} and {max}; {got} is outside.', d),
  parameter_choice: (d: { name: string; choices: readonly string[]; got: string }, say) =>
    say('`{name}` must be one of {choices}; {got} is not.', {
      name: d.name,
      choices: d.choices.map((choice) => `\`${choice}\``).join(', '),
      got: quote(d.got),
    }),
  parameter_length: (d: { name: string; max: number; got: number }, say) =>
    say('`{name}` may have {max} characters; yours has {got}.', d),
  lora_form: ({ part }: { part: string }, say) =>
    say('{part} is no LoRA: write its name, or `name:scale`, as `film:0.8`.', { part: quote(part) }),
  lora_scale: (d: { name: string; max: number }, say) =>
    say('The scale of the LoRA `{name}` is from −{max} to {max}, as `film:0.8`.', d),
  lora_twice: (d: { name: string }, say) => say('The LoRA `{name}` is named twice.', d),
  lora_many: (d: { max: number }, say) => say('A picture is drawn with at most {max} LoRAs.', d),
  lora_unknown: ({ name, known }: { name: string; known: readonly string[] }, say) =>
    known.length
      ? say('There is no LoRA {name}; there is {known}.', {
          name: quote(name),
          known: known.map((one) => `\`${one}\``).join(', '),
        })
      : say('There is no LoRA {name} here, nor any other.', { name: quote(name) }),
  memory_short: (_: object, say) =>
    say('That needs more memory than our machines have. Take fewer LoRAs, or another bundle.'),
  bundle_failed: (_: object, say) => say('That bundle cannot be drawn with right now. Take another one.'),
  negative_alone: (_: object, say) =>
    say(
      'With `guidance_cutoff` `unconditional` the last steps follow the negative prompt alone, so the two do not go together. Take one of them away with `/set`: give `negative_prompt` the value `none`, or `guidance_cutoff` another one.',
    ),
  maker_name: ({ name }: { name: string }, say) =>
    say('{name} is no name for the gallery: take 2 to 32 of `a`–`z`, digits, `-` and `_`.', {
      name: quote(name),
    }),
  maker_name_taken: ({ name }: { name: string }, say) =>
    say('Somebody else is {name} in the gallery. Take another name.', { name: quote(name) }),
  parameter_operators: (d: { name: string }, say) => say('Only operators may set `{name}`.', d),

  // prompts and batches
  text_unkeepable: ({ what: message }: { what: Message }, say) =>
    say("{what} has a character that can't be kept, such as NUL or half of an emoji. Leave it out.", {
      what: say(message),
    }),
  prompt_empty: (_: object, say) => say('The prompt is empty: say in a few words what to draw.'),
  prompt_long: (d: { max: number; got: number }, say) =>
    say('A prompt may have {max} characters; yours has {got}. Shorten it.', d),
  text_grows: ({ what: message, max }: { what: Message; max: number }, say) =>
    say(
      '{what} has characters that stand for many, such as ﷺ: written out it has more than {max}. Use plainer ones.',
      { what: say(message), max },
    ),
  negative_blocked: ({ says: message }: { says: Message }, say) =>
    say("I can't use that negative prompt: {reason} Nothing was charged.", { reason: say(message) }),
  name_blocked: ({ what, name, says: message }: { what: Message; name: string; says: Message }, say) =>
    say("{what} can't be {name}: {reason} Take another one.", {
      what: say(what),
      name: quote(name),
      reason: say(message),
    }),
  prompt_blocked: ({ says: message }: { rule: string; says: Message }, say) =>
    say("I can't draw that: {reason} Nothing was charged.", { reason: say(message) }),
  tokens_short: (d: { price: number; balance: number }, say) =>
    say(
      'That costs {price, plural, one {# token} other {# tokens}} and you have {balance, number}. Ask for fewer pictures, or use the tier `relax`; more tokens come every day.',
      d,
    ),
  tokens_fewer: (d: { balance: number; amount: number }, say) =>
    say('They have {balance, number}, so {amount, number} can’t be taken back. Nothing was changed.', d),
  tokens_managers_only: (_: object, say) =>
    say(
      'Tokens are good on every server, so only the platform’s staff, and operators of servers that it trusts, may see and give those of others.',
    ),
  tokens_app: (_: object, say) => say('Apps draw nothing and have no tokens: choose a person.'),
  guests_many: (_: object, say) =>
    say(
      'Several people have drawn from your network today without signing in, and that is the most. Sign in to draw now, or come back tomorrow.',
    ),
  key_name: (d: { max: number }, say) => say('Give the key a name of 1 to {max} characters.', d),
  keys_many: (d: { max: number }, say) =>
    say('You have {max} keys, and that is the most. Revoke one that you do not use any more.', d),
  webhook_url: (_: object, say) =>
    say('A webhook goes to a public address by https, as `https://example.com/atelier`.'),
  sign_in_first: (_: object, say) => say('Sign in for that.'),
  waiting_limit: (d: { waiting: number; max: number }, say) =>
    say(
      'You already have {waiting, plural, one {# picture} other {# pictures}} waiting, and {max} is the most. Wait for some, or cancel them with `/queue`.',
      d,
    ),
  tier_full: ({ tier, people }: { tier: string; people: number }, say) =>
    say(
      'The tier {tier} is full: {people, plural, one {# person waits} other {# people wait}} in it, and nobody is to wait too long. Try again in a few minutes, or take another tier.',
      { tier: quote(tier), people },
    ),
  batch_limit: ({ pictures, max }: { pictures: number | bigint; max: number }, say) =>
    say(
      'That makes {pictures} pictures, and {max} is the most for one command. Use fewer values, or set `limit`.',
      { pictures: pictures.toLocaleString(say.language), max },
    ),
  blocked_until: ({ until }: { until: Date }, say) =>
    say('You can ask for pictures again {when}.', { when: relative(until) }),
  channel_permissions: ({ missing }: { missing: readonly Message[] }, say) =>
    say("I can't post here: I lack {missing}. Ask an administrator, or try another channel.", {
      missing: missing.map((message) => say(message)).join(', '),
    }),

  // sweeps and face tests: many faults in one reply
  plan_faults: ({ faults }: { faults: readonly string[] }, say) =>
    `${say('Nothing was started. {count, plural, =1 {One thing needs mending} other {# things need mending}}:', { count: faults.length })}\n${faults.map((fault) => `- ${fault}`).join('\n')}`,
  plan_long: (d: { max: number; got: number }, say) =>
    say(
      'A form holds {max, number} characters and this YAML has {got, number}. Change it in a file, as the plan has one, and give that to `/sweep`.',
      d,
    ),
  plan_changed: (_: object, say) =>
    say(
      'This plan was changed or is already running, or is from before an update. Use the newest card, or give the command again.',
    ),
  plan_price: (d: { price: number; shown: number }, say) =>
    say(
      'Since this plan was shown its price went from {shown, number} to {price, plural, one {# token} other {# tokens}}. Nothing was charged: press Edit and send it again to see it with the new price.',
      d,
    ),
  plan_production: ({ on }: { on: boolean }, say) =>
    on
      ? say('Production mode was switched on here since this plan was shown. Ask for it again.')
      : say('Production mode was switched off here since this plan was shown. Ask for it again.'),
  yaml_broken: (d: { line: number; column: number; reason: string }, say) =>
    say('The YAML does not parse at line {line}, column {column}: {reason}', d),
  file_large: ({ file, bytes, max }: { file: string; bytes: number; max: number }, say) =>
    say('{file} has {got, number} KiB, and {most, number} KiB is the most.', {
      file: quote(file),
      got: Math.ceil(bytes / 1024),
      most: Math.floor(max / 1024),
    }),
  yaml_large: ({ bytes, max }: { bytes: number; max: number }, say) =>
    say('The YAML has {got, number} KiB, and {most, number} KiB is the most.', {
      got: Math.ceil(bytes / 1024),
      most: Math.floor(max / 1024),
    }),

  // faces
  folder_name: ({ name }: { name: string }, say) =>
    say(
      "{name} can't be a face folder: use 1 to 32 lower-case letters, digits, `-` or `_`, beginning with a letter or digit.",
      { name: quote(name) },
    ),
  folder_unknown: ({ name, mine }: { name: string; mine: readonly string[] }, say) =>
    mine.length
      ? say('You have no face folder named {name}. Yours: {mine}.', {
          name: quote(name),
          mine: mine.map((one) => `\`${one}\``).join(', '),
        })
      : say('You have no face folder named {name}. Make one with `/faces add`.', { name: quote(name) }),
  folder_empty: (d: { name: string }, say) =>
    say('`{name}` has no photo with consent yet. Add one with `/faces add` and press the consent button.', d),
  consent_withdrawn: (_: object, say) => say('The consent to that face was withdrawn.'),
  upload_not_image: ({ file }: { file: string }, say) =>
    say('{file} is not a picture I can read: use a JPEG, PNG, WebP or AVIF file.', { file: quote(file) }),
  upload_pixels: (d: { file: string; megapixels: number; max: number; of: '' | 'AVIF' | '16-bit' }, say) => {
    const facts = { file: quote(d.file), megapixels: d.megapixels, max: d.max };
    if (d.of === 'AVIF')
      return say(
        '{file} has {megapixels} megapixels, and {max} is the most of an AVIF file. Scale it down.',
        facts,
      );
    if (d.of === '16-bit')
      return say(
        '{file} has {megapixels} megapixels, and {max} is the most of an image with 16-bit colours. Scale it down.',
        facts,
      );
    return say('{file} has {megapixels} megapixels, and {max} is the most. Scale it down.', facts);
  },
  upload_heavy: ({ file }: { file: string }, say) =>
    say('{file} takes too much memory or time to read. Scale it down, or save it as a plain JPEG.', {
      file: quote(file),
    }),
  upload_missing: (_: object, say) => say('Choose a photo or several.'),
  upload_small: ({ file, min }: { file: string; min: number }, say) =>
    say('{file} is too small: each side needs {min} px or more.', { file: quote(file), min }),
  upload_gone: ({ file }: { file: string }, say) =>
    say('{file} could not be fetched from Discord. Upload it again.', { file: quote(file) }),
  face_none: ({ file }: { file: string }, say) =>
    say('I found no face in {file}: use a photo with one face, seen from the front.', { file: quote(file) }),
  face_not_yours: (_: object, say) =>
    say('That picture uses a face folder of the person who asked for it: only they may draw with it.'),
  face_many: ({ file, faces }: { file: string; faces: number }, say) =>
    say('I found {faces} faces in {file}: use a photo with one face.', { file: quote(file), faces }),
  photos_limit: (d: { max: number }, say) => say('A face folder holds {max} photos at most.', d),

  // buttons
  not_yours: (_: object, say) => say('Only the person who asked for this may press that.'),
  moderators_only: (_: object, say) => say('Only moderators may do that.'),
  own_part: ({ part: message }: { part: Message }, say) => say(message),
  platform_only: (_: object, say) => say('Only those who look after the whole platform may do that.'),
  rules_none: (_: object, say) =>
    say(
      'There are no rules to decide on. Put them into config/safety.next.yaml, and start the services again.',
    ),
  operators_only: (_: object, say) => say('Only operators may do that.'),
  administrators_only: (_: object, say) => say('Only people who may Manage Server may do that.'),
  already_done: ({ what: message }: { what: Message }, say) =>
    say('That was done already: {what}.', { what: say(message) }),
  already_reviewed: ({ approved, by }: { approved: boolean; by: string }, say) =>
    approved
      ? say('That was done already: approved by {who}.', { who: `<@${by}>` })
      : say('That was done already: rejected by {who}.', { who: `<@${by}>` }),
  gone: (_: object, say) => say('That is not there any more.'),
  command_old: (_: object, say) =>
    say('Your Discord shows an older form of this command. Reload it (Ctrl+R) and type the command again.'),
  card_old: (_: object, say) => say('This button is not one I know. Run the command again for a fresh card.'),

  // pictures
  picture_unclear: (d: { pictures: number }, say) =>
    say(
      'That message shows {pictures, plural, one {# picture} other {# pictures}}. Choose one there with Apps → Details, and give its id.',
      d,
    ),
  picture_number: ({ got, max }: { got: string; max: number }, say) =>
    say('There is no picture {got} here: give a number from 1 to {max}, as on the contact sheet.', {
      got: quote(got),
      max,
    }),
  image_flagged: (_: object, say) => say('That picture is held for review by the moderators.'),
  publish_others: (_: object, say) =>
    say('Only the person who asked for a picture, and those who look after the gallery, may publish it.'),
  gallery_deciders: (_: object, say) => say('Only those who look after the gallery may do that.'),
  collection_unknown: ({ name, known }: { name: string; known: readonly string[] }, say) =>
    say('There is no collection {name} in the gallery; there is {known}.', {
      name: quote(name),
      known: known.map((one) => `\`${one}\``).join(', '),
    }),
  publish_nobody: (_: object, say) =>
    say(
      'What was asked for here comes into the gallery only through the platform’s own people, and there is no place yet where they could be asked.',
    ),
  image_age_restricted: (_: object, say) =>
    say('It was asked for in an age-restricted channel, and is shown only there.'),
  threshold_loose: ({ score, most }: { score: string; most: number }, say) =>
    say(
      'Everywhere, pictures are held for review from {score} {most} on. A server may hold more than that, and not less: choose a threshold of {most} or less.',
      { score, most },
    ),
  image_not_production: (_: object, say) =>
    say(
      'Only pictures drawn in production mode can be published; this one was a test. An operator can switch it on for a channel or the server with `/guild production`; what is drawn from then on can be.',
    ),
  review_channel_open: ({ channelId, roles }: { channelId: string; roles: string }, say) =>
    say(
      "{channel} can't be the review channel, as it can be seen by {roles}. Flagged pictures are for operators and moderators alone: hide it from the others, or name who they are with `/guild moderators`.",
      { channel: `<#${channelId}>`, roles },
    ),

  // services
  busy: ({ what: message }: { what: Message }, say) =>
    say('{what} did not answer in time. Nothing was charged; try again in a minute.', { what: say(message) }),
  database_away: (_: object, say) =>
    say(
      'My database does not answer right now. Try again in a minute; if what you asked for comes all the same, it was accepted before that.',
    ),
  storage_full: (_: object, say) =>
    say('My storage is full, so nothing could be kept. The people who run me are told; try again later.'),
  storage_away: (_: object, say) =>
    say(
      'The place where I keep pictures does not answer right now. Nothing is lost, and what is being drawn goes on; try again in a minute.',
    ),
  turns_taken: ({ what: message, max }: { what: Message; max: number }, say) =>
    say(
      'I am still at {max} {what} of yours, and that is the most at once. Wait for the answer, then try again.',
      { max, what: say(message) },
    ),
  crowded: (_: object, say) =>
    say(
      'So much is asked of me right now that I could not take this. Nothing was done or charged; try again in a moment.',
    ),
  mecene_failed: (_: object, say) => say('Mecene could not make a prompt of that. Try other words.'),
} satisfies Record<string, (details: never, say: Say) => string>;

export type UserErrorCode = keyof typeof messages;
type Details<C extends UserErrorCode> = Parameters<(typeof messages)[C]>[0];

export class UserError<C extends UserErrorCode = UserErrorCode> extends Error {
  override readonly name = 'UserError';
  readonly code: C;
  readonly #details: Details<C>;

  constructor(code: C, details: Details<C>, options?: ErrorOptions) {
    super(code, options);
    this.code = code;
    this.#details = details;
  }

  /** The same in English. */
  get userMessage(): string {
    return this.in(sayIn('en'));
  }

  /** What the person reads. Discord markdown. */
  in(say: Say): string {
    return (messages[this.code] as (details: Details<C>, say: Say) => string)(this.#details, say);
  }
}

/** Why a generation came to nothing, as its row keeps it: a word that a card has a sentence for. */
export type Failure = keyof typeof failures;

const failures = {
  internal: message('Something broke on our side.'),
  folder_empty: message('Its face folder has no photo with consent any more.'),
  gone: message('Its face folder is gone.'),
  consent_withdrawn: message('The consent to its face was withdrawn.'),
  lora_unknown: message('Its LoRA is not there any more.'),
  memory_short: message('It needs more memory than our machines have.'),
  bundle_failed: message('Its bundle cannot be drawn with right now.'),
  storage_full: message('Our storage is full, so it could not be kept.'),
  tier_gone: message('Its tier is not there any more. Ask again in another.'),
  blocked: message('Whoever asked for it is blocked.'),
} satisfies Partial<Record<UserErrorCode | 'internal' | 'tier_gone' | 'blocked', string>>;

/** Those that whoever asked has no part in. */
const ours: ReadonlySet<Failure> = new Set(['internal', 'memory_short', 'bundle_failed', 'storage_full']);

export function isOurFault(failure: Failure): boolean {
  return ours.has(failure);
}

const isFailure = (code: string): code is Failure => Object.hasOwn(failures, code);

/** What a row keeps of an error. One that has no sentence is ours, whatever it is. */
export function failureOf(error: unknown): Failure {
  if (isFull(error)) return 'storage_full';
  return error instanceof UserError && isFailure(error.code) ? error.code : 'internal';
}

/** @param failure as a row has it; null or a word of another version: ours */
export function failureSentence(say: Say, failure: string | null): string {
  const message = failures[failure !== null && isFailure(failure) ? failure : 'internal'];
  return say(message);
}

/**
 * What to tell the person. An error that is not for people is ours: it is logged under the id they may quote, unless it is the same
 * for everybody: Postgres or storage is away, or storage is full.
 */
export function explain(say: Say, error: unknown): string {
  if (error instanceof UserError) return error.in(say);
  if (isAway(error)) {
    log.warn({ err: error }, 'Postgres is out of reach');
    return new UserError('database_away', {}).in(say);
  }
  if (isFull(error)) {
    log.error({ err: error }, 'storage is full');
    return new UserError('storage_full', {}).in(say);
  }
  // Its door has logged it.
  if (isStorageAway(error)) return new UserError('storage_away', {}).in(say);
  const errorId = randomUUID().slice(0, 8);
  log.error({ err: error, errorId }, 'unexpected error');
  return say('Something broke on our side. If it goes on, quote `{errorId}`.', { errorId });
}
