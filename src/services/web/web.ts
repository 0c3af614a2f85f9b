/**
 * The `web` service: a list of areas, each a file or folder beside this one that adds its own addresses.
 *
 *   wall/       the public pictures: lists, a picture's page, feeds, the pictures' bytes
 *   pages.ts    about, privacy, terms
 *   account/    sign-in, and what somebody has
 *   draw/       asking for pictures, and one's own
 *   api/        the same for programs, /api/v1, and the page that documents it
 *   detect/     whether a picture was drawn here, by its marks
 *   sweeps/     a sweep as a table of its pictures
 *   operators/  how all of it does, for operators
 *   reviews/    what waits for moderators
 *   health.ts   /healthz and /readyz
 *   server.ts   below all of them: slow, broken and hostile connections, and the end
 *
 * What is public is answered from memory, before any of Fastify's own work, by `areas` that keep it; everything else comes here.
 */
import { randomUUID } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import fastify, { type FastifyReply, type FastifyRequest } from 'fastify';
import { config } from '#config/env.ts';
import { log } from '#src/doors/log.ts';
import { beforeTelling, metrics } from '#src/doors/metrics.ts';
import { isAway, isNoText } from '#src/doors/postgres.ts';
import { isFull, isStorageAway } from '#src/doors/storage.ts';
import { UserError } from '#src/errors.ts';
import { prepareRules } from '#src/moderation/words.ts';
import { keepToRules } from '../rules.ts';
import { account } from './account/account.ts';
import { api } from './api/api.ts';
import { BASE, hasKey } from './api/caller.ts';
import { refused } from './api/problem.ts';
import { type Answer, type Area, Foreign, type Web } from './area.ts';
import { assetAt } from './assets.ts';
import { detect } from './detect/detect.ts';
import { draw } from './draw/draw.ts';
import { tellGauges } from './gauges.ts';
import { HEALTH, health } from './health.ts';
import { notePage, POLICY, site } from './layout.ts';
import { operators } from './operators/operators.ts';
import { pages } from './pages.ts';
import { reviews } from './reviews/reviews.ts';
import { codingFor, codings, HEADERS, send } from './send.ts';
import { answerBroken, LIMITS, openServer, type ServerLimits, type WebServer } from './server.ts';
import { sweeps } from './sweeps/sweeps.ts';
import { wall } from './wall/wall.ts';

const areas: readonly Area[] = [health, pages, wall, account, draw, detect, sweeps, operators, reviews, api];

/** Bytes of a body, unless a route says otherwise. */
const BODY_MAX = 16 * 1024;
/** Whoever asked /readyz so lately gives us visitors, and hears that we leave before nobody is let in any more. ms */
const ASKED_WITHIN_MS = 60_000;
/** How long that may take, and how often they want to hear it. ms */
const LEAVES_WITHIN_MS = 5_000;
const TOLD_TIMES = 3;
const FOREVER = 'public, max-age=31536000, immutable';
const SAFE: readonly string[] = ['GET', 'HEAD', 'OPTIONS'];

export async function startWeb({
  host = config.web.host,
  port = config.web.port,
  limits = LIMITS,
}: {
  host?: string;
  port?: number;
  limits?: ServerLimits;
} = {}): Promise<{ url: string; close(reason?: string): Promise<void> }> {
  let ending = false;
  const askers = { at: Number.NEGATIVE_INFINITY, told: 0 };
  const first: Answer[] = [];
  /** class of the status → answered from memory, and not told yet: counting is all that there is time for */
  const fromMemory = [0, 0, 0, 0, 0, 0];
  /** coding and address → a script as it goes out: compressed once */
  const scripts = new Map<string, Promise<Buffer>>();
  let opened: WebServer | undefined;
  // `return503OnClosing` would answer requests in hand with 503 while we close.
  const app = fastify({
    logger: false,
    bodyLimit: BODY_MAX,
    trustProxy: (_, hop) => hop < config.web.proxies,
    return503OnClosing: false,
    clientErrorHandler: answerBroken,
    // Addresses that cannot be decoded come to no route and no hook.
    frameworkErrors: (_, request, reply) => {
      reply.statusCode = 400;
      reply.headers(HEADERS);
      if (request.url.startsWith(`${BASE}/`)) void refused(reply, 'address_invalid');
      else void send(request, reply, BAD_REQUEST);
    },
    serverFactory: (handle) => {
      opened = openServer((request, response) => {
        for (const answer of first)
          if (answer(request, response)) {
            fromMemory[Math.trunc(response.statusCode / 100)]!++;
            return;
          }
        // A body that is not there has no type either: Fastify would wait for its end.
        if (request.readableEnded) delete request.headers['content-type'];
        handle(request, response);
      }, limits);
      return opened.server;
    },
  });

  app.addHook('onRequest', (request, reply, done) => {
    reply.headers(HEADERS);
    if (SAFE.includes(request.method) || isOurs(request) || hasKey(request)) return done();
    done(new Foreign('from another site'));
  });
  app.addHook('onResponse', ({ url }, { statusCode }, done) => {
    if (!HEALTH.includes(url)) metrics.served({ status: `${Math.floor(statusCode / 100)}xx` });
    done();
  });
  app.setNotFoundHandler((request, reply) => send(request, reply.code(404), NO_PAGE));
  app.setErrorHandler<Error & { statusCode?: number; code?: string }>(answerError);
  app.get('/assets/:hash/:file', async (request, reply) => {
    const found = assetAt(request.url);
    if (!found) return send(request, reply.code(404), NO_PAGE);
    const coding = codingFor(request.headers['accept-encoding']);
    reply.headers({ 'cache-control': FOREVER, 'content-security-policy': POLICY, vary: 'accept-encoding' });
    if (coding !== 'identity') reply.header('content-encoding', coding);
    const key = `${coding} ${found.path}`;
    const ready = scripts.get(key) ?? codings[coding](found.bytes.toString());
    scripts.set(key, ready);
    return reply.type('text/javascript; charset=utf-8').send(await ready);
  });
  const web: Web = {
    isEnding: () => ending,
    asked() {
      askers.at = performance.now();
      if (ending) askers.told++;
    },
    answerFirst: (answer) => void first.push(answer),
  };
  for (const area of areas) await area(app, web);

  prepareRules();
  const address = await app.listen({ host, port });
  // To Prometheus a counter that begins with 1 never rose.
  metrics.served({ status: '5xx' }, 0);
  const stopFollowing = keepToRules();
  const stops = [
    tellGauges(),
    beforeTelling(() => {
      for (const [status, count] of fromMemory.entries())
        if (count > 0) metrics.served({ status: `${status}xx` }, count);
      fromMemory.fill(0);
    }),
  ];
  // A person clicks it: "0.0.0.0" and "[::]" lead nowhere in some browsers.
  const url = address.replace(/\/\/(0\.0\.0\.0|\[::\])/, '//127.0.0.1');
  if (!config.web.publicUrl) site.origin = url;
  log.info({ url }, 'web is ready');
  return {
    url,
    async close(reason) {
      ending = true;
      for (const stop of stops) stop();
      await stopFollowing();
      opened?.leave();
      const until = performance.now() + LEAVES_WITHIN_MS;
      const isAsked = reason === 'SIGTERM' && performance.now() - askers.at < ASKED_WITHIN_MS;
      while (isAsked && askers.told < TOLD_TIMES && performance.now() < until) await sleep(50);
      await opened?.end(() => app.close());
    },
  };
}

const NO_PAGE = notePage(
  'No such page',
  'There is nothing at this address. The link may be old or mistyped.',
);
const OUT_OF_REACH = notePage(
  'The gallery is out of reach',
  'Its database does not answer right now. Try again in a minute.',
);
const STORAGE_AWAY = notePage(
  'The pictures are out of reach',
  'The place where they are kept does not answer right now. Nothing is lost, and nothing was charged. Try again in a minute.',
);
const STORAGE_FULL = notePage(
  'There is no room',
  'The place where pictures are kept is full, so nothing could be kept or was charged. The people who run this are told.',
);
const BAD_REQUEST = notePage('That did not work', 'The request was not one that this page understands.');
const FOREIGN = notePage(
  'That came from another site',
  'A form of another site sent this, so nothing was done. Open the page here and try again.',
);

/**
 * Whether what changes something was sent by a page of ours, as browsers say; what sends neither header is no browser, and carries
 * nobody's cookies by itself.
 */
function isOurs({ headers: { origin, 'sec-fetch-site': from } }: FastifyRequest): boolean {
  if (from !== undefined) return from === 'same-origin' || from === 'none';
  return origin === undefined || origin === site.origin;
}

function answerError(
  error: Error & { statusCode?: number },
  request: FastifyRequest,
  reply: FastifyReply,
): Promise<FastifyReply> {
  if (error instanceof Foreign) return send(request, reply.code(403), FOREIGN);
  if (error instanceof UserError)
    return send(request, reply.code(400), notePage('That did not work', error.userMessage));
  if (isAway(error)) {
    log.warn({ err: error }, 'Postgres is out of reach');
    return send(request, reply.code(503).header('retry-after', '10'), OUT_OF_REACH);
  }
  // Its door has logged it.
  if (isStorageAway(error)) return send(request, reply.code(503).header('retry-after', '10'), STORAGE_AWAY);
  if (isFull(error)) {
    log.error({ err: error }, 'storage is full');
    return send(request, reply.code(503).header('retry-after', '60'), STORAGE_FULL);
  }
  const status = isNoText(error) ? 400 : (error.statusCode ?? 500);
  if (status < 500) return send(request, reply.code(status), BAD_REQUEST);
  const errorId = randomUUID().slice(0, 8);
  log.error({ err: error, errorId }, 'unexpected error');
  return send(
    request,
    reply.code(500),
    notePage('Something broke', `The fault is ours. Try again in a minute; if it goes on, quote ${errorId}.`),
  );
}
