import { randomUUID } from 'node:crypto';
import { mkdir, writeFile } from 'node:fs/promises';
import { connect } from 'node:net';
import { join } from 'node:path';
import sharp from 'sharp';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { config } from '#config/env.ts';
import { db, type Image } from '#src/doors/db.ts';
import { deleteFolder } from '#src/doors/storage.ts';
import { publishImage, unpublishImage } from '#src/publishing.ts';
import { startWeb } from '#src/services/web/web.ts';
import { type Made, makePicture } from './pictures.ts';

let web: Awaited<ReturnType<typeof startWeb>>;
let shown: Made;
beforeAll(async () => {
  web = await startWeb({ host: '127.0.0.1', port: 0 });
  shown = await makePicture(4); // 832 × 1216
  await publishImage(shown.owner, shown.image.id);
});
afterAll(() => web.close());

const get = (path: string, headers: Record<string, string> = {}) => fetch(web.url + path, { headers });
const img = ({ id }: Pick<Image, 'id'>, file: string, headers = {}) => get(`/img/${id}/${file}`, headers);

describe('pictures', () => {
  it.each([
    ['320.avif', 'image/avif', 320],
    ['640.webp', 'image/webp', 640],
    ['full.jpg', 'image/jpeg', 832],
    ['960.webp', 'image/webp', 832],
  ])('come as %s, for ever, and say that a machine made them', async (file, type, width) => {
    const response = await img(shown.image, file);
    expect(response.status).toBe(200);
    expect(response.headers.get('content-type')).toBe(type);
    expect(response.headers.get('cache-control')).toMatch(/max-age=31536000.*immutable/);
    const bytes = Buffer.from(await response.arrayBuffer());
    const metadata = await sharp(bytes).metadata();
    expect(metadata.width).toBe(width);
    expect(metadata.xmp?.toString()).toContain('digitalsourcetype/trainedAlgorithmicMedia');
    for (const part of ['exif', 'iptc'] as const) expect(metadata[part]).toBeUndefined();
    expect(bytes.toString('latin1')).not.toMatch(/secret/);

    const etag = response.headers.get('etag')!;
    const again = await img(shown.image, file, { 'if-none-match': `"x", W/${etag}` });
    expect([again.status, (await again.arrayBuffer()).byteLength]).toEqual([304, 0]);
    expect(Buffer.from(await (await img(shown.image, file)).arrayBuffer())).toEqual(bytes);
  });

  it('are made once when many ask at once', async () => {
    const { image, owner } = await makePicture(2);
    await publishImage(owner, image.id);
    const all = await Promise.all(Array.from({ length: 20 }, () => img(image, '320.webp')));
    expect(new Set(all.map(({ status }) => status))).toEqual(new Set([200]));
    expect(new Set(all.map(({ headers }) => headers.get('etag'))).size).toBe(1);
  });

  it.each([
    '321.avif',
    '640.png',
    '640',
    'full.AVIF',
    '0640.avif',
    '99999.webp',
    '-1.jpg',
    '..%2foriginal.png',
  ])('are not there as %s', async (file) => {
    const response = await img(shown.image, file);
    expect(response.status).toBe(404);
    expect(await response.text()).toContain('No such picture');
  });

  it.each<[string, () => Promise<Made>]>([
    ['never published', () => makePicture(1)],
    [
      'flagged',
      () =>
        makePicture(1, {
          verdict: 'flagged',
          visibility: 'published',
          collection: 'main',
          publishedAt: new Date(),
        }),
    ],
    [
      'deleted',
      () =>
        makePicture(1, {
          deletedAt: new Date(),
          visibility: 'published',
          collection: 'main',
          publishedAt: new Date(),
        }),
    ],
    [
      'held for review',
      async () => {
        const made = await makePicture(1, {
          visibility: 'published',
          collection: 'main',
          publishedAt: new Date(),
        });
        await db.review.create({ data: { imageId: made.image.id, cause: 'report' } });
        return made;
      },
    ],
  ])('are not served when %s', async (_, make) => {
    const { image } = await make();
    expect((await img(image, '320.webp')).status).toBe(404);
    expect((await get(`/pictures/${image.id}`)).status).toBe(404);
    expect(await (await get('/')).text()).not.toContain(image.id);
  });

  it('are gone within five seconds of being taken down, also for who had them', async () => {
    const { image, owner } = await makePicture(1);
    await publishImage(owner, image.id);
    const etag = (await img(image, '320.webp')).headers.get('etag')!;
    await unpublishImage(owner, image.id);
    expect((await get(`/pictures/${image.id}`)).status).toBe(404);
    await expect
      .poll(async () => (await img(image, '320.webp', { 'if-none-match': etag })).status, { timeout: 5_000 })
      .toBe(404);
  });

  it('whose bytes are lost are not there, without a stack', async () => {
    const { image, owner } = await makePicture(1);
    await publishImage(owner, image.id);
    await deleteFolder(`published/main/${image.id}`);
    await deleteFolder(image.storageKey);
    const response = await img(image, '320.webp');
    expect(response.status).toBe(404);
    expect(await response.text()).not.toMatch(/ENOENT|at async|node:/);
  });
});

describe('pages', () => {
  it('carry strict headers, no script and no prompt', async () => {
    for (const path of ['/', `/pictures/${shown.image.id}`, '/about', '/nowhere', '/?before=x']) {
      const response = await get(path);
      const text = await response.text();
      expect(text).not.toMatch(/<script|secret| style="|javascript:/);
      expect(response.headers.get('x-content-type-options')).toBe('nosniff');
      expect(response.headers.get('referrer-policy')).toBe('no-referrer');
      const policy = response.headers.get('content-security-policy');
      expect(policy).toMatch(/default-src 'none'.*style-src 'sha256-/);
      expect(policy).not.toContain('unsafe');
      expect(response.headers.get('x-powered-by')).toBeNull();
    }
  });

  it('answer 304 to who has them', async () => {
    const etag = (await get('/about')).headers.get('etag')!;
    expect((await get('/about', { 'if-none-match': etag })).status).toBe(304);
  });

  it('lead on by cursor, and back', async () => {
    for (let n = 0; n < 30; n++) {
      const { image, owner } = await makePicture(0);
      await publishImage(owner, image.id);
    }
    const first = await (await get('/')).text();
    const next = /href="(\/\?before=[\w-]+)"/.exec(first)?.[1];
    const second = await (await get(next!)).text();
    const idsOf = (text: string) => [...text.matchAll(/href="\/pictures\/([\w-]+)"/g)].map(([, id]) => id);
    expect(idsOf(first)).toHaveLength(24);
    expect(idsOf(second).length).toBeGreaterThan(0);
    expect(idsOf(second).some((id) => idsOf(first).includes(id))).toBe(false);
    expect(second).toContain('>Newest pictures<');
  });

  it.each(['x', '', '%00', 'a'.repeat(101), 'MTIzLm5vdC1hbi1pZA', '../..'])(
    'refuse the cursor %j',
    async (cursor) => {
      const response = await get(`/?before=${cursor}`);
      expect(response.status).toBe(400);
      expect(await response.text()).toContain('That link is broken');
    },
  );

  it('refuse two cursors at once', async () => {
    expect((await get('/?before=a&before=b')).status).toBe(400);
  });

  it.each([
    '/nowhere',
    '/pictures',
    '/pictures/1',
    `/pictures/${randomUUID()}`,
    '/img/x/y',
    '/.env',
    `/${'a'.repeat(5_000)}`,
  ])('say clearly that there is nothing at %s', async (path) => {
    const response = await get(path);
    expect(response.status).toBe(404);
    expect(await response.text()).toMatch(/No such (page|picture)/);
  });

  it.each(['/%', '/%zz', '/pictures/%ff'])('say what is wrong with the address %s', async (path) => {
    const response = await get(path);
    expect(response.status).toBe(400);
    expect(await response.text()).toContain('That did not work');
  });

  it('take nothing but reading', async () => {
    for (const method of ['POST', 'PUT', 'DELETE']) {
      expect((await fetch(web.url, { method, body: '{}' })).status).toBe(404);
    }
    expect((await fetch(web.url, { method: 'HEAD' })).status).toBe(200);
  });

  it('say of a bundle that it is a stand-in, and its terms', async () => {
    expect(await (await get('/about')).text()).toContain('This is a stand-in');
    const dir = join(config.dataDir, 'bundles/reference');
    await mkdir(dir, { recursive: true });
    const manifest = {
      version: 1,
      name: 'reference',
      title: 'The "small" <world>',
      family: 'sdxl',
      standIn: true,
      licence: 'Free for all & everyone',
      triggerWord: 'img',
      memoryGib: 1,
      files: Object.fromEntries(
        (
          'textEncoder textEncoder2 unet vaeEncoder vaeDecoder tokenizer tokenizer2 scheduler faceDetector ' +
          'faceRecognizer faceLandmarks faceGenderAge idTokens idFuse safety'
        )
          .split(' ')
          .map((name) => [name, 'x']),
      ),
      detector: { size: 320, threshold: 0.5 },
    };
    await writeFile(join(dir, 'bundle.yaml'), JSON.stringify(manifest));
    const about = await (await get('/about')).text();
    expect(about).toContain('The &quot;small&quot; &lt;world&gt;');
    expect(about).toContain('Free for all &amp; everyone');
    expect(await (await get(`/pictures/${shown.image.id}`)).text()).toContain('small stand-in');
  });
});

it('has no metrics for those who see the gallery', async () => {
  expect((await get('/metrics')).status).toBe(404);
});

describe('/health', () => {
  it('says that the database is reached', async () => {
    const response = await get('/health');
    expect(response.status).toBe(200);
    expect(await response.json()).toEqual({ ok: true, database: true });
  });
});

describe('bad input', () => {
  it('does not end the service', async () => {
    for (const text of ['GET / HTTP/9.9\r\n\r\n', '\0\0\0', 'GET /\r\n'.repeat(10)]) {
      await new Promise<void>((ended) => {
        const socket = connect(Number(new URL(web.url).port), '127.0.0.1', () => socket.end(text));
        socket
          .on('error', () => ended())
          .on('close', () => ended())
          .resume();
      });
    }
    expect((await get('/health')).status).toBe(200);
  });
});
