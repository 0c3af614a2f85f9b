/**
 * Sweeps and face tests on the web, for whoever asked for one and those who look after it: sight.ts. Nobody else learns that there is one.
 *
 *   /sweeps/<batch>                             all of it, as its address asks: view.ts
 *   /sweeps/<batch>/best                        a form marks a picture as the best, and leads back to the same view
 *   /sweeps/<batch>/pictures/<picture>/<file>   one of its pictures
 */
import type { FastifyRequest } from 'fastify';
import { z } from 'zod';
import { placeOf } from '#src/backlog/place.ts';
import { markBest } from '#src/batches/batches.ts';
import { numberOf, stateOf } from '#src/cards/parts.ts';
import { UserError } from '#src/errors.ts';
import { getPicture } from '#src/generations/pictures.ts';
import type { Visitor } from '#src/people/sessions.ts';
import { guard, often } from '../account/guard.ts';
import { pageVisitor, visitorIn } from '../account/visitor.ts';
import type { Area } from '../area.ts';
import { sendPicture } from '../draw/thumbnails.ts';
import { html } from '../html.ts';
import { notePage } from '../layout.ts';
import { send } from '../send.ts';
import { pathOf, sweepPage } from './page.ts';
import { type Seen, type Sight, sightOf } from './sight.ts';
import { readSweep, type Sweep, scoresOf } from './sweep.ts';
import { readView } from './view.ts';

const Id = z.uuid();
/** A picture's number; nothing: none is the best any more. */
const Best = z.object({ picture: z.string().regex(/^(?:[1-9]\d{0,5})?$/) });

interface Here {
  readonly visitor: Visitor;
  readonly sight: NonNullable<Sight>;
}

/** @throws {UserError} `gone`, whether there is none or it is not for them */
async function mustSee(visitor: Visitor | null, batch: Seen | null | undefined): Promise<Here> {
  const sight = visitor && batch ? await sightOf(visitor, batch) : null;
  if (!visitor || !sight) throw new UserError('gone', {});
  return { visitor, sight };
}

/** @throws {UserError} `gone` */
async function sweepFor(visitor: Visitor | null, id: string): Promise<Here & { readonly sweep: Sweep }> {
  const sweep = visitor && Id.safeParse(id).success ? await readSweep(id) : null;
  const here = await mustSee(visitor, sweep?.batch);
  if (!sweep) throw new UserError('gone', {});
  return { ...here, sweep };
}

const queryIn = ({ url }: FastifyRequest) => new URL(url, 'http://here').searchParams;

export const sweeps: Area = async (app) => {
  await app.register(async (area) => {
    await guard(area);

    area.get<{ Params: { id: string } }>('/sweeps/:id', async (request, reply) => {
      const known = await pageVisitor(request, reply);
      if (!known || known.isGuest)
        return send(request, reply.code(403), signInPage(request.url), { own: true });
      const { visitor, sight, sweep } = await sweepFor(known, request.params.id);
      const { batch } = sweep;
      const view = readView(queryIn(request), sweep, scoresOf(sweep, { isOperator: sight === 'operator' }));
      const shown = view.open ? [view.open] : view.compared;
      const isGoing = batch.endedAt === null && batch.state === 'open';
      const [told, ...pictures] = await Promise.all([
        isGoing ? placeOf(batch.id) : undefined,
        ...shown.map(({ id }) => getPicture(id)),
      ]);
      return send(request, reply, sweepPage({ visitor, sight, sweep, view, pictures, told }), { own: true });
    });

    area.post<{ Params: { id: string } }>('/sweeps/:id/best', often(60), async (request, reply) => {
      const known = await visitorIn(request);
      if (!known || known.isGuest) throw new UserError('sign_in_first', {});
      const { visitor, sweep } = await sweepFor(known, request.params.id);
      const sent = Best.safeParse(request.body);
      if (!sent.success) return send(request, reply.code(400), NO_FORM, { own: true });
      const { picture } = sent.data;
      const cell = sweep.cells.find((one) => String(numberOf(one)) === picture);
      // One that cannot be seen can be no best; one that went out of sight meanwhile is refused like one that there is not.
      if (picture && (!cell || stateOf(cell) !== 'done')) throw new UserError('gone', {});
      await markBest(visitor.userId, sweep.batch, cell?.index ?? null);
      const query = queryIn(request).toString();
      return reply
        .header('cache-control', 'no-store')
        .redirect(`${pathOf(sweep)}${query && `?${query}`}`, 303);
    });

    area.get<{ Params: { id: string; picture: string; file: string } }>(
      '/sweeps/:id/pictures/:picture/:file',
      async (request, reply) => {
        const { id, picture: pictureId, file } = request.params;
        const visitor = await visitorIn(request);
        const picture = visitor && Id.safeParse(pictureId).success ? await getPicture(pictureId) : null;
        if (!picture || picture.batchId !== id || picture.batch.kind === 'imagine')
          throw new UserError('gone', {});
        await mustSee(visitor, picture.batch);
        return sendPicture(reply, picture, file);
      },
    );
  });
};

const NO_FORM = notePage('That was no form of ours', 'Open the page again, and send it from there.');

const signInPage = (url: string) =>
  notePage(
    'Sign in first',
    html`A sweep is seen by whoever asked for it, and by those who look after it. <a href="/sign-in?to=${encodeURIComponent(url)}">Sign in</a>`,
  );
