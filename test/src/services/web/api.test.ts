/** The API over real HTTP. What a worker does is done here, step by step. */
import { createServer, type IncomingHttpHeaders, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import sharp from 'sharp';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { samplePhoto } from '#infra/local/discord/samples/samples.ts';
import type { KeyScope } from '#src/doors/db.ts';
import { actor } from '#test/support/requests.ts';
import { type Answer, type Call, caller } from './callers.ts';
import { finish, jar, signInAs, startWebWithDiscord, type WebWithDiscord } from './visitors.ts';

let web: WebWithDiscord;
let url: string;
let call: Call;
let db: typeof import('#src/doors/db.ts').db;
let keys: typeof import('#src/people/keys.ts');
let requests: typeof import('#src/api-requests.ts');
let tokens: typeof import('#src/people/tokens.ts');
let ending: typeof import('#src/batches/ending.ts');

beforeAll(async () => {
  process.env.WEBHOOKS_PRIVATE = 'true';
  web = await startWebWithDiscord();
  ({ url } = web);
  ({ db } = await import('#src/doors/db.ts'));
  keys = await import('#src/people/keys.ts');
  requests = await import('#src/api-requests.ts');
  tokens = await import('#src/people/tokens.ts');
  ending = await import('#src/batches/ending.ts');
  call = await caller(url, '192.0.2.1');
});
afterAll(() => web?.close());

interface Person {
  readonly id: string;
  readonly key: string;
  readonly webhookSecret: string | null;
}

/** Somebody new, with a key. */
async function person(
  scopes: readonly KeyScope[] = ['read', 'draw', 'faces'],
  webhookUrl: string | null = null,
) {
  const who = actor();
  await db.$transaction((tx) => tokens.welcomeUser(tx, who.id));
  return {
    id: who.id,
    ...(await keys.makeKey(who, { name: 'a program', scopes, webhookUrl })),
  } satisfies Person;
}

let prompts = 0;
const wish = (changes: object = {}) => ({
  prompt: `portrait of a woman, number ${++prompts}`,
  parameters: { steps: 10, tier: 'relax' },
  ...changes,
});
const post = (key: string | null, body: unknown = {}, headers = {}) => ({
  method: 'POST',
  key,
  body,
  headers,
});
const idOf = ({ json }: Answer) => String(json?.id);
const codeOf = ({ status, json }: Answer) => [status, json?.code];
const listIn = ({ json }: Pick<Answer, 'json'>, name: string) =>
  (json?.[name] ?? []) as Record<string, unknown>[];
const itemsOf = (answer: Answer) => listIn(answer, 'items');

async function ask(key: string, changes: object = {}): Promise<string> {
  const answer = await call('/batches', post(key, wish(changes)));
  expect([answer.status, answer.headers.get('location')]).toEqual([201, `/api/v1/batches/${idOf(answer)}`]);
  return idOf(answer);
}

describe('a batch', () => {
  it('is asked for, drawn, fetched and listed', async () => {
    const { id: userId, key } = await person();
    const answer = await call('/batches', post(key, wish({ count: 2 })));
    expect(answer.status).toBe(201);
    expect(answer.json).toMatchObject({
      state: 'open',
      tokens: 2,
      count: 2,
      endedAt: null,
      wait: { ahead: 0 },
    });
    const id = idOf(answer);
    expect(await db.batch.findUnique({ where: { id } })).toMatchObject({ ownerId: userId, channelId: null });
    const picture = await finish(id, { likeness: 0.5 });
    await finish(id, { verdict: 'flagged', rule: 'classifier-flagged' });
    const ended = await call(`/batches/${id}`, { key });
    expect(ended.json).toMatchObject({ state: 'finished', wait: null, endedAt: expect.any(String) });
    expect(listIn(ended, 'pictures').map(({ state }) => state)).toEqual(['done', 'held']);
    const one = await call(`/pictures/${picture}`, { key });
    expect(one.json).toMatchObject({
      number: 1,
      likeness: 0.5,
      content: `/api/v1/pictures/${picture}/content`,
    });
    const bytes = await call(`/pictures/${picture}/content`, { key });
    expect([bytes.headers.get('content-type'), (await sharp(bytes.bytes).metadata()).width]).toEqual([
      'image/png',
      512,
    ]);
    const small = await call(`/pictures/${picture}/content?width=320`, { key });
    expect([small.headers.get('content-type'), (await sharp(small.bytes).metadata()).width]).toEqual([
      'image/webp',
      320,
    ]);
    expect(codeOf(await call(`/pictures/${picture}/content?width=321`, { key }))).toEqual([
      400,
      'body_invalid',
    ]);
  });

  it('is listed page by page, and so are its pictures', async () => {
    const { key } = await person();
    const ids: string[] = [];
    for (let i = 0; i < 5; i++) ids.unshift(await ask(key));
    // As when they were asked for in one millisecond.
    await db.batch.updateMany({ where: { id: { in: ids } }, data: { createdAt: new Date() } });
    ids.sort().reverse();
    const seen: unknown[] = [];
    let cursor = '';
    do {
      const { json } = await call(`/batches?limit=2${cursor && `&cursor=${cursor}`}`, { key });
      seen.push(...listIn({ json }, 'items').map(({ id }) => id));
      cursor = (json?.next as string | null) ?? '';
    } while (cursor);
    expect(seen).toEqual(ids);
    const id = await ask(key, { count: 3 });
    const first = await call(`/batches/${id}/pictures?limit=2`, { key });
    const second = await call(`/batches/${id}/pictures?limit=2&cursor=${first.json?.next}`, { key });
    expect([...itemsOf(first), ...itemsOf(second)].map(({ number }) => number)).toEqual([1, 2, 3]);
    expect(second.json?.next).toBe(null);
    for (const bad of ['cursor=x', 'cursor=-1', 'limit=0', 'limit=101', 'limit=x', 'cursor=1&cursor=2'])
      for (const path of ['/batches', `/batches/${id}/pictures`])
        expect([bad, ...codeOf(await call(`${path}?${bad}`, { key }))]).toEqual([bad, 400, 'body_invalid']);
  });

  it('is its owner’s alone, and a picture everybody’s once it is published', async () => {
    const [me, other] = [await person(), await person()];
    const id = await ask(me.key, { prompt: 'mine alone' });
    const picture = await finish(id);
    const paths = [
      `/batches/${id}`,
      `/batches/${id}/events`,
      `/batches/${id}/pictures`,
      `/pictures/${picture}`,
    ];
    for (const path of [...paths, `/pictures/${picture}/content`, '/batches/x', `/batches/${picture}`])
      expect([path, ...codeOf(await call(path, { key: other.key }))]).toEqual([path, 404, 'gone']);
    expect(codeOf(await call(`/batches/${id}/cancel`, post(other.key)))).toEqual([404, 'gone']);
    expect(itemsOf(await call('/batches', { key: other.key }))).toEqual([]);
    expect((await call(`/pictures/${picture}`)).status).toBe(404);
    const { id: imageId } = await db.image.update({
      where: { generationId: picture },
      data: { visibility: 'published', publishedAt: new Date(), collection: 'main' },
    });
    for (const shown of [picture, imageId])
      for (const key of [other.key, null]) {
        const { json } = await call(`/pictures/${shown}`, { key });
        expect(json).toMatchObject({ id: picture, prompt: null, seed: null, page: `/pictures/${imageId}` });
        expect((await call(`/pictures/${shown}/content?width=320`, { key })).status).toBe(200);
      }
  });

  it('is watched to its end', async () => {
    const { key } = await person();
    const id = await ask(key);
    const response = await fetch(`${url}/api/v1/batches/${id}/events`, {
      headers: { authorization: `Bearer ${key}` },
    });
    expect([response.status, response.headers.get('content-type')]).toEqual([200, 'text/event-stream']);
    const reader = response.body!.getReader();
    let text = '';
    let isDrawn = false;
    for (;;) {
      const { value, done } = await reader.read();
      if (done) break;
      text += Buffer.from(value).toString();
      if (isDrawn || !text.includes('event: batch')) continue;
      isDrawn = true;
      await finish(id);
    }
    const states = [...text.matchAll(/^event: batch\ndata: (.*)$/gm)].map(
      ([, data = '']) => JSON.parse(data).state,
    );
    expect([states[0], states.at(-1)]).toEqual(['open', 'finished']);
    expect(text.endsWith('event: end\ndata: {}\n\n')).toBe(true);
  });

  it('is cancelled, and its tokens come back', async () => {
    const { key } = await person();
    const before = (await call('/balance', { key })).json?.tokens;
    const id = await ask(key);
    expect((await call('/balance', { key })).json?.tokens).toBe(Number(before) - 1);
    const cancelled = await call(`/batches/${id}/cancel`, post(key));
    expect(cancelled.json).toMatchObject({ state: 'cancelled', endedAt: expect.any(String) });
    expect((await call('/balance', { key })).json?.tokens).toBe(before);
    expect((await call(`/batches/${id}/cancel`, post(key))).status).toBe(200);
  });

  it.each<[string, object, number, string]>([
    ['an empty prompt', { prompt: ' ' }, 400, 'prompt_empty'],
    ['a prompt that breaks a rule', { prompt: 'a nude child' }, 400, 'prompt_blocked'],
    [
      'a negative prompt that breaks one',
      { parameters: { negative_prompt: 'clothes' } },
      400,
      'negative_blocked',
    ],
    [
      'a negative prompt that the last steps would follow',
      { parameters: { negative_prompt: 'blurry', guidance_cutoff: 'unconditional' } },
      400,
      'negative_alone',
    ],
    ['a LoRA of a name that breaks one', { parameters: { lora: 'hentai-style' } }, 400, 'name_blocked'],
    ['a parameter out of range', { parameters: { guidance_scale: 99 } }, 400, 'parameter_range'],
    ['a parameter that is none', { parameters: { guidance: 7 } }, 400, 'parameter_unknown'],
    ['__proto__ for one', { parameters: { constructor: 7 } }, 400, 'parameter_unknown'],
    ['too many', { count: 5 }, 400, 'body_invalid'],
    ['half a picture', { count: 1.5 }, 400, 'body_invalid'],
    ['a field that is none', { promt: 'x' }, 400, 'body_invalid'],
    ['a list for a prompt', { prompt: ['x'] }, 400, 'body_invalid'],
    ['a face folder that is none', { face: 'ada' }, 400, 'folder_unknown'],
    ['a pose', { pipeline: 'posed', pose: 'data:image/png;base64,iVBORw0KGgo=' }, 422, 'pose_unavailable'],
    ['a pose without the pipeline', { pose: 'x'.repeat(900_000) }, 422, 'pose_unavailable'],
    ['the pipeline without a pose', { pipeline: 'posed' }, 422, 'pose_unavailable'],
  ])('is refused with a sentence: %s', async (_, changes, status, code) => {
    const { key, id } = await person();
    const answer = await call('/batches', post(key, wish(changes)));
    expect(answer.headers.get('content-type')).toMatch(/^application\/problem\+json/);
    expect([...codeOf(answer), answer.json?.type]).toEqual([status, code, `/api#${code}`]);
    expect(String(answer.json?.detail)).toMatch(/^[A-Z`].*[.!?]$/s);
    expect(await db.batch.count({ where: { ownerId: id } })).toBe(0);
    expect(await db.apiRequest.count({ where: { userId: id } })).toBe(0);
  });

  it('says where a body is wrong', async () => {
    const { key } = await person();
    const { json } = await call('/batches', post(key, wish({ count: 9, parameters: { steps: [] } })));
    expect(listIn({ json }, 'faults').map(({ at }) => at)).toEqual(['/count', '/parameters/steps']);
  });
});

describe('asked again', () => {
  it('with its Idempotency-Key is one batch, also at once', async () => {
    const { key, id: userId } = await person();
    const body = wish();
    const again = () => call('/batches', post(key, body, { 'idempotency-key': 'one' }));
    const first = await Promise.all([again(), again(), again(), again(), again()]);
    const done = first.filter(({ status }) => status === 200 || status === 201);
    expect(first.filter(({ status }) => status === 201)).toHaveLength(1);
    for (const answer of first)
      if (!done.includes(answer)) expect(codeOf(answer)).toEqual([409, 'idempotency_busy']);
    const later = await again();
    expect([later.status, later.headers.get('idempotent-replayed')]).toEqual([200, 'true']);
    expect(new Set([...done, later].map(idOf)).size).toBe(1);
    expect(await db.batch.count({ where: { ownerId: userId } })).toBe(1);
    const other = await call('/batches', post(key, wish(), { 'idempotency-key': 'one' }));
    expect(codeOf(other)).toEqual([422, 'idempotency_other']);
    // It is one person's: another's of the same name is another.
    const { key: theirs } = await person();
    expect((await call('/batches', post(theirs, body, { 'idempotency-key': 'one' }))).status).toBe(201);
  });

  it('is free after a refusal, and after a day', async () => {
    const { key, id: userId } = await person();
    const send = (body: object) => call('/batches', post(key, body, { 'idempotency-key': 'two' }));
    expect((await send(wish({ prompt: ' ' }))).status).toBe(400);
    const body = wish();
    const first = await send(body);
    expect(first.status).toBe(201);
    await db.apiRequest.updateMany({
      where: { userId },
      data: { createdAt: new Date(Date.now() - requests.KEPT_MS - 1) },
    });
    const second = await send(body);
    expect([second.status, idOf(second) === idOf(first)]).toEqual([201, false]);
  });

  it('is found when the process ended before it answered, and begun anew when it ended before that', async () => {
    const { key, id: userId } = await person();
    const body = wish();
    const send = () => call('/batches', post(key, body, { 'idempotency-key': 'three' }));
    const first = await send();
    // Accepted, but nobody was told.
    await db.apiRequest.updateMany({ where: { userId }, data: { heldUntil: new Date(0) } });
    expect([(await send()).status, idOf(await send())]).toEqual([200, idOf(first)]);
    // Held by a process that is gone, nothing accepted.
    const { hashOf } = await import('#src/canonical.ts');
    const { prompt, parameters: given } = body;
    const bodyHash = hashOf({ prompt, face: null, count: 1, given });
    const asked = { userId, keyId: null, idempotencyKey: 'four', bodyHash, notify: false };
    const begun = await requests.begin(asked);
    const fourth = () => call('/batches', post(key, body, { 'idempotency-key': 'four' }));
    expect(codeOf(await fourth())).toEqual([409, 'idempotency_busy']);
    await db.apiRequest.updateMany({ where: { idempotencyKey: 'four' }, data: { heldUntil: new Date() } });
    const answer = await fourth();
    expect(answer.status).toBe(201);
    expect(await db.batch.findUnique({ where: { id: idOf(answer) } })).toMatchObject({
      interactionId: `api:${begun.state === 'begun' && begun.id}`,
    });
  });
});

describe('whoever calls', () => {
  it.each([
    ['no key', 'Bearer '],
    ['another scheme', 'Basic YTpi'],
    ['a forged secret', `Bearer atelier_AAAAAAAAAA_${'x'.repeat(43)}`],
    ['SQL', "Bearer ' OR 1=1 --"],
  ])('with %s is nobody', async (_, authorization) => {
    const answer = await call('/balance', { headers: { authorization } });
    expect([...codeOf(answer), answer.headers.get('www-authenticate')]).toEqual([
      401,
      'key_unknown',
      'Bearer realm="Atelier"',
    ]);
  });

  it('has a key as long as it is not revoked, and with its own secret', async () => {
    const { key, id } = await person();
    const [{ id: keyId } = { id: '' }] = await keys.listKeys(id);
    const before = Date.now();
    expect((await call('/balance', { key })).status).toBe(200);
    expect(
      (await call('/balance', { key: `${key.slice(0, -1)}${key.endsWith('A') ? 'B' : 'A'}` })).status,
    ).toBe(401);
    const [{ lastUsedAt } = { lastUsedAt: null }] = await keys.listKeys(id);
    expect(lastUsedAt?.getTime()).toBeGreaterThanOrEqual(before);
    await expect(keys.revokeKey(actor(), keyId)).rejects.toThrow('gone');
    await keys.revokeKey(actor({ id }), keyId);
    expect((await call('/balance', { key })).status).toBe(401);
  });

  it('goes as far as the scopes of the key', async () => {
    const document = (await (await fetch(`${url}/api/v1/openapi.json`)).json()) as never;
    const { operationsOf } = await import('#src/services/web/api/document.ts');
    const all = ['read', 'draw', 'faces'] as const;
    const holders = await Promise.all(
      all.map(async (scope) => [scope, (await person([scope])).key] as const),
    );
    for (const { path, method, security, operationId } of operationsOf(document)) {
      const [needed] = security.flatMap(({ key = [] }) => key);
      const body =
        operationId === 'createBatch' ? wish({ pose: 'x' }) : { version: 1, photos: [crypto.randomUUID()] };
      for (const [scope, key] of holders) {
        if (scope === needed) continue;
        const at = path.replace('/api/v1', '').replace('{id}', crypto.randomUUID());
        const sent =
          method === 'get' || method === 'delete'
            ? { method: method.toUpperCase(), key }
            : { ...post(key, body), method: method.toUpperCase() };
        expect([operationId, scope, ...codeOf(await call(at, sent))]).toEqual([
          operationId,
          scope,
          403,
          'key_scope',
        ]);
      }
      expect(all).toContain(needed);
    }
  });

  it('may be nobody yet, and is a guest from the first picture on', async () => {
    const before = await db.user.count();
    const guests = await caller(url, '203.0.113.77');
    expect((await guests('/parameters')).status).toBe(200);
    expect((await guests('/bundles')).status).toBe(200);
    expect(codeOf(await guests('/batches'))).toEqual([401, 'sign_in_needed']);
    expect(codeOf(await guests('/batches', post(null, wish({ prompt: '' }))))).toEqual([400, 'prompt_empty']);
    expect(codeOf(await guests('/batches', post(null, wish({ face: 'ada' }))))).toEqual([
      403,
      'sign_in_first',
    ]);
    expect(await db.user.count()).toBe(before);
    const asked = await guests('/batches', post(null, wish()));
    const [cookie = ''] = /^session=[^;]+/.exec(asked.headers.get('set-cookie') ?? '') ?? [];
    expect((await guests(`/batches/${idOf(asked)}`, { headers: { cookie } })).status).toBe(200);
    expect((await guests('/balance', { headers: { cookie } })).json).toMatchObject({
      tokens: 4,
      isGuest: true,
    });
    expect(codeOf(await guests('/faces', { headers: { cookie } }))).toEqual([403, 'sign_in_first']);
    expect((await guests(`/batches/${idOf(asked)}`)).status).toBe(401);
  });

  it('by a session’s cookie is one of our own pages, and no other site’s', async () => {
    const me = jar(url, '198.51.100.200');
    await signInAs(me, 'member');
    const send = (headers: Record<string, string>, body = wish()) =>
      me.send('/api/v1/batches', {
        method: 'POST',
        headers: { 'content-type': 'application/json', ...headers },
        body: JSON.stringify(body),
      });
    const own = await send({ origin: url, 'sec-fetch-site': 'same-origin' });
    expect(own.status).toBe(201);
    expect(own.headers.get('access-control-allow-origin')).toBeNull();
    const { ownerId } = await db.batch.findFirstOrThrow({ orderBy: { createdAt: 'desc' } });
    const before = await db.batch.count();
    for (const headers of [
      { origin: 'https://evil.example', 'sec-fetch-site': 'cross-site' },
      { origin: 'null', 'sec-fetch-site': 'cross-site' },
      { origin: 'https://evil.example' },
    ] as Record<string, string>[]) {
      const refused = await send(headers);
      expect([refused.status, ((await refused.json()) as { code: string }).code]).toEqual([
        403,
        'foreign_origin',
      ]);
      // With a wrong key beside the cookie it is nobody, not them.
      const wrong = await send({ ...headers, authorization: 'Bearer x' });
      expect(wrong.status).toBe(401);
    }
    // A key opens the API, and no form.
    const keyForm = await me.post(
      '/account/keys',
      { name: 'x' },
      { origin: 'https://evil.example', 'sec-fetch-site': 'cross-site', authorization: 'Bearer x' },
    );
    expect(keyForm.status).toBe(403);
    // A form of another site sends no JSON.
    const form = await me.send('/api/v1/batches', {
      method: 'POST',
      body: 'prompt=x',
      headers: { 'content-type': 'text/plain', origin: 'https://evil.example' },
    });
    expect(form.status).toBe(403);
    expect(await db.batch.count()).toBe(before);
    // With a good key it is the key's, whoever's the cookie is.
    const { key, id } = await person();
    const keyed = await send({
      origin: 'https://other.example',
      'sec-fetch-site': 'cross-site',
      authorization: `Bearer ${key}`,
    });
    expect([keyed.status, keyed.headers.get('access-control-allow-origin')]).toEqual([201, '*']);
    expect(keyed.headers.get('access-control-allow-credentials')).toBeNull();
    const last = await db.batch.findFirstOrThrow({ orderBy: { createdAt: 'desc' } });
    expect([last.ownerId, last.ownerId === ownerId]).toEqual([id, false]);
  });

  it('from another site’s page is let ask with a key alone', async () => {
    const preflight = async (headers: string) => {
      const answer = await fetch(`${url}/api/v1/batches`, {
        method: 'OPTIONS',
        headers: {
          origin: 'https://other.example',
          'access-control-request-method': 'POST',
          'access-control-request-headers': headers,
        },
      });
      return [
        answer.status,
        answer.headers.get('access-control-allow-origin'),
        answer.headers.get('access-control-allow-headers'),
      ];
    };
    expect(await preflight('authorization,content-type')).toEqual([
      204,
      '*',
      'authorization, content-type, idempotency-key',
    ]);
    expect(await preflight('content-type')).toEqual([204, null, null]);
  });

  it('is answered so often a minute, with a key and in all', async () => {
    const { LIMITS } = await import('#src/services/web/api/caller.ts');
    const me = await person();
    const { key: second } = await keys.makeKey(actor({ id: me.id }), {
      name: 'b',
      scopes: ['read'],
      webhookUrl: null,
    });
    const { key: third } = await keys.makeKey(actor({ id: me.id }), {
      name: 'c',
      scopes: ['read'],
      webhookUrl: null,
    });
    const often = await caller(url, '203.0.113.99');
    const many = async (key: string, times: number) => {
      const answers = await Promise.all(Array.from({ length: times }, () => often('/bundles', { key })));
      return answers.filter(({ status }) => status === 200).length;
    };
    expect(await many(me.key, LIMITS.key + 5)).toBe(LIMITS.key);
    const refused = await often('/bundles', { key: me.key });
    expect([...codeOf(refused), Number(refused.headers.get('retry-after'))]).toEqual([
      429,
      'too_often',
      expect.any(Number),
    ]);
    expect(Number(refused.headers.get('retry-after'))).toBeGreaterThan(0);
    expect(await many(second, LIMITS.key)).toBe(LIMITS.person - LIMITS.key);
    expect((await often('/bundles', { key: third })).status).toBe(429);
    // Whoever else comes from there is answered.
    expect((await often('/bundles', { key: (await person()).key })).status).toBe(200);
  });
});

describe('what is no request of ours', () => {
  it.each<[string, { body?: unknown; headers?: Record<string, string> }, number, string]>([
    ['no JSON', { body: '{"prompt":', headers: { 'content-type': 'application/json' } }, 400, 'not_json'],
    ['nothing', { headers: { 'content-type': 'application/json' } }, 400, 'not_json'],
    [
      'a form',
      { body: 'prompt=x', headers: { 'content-type': 'application/x-www-form-urlencoded' } },
      415,
      'media_type',
    ],
    ['XML', { body: '<x/>', headers: { 'content-type': 'text/xml' } }, 415, 'media_type'],
    ['text', { body: '{}', headers: { 'content-type': 'text/plain' } }, 415, 'media_type'],
    [
      'a prototype',
      { body: '{"prompt":"x","__proto__":{"a":1}}', headers: { 'content-type': 'application/json' } },
      400,
      'not_json',
    ],
    ['null', { body: 'null', headers: { 'content-type': 'application/json' } }, 400, 'body_invalid'],
    ['a list', { body: [] }, 400, 'body_invalid'],
    ['too large', { body: { prompt: 'x', pose: 'x'.repeat(2_000_000) } }, 413, 'body_large'],
    [
      'a key that is too long',
      { body: wish(), headers: { 'idempotency-key': 'x'.repeat(256) } },
      400,
      'body_invalid',
    ],
  ])('is told so: %s', async (_, sent, status, code) => {
    const { key } = await person();
    expect(codeOf(await call('/batches', { method: 'POST', key, ...sent }))).toEqual([status, code]);
  });

  it('is told so: no such address, also one that cannot be decoded', async () => {
    for (const path of ['/nothing', '/batches/x/y/z', '/'])
      expect(codeOf(await call(path))).toEqual([404, 'no_such_address']);
    const broken = await fetch(`${url}/api/v1/batches/%zz`);
    expect([broken.status, ((await broken.json()) as { code: string }).code]).toEqual([
      400,
      'address_invalid',
    ]);
    expect(codeOf(await call('/batches', { method: 'PUT', body: {} }))).toEqual([404, 'no_such_address']);
    expect((await fetch(`${url}/%zz`)).headers.get('content-type')).toMatch(/^text\/html/);
  });
});

it('an answer that is not as described is a fault of ours, under an id', async () => {
  const { key } = await person();
  const id = await ask(key);
  await finish(id, { likeness: 7 });
  const answer = await call(`/batches/${id}`, { key });
  expect(answer.json).toMatchObject({
    status: 500,
    code: 'internal',
    errorId: expect.stringMatching(/^[0-9a-f]{8}$/),
  });
  expect(JSON.stringify(answer.json)).not.toContain('likeness');
  // The same of one that the serializer finds.
  const { id: picture } = await db.generation.findFirstOrThrow({ where: { batchId: id } });
  expect((await call(`/pictures/${picture}`, { key })).json).toMatchObject({ status: 500, code: 'internal' });
});

describe('parameters', () => {
  it('are set all or none, and count for what is asked', async () => {
    const { key } = await person();
    const patch = (body: object) => call('/parameters', { method: 'PATCH', key, body });
    const value = (answer: Answer, name: string) => itemsOf(answer).find((one) => one.name === name)?.value;
    const set = await patch({ guidance_scale: 6.5, steps: 12 });
    expect([value(set, 'guidance_scale'), value(set, 'steps')]).toEqual([6.5, 12]);
    expect(codeOf(await patch({ guidance_scale: 3, steps: 9_999 }))).toEqual([400, 'parameter_range']);
    expect(codeOf(await patch({ guidance_scale: 3, production_mode: true }))).toEqual([
      400,
      'parameter_operators',
    ]);
    expect(value(await call('/parameters', { key }), 'guidance_scale')).toBe(6.5);
    const id = await ask(key, { parameters: { tier: 'relax' } });
    expect(await db.generation.findFirst({ where: { batchId: id } })).toMatchObject({ steps: 12 });
    expect(value(await patch({ guidance_scale: null }), 'guidance_scale')).toBe(7.5);
    expect(await db.parameterValue.count({ where: { name: 'guidance_scale' } })).toBe(0);
  });
});

describe('face folders', () => {
  const upload = async (key: string, files: Record<string, Buffer>, name = 'ada') => {
    const body = new FormData();
    body.set('name', name);
    for (const [file, bytes] of Object.entries(files))
      body.append('photos', new Blob([new Uint8Array(bytes)]), file);
    return call('/faces', { method: 'POST', key, body });
  };
  const photo = async () => Buffer.from((await samplePhoto('ada-1.jpg'))!.data);

  it('are filled, consented to, drawn with and deleted', async () => {
    const [{ key }, other] = [await person(), await person()];
    const sent = await upload(key, { 'a.jpg': await photo() });
    expect(sent.status).toBe(201);
    const at = `/faces/${idOf(sent)}`;
    const photoId = String(listIn(sent, 'photos')[0]?.id);
    const consent = { version: 1, photos: [photoId] };
    expect(codeOf(await call(`${at}/consent`, post(key, consent)))).toEqual([409, 'already_done']);
    const { finishFaceCheck } = await import('#src/faces.ts');
    await finishFaceCheck(photoId, 1);
    expect(codeOf(await call('/batches', post(key, wish({ face: 'ada' }))))).toEqual([400, 'folder_empty']);
    expect((await call(at, { key })).json?.consent).toMatchObject({
      version: 1,
      text: expect.stringContaining('I am the person'),
    });
    expect(codeOf(await call(`${at}/consent`, post(key, { ...consent, version: 2 })))).toEqual([
      409,
      'consent_version',
    ]);
    for (const [path, ...sent] of [
      [at, {}],
      [`${at}/consent`, post(other.key, consent)],
      [`${at}/refuse`, post(other.key)],
    ] as const)
      expect(codeOf(await call(path, { ...sent[0], key: other.key }))).toEqual([404, 'gone']);
    expect(codeOf(await call(at, { method: 'DELETE', key: other.key }))).toEqual([404, 'gone']);
    const agreed = await call(`${at}/consent`, post(key, consent));
    expect(agreed.json?.photos).toMatchObject([{ state: 'accepted', consentAt: expect.any(String) }]);
    expect(itemsOf(await call('/faces', { key }))).toMatchObject([{ name: 'ada', photos: 1 }]);
    const id = await ask(key, { face: 'ada' });
    expect((await call(at, { method: 'DELETE', key })).status).toBe(204);
    expect((await call(`/batches/${id}`, { key })).json?.pictures).toMatchObject([
      { state: 'failed', failure: { code: 'gone' } },
    ]);
  });

  it('take no uploads that are none', async () => {
    const { key } = await person();
    expect(codeOf(await upload(key, { 'x.png': Buffer.from('<svg/>') }))).toEqual([400, 'plan_faults']);
    expect(codeOf(await upload(key, {}))).toEqual([400, 'upload_missing']);
    expect(codeOf(await upload(key, { 'a.jpg': await photo() }, '../etc'))).toEqual([400, 'folder_name']);
    expect(codeOf(await upload(key, { 'a.jpg': Buffer.alloc(10 * 1024 * 1024 + 1) }))).toEqual([
      413,
      'body_large',
    ]);
    expect(codeOf(await call('/faces', post(key, { name: 'ada' })))).toEqual([415, 'media_type']);
  });
});

describe('a webhook', () => {
  interface Heard {
    readonly path: string;
    readonly headers: IncomingHttpHeaders;
    readonly body: string;
  }
  const heard: Heard[] = [];
  /** path → status */
  const answers = new Map<string, number>();
  let receiver: Server;
  let at: string;
  beforeAll(async () => {
    receiver = createServer(async (request, response) => {
      const chunks: Buffer[] = [];
      for await (const chunk of request) chunks.push(chunk as Buffer);
      const { url: path = '', headers } = request;
      heard.push({ path, headers, body: Buffer.concat(chunks).toString() });
      response.writeHead(answers.get(path) ?? 204, { location: `${at}/elsewhere` }).end();
    });
    await new Promise<void>((done) => receiver.listen(0, '127.0.0.1', done));
    at = `http://127.0.0.1:${(receiver.address() as AddressInfo).port}`;
  });
  afterAll(() => void receiver?.close());
  const heardAt = (path: string) => heard.filter((one) => one.path === path);
  const hear = async (path: string, times: number) => {
    await expect.poll(() => heardAt(path).length, { timeout: 15_000, interval: 50 }).toBe(times);
    return heardAt(path);
  };
  const due = (userId: string, notifyAt = new Date()) =>
    db.apiRequest.updateMany({ where: { userId }, data: { notifyAt } });

  it('tells when a batch has ended, signed, and not before', async () => {
    const { key, webhookSecret } = await person(['read', 'draw'], `${at}/ended`);
    const id = await ask(key);
    const stays = await ask(key);
    await finish(id);
    const [{ headers, body } = heard[0]!] = await hear('/ended', 1);
    expect(JSON.parse(body)).toMatchObject({ type: 'batch.ended', data: { id, state: 'finished' } });
    // By the check that the page gives to receivers.
    const page = await (await fetch(`${url}/api`)).text();
    const { moduleIn } = await import('./examples.ts');
    const { isOurs } = await moduleIn<{ isOurs(headers: unknown, body: string, secret: string): boolean }>(
      page,
      'verify',
    );
    expect(isOurs(headers, body, webhookSecret!)).toBe(true);
    expect(isOurs(headers, `${body} `, webhookSecret!)).toBe(false);
    expect(isOurs({ ...headers, 'webhook-timestamp': '1' }, body, webhookSecret!)).toBe(false);
    // Another's that is asked for and ends meanwhile is told: of the one that goes on nothing was.
    const other = await person(['draw'], `${at}/meanwhile`);
    await call(`/batches/${await ask(other.key)}/cancel`, post(other.key));
    await hear('/meanwhile', 1);
    expect(heardAt('/ended')).toHaveLength(1);
    await call(`/batches/${stays}/cancel`, post(key));
    await hear('/ended', 2);
    expect(await db.apiRequest.count({ where: { notifyAt: { not: null } } })).toBe(0);
  });

  it('comes again with the same id until it is taken, so often at the most, and follows no redirect', async () => {
    answers.set('/again', 500);
    const { id: userId, key } = await person(['draw'], `${at}/again`);
    await call(`/batches/${await ask(key)}/cancel`, post(key));
    await hear('/again', 1);
    // How long each pause is, is told below: on a busy machine one may be over before it is looked at.
    const comesAgain = async (answer: number) => {
      answers.set('/again', answer);
      const before = heardAt('/again').length;
      const count = async () => {
        const { length } = heardAt('/again');
        if (length === before) await due(userId);
        return length;
      };
      await expect.poll(count).toBeGreaterThan(before);
    };
    const row = () => db.apiRequest.findFirstOrThrow({ where: { userId } });
    const isOver = async () => (await row()).notifyAt === null;
    await comesAgain(302);
    await comesAgain(200);
    await expect.poll(isOver).toBe(true);
    const all = heardAt('/again');
    expect(new Set(all.map(({ headers }) => headers['webhook-id'])).size).toBe(1);
    expect((await row()).attempts).toBe(all.length);
    expect(heardAt('/elsewhere')).toEqual([]);
    // The last time.
    answers.set('/again', 500);
    await db.apiRequest.updateMany({
      where: { userId },
      data: { attempts: requests.TRIES - 1, notifyAt: new Date() },
    });
    await hear('/again', all.length + 1);
    await expect.poll(isOver).toBe(true);
    expect((await row()).attempts).toBe(requests.TRIES);
  });

  it('waits longer after each time', async () => {
    const { id: userId, key } = await person(['draw'], `${at}/never`);
    // It has not ended, so nobody sends it meanwhile.
    await ask(key);
    const { id } = await db.apiRequest.findFirstOrThrow({ where: { userId } });
    const now = new Date('2026-01-01T00:00:00Z');
    const waits: (number | null)[] = [];
    for (let attempts = 1; attempts <= requests.TRIES; attempts++) {
      await db.apiRequest.update({ where: { id }, data: { attempts } });
      await requests.settleWebhook({ id, attempts, keyId: '', batchId: '', url: '', secret: '' }, false, now);
      const { notifyAt } = await db.apiRequest.findUniqueOrThrow({ where: { id } });
      waits.push(notifyAt && (notifyAt.getTime() - now.getTime()) / 1_000);
    }
    expect(waits).toEqual([5, 60, 300, 1_800, 7_200, 28_800, 86_400, null]);
  });

  it('of a process that was killed is sent by another, and what that one notes later counts no more', async () => {
    const { id: userId, key } = await person(['draw'], `${at}/killed`);
    const id = await ask(key);
    // As a process leaves it that has just taken it.
    const taken = { attempts: 1, notifyAt: new Date(Date.now() + 60_000) };
    await db.apiRequest.updateMany({ where: { userId }, data: taken });
    await call(`/batches/${id}/cancel`, post(key));
    expect(await requests.claimWebhooks(9, [])).toEqual([]);
    answers.set('/killed', 500);
    await due(userId);
    await hear('/killed', 1);
    const row = () => db.apiRequest.findFirstOrThrow({ where: { userId } });
    await expect.poll(async () => (await row()).attempts).toBe(2);
    const { id: requestId } = await row();
    const late = { id: requestId, keyId: '', batchId: id, url: '', secret: '', attempts: 1 };
    await requests.settleWebhook(late, true);
    expect((await row()).notifyAt).not.toBeNull();
  });

  it('of a key that is revoked is sent no more', async () => {
    const { id: userId, key } = await person(['draw'], `${at}/revoked`);
    const id = await ask(key);
    const [{ id: keyId } = { id: '' }] = await keys.listKeys(userId);
    await keys.revokeKey(actor({ id: userId }), keyId);
    await ending.endBatch(id, 'cancelled');
    const other = await person(['draw'], `${at}/after`);
    await call(`/batches/${await ask(other.key)}/cancel`, post(other.key));
    await hear('/after', 1);
    expect(heardAt('/revoked')).toEqual([]);
  });
});

describe('the account’s page', () => {
  it('makes a key, shows it once, and revokes it', async () => {
    const me = jar(url, '198.51.100.201');
    expect((await me.get('/account/keys')).headers.get('location')).toBe('/sign-in?to=/account/keys');
    expect((await me.post('/account/keys', { name: 'x' })).status).toBe(403);
    await signInAs(me, 'other');
    const body = new URLSearchParams([
      ['name', 'Bot <b>'],
      ['scope', 'read'],
      ['scope', 'draw'],
      ['webhook', 'https://example.com/hook'],
    ]);
    const made = await me.send('/account/keys', {
      method: 'POST',
      body,
      headers: { origin: url, 'sec-fetch-site': 'same-origin' },
    });
    const page = await made.text();
    expect([made.status, made.headers.get('cache-control')]).toEqual([200, 'no-store']);
    const [key = ''] = /atelier_\w{10}_[\w-]{43}/.exec(page) ?? [];
    expect(page).toContain('whsec_');
    expect(page).toContain('Bot &lt;b&gt;');
    expect((await call('/balance', { key })).status).toBe(200);
    const later = await (await me.get('/account/keys')).text();
    expect(later).toContain(key.slice(0, 18));
    expect(later).not.toContain(key);
    expect(later).not.toContain('whsec_');
    expect(JSON.stringify(await db.apiKey.findMany())).not.toContain(key.slice(19));
    const [, revoke = ''] = /action="(\/account\/keys\/[\w-]+\/revoke)"/.exec(later) ?? [];
    const stranger = jar(url, '198.51.100.202');
    await signInAs(stranger, 'moderator');
    expect((await stranger.post(revoke, {})).status).toBe(404);
    expect((await call('/balance', { key })).status).toBe(200);
    expect((await me.post(revoke, {})).status).toBe(303);
    expect((await call('/balance', { key })).status).toBe(401);
    const noted = await db.auditEvent.findMany({
      where: { subject: `key:${revoke.split('/')[3]}` },
      orderBy: { createdAt: 'asc' },
    });
    expect(noted.map(({ action }) => action)).toEqual(['key.create', 'key.revoke']);
  });

  it('makes so many, and none without a name or to nowhere', async () => {
    const me = jar(url, '198.51.100.203');
    await signInAs(me, 'operator');
    const make = async (fields: Record<string, string>) => {
      const answer = await me.post('/account/keys', { scope: 'read', ...fields });
      return [answer.status, (await answer.text()).match(/role="alert">([^<]*)/)?.[1]];
    };
    expect(await make({ name: ' ' })).toEqual([400, 'Give the key a name of 1 to 60 characters.']);
    expect(await make({ name: 'x', webhook: 'ftp://example.com' })).toEqual([
      400,
      expect.stringContaining('A webhook goes to'),
    ]);
    for (let i = 0; i < keys.KEYS_MAX; i++) expect((await make({ name: `key ${i}` }))[0]).toBe(200);
    const answer = await me.post('/account/keys', { scope: 'read', name: 'one more' });
    expect(answer.status).toBe(400);
  });
});
