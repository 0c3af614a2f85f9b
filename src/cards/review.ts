/** For moderators: a flagged picture, so blurred that nothing is made out. For the person who asked: what became of it. */
import { ButtonStyle } from 'discord-api-types/v10';
import sharp from 'sharp';
import { db, type Prisma } from '#src/doors/db.ts';
import { getFile } from '#src/doors/storage.ts';
import { plain } from '#src/text.ts';
import { accents, button, type Card, type CardFile, card, gallery, row, text } from './parts.ts';

const PROMPT_SHOWN = 600;
const REASON_SHOWN = 500;
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
  const { image, state, cause, reportedBy, moderatorId, reason, decidedAt } = review;
  const { generation } = image;
  const { batch } = generation;
  const scores = Object.entries(image.scores as Record<string, number>)
    .sort(([, a], [, b]) => b - a)
    .slice(0, 8)
    .map(([label, score]) => `${plain(label, 40)} ${score.toFixed(2)}`);
  const files = state !== 'rejected' && !image.deletedAt ? [await blurred(image)] : [];
  const decided =
    moderatorId &&
    `${state === 'approved' ? 'Approved' : 'Rejected'} by <@${moderatorId}>${decidedAt ? ` <t:${Math.floor(decidedAt.getTime() / 1000)}:f>` : ''}`;
  return card(
    state === 'pending' ? accents.held : state === 'approved' ? accents.done : accents.failed,
    [
      text(
        `### ${state === 'pending' ? 'For review' : state === 'approved' ? 'Approved' : 'Rejected'}`,
        `Asked by <@${generation.userId}> in ${batch.guildId ? `<#${batch.channelId}>` : 'a direct message'}`,
        `> ${plain(generation.prompt, PROMPT_SHOWN)}`,
        `${causes[cause] ?? plain(cause, 60)}${image.rule && image.rule !== cause ? ` · rule ${plain(image.rule, 60)}` : ''}${reportedBy ? ` · reported by <@${reportedBy}>` : ''}`,
        scores.length > 0 && `-# ${scores.join(' · ')}`,
      ),
      gallery(files),
      text(decided || null, reason && `> ${plain(reason, REASON_SHOWN)}`),
      state === 'pending'
        ? row(
            button('review.approve', review.id, 'Approve', ButtonStyle.Success),
            button('review.reject', review.id, 'Reject', ButtonStyle.Danger),
          )
        : null,
    ],
    { files, last: state !== 'pending' },
  );
}

const causes: Readonly<Record<string, string>> = {
  classifier: 'Flagged by the classifier',
  'classifier-failed': 'The classifier failed, so it was held',
  report: 'Reported by a member',
};

/** null while nothing is decided: there is nothing to tell yet. */
export async function noticeCard(reviewId: string): Promise<Card | null> {
  const review = await findReview(reviewId);
  if (!review || review.state === 'pending') return null;
  const { image, state, reason } = review;
  const { userId, prompt, batch } = image.generation;
  const where = batch.guildId && batch.messageId;
  const link = where && `https://discord.com/channels/${batch.guildId}/${batch.channelId}/${batch.messageId}`;
  const approved = state === 'approved';
  return card(
    approved ? accents.done : accents.failed,
    [
      text(
        approved
          ? `<@${userId}>, your picture was approved${image.deletedAt ? '' : link ? `: [it is shown now](${link})` : ' and is shown now'}.`
          : `<@${userId}>, your picture was rejected by the moderators${reason ? ':' : '.'}`,
        !approved && reason && `> ${plain(reason, REASON_SHOWN)}`,
        `-# ${plain(prompt, 120)}`,
      ),
    ],
    { mentions: [userId], last: true },
  );
}

/** Hidden behind a click as well. What is not in the small picture cannot be sharpened out of the large one. */
async function blurred(image: Reviewed['image']): Promise<CardFile> {
  return {
    name: `held-${image.sha256.slice(0, 8)}.webp`,
    description: 'A picture held for review, blurred',
    spoiler: true,
    bytes: async () => {
      const small = await sharp(await getFile(image.storageKey))
        .resize(BLURRED_SIDE, BLURRED_SIDE, { fit: 'inside' })
        .removeAlpha()
        .png()
        .toBuffer();
      return sharp(small)
        .resize(SHOWN_SIDE, SHOWN_SIDE, { fit: 'inside', kernel: 'cubic' })
        .blur(12)
        .webp({ quality: 70 })
        .toBuffer();
    },
  };
}
