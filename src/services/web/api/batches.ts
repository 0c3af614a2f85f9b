/** Batches: all that was asked for at once. Asked, watched, listed and cancelled; by the same checks, limits and turns as in Discord. */
import type { FastifyReply, FastifyRequest } from 'fastify';
import { z } from 'zod';
import { begin, forgetRequest, interactionOf, letGo } from '#src/api-requests.ts';
import { placeOf, type Told } from '#src/backlog/place.ts';
import { openBatch } from '#src/batches/batches.ts';
import { endBatch } from '#src/batches/ending.ts';
import { COUNT_MAX, imagineRequest } from '#src/batches/imagine.ts';
import { hashOf } from '#src/canonical.ts';
import { UserError } from '#src/errors.ts';
import { picturesOf } from '#src/generations/pictures.ts';
import { originOf, type Visitor } from '#src/people/sessions.ts';
import { NOBODY, networkOf, newGuest } from '../account/visitor.ts';
import type { Web } from '../area.ts';
import { type Board, boardsAfter, boardsOf, SHOWN_MAX } from '../draw/boards.ts';
import { beginStream, event, openLive } from '../draw/live.ts';
import { BASE, type Caller, callerFor, visitorFor } from './caller.ts';
import { Picture, pictureOf } from './pictures.ts';
import { ApiProblem, refusals } from './problem.ts';
import { anyone, byId, known, knownId, Paging, pageOf, path, type Routes, time } from './routes.ts';

export const Batch = z
  .object({
    id: z.uuid(),
    kind: z.enum(['imagine', 'face_test', 'sweep']).describe('What asked for it: the API makes `imagine`.'),
    state: z
      .enum(['open', 'stopped', 'cancelled', 'finished'])
      .describe('`stopped` and `cancelled` ones may still have pictures that are drawn: see `endedAt`.'),
    title: z.string(),
    tier: z.string().describe('How soon, at what price.'),
    tokens: z.int().min(0).describe('What it cost when it was asked for; what was not drawn is given back.'),
    createdAt: time('When it was asked for.'),
    endedAt: time('When its last picture had ended; null: it goes on.').nullable(),
    wait: z
      .object({
        ahead: z.int().min(0).describe('Pictures that are drawn before it.'),
        readyWithin: z.number().min(0).nullable().describe('s, in nine of ten cases; null: not known'),
      })
      .nullable()
      .describe('Where it stands; null in lists, and once it has ended.'),
    count: z.int().min(0).describe('Pictures in all.'),
    pictures: z.array(Picture).describe(`The first ${SHOWN_MAX}; all of them are at \`/pictures\` below it.`),
    page: path('Its page, for its owner’s browser.'),
  })
  .meta({ id: 'Batch', description: 'All that was asked for at once.' });

const Value = z.union([z.string(), z.number(), z.boolean(), z.null()]);
/** Characters of a pose image. */
const POSE_MAX = 1_000_000;

export const NewBatch = z
  .strictObject({
    prompt: z.string().max(20_000).describe('What to draw, in your own words.'),
    count: z.int().min(1).max(COUNT_MAX).default(1).describe('Pictures, each with a seed of its own.'),
    face: z.string().nullable().default(null).describe('Name of one of your face folders.'),
    parameters: z
      .record(z.string().max(64), Value)
      .default({})
      .describe('Name → value, as `GET /parameters` has them; the others are as you set them.'),
    pipeline: z.enum(['portrait', 'posed']).default('portrait'),
    pose: z
      .string()
      .max(POSE_MAX)
      .nullable()
      .default(null)
      .describe('Of `posed`: an image whose pose is taken, as a `data:` URL. Not there yet.'),
  })
  .meta({
    id: 'NewBatch',
    description: 'What is asked for.',
    examples: [
      {
        prompt: 'portrait of a woman, long red hair, emerald dress, forest',
        count: 2,
        parameters: { tier: 'relax', steps: 20 },
      },
    ],
  });

const BatchPage = pageOf(Batch, 'BatchPage');
const PicturePage = pageOf(Picture, 'PicturePage');

/** As it is told, checked. */
export function batchOf(board: Board, told?: Told): z.output<typeof Batch> {
  const { id, kind, state, title, tier, charged, createdAt, endedAt, count, tiles } = board;
  return Batch.parse({
    id,
    kind,
    state,
    title,
    tier,
    tokens: charged,
    createdAt: createdAt.toISOString(),
    endedAt: endedAt?.toISOString() ?? null,
    wait:
      told && !endedAt
        ? {
            ahead: told.ahead,
            readyWithin: told.range.toMs > 0 ? Math.ceil(told.range.toMs / 100) / 10 : null,
          }
        : null,
    count,
    pictures: tiles.map((tile) => pictureOf(tile)),
    page: `/draw/${id}`,
  });
}

/** One of theirs. @throws {UserError} `gone`, whether there is none or it is somebody else's */
async function ownBoard({ userId }: Visitor, id: string): Promise<Board> {
  const [board] = await boardsOf([knownId(id)]);
  const isAsked = board && board.state !== 'planned' && board.state !== 'discarded';
  if (!isAsked || board.ownerId !== userId) throw new UserError('gone', {});
  return board;
}

async function shown(board: Board): Promise<z.output<typeof Batch>> {
  return batchOf(board, board.endedAt ? undefined : await placeOf(board.id));
}

const IdempotencyKey = z.object({
  'idempotency-key': z
    .string()
    .min(1)
    .max(255)
    .optional()
    .describe(
      'The same request with the same key asks once, for 24 hours: send one, and you may send again what was not answered.',
    ),
});

export function batches(area: Routes, web: Web): void {
  const live = openLive(
    (board, told) => ({ batch: JSON.stringify(batchOf(board, told)) }),
    ({ batch = '{}' }) => event('batch', batch),
  );
  area.addHook('preClose', async () => live.close());

  area.post(
    '/batches',
    {
      // A pose image comes with it.
      bodyLimit: POSE_MAX + 64 * 1024,
      schema: {
        operationId: 'createBatch',
        tags: ['Batches'],
        summary: 'Ask for pictures',
        description:
          'Takes its tokens and puts it into the backlog. Without a key or a session it makes a guest, who has a few tokens and comes back in the answer’s cookie.',
        security: anyone('draw'),
        headers: IdempotencyKey,
        body: NewBatch,
        response: {
          200: Batch.describe('It was asked for before, by the same Idempotency-Key'),
          201: Batch,
          default: refusals,
        },
      },
    },
    async (request, reply) => {
      const caller = callerFor(request);
      const { pose, pipeline, ...wanted } = request.body;
      if (pose !== null || pipeline === 'posed') throw new ApiProblem('pose_unavailable');
      const { isNew, batchId } = await ask(caller, request, reply, wanted);
      const [board] = await boardsOf([batchId]);
      if (!board) throw new UserError('gone', {});
      if (!isNew) reply.header('idempotent-replayed', 'true');
      return reply
        .code(isNew ? 201 : 200)
        .header('location', `${BASE}/batches/${batchId}`)
        .send(await shown(board));
    },
  );

  area.get(
    '/batches',
    {
      schema: {
        operationId: 'listBatches',
        tags: ['Batches'],
        summary: 'List your batches',
        description: 'The newest first, those of Discord and of the web with them.',
        security: known('read'),
        querystring: Paging,
        response: { 200: BatchPage, default: refusals },
      },
    },
    async (request) => {
      const { userId } = visitorFor(request);
      const { cursor, limit } = request.query;
      const after = cursor === undefined ? { createdAt: new Date() } : cursorOf(cursor);
      const boards = await boardsAfter(userId, after, limit + 1);
      const last = boards.length > limit ? boards[limit - 1] : undefined;
      return {
        items: boards.slice(0, limit).map((board) => batchOf(board)),
        next: last ? `${last.createdAt.getTime()}.${last.id}` : null,
      };
    },
  );

  area.get(
    '/batches/:id',
    {
      schema: {
        operationId: 'getBatch',
        tags: ['Batches'],
        summary: 'Get a batch',
        security: known('read'),
        params: byId('Of the batch'),
        response: { 200: Batch, default: refusals },
      },
    },
    async (request) => shown(await ownBoard(visitorFor(request), request.params.id)),
  );

  area.get(
    '/batches/:id/events',
    {
      exposeHeadRoute: false,
      schema: {
        operationId: 'watchBatch',
        tags: ['Batches'],
        summary: 'Watch a batch',
        description:
          'Server-sent events: `batch` with the whole batch whenever something of it changed, and `end` once it has ended. A stream lives for five minutes; open it anew then.',
        security: known('read'),
        params: byId('Of the batch'),
        response: {
          200: {
            description: 'Events',
            content: { 'text/event-stream': { schema: z.string().meta({ 'x-item': 'Batch' }) } },
          },
          default: refusals,
        },
      },
    },
    async (request, reply) => {
      const visitor = visitorFor(request);
      const { id, ownerId } = await ownBoard(visitor, request.params.id);
      const stream = { batchId: id, userId: ownerId, network: networkOf(request), response: reply.raw };
      if (web.isEnding() || !live.open(stream)) throw new ApiProblem('streams_many', 10);
      beginStream(reply);
      return reply;
    },
  );

  area.post(
    '/batches/:id/cancel',
    {
      schema: {
        operationId: 'cancelBatch',
        tags: ['Batches'],
        summary: 'Cancel a batch',
        description:
          'What waits ends at once and what is drawn at its next step; their tokens come back. Nothing happens to one that has ended.',
        security: known('draw'),
        params: byId('Of the batch'),
        response: { 200: Batch, default: refusals },
      },
    },
    async (request) => {
      const visitor = visitorFor(request);
      const { id } = await ownBoard(visitor, request.params.id);
      await endBatch(id, 'cancelled');
      return shown(await ownBoard(visitor, id));
    },
  );

  area.get(
    '/batches/:id/pictures',
    {
      schema: {
        operationId: 'listPictures',
        tags: ['Batches'],
        summary: 'List a batch’s pictures',
        security: known('read'),
        params: byId('Of the batch'),
        querystring: Paging,
        response: { 200: PicturePage, default: refusals },
      },
    },
    async (request) => {
      const { id } = await ownBoard(visitorFor(request), request.params.id);
      const { cursor = '0', limit } = request.query;
      if (!/^\d{1,6}$/.test(cursor)) throw new ApiProblem('body_invalid');
      const skip = Number(cursor);
      const found = await picturesOf(id, { skip, take: limit + 1 });
      return {
        items: found.slice(0, limit).map((picture) => pictureOf(picture)),
        next: found.length > limit ? String(skip + limit) : null,
      };
    },
  );
}

/** @throws {ApiProblem} `body_invalid` */
function cursorOf(cursor: string): { createdAt: Date; id: string } {
  const [, ms, id] = /^(\d{1,15})\.([0-9a-f-]{36})$/.exec(cursor) ?? [];
  if (ms === undefined || id === undefined) throw new ApiProblem('body_invalid');
  return { createdAt: new Date(Number(ms)), id };
}

type Wanted = Omit<z.output<typeof NewBatch>, 'pose' | 'pipeline'>;

/** Has it accepted, once for an Idempotency-Key. */
async function ask(
  { visitor: known, key }: Caller,
  request: FastifyRequest,
  reply: FastifyReply,
  { prompt, face, count, parameters: given }: Wanted,
): Promise<{ isNew: boolean; batchId: string }> {
  const header = request.headers['idempotency-key'];
  const idempotencyKey = typeof header === 'string' ? header : null;
  if (face !== null && (known?.isGuest ?? true)) throw new UserError('sign_in_first', {});
  const wish = { prompt, face, count, given };
  const checked = async () => {
    const origin = originOf(known ?? NOBODY, '');
    return { origin, wanted: await imagineRequest(origin, origin, wish) };
  };
  // First what can be said without anything being made: what is refused costs no place for a guest.
  const before = known ? null : await checked();
  const visitor = known ?? (await newGuest(request, reply));
  const asked = {
    userId: visitor.userId,
    keyId: key?.keyId ?? null,
    idempotencyKey,
    bodyHash: hashOf(wish),
    notify: key?.hasWebhook ?? false,
  };
  const begun = await begin(asked);
  if (begun.state === 'done') return { isNew: false, batchId: begun.batch.id };
  if (begun.state === 'other') throw new ApiProblem('idempotency_other');
  if (begun.state === 'busy') throw new ApiProblem('idempotency_busy', 1);
  try {
    const { wanted } = before ?? (await checked());
    const origin = { ...originOf(visitor, ''), interactionId: interactionOf(begun.id) };
    const batch = await openBatch(origin, wanted);
    return { isNew: true, batchId: batch.id };
  } catch (error) {
    await (error instanceof UserError ? forgetRequest(begun.id) : letGo(begun.id)).catch(() => {});
    throw error;
  }
}
