/** The web service while the place of pictures is away, or full: pages come, what needs bytes is told so, and nothing is half done. */
import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, expect, it, vi } from 'vitest';
import { samplePhoto } from '#infra/local/discord/samples/samples.ts';
import { S3_KEYS, startS3, type TestS3 } from '#test/support/s3-server.ts';
import { STAFF_ID } from '#test/support/staff.ts';
import type { Made } from './pictures.ts';
import { finish } from './visitors.ts';

let s3: TestS3;
let web: Awaited<ReturnType<typeof import('#src/services/web/web.ts').startWeb>>;
let url: string;
let db: typeof import('#src/doors/db.ts').db;
let shown: Made;
/** of an operator, whose picture it is */
let cookie: string;
let picture: string;

beforeAll(async () => {
  s3 = await startS3();
  // Before anything of ours is imported.
  Object.assign(process.env, {
    S3_BUCKET: s3.bucket,
    S3_ENDPOINT: s3.url,
    S3_ACCESS_KEY_ID: S3_KEYS.accessKeyId,
    S3_SECRET_ACCESS_KEY: S3_KEYS.secretAccessKey,
    S3_PATH_STYLE: 'true',
  });
  const { startWeb } = await import('#src/services/web/web.ts');
  ({ db } = await import('#src/doors/db.ts'));
  web = await startWeb({ host: '127.0.0.1', port: 0 });
  ({ url } = web);
  const { makePicture } = await import('./pictures.ts');
  const { publishImage } = await import('#src/publishing.ts');
  shown = await makePicture(4);
  await publishImage(shown.owner, shown.image.id);
  const sessions = await import('#src/people/sessions.ts');
  const token = await sessions.signIn({ id: STAFF_ID, name: 'Operator', locale: 'en-US' }, undefined);
  cookie = `session=${token}`;
  const { openBatch } = await import('#src/batches/batches.ts');
  const { cell, request } = await import('#test/support/requests.ts');
  const origin = sessions.originOf((await sessions.visitorOf(token))!, 'form');
  picture = await finish((await openBatch(origin, request([cell({ prompt: 'of an operator' })]))).id);
  await vi.waitFor(async () => expect((await get(`/pictures/${shown.image.id}`)).status).toBe(200), 10_000);
  // Known from now on.
  expect((await get(`/img/${shown.image.id}/240.webp`)).status).toBe(200);
  expect((await get(`/draw/pictures/${picture}/320.webp`)).status).toBe(200);
});
afterAll(async () => {
  await web?.close();
  await s3?.stop();
});

const get = (path: string) => fetch(url + path, { headers: { cookie } });
const post = (path: string, body: FormData | URLSearchParams) =>
  fetch(url + path, {
    method: 'POST',
    body,
    redirect: 'manual',
    headers: { cookie, origin: url, 'sec-fetch-site': 'same-origin' },
  });
async function upload(path: string): Promise<Response> {
  const body = new FormData();
  body.set('name', 'ada');
  for (const name of ['ada-1.jpg', 'ada-2.jpg'])
    body.append('photos', new Blob([new Uint8Array((await samplePhoto(name))!.data)]), name);
  return post(path, body);
}
async function told(response: Response): Promise<readonly [number, string | null, string]> {
  return [response.status, response.headers.get('retry-after'), await response.text()];
}
const kept = async () => [
  await db.faceFolder.count(),
  await db.facePhoto.count(),
  await db.tokenEntry.count(),
  [...s3.objects.keys()].filter((key) => key.startsWith('faces/')).length,
];

it('while it is away, pages and what is in memory come; bytes are told to be out of reach, and when to ask again', async () => {
  await s3.stop();
  try {
    for (const path of [
      '/',
      `/pictures/${shown.image.id}`,
      '/feed.atom',
      '/draw',
      '/draw/pictures',
      '/about',
      '/readyz',
    ])
      expect([path, (await get(path)).status]).toEqual([path, 200]);
    expect((await get(`/img/${shown.image.id}/240.webp`)).status).toBe(200);
    expect((await get(`/draw/pictures/${picture}/320.webp`)).status).toBe(200);
    for (const path of [
      `/img/${shown.image.id}/full.jpg`,
      `/draw/pictures/${picture}/640.webp`,
      `/draw/pictures/${picture}/full.png`,
    ]) {
      const response = await get(path);
      expect([path, response.headers.get('cache-control')]).toEqual([path, 'no-store']);
      expect([path, response.headers.get('content-type')]).toEqual([path, 'text/html; charset=utf-8']);
      const [status, again, text] = await told(response);
      expect([path, status, again]).toEqual([path, 503, '10']);
      expect(text).toMatch(/The place where (they are kept|I keep pictures) does not answer right now\./);
    }
    const [status, again, text] = await told(await get(`/api/v1/pictures/${picture}/content`));
    expect([status, again, JSON.parse(text).code]).toEqual([503, '10', 'storage_away']);
    expect(await (await get('/operators')).text()).toContain('does not answer: pictures wait');
  } finally {
    await s3.start();
  }
  await expect
    .poll(async () => (await get(`/img/${shown.image.id}/full.jpg`)).status, { timeout: 10_000 })
    .toBe(200);
  expect((await get(`/draw/pictures/${picture}/full.png`)).status).toBe(200);
});

it.each([
  ['away', 'overloaded', 'storage_away', /does not answer/],
  ['full', 'full', 'storage_full', /is full/],
] as const)(
  'while it is %s, photos are refused with a sentence, and nothing of them is kept',
  async (_, mood, code, says) => {
    const before = await kept();
    s3.mood = mood;
    try {
      const [status, again, text] = await told(await upload('/draw/faces'));
      expect([status, Number(again)]).toEqual([503, expect.toSatisfy((seconds: number) => seconds > 0)]);
      expect(text).toMatch(says);
      const api = await told(await upload('/api/v1/faces'));
      expect([api[0], Number(api[1]), JSON.parse(api[2]).code]).toEqual([503, 10, code]);
    } finally {
      s3.mood = 'well';
    }
    expect(await kept()).toEqual(before);
  },
  30_000,
);

it('while it is full, a picture that was not made small before comes all the same', async () => {
  s3.mood = 'full';
  try {
    expect((await get(`/img/${shown.image.id}/360.webp`)).status).toBe(200);
  } finally {
    s3.mood = 'well';
  }
});

it('while it is away, pictures are asked for as ever: they wait for a worker, and for the storage', async () => {
  s3.mood = 'overloaded';
  try {
    const form = new URLSearchParams({ form: randomUUID(), prompt: 'a garden', steps: '10', tier: 'relax' });
    const answer = await post('/draw', form);
    expect([answer.status, answer.headers.get('location')]).toEqual([
      303,
      expect.stringMatching(/^\/draw\//),
    ]);
    expect((await get(answer.headers.get('location')!)).status).toBe(200);
  } finally {
    s3.mood = 'well';
  }
});
