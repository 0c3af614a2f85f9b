/** For moderators: a flagged picture, so blurred that nothing is made out. For the person who asked: what became of it. */
import { ButtonStyle } from 'discord-api-types/v10';
import sharp from 'sharp';
import { type Batch, db, type Image, type Prisma, type Review } from '#src/doors/db.ts';
import { getFile } from '#src/doors/storage.ts';
import { sayToGuild } from '#src/guilds.ts';
import { markPicture } from '#src/marks/marks.ts';
import { fileInForce } from '#src/moderation/standing.ts';
import { conceptsReached, Judgement } from '#src/moderation/verdicts.ts';
import { mention, sayToPerson } from '#src/people/people.ts';
import { message, type Say } from '#src/say.ts';
import { plain } from '#src/text.ts';
import { accents, button, type Card, type CardFile, card, gallery, row, text, webLink } from './parts.ts';

const PROMPT_SHOWN = 600;
const REASON_SHOWN = 500;
const SCORES_SHOWN = 8;
/** px; a picture is shrunk to this before it is enlarged again: a face is about three of them */
const BLURRED_SIDE = 14;
/** px */
const SHOWN_SIDE = 480;

const reviewed = {
  image: { include: { generation: { include: { batch: true } } } },
} as const satisfies Prisma.ReviewInclude;
type Reviewed = Prisma.ReviewGetPayload<{ include: typeof reviewed }>;

const findReview = (id: string): Promise<Reviewed | null> =>
  db.review.findUnique({ where: { id }, include: reviewed });

export async function reviewCard(reviewId: string): Promise<Card | null> {
  const review = await findReview(reviewId);
  if (!review) return null;
  const { image, state, reason } = review;
  const { generation } = image;
  const { batch } = generation;
  const say = await sayToGuild(review.guildId);
  const scores = scoresOf(image).map(([label, score]) => `${plain(label, 40)} ${score.toFixed(2)}`);
  const files = state !== 'rejected' && !image.deletedAt ? [await blurred(say, image)] : [];
  const who = mention(say, generation.userId);
  return card(
    say,
    state === 'pending' ? accents.held : state === 'approved' ? accents.done : accents.failed,
    [
      text(
        `### ${titleOf(say, state)}`,
        askedLine(say, who, batch),
        `> ${plain(generation.prompt, PROMPT_SHOWN)}`,
        whyHeld(say, review),
        scores.length > 0 && `-# ${scores.join(' · ')}`,
      ),
      gallery(files),
      text(decided(say, review), reason && `> ${plain(reason, REASON_SHOWN)}`),
      state === 'pending'
        ? row(
            button('review.approve', review.id, say('Approve'), ButtonStyle.Success),
            button('review.reject', review.id, say('Reject'), ButtonStyle.Danger),
            ...webLink(say('Look at it on the web'), `/reviews/${review.id}`),
          )
        : null,
    ],
    { files, last: state !== 'pending' },
  );
}

/** What the classifier said, the surest first; as much as a moderator reads. */
export function scoresOf({ scores }: Pick<Image, 'scores'>): [label: string, score: number][] {
  return Object.entries(scores as Record<string, number>) // written by us
    .sort(([, a], [, b]) => b - a)
    .slice(0, SCORES_SHOWN);
}

function askedLine(say: Say, who: string, { guildId, channelId }: Batch): string {
  if (channelId === null) return say('Asked by {who} on the web', { who });
  return guildId
    ? say('Asked by {who} in {channel}', { who, channel: `<#${channelId}>` })
    : say('Asked by {who} in a direct message', { who });
}

function titleOf(say: Say, state: Review['state']): string {
  if (state === 'pending') return say('For review');
  return state === 'approved' ? say('Approved') : say('Rejected');
}

const causes: Readonly<Record<string, string>> = {
  classifier: message('Flagged by the classifier'),
  'possible-minor': message('A face that may be under 18, with an adult score'),
  'classifier-failed': message('The classifier failed, so it was held'),
  concept: message('Held for what its prompt means'),
  'concepts-failed': message('What its prompt means could not be told, so it was held'),
  report: message('Reported by a member'),
};

/** Why it was flagged. */
export function whyHeld(
  say: Say,
  {
    cause,
    image: { rule, judged },
    reportedBy,
  }: Pick<Review, 'cause' | 'reportedBy'> & { readonly image: Pick<Image, 'rule' | 'judged'> },
): string {
  const message = causes[cause];
  return [
    message ? say(message) : plain(cause, 60),
    ...(rule && rule !== cause ? [say('rule {rule}', { rule: plain(rule, 60) })] : []),
    ...nearTo(say, judged),
    ...(reportedBy ? [say('reported by {who}', { who: `<@${reportedBy}>` })] : []),
  ].join(' · ');
}

/** Concepts that its prompt comes near enough to, whichever rule it was held by. */
function nearTo(say: Say, kept: Image['judged']): string[] {
  const { data } = Judgement.safeParse(kept);
  return conceptsReached(data?.concepts ?? {}).map(({ name, score, threshold }) =>
    say('the prompt comes near to {concept}: {score}, held from {threshold} on', {
      concept: say(fileInForce().concepts[name]?.title ?? name),
      score: score.toFixed(3),
      threshold: threshold.toFixed(3),
    }),
  );
}

function decided(say: Say, { state, moderatorId, decidedAt }: Reviewed): string | null {
  if (!moderatorId || !decidedAt) return null;
  const facts = { who: `<@${moderatorId}>`, when: `<t:${Math.floor(decidedAt.getTime() / 1000)}:f>` };
  return state === 'approved'
    ? say('Approved by {who} {when}', facts)
    : say('Rejected by {who} {when}', facts);
}

/** null while nothing is decided: there is nothing to tell yet. */
export async function noticeCard(reviewId: string): Promise<Card | null> {
  const review = await findReview(reviewId);
  if (!review || review.state === 'pending') return null;
  const { image, state, reason } = review;
  const { userId, prompt } = image.generation;
  const say = await sayToPerson(userId);
  const approved = state === 'approved';
  return card(
    say,
    approved ? accents.done : accents.failed,
    [
      text(
        approved ? wasApproved(say, review) : wasRejected(say, review),
        !approved && reason && `> ${plain(reason, REASON_SHOWN)}`,
        `-# ${plain(prompt, 120)}`,
      ),
    ],
    { mentions: [userId], last: true },
  );
}

function wasApproved(say: Say, { image }: Reviewed): string {
  const { userId, batch } = image.generation;
  const who = `<@${userId}>`;
  if (image.deletedAt) return say('{who}, your picture was approved.', { who });
  if (!batch.guildId || !batch.messageId)
    return say('{who}, your picture was approved and is shown now.', { who });
  const link = `https://discord.com/channels/${batch.guildId}/${batch.channelId}/${batch.messageId}`;
  return say('{who}, your picture was approved: [it is shown now]({link}).', { who, link });
}

function wasRejected(say: Say, { image, reason }: Reviewed): string {
  const who = `<@${image.generation.userId}>`;
  return reason
    ? say('{who}, your picture was rejected by the moderators:', { who })
    : say('{who}, your picture was rejected by the moderators.', { who });
}

/** Hidden behind a click as well. What is not in the small picture cannot be sharpened out of the large one. */
async function blurred(say: Say, image: Reviewed['image']): Promise<CardFile> {
  return {
    name: `held-${image.sha256.slice(0, 8)}.webp`,
    description: say('A picture held for review, blurred'),
    source: 'drawn',
    spoiler: true,
    bytes: async () => {
      const { data, info } = await sharp(await getFile(image.storageKey))
        .resize(BLURRED_SIDE, BLURRED_SIDE, { fit: 'inside' })
        .removeAlpha()
        .toColourspace('srgb')
        .raw()
        .toBuffer({ resolveWithObject: true });
      const shown = sharp(data, { raw: { width: info.width, height: info.height, channels: 3 } })
        .resize(SHOWN_SIDE, SHOWN_SIDE, { fit: 'inside', kernel: 'cubic' })
        .blur(12)
        .webp({ quality: 70 });
      return (await markPicture(shown, 'drawn')).bytes;
    },
  };
}
