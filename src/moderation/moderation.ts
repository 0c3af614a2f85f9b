/**
 * What may be asked, and what may be shown.
 *
 * Before drawing: a prompt against the rules of config/safety.yaml. After drawing: the classifier's scores give a verdict; a
 * flagged image is kept apart and opens a review:
 *
 *   pending ──▶ approved   its bytes move to where they belong, and the asker gets the picture
 *      └──────▶ rejected   its bytes are deleted, and the asker gets a strike
 *
 * A member's report of a picture that was clear opens a review as well; until it is decided nobody sees the picture. An
 * approved image stays `flagged`: the approval is of this one image, and its bytes do not stand for others of its key.
 *
 * A decision is made once, by a moderator, and kept for ever. The only file that writes Review.
 */
import { safety } from '#config/safety.ts';
import { audit } from '#src/audit.ts';
import { announce, deliver, touch } from '#src/deliveries.ts';
import {
  db,
  type Image,
  isDuplicate,
  type Prisma,
  type Review,
  type Transaction,
  type Verdict,
} from '#src/doors/db.ts';
import { deleteFile, hasFile, moveFile } from '#src/doors/storage.ts';
import { UserError } from '#src/errors.ts';
import { type Actor, actorIn, guildSettings, mustBeModerator } from '#src/people/people.ts';
import { isKeepable } from '#src/text.ts';

/** Letters that look like a–z and that Unicode's own decomposition leaves as they are: Cyrillic, Greek, Latin's own. */
const LOOKS_LIKE: Readonly<Record<string, string>> = Object.fromEntries(
  [
    ['аɑαᴀ∂', 'a'],
    ['ʙвβьъ', 'b'],
    ['сᴄϲ¢ç', 'c'],
    ['ԁᴅđɗ', 'd'],
    ['еєεᴇə℮ɛ', 'e'],
    ['ғƒ', 'f'],
    ['ɢɡԍ', 'g'],
    ['һнʜɦ', 'h'],
    ['іıɪιӏɩ', 'i'],
    ['јᴊ', 'j'],
    ['кκᴋ', 'k'],
    ['ʟł', 'l'],
    ['мᴍ', 'm'],
    ['ɴпην', 'n'],
    ['оοσᴏøө', 'o'],
    ['рρᴘþ', 'p'],
    ['ԛ', 'q'],
    ['гʀ', 'r'],
    ['ѕꜱʂ', 's'],
    ['тτᴛ', 't'],
    ['υᴜʊц', 'u'],
    ['ѵᴠ', 'v'],
    ['ԝωᴡш', 'w'],
    ['хχ×', 'x'],
    ['уγʏ', 'y'],
    ['ᴢʐ', 'z'],
  ].flatMap(([letters, plain]) => [...letters!].map((letter) => [letter, plain!])),
);
/** Digits and signs that stand for letters. `1`, `!` and `|` are an i in one reading and an l in another. */
const STANDS_FOR: Readonly<Record<string, string>> = {
  ...{
    0: 'o',
    2: 'z',
    3: 'e',
    4: 'a',
    5: 's',
    6: 'g',
    7: 't',
    8: 'b',
    9: 'g',
    '@': 'a',
    $: 's',
    '€': 'e',
    '+': 't',
  },
};
const I_OR_L = /[1!|]/g;
const UNDERAGE = new Set(
  (
    '1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 one two three four five six seven eight nine ten eleven twelve ' +
    'thirteen fourteen fifteen sixteen seventeen'
  ).split(' '),
);
const YEARS = new Set(['y', 'yo', 'yr', 'yrs', 'year', 'years', 'yearold', 'yearsold']);

/** A word as the rules compare it: `nuude` has the letters `nude`, in runs of 1, 2, 1 and 1. */
interface Spelling {
  readonly letters: string;
  readonly runs: readonly number[];
}

/** Ways to read one word of a prompt; one of them is as it stands. */
type Readings = readonly Spelling[];

interface Phrases {
  /** first word's letters → phrases that begin so */
  readonly starts: ReadonlyMap<string, readonly (readonly Spelling[])[]>;
}

const rules = Object.entries(safety.rules).map(([id, { says, any, both }]) => ({
  id,
  says,
  any: compile(any),
  both: both && compile(both),
}));
const harmless = compile(safety.harmless);
/** Every word of the rules, without its repeated letters. */
const RULE_WORDS = new Set(
  Object.values(safety.rules)
    .flatMap(({ any, both = [] }) => [...any, ...both])
    .flatMap((phrase) => phrase.split(' ').map((word) => spell(word).letters)),
);
const LONGEST = Math.max(...[...RULE_WORDS].map((word) => word.length));

/** @throws {UserError} `prompt_empty`, `prompt_long`, `prompt_blocked`, `text_unkeepable` */
export function checkPrompt(text: string): void {
  const { promptMax: max } = safety;
  if (!isKeepable(text)) throw new UserError('text_unkeepable', { what: 'The prompt' });
  // A character has at most two code units: most of what is too long is not even counted.
  const got = text.length > 2 * max ? text.length : [...text].length;
  if (got > max) throw new UserError('prompt_long', { max, got });
  const plain = fold(text);
  if (!/[^\s\p{P}]/u.test(plain)) throw new UserError('prompt_empty', {});
  const { words, more } = read(plain);
  const excused = places(words, harmless);
  // An empty place keeps the words around it apart: what is left is no new phrase.
  const counted = words.map((word, i) => (excused.has(i) ? [] : word));
  const has = (phrases: Phrases) => places(counted, phrases).size > 0 || places(more, phrases).size > 0;
  for (const { id, says, any, both } of rules)
    if (has(any) && (!both || has(both))) throw new UserError('prompt_blocked', { rule: id, says });
}

/** Lower case, without accents and invisible characters, look-alikes as what they look like. */
function fold(text: string): string {
  return [...text.normalize('NFKD').toLowerCase()]
    .filter((c) => !/[\p{M}\p{Cf}\p{Default_Ignorable_Code_Point}]/u.test(c))
    .map((c) => LOOKS_LIKE[c] ?? c)
    .join('');
}

/**
 * The words of a folded text in their order, each with its readings; and `more`: words that somebody may have taken
 * apart (`n u d e`, `nu.de`), and `underage` where an age says so. Every step is one pass over the text.
 */
function read(plain: string): { words: Readings[]; more: Readings[] } {
  const words: Readings[] = [];
  const more: Readings[] = [];
  let spelt: string[] = [];
  const endSpelling = () => {
    // The run may begin or end with a letter that is a word by itself: `a n u d e`. As many letters as the longest word
    // has, and as many again for repeats that were spelt one by one.
    for (const from of spelt.keys()) {
      const run = spelt.slice(from, from + 2 * LONGEST);
      let letters = '';
      for (const [at, piece] of run.entries()) {
        if (!letters.endsWith(piece[0]!)) letters += piece[0];
        if (at > 1 && RULE_WORDS.has(letters)) more.push([spell(run.slice(0, at + 1).join(''))]);
      }
    }
    spelt = [];
  };
  let age = false;
  for (const chunk of plain.split(/[\s,;:/()[\]{}"“”…—–]+/)) {
    const pieces = chunk.split(/[^\p{L}\p{N}@$€+!|]+/u).filter(Boolean);
    if (pieces.length > 1) more.push(readings(pieces.join('')));
    for (const piece of pieces) {
      words.push(readings(piece));
      const letters = lettersFor(piece).replace(I_OR_L, 'i');
      // One letter, or the same one repeated.
      if (new Set(letters).size === 1) spelt.push(letters);
      else endSpelling();

      const [, number, unit] = /^(\d{1,2})(\p{L}+)$/u.exec(piece) ?? [];
      if ((age && YEARS.has(piece)) || (number && unit && UNDERAGE.has(number) && YEARS.has(unit)))
        more.push([spell('underage')]);
      age = UNDERAGE.has(piece);
    }
  }
  endSpelling();
  return { words, more };
}

/** `p0rn!` is `porn` by its letters and `porni` or `pornl` by its signs; `1girl` is `girl`. */
function readings(piece: string): Readings {
  const signs = lettersFor(piece);
  const found = [
    ...piece.split(/[^\p{L}]+/u),
    ...[piece, signs, signs.replace(I_OR_L, 'i'), signs.replace(I_OR_L, 'l')].map((reading) =>
      reading.replace(/[^\p{L}]+/gu, ''),
    ),
  ];
  return [...new Set(found)].filter(Boolean).map(spell);
}

function lettersFor(piece: string): string {
  return [...piece].map((c) => STANDS_FOR[c] ?? c).join('');
}

function spell(word: string): Spelling {
  const runs: number[] = [];
  let letters = '';
  for (const letter of word) {
    if (letters.endsWith(letter)) runs.push((runs.pop() ?? 0) + 1);
    else {
      letters += letter;
      runs.push(1);
    }
  }
  return { letters, runs };
}

/** Repeating a letter hides nothing, and leaving one out does: `teeen` is `teen`, and `ten` is not. */
function isWord(reading: Spelling, word: Spelling): boolean {
  return reading.letters === word.letters && word.runs.every((run, i) => reading.runs[i]! >= run);
}

function compile(phrases: readonly string[]): Phrases {
  const starts = new Map<string, (readonly Spelling[])[]>();
  for (const phrase of phrases) {
    const words = phrase.split(' ').map(spell);
    const { letters } = words[0]!;
    starts.set(letters, [...(starts.get(letters) ?? []), words]);
  }
  return { starts };
}

/** Where in `words` a phrase stands: the index of each of its words. */
function places(words: readonly Readings[], { starts }: Phrases): Set<number> {
  const found = new Set<number>();
  for (const [at, word] of words.entries()) {
    for (const phrase of word.flatMap(({ letters }) => starts.get(letters) ?? [])) {
      const stands = phrase.every((part, i) => words[at + i]?.some((reading) => isWord(reading, part)));
      if (stands) for (const i of phrase.keys()) found.add(at + i);
    }
  }
  return found;
}

export interface ImageVerdict {
  readonly verdict: Verdict;
  readonly scores: Record<string, number>;
  readonly rule: string | null;
}

/** What the classifier's scores mean. A classifier that failed, or said nothing of use, means flagged. */
export function verdictOf(scores: Readonly<Record<string, number>> | null): ImageVerdict {
  const { label, threshold } = safety.classifier;
  const score = scores?.[label];
  if (!scores || score === undefined || !Object.values(scores).every((s) => s >= 0 && s <= 1)) {
    return { verdict: 'flagged', scores: {}, rule: 'classifier-failed' };
  }
  const flagged = score >= threshold;
  return {
    verdict: flagged ? 'flagged' : 'clear',
    scores: { ...scores },
    rule: flagged ? `classifier-${label}` : null,
  };
}

/** Whether anyone but moderators may see an image. The one place that decides it: courier, gallery and bot ask here. */
export function mayBeShown(
  image: Pick<Image, 'verdict' | 'deletedAt'>,
  review: Pick<Review, 'state'> | null,
): boolean {
  if (image.deletedAt || image.verdict === 'blocked') return false;
  if (review) return review.state === 'approved';
  return image.verdict === 'clear';
}

export interface NewReview {
  readonly imageId: string;
  readonly guildId: string | null;
  /** `classifier`, `classifier-failed` or `report` */
  readonly cause: string;
  readonly ownerId: string;
  readonly reportedBy?: string;
}

/**
 * Opens a review and has it shown in the guild's review channel. The delivery names no channel: the courier asks
 * `reviewChannel` when it posts, so a review that was opened before there was a channel is shown once there is one.
 */
export async function openReview(tx: Transaction, { ownerId, ...review }: NewReview): Promise<string> {
  const { id } = await tx.review.create({ data: review });
  await deliver(tx, { kind: 'review', userId: ownerId, guildId: review.guildId, reviewId: id });
  return id;
}

export type Decision = 'approved' | 'rejected';

/** Of a moderator's reason, characters. */
const REASON_LENGTH = 500;

/**
 * A moderator's decision, once. Approval delivers the picture; rejection deletes it. The asker is told of both.
 *
 * @throws {UserError} `moderators_only`, `gone`, `already_done` naming who was first
 */
export async function decide(
  actor: Actor,
  reviewId: string,
  decision: Decision,
  reason: string | null,
): Promise<void> {
  const review = await db.review.findUnique({
    where: { id: reviewId },
    include: { image: { include: { generation: { include: { batch: true } } } } },
  });
  // A picture from a DM is for our own moderators.
  await mustBeModerator(actorIn(actor, review?.guildId ?? null));
  if (!review) throw new UserError('gone', {});

  const { image } = review;
  const { batch, userId } = image.generation;
  const kept = image.storageKey;
  const shown = kept.replace(/^quarantine\//, batch.production ? 'productions/' : 'tests/');
  const approved = decision === 'approved';

  // Bytes first: a row must not name bytes that are not there. Moved and not decided, the next try finds them moved.
  if (approved && review.state === 'pending' && shown !== kept && (await hasFile(kept))) {
    await moveFile(kept, shown).catch((error: unknown) => {
      if (!isMissing(error)) throw error; // another moderator was faster by a hair
    });
  }
  const decided = await db.$transaction(async (tx) => {
    const { count } = await tx.review.updateMany({
      where: { id: reviewId, state: 'pending' },
      data: {
        state: decision,
        moderatorId: actor.id,
        reason: reason?.trim().slice(0, REASON_LENGTH) || null,
        decidedAt: new Date(),
      },
    });
    if (!count) return false;
    await tx.image.update({
      where: { id: image.id },
      data: approved
        ? { storageKey: shown }
        : { deletedAt: image.deletedAt ?? new Date(), visibility: 'private', publishedAt: null },
    });
    if (!approved) await tx.user.update({ where: { id: userId }, data: { strikes: { increment: 1 } } });
    await audit(tx, {
      actorId: actor.id,
      action: approved ? 'review.approve' : 'review.reject',
      subject: `image:${image.id}`,
      guildId: review.guildId,
      before: { state: 'pending' },
      after: { state: decision, reason },
    });
    await touch(tx, { OR: [{ batchId: batch.id }, { reviewId }] });
    await deliver(tx, {
      kind: 'notice',
      userId,
      guildId: batch.guildId,
      channelId: batch.threadId ?? batch.channelId,
      batchId: batch.id,
      reviewId,
    });
    return true;
  });

  const { state, moderatorId } = await db.review.findUniqueOrThrow({ where: { id: reviewId } });
  // Under either key: somebody may have been about to approve it.
  if (state === 'rejected') for (const key of [kept, shown]) await deleteFile(key);
  if (!decided) throw new UserError('already_done', { what: `${state} by <@${moderatorId}>` });
  await announce({ OR: [{ batchId: batch.id }, { reviewId }] });
}

/** A member's report takes a picture out of sight until a moderator decides. @throws {UserError} `gone`, `already_done` */
export async function reportImage(actor: Actor, imageId: string): Promise<void> {
  const image = await db.image.findUnique({
    where: { id: imageId },
    include: { review: true, generation: { include: { batch: true } } },
  });
  if (!image || image.deletedAt) throw new UserError('gone', {});
  const known = (state: Review['state']) =>
    new UserError('already_done', {
      what: state === 'pending' ? 'the moderators are looking at it' : `the moderators have ${state} it`,
    });
  if (image.review) throw known(image.review.state);

  const { batch, userId } = image.generation;
  try {
    await db.$transaction(async (tx) => {
      await openReview(tx, {
        imageId,
        guildId: batch.guildId,
        cause: 'report',
        ownerId: userId,
        reportedBy: actor.id,
      });
      // Flagged, so that its bytes are not given to others who ask for the same picture.
      await tx.image.update({
        where: { id: imageId },
        data: { verdict: 'flagged', rule: 'report', visibility: 'private', publishedAt: null },
      });
      await audit(tx, {
        actorId: actor.id,
        action: 'image.report',
        subject: `image:${imageId}`,
        guildId: actor.guildId,
        before: { verdict: image.verdict, visibility: image.visibility },
        after: { verdict: 'flagged', visibility: 'private' },
      });
      await touch(tx, { batchId: batch.id });
    });
  } catch (error) {
    if (isDuplicate(error)) throw known('pending'); // two people reported it at once
    throw error;
  }
  await announce({ OR: [{ batchId: batch.id }, { review: { imageId } }] });
}

function isMissing(error: unknown): boolean {
  return error instanceof Error && 'code' in error && error.code === 'ENOENT';
}

/** Where reviews of a guild are shown; null while it has no review channel. */
export async function reviewChannel(guildId: string | null): Promise<string | null> {
  return guildId ? ((await guildSettings(guildId))?.reviewChannelId ?? null) : null;
}

export type ReviewedImage = Prisma.ImageGetPayload<{ include: { review: true } }>;
