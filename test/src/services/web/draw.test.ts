/** Drawing on the web, over real HTTP. What a worker does is done here, step by step. */
import { randomUUID } from 'node:crypto';
import { request as ask } from 'node:http';
import { connect } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import sharp from 'sharp';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { samplePhoto } from '#infra/local/discord/samples/samples.ts';
import { PEOPLE } from '#infra/local/discord/world.ts';
import { bomb } from '#test/support/bombs.ts';
import { drawn } from '#test/support/drawn.ts';
import { finish, type Jar, jar, signInAs, startWebWithDiscord, type WebWithDiscord } from './visitors.ts';

let web: WebWithDiscord;
let url: string;
let db: typeof import('#src/doors/db.ts').db;
let taking: typeof import('#test/support/taking.ts');
let ending: typeof import('#src/batches/ending.ts');
let generations: typeof import('#src/generations/generations.ts');
let guests: typeof import('#config/tiers.ts').guests;

beforeAll(async () => {
  web = await startWebWithDiscord();
  ({ url } = web);
  ({ db } = await import('#src/doors/db.ts'));
  taking = await import('#test/support/taking.ts');
  ending = await import('#src/batches/ending.ts');
  generations = await import('#src/generations/generations.ts');
  ({ guests } = await import('#config/tiers.ts'));
});
afterAll(() => web?.close());

let addresses = 0;
const visitor = () => jar(url, `192.0.2.${++addresses}`);
const form = (changes: Record<string, string> = {}) => ({
  form: randomUUID(),
  prompt: 'portrait of a woman, red hair',
  steps: '10',
  tier: 'relax',
  ...changes,
});
const idOf = (response: Response) =>
  /^\/draw\/([0-9a-f-]{36})$/.exec(response.headers.get('location') ?? '')?.[1] ?? '';

/** Asks for pictures. @returns the batch's id */
async function drawAs(me: Jar, changes: Record<string, string> = {}): Promise<string> {
  const answer = await me.post('/draw', form(changes));
  expect([answer.status, idOf(answer)]).toEqual([303, expect.stringMatching(/./)]);
  return idOf(answer);
}
async function member(name: keyof typeof PEOPLE = 'member'): Promise<Jar> {
  const me = visitor();
  await signInAs(me, name);
  return me;
}
/** Reads a stream of events until `enough` of what came. */
async function events(me: Jar, path: string, enough: (text: string) => boolean): Promise<string> {
  const response = await me.get(path);
  expect([response.status, response.headers.get('content-type')]).toEqual([200, 'text/event-stream']);
  let text = '';
  const reader = response.body!.getReader();
  while (!enough(text)) {
    const { value, done } = await reader.read();
    if (done) break;
    text += Buffer.from(value).toString();
  }
  await reader.cancel();
  return text;
}

describe('the form', () => {
  it('is there for everybody, makes nobody a guest, and is kept by nobody', async () => {
    const me = visitor();
    const before = await db.user.count();
    const page = await me.get('/draw');
    expect([page.status, page.headers.get('cache-control'), [...me.cookies]]).toEqual([200, 'no-store', []]);
    expect(await page.text()).toContain('<textarea name="prompt"');
    expect(await db.user.count()).toBe(before);
  });

  it('draws for a guest, by the ledger, without a message in Discord', async () => {
    const me = visitor();
    const id = await drawAs(me, { count: '2' });
    const batch = await db.batch.findUniqueOrThrow({
      where: { id },
      include: { generations: true, deliveries: true },
    });
    expect(batch).toMatchObject({
      channelId: null,
      guildId: null,
      tier: 'relax',
      charged: 2,
      deliveries: [],
    });
    expect(batch.ownerId).toMatch(/^guest:/);
    expect(batch.generations.map(({ steps }) => steps)).toEqual([10, 10]);
    const owner = await db.user.findUniqueOrThrow({ where: { id: batch.ownerId } });
    expect(owner.tokens).toBe(guests.tokens - batch.charged);
    const page = await (await me.get(`/draw/${id}`)).text();
    expect(page).toContain('portrait of a woman, red hair');
    expect(page).toContain('<noscript><meta http-equiv="refresh"');
    // What they have left buys no more of these.
    const more = await me.post('/draw', form({ count: '4', prompt: 'another' }));
    expect(more.status).toBe(400);
    expect(await more.text()).toMatch(/That costs 4 tokens and you have 3\..*another/s);
  });

  it('sent twice at once asks once', async () => {
    const me = await member('other');
    const one = form({ prompt: 'sent twice' });
    const answers = await Promise.all([me.post('/draw', one), me.post('/draw', one), me.post('/draw', one)]);
    expect(new Set(answers.map(idOf)).size).toBe(1);
  });

  it.each<[string, Record<string, string>, RegExp]>([
    ['an empty prompt', { prompt: ' ' }, /The prompt is empty/],
    ['a prompt that breaks a rule', { prompt: 'a nude child' }, /draw that/],
    ['a parameter out of range', { guidance_scale: '99' }, /guidance_scale/],
    ['a shape that is none', { shape: 'round' }, /shape/],
    ['a tier that is none', { tier: 'now' }, /tier/],
    ['too many', { count: '5' }, /count/],
    ['no number', { count: 'x' }, /count/],
    ['a face of somebody else', { face: 'ada' }, /Sign in for that/],
  ])('says what is wrong with %s, keeps what was typed, and costs no guest', async (_, changes, says) => {
    const me = visitor();
    const before = await db.user.count();
    const answer = await me.post('/draw', form({ negative_prompt: 'hands & feet', ...changes }));
    expect([400, 403]).toContain(answer.status);
    const text = await answer.text();
    expect(text).toMatch(/role="alert"/);
    expect(text).toMatch(says);
    expect(text).toContain('hands &amp; feet');
    expect(await db.user.count()).toBe(before);
  });

  it('escapes what people write', async () => {
    const me = await member('other');
    const id = await drawAs(me, { prompt: '<script>alert(1)</script> "portrait" & more' });
    expect(await (await me.get(`/draw/${id}`)).text()).not.toContain('<script>alert');
    const answer = await me.post('/draw', form({ prompt: '</textarea><b>x', shape: 'round' }));
    expect(await answer.text()).toContain('&lt;/textarea&gt;&lt;b&gt;x');
  });

  it('gives operators’ parameters to nobody', async () => {
    const id = await drawAs(await member('other'), { production_mode: 'on', prompt: 'for the gallery' });
    expect(await db.batch.findUnique({ where: { id } })).toMatchObject({ production: false });
  });

  it('lets a few guests of one network in', async () => {
    const address = '2001:db8:1:2::';
    for (let i = 0; i < guests.perAddress; i++)
      expect(
        (await jar(url, `${address}${i + 1}`).post('/draw', form({ prompt: `network ${i}` }))).status,
      ).toBe(303);
    const one = await jar(url, `${address}ffff`).post('/draw', form());
    expect(one.status).toBe(429);
    expect(await one.text()).toContain('Several people have drawn from your network');
    expect((await jar(url, '2001:db8:1:3::1').post('/draw', form())).status).toBe(303);
  });

  it('takes no body that is large, no form, or slow', async () => {
    const me = visitor();
    const same = { origin: url, 'sec-fetch-site': 'same-origin' };
    const send = (body: string, type: string) =>
      me.send('/draw', { method: 'POST', body, headers: { ...same, 'content-type': type } });
    expect((await send(`prompt=${'x'.repeat(80_000)}`, 'application/x-www-form-urlencoded')).status).toBe(
      413,
    );
    expect((await send('<x/>', 'text/xml')).status).toBe(415);
    expect((await send('{"prompt":"x"}', 'application/json')).status).toBe(400);
    expect((await send('prompt=a&prompt=b', 'application/x-www-form-urlencoded')).status).toBe(400);
    expect((await send('', 'application/x-www-form-urlencoded')).status).toBe(400);
    expect((await me.post('/draw', { form: 'x', prompt: 'x' })).status).toBe(400);
  });
});

describe('what somebody asked for', () => {
  it('is theirs alone: page, stream, pictures and cancel', async () => {
    const [me, other, nobody] = [await member(), await member('other'), visitor()];
    const id = await drawAs(me, { prompt: 'mine alone' });
    const picture = await finish(id);
    for (const one of [other, nobody]) {
      for (const path of [
        `/draw/${id}`,
        `/draw/${id}/events`,
        `/draw/pictures/${picture}/320.webp`,
        `/draw/pictures/${picture}/full.png`,
      ]) {
        const answer = await one.get(path);
        expect([path, answer.status]).toEqual([path, 404]);
        expect(await answer.text()).not.toContain('mine alone');
      }
      expect((await one.post(`/draw/${id}/cancel`, {})).status).toBe(404);
      expect(await (await one.get('/draw/pictures')).text()).not.toContain('mine alone');
    }
    const thumbnail = await me.get(`/draw/pictures/${picture}/320.webp`);
    expect(thumbnail.headers.get('cache-control')).toMatch(/^private/);
    expect((await sharp(Buffer.from(await thumbnail.arrayBuffer())).metadata()).width).toBe(320);
    expect((await me.get(`/draw/pictures/${picture}/full.png`)).headers.get('content-type')).toBe(
      'image/png',
    );
    expect(await (await me.get('/draw/pictures')).text()).toContain('mine alone');
    for (const file of ['321.webp', 'full.jpg', '..%2f..%2fetc', 'preview-1.webp'])
      expect((await me.get(`/draw/pictures/${picture}/${file}`)).status).toBe(404);
  });

  it('is not shown while it is held, and the moderators read who asked', async () => {
    const me = visitor();
    const id = await drawAs(me, { prompt: 'held back' });
    const picture = await finish(id, { verdict: 'flagged', rule: 'classifier-flagged' });
    expect((await me.get(`/draw/pictures/${picture}/320.webp`)).status).toBe(400);
    expect(await (await me.get(`/draw/${id}`)).text()).toContain('held for review');
    const review = await db.review.findFirstOrThrow({
      where: { image: { generationId: picture } },
      include: { deliveries: true },
    });
    expect(review.deliveries.map(({ kind }) => kind)).toEqual(['review']);
    const { reviewCard } = await import('#src/cards/review.ts');
    expect(JSON.stringify(await reviewCard(review.id))).toContain('Asked by a guest on the web');
    const { decide } = await import('#src/moderation/reviews.ts');
    const { STAFF_ID } = await import('#test/support/staff.ts');
    const { actor } = await import('#test/support/requests.ts');
    await decide(actor({ id: STAFF_ID }), review.id, 'approved', null);
    // Nothing is sent to somebody who has no Discord.
    expect(await db.delivery.count({ where: { kind: 'notice', batchId: id } })).toBe(0);
    expect((await me.get(`/draw/pictures/${picture}/320.webp`)).status).toBe(200);
  });

  it('is cancelled, and its tokens come back', async () => {
    const me = await member('moderator');
    const id = await drawAs(me, { prompt: 'to be cancelled' });
    const before = (await db.user.findUniqueOrThrow({ where: { id: PEOPLE.moderator.id } })).tokens;
    expect((await me.post(`/draw/${id}/cancel`, {})).headers.get('location')).toBe(`/draw/${id}`);
    expect(await (await me.get(`/draw/${id}`)).text()).toContain('Cancelled. Its tokens are back.');
    expect((await db.user.findUniqueOrThrow({ where: { id: PEOPLE.moderator.id } })).tokens).toBe(before + 1);
  });

  it('fills the form in, for them alone', async () => {
    const [me, other] = [await member(), await member('other')];
    const id = await drawAs(me, { prompt: 'to be liked', guidance_scale: '6.5' });
    await finish(id);
    const { id: imageId } = await db.image.findFirstOrThrow({ where: { generation: { batchId: id } } });
    const mine = await (await me.get(`/draw?like=${imageId}`)).text();
    expect(mine).toContain('>to be liked</textarea>');
    expect(mine).toMatch(/name="guidance_scale" value="6.5"/);
    const others = await (await other.get(`/draw?like=${imageId}`)).text();
    expect(others).not.toContain('to be liked');
    expect(others).toContain('does not share');
    expect((await me.get('/draw?like=x')).status).toBe(200);
  });

  it('fills others’ forms in where it is published and its maker shares prompts', async () => {
    const [me, other] = [await member(), visitor()];
    const id = await drawAs(me, { prompt: 'to be shared' });
    await finish(id);
    const image = await db.image.findFirstOrThrow({ where: { generation: { batchId: id } } });
    const isSeen = async () =>
      (await (await other.get(`/draw?like=${image.id}`)).text()).includes('to be shared');
    const own = { userId: PEOPLE.member.id, name: 'share_prompts' };
    await db.parameterValue.create({ data: { ...own, value: true } });
    expect(await isSeen()).toBe(false);
    await db.image.update({
      where: { id: image.id },
      data: { visibility: 'published', collection: 'main', publishedAt: new Date() },
    });
    expect(await isSeen()).toBe(true);
    await db.image.update({ where: { id: image.id }, data: { verdict: 'flagged' } });
    expect(await isSeen()).toBe(false);
    await db.image.update({ where: { id: image.id }, data: { verdict: 'clear' } });
    await db.parameterValue.update({ where: { userId_name: own }, data: { value: false } });
    expect(await isSeen()).toBe(false);
  });

  it('is a person’s once the guest signs in, pictures and what waits', async () => {
    const me = visitor();
    const id = await drawAs(me, { prompt: 'as a guest', count: '2' });
    const picture = await finish(id);
    const guest = new Map(me.cookies);
    await signInAs(me, 'operator');
    expect((await me.get(`/draw/${id}`)).status).toBe(200);
    expect((await me.get(`/draw/pictures/${picture}/320.webp`)).status).toBe(200);
    await finish(id);
    expect(
      await db.generation.count({ where: { batchId: id, userId: PEOPLE.operator.id, state: 'done' } }),
    ).toBe(2);
    // The guest's own cookie is good for nothing any more.
    const old = visitor();
    for (const [name, value] of guest) old.cookies.set(name, value);
    expect((await old.get(`/draw/${id}`)).status).toBe(404);
  });
});

describe('progress', () => {
  it('comes as it is told, to its end', async () => {
    const me = await member();
    const id = await drawAs(me, { prompt: 'step by step' });
    const { id: picture } = await db.generation.findFirstOrThrow({ where: { batchId: id } });
    let drawing: Awaited<ReturnType<typeof taking.startGeneration>> = null;
    let seen = 0;
    // What happens next, once the page has heard of the last.
    const steps = [
      [/Waiting/, async () => (drawing = await taking.startGeneration(picture, 'w1'))],
      [
        /being drawn/,
        () => generations.reportProgress('w1', [{ id: picture, progress: 0.5, stage: 'base' }]),
      ],
      [
        /Sketching.*5 \/ 10/,
        () => ending.finishGeneration(drawing!, 'w1', drawn({ bundleHash: 'progress' })),
      ],
    ] as const;
    const text = await events(me, `/draw/${id}/events`, (soFar) => {
      const step = steps[seen];
      if (step?.[0].test(soFar)) {
        seen++;
        void step[1]();
      }
      return soFar.includes('event: end');
    });
    expect(seen).toBe(3);
    expect(text).toContain(`/draw/pictures/${picture}/640.webp`);
    expect(text).toMatch(/1 picture ready/);
    expect(text.trim().endsWith('event: end\ndata: {}')).toBe(true);
  });

  it('is streamed to a thousand who look on, who cost one question a second together', async () => {
    const { openGuest, originOf, visitorOf } = await import('#src/people/sessions.ts');
    const { openBatch } = await import('#src/batches/batches.ts');
    const { cell, request } = await import('#test/support/requests.ts');
    const people = await Promise.all(
      Array.from({ length: 50 }, async (_, i) => {
        const token = await openGuest(`network ${i}`);
        const { id } = await openBatch(
          originOf((await visitorOf(token))!, 'form'),
          request([cell({ prompt: `looked at ${i}` }, { steps: 10 })], { tier: 'relax' }),
        );
        return { token, id, address: `203.0.113.${i}` };
      }),
    );
    const { listen } = await import('#test/support/statements.ts');
    const streams: { status: number; parts: number; close(): void }[] = [];
    const open = ({ token, id, address }: (typeof people)[number]) =>
      new Promise<void>((opened, fail) => {
        const headers = { cookie: `session=${token}`, 'x-forwarded-for': address };
        const asked = ask(`${url}/draw/${id}/events`, { headers, agent: false }, (response) => {
          const stream = { status: response.statusCode ?? 0, parts: 0, close: () => asked.destroy() };
          streams.push(stream);
          response.on('data', (data: Buffer) => {
            if (data.includes('event: parts')) stream.parts++;
          });
          response.on('error', () => {});
          opened();
        });
        asked.on('error', fail);
        asked.end();
      });
    for (const person of people) await Promise.all(Array.from({ length: 20 }, () => open(person)));
    expect(streams).toHaveLength(1_000);
    expect(streams.filter(({ status }) => status === 200)).toHaveLength(1_000);
    // One more of somebody is refused, and of another let in.
    await open(people[0]!);
    expect(streams.at(-1)?.status).toBe(503);
    await expect
      .poll(() => streams.slice(0, 1_000).every(({ parts }) => parts > 0), { timeout: 15_000 })
      .toBe(true);
    const heard = listen();
    const looks = () =>
      heard.filter(({ text }) => text.includes("json_build_object('id', g.id, 'index'")).length;
    await expect.poll(looks, { timeout: 15_000 }).toBeGreaterThan(2);
    // Not one for each of a thousand.
    expect(looks()).toBeLessThan(10);
    // Others are answered meanwhile.
    expect((await visitor().get('/draw')).status).toBe(200);
    for (const { close } of streams) close();
  }, 60_000);
});

describe('face folders', () => {
  const photo = async (name: string) => Buffer.from((await samplePhoto(name))!.data);
  const upload = async (
    me: Jar,
    name: string,
    files: Readonly<Record<string, Buffer>>,
    headers: Record<string, string> = {},
  ) => {
    const body = new FormData();
    body.set('name', name);
    for (const [file, bytes] of Object.entries(files))
      body.append('photos', new Blob([new Uint8Array(bytes)]), file);
    return me.send('/draw/faces', {
      method: 'POST',
      body,
      headers: { origin: url, 'sec-fetch-site': 'same-origin', ...headers },
    });
  };

  it('are for those who signed in', async () => {
    expect((await visitor().get('/draw/faces')).headers.get('location')).toBe('/sign-in?to=/draw/faces');
    expect((await upload(visitor(), 'ada', { 'a.png': await photo('ada-1.jpg') })).status).toBe(403);
  });

  it('are filled, consented to and drawn with; others’ are out of reach', async () => {
    const [me, other] = [await member(), await member('other')];
    const sent = await upload(me, 'ada', {
      'a.png': await photo('ada-1.jpg'),
      'b.png': await photo('ada-2.jpg'),
    });
    expect(sent.status).toBe(303);
    const path = sent.headers.get('location')!;
    expect(await (await me.get(path)).text()).toContain('2 photos being looked at');
    const { finishFaceCheck } = await import('#src/faces.ts');
    const [a, b] = await db.facePhoto.findMany({ orderBy: { createdAt: 'asc' } });
    await finishFaceCheck(a!.id, 1);
    await finishFaceCheck(b!.id, 2);
    const page = await (await me.get(path)).text();
    expect(page).toContain('I am the person in these photos');
    expect(page).toContain('more than one face');
    const photos = /name="photos" value="([^"]+)"/.exec(page)![1]!;
    expect(photos.split(' ')).toHaveLength(1);
    const refused = await me.post('/draw', form({ face: 'ada' }));
    expect(await refused.text()).toContain('no photo with consent yet');
    for (const what of ['', '/consent', '/refuse', '/remove'])
      expect((await (what ? other.post(path + what, { photos }) : other.get(path))).status).toBe(404);
    expect((await me.post(`${path}/consent`, { photos })).status).toBe(303);
    expect(await db.auditEvent.findFirst({ where: { action: 'consent.given' } })).toMatchObject({
      actorId: PEOPLE.member.id,
    });
    const id = await drawAs(me, { face: 'ada', prompt: 'portrait of a woman, sea' });
    expect(await db.generation.findFirst({ where: { batchId: id } })).toMatchObject({
      faceId: path.split('/').at(-1),
    });
    expect((await me.post(`${path}/remove`, {})).headers.get('location')).toBe('/draw/faces');
    expect(await db.faceFolder.count({ where: { ownerId: PEOPLE.member.id } })).toBe(0);
    expect(await db.generation.findFirst({ where: { batchId: id } })).toMatchObject({
      state: 'failed',
      failure: 'gone',
    });
  });

  it.each<[string, () => Promise<Readonly<Record<string, Buffer>>>, RegExp]>([
    [
      'no picture',
      async () => ({ 'x.png': Buffer.from('<svg onload="alert(1)">') }),
      /not a picture I can read/,
    ],
    ['a bomb', async () => ({ 'bomb.png': await bomb(20_000, 20_000) }), /megapixels/],
    ['nothing', async () => ({ 'empty.png': Buffer.alloc(0) }), /Choose a photo/],
  ])('take no upload that is %s', async (_, files, says) => {
    const me = await member('other');
    const answer = await upload(me, 'bad', await files());
    expect(answer.status).toBe(400);
    const text = await answer.text();
    expect(text).toMatch(says);
    expect(text).not.toContain('<svg onload');
    expect(await db.faceFolder.count({ where: { ownerId: PEOPLE.other.id } })).toBe(0);
  });

  it('take none that is too large, too many, or no form', async () => {
    const me = await member('other');
    const png = await photo('ada-1.jpg');
    expect((await upload(me, 'bad', { 'large.png': Buffer.alloc(10 * 1024 * 1024 + 1, 1) })).status).toBe(
      413,
    );
    const six = Object.fromEntries(Array.from({ length: 6 }, (_, i) => [`${i}.png`, png]));
    expect((await upload(me, 'bad', six)).status).toBe(413);
    expect((await me.post('/draw/faces', { name: 'x' })).status).toBeGreaterThanOrEqual(400);
    expect((await upload(me, '../../etc', { 'a.png': png })).status).toBe(400);
    expect((await upload(me, 'a', { '../../x.png': Buffer.from('x') })).status).toBe(400);
  }, 30_000);

  it('let go of an upload that breaks off', async () => {
    const me = await member('moderator');
    const head = [
      'POST /draw/faces HTTP/1.1',
      `host: ${new URL(url).host}`,
      `origin: ${url}`,
      'sec-fetch-site: same-origin',
      `cookie: ${[...me.cookies].map(([name, value]) => `${name}=${value}`).join('; ')}`,
      'content-type: multipart/form-data; boundary=x',
      'content-length: 100000',
      '',
      '--x\r\ncontent-disposition: form-data; name="photos"; filename="a.png"\r\n\r\nhalf',
    ].join('\r\n');
    const another = async () => (await upload(me, 'b', { 'b.png': Buffer.from('x') })).status;
    // While it is coming in, another of the same person has to wait. It may have come second itself, and been refused.
    await expect
      .poll(
        async () => {
          const socket = connect(Number(new URL(url).port), '127.0.0.1');
          socket.on('error', () => {});
          socket.write(head);
          // So that it is the first, also on a machine that has other work.
          await sleep(200);
          const status = await another();
          socket.destroy();
          return status;
        },
        { timeout: 20_000 },
      )
      .toBe(429);
    await expect.poll(another, { timeout: 10_000 }).toBe(400);
  }, 40_000);
});
