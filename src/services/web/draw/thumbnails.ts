/** Pictures for those who may see them, small where that is enough: made when they are asked for, and kept in memory for a while. */
import type { FastifyReply } from 'fastify';
import sharp from 'sharp';
import { log } from '#src/doors/log.ts';
import { isMissing } from '#src/doors/storage.ts';
import { UserError } from '#src/errors.ts';
import { type Picture, pictureBytes, shownImage } from '#src/generations/pictures.ts';
import { previewBytes } from '#src/generations/previews.ts';
import { LruCache } from '#src/lru-cache.ts';
import { markPicture } from '#src/marks/marks.ts';
import { openPlaces } from '#src/places.ts';
import { message } from '#src/say.ts';
import { takeTurns } from '#src/turns.ts';
import { network } from '../account/visitor.ts';
import { POLICY } from '../layout.ts';

/** px */
export const WIDTHS = [320, 640] as const;
const MEMORY = 32 * 2 ** 20;

const kept = new LruCache<Buffer>(MEMORY);
/** One at a time: the process answers everybody else beside it. */
const turns = takeTurns({
  inAll: 400,
  each: 130,
  who: message('What shrinks pictures'),
  what: message('pictures'),
});

/** Pictures as they were drawn that are on their way: each is in memory until it is taken in, however slowly. Of a network, and of all. */
const EACH = 16;
const places = openPlaces({ each: EACH, all: 64 });

/**
 * Answers with a picture that somebody may see. Nobody else's browser keeps it, and what was deleted is not shown for long.
 *
 * @param file `full.png`, `320.webp`, `640.webp`, `preview-<ms>.webp`
 * @throws {UserError} `gone` where there is no such file, and as `sendBytes`
 */
export async function sendPicture(
  reply: FastifyReply,
  picture: Picture,
  file: string,
): Promise<FastifyReply> {
  // Another's browser on the same machine must ask.
  reply.headers({
    'content-security-policy': POLICY,
    'cache-control': 'private, max-age=300',
    vary: 'cookie',
  });
  if (/^preview-\d{1,15}\.webp$/.test(file)) {
    const bytes = await previewBytes(picture.id);
    if (!bytes) throw new UserError('gone', {});
    return reply.type('image/webp').send(bytes);
  }
  const width = WIDTHS.find((one) => file === `${one}.webp`);
  if (file !== 'full.png' && !width) throw new UserError('gone', {});
  return sendBytes(reply, picture, width ?? null);
}

/**
 * Sends a picture as it was drawn, or small: whether it may be shown is asked each time, before what is kept in memory is given.
 *
 * @param width px; null: as it was drawn
 * @throws {UserError} `gone`, `image_flagged`, `turns_taken`, `busy`, `crowded`, and what `isStorageAway` knows
 */
export async function sendBytes(
  reply: FastifyReply,
  picture: Picture,
  width: (typeof WIDTHS)[number] | null,
): Promise<FastifyReply> {
  const { sha256 } = shownImage(picture);
  try {
    if (width === null) {
      takePlace(reply);
      return reply.type('image/png').send(await pictureBytes(picture));
    }
    return reply.type('image/webp').send(await thumbnail(picture, `${sha256} ${width}`, width));
  } catch (error) {
    if (!isMissing(error)) throw error;
    log.error({ err: error }, 'a picture has no bytes');
    throw new UserError('gone', {}, { cause: error });
  }
}

/** Until the answer has gone, or who asked. @throws {UserError} `turns_taken`, `crowded` */
function takePlace({ request, raw: response }: FastifyReply): void {
  const from = network(request.ip);
  const full = places.take(from);
  if (full === 'each') throw new UserError('turns_taken', { what: message('pictures'), max: EACH });
  if (full === 'all') throw new UserError('crowded', {});
  response.once('close', () => places.leave(from));
}

async function small(png: Buffer, width: number): Promise<Buffer> {
  const image = sharp(png).resize({ width, withoutEnlargement: true }).webp({ quality: 80 });
  return (await markPicture(image, 'drawn')).bytes;
}

async function thumbnail(picture: Picture, key: string, width: number): Promise<Buffer> {
  const known = kept.get(key);
  if (known) return known;
  return turns(picture.userId, async () => {
    const made = kept.get(key) ?? (await small(await pictureBytes(picture), width));
    kept.set(key, made, made.length);
    return made;
  });
}
