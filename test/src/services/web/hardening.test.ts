/**
 * What hostile, broken and slow clients get: over sockets, as no library of HTTP would send what they send. By https, as browsers reach
 * it: a proxy before the service is believed of addresses, and of nothing else.
 */
import { randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { createServer } from 'node:http';
import { type AddressInfo, connect, type Socket } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, it, onTestFinished, vi } from 'vitest';
import { largePng } from '#test/support/large-png.ts';
import { STAFF_ID } from '#test/support/staff.ts';
import type { Made } from './pictures.ts';
import { finish } from './visitors.ts';

const ORIGIN = 'https://gallery.example';
// Before anything of ours is imported.
Object.assign(process.env, {
  PUBLIC_URL: ORIGIN,
  WEB_PROXIES: '1',
  DISCORD_APPLICATION_ID: '1100000000000000001',
  DISCORD_CLIENT_SECRET: 'a-secret-of-the-local-application',
  DISCORD_OAUTH_URL: 'https://discord.example',
});

/** ms */
const SHORT = { headers: 500, request: 1_000, silent: 60_000, take: 1_000, check: 100, end: 1_500 };

let url: string;
let port: number;
let web: Awaited<ReturnType<typeof import('#src/services/web/web.ts').startWeb>>;
let startWeb: typeof import('#src/services/web/web.ts').startWeb;
let db: typeof import('#src/doors/db.ts').db;
let sessions: typeof import('#src/people/sessions.ts');
let shown: Made;
/** of an operator, and of somebody with a batch that has ended */
let cookie: string;
let batchId: string;
let pictureId: string;

beforeAll(async () => {
  ({ startWeb } = await import('#src/services/web/web.ts'));
  ({ db } = await import('#src/doors/db.ts'));
  sessions = await import('#src/people/sessions.ts');
  web = await startWeb({ host: '127.0.0.1', port: 0, limits: await limits() });
  ({ url } = web);
  port = Number(new URL(url).port);
  const { makePicture } = await import('./pictures.ts');
  const { publishImage } = await import('#src/publishing.ts');
  shown = await makePicture(4);
  await publishImage(shown.owner, shown.image.id);
  cookie = `__Host-session=${await sessions.signIn({ id: STAFF_ID, name: 'Operator', locale: 'en-US' }, undefined)}`;
  const { openBatch } = await import('#src/batches/batches.ts');
  const { cell, request } = await import('#test/support/requests.ts');
  const visitor = (await sessions.visitorOf(cookie.split('=')[1]))!;
  ({ id: batchId } = await openBatch(
    sessions.originOf(visitor, 'form'),
    request([cell({ prompt: 'of an operator' })]),
  ));
  pictureId = await finish(batchId);
  await vi.waitFor(async () => expect((await get(`/pictures/${shown.image.id}`)).status).toBe(200), 10_000);
});
afterAll(() => web?.close());

async function limits(changes: Partial<typeof SHORT & { connections: number }> = {}) {
  const { LIMITS } = await import('#src/services/web/server.ts');
  return { ...LIMITS, ...changes };
}
const get = (path: string, headers: Record<string, string> = {}) =>
  fetch(url + path, { headers, redirect: 'manual' });
const own = (path: string) => get(path, { cookie });
/** As a form of a page of ours. */
const post = (path: string, body: string | URLSearchParams, headers: Record<string, string> = {}) =>
  fetch(url + path, {
    method: 'POST',
    body,
    redirect: 'manual',
    headers: { origin: ORIGIN, 'sec-fetch-site': 'same-origin', cookie, ...headers },
  });
const form = (changes: Record<string, string> = {}) =>
  new URLSearchParams({ form: randomUUID(), prompt: 'a garden', steps: '10', tier: 'relax', ...changes });
const json = { 'content-type': 'application/json' };

function open(to = port): Socket {
  const socket = connect(to, '127.0.0.1');
  socket.on('error', () => {});
  onTestFinished(() => void socket.destroy());
  return socket;
}
/** Whatever it ends by. */
const closed = (socket: Socket) => new Promise<void>((done) => void socket.once('close', () => done()));
/** All that is answered to what is said, until the other side ends. */
async function say(text: string | Buffer, to = port): Promise<string> {
  const socket = open(to);
  let answer = '';
  socket.on('data', (part) => {
    answer += part.toString('latin1');
  });
  socket.write(text);
  await closed(socket);
  return answer;
}
const ask = (target: string, lines: readonly string[] = [], method = 'GET', version = '1.1') =>
  say(
    `${[`${method} ${target} HTTP/${version}`, 'Host: x', 'Connection: close', ...lines].join('\r\n')}\r\n\r\n`,
  );
const statusOf = (answer: string) => Number(/^HTTP\/1\.1 (\d{3}) /.exec(answer)?.[1]);

describe('every answer', () => {
  const pages = () => [
    ...['/', '/collections/main', '/curated', '/search?q=x', '/about', '/privacy', '/terms', '/api', '/draw'],
    ...[`/pictures/${shown.image.id}`, `/pictures/${shown.image.id}/report`, `/draw/${batchId}`],
    ...['/draw/pictures', '/draw/faces', '/account', '/account/keys', '/operators'],
    ...['/nowhere', '/?before=x', '/%zz', '/sign-in/return', '/img/x/y', '/collections/none', '/draw/none'],
  ];
  const others = () => [
    ...['/feed.atom', '/feed.json', '/sitemap.xml', '/robots.txt', '/healthz', '/readyz', '/sign-in'],
    ...[`/img/${shown.image.id}/240.webp`, `/draw/pictures/${pictureId}/320.webp`, '/api/v1/openapi.json'],
    ...['/api/v1/balance', '/api/v1/nothing', '/api/v1/%zz', '/api/atelier.ts', '/metrics'],
  ];

  it('names its type and tells no other site, not even by a plain connection', async () => {
    const scripts = [...(await (await get('/')).text()).matchAll(/src="(\/assets\/[^"]+)"/g)].map(
      ([, src]) => src!,
    );
    expect(scripts).toHaveLength(1);
    for (const path of [...pages(), ...others(), ...scripts]) {
      const { headers } = await own(path);
      expect([path, headers.get('x-content-type-options')]).toEqual([path, 'nosniff']);
      expect([path, headers.get('referrer-policy')]).toEqual([path, 'same-origin']);
      expect([path, headers.get('strict-transport-security')]).toEqual([path, 'max-age=31536000']);
      expect([path, headers.get('x-frame-options')]).toEqual([path, 'DENY']);
      expect([path, headers.get('server'), headers.get('x-powered-by')]).toEqual([path, null, null]);
    }
  });

  it('that is a page names what it may do, and nothing of that is inline or of elsewhere', async () => {
    for (const path of pages()) {
      const response = await own(path);
      const text = await response.text();
      expect([path, response.headers.get('content-type')]).toEqual([path, 'text/html; charset=utf-8']);
      const policy = response.headers.get('content-security-policy') ?? '';
      const rules = Object.fromEntries(
        policy.split('; ').map((rule) => [rule.split(' ')[0], rule.split(' ').slice(1)]),
      );
      expect([path, rules['default-src'], rules['frame-ancestors'], rules['base-uri']]).toEqual([
        path,
        ["'none'"],
        ["'none'"],
        ["'none'"],
      ]);
      expect([path, rules['form-action']]).toEqual([path, ["'self'"]]);
      expect(`${path} ${policy}`).not.toMatch(/unsafe|\*|https?:|strict-dynamic/);
      for (const source of rules['script-src'] ?? []) expect([path, source]).toEqual([path, "'self'"]);
      for (const [script] of text.matchAll(/<script[^>]*>/g))
        expect(script).toMatch(/ src="\/assets\/[\w-]+\//);
      expect(text.replaceAll(/<style>[\s\S]*?<\/style>/g, '')).not.toMatch(/ style="|\son\w+="|javascript:/);
    }
  });

  it('of somebody alone is kept by nobody, and what differs by a header says so', async () => {
    for (const path of [
      '/draw',
      `/draw/${batchId}`,
      '/draw/pictures',
      '/account',
      '/account/keys',
      '/operators',
    ])
      expect([path, (await own(path)).headers.get('cache-control')]).toEqual([path, 'no-store']);
    for (const path of ['/account', '/draw/faces', '/sign-in'])
      expect([path, (await get(path)).headers.get('cache-control')]).toEqual([path, 'no-store']);
    for (const path of ['/', '/about', '/api', '/feed.atom', `/pictures/${shown.image.id}`])
      expect([path, (await get(path)).headers.get('vary')]).toEqual([path, 'accept-encoding']);
    expect((await get(`/img/${shown.image.id}/240`)).headers.get('vary')).toBe('accept');
    expect((await own(`/draw/pictures/${pictureId}/320.webp`)).headers.get('vary')).toBe('cookie');
    expect((await own(`/api/v1/pictures/${pictureId}/content`)).headers.get('vary')).toBe(
      'cookie, authorization',
    );
  });
});

describe('what a client says of the host', () => {
  const evil = ['X-Forwarded-Host: evil.example', 'X-Forwarded-Proto: http', 'X-Forwarded-Port: 6666'];
  const lies: [string, (path: string) => Promise<string>][] = [
    [
      'Host',
      (path) =>
        say(
          `GET ${path} HTTP/1.1\r\nHost: evil.example\r\n${evil.join('\r\n')}\r\nConnection: close\r\n\r\n`,
        ),
    ],
    ['an address with a host', (path) => ask(`http://evil.example:6666${path}`, evil)],
    [
      'Forwarded',
      (path) =>
        ask(path, [
          'Forwarded: host=evil.example;proto=http',
          'X-Original-URL: /evil.example',
          'X-Rewrite-URL: /evil.example',
        ]),
    ],
  ];
  it.each(lies)('stands in nothing that is kept or led to: %s', async (_, ask) => {
    const paths = [
      '/',
      `/pictures/${shown.image.id}`,
      '/feed.atom',
      '/feed.json',
      '/sitemap.xml',
      '/robots.txt',
    ];
    for (const path of [
      ...paths,
      '/about',
      '/nowhere',
      '/account',
      '/sign-in',
      '/api/v1/openapi.json',
      '/operators',
    ]) {
      const answer = await ask(path);
      expect(`${path} ${answer}`).not.toMatch(/evil\.example|6666|http:\/\/gallery/);
      // It is what anybody is told.
      expect([path, statusOf(answer)]).toEqual([path, (await get(path)).status]);
    }
    const page = await ask(`/pictures/${shown.image.id}`);
    expect(page).toContain(`<link rel="canonical" href="${ORIGIN}/pictures/${shown.image.id}">`);
    expect(page).toContain(`content="${ORIGIN}/img/${shown.image.id}/full.jpg"`);
    expect(await (await get('/feed.atom')).text()).toContain(`<id>${ORIGIN}/</id>`);
  });

  it('with a key is the same request in an address with a host', async () => {
    const answer = await ask('http://x/api/v1/balance', ['Authorization: Bearer x']);
    expect(statusOf(answer)).toBe(401);
    expect(answer).toContain('key_unknown');
  });

  it('twice is refused, also of what is in memory', async () => {
    for (const path of ['/', `/img/${shown.image.id}/240.webp`, '/draw']) {
      const answer = await ask(path, ['hOsT: evil.example']);
      expect([path, statusOf(answer)]).toEqual([path, 400]);
      expect(answer).toContain('That was no request that this server understands.');
      expect(answer).toContain('nosniff');
    }
  });

  it.each(['*', 'evil.example:443', 'ftp://evil.example/', 'javascript:alert(1)', '\\\\evil\\x', 'about'])(
    'is refused where it is no address: %s',
    async (target) => expect(statusOf(await ask(target))).toBe(400),
  );

  it('is nothing to /.. and //', async () => {
    for (const target of [
      '//evil.example/',
      '//evil.example/%2e%2e',
      '/\\evil.example',
      'http://evil.example//x',
    ]) {
      const answer = await ask(target);
      expect([target, statusOf(answer)]).toEqual([target, 404]);
      expect(answer).not.toMatch(/^location:/im);
    }
  });
});

describe('requests that could be read in two ways', () => {
  const chunk = '0\r\n\r\nGET /readyz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n';
  it.each<[string, string]>([
    ['a length and chunks', 'Content-Length: 6\r\nTransfer-Encoding: chunked\r\n\r\n'],
    ['chunks and a length', 'Transfer-Encoding: chunked\r\nContent-Length: 6\r\n\r\n'],
    ['two lengths', 'Content-Length: 5\r\nContent-Length: 6\r\n\r\n'],
    ['two lengths in one', 'Content-Length: 5, 6\r\n\r\n'],
    ['a length with a sign', 'Content-Length: +5\r\n\r\n'],
    ['a length below nothing', 'Content-Length: -1\r\n\r\n'],
    ['a hexadecimal length', 'Content-Length: 0x5\r\n\r\n'],
    ['chunks that are not the last coding', 'Transfer-Encoding: chunked, identity\r\n\r\n'],
    ['an unknown coding', 'Transfer-Encoding: xchunked\r\n\r\n'],
    ['a space before a colon', 'Transfer-Encoding : chunked\r\n\r\n'],
    ['a folded header', 'X: a\r\n Content-Length: 5\r\n\r\n'],
    ['a bare CR in a header', 'X: a\rContent-Length: 5\r\n\r\n'],
    ['NUL in a header', 'X: a\0b\r\n\r\n'],
    ['a size of a chunk that is none', 'Transfer-Encoding: chunked\r\n\r\nzz\r\n'],
    ['a size without end', `Transfer-Encoding: chunked\r\n\r\n${'f'.repeat(40)}\r\n`],
  ])('are refused, with what follows them: %s', async (_, rest) => {
    const head = 'POST /sign-out HTTP/1.1\r\nHost: x\r\n';
    const answer = await say(head + rest + chunk);
    expect(answer.match(/^HTTP\/1\.1/gm)).toHaveLength(1);
    expect(statusOf(answer)).toBe(400);
    expect(answer).not.toContain('"database"');
    expect(answer).not.toMatch(/set-cookie/i);
  });

  it('in HTTP/1.0 are answered without chunks, and the connection is over', async () => {
    for (const path of ['/', '/about', '/readyz', `/img/${shown.image.id}/240.webp`]) {
      const answer = await say(`GET ${path} HTTP/1.0\r\n\r\n`);
      expect([path, statusOf(answer)]).toEqual([path, 200]);
      expect(answer).not.toMatch(/transfer-encoding/i);
      expect(answer).toMatch(/\r\nconnection: close\r\n/i);
    }
  });

  it('with headers too large, or what nobody expects, are refused with a sentence', async () => {
    const large = await ask('/', [`Cookie: ${'a=b; '.repeat(5_000)}`]);
    expect(statusOf(large)).toBe(431);
    expect(large).toContain('The headers of the request are too large');
    expect(statusOf(await ask('/draw', ['Expect: everything']))).toBe(417);
    expect(statusOf(await say('\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03'))).toBe(400);
    expect(statusOf(await say('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n'))).toBe(400);
    expect(statusOf(await ask('/', ['Upgrade: websocket', 'Sec-WebSocket-Version: 13']))).toBe(200);
    expect((await get('/readyz')).status).toBe(200);
  });
});

describe('methods, formats and ranges', () => {
  it('that are not offered are answered with a sentence', async () => {
    for (const method of ['POST', 'PUT', 'DELETE', 'PATCH', 'OPTIONS', 'TRACE', 'PROPFIND', 'PURGE'])
      for (const path of [
        '/',
        `/img/${shown.image.id}/240.webp`,
        '/feed.atom',
        '/readyz',
        '/assets/x/wall.js',
      ]) {
        const answer = await ask(path, [`Origin: ${ORIGIN}`, 'Content-Length: 0'], method);
        expect([method, path, statusOf(answer)]).toEqual([method, path, 404]);
        expect(answer).toContain('There is nothing at this address.');
        expect(answer).not.toMatch(/evil-header/);
      }
    // A tunnel to elsewhere is opened for nobody.
    expect(await say('CONNECT evil.example:443 HTTP/1.1\r\nHost: evil.example:443\r\n\r\n')).toBe('');
  });

  it('HEAD is GET without its body', async () => {
    for (const path of [
      '/',
      '/about',
      '/draw',
      '/nowhere',
      `/img/${shown.image.id}/240.webp`,
      '/feed.json',
    ]) {
      const answer = await ask(path, [], 'HEAD');
      expect([path, statusOf(answer)]).toEqual([path, (await get(path)).status]);
      expect(answer.endsWith('\r\n\r\n')).toBe(true);
    }
  });

  it.each([
    ['several', 'bytes=0-9,20-29', 200],
    ['overlapping', 'bytes=0-99,50-149,0-', 200],
    ['very many', `bytes=${Array.from({ length: 1_000 }, (_, i) => `${i}-`).join(',')}`, 200],
    ['beyond the end', 'bytes=999999999-', 416],
    ['from the end, of nothing', 'bytes=-0', 416],
    ['larger than all', 'bytes=-999999999', 206],
    ['with a number too large', 'bytes=0-99999999999999999999', 200],
    ['below nothing', 'bytes=--1', 200],
    ['with CR', 'bytes=0-1\rX: y', 400],
  ])('of bytes, %s: %s', async (_, range, status) => {
    const path = `/img/${shown.image.id}/full.jpg`;
    const whole = Buffer.from(await (await get(path)).arrayBuffer());
    const answer = await ask(path, [`Range: ${range}`]);
    expect(statusOf(answer)).toBe(status);
    if (status > 206) return;
    expect(answer.slice(answer.indexOf('\r\n\r\n') + 4)).toHaveLength(whole.length);
  });
});

describe('paths that lead elsewhere', () => {
  const ways = [
    '..',
    '%2e%2e',
    '%252e%252e',
    '..%2f..',
    '..%5c..',
    '%5c..%5c',
    '%c0%ae%c0%ae',
    '%00',
    'x%00.webp',
    '....//',
    '/etc/passwd',
    '%2fetc%2fpasswd',
  ];
  it.each(ways)('find nothing: %s', async (way) => {
    for (const path of [
      `/img/${way}/240.webp`,
      `/img/${shown.image.id}/${way}`,
      `/img/${way}/${way}/${way}`,
      `/assets/${way}/wall.js`,
      `/assets/${way}/${way}`,
      `/draw/pictures/${pictureId}/${way}`,
      `/draw/pictures/${way}/full.png`,
      `/draw/${way}`,
      `/draw/faces/${way}`,
      `/collections/${way}`,
      `/makers/${way}`,
      `/pictures/${way}`,
      `/api/v1/pictures/${way}/content`,
    ]) {
      const answer = await ask(path, [`Cookie: ${cookie}`]);
      expect([path, [400, 404].includes(statusOf(answer))]).toEqual([path, true]);
      expect(answer).not.toMatch(/root:|ENOENT|at async|node:internal/);
    }
  });

  it.each(['__proto__', 'constructor', 'toString', 'hasOwnProperty'])(
    'as names are none: %s',
    async (name) => {
      for (const path of [
        `/collections/${name}`,
        `/makers/${name}`,
        `/pictures/${name}`,
        `/img/${name}/240`,
        `/assets/${name}/${name}`,
        `/draw/${name}`,
        `/${name}`,
      ])
        expect([path, (await own(path)).status]).toEqual([path, 404]);
    },
  );
});

describe('values that end a header', () => {
  const ends = [
    '\r\nset-cookie: evil=1',
    '\nset-cookie: evil=1',
    '%0d%0aset-cookie:%20evil=1',
    '\u560d\u560aset-cookie: evil=1',
    '\0',
  ];
  it.each(ends)('end none: %j', async (end) => {
    const value = encodeURIComponent(`/draw${end}`);
    for (const path of [
      `/sign-in?to=${value}`,
      `/search?q=${value}`,
      `/draw?like=${value}`,
      `/?before=${value}`,
      `/makers/${value}`,
      `/operators?${value}`,
      `/sign-in/return?state=${value}&code=${value}`,
      `/api/v1/batches?cursor=${value}`,
    ]) {
      const answer = await ask(path, [`Cookie: ${cookie}`]);
      const [head = ''] = answer.split('\r\n\r\n');
      expect([path, statusOf(answer) < 500]).toEqual([path, true]);
      expect([path, /^set-cookie: evil/im.test(head)]).toEqual([path, false]);
    }
    const made = await post('/draw', form({ prompt: `a garden${end}`, form: randomUUID() }));
    expect([made.status < 500, made.headers.get('set-cookie')]).toEqual([true, null]);
  });
});

describe('bodies', () => {
  const large = 'x'.repeat(3_000_000);
  const chunked = (body: string) =>
    new ReadableStream({
      start(controller) {
        for (let at = 0; at < body.length; at += 64_000)
          controller.enqueue(Buffer.from(body.slice(at, at + 64_000)));
        controller.close();
      },
    });
  const text = async (response: Response) => [response.status, await response.text()] as const;

  it('that are too large are refused, by their length and by what comes', async () => {
    const before = await db.batch.count();
    for (const path of ['/draw', '/sign-out', '/account/keys', `/pictures/${shown.image.id}/report`]) {
      const type = { 'content-type': 'application/x-www-form-urlencoded' };
      const [status, said] = await text(await post(path, `prompt=${large}`, type));
      expect([path, status]).toEqual([path, 413]);
      expect(said).toMatch(/too large|understands/);
      const streamed = await fetch(url + path, {
        method: 'POST',
        body: chunked(`prompt=${large}`),
        duplex: 'half',
        headers: { ...type, origin: ORIGIN, 'sec-fetch-site': 'same-origin', cookie },
      } as RequestInit);
      expect([path, streamed.status]).toEqual([path, 413]);
    }
    const [status, said] = await text(await post('/api/v1/batches', JSON.stringify({ prompt: large }), json));
    expect([status, JSON.parse(said).code]).toEqual([413, 'body_large']);
    expect(await db.batch.count()).toBe(before);
  });

  it('that are none of ours are told so: broken, deep, of another type', async () => {
    const api = async (body: string, type = 'application/json') => {
      const [status, said] = await text(await post('/api/v1/batches', body, { 'content-type': type }));
      return [status, JSON.parse(said).code];
    };
    const deep = (n: number, open = '[', close = ']') => open.repeat(n) + close.repeat(n);
    expect(await api(deep(400_000))).toEqual([400, 'body_invalid']);
    expect(await api(deep(100_000, '{"a":', '}').replace(':}', ':1}'))).toEqual([400, 'body_invalid']);
    expect(await api(`{"prompt":"x","parameters":{"steps":${deep(300_000)}}}`)).toEqual([
      400,
      'body_invalid',
    ]);
    expect(await api(`{"prompt":"x","parameters":${deep(300_000)}}`)).toEqual([400, 'body_invalid']);
    expect(await api('{"prompt":"x"')).toEqual([400, 'not_json']);
    expect(await api('{"prompt":"x"}{}')).toEqual([400, 'not_json']);
    expect(await api('\ufeff\ufeff{}')).toEqual([400, 'not_json']);
    for (const key of ['__proto__', 'constructor":{"prototype'])
      expect(await api(`{"prompt":"x","${key}":{"isOperator":true}${key.includes('{') ? '}' : ''}}`)).toEqual(
        [400, 'not_json'],
      );
    expect(await api('{"prompt":"x","parameters":{"__proto__":1}}')).toEqual([400, 'not_json']);
    expect(await api('{}', 'application/json; charset=utf-16')).toEqual([400, 'body_invalid']);
    expect(await api('x', 'multipart/form-data')).toEqual([415, 'media_type']);
    expect(Object.hasOwn(Object.prototype, 'isOperator')).toBe(false);
    for (const type of ['text/plain', 'application/xml', 'multipart/form-data; boundary=', 'x'])
      expect([400, 415]).toContain((await post('/draw', 'prompt=x', { 'content-type': type })).status);
    const proto = await post(
      '/draw',
      form({ __proto__: 'x', constructor: 'y', 'a[b]': 'c', 'parameters.steps': '1' }),
    );
    expect([303, 400]).toContain(proto.status);
  });

  it('with NUL, which Postgres knows no text with, are refused and no fault of ours', async () => {
    const refused = async (response: Response) => {
      const said = await response.text();
      expect([response.url, response.status, said.includes('Something broke')]).toEqual([
        response.url,
        400,
        false,
      ]);
    };
    await refused(await get('/search?q=%00'));
    await refused(await get('/search?q=rain%00'));
    await refused(await post('/draw', form({ prompt: 'a\0b' })));
    await refused(await post('/account/keys', new URLSearchParams({ name: 'a\0b' })));
    await refused(await post('/api/v1/batches', JSON.stringify({ prompt: 'a\0b' }), json));
    await refused(await post('/api/v1/batches', JSON.stringify({ prompt: 'x', face: 'a\0b' }), json));
    await refused(
      await post('/api/v1/batches', JSON.stringify({ prompt: 'x', parameters: { 'a\0b': 1 } }), json),
    );
    await refused(
      await post(
        '/api/v1/batches',
        JSON.stringify({ prompt: 'x', parameters: { negative_prompt: 'a\0b' } }),
        json,
      ),
    );
    await refused(
      await fetch(`${url}/api/v1/parameters`, {
        method: 'PATCH',
        body: JSON.stringify({ negative_prompt: 'a\0b', maker_name: 'a\0b' }),
        headers: { ...json, origin: ORIGIN, 'sec-fetch-site': 'same-origin', cookie },
      }),
    );
    expect([200, 404]).toContain((await own('/draw?like=%00')).status);
    for (const value of ['%00', 'x'.repeat(43), 'é'.repeat(43), '"; DROP TABLE'])
      expect((await get('/account', { cookie: `__Host-session=${encodeURIComponent(value)}` })).status).toBe(
        303,
      );
  });
});

describe('forms of other sites', () => {
  it('change nothing, wherever they are sent', async () => {
    const paths = [
      ...[
        '/draw',
        `/draw/${batchId}/cancel`,
        '/draw/faces',
        '/draw/faces/x/consent',
        '/draw/faces/x/refuse',
        '/draw/faces/x/remove',
      ],
      ...[
        '/sign-out',
        '/sign-out/everywhere',
        '/account/keys',
        '/account/keys/x/revoke',
        `/pictures/${shown.image.id}/report`,
      ],
      ...['/api/v1/batches', `/api/v1/batches/${batchId}/cancel`, '/api/v1/faces', '/nowhere'],
    ];
    const count = async () => [
      await db.batch.count(),
      await db.session.count(),
      await db.apiKey.count(),
      await db.review.count(),
    ];
    const before = await count();
    for (const path of paths)
      for (const from of [
        { origin: 'https://evil.example', 'sec-fetch-site': 'cross-site' },
        { origin: 'https://evil.example' },
        { origin: 'null' },
        { origin: 'http://gallery.example' },
        { origin: `${ORIGIN}.evil.example` },
        { origin: `${ORIGIN}:444`, 'sec-fetch-site': 'same-site' },
      ] as Record<string, string>[]) {
        const answer = await fetch(url + path, {
          method: 'POST',
          headers: { cookie, ...from },
          body: form(),
        });
        expect([path, from.origin, answer.status]).toEqual([path, from.origin, 403]);
        expect(await answer.text()).toMatch(/another site|Another site/i);
      }
    expect(await count()).toEqual(before);
  });
});

describe('sessions', () => {
  it('that are over, forged or of before are nobody’s', async () => {
    const token = await sessions.signIn(
      { id: '1200000000000000077', name: 'Ada', locale: 'en-US' },
      undefined,
    );
    const status = async (value: string, name = '__Host-session') =>
      (await get('/account', { cookie: `${name}=${value}` })).status;
    expect(await status(token)).toBe(200);
    // Another host of the same site cannot set what browsers give `__Host-` to alone.
    expect(await status(token, 'session')).toBe(303);
    const last = token.at(-1)!;
    expect(await status(token.slice(0, -1) + (last === 'A' ? 'B' : 'A'))).toBe(303);
    expect(await status(token.slice(0, -1))).toBe(303);
    const { tokenHash } = await db.session.findFirstOrThrow({ where: { name: 'Ada' } });
    expect(await status(tokenHash)).toBe(303);
    await db.session.updateMany({ where: { name: 'Ada' }, data: { expiresAt: new Date(Date.now() - 1) } });
    expect(await status(token)).toBe(303);
  });

  it('come by a cookie that browsers keep from scripts, other hosts and plain connections', async () => {
    const [line = ''] = (await get('/sign-in')).headers.getSetCookie();
    expect(line).toMatch(/^__Host-sign-in=[\w-]{43}; Max-Age=600; Path=\/; HttpOnly; Secure; SameSite=Lax$/);
  });
});

describe('slow ones', () => {
  let slow: Awaited<ReturnType<typeof startWeb>>;
  let to: number;
  beforeAll(async () => {
    slow = await startWeb({ host: '127.0.0.1', port: 0, limits: await limits(SHORT) });
    to = Number(new URL(slow.url).port);
  });
  afterAll(() => slow?.close());

  /** Says the beginning, and then a byte again and again. @returns what was answered, once it is over */
  async function dribble(head: string): Promise<string> {
    const socket = open(to);
    let answer = '';
    socket.on('data', (part) => {
      answer += part.toString('latin1');
    });
    socket.write(head);
    const timer = setInterval(() => socket.write('a'), 50);
    await closed(socket);
    clearInterval(timer);
    return answer;
  }
  const served = async () => {
    const response = await fetch(slow.url);
    await response.arrayBuffer();
    return response.status;
  };

  it('who never end their headers or their body are ended, and others are served meanwhile', async () => {
    const before = await db.batch.count();
    const head = (i: number) =>
      `POST /draw HTTP/1.1\r\nHost: x\r\nOrigin: ${ORIGIN}\r\nCookie: ${cookie}\r\nX-Forwarded-For: 192.0.2.${i}\r\nContent-Type: application/x-www-form-urlencoded\r\n`;
    const all = Promise.all(
      Array.from({ length: 200 }, (_, i) =>
        dribble(
          [
            'GET / HTTP/1.1\r\nHost: x\r\nX-Slow: ',
            `${head(i)}Content-Length: 5000\r\n\r\nprompt=`,
            `${head(i)}Transfer-Encoding: chunked\r\n\r\nfff\r\nprompt=`,
            'GET /',
          ][i % 4]!,
        ),
      ),
    );
    let isOver = false;
    void all.then(() => {
      isOver = true;
    });
    const statuses: number[] = [];
    while (!isOver) {
      statuses.push(await served());
      await sleep(20);
    }
    expect(new Set(statuses)).toEqual(new Set([200]));
    const answers = await all;
    expect(new Set(answers.map(statusOf))).toEqual(new Set([408]));
    expect(answers[0]).toContain('The request did not come in in time, so it was not taken.');
    expect(await db.batch.count()).toBe(before);
  }, 20_000);

  it('who say nothing at all are let go', async () => {
    const sockets = Array.from({ length: 50 }, () => open(to).resume());
    await Promise.all(sockets.map((socket) => closed(socket)));
    expect(await served()).toBe(200);
  }, 20_000);

  it('who take nothing in are let go, and hold no memory for what they asked', async () => {
    const path = `/img/${shown.image.id}/full.jpg`;
    const { length } = Buffer.from(await (await fetch(slow.url + path)).arrayBuffer());
    const times = Math.ceil((12 * 2 ** 20) / length);
    const before = process.memoryUsage();
    const sockets = Array.from({ length: 20 }, () => open(to).pause());
    // As many as a connection holds: each would be answered with megabytes.
    for (const socket of sockets) socket.write(`GET ${path} HTTP/1.1\r\nHost: x\r\n\r\n`.repeat(times));
    const gone = Promise.all(
      sockets.map(async (socket) => {
        // One that does not read hears of its end when it writes.
        const timer = setInterval(() => socket.write('G'), 100);
        await closed(socket);
        clearInterval(timer);
      }),
    );
    await sleep(300);
    const now = process.memoryUsage();
    expect(now.arrayBuffers + now.heapUsed - before.arrayBuffers - before.heapUsed).toBeLessThan(
      80 * 2 ** 20,
    );
    expect(await served()).toBe(200);
    await gone;
  }, 20_000);

  it('who ask for many pictures as they were drawn, and take none in, get so many', async () => {
    const png = await largePng();
    const { openBatch } = await import('#src/batches/batches.ts');
    const { cell, request } = await import('#test/support/requests.ts');
    const visitor = (await sessions.visitorOf(cookie.split('=')[1]))!;
    const { id } = await openBatch(
      sessions.originOf(visitor, 'large'),
      request([cell({ prompt: 'large', seed: 5 })]),
    );
    const picture = await finish(id, { png });
    const path = `/draw/pictures/${picture}/full.png`;
    const answers: string[] = [];
    const sockets = Array.from({ length: 20 }, () => {
      const socket = open(to);
      socket.once('data', (part) => {
        socket.pause();
        answers.push(part.toString('latin1'));
      });
      socket.write(
        `GET ${path} HTTP/1.1\r\nHost: x\r\nCookie: ${cookie}\r\nX-Forwarded-For: 198.51.100.9\r\n\r\n`,
      );
      return socket;
    });
    await expect.poll(() => answers.length, { timeout: 10_000 }).toBe(20);
    expect(answers.map(statusOf).sort()).toEqual([...Array(16).fill(200), ...Array(4).fill(429)]);
    // Others are let in, and so are they once they have gone.
    const ask = async (from: string) => {
      const response = await fetch(slow.url + path, { headers: { cookie, 'x-forwarded-for': from } });
      await response.arrayBuffer();
      return response.status;
    };
    expect(await ask('198.51.100.10')).toBe(200);
    for (const socket of sockets) socket.destroy();
    await expect.poll(() => ask('198.51.100.9'), { timeout: 10_000 }).toBe(200);
  }, 30_000);

  it('who look on and take nothing in are let go, and the others hear on', async () => {
    const { openLive, event } = await import('#src/services/web/draw/live.ts');
    const { openBatch } = await import('#src/batches/batches.ts');
    const { cell, request } = await import('#test/support/requests.ts');
    const visitor = (await sessions.visitorOf(cookie.split('=')[1]))!;
    const { id } = await openBatch(
      sessions.originOf(visitor, 'long'),
      request([cell({ prompt: 'long', seed: 6 })]),
    );
    let told = 0;
    const live = openLive(
      () => ({ part: `${++told}${'x'.repeat(8 * 2 ** 20)}` }),
      ({ part = '' }) => event('parts', part),
    );
    const server = createServer((_, response) => {
      const stream = { batchId: id, userId: visitor.userId, network: 'n', response };
      expect(live.open(stream)).toBe(true);
      response.writeHead(200, { 'content-type': 'text/event-stream' }).write('retry: 2000\n\n');
    }).listen(0, '127.0.0.1');
    await once(server, 'listening');
    try {
      const { port: at } = server.address() as AddressInfo;
      const [reads, never] = [open(at).resume(), open(at).pause()];
      for (const socket of [reads, never]) socket.write('GET / HTTP/1.1\r\nHost: x\r\n\r\n');
      await expect.poll(() => live.size).toBe(2);
      await expect.poll(() => live.size, { timeout: 10_000 }).toBe(1);
      const { bytesRead } = reads;
      await expect.poll(() => reads.bytesRead, { timeout: 10_000 }).toBeGreaterThan(bytesRead);
      expect(live.size).toBe(1);
    } finally {
      live.close();
      server.close();
      server.closeAllConnections();
    }
  }, 30_000);

  it('or many are bounded: one connection too many is closed, and the others go on', async () => {
    const few = await startWeb({ host: '127.0.0.1', port: 0, limits: await limits({ connections: 5 }) });
    try {
      const at = Number(new URL(few.url).port);
      const held = Array.from({ length: 5 }, () => open(at));
      await Promise.all(held.map((socket) => once(socket, 'connect')));
      const more = open(at).resume();
      await closed(more);
      const answer = once(held[0]!, 'data');
      held[0]!.write('GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n');
      expect(statusOf(String(await answer))).toBe(200);
      for (const socket of held) socket.destroy();
    } finally {
      await few.close();
    }
  });
});

it('ends soon, whoever is slow, waits or never takes anything in', async () => {
  const ending = await startWeb({ host: '127.0.0.1', port: 0, limits: await limits({ end: 1_000 }) });
  const to = Number(new URL(ending.url).port);
  const path = `/img/${shown.image.id}/full.jpg`;
  await (await fetch(ending.url + path)).arrayBuffer();
  const [slow, taker, waits] = [open(to), open(to).pause(), open(to)];
  slow.write('GET / HTTP/1.1\r\nHost: x\r\nX-Slow: ');
  const timer = setInterval(() => slow.write('a'), 50);
  taker.write(`GET ${path} HTTP/1.1\r\nHost: x\r\n\r\n`.repeat(300));
  waits.write('GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n');
  await once(waits, 'data');
  const left = closed(waits.resume());
  const isEnded = ending.close('SIGINT').then(() => true);
  await left;
  // Without an end to it, Node waits for the slow one for ever.
  expect(await Promise.race([isEnded, sleep(15_000, false)])).toBe(true);
  clearInterval(timer);
}, 30_000);

it('a collection that gets another name while it is shown is whole or not there, and nothing breaks', async () => {
  const { makePicture } = await import('./pictures.ts');
  const { publishImage } = await import('#src/publishing.ts');
  const made = await Promise.all([makePicture(1), makePicture(2), makePicture(3)]);
  for (const { owner, image } of made) await publishImage(owner, image.id);
  const ids = made.map(({ image }) => image.id);
  await vi.waitFor(async () => expect(await (await get('/')).text()).toContain(ids[2]), 10_000);
  const paths = [
    '/',
    '/collections/main',
    '/collections/landscapes',
    '/collections/renamed',
    '/feed.json',
    '/sitemap.xml',
    `/pictures/${ids[0]}`,
    `/img/${ids[0]}/240.webp`,
  ];
  const seen = new Map<string, Set<number>>(paths.map((path) => [path, new Set()]));
  let isOver = false;
  const looking = (async () => {
    while (!isOver)
      for (const path of paths) {
        const response = await get(path);
        const text = await response.text();
        seen.get(path)?.add(response.status);
        if (response.status !== 200) continue;
        // All three, or none: nobody sees half of it.
        if (path.startsWith('/collections/'))
          expect([0, 3]).toContain(ids.filter((id) => text.includes(id)).length);
      }
  })();
  const rename = (collection: string) =>
    db.image.updateMany({ where: { id: { in: ids } }, data: { collection } });
  await rename('landscapes');
  await vi.waitFor(
    async () => expect(await (await get('/collections/landscapes')).text()).toContain(ids[0]),
    10_000,
  );
  expect(await (await get('/collections/main')).text()).not.toContain(ids[0]);
  // A name that nobody listed: its pictures are out of sight, as if they were taken down.
  await rename('renamed');
  await vi.waitFor(async () => expect((await get(`/pictures/${ids[0]}`)).status).toBe(404), 10_000);
  await rename('main');
  await vi.waitFor(
    async () => expect(await (await get('/collections/main')).text()).toContain(ids[0]),
    10_000,
  );
  isOver = true;
  await looking;
  for (const [path, statuses] of seen)
    for (const status of statuses) expect([path, [200, 404].includes(status)]).toEqual([path, true]);
  expect(seen.get('/collections/main')).toEqual(new Set([200]));
}, 30_000);
