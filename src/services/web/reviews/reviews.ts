/**
 * `/reviews`: what waits for moderators, and their decisions, by the rules that Discord's buttons have.
 *
 *   /reviews                 what is open in the guilds where somebody moderates, the oldest first, without a picture
 *   /reviews/:id             one of them: where the card in Discord leads to
 *   /reviews/:id/look        POST: the same with the picture, in the page itself; in the audit log each time
 *   /reviews/:id/decision    POST: and on to the next
 *
 * Who somebody is in a guild is asked of Discord at every request, so that a role taken away counts at once.
 */
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import sharp from 'sharp';
import { z } from 'zod';
import { config } from '#config/env.ts';
import { log } from '#src/doors/log.ts';
import { UserError } from '#src/errors.ts';
import { markPicture } from '#src/marks/marks.ts';
import {
  countOpenReviews,
  decide,
  decisionBy,
  guildOfReview,
  guildsWithOpenReviews,
  lookAt,
  type OfGuilds,
  openReviews,
  type Reviewed,
  reviewFor,
} from '#src/moderation/reviews.ts';
import { actorAt, guildName, personName } from '#src/people/members.ts';
import { type Actor, isGuest } from '#src/people/people.ts';
import { decidesOnReviews } from '#src/people/rights.ts';
import { actorOf, type Visitor } from '#src/people/sessions.ts';
import { message } from '#src/say.ts';
import { takeTurns } from '#src/turns.ts';
import { guard, often, statusOf } from '../account/guard.ts';
import { pageVisitor } from '../account/visitor.ts';
import type { Area } from '../area.ts';
import { send } from '../send.ts';
import {
  listPage,
  type Names,
  NOT_YOURS,
  type Picture,
  pathOf,
  refusalPage,
  reviewPage,
  signInFirst,
  UNDECIDED,
} from './views.ts';

const LISTED = 10;
/** Guilds with open reviews that Discord is asked about for one list. Others' reviews are reached by their cards, and by `server`. */
const ASKED = 12;
/** px of the longer side of what is looked at */
const LOOKED_AT = 1_600;

const Id = z.uuid();
/** Where in the list somebody is. What is no id is left out. */
const Where = z.object({
  server: z
    .string()
    .regex(/^\d{1,20}$/)
    .optional()
    .catch(undefined),
  /** of the last review before the first that is listed */
  after: Id.optional().catch(undefined),
});
/** `past`: the review that they come from */
const Listed = Where.extend({ past: Id.optional().catch(undefined) });
const Decided = Where.extend({
  decision: z.enum(['approved', 'rejected']).optional().catch(undefined),
  reason: z.string().optional().catch(undefined),
});

/** One at a time: the process answers everybody else beside it. */
const turns = takeTurns({
  inAll: 40,
  each: 4,
  who: message('What shrinks pictures'),
  what: message('pictures'),
});

export const reviews: Area = async (app) => {
  await app.register(async (area) => {
    await guard(area);

    area.get('/reviews', often(60), async (request, reply) => {
      const visitor = await moderatorIn(request, reply);
      if (!visitor) return reply;
      const where = Listed.parse(request.query);
      const { guilds, more } = await guildsOf(visitor, where);
      if (!guilds.length) return send(request, reply.code(403), NOT_YOURS, { own: true });
      const { after, past } = where;
      const [found, open, decision] = await Promise.all([
        openReviews(guilds, { after, take: LISTED + 1 }),
        countOpenReviews(guilds),
        past === undefined ? null : decisionBy(visitor.userId, past),
      ]);
      // What they were at is done: on with what is left before it.
      if (!found.length && after !== undefined) {
        const first = pathOf('/reviews', { ...where, after: undefined });
        return reply.header('cache-control', 'no-store').redirect(first, 303);
      }
      const listed = found.slice(0, LISTED);
      const page = listPage({
        visitor,
        where,
        decision,
        listed,
        open,
        names: new Map([
          ...(await namesIn(listed)),
          ...(await namesOf(where.server === undefined ? [] : [where.server], guildName)),
        ]),
        next: found.length > LISTED ? listed.at(-1)?.id : undefined,
        more,
      });
      return send(request, reply, page, { own: true });
    });

    one(area, 'GET', '/reviews/:id', async ({ actor, id, request, reply, visitor }) => {
      const review = await reviewFor(actor, id);
      // Who comes from a card goes on in its guild.
      const where = { server: review.guildId ?? undefined };
      const page = reviewPage({ visitor, where, review, names: await namesIn([review]), picture: null });
      return send(request, reply, page, { own: true });
    });

    one(area, 'POST', '/reviews/:id/look', async ({ actor, id, request, reply, visitor }) => {
      const where = Where.parse(request.body ?? {});
      const looked = await turns(actor.id, async () => {
        const { review, png } = await lookAt(actor, id);
        return { review, picture: await carried(png) };
      });
      const page = reviewPage({ visitor, where, ...looked, names: await namesIn([looked.review]) });
      return send(request, reply, page, { own: true });
    });

    one(area, 'POST', '/reviews/:id/decision', async ({ actor, id, request, reply }) => {
      const { decision, reason, ...where } = Decided.parse(request.body ?? {});
      if (!decision) return send(request, reply.code(400), UNDECIDED, { own: true });
      // As in Discord, a reason goes with a rejection.
      await decide(actor, id, decision, (decision === 'rejected' && reason) || null);
      reply.header('cache-control', 'no-store');
      return reply.redirect(pathOf('/reviews', { ...where, past: id }), 303);
    });
  });
};

interface Asked {
  readonly request: FastifyRequest;
  readonly reply: FastifyReply;
  readonly visitor: Visitor;
  /** with what they may do in the review's guild */
  readonly actor: Actor;
  /** of the review */
  readonly id: string;
}

/** An address of one review. What is refused is said with a way back to the others. */
function one(
  area: FastifyInstance,
  method: 'GET' | 'POST',
  url: string,
  run: (asked: Asked) => Promise<FastifyReply>,
): void {
  const handler = async (request: FastifyRequest<{ Params: { id: string } }>, reply: FastifyReply) => {
    const visitor = await moderatorIn(request, reply);
    if (!visitor) return reply;
    const { id } = request.params;
    try {
      if (!Id.safeParse(id).success) throw new UserError('gone', {});
      const actor = await asTold(visitor, (await guildOfReview(id)) ?? config.staff.guildId);
      return await run({ request, reply, visitor, actor, id });
    } catch (error) {
      if (!(error instanceof UserError)) throw error;
      const back = pathOf('/reviews', { ...Where.parse(request.body ?? request.query), past: id });
      const names = await namesOf(error.userMessage.match(/(?<=<@)\d+(?=>)/g) ?? []);
      const page = refusalPage(error.userMessage, { back, names });
      return send(request, reply.code(statusOf(error)), page, { own: true });
    }
  };
  area.route<{ Params: { id: string } }>({ method, url, ...often(120), handler });
}

/** Somebody who is signed in; null: they were told to be. */
async function moderatorIn(request: FastifyRequest, reply: FastifyReply): Promise<Visitor | null> {
  const visitor = await pageVisitor(request, reply);
  if (visitor && !visitor.isGuest) return visitor;
  await send(request, reply.code(403), signInFirst(request.method === 'GET' ? request.url : '/reviews'), {
    own: true,
  });
  return null;
}

/**
 * The guilds of which somebody decides on reviews: of those in which some are open, the platform's own, and the one of the review that
 * they come from. The platform's staff decide everywhere.
 *
 * @returns `more`: there are others with open reviews, of which Discord was not asked
 */
async function guildsOf(
  visitor: Visitor,
  { server, past }: z.output<typeof Listed>,
): Promise<{ guilds: OfGuilds; more: boolean }> {
  const ours = config.staff.guildId;
  const isOurs = (id: string | null) => id === null || id === ours;
  /** Of the platform's own guild, or of none: the same people decide. */
  const allOf = (id: string | null) => (isOurs(id) ? [null, ...(ours === null ? [] : [ours])] : [id]);
  if (config.staff.ids.includes(visitor.userId))
    return { guilds: server === undefined ? 'all' : allOf(server), more: false };

  const open = server === undefined ? await guildsWithOpenReviews(ASKED + 1) : [];
  const from = past === undefined ? [] : [await guildOfReview(past)];
  const wanted = server === undefined ? [null, ...from, ...open.slice(0, ASKED)] : [server];
  const guilds = await Promise.all(
    [...new Set(wanted.map((id) => (isOurs(id) ? ours : id)))].map(async (id) => {
      const actor = await asTold(visitor, id);
      return (await decidesOnReviews(actor, id)) ? allOf(id) : [];
    }),
  );
  return { guilds: guilds.flat(), more: open.length > ASKED };
}

/** Somebody with what Discord says that they may do in a guild. @throws {UserError} `busy` when it says nothing */
async function asTold(visitor: Visitor, guildId: string | null): Promise<Actor> {
  try {
    return await actorAt(actorOf(visitor), guildId);
  } catch (error) {
    log.warn({ err: error }, 'Discord does not say what roles somebody has');
    throw new UserError('busy', { what: message('Discord') }, { cause: error });
  }
}

/** What Discord shows for the people and guilds of reviews. */
async function namesIn(reviews: readonly Reviewed[]): Promise<Names> {
  const people = reviews.flatMap(({ image, reportedBy, moderatorId }) => [
    image.generation.userId,
    reportedBy,
    moderatorId,
  ]);
  const guilds = reviews.map(({ guildId, image }) => guildId ?? image.generation.batch.guildId);
  const present = (ids: readonly (string | null)[]) => ids.filter((id) => id !== null);
  return new Map([...(await namesOf(present(people))), ...(await namesOf(present(guilds), guildName))]);
}

/** Whoever or whatever has no name, or none that Discord says now, is left out. */
async function namesOf(ids: readonly string[], ask = personName): Promise<Names> {
  const named = [...new Set(ids)]
    .filter((id) => !isGuest(id))
    .map(async (id) => {
      const name = await ask(id).catch((error: unknown) => {
        log.warn({ err: error }, 'Discord does not say what somebody is called');
        return null;
      });
      return name === null ? [] : [[id, name] as const];
    });
  return new Map((await Promise.all(named)).flat());
}

/** A picture that a page carries in itself: as large as it is judged, and no larger. */
async function carried(png: Buffer): Promise<Picture> {
  const image = sharp(png)
    .resize({ width: LOOKED_AT, height: LOOKED_AT, fit: 'inside', withoutEnlargement: true })
    .webp({ quality: 90 });
  const { bytes: webp, ...size } = await markPicture(image, 'drawn');
  return { webp, ...size };
}
