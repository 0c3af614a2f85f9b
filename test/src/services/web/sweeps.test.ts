/** A sweep's page over real HTTP: who sees it, every view of it, and its mark. */
import type { APIAttachment } from 'discord-api-types/v10';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { readComponents } from '#infra/local/discord/components.ts';
import { Faults } from '#infra/local/discord/discord-error.ts';
import { PEOPLE, type PersonName, STAFF } from '#infra/local/discord/world.ts';
import { jar, startWebWithDiscord, visitors, type WebWithDiscord } from './visitors.ts';

// Before anything of ours is imported: the local Discord's first guild is the platform's own.
Object.assign(process.env, STAFF, { DISCORD_TOKEN: 'local.a-token-of-thirty-characters-or-more' });

const NOT_THERE = '11111111-1111-4111-8111-111111111111';
const AXES = { detail_strength: [0.2, 0.5, 0.8], steps: [10, 20], seed: [1, 2] };

let web: WebWithDiscord;
let db: typeof import('#src/doors/db.ts').db;
let makeSweep: typeof import('./sweep-rows.ts').makeSweep;
/** 12 pictures of a member's, asked for in a guild that is not the platform's own: see `changes` */
let sweep: Awaited<ReturnType<typeof makeSweep>>;

beforeAll(async () => {
  web = await startWebWithDiscord();
  ({ db } = await import('#src/doors/db.ts'));
  ({ makeSweep } = await import('./sweep-rows.ts'));
  sweep = await makeSweep({
    ownerId: PEOPLE.member.id,
    batch: { guildId: salon().id },
    axes: AXES,
    drawings: 1,
    changes: (number) => {
      if (number === 3) return { generation: { state: 'failed', failure: 'memory_short' } };
      if (number === 4) return { image: { verdict: 'flagged', likeness: 0.99 } };
      if (number === 5) return { image: { deletedAt: new Date() } };
      if (number === 6) return { image: { visibility: 'published' } };
      if (number === 7) return { generation: { prompt: 'another <i>prompt</i>' } };
      return undefined;
    },
  });
});
afterAll(() => web?.close());

const salon = () => web.sandbox.state.world.guilds[1];

const as = visitors(() => web.url);

/** The page as text, tags left out of what is not asked for by them. */
async function page(query = '', id = sweep.id, person: PersonName = 'member'): Promise<string> {
  const response = await (await as(person)).get(`/sweeps/${id}${query && `?${query}`}`);
  expect(response.status).toBe(200);
  return response.text();
}
/** Numbers of the pictures in the table or list, row by row. */
const cells = (html: string) =>
  [...html.matchAll(/class="cell[^"]*" id="c(\d+)"/g)].map(([, n]) => Number(n));
const heads = (html: string, scope: 'col' | 'row') =>
  [...html.matchAll(new RegExp(`<th scope="${scope}">([^<]*)`, 'g'))].map(([, name]) => name?.trim());
const faults = (html: string) =>
  [...(html.match(/<div class="fault">(.*?)<\/div>/)?.[1] ?? '').matchAll(/<p>(.*?)<\/p>/g)].map(
    ([, one]) => one,
  );
const line = (html: string) => html.match(/<p id="line"[^>]*>(.*?)<\/p>/)?.[1];
const panel = (html: string) => html.match(/<section class="panel.*?<\/section>/s)?.[0] ?? '';
const files = (html: string) =>
  new Set([...html.matchAll(/\/pictures\/([0-9a-f-]{36})\//g)].map(([, id]) => id));

describe('who sees a sweep', () => {
  it('is whoever asked for it', async () => {
    const html = await page();
    expect(html).toContain('<h1>Strength by scheduler</h1>');
    expect(html).not.toContain('by somebody else');
  });

  it('is an operator of the platform', async () => {
    expect(await page('', sweep.id, 'operator')).toContain('you see it as an operator of the platform');
  });

  describe('who looks after the guild where it was asked for', () => {
    const own = () => salon().members.get(PEOPLE.moderator.id)!;
    const manages = () => salon().roles.find(({ name }) => name === 'Operators')!.id;
    const asked = (batch: object = { guildId: salon().id }, axes = {}) =>
      makeSweep({ ownerId: PEOPLE.member.id, batch, axes, drawings: 1 });
    const seen = async ({ id }: { id: string }) =>
      (await (await as('moderator')).get(`/sweeps/${id}`)).status;
    let before: string[];

    beforeAll(() => {
      before = own().splice(0);
    });
    afterAll(() => void own().splice(0, own().length, ...before));

    it('does, by Manage Server as by a role that the guild names, and not as a mere member', async () => {
      expect(await seen(await asked())).toBe(404);
      own().push(manages());
      const { id } = await asked();
      expect(await page('', id, 'moderator')).toContain('you see it as you look after their server');
      const named = salon().roles.find(({ name }) => name === 'Moderators')!.id;
      own().splice(0, 1, named);
      expect(await seen(await asked())).toBe(404);
      const settings = { id: salon().id, moderatorRoleIds: [named] };
      await db.guildSettings.upsert({ where: { id: salon().id }, create: settings, update: settings });
      expect(await seen(await asked())).toBe(200);
    });

    it('does not see what was asked for elsewhere, or where the bot was no member', async () => {
      own().splice(0, own().length, manages());
      for (const batch of [
        { guildId: null },
        { guildId: STAFF.STAFF_GUILD_ID },
        { guildId: salon().id, botInside: false },
        { guildId: '1' },
      ])
        expect(await seen(await asked(batch))).toBe(404);
    });

    it('is asked of Discord once for all pictures of a page, and again some seconds later', async () => {
      own().splice(0, own().length, manages());
      const { id, pictures } = await asked({ guildId: salon().id }, AXES);
      const members = vi.spyOn(web.sandbox.state, 'member');
      const moderator = await as('moderator');
      const answers = await Promise.all(
        pictures.map((one) => moderator.get(`/sweeps/${id}/pictures/${one}/320.webp`)),
      );
      expect(answers.map(({ status }) => status)).toEqual(pictures.map(() => 200));
      // In the platform's own guild, and in this one.
      expect(members).toHaveBeenCalledTimes(2);
      own().splice(0);
      expect(await seen({ id })).toBe(200);
      const now = performance.now.bind(performance);
      vi.spyOn(performance, 'now').mockImplementation(() => now() + 5_000);
      expect(await seen({ id })).toBe(404);
      vi.restoreAllMocks();
    });
  });

  it('is nobody else: to them it is as if there were none', async () => {
    const other = await as('other');
    const [there, not] = await Promise.all(
      [sweep.id, NOT_THERE].map(async (id) => {
        const response = await other.get(`/sweeps/${id}`);
        return { status: response.status, text: await response.text() };
      }),
    );
    expect(there).toEqual(not);
    expect(there!.status).toBe(404);
    for (const id of [sweep.id, NOT_THERE]) {
      const picture = sweep.pictures[0]!;
      expect((await other.get(`/sweeps/${id}/pictures/${picture}/320.webp`)).status).toBe(404);
      expect((await other.post(`/sweeps/${id}/best`, { picture: '1' })).status).toBe(404);
    }
    expect((await other.get('/sweeps/nonsense')).status).toBe(404);
  });

  it('signs in first, be it there or not', async () => {
    const guest = jar(web.url, '198.51.100.99');
    await guest.post('/draw', { form: crypto.randomUUID(), prompt: 'a guest’s own' });
    for (const visitor of [jar(web.url), guest])
      for (const id of [sweep.id, NOT_THERE]) {
        const response = await visitor.get(`/sweeps/${id}?seed=2&compare=2%2C4`);
        expect(response.status).toBe(403);
        const [, to = ''] = /href="\/sign-in\?to=([^"]*)"/.exec(await response.text())!;
        expect(decodeURIComponent(to)).toBe(`/sweeps/${id}?seed=2&compare=2%2C4`);
        expect((await visitor.post(`/sweeps/${id}/best`, { picture: '1' })).status).toBe(403);
        expect((await visitor.get(`/sweeps/${id}/pictures/${sweep.pictures[0]}/full.png`)).status).toBe(404);
      }
  });

  it('is kept by nobody else’s browser', async () => {
    const response = await (await as('member')).get(`/sweeps/${sweep.id}`);
    expect(response.headers.get('cache-control')).toBe('no-store');
    expect(response.headers.get('content-security-policy')).not.toContain('unsafe');
  });
});

describe('a view', () => {
  it('has the longest axis in rows, the next in columns, and tabs of the others', async () => {
    const html = await page();
    expect(heads(html, 'row')).toEqual(['0.2', '0.5', '0.8']);
    expect(heads(html, 'col')).toEqual(['10', '20']);
    expect(cells(html)).toEqual([1, 3, 5, 7, 9, 11]);
    expect(html).toMatch(/<nav class="tabs" aria-label="Seed">.*aria-current="true">1<\/a>.*>2<\/a><\/nav>/);
  });

  it.each([
    ['rows=seed&columns=detail_strength', ['1', '2'], ['0.2', '0.5', '0.8'], [1, 5, 9, 2, 6, 10]],
    ['rows=seed&columns=detail_strength&steps=20', ['1', '2'], ['0.2', '0.5', '0.8'], [3, 7, 11, 4, 8, 12]],
    ['columns=detail_strength', ['10', '20'], ['0.2', '0.5', '0.8'], [1, 5, 9, 3, 7, 11]],
    // The same twice is no table: the other makes way.
    ['rows=steps&columns=steps', ['10', '20'], ['0.2', '0.5', '0.8'], [1, 5, 9, 3, 7, 11]],
    ['seed=2', ['0.2', '0.5', '0.8'], ['10', '20'], [2, 4, 6, 8, 10, 12]],
    // The tab of the picture that is open.
    ['picture=12', ['0.2', '0.5', '0.8'], ['10', '20'], [2, 4, 6, 8, 10, 12]],
    ['picture=12&seed=1', ['0.2', '0.5', '0.8'], ['10', '20'], [1, 3, 5, 7, 9, 11]],
  ])('%s', async (query, rows, columns, numbers) => {
    const html = await page(query);
    expect([heads(html, 'row'), heads(html, 'col'), cells(html)]).toEqual([rows, columns, numbers]);
    expect(faults(html)).toEqual([]);
  });

  it('is found again by every link of it', async () => {
    const html = await page('rows=seed&columns=steps&detail_strength=0.5&min=0.4&picture=8');
    const links = [...html.matchAll(/href="(\/sweeps\/[^"#]*)[^"]*"/g)].map(([, href]) =>
      href!.replaceAll('&amp;', '&'),
    );
    for (const href of links.filter((one) => !one.includes('/pictures/'))) {
      const query = new URL(href, web.url).searchParams;
      expect([query.get('rows'), query.get('columns')]).toEqual(['seed', 'steps']);
    }
    // The form has what is not in it along.
    expect(html).toContain('<input type="hidden" name="detail_strength" value="0.5">');
    expect(html).toContain('<input type="hidden" name="picture" value="8">');
  });

  it('tells how all of it stands, and why some of it failed', async () => {
    const html = await page();
    expect(line(html)).toBe('9 done · 1 held for review · 1 failed · 1 deleted.');
    expect(html).toContain('Picture 3 failed: It needs more memory than our machines have.');
  });

  it.each([
    ['rows=nonsense', 'No axis of this sweep is called “nonsense”. There is: detail strength, steps, seed.'],
    ['columns=<b>', 'No axis of this sweep is called “&lt;b&gt;”. There is: detail strength, steps, seed.'],
    ['seed=9', '“9” is no value of seed here. “1” is shown.'],
    ['picture=99', 'There is no picture 99: they are numbered from 1 to 12.'],
    ['picture=0', 'There is no picture 0: they are numbered from 1 to 12.'],
    ['picture=-1e9', 'There is no picture -1e9: they are numbered from 1 to 12.'],
    ['compare=2,x', 'There is no picture x: they are numbered from 1 to 12.'],
    ['compare=1,2,3', 'Only two pictures can be compared: these are the first two.'],
    ['min=much', '“much” is no number, so nothing is left out for being less than it.'],
    ['max=1e999', '“1e999” is no number, so nothing is left out for being more than it.'],
    ['score=beauty', 'No picture of this sweep has a score called “beauty”.'],
  ])('says what it does not have: %s', async (query, sentence) => {
    expect(faults(await page(query))).toEqual([sentence]);
  });

  it('takes nothing else amiss', async () => {
    expect(faults(await page('utm=1&rows=&min=&picture=&compare=,&__proto__=x'))).toEqual([]);
    expect(cells(await page('rows=steps&rows=seed'))).toEqual([1, 5, 9, 3, 7, 11]);
  });

  it('is a list where there is one axis, or none', async () => {
    const { id } = await makeSweep({
      ownerId: PEOPLE.member.id,
      axes: { sample: ['1: steps 10', '2: steps 30', '3: steps 20'] },
    });
    const html = await page('', id);
    expect(html).not.toContain('<table');
    expect(html).toContain('<p>2: steps 30</p>');
    expect(cells(await page('min=0.42', id))).toEqual([2, 3]);
    const alone = await makeSweep({ ownerId: PEOPLE.member.id, axes: {} });
    expect(cells(await page('', alone.id))).toEqual([1]);
  });

  it('leaves the place of what was not asked for empty', async () => {
    const { id, pictures } = await makeSweep({
      ownerId: PEOPLE.member.id,
      axes: { steps: [10, 20], seed: [1, 2] },
    });
    await db.generation.delete({ where: { id: pictures[3]! } });
    expect(await page('', id)).toContain('<td><span class="none">Not asked for</span></td>');
  });
});

describe('scores', () => {
  it('stand below pictures, and their means beside rows and columns', async () => {
    const html = await page();
    expect(html).toContain('<span class="value">0.41</span>');
    expect(html).toMatch(/<th scope="row">0\.8 <small title="Mean of 2 pictures">mean 0\.50<\/small>/);
  });

  it('say which pictures pass', async () => {
    const html = await page('min=0.45&max=0.49');
    expect(line(html)).toContain('2 of 6 here pass the filter');
    expect([...html.matchAll(/class="cell out" id="c(\d+)"/g)].map(([, n]) => n)).toEqual([
      '1',
      '3',
      '5',
      '11',
    ]);
    expect(line(await page('min=0.45&max=0.49&seed=2'))).toContain('2 of 6');
    expect(line(await page('min=2&max=1'))).toContain('0 of 6');
    // A comma is how some write it.
    expect(line(await page('min=0,45&max=0,49'))).toContain('2 of 6');
  });

  it('are not told of what may not be seen: picture 4 is held, whatever its score', async () => {
    expect(await page('seed=2')).not.toContain('0.99');
    expect(await page('picture=4')).not.toContain('0.99');
    expect(line(await page('seed=2&min=0.98'))).toContain('0 of 6');
  });

  it('are those of time, too, and of the safety checks for operators alone', async () => {
    expect(await page('score=seconds')).toContain('<span class="value">3.0 s</span>');
    expect(await page('score=check:flagged', sweep.id, 'operator')).toContain(
      '<span class="value">0.03</span>',
    );
    expect(faults(await page('score=check:flagged'))).toHaveLength(1);
    expect(await page()).not.toContain('Safety check');
  });

  it('are left out where no picture has one', async () => {
    const { id } = await makeSweep({
      ownerId: PEOPLE.member.id,
      axes: { steps: [10, 20] },
      changes: () => ({ generation: { timings: {} }, image: { likeness: null } }),
    });
    const html = await page('min=1', id);
    expect(html).not.toContain('name="score"');
    expect(cells(html)).toEqual([1, 2]);
  });
});

describe('one picture', () => {
  it('is told in full', async () => {
    const html = panel(await page('picture=7'));
    for (const part of [
      'Picture 7',
      'Detail strength',
      '<dd>0.5</dd>',
      '<dd>0.47</dd>',
      '512 × 640 px',
      '1 token',
    ])
      expect(html).toContain(part);
    expect(html).toContain('another &lt;i&gt;prompt&lt;/i&gt;');
    expect(html).toContain(`/sweeps/${sweep.id}/pictures/${sweep.pictures[6]}/full.png`);
    expect(html).toMatch(/rel="prev"[^>]*href="[^"]*picture=5/);
    expect(html).toMatch(/rel="next"[^>]*href="[^"]*picture=9/);
    expect(html).toContain('Draw one like this');
  });

  it('has its page in the gallery where it is published', async () => {
    const { id } = await db.image.findUniqueOrThrow({ where: { generationId: sweep.pictures[5]! } });
    expect(panel(await page('picture=6'))).toContain(`href="/pictures/${id}"`);
    expect(panel(await page('picture=7'))).not.toContain('Its page in the gallery');
  });

  it.each([
    [3, 'It needs more memory than our machines have. Its tokens are back.'],
    [4, 'held until a moderator has decided'],
    [5, 'It was deleted.'],
  ])('number %d cannot be seen, and a sentence says why', async (number, sentence) => {
    for (const person of ['member', 'operator'] as const) {
      const html = await page(`picture=${number}`, sweep.id, person);
      expect(panel(html)).toContain(sentence);
      expect(panel(html)).not.toContain('Mark as the best');
      expect(files(html)).not.toContain(sweep.pictures[number - 1]);
      for (const file of ['320.webp', '640.webp', 'full.png', 'preview-1.webp']) {
        const response = await (await as(person)).get(
          `/sweeps/${sweep.id}/pictures/${sweep.pictures[number - 1]}/${file}`,
        );
        expect(response.status).toBeGreaterThanOrEqual(400);
        expect(response.headers.get('content-type')).toContain('text/html');
      }
    }
  });

  it('keeps the name of a face folder for its owner', async () => {
    const folder = await db.faceFolder.create({ data: { ownerId: PEOPLE.member.id, name: 'ada' } });
    const { id } = await makeSweep({
      ownerId: PEOPLE.member.id,
      axes: {},
      changes: () => ({ generation: { faceId: folder.id, faceFolderId: folder.id } }),
    });
    expect(panel(await page('picture=1', id))).toContain('<dd>ada</dd>');
    expect(panel(await page('picture=1', id, 'operator'))).toContain('<dd>a face folder</dd>');
  });

  it('is served small and whole to who may see it', async () => {
    const owner = await as('member');
    for (const [file, type] of [
      ['320.webp', 'image/webp'],
      ['640.webp', 'image/webp'],
      ['full.png', 'image/png'],
    ] as const) {
      const response = await owner.get(`/sweeps/${sweep.id}/pictures/${sweep.pictures[0]}/${file}`);
      expect([response.status, response.headers.get('content-type')]).toEqual([200, type]);
      expect(response.headers.get('cache-control')).toBe('private, max-age=300');
    }
    const at = (id: string, picture: string, file: string) =>
      owner.get(`/sweeps/${id}/pictures/${picture}/${file}`);
    expect((await at(sweep.id, sweep.pictures[0]!, '321.webp')).status).toBe(404);
    expect((await at(sweep.id, NOT_THERE, 'full.png')).status).toBe(404);
    expect((await at(sweep.id, 'nonsense', 'full.png')).status).toBe(404);
    const other = await makeSweep({ ownerId: PEOPLE.member.id, axes: {} });
    expect((await at(other.id, sweep.pictures[0]!, 'full.png')).status).toBe(404);
  });
});

describe('two pictures', () => {
  it('wait for the second, which any picture is', async () => {
    const html = await page('compare=7');
    expect(panel(html)).toContain('Compare picture 7 with which?');
    expect(html).toMatch(/id="c9" href="[^"]*compare=7%2C9#open"/);
  });

  it('stand side by side, with what differs', async () => {
    const html = panel(await page('compare=7,12'));
    const [differs = '', same = ''] = html.split('<details');
    expect(differs).toMatch(/<th scope="row">Detail strength<\/th><td>0\.5<\/td><td>0\.8<\/td>/);
    expect(differs).toMatch(/<th scope="row">Prompt<\/th><td>another .*<\/td><td>portrait/);
    expect(same).toMatch(/<th scope="row">Guidance scale<\/th><td>7\.5<\/td><td>7\.5<\/td>/);
    expect(html.match(/<figure>/g)).toHaveLength(2);
    // The first stays when another is pressed.
    expect(await page('compare=7,12')).toMatch(/id="c9" href="[^"]*compare=7%2C9#open"/);
  });

  it('are one where both are the same', async () => {
    expect(panel(await page('compare=7,7'))).toContain('Compare picture 7 with which?');
  });
});

describe('the best', () => {
  const best = async () => (await db.batch.findUniqueOrThrow({ where: { id: sweep.id } })).best;

  it('is marked by a form, which leads back to the view, and is noted', async () => {
    const owner = await as('member');
    const html = await page('picture=7&min=0.4&seed=1');
    const [, action = ''] = /action="([^"]*\/best[^"]*)"/.exec(panel(html))!;
    const marked = await owner.post(action.replaceAll('&amp;', '&'), { picture: '7' });
    expect(marked.status).toBe(303);
    const back = new URL(marked.headers.get('location')!, web.url);
    expect([back.pathname, back.searchParams.get('picture'), back.searchParams.get('min')]).toEqual([
      `/sweeps/${sweep.id}`,
      '7',
      '0.4',
    ]);
    expect(await best()).toBe(6);
    const after = await page('picture=7');
    expect(panel(after)).toContain('Not the best any more');
    expect(after.match(/★/g)!.length).toBe(3);
    expect(await page('seed=2')).toContain('picture 7</a>, seed 1, steps 20, detail strength 0.5');
    await (await as('operator')).post(`/sweeps/${sweep.id}/best`, { picture: '8' });
    await owner.post(`/sweeps/${sweep.id}/best`, { picture: '8' });
    const events = await db.auditEvent.findMany({
      where: { subject: `batch:${sweep.id}` },
      orderBy: { createdAt: 'asc' },
    });
    expect(events.map(({ actorId, action, before, after }) => ({ actorId, action, before, after }))).toEqual([
      { actorId: PEOPLE.member.id, action: 'best.set', before: { index: null }, after: { index: 6 } },
      { actorId: PEOPLE.operator.id, action: 'best.set', before: { index: 6 }, after: { index: 7 } },
    ]);
  });

  it('is none any more when the mark is taken away', async () => {
    const response = await (await as('member')).post(`/sweeps/${sweep.id}/best`, { picture: '' });
    expect(response.headers.get('location')).toBe(`/sweeps/${sweep.id}`);
    expect(await best()).toBe(null);
    expect(await page()).not.toContain('★');
  });

  it('is nothing that cannot be seen, and no nonsense', async () => {
    const owner = await as('member');
    const status = async (fields: Record<string, string>) =>
      (await owner.post(`/sweeps/${sweep.id}/best`, fields)).status;
    for (const picture of ['3', '4', '5', '99']) expect(await status({ picture })).toBe(404);
    for (const picture of ['0', '-1', '1e3', 'x', '1,2']) expect(await status({ picture })).toBe(400);
    expect(await status({})).toBe(400);
    expect(await best()).toBe(null);
  });

  it('is not marked by another site, nor by who may not see the sweep', async () => {
    const owner = await as('member');
    const forged = [
      { origin: 'https://evil.example', 'sec-fetch-site': 'cross-site' },
      { 'sec-fetch-site': 'same-site' },
    ];
    for (const headers of forged)
      expect((await owner.post(`/sweeps/${sweep.id}/best`, { picture: '7' }, headers)).status).toBe(403);
    expect((await (await as('other')).post(`/sweeps/${sweep.id}/best`, { picture: '7' })).status).toBe(404);
    expect(await best()).toBe(null);
  });

  it('leads nowhere else, whatever its address has', async () => {
    const response = await (await as('member')).post(
      `/sweeps/${sweep.id}/best?x=%0d%0aset-cookie:a&y=//evil.example`,
      {
        picture: '7',
      },
    );
    expect(response.headers.get('location')).toBe(
      `/sweeps/${sweep.id}?x=%0D%0Aset-cookie%3Aa&y=%2F%2Fevil.example`,
    );
    expect(response.headers.get('set-cookie')).toBe(null);
  });
});

describe('its card in Discord', () => {
  it('leads to the page, and names the best once it is marked', async () => {
    const { summaryCard } = await import('#src/cards/sweep.ts');
    const { id } = await makeSweep({
      ownerId: PEOPLE.member.id,
      batch: { guildId: salon().id, channelId: '1' },
      axes: { seed: [1, 2] },
      drawings: 1,
      changes: (number) => (number === 2 ? { image: { verdict: 'flagged' } } : undefined),
    });
    const delivery = await db.delivery.create({
      data: {
        kind: 'card',
        userId: PEOPLE.member.id,
        batchId: id,
        nonce: id.slice(0, 24),
        wanted: 1,
        posted: 1,
      },
    });
    const card = async () => {
      const shown = await summaryCard(await db.batch.findUniqueOrThrow({ where: { id } }));
      const { container } = shown;
      const files = shown.files.map(({ name }, at) => ({
        id: String(at),
        filename: name,
      })) as APIAttachment[];
      const faults = new Faults();
      readComponents([container], { v2: true, attachments: files, faults, path: [] });
      faults.throwIfAny();
      return JSON.stringify(container);
    };
    expect(await card()).toContain(`"style":5,"label":"Open on the web","url":"${web.url}/sweeps/${id}"`);
    expect(await card()).not.toContain('Best');
    await (await as('member')).post(`/sweeps/${id}/best`, { picture: '1' });
    expect(await card()).toContain('Best: picture 1');
    const { wanted } = await db.delivery.findUniqueOrThrow({ where: { id: delivery.id } });
    expect(wanted).toBe(2);
    // What cannot be seen is not named.
    await db.batch.update({ where: { id }, data: { best: 1 } });
    expect(await card()).not.toContain('Best');
  });
});

describe('a sweep that is not done', () => {
  const going = { state: 'open', endedAt: null } as const;

  it('says which pictures are not drawn yet, and comes again by itself', async () => {
    const { id } = await makeSweep({
      ownerId: PEOPLE.member.id,
      batch: going,
      axes: { steps: [10, 20], seed: [1, 2] },
      changes: (number) => {
        if (number === 2)
          return { generation: { state: 'running', progress: 0.5, endedAt: null, stage: 'base' } };
        if (number > 2) return { generation: { state: 'queued', endedAt: null } };
        return undefined;
      },
    });
    const html = await page('', id);
    expect(line(html)).toMatch(/^1 done · 1 drawing · 2 waiting\b/);
    expect(html).toContain('<noscript><meta http-equiv="refresh" content="10"></noscript>');
    expect(html).toContain('<div id="view" data-going>');
    expect(html.match(/Not drawn yet/g)).toHaveLength(2);
    expect(html).toContain('<progress value="10" max="20"');
    expect(panel(await page('picture=3', id))).toContain('It waits to be drawn.');
  });

  it.each([
    [{ state: 'planned', endedAt: null }, /^It has not begun/],
    [{ state: 'discarded', endedAt: null }, /^Its plan was thrown away/],
    [
      { state: 'cancelled', endedAt: null },
      /^Cancelled: what is being drawn ends at its next step\. 1 done · 1 not drawn\./,
    ],
    [{ state: 'cancelled' }, /^Cancelled before its end\. 1 done · 1 not drawn\./],
    [{ state: 'stopped' }, /^Stopped before its end\. 1 done · 1 not drawn\./],
    [{ state: 'stopped', endedAt: null }, /^Stopped: what is being drawn is finished\./],
  ] as const)('%o', async (batch, words) => {
    const planned = batch.state === 'planned' || batch.state === 'discarded';
    const { id, pictures } = await makeSweep({
      ownerId: PEOPLE.member.id,
      batch,
      axes: { seed: [1, 2] },
      changes: (number) => (number === 2 ? { generation: { state: 'cancelled' } } : undefined),
    });
    if (planned) await db.generation.deleteMany({ where: { id: { in: [...pictures] } } });
    const html = await page('', id);
    expect(line(html)).toMatch(words);
    expect(cells(html)).toEqual(planned ? [] : [1, 2]);
    expect(html.includes('data-going')).toBe(!planned && 'endedAt' in batch);
  });

  it('is no single picture that somebody asked for', async () => {
    const { id } = await makeSweep({ ownerId: PEOPLE.member.id, batch: { kind: 'imagine' }, axes: {} });
    expect((await (await as('member')).get(`/sweeps/${id}`)).status).toBe(404);
  });
});

it('no parameter has the name of something else in an address', async () => {
  const { RESERVED } = await import('#src/services/web/sweeps/view.ts');
  const { parameters } = await import('#src/parameters/definitions.ts');
  for (const name of [...parameters.keys(), 'face', 'prompt', 'seed', 'sample', 'cell', 'idea'])
    expect(RESERVED).not.toContain(name);
});

it('a page of the largest sweep is bounded', async () => {
  const { id } = await makeSweep({
    ownerId: PEOPLE.member.id,
    axes: {
      steps: Array.from({ length: 20 }, (_, i) => i + 1),
      guidance_scale: Array.from({ length: 20 }, (_, i) => i + 1),
    },
    changes: () => ({ generation: { state: 'cancelled' } }),
  });
  const response = await (await as('member')).get(`/sweeps/${id}`, { 'accept-encoding': 'identity' });
  const text = await response.text();
  expect(cells(text)).toHaveLength(400);
  expect(text.length).toBeLessThan(300_000);
});
