/** The detector's page: by a form, without a script, for everybody. */
import sharp from 'sharp';
import { afterAll, beforeAll, expect, it, vi } from 'vitest';

// A file is looked at in a process that has to be started.
vi.setConfig({ testTimeout: 120_000 });

Object.assign(process.env, { WEB_PROXIES: '1' });
let web: { url: string; close(): Promise<void> };
beforeAll(async () => {
  const { startWeb } = await import('#src/services/web/web.ts');
  web = await startWeb({ host: '127.0.0.1', port: 0 });
});
afterAll(() => web?.close());

const create = { width: 300, height: 300, channels: 3, background: '#988' } as const;
let last = 0;

/** As a browser sends the page's form. @param from an address of its own, unless it is said */
async function send(
  file: Buffer | null,
  { name = 'a.png', from = `203.0.113.${++last}`, headers = {} as Record<string, string> } = {},
) {
  const body = new FormData();
  body.set('picture', new Blob(file ? [new Uint8Array(file)] : []), file ? name : '');
  const answer = await fetch(`${web.url}/detect`, {
    method: 'POST',
    body,
    headers: { origin: web.url, 'sec-fetch-site': 'same-origin', 'x-forwarded-for': from, ...headers },
  });
  return { status: answer.status, cache: answer.headers.get('cache-control'), text: await answer.text() };
}

it('is linked from every page, and sets no cookie', async () => {
  expect(await (await fetch(web.url)).text()).toContain('href="/detect"');
  const page = await fetch(`${web.url}/detect`);
  expect([page.status, page.headers.get('set-cookie')]).toEqual([200, null]);
  const text = await page.text();
  expect(text).toMatch(/<form method="post" action="\/detect" enctype="multipart\/form-data">/);
  expect(text).not.toContain('<script');
});

it('says what a picture has, to who sent it alone', async () => {
  const { markPicture } = await import('#src/marks/marks.ts');
  const { bytes } = await markPicture(sharp({ create }).png(), 'drawn');
  const { status, cache, text } = await send(bytes);
  expect([status, cache]).toEqual([200, 'no-store']);
  expect(text).toContain('<h1>It was drawn here</h1>');
  expect(text).toMatch(
    /This installation has signed it \(C2PA\) <time [^>]+>[^<]+<\/time>, and it was not changed/,
  );
  expect((await send(await sharp({ create }).png().toBuffer())).text).toContain('That proves nothing');
});

it('refuses what is no picture, nothing, too much, and what another site sends', async () => {
  const svg = await send(Buffer.from('<svg/>'), { name: '<b>x</b>.svg' });
  expect([svg.status, svg.text.includes('<b>x</b>')]).toEqual([400, false]);
  expect(svg.text).toContain('is not a picture I can read');
  const none = await send(null);
  expect([none.status, none.text.includes('Choose a picture first.')]).toEqual([400, true]);
  const large = await send(Buffer.alloc(11 * 2 ** 20));
  expect([large.status, large.text.includes('a photo 10 MiB')]).toEqual([413, true]);
  expect((await send(Buffer.alloc(9), { headers: { 'sec-fetch-site': 'cross-site' } })).status).toBe(403);
});

it('takes one at a time of a network, and ten in a minute', async () => {
  const from = '198.51.100.7';
  const all = await Promise.all([1, 2, 3].map(() => send(Buffer.from('x'), { from })));
  expect(all.map(({ status }) => status).sort()).toEqual([400, 429, 429]);
  for (let more = 0; more < 7; more++) await send(null, { from });
  const { status, text } = await send(null, { from });
  expect([status, text.includes('Too often')]).toEqual([429, true]);
});
