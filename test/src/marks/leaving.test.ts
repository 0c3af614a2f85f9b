/**
 * What leaves by the wire has its marks: pictures, previews, sheets and blurred ones in Discord, and all that the web serves of them. Drawn
 * by nobody, finished by the worker's thread.
 */
import type { APIMessage } from 'discord-api-types/v10';
import sharp from 'sharp';
import { afterAll, afterEach, expect, it, vi } from 'vitest';
import { filesOf } from '#infra/local/discord/person.ts';
import { channelId, chooseReview, openCourier, openIn, until } from '../services/courier/local.ts';

const courier = await openCourier();
const { sandbox, start, settled } = courier;
const { db } = await import('#src/doors/db.ts');
const { finishGeneration } = await import('#src/batches/ending.ts');
const { identity, ourAuthorities } = await import('#src/marks/installation.ts');
const { readClaim } = await import('#src/marks/reader.ts');
const { look } = await import('#src/marks/look.ts');
const { detect } = await import('#src/marks/detect.ts');
const { generationDigits } = await import('#src/marks/payload.ts');
const { reportProgress } = await import('#src/generations/generations.ts');
const { openFinisher } = await import('#test/support/finishing.ts');
const { drawn } = await import('#test/support/drawn.ts');
const { startGeneration } = await import('#test/support/taking.ts');
const { startWeb } = await import('#src/services/web/web.ts');
const { drawPicture, publisher } = await import('../services/web/pictures.ts');
const { publishImage } = await import('#src/publishing.ts');

vi.setConfig({ testTimeout: 120_000 });
const WITHIN_MS = 40_000;

const finisher = openFinisher(await identity());
const { installation } = await identity();
const authorities = await ourAuthorities();
const web = await startWeb({ host: '127.0.0.1', port: 0 });
afterEach(courier.tidy);
afterAll(async () => {
  await web.close();
  await finisher.close();
  await courier.close();
});

async function bitmapOf(number: number) {
  const { png } = await drawPicture(number);
  const { data, info } = await sharp(png).removeAlpha().raw().toBuffer({ resolveWithObject: true });
  return { rgb: new Uint8Array(data), width: info.width, height: info.height };
}

/** Has the pictures of a batch drawn, and its rows written, as a worker does. */
async function finishAll(batchId: string, verdict: 'clear' | 'flagged' = 'clear'): Promise<string[]> {
  const waiting = await db.generation.findMany({ where: { batchId }, orderBy: { index: 'asc' } });
  for (const { id, index } of waiting) {
    const taken = await startGeneration(id, 'w1');
    const { png, width, height, sha256, thumbhash } = await finisher.picture(await bitmapOf(index), id);
    const made = { png: Buffer.from(png), width, height, sha256, thumbhash, verdict };
    await finishGeneration(taken!, 'w1', drawn(made));
  }
  return waiting.map(({ id }) => id);
}

/** Every picture that a channel and its threads show now, by its name. */
async function filesIn(channel: string): Promise<Map<string, Buffer>> {
  const id = channelId(sandbox, channel);
  const threads = [...sandbox.state.channels.values()].filter(({ parentId }) => parentId === id);
  const files = new Map<string, Buffer>();
  for (const place of [id, ...threads.map((thread) => thread.id)]) {
    // As somebody's client asks: addresses are signed anew each time.
    const headers = { authorization: `Bot ${process.env.DISCORD_TOKEN}` };
    const answer = await fetch(`${sandbox.apiUrl}/v10/channels/${place}/messages?limit=50`, { headers });
    for (const { filename, url } of ((await answer.json()) as APIMessage[]).flatMap(filesOf))
      if (/\.(png|jpg|webp)$/.test(filename))
        files.set(filename, Buffer.from(await (await fetch(url)).arrayBuffer()));
  }
  return files;
}

async function expectMarked(name: string, bytes: Buffer, source = 'trainedAlgorithmicMedia'): Promise<void> {
  const { format, xmp, exif, iptc } = await sharp(bytes).metadata();
  expect([name, exif, iptc]).toEqual([name, undefined, undefined]);
  expect(xmp?.toString(), name).toContain(`digitalsourcetype/${source}<`);
  if (format !== 'png' && format !== 'jpeg' && format !== 'webp' && format !== 'heif')
    throw new Error(`${name} is a ${format}`);
  expect(await readClaim(bytes, format, authorities), name).toMatchObject({
    intact: true,
    known: true,
    source,
  });
}

const markOf = async (bytes: Buffer) => {
  const seen = await look(bytes, authorities);
  return 'why' in seen ? seen.why : seen.mark;
};

it('in Discord: previews, pictures, and the same made smaller where there is less room', async () => {
  await start();
  const { batch } = await openIn(sandbox, { prompt: 'a secret garden' });
  await settled(batch.id);
  const [row] = await db.generation.findMany({ where: { batchId: batch.id } });
  const taken = await startGeneration(row!.id, 'w1');
  const small = await sharp((await drawPicture(0)).png)
    .resize(77)
    .removeAlpha()
    .raw()
    .toBuffer();
  const preview = await finisher.preview({ rgb: new Uint8Array(small), width: 77, height: 96 });
  (await reportProgress('w1', [{ id: row!.id, progress: 0.4, stage: 'base', preview }])).wake();
  const shown = await until(
    async () => {
      const files = await filesIn('portraits');
      return [...files.keys()].some((name) => name.startsWith('preview-')) && files;
    },
    'a preview',
    WITHIN_MS,
  );
  for (const [name, bytes] of shown) await expectMarked(name, bytes);

  // Discord takes so little here that it has to be made smaller.
  sandbox.misbehave({ fileMax: 200_000 });
  const { png, width, height, sha256, thumbhash } = await finisher.picture(await bitmapOf(4), row!.id);
  expect(png.length).toBeGreaterThan(200_000);
  await finishGeneration(taken!, 'w1', drawn({ png: Buffer.from(png), width, height, sha256, thumbhash }));
  await settled(batch.id);
  const [[name, bytes] = ['', Buffer.alloc(0)]] = await until(
    async () => {
      const files = [...(await filesIn('portraits'))];
      return files.some(([name]) => name.startsWith('picture-1-')) && files;
    },
    'the picture',
    WITHIN_MS,
  );
  expect(name).toMatch(/\.webp$/);
  await expectMarked(name, bytes);
  expect(bytes.toString('latin1')).not.toMatch(/secret|garden/);
  expect(await markOf(bytes)).toEqual({ installation, generation: generationDigits(row!.id) });
});

it('in Discord: contact sheets, and for moderators what is held', async () => {
  await start();
  const { batch, actor } = await openIn(sandbox, {
    kind: 'sweep',
    cells: [0, 1, 2, 3].map((n) => ({ coordinates: { steps: String(n % 2), seed: String(n >> 1) } })),
  });
  await chooseReview(sandbox, actor);
  await settled(batch.id, 'status');
  await finishAll(batch.id);
  const sheets = await until(
    async () => {
      const all = await filesIn('portraits');
      return [...all.keys()].some((name) => /sheet|overview/.test(name)) && all;
    },
    'a sheet',
    WITHIN_MS,
  );
  for (const [name, bytes] of sheets)
    await expectMarked(
      name,
      bytes,
      /sheet|overview/.test(name) ? 'compositeWithTrainedAlgorithmicMedia' : undefined,
    );

  const { batch: held } = await openIn(sandbox, {});
  await finishAll(held.id, 'flagged');
  const review = await until(
    async () => {
      const files = await filesIn('review');
      return [...files.keys()].some((name) => /held-/.test(name)) && files;
    },
    'a blurred picture',
    WITHIN_MS,
  );
  for (const [name, bytes] of review) await expectMarked(name, bytes);
});

it('on the web: variants of each format and width, cards, downloads', async () => {
  const { openedBatch } = await import('#test/support/opened.ts');
  const { cell, origin, request } = await import('#test/support/requests.ts');
  const owner = { ...publisher(), guildId: sandbox.state.world.guilds[0].id };
  const batch = await openedBatch(origin({ actor: owner }), request([cell({})], { production: true }));
  const [id = ''] = await finishAll(batch.id);
  const image = await db.image.findUniqueOrThrow({ where: { generationId: id } });
  await publishImage(owner, image.id);
  const page = await until(
    async () => {
      const answer = await fetch(`${web.url}/pictures/${image.id}`);
      return answer.ok && answer.text();
    },
    'its page',
    WITHIN_MS,
  );
  const [, card = ''] = /property="og:image" content="https:\/\/gallery\.example([^"]+)"/.exec(page) ?? [];
  const addresses = [
    ...['avif', 'webp', 'jpg'].flatMap((format) =>
      ['240', 'dense', 'full'].map((width) => `/img/${image.id}/${width}.${format}`),
    ),
    card,
    `/api/v1/pictures/${id}/content`,
    `/api/v1/pictures/${id}/content?width=320`,
  ];
  for (const address of addresses) {
    const answer = await fetch(web.url + address);
    expect([address, answer.status]).toEqual([address, 200]);
    const bytes = Buffer.from(await answer.arrayBuffer());
    await expectMarked(address, bytes);
    // What is half as wide, or of half the quality, may have lost it.
    if (/full|content$/.test(address))
      expect(await markOf(bytes), address).toEqual({ installation, generation: generationDigits(id) });
  }
  // And whoever finds it learns that it is public, and where.
  const found = await detect(
    'somebody',
    Buffer.from(await (await fetch(web.url + card)).arrayBuffer()),
    'x.jpg',
  );
  expect(found.watermark).toMatchObject({ isOurs: true, pictures: [{ id: image.id }] });
});
