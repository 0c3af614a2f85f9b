/** Pictures, one by one: what they are, and their bytes. Their owner's alone, or everybody's once they are published. */
import { z } from 'zod';
import { stateOf } from '#src/cards/parts.ts';
import { failureSentence, UserError } from '#src/errors.ts';
import { findPublished } from '#src/gallery.ts';
import { getPicture, pictureOfImage, type Picture as Row } from '#src/generations/pictures.ts';
import { sayIn } from '#src/say.ts';
import type { Tile } from '../draw/boards.ts';
import { sendBytes, WIDTHS } from '../draw/thumbnails.ts';
import { BASE, callerFor } from './caller.ts';
import { refusals } from './problem.ts';
import { anyone, byId, knownId, path, type Routes } from './routes.ts';

const SEED_MAX = 2 ** 32 - 1;

export const Picture = z
  .object({
    id: z.uuid(),
    number: z.int().min(1).describe('In its batch.'),
    state: z
      .enum(['waiting', 'running', 'done', 'held', 'failed', 'cancelled', 'gone'])
      .describe('`held`: moderators look at it first. `gone`: it was deleted, or they kept it back.'),
    progress: z.number().min(0).max(1).describe('Share of its steps that are done.'),
    stage: z.string().nullable().describe('Which part of its work it is in; null: not begun, or ended.'),
    width: z.int().describe('px'),
    height: z.int().describe('px'),
    prompt: z.string().nullable().describe('null: it is somebody else’s.'),
    seed: z
      .int()
      .min(0)
      .max(SEED_MAX)
      .nullable()
      .describe('Draws it again, with the same parameters; null: it is somebody else’s.'),
    likeness: z
      .number()
      .min(-1)
      .max(1)
      .nullable()
      .describe(
        'Cosine of the drawn face and the face folder’s mean; null: no face was asked for, or found.',
      ),
    failure: z
      .object({ code: z.string(), detail: z.string() })
      .nullable()
      .describe('Why it was not drawn; its tokens are back.'),
    content: path('Its bytes; null until it is done.').nullable(),
    page: path('Its page in the public gallery; null: it is not published.').nullable(),
  })
  .meta({ id: 'Picture', description: 'One picture of a batch.' });

const say = sayIn('en');

const Bytes = z.instanceof(Buffer).meta({ type: 'string', format: 'binary' });

/** What a picture is told of: a board's tile, or a row. */
type Of = Omit<Tile, 'seed' | 'image' | 'previewAt'> & {
  readonly seed: number | bigint;
  readonly image: (NonNullable<Tile['image']> & object) | null;
};

/** @param own whether it is told to its owner */
export function pictureOf(picture: Of, own = true): z.output<typeof Picture> {
  const { id, index, progress, stage, failure, width, height, prompt, seed, image } = picture;
  const state = stateOf(picture);
  return {
    id,
    number: index + 1,
    state,
    progress,
    stage,
    width,
    height,
    prompt: own ? prompt : null,
    seed: own ? Number(seed) : null,
    likeness: own && state === 'done' ? (image?.likeness ?? null) : null,
    failure:
      own && state === 'failed'
        ? { code: failure ?? 'internal', detail: failureSentence(say, failure) }
        : null,
    content: state === 'done' ? `${BASE}/pictures/${id}/content` : null,
    page: state === 'done' && image?.visibility === 'published' ? `/pictures/${image.id}` : null,
  };
}

/**
 * @param id of the picture, or of its page in the gallery
 * @throws {UserError} `gone`: there is none, or it is neither theirs nor published
 */
async function visible(id: string, userId: string | undefined): Promise<{ picture: Row; own: boolean }> {
  const picture = (await pictureOfImage(knownId(id))) ?? (await getPicture(id));
  const own = userId !== undefined && picture.userId === userId;
  if (!own && !(picture.image && (await findPublished(picture.image.id)))) throw new UserError('gone', {});
  return { picture, own };
}

export function pictures(area: Routes): void {
  area.get(
    '/pictures/:id',
    {
      schema: {
        operationId: 'getPicture',
        tags: ['Pictures'],
        summary: 'Get a picture',
        description: 'Your own, or anybody’s that is published. `id` may be that of its page in the gallery.',
        security: anyone('read'),
        params: byId('Of the picture'),
        response: { 200: Picture, default: refusals },
      },
    },
    async (request) => {
      const { visitor } = callerFor(request);
      const { picture, own } = await visible(request.params.id, visitor?.userId);
      return pictureOf(picture, own);
    },
  );

  area.get(
    '/pictures/:id/content',
    {
      schema: {
        operationId: 'getPictureContent',
        tags: ['Pictures'],
        summary: 'Get a picture’s bytes',
        description:
          'PNG as it was drawn, or with `width` a smaller WebP. Both carry the mark that a machine made them.',
        security: anyone('read'),
        params: byId('Of the picture'),
        querystring: z.object({
          width: z
            .enum(WIDTHS.map(String) as ['320', '640'])
            .optional()
            .describe('px; left out: as it was drawn'),
        }),
        response: {
          200: {
            description: 'The bytes',
            content: { 'image/png': { schema: Bytes }, 'image/webp': { schema: Bytes } },
          },
          default: refusals,
        },
      },
    },
    async (request, reply) => {
      const { visitor } = callerFor(request);
      const { picture } = await visible(request.params.id, visitor?.userId);
      const { width } = request.query;
      reply.header('cache-control', 'private, max-age=300').header('vary', 'cookie, authorization');
      return sendBytes(reply, picture, WIDTHS.find((one) => String(one) === width) ?? null);
    },
  );
}
