/** Sign-in, sessions and forms over real HTTP, with the local Discord's OAuth. */
import { createHash } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { PEOPLE } from '#infra/local/discord/world.ts';
import {
  CLIENT_SECRET,
  jar,
  sayYes,
  signInAs,
  startWebWithDiscord,
  type WebWithDiscord,
} from './visitors.ts';

let web: WebWithDiscord;
let sandbox: WebWithDiscord['sandbox'];
let db: typeof import('#src/doors/db.ts').db;
let url: string;

beforeAll(async () => {
  web = await startWebWithDiscord();
  ({ url, sandbox } = web);
  ({ db } = await import('#src/doors/db.ts'));
});
afterAll(() => web?.close());

let addresses = 0;
const visitor = () => jar(url, `198.51.100.${++addresses}`);
const textOf = async (response: Response) => [
  response.status,
  (await response.text()).match(/<h1>(.*?)<\/h1>/)?.[1],
];

describe('signing in', () => {
  it('makes a session that only the browser itself can send, and leads back', async () => {
    const me = visitor();
    const begun = await me.get('/sign-in?to=/draw/pictures');
    const at = new URL(begun.headers.get('location')!);
    expect(at.origin + at.pathname).toBe(`${process.env.DISCORD_OAUTH_URL}/oauth2/authorize`);
    expect(Object.fromEntries(at.searchParams)).toMatchObject({
      response_type: 'code',
      scope: 'identify',
      redirect_uri: `${url}/sign-in/return`,
      code_challenge_method: 'S256',
    });
    const back = await me.get(await sayYes(at.href, 'member'));
    expect([back.status, back.headers.get('location')]).toEqual([303, '/draw/pictures']);
    const session = back.headers.getSetCookie().find((line) => line.startsWith('session='))!;
    expect(session).toMatch(/HttpOnly/);
    expect(session).toMatch(/SameSite=Lax/);
    expect(session).toMatch(/Max-Age=604800/);
    expect(session).not.toMatch(/Secure|Domain/);
    const page = await (await me.get('/account')).text();
    expect(page).toContain('<h1>Member</h1>');
    const [token] = /(?<=session=)[^;]+/.exec(session)!;
    expect(JSON.stringify(await db.session.findMany())).not.toContain(token);
    expect(await db.session.findMany()).toMatchObject([{ userId: PEOPLE.member.id, name: 'Member' }]);
    expect(sandbox.violations).toEqual([]);
  });

  it.each([
    '//evil.example',
    '/\\evil.example',
    'https://evil.example/',
    'draw',
    '/a b',
    '/draw\r\nset-cookie: x=y',
  ])('leads nowhere else: %j', async (to) => {
    const me = visitor();
    const back = await signInAs(me, 'other', to);
    expect(back.headers.get('location')).toBe('/draw');
  });

  it('is refused with a forged, a foreign, a used and a missing state', async () => {
    const me = visitor();
    const begun = await me.get('/sign-in');
    const back = await sayYes(begun.headers.get('location')!, 'member');
    const forged = new URL(back);
    forged.searchParams.set('state', createHash('sha256').update('x').digest('base64url'));
    expect(await textOf(await me.get(forged.href))).toEqual([400, 'That sign-in was not begun here']);
    // Somebody is lured into the account of whoever made the link.
    expect(await textOf(await visitor().get(back))).toEqual([400, 'That sign-in was not begun here']);
    const doubled = new URL(back);
    doubled.searchParams.append('state', 'x');
    expect(await textOf(await me.get(doubled.href))).toEqual([400, 'That sign-in was not begun here']);
    expect(await textOf(await me.get('/sign-in/return'))).toEqual([400, 'That sign-in was not begun here']);
    const cookies = new Map(me.cookies);
    expect((await me.get(back)).status).toBe(303);
    for (const [name, value] of cookies) me.cookies.set(name, value);
    expect(await textOf(await me.get(back))).toEqual([400, 'That sign-in is over']);
  });

  it('is over after ten minutes', async () => {
    const me = visitor();
    const back = await sayYes((await me.get('/sign-in')).headers.get('location')!, 'member');
    await db.signIn.updateMany({ data: { createdAt: new Date(Date.now() - 10 * 60_000) } });
    expect(await textOf(await me.get(back))).toEqual([400, 'That sign-in is over']);
  });

  it('is refused with a forged code, another issuer, and a no', async () => {
    const refused = async (change: (back: URL) => void) => {
      const me = visitor();
      const back = new URL(await sayYes((await me.get('/sign-in')).headers.get('location')!, 'member'));
      change(back);
      const said = await textOf(await me.get(back.href));
      expect([...me.cookies.keys()]).toEqual([]);
      return said;
    };
    expect(await refused((back) => back.searchParams.set('code', 'forged'))).toEqual([
      400,
      'Discord did not let you in',
    ]);
    expect(await refused((back) => back.searchParams.set('iss', 'https://evil.example'))).toEqual([
      400,
      'Discord did not let you in',
    ]);
    const me = visitor();
    const no = await sayYes((await me.get('/sign-in')).headers.get('location')!, '');
    expect(await textOf(await me.get(no))).toEqual([400, 'You did not sign in']);
  });

  it('is limited for each network', async () => {
    const me = visitor();
    const statuses: number[] = [];
    for (let i = 0; i < 33; i++) statuses.push((await me.get('/sign-in')).status);
    expect(statuses.filter((status) => status === 302)).toHaveLength(30);
    expect(await textOf(await me.get('/sign-in'))).toEqual([429, 'Too often']);
    expect((await visitor().get('/sign-in')).status).toBe(302);
  });
});

describe('cookies', () => {
  it('are the host’s own and secure where the service is reached by https', async () => {
    const { site } = await import('#src/services/web/layout.ts');
    const before = site.origin;
    site.origin = 'https://atelier.example';
    try {
      const [line] = (await visitor().get('/sign-in')).headers.getSetCookie();
      expect(line).toMatch(
        /^__Host-sign-in=[\w-]{43}; Max-Age=600; Path=\/; HttpOnly; Secure; SameSite=Lax$/,
      );
    } finally {
      site.origin = before;
    }
  });
});

describe('a network', () => {
  it.each([
    ['192.0.2.7', '192.0.2.7'],
    ['::ffff:192.0.2.7', '192.0.2.7'],
    ['2001:db8:1:2:3:4:5:6', '2001:db8:1:2'],
    ['2001:0db8:0001:0002::', '2001:db8:1:2'],
    ['2001:db8::1', '2001:db8:0:0'],
    ['::1', '0:0:0:0'],
    ['fe80::1%eth0', 'fe80:0:0:0'],
  ])('of %s is %s', async (ip, expected) => {
    const { network } = await import('#src/services/web/account/visitor.ts');
    expect(network(ip)).toBe(expected);
  });
});

describe('signing out', () => {
  it('is of this browser, or of all', async () => {
    const [a, b, c] = [visitor(), visitor(), visitor()];
    for (const one of [a, b, c]) await signInAs(one, 'moderator');
    const old = new Map(a.cookies);
    expect((await a.post('/sign-out', {})).status).toBe(303);
    expect([...a.cookies]).toEqual([]);
    for (const [name, value] of old) a.cookies.set(name, value);
    expect((await a.get('/account')).status).toBe(303);
    expect((await b.post('/sign-out/everywhere', {})).status).toBe(303);
    expect((await c.get('/account')).status).toBe(303);
  });
});

describe('a form of another site', () => {
  const foreign: [string, Record<string, string>][] = [
    ['by its origin', { origin: 'https://evil.example', 'sec-fetch-site': 'cross-site' }],
    ['by an opaque one', { origin: 'null', 'sec-fetch-site': 'cross-site' }],
    ['of another port', { origin: 'http://127.0.0.1:1', 'sec-fetch-site': 'same-site' }],
  ];
  it.each(foreign)('does nothing: %s', async (_, headers) => {
    const me = visitor();
    await signInAs(me, 'member');
    const before = await db.batch.count();
    for (const path of ['/sign-out', '/sign-out/everywhere', '/draw']) {
      const answer = await me.post(path, { prompt: 'x' }, headers);
      expect(await textOf(answer)).toEqual([403, 'That came from another site']);
    }
    expect((await me.get('/account')).status).toBe(200);
    expect(await db.batch.count()).toBe(before);
  });

  it('does nothing in browsers that say an origin alone', async () => {
    const me = visitor();
    await signInAs(me, 'member');
    const answer = await me.send('/sign-out', {
      method: 'POST',
      headers: { origin: 'https://evil.example' },
    });
    expect(answer.status).toBe(403);
  });
});

describe('the local Discord’s OAuth', () => {
  const challenge = createHash('sha256').update('v'.repeat(43)).digest('base64url');
  const authorize = (changes: Record<string, string | undefined> = {}) => {
    const at = new URL('/oauth2/authorize', sandbox.oauthUrl);
    const query = {
      client_id: '1100000000000000001',
      redirect_uri: `${url}/sign-in/return`,
      response_type: 'code',
      scope: 'identify guilds',
      code_challenge: challenge,
      code_challenge_method: 'S256',
      ...changes,
    };
    for (const [name, value] of Object.entries(query))
      if (value !== undefined) at.searchParams.set(name, value);
    return at.href;
  };
  const code = async () => new URL(await sayYes(authorize(), 'member')).searchParams.get('code')!;
  const exchange = (fields: Record<string, string>, secret = CLIENT_SECRET) =>
    fetch(`${sandbox.apiUrl}/oauth2/token`, {
      method: 'POST',
      headers: { authorization: `Basic ${Buffer.from(`1100000000000000001:${secret}`).toString('base64')}` },
      body: new URLSearchParams({
        grant_type: 'authorization_code',
        redirect_uri: `${url}/sign-in/return`,
        code_verifier: 'v'.repeat(43),
        ...fields,
      }),
    });

  it.each<[string, Record<string, string | undefined>]>([
    ['another redirect URI', { redirect_uri: `${'http://127.0.0.1'}/sign-in/return` }],
    ['none', { redirect_uri: undefined }],
    ['another application', { client_id: '1' }],
    ['a plain challenge', { code_challenge_method: 'plain' }],
    ['the implicit grant', { response_type: 'token' }],
    ['a scope that is none', { scope: 'identify everything' }],
  ])('sends nobody anywhere with %s', async (_, changes) => {
    const response = await fetch(authorize(changes), { redirect: 'manual' });
    expect(response.status).toBe(400);
    expect(response.headers.get('location')).toBeNull();
  });

  it('gives a token for a code once, with its verifier, redirect URI and the secret', async () => {
    const wrong: [Record<string, string>, string?][] = [
      [{ code_verifier: 'w'.repeat(43) }],
      [{ redirect_uri: `${url}/` }],
      [{}, 'not-the-secret'],
    ];
    for (const [fields, secret] of wrong) {
      const answer = await exchange({ code: await code(), ...fields }, secret);
      expect([400, 401]).toContain(answer.status);
    }
    const good = await code();
    const granted = (await (await exchange({ code: good })).json()) as {
      access_token: string;
      scope: string;
    };
    expect(granted.scope).toBe('identify guilds');
    expect(await (await exchange({ code: good })).json()).toMatchObject({ error: 'invalid_grant' });
    const as = (path: string) =>
      fetch(`${sandbox.apiUrl}/v10${path}`, { headers: { authorization: `Bearer ${granted.access_token}` } });
    expect(await (await as('/users/@me')).json()).toMatchObject({ id: PEOPLE.member.id, username: 'member' });
    expect(
      ((await (await as('/users/@me/guilds')).json()) as { name: string }[]).map(({ name }) => name),
    ).toContain('Atelier');
    // What is the bot's is the bot's.
    expect((await as('/gateway/bot')).status).toBe(401);
    expect(sandbox.violations).toEqual([]);
  });
});
