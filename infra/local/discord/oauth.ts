/**
 * "Sign in with Discord": the page on which a person says yes, and the token that an application gets for the code that comes of it.
 *
 *   browser ─/oauth2/authorize─▶ who? ─▶ back to the application with a code ─/api/oauth2/token─▶ bearer token ─▶ /users/@me
 *
 * As strict as Discord, and where that is not known stricter: the redirect URI is one that was registered, letter for letter; PKCE by
 * S256 alone; a code is good once, for a minute, with the verifier and the redirect URI that it was asked with.
 */
import { createHash, randomBytes, timingSafeEqual } from 'node:crypto';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { DiscordError } from './discord-error.ts';
import { readBytes } from './rest.ts';
import { type Bearer, SCOPES, type Scope } from './scopes.ts';
import { PEOPLE, type PersonName } from './world.ts';

export interface OAuthOptions {
  readonly clientSecret: string;
  /** Registered ones. Read anew at each request: a test adds its own when it knows its port. */
  readonly redirectUris: readonly string[];
}

interface Grant extends Bearer {
  readonly redirectUri: string;
  /** base64url of SHA-256; null: none was sent */
  readonly challenge: string | null;
  readonly expiresAt: number;
}

export interface OAuth {
  /** `/oauth2/authorize` */
  authorize(request: IncomingMessage, url: URL, response: ServerResponse): Promise<void>;
  /** `/api/oauth2/token`, and with `revoke` its end */
  token(request: IncomingMessage, response: ServerResponse, revoke: boolean): Promise<void>;
  /** null: nobody's, or not any more */
  bearer(token: string | null): Bearer | null;
}

const CODE_LIFE_MS = 60_000;
const TOKEN_LIFE_S = 604_800;
const FORM_MAX = 16 * 1024;
const FORM = 'application/x-www-form-urlencoded';
const CHALLENGE = /^[\w-]{43}$/;
const VERIFIER = /^[\w.~-]{43,128}$/;

/** What is wrong with a request for a token, in RFC 6749's words and Discord's sentences. */
class Refused extends Error {
  readonly status: number;
  readonly error: string;

  constructor(error: string, description: string, status = 400) {
    super(description);
    this.error = error;
    this.status = status;
  }
}

export function createOAuth(applicationId: string, options: OAuthOptions): OAuth {
  const codes = new Map<string, Grant>();
  const bearers = new Map<string, Bearer & { readonly expiresAt: number }>();

  /** @throws {Refused} where nothing may be sent to the redirect URI: it is not the application's */
  function wish(query: URLSearchParams) {
    if (query.get('client_id') !== applicationId) throw new Refused('invalid_client', 'Unknown application');
    const redirectUri = query.get('redirect_uri') ?? '';
    if (!options.redirectUris.includes(redirectUri))
      throw new Refused('invalid_request', 'Invalid OAuth2 redirect_uri');
    if (query.get('response_type') !== 'code')
      throw new Refused('unsupported_response_type', 'Only response_type=code is here');
    const scopes = (query.get('scope') ?? '').split(' ').filter(Boolean);
    const known = SCOPES.filter((scope) => scopes.includes(scope));
    if (!known.length || known.length !== scopes.length)
      throw new Refused('invalid_scope', 'The requested scope is invalid, unknown, or malformed.');
    const challenge = query.get('code_challenge');
    const method = query.get('code_challenge_method');
    if ((challenge ?? method) !== null && (method !== 'S256' || !CHALLENGE.test(challenge ?? '')))
      throw new Refused('invalid_request', 'code_challenge must be an S256 one');
    return { redirectUri, scopes: known, challenge, state: query.get('state') };
  }

  /** @throws {Refused} */
  function exchange(form: URLSearchParams): Bearer {
    if (form.get('grant_type') !== 'authorization_code')
      throw new Refused('unsupported_grant_type', 'Only authorization_code is here');
    const code = form.get('code') ?? '';
    const grant = codes.get(code);
    // Whoever tries it has it: it is used up, even where something else is wrong.
    codes.delete(code);
    if (!grant || grant.expiresAt < Date.now())
      throw new Refused('invalid_grant', 'Invalid "code" in request.');
    if (form.get('redirect_uri') !== grant.redirectUri)
      throw new Refused('invalid_grant', 'Invalid "redirect_uri" in request.');
    const verifier = form.get('code_verifier');
    if (grant.challenge === null ? verifier !== null : !proves(verifier, grant.challenge))
      throw new Refused('invalid_grant', 'Invalid "code_verifier" in request.');
    return grant;
  }

  function mustBeClient(request: IncomingMessage, form: URLSearchParams): void {
    const [scheme, pair = ''] = (request.headers.authorization ?? '').split(' ');
    const [id, secret] =
      scheme === 'Basic'
        ? Buffer.from(pair, 'base64').toString().split(':', 2).map(decodeURIComponent)
        : [form.get('client_id'), form.get('client_secret')];
    if (id !== applicationId || !same(secret ?? '', options.clientSecret))
      throw new Refused('invalid_client', 'Invalid client', 401);
  }

  return {
    async authorize(request, url, response) {
      let asked: ReturnType<typeof wish>;
      try {
        asked = wish(url.searchParams);
      } catch (error) {
        if (!(error instanceof Refused)) throw error;
        return page(response, 400, `<h1>${escaped(error.message)}</h1>`);
      }
      const { redirectUri, scopes, challenge, state } = asked;
      if (request.method !== 'POST') return page(response, 200, choice(url, scopes), redirectUri);

      const form = new URLSearchParams((await readBytes(request, FORM_MAX)).toString());
      const person = form.get('person') ?? '';
      const back = new URL(redirectUri);
      // Whichever of this machine's names it was asked by.
      back.searchParams.set('iss', `http://${request.headers.host}`);
      if (state !== null) back.searchParams.set('state', state);
      if (!Object.hasOwn(PEOPLE, person)) {
        back.searchParams.set('error', 'access_denied');
        back.searchParams.set(
          'error_description',
          'The resource owner or authorization server denied the request',
        );
      } else {
        const code = randomBytes(15).toString('base64url');
        const { id: userId } = PEOPLE[person as PersonName];
        codes.set(code, { userId, scopes, redirectUri, challenge, expiresAt: Date.now() + CODE_LIFE_MS });
        back.searchParams.set('code', code);
      }
      response.writeHead(302, { location: back.href, 'cache-control': 'no-store' }).end();
    },

    async token(request, response, revoke) {
      const answer = (status: number, body: object) =>
        response
          .writeHead(status, { 'content-type': 'application/json', 'cache-control': 'no-store' })
          .end(JSON.stringify(body));
      try {
        if (request.method !== 'POST') throw new Refused('invalid_request', 'POST only', 405);
        if (!request.headers['content-type']?.startsWith(FORM))
          throw new Refused('invalid_request', `Only ${FORM} is taken`);
        const form = new URLSearchParams((await readBytes(request, FORM_MAX)).toString());
        mustBeClient(request, form);
        if (revoke) {
          bearers.delete(form.get('token') ?? '');
          answer(200, {});
          return;
        }
        const { userId, scopes } = exchange(form);
        const token = randomBytes(22).toString('base64url');
        bearers.set(token, { userId, scopes, expiresAt: Date.now() + TOKEN_LIFE_S * 1_000 });
        answer(200, {
          access_token: token,
          token_type: 'Bearer',
          expires_in: TOKEN_LIFE_S,
          refresh_token: randomBytes(22).toString('base64url'),
          scope: scopes.join(' '),
        });
      } catch (error) {
        if (error instanceof Refused)
          answer(error.status, { error: error.error, error_description: error.message });
        else if (error instanceof DiscordError) answer(error.status, error.body);
        else throw error;
      }
    },

    bearer(token) {
      const bearer = token === null ? undefined : bearers.get(token);
      return bearer && bearer.expiresAt > Date.now() ? bearer : null;
    },
  };
}

function proves(verifier: string | null, challenge: string): boolean {
  if (verifier === null || !VERIFIER.test(verifier)) return false;
  return same(createHash('sha256').update(verifier).digest('base64url'), challenge);
}

function same(a: string, b: string): boolean {
  const [x, y] = [a, b].map((text) => createHash('sha256').update(text).digest());
  return timingSafeEqual(x!, y!);
}

const escaped = (text: string) => text.replace(/[&<>"']/g, (c) => `&#${c.charCodeAt(0)};`);

const SEES: Record<Scope, string> = {
  identify: 'your name and picture',
  guilds: 'which servers you are in',
  email: 'your e-mail address',
};

function choice(url: URL, scopes: readonly Scope[]): string {
  const people = Object.entries(PEOPLE)
    .map(
      ([key, { name, colour }]) =>
        `<button name="person" value="${key}"><i style="background:${colour}"></i>${escaped(name)}</button>`,
    )
    .join('');
  return `<h1>Sign in to Atelier</h1>
<p>It will see ${scopes.map((scope) => SEES[scope]).join(', ')}. Who are you?</p>
<form method="post" action="${escaped(url.pathname + url.search)}">${people}<button name="person" value="">Cancel</button></form>
<p class="note">This is the local Discord, on this machine alone: it knows these people and asks for no password.</p>`;
}

const STYLE = `:root{color-scheme:dark}body{margin:0;min-height:100vh;display:grid;place-content:center;background:#131419;color:#e4e6ec;
font:16px/1.5 system-ui,sans-serif}main{width:min(22rem,100vw - 3rem)}h1{font-size:1.3rem}form{display:grid;gap:.5rem}
button{font:inherit;color:inherit;background:#272a33;border:1px solid #353945;border-radius:.5rem;padding:.7rem 1rem;text-align:left;cursor:pointer}
button:hover{background:#353945}button[value=""]{background:none;text-align:center}i{display:inline-block;width:.8rem;height:.8rem;
border-radius:50%;margin-right:.7rem}.note{color:#a6abb9;font-size:.85rem}`;

/** @param sendsTo where its form ends up: browsers hold redirects after a form against `form-action`, too */
function page(response: ServerResponse, status: number, body: string, sendsTo?: string): void {
  const form = sendsTo === undefined ? "'none'" : `'self' ${new URL(sendsTo).origin}`;
  response
    .writeHead(status, {
      'content-type': 'text/html; charset=utf-8',
      'cache-control': 'no-store',
      'content-security-policy': `default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; frame-ancestors 'none'; form-action ${form}`,
      'x-content-type-options': 'nosniff',
    })
    .end(
      `<!doctype html><html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1"><title>Local Discord</title><style>${STYLE}</style><main>${body}</main></html>`,
    );
}
