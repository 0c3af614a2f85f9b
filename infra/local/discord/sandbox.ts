/**
 * The local Discord: REST and gateway v10 as far as our bot uses them, and a page on which a person types and presses.
 * A stand-in for demos, development and tests, on this machine only; it is not Discord, and DIFFERENCES.md says how it differs.
 *
 *   bot ◀──gateway.ts──┐                            ┌──people.ts──▶ page/, person.ts
 *   bot ───rest.ts─────┴── routes.ts ── state.ts ───┴── interactions.ts
 *
 * Read first: state.ts (what there is), interactions.ts (what happens between a person and the bot).
 */
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { Troubles } from './faults.ts';
import { Gateway } from './gateway.ts';
import { IdentifyBudget } from './identify.ts';
import { Interactions, type Moment } from './interactions.ts';
import { createOAuth, type OAuthOptions } from './oauth.ts';
import { type Judge, openJudge, type Violation } from './openapi.ts';
import { createPeopleSide } from './people.ts';
import type { Misbehaviour } from './protocol.ts';
import { RateLimits } from './rate-limits.ts';
import { createRest } from './rest.ts';
import { createRoutes } from './routes.ts';
import { FILE_MAX, State } from './state.ts';
import type { Crowd } from './world.ts';

export interface SandboxOptions {
  /** The bot's token; whoever has another is refused. */
  readonly token: string;
  readonly applicationId: string;
  /** Without one, the port of the last run in `dataDir` if it is free, or any. */
  readonly port?: number;
  /** Keeps channels, messages, attachments and commands over restarts. */
  readonly dataDir?: string;
  /** Holds all REST traffic against Discord's OpenAPI description; see `violations`. */
  readonly check?: 'openapi';
  /** `false`: nobody is ever limited, except as misbehaviour. */
  readonly rateLimits?: boolean;
  /** What `GET /gateway/bot` recommends. */
  readonly shards?: number;
  /** How many shards may identify at once; 1 at Discord for small bots, 16 here. */
  readonly maxConcurrency?: number;
  /** Between two IDENTIFYs of shards that may not start at once; 5,000 at Discord. */
  readonly identifyPauseMs?: number;
  /** 1,000 at Discord. One more, and the token is no longer good. */
  readonly identifiesPerDay?: number;
  /** Bits of the privileged intents the app was granted; asking for others closes with 4014. */
  readonly privilegedIntents?: number;
  /** 3,000 at Discord. */
  readonly answerWithinMs?: number;
  /** 900,000 at Discord. */
  readonly tokenLifeMs?: number;
  /** Every REST request, as `POST /channels/{channel_id}/messages` and the JSON that came with it. */
  readonly onRequest?: (route: string, body: unknown) => void;
  /** The application's secret and where people may be sent back to; without it nobody can sign in. */
  readonly oauth?: OAuthOptions;
  /** Many people and guilds, for benches. */
  readonly crowd?: Crowd;
  /** Told before anything else is done, for benches. */
  readonly onMoment?: (moment: Moment) => void;
  /** One line a request or gateway event; never a token. */
  readonly onLog?: (line: string) => void;
}

export interface Sandbox {
  /** For `rest: { api }` of discord.js: ends in `/api`. */
  readonly apiUrl: string;
  readonly pageUrl: string;
  /** OAuth's issuer: `/oauth2/authorize` is below it. */
  readonly oauthUrl: string;
  /** What was not as Discord describes it; always empty without `check`. */
  readonly violations: readonly Violation[];
  /** What there is, for tests to look at. */
  readonly state: State;
  /** Shards with an open socket, as `0/2`. */
  readonly connectedShards: readonly string[];
  misbehave(how: Misbehaviour): Misbehaviour;
  close(): Promise<void>;
}

export async function startSandbox(options: SandboxOptions): Promise<Sandbox> {
  const { token, applicationId, dataDir, onLog = () => {} } = options;
  let handle: (request: IncomingMessage, response: ServerResponse) => Promise<void>;
  const server = createServer((request, response) => {
    if (!fromHere(request)) response.writeHead(403).end();
    else void handle(request, response).catch((error: unknown) => onLog(`server: ${String(error)}`));
  });
  const port = await listen(
    server,
    options.port ?? (dataDir ? await State.lastPort(dataDir) : null),
    options.port === undefined,
  );
  const origin = `http://127.0.0.1:${port}`;

  const state = await State.open({
    applicationId,
    origin,
    dataDir,
    signingKey: token,
    crowd: options.crowd,
  });
  const troubles = new Troubles();
  const violations: Violation[] = [];
  const { privilegedIntents = 0, shards = 2 } = options;
  let revoked = false;
  const isToken = (given: string | null) => !revoked && given === token;
  const budget = new IdentifyBudget({
    maxConcurrency: options.maxConcurrency ?? 16,
    identifyPauseMs: options.identifyPauseMs ?? 5_000,
    identifiesPerDay: options.identifiesPerDay ?? 1_000,
  });
  const gateway = new Gateway(state, {
    isToken,
    budget,
    privilegedIntents,
    onSpent() {
      revoked = true;
      onLog('gateway: the day’s IDENTIFYs are used up; the token is no longer good');
    },
    onLog,
  });
  server.on('upgrade', (request, socket, head) => {
    if (request.url?.startsWith('/gateway') && fromHere(request)) gateway.upgrade(request, socket, head);
    else socket.destroy();
  });
  const interactions = new Interactions(
    state,
    { answerWithinMs: options.answerWithinMs ?? 3_000, tokenLifeMs: options.tokenLifeMs ?? 15 * 60_000 },
    (guildId, payload) => {
      const times = troubles.takeDeliveries();
      const deliver = () => {
        for (let i = 0; i < times; i++) gateway.dispatch(guildId, 'INTERACTION_CREATE', payload);
      };
      if (troubles.deliverAfterMs) setTimeout(deliver, troubles.deliverAfterMs).unref();
      else deliver();
    },
    options.onMoment,
  );

  const oauth = createOAuth(applicationId, options.oauth ?? { clientSecret: '', redirectUris: [] });

  let judge: Promise<Judge> | undefined;
  const rest = createRest({
    routes: createRoutes({
      state,
      interactions,
      troubles,
      gateway: { url: gateway.url, shards, budget },
      privilegedIntents,
    }),
    isToken,
    bearer: oauth.bearer,
    signing: state.attachments.signing,
    troubles,
    limits: options.rateLimits === false ? null : new RateLimits(),
    judge: options.check ? () => (judge ??= openJudge()) : null,
    ...(options.onRequest && { onRequest: options.onRequest }),
    onViolation: (violation) => {
      violations.push(violation);
      onLog(`violation: ${JSON.stringify(violation)}`);
    },
    onLog,
  });
  const people = createPeopleSide({ state, interactions, misbehave });
  handle = async (request, response) => {
    const url = new URL(request.url ?? '/', origin);
    if (url.pathname === '/oauth2/authorize') return oauth.authorize(request, url, response);
    const ofToken = /^\/api(?:\/v\d+)?\/oauth2\/token(\/revoke)?$/.exec(url.pathname);
    if (ofToken) return oauth.token(request, response, ofToken[1] !== undefined);
    if (url.pathname.startsWith('/api')) return rest(request, response);
    if (url.pathname.startsWith('/attachments/')) return serveAttachment(state, url, response);
    return people.handle(request, response);
  };

  return {
    apiUrl: `${origin}/api`,
    pageUrl: `${origin}/`,
    oauthUrl: origin,
    violations,
    state,
    get connectedShards() {
      return gateway.connected;
    },
    misbehave,
    async close() {
      people.close();
      await gateway.close();
      server.closeAllConnections();
      await new Promise((closed) => server.close(closed));
      await state.close();
    },
  };

  function misbehave(how: Misbehaviour): Misbehaviour {
    troubles.set(how);
    state.fileMax = troubles.fileMax || FILE_MAX;
    if (how.reconnect) gateway.reconnectAll();
    if (how.invalidSession) gateway.invalidateAll(how.invalidSession === 'resumable');
    if (how.expireTokens) interactions.expireTokens();
    return troubles.inForce;
  }
}

/** Only by our own name, and only from our own page: another site in the same browser may neither read nor ask. */
function fromHere({ headers }: IncomingMessage): boolean {
  const host = headers.host ?? '';
  if (!/^(127\.0\.0\.1|localhost)(:\d+)?$/.test(host)) return false;
  return headers.origin === undefined || headers.origin === `http://${host}`;
}

/** @param flexible whether any other port will do when the wanted one is taken */
function listen(
  server: ReturnType<typeof createServer>,
  wanted: number | null,
  flexible: boolean,
): Promise<number> {
  return new Promise((listening, fail) => {
    server.once('error', (error: NodeJS.ErrnoException) => {
      if (error.code === 'EADDRINUSE' && wanted && flexible) listening(listen(server, 0, false));
      else fail(error);
    });
    server.listen(wanted ?? 0, '127.0.0.1', () => listening((server.address() as AddressInfo).port));
  });
}

async function serveAttachment(state: State, address: URL, response: ServerResponse): Promise<void> {
  const attachment = state.attachments.admitted(address);
  const bytes = attachment && (await state.attachments.bytes(attachment.id));
  if (!attachment || !bytes) {
    response.writeHead(404, { 'content-type': 'text/plain' }).end('This content is no longer available.');
    return;
  }
  response
    .writeHead(200, {
      'content-type': attachment.content_type ?? 'application/octet-stream',
      'content-length': bytes.length,
      'cache-control': 'private, max-age=3600',
      // An uploaded page must not run as ours.
      'content-security-policy': "sandbox; default-src 'none'; img-src 'self'; style-src 'unsafe-inline'",
      'x-content-type-options': 'nosniff',
    })
    .end(bytes);
}
