/**
 * Drawing on the web: the same requests, limits, checks and turns as in Discord, on pages of one's own.
 *
 *   /draw                             the form; sent, it asks for a batch
 *   /draw/<batch>                     the batch; /events streams how far it is, /cancel ends it
 *   /draw/pictures                    all of somebody's pictures
 *   /draw/pictures/<picture>/<file>   one of them, for whoever asked for it alone
 *   /draw/faces                       face folders: faces.ts
 *
 * Without script every page works: forms are sent as forms, and a batch's page asks for itself anew.
 */
import { z } from 'zod';
import { placeOf } from '#src/backlog/place.ts';
import { openBatch } from '#src/batches/batches.ts';
import { endBatch } from '#src/batches/ending.ts';
import { imagineRequest } from '#src/batches/imagine.ts';
import { UserError } from '#src/errors.ts';
import { listFolders } from '#src/faces.ts';
import { getPicture } from '#src/generations/pictures.ts';
import { resolveParameters } from '#src/parameters/values.ts';
import { actorOf, originOf, type Visitor } from '#src/people/sessions.ts';
import { tokensLeft } from '#src/people/tokens.ts';
import { tokensOf } from '../account/account.ts';
import { guard, often, statusOf } from '../account/guard.ts';
import { NOBODY, networkOf, newGuest, pageVisitor, visitorIn } from '../account/visitor.ts';
import type { Area } from '../area.ts';
import { notePage, POLICY } from '../layout.ts';
import { send } from '../send.ts';
import { type Board, boardsAfter, boardsOf } from './boards.ts';
import { faces } from './faces.ts';
import { formPage, readForm, type Typed } from './form.ts';
import { likeOf } from './like.ts';
import { beginStream, event, openLive } from './live.ts';
import { sendPicture } from './thumbnails.ts';
import { boardPage, partsOf, picturesPage } from './views.ts';

const BATCHES_LISTED = 20;
const Id = z.uuid();
const Before = z.object({ before: z.coerce.number().int().min(0).max(8.64e15).optional() });
const Like = z.object({ like: z.string().optional().catch(undefined) });

export const draw: Area = async (app, web) => {
  const live = openLive(partsOf, (parts) => event('parts', JSON.stringify(parts)));
  app.addHook('preClose', async () => live.close());

  /** @throws {UserError} `gone`, whether there is none or it is somebody else's */
  async function ownBoard(visitor: Visitor | null, id: string): Promise<Board> {
    const [board] = visitor && Id.safeParse(id).success ? await boardsOf([id]) : [];
    if (!board || board.ownerId !== visitor?.userId) throw new UserError('gone', {});
    return board;
  }

  async function form(
    visitor: Visitor | null,
    typed: Typed,
    more: { fault?: string; note?: string | null } = {},
  ) {
    const who = visitor ?? NOBODY;
    const [tokens, folders, values] = await Promise.all([
      visitor && tokensOf(() => tokensLeft(actorOf(visitor))),
      visitor && !visitor.isGuest ? listFolders(visitor.userId) : [],
      resolveParameters(originOf(who, '')),
    ]);
    return formPage({ visitor, tokens, folders, values, typed, ...more });
  }

  await app.register(async (area) => {
    await guard(area);
    await area.register(faces);

    area.get('/draw', async (request, reply) => {
      const visitor = await pageVisitor(request, reply);
      const { like } = Like.parse(request.query);
      const typed = like === undefined ? null : await likeOf(visitor, like);
      const note =
        like === undefined
          ? null
          : typed
            ? 'Filled in from a picture: change what you like.'
            : 'Whoever made that picture does not share what it was asked with.';
      return send(request, reply, await form(visitor, typed ?? {}, { note }), { own: true });
    });

    area.post('/draw', often(30), async (request, reply) => {
      const known = await pageVisitor(request, reply);
      const sent = readForm(request.body);
      if (!sent) return send(request, reply.code(400), NO_FORM, { own: true });
      try {
        if (sent.wish.face !== null && (known?.isGuest ?? true)) throw new UserError('sign_in_first', {});
        // First what can be said without anything being made: a prompt that is refused costs no place for a guest.
        const before = originOf(known ?? NOBODY, sent.form);
        const wanted = await imagineRequest(before, before, sent.wish);
        const origin = known ? before : originOf(await newGuest(request, reply), sent.form);
        const batch = await openBatch(origin, wanted);
        return reply.header('cache-control', 'no-store').redirect(`/draw/${batch.id}`, 303);
      } catch (error) {
        if (!(error instanceof UserError)) throw error;
        const page = await form(known, sent.typed, { fault: error.userMessage });
        return send(request, reply.code(statusOf(error)), page, { own: true });
      }
    });

    area.get<{ Params: { id: string } }>('/draw/:id', async (request, reply) => {
      const visitor = await pageVisitor(request, reply);
      const board = await ownBoard(visitor, request.params.id);
      const told = board.endedAt ? undefined : await placeOf(board.id);
      return send(request, reply, boardPage(visitor ?? NOBODY, board, told), { own: true });
    });

    area.get<{ Params: { id: string } }>(
      '/draw/:id/events',
      { ...often(120), exposeHeadRoute: false },
      async (request, reply) => {
        const visitor = await visitorIn(request);
        const board = await ownBoard(visitor, request.params.id);
        const { raw: response } = reply;
        const stream = { batchId: board.id, userId: board.ownerId, network: networkOf(request), response };
        reply.headers({ 'content-security-policy': POLICY, 'cache-control': 'no-store' });
        if (web.isEnding() || !live.open(stream))
          return reply.code(503).header('retry-after', '10').type('text/plain').send('Too many look on.');
        beginStream(reply);
        return reply;
      },
    );

    area.post<{ Params: { id: string } }>('/draw/:id/cancel', often(60), async (request, reply) => {
      const board = await ownBoard(await visitorIn(request), request.params.id);
      await endBatch(board.id, 'cancelled');
      return reply.header('cache-control', 'no-store').redirect(`/draw/${board.id}`, 303);
    });

    area.get('/draw/pictures', async (request, reply) => {
      const visitor = await pageVisitor(request, reply);
      const query = Before.safeParse(request.query);
      if (!query.success) return send(request, reply.code(400), BAD_LINK, { own: true });
      const { before } = query.data;
      const boards = visitor
        ? await boardsAfter(
            visitor.userId,
            { createdAt: before === undefined ? new Date() : new Date(before) },
            BATCHES_LISTED,
          )
        : [];
      const last = boards.length === BATCHES_LISTED ? boards.at(-1)!.createdAt : null;
      const page = picturesPage(visitor, boards, { before: last, first: before === undefined });
      return send(request, reply, page, { own: true });
    });

    area.get<{ Params: { id: string; file: string } }>('/draw/pictures/:id/:file', async (request, reply) => {
      const { id, file } = request.params;
      const visitor = await visitorIn(request);
      const picture = visitor && Id.safeParse(id).success ? await getPicture(id) : null;
      // Not even that it exists is told to others.
      if (!picture || picture.userId !== visitor?.userId) throw new UserError('gone', {});
      return sendPicture(reply, picture, file);
    });
  });
};

const NO_FORM = notePage('That was no form of ours', 'Open the page again, and send it from there.');
const BAD_LINK = notePage(
  'That link is broken',
  'It does not say where to go on. Begin with your newest pictures.',
);
