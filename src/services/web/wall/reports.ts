/** A visitor's report of a picture: it goes out of sight until a moderator decides, as by `/report` in Discord. */
import formbody from '@fastify/formbody';
import rateLimit from '@fastify/rate-limit';
import type { FastifyInstance } from 'fastify';
import type { PublishedPicture } from '#src/gallery.ts';
import { reportImage } from '#src/moderation/reviews.ts';
import { network } from '../account/visitor.ts';
import { html } from '../html.ts';
import { layout, notePage, type Page } from '../layout.ts';
import { send } from '../send.ts';
import type { Gallery } from './snapshot.ts';
import { widthsOf } from './variants.ts';

/** Reports from one network, and from all, to a process in an hour: nobody is to empty the wall. */
const FROM_ONE = 3;
const FROM_ALL = 30;
const HOUR_MS = 3_600_000;

export async function addReports(app: FastifyInstance, shown: Gallery): Promise<void> {
  const lately: number[] = [];

  await app.register(async (scope) => {
    await scope.register(formbody);
    await scope.register(rateLimit, { global: false, keyGenerator: ({ ip }) => network(ip) });

    scope.get<{ Params: { id: string } }>('/pictures/:id/report', async (request, reply) => {
      const picture = (await shown.shown()).byId.get(request.params.id);
      if (!picture) return send(request, reply.code(404), NOTHING);
      return send(request, reply, formPage(picture));
    });

    const limit = { max: FROM_ONE, timeWindow: HOUR_MS };
    scope.post<{ Params: { id: string } }>(
      '/pictures/:id/report',
      { config: { rateLimit: { ...limit, errorResponseBuilder: () => new TooMany() } } },
      async (request, reply) => {
        const picture = (await shown.shown()).byId.get(request.params.id);
        if (!picture) return send(request, reply.code(404), NOTHING);
        const now = Date.now();
        while ((lately[0] ?? now) < now - HOUR_MS) lately.shift();
        if (lately.length >= FROM_ALL) return send(request, reply.code(429), WAIT);
        lately.push(now);
        await reportImage(null, picture.id);
        return send(request, reply, THANKS, { own: true });
      },
    );
    scope.setErrorHandler((error, request, reply) => {
      if (error instanceof TooMany) return send(request, reply.code(429), WAIT);
      throw error;
    });
  });
}

class TooMany extends Error {
  readonly statusCode = 429;
}

const NOTHING = notePage(
  'No such picture',
  'There is no picture at this address. If you reported it, it is out of sight already.',
);
const WAIT = notePage(
  'That were many reports',
  'No more are taken from here for an hour. Moderators are looking at those that came.',
);
const THANKS = notePage(
  'Thank you',
  'The picture is out of sight, and moderators will look at it. It comes back only if they allow it.',
);

function formPage(picture: PublishedPicture): Page {
  const { id } = picture;
  const small = widthsOf(picture)[0]?.width ?? 'full';
  return layout({
    title: 'Report this picture',
    kind: 'text',
    body: html`<h1>Report this picture</h1>
<p><a href="/pictures/${id}"><img src="/img/${id}/${small}" width="160" alt="The picture"></a></p>
<p>Report it if it shows somebody who did not agree to it, breaks the law, or has no place where anybody can see it. It goes out of
sight at once, until a moderator has looked at it.</p>
<form method="post"><p><button>Report it</button> <a class="button plain" href="/pictures/${id}">Back</a></p></form>`,
  });
}
