/** To whoever asked for something that took long: that it is there. An edit of its card notifies nobody. */
import { type Batch, db } from '#src/doors/db.ts';
import { picturesOf } from '#src/generations/pictures.ts';
import { sayToPerson } from '#src/people/people.ts';
import type { Say } from '#src/say.ts';
import { plain } from '#src/text.ts';
import { accentOf, TITLE_SHOWN } from './lines.ts';
import { type Card, card, stateOf, text } from './parts.ts';

export async function doneNote(batch: Batch): Promise<Card> {
  const { id, ownerId, title } = batch;
  const [say, pictures, link] = await Promise.all([sayToPerson(ownerId), picturesOf(id), linkTo(batch)]);
  const count = (state: 'done' | 'held') => pictures.filter((picture) => stateOf(picture) === state).length;
  const sentence = sentenceOf(say, `<@${ownerId}>`, {
    done: count('done'),
    held: count('held'),
    total: pictures.length,
  });
  return card(
    say,
    accentOf(batch, pictures),
    [text(link ? `${sentence} [${say('Show it')}](${link})` : sentence, `-# ${plain(title, TITLE_SHOWN)}`)],
    { mentions: [ownerId], last: true },
  );
}

function sentenceOf(
  say: Say,
  who: string,
  { done, held, total }: { readonly done: number; readonly held: number; readonly total: number },
): string {
  if (!done)
    return held
      ? say('{who}, what you asked for is drawn, and held for review.', { who })
      : say('{who}, what you asked for has ended without a picture.', { who });
  return done < total
    ? say('{who}, what you asked for is ready: {done, number} of {total, number} pictures.', {
        who,
        done,
        total,
      })
    : say('{who}, {total, plural, one {your picture is} other {your # pictures are}} ready.', { who, total });
}

/** To the message that has the pictures, or leads to them. */
async function linkTo({ id, kind, guildId }: Batch): Promise<string | null> {
  const shown = await db.delivery.findFirst({
    where: { batchId: id, kind: kind === 'imagine' ? 'card' : 'status', messageId: { not: null } },
    select: { channelId: true, messageId: true },
  });
  return shown && `https://discord.com/channels/${guildId ?? '@me'}/${shown.channelId}/${shown.messageId}`;
}
