import { randomUUID } from 'node:crypto';
import { mkdir, writeFile } from 'node:fs/promises';
import { connect } from 'node:net';
import { join } from 'node:path';
import sharp from 'sharp';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { config } from '#config/env.ts';
import { db, type Image } from '#src/doors/db.ts';
import { metricsText } from '#src/doors/metrics.ts';
import { deleteFolder } from '#src/doors/storage.ts';
import { publishImage, unpublishImage } from '#src/publishing.ts';
import { site } from '#src/services/web/layout.ts';
import { startWeb } from '#src/services/web/web.ts';
import { publishMany } from '#test/bench/gallery-pictures.ts';
import { readScrape } from '#test/support/prometheus.ts';
import { type Made, makePicture } from './pictures.ts';

let web: Awaited<ReturnType<typeof startWeb>>;
let shown: Made;
beforeAll(async () => {
  web = await startWeb({ host: '127.0.0.1', port: 0 });
  shown = await published(4); // 832 × 1216
});
afterAll(() => web.close());

/** In the gallery, and known to the service. */
async function published(number: number): Promise<Made> {
  const made = await makePicture(number);
  await publishImage(made.owner, made.image.id);
  await until(`/pictures/${made.image.id}`, 200);
  return made;
}
const until = (path: string, status: number) =>
  vi.waitFor(async () => expect((await get(path)).status).toBe(status), { timeout: 10_000, interval: 50 });

const get = (path: string, headers: Record<string, string> = {}) => fetch(web.url + path, { headers });
const img = ({ id }: Pick<Image, 'id'>, file: string, headers = {}) => get(`/img/${id}/${file}`, headers);

describe('pictures', () => {
  it.each([
    ['360.avif', 'image/avif', 360],
    ['640.webp', 'image/webp', 640],
    ['full.jpg', 'image/jpeg', 832],
    ['dense.avif', 'image/avif', 320],
    ['dense.jpg', 'image/jpeg', 320],
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
    const { image } = await published(2);
    const all = await Promise.all(Array.from({ length: 20 }, () => img(image, '360.webp')));
    expect(new Set(all.map(({ status }) => status))).toEqual(new Set([200]));
    expect(new Set(all.map(({ headers }) => headers.get('etag'))).size).toBe(1);
  });

  it.each([
    ['image/avif,image/webp,*/*', 'image/avif'],
    ['image/webp,*/*', 'image/webp'],
    ['*/*', 'image/jpeg'],
  ])('without a name of a format come as what is taken: %s', async (accept, type) => {
    const response = await img(shown.image, '240', { accept });
    expect(response.headers.get('content-type')).toBe(type);
    expect(response.headers.get('vary')).toBe('accept');
    // Also from memory.
    expect((await img(shown.image, '240', { accept })).headers.get('content-type')).toBe(type);
  });

  it.each([
    ['bytes=0-9', 206, 'bytes 0-9/', 10],
    ['bytes=-5', 206, 'bytes ', 5],
    ['bytes=99999999-', 416, 'bytes */', 0],
    ['bytes=5-1', 200, null, null],
    ['lines=1-2', 200, null, null],
  ] as const)('come in part where somebody asks for %s', async (range, status, part, length) => {
    const whole = Buffer.from(await (await img(shown.image, '240.webp')).arrayBuffer());
    const response = await img(shown.image, '240.webp', { range });
    const bytes = Buffer.from(await response.arrayBuffer());
    expect(response.status).toBe(status);
    if (part === null) return expect(bytes).toEqual(whole);
    expect(response.headers.get('content-range')?.startsWith(part)).toBe(true);
    expect(response.headers.get('content-range')?.endsWith(`/${whole.length}`)).toBe(true);
    if (status === 206)
      expect(bytes).toEqual(range === 'bytes=-5' ? whole.subarray(-length) : whole.subarray(0, length));
  });

  it.each([
    '321.avif',
    '640.png',
    '641',
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
    expect((await img(image, '360.webp')).status).toBe(404);
    expect((await get(`/pictures/${image.id}`)).status).toBe(404);
    expect(await (await get('/')).text()).not.toContain(image.id);
  });

  it('are gone from every process soon after they were taken down, also for who had them', async () => {
    const other = await startWeb({ host: '127.0.0.1', port: 0 });
    try {
      const { image, owner } = await published(1);
      const etag = (await img(image, '360.webp')).headers.get('etag')!;
      await unpublishImage(owner, image.id);
      for (const { url } of [web, other]) {
        const still = async () =>
          Promise.all(
            [`/img/${image.id}/360.webp`, `/pictures/${image.id}`, '/', '/feed.json', '/sitemap.xml'].map(
              async (path, n) => {
                const response = await fetch(url + path, { headers: { 'if-none-match': etag } });
                return n < 2 ? response.status === 404 : !(await response.text()).includes(image.id);
              },
            ),
          );
        await expect.poll(still, { timeout: 10_000 }).toEqual([true, true, true, true, true]);
      }
    } finally {
      await other.close();
      // One process serves at one address.
      site.origin = web.url;
    }
  });

  it('whose bytes are lost are not there, without a stack', async () => {
    const { image } = await makePicture(1);
    await db.image.update({
      where: { id: image.id },
      data: { visibility: 'published', collection: 'main', publishedAt: new Date() },
    });
    await deleteFolder(image.storageKey);
    await until(`/pictures/${image.id}`, 200);
    const response = await img(image, '360.webp');
    expect(response.status).toBe(404);
    expect(await response.text()).not.toMatch(/ENOENT|at async|node:/);
  });
});

describe('pages', () => {
  it('carry strict headers, no script but ours, and no prompt that nobody shares', async () => {
    for (const path of ['/', `/pictures/${shown.image.id}`, '/about', '/nowhere', '/?before=x']) {
      const response = await get(path);
      const text = await response.text();
      expect(text).not.toMatch(/secret| style="| on\w+="|javascript:/);
      for (const [script] of text.matchAll(/<script[^>]*>/g)) expect(script).toMatch(/src="\/assets\//);
      expect(response.headers.get('x-content-type-options')).toBe('nosniff');
      expect(response.headers.get('referrer-policy')).toBe('same-origin');
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
    const [last] = await publishMany(40, 2);
    await until(`/pictures/${last}`, 200);
    const first = await (await get('/')).text();
    const next = /href="(\/\?before=[\w-]+)"/.exec(first)?.[1];
    const second = await (await get(next!)).text();
    const idsOf = (text: string) => [...text.matchAll(/href="\/pictures\/([\w-]+)"/g)].map(([, id]) => id);
    expect(idsOf(first)).toHaveLength(36);
    expect(idsOf(second).length).toBeGreaterThan(0);
    expect(idsOf(second).some((id) => idsOf(first).includes(id))).toBe(false);
    expect(second).toContain('>Newest pictures<');
  });

  it('show prompt, parameters and name of those who share them, and find the picture by its words', async () => {
    const { image, owner } = await published(0);
    const page = `/pictures/${image.id}`;
    await db.generation.update({
      where: { id: image.generationId },
      data: { prompt: 'an unmistakable lighthouse keeper', parameters: { steps: 31 }, seed: 4242 },
    });
    const text = async (path: string) => (await get(path)).text();
    const set = (name: string, value: boolean | string) =>
      db.parameterValue.upsert({
        where: { userId_name: { userId: owner.id, name } },
        create: { userId: owner.id, name, value },
        update: { value },
      });
    // Words are kept when a picture is published.
    await db.image.update({ where: { id: image.id }, data: { visibility: 'private' } });
    await db.image.update({ where: { id: image.id }, data: { visibility: 'published' } });
    expect(await text('/search?q=lighthouse')).not.toContain(image.id);
    await set('share_prompts', true);
    await set('maker_name', 'keeper-of-tests');
    await expect.poll(() => text(page), { timeout: 10_000 }).toContain('unmistakable lighthouse keeper');
    const shared = await text(page);
    for (const part of ['4242', '31', '/makers/keeper-of-tests', `/draw?like=${image.id}`])
      expect(shared).toContain(part);
    expect(await text('/search?q=lighthouses')).toContain(image.id);
    expect(await text('/makers/keeper-of-tests')).toContain(image.id);
    expect(await text('/search?q=lighthouse+-keeper')).not.toContain(image.id);

    await set('share_prompts', false);
    await expect.poll(() => text(page), { timeout: 10_000 }).not.toContain('lighthouse');
    await expect.poll(() => text('/search?q=lighthouse'), { timeout: 10_000 }).not.toContain(image.id);
  });

  it('are of a collection, of the curated, or nobody’s', async () => {
    const { image } = await published(0);
    const text = async (path: string) => (await get(path)).text();
    expect(await text('/collections/main')).toContain(image.id);
    expect(await text('/collections/landscapes')).not.toContain(image.id);
    expect(await text('/curated')).not.toContain(image.id);
    await db.image.update({
      where: { id: image.id },
      data: { collection: 'landscapes', curatedAt: new Date() },
    });
    await expect.poll(() => text('/collections/landscapes'), { timeout: 10_000 }).toContain(image.id);
    expect(await text('/collections/main')).not.toContain(image.id);
    expect(await text('/curated')).toContain(image.id);
    await db.image.update({ where: { id: image.id }, data: { collection: 'of-nobody' } });
    await until(`/pictures/${image.id}`, 404);
    expect((await get('/collections/of-nobody')).status).toBe(404);
  });

  it('are told to machines: feeds, a map, and cards of links', async () => {
    const { image } = await published(4);
    const json = (await (await get('/feed.json')).json()) as {
      version: string;
      items: { id: string; url: string }[];
    };
    expect(json.version).toBe('https://jsonfeed.org/version/1.1');
    expect(json.items[0]?.url).toBe(`${web.url}/pictures/${image.id}`);
    const atom = await get('/feed.atom');
    expect(atom.headers.get('content-type')).toMatch(/application\/atom\+xml/);
    expect(await atom.text()).toContain(`${web.url}/pictures/${image.id}`);
    expect(await (await get('/sitemap.xml')).text()).toContain(`<loc>${web.url}/pictures/${image.id}</loc>`);
    expect(await (await get('/robots.txt')).text()).toContain(`Sitemap: ${web.url}/sitemap.xml`);
    const page = await (await get(`/pictures/${image.id}`)).text();
    expect(page).toContain(`<meta property="og:image" content="${web.url}/img/${image.id}/full.jpg">`);
    expect(page).toContain(`<link rel="canonical" href="${web.url}/pictures/${image.id}">`);
    const found = await get(`/feed.json`, {
      'if-none-match': (await get('/feed.json')).headers.get('etag')!,
    });
    expect(found.status).toBe(304);
  });

  it('take a report once it was meant: the picture is out of sight until somebody decides', async () => {
    const { image } = await published(0);
    const path = `/pictures/${image.id}/report`;
    expect(await (await get(path)).text()).toContain('Report this picture');
    const post = (origin: string) =>
      fetch(web.url + path, { method: 'POST', headers: { origin }, body: new URLSearchParams() });
    expect((await post('https://elsewhere.example')).status).toBe(403);
    await until(`/pictures/${image.id}`, 200);
    expect(await (await post(web.url)).text()).toContain('Thank you');
    await until(`/pictures/${image.id}`, 404);
    expect(await db.review.findFirst({ where: { imageId: image.id } })).toMatchObject({
      state: 'pending',
      cause: 'report',
    });
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

it('counts what it answered, from memory too, and not what asks for its health', async () => {
  const told = async () => {
    const { values } = readScrape(await metricsText());
    return (status: string) => values('atelier_web_requests_total', { status })[0] ?? 0;
  };
  const etag = (await get('/')).headers.get('etag') ?? '';
  const before = await told();
  for (const path of ['/', '/', '/about', '/healthz', '/readyz', '/nowhere']) await (await get(path)).text();
  await get('/', { 'if-none-match': etag });
  const after = await told();
  expect(after('2xx') - before('2xx')).toBe(3);
  expect(after('3xx') - before('3xx')).toBe(1);
  expect(after('4xx') - before('4xx')).toBe(1);
  expect(after('5xx')).toBe(before('5xx'));
});

describe('/readyz', () => {
  it('says that the database is reached', async () => {
    const response = await get('/readyz');
    expect(response.status).toBe(200);
    expect(await response.json()).toEqual({ ok: true, database: true });
  });
});

describe('bad input', () => {
  it('answers at once who says of what type a body is, and sends none', async () => {
    for (const path of ['/', '/api/v1/batches', '/draw']) {
      const answer = await new Promise<string>((done) => {
        let text = '';
        const head = `POST ${path} HTTP/1.1\r\nHost: x\r\nOrigin: ${web.url}\r\nContent-Type: application/json\r\nConnection: close\r\n\r\n`;
        const socket = connect(Number(new URL(web.url).port), '127.0.0.1', () => socket.write(head));
        socket.on('data', (part) => (text += part)).on('close', () => done(text));
      });
      expect(answer).toMatch(/^HTTP\/1\.1 4\d\d /);
    }
  });

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
    expect((await get('/readyz')).status).toBe(200);
  });
});
