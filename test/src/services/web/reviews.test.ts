/** Reviews on the web over real HTTP, with the local Discord to say who moderates where; and walked through in Chromium. */
import type { Browser } from 'playwright-core';
import sharp from 'sharp';
import { afterAll, beforeAll, beforeEach, describe, expect, it, vi } from 'vitest';
import { PEOPLE, STAFF } from '#infra/local/discord/world.ts';
import { findChromium, openBrowser } from '#test/support/browser.ts';
import { actor } from '#test/support/requests.ts';
import { type Jar, jar, startWebWithDiscord, visitors, type WebWithDiscord } from './visitors.ts';

// Before anything of ours is imported: the local Discord's first guild is the platform's own.
Object.assign(process.env, STAFF, { DISCORD_TOKEN: 'local.a-token-of-thirty-characters-or-more' });

/** Of every picture here: what nobody else is to learn. */
const PROMPT = 'a secret prompt';

let web: WebWithDiscord;
let db: typeof import('#src/doors/db.ts').db;
let pictures: typeof import('./pictures.ts');
let reviews: typeof import('#src/moderation/reviews.ts');

beforeAll(async () => {
  web = await startWebWithDiscord();
  ({ db } = await import('#src/doors/db.ts'));
  pictures = await import('./pictures.ts');
  reviews = await import('#src/moderation/reviews.ts');
  for (const { id, roles } of [atelier(), salon()]) {
    const moderatorRoleIds = [roles.find(({ name }) => name === 'Moderators')!.id];
    await db.guildSettings.create({ data: { id, moderatorRoleIds } });
  }
});
afterAll(async () => {
  await web?.close();
  expect(web?.sandbox.violations).toEqual([]);
});
beforeEach(async () => {
  for (const guild of [atelier(), salon()]) {
    guild.members.get(PEOPLE.moderator.id)!.splice(0, 9, roleOf(guild, 'Moderators').id);
    guild.members.get(PEOPLE.other.id)!.splice(0);
  }
  await db.review.updateMany({ where: { state: 'pending' }, data: { state: 'approved', moderatorId: '1' } });
});

/** The platform's own guild, and another. */
const atelier = () => web.sandbox.state.world.guilds[0];
const salon = () => web.sandbox.state.world.guilds[1];
const roleOf = (guild: ReturnType<typeof atelier>, called: string) =>
  guild.roles.find(({ name }) => name === called)!;

const as = visitors(() => web.url, watched);

/** Everything that is answered here is looked at: what has words or bytes of a picture is kept by nobody. */
function watched({ send, ...rest }: Jar): Jar {
  const look = async (response: Response) => {
    const text = await response.clone().text();
    if (text.includes(PROMPT) || text.includes('data:image/webp') || response.status >= 400)
      expect([response.headers.get('cache-control'), response.headers.get('etag')]).toEqual([
        'no-store',
        null,
      ]);
    return response;
  };
  return {
    ...rest,
    send,
    get: (...args) => rest.get(...args).then(look),
    post: (...args) => rest.post(...args).then(look),
  };
}

/** A picture that waits for moderators. @param guildId null: it was asked for on the web */
async function flagged(
  number: number,
  {
    guildId = STAFF.STAFF_GUILD_ID,
    owner = PEOPLE.member.id,
    reportedBy,
    publishedBy,
  }: { guildId?: string | null; owner?: string; reportedBy?: string; publishedBy?: string } = {},
) {
  const { getFile, putFile } = await import('#src/doors/storage.ts');
  const { image } = await pictures.makePicture(
    number,
    {
      verdict: 'flagged',
      rule: reportedBy ? 'report' : 'classifier-flagged',
      scores: { 'checkerboard.normal': 0.06, 'checkerboard.flagged': 0.94 },
      ...(publishedBy && { publishedBy }),
    },
    { owner: actor({ id: owner, guildId }), production: false },
  );
  const storageKey = image.storageKey.replace('productions/', 'quarantine/');
  await putFile(storageKey, await getFile(image.storageKey));
  await db.image.update({ where: { id: image.id }, data: { storageKey } });
  const { batchId } = await db.generation.findUniqueOrThrow({ where: { id: image.generationId } });
  if (guildId === null) await db.batch.update({ where: { id: batchId }, data: { channelId: null } });
  await db.$transaction(async (tx) => {
    const wake = await reviews.openReview(tx, {
      imageId: image.id,
      batch: { guildId, botInside: true },
      cause: reportedBy ? 'report' : 'classifier',
      ownerId: owner,
      ...(reportedBy && { reportedBy }),
    });
    wake();
  });
  const review = await db.review.findUniqueOrThrow({ where: { imageId: image.id } });
  return { ...review, width: image.width, height: image.height };
}

const reviewNow = (id: string) => db.review.findUniqueOrThrow({ where: { id } });
const looksAt = ({ imageId }: { imageId: string }) =>
  db.auditEvent.count({ where: { action: 'review.look', subject: `image:${imageId}` } });
/** ids of what is listed, in its order */
const listed = (page: string) => [...page.matchAll(/<li class="review" id="r-([^"]+)"/g)].map(([, id]) => id);
const bare = (page: string) => page.replaceAll(/<[^>]+>/g, ' ').replaceAll(/\s+/g, ' ');
const told = async (response: Response) => {
  const page = await response.text();
  const sentence = /<p role="alert">(.*?)<\/p>/s.exec(page) ?? /<h1[^>]*>(.*?)<\/h1>/s.exec(page);
  return [response.status, bare(sentence?.[1] ?? '')];
};
const focusedOn = (page: string) =>
  /action="\/reviews\/([^/]+)\/look">(?:<input[^>]*>)*<button[^>]* autofocus>/.exec(page)?.[1];

describe('open reviews', () => {
  it('are for moderators: nobody else learns anything, or changes it', async () => {
    const review = await flagged(1);
    const guest = watched(jar(web.url, '198.51.100.90'));
    const { openGuest } = await import('#src/people/sessions.ts');
    guest.cookies.set('session', await openGuest('somewhere'));
    for (const [visitor, why] of [
      [watched(jar(web.url, '198.51.100.91')), 'Sign in first'],
      [guest, 'Sign in first'],
    ] as const) {
      expect(await told(await visitor.get('/reviews'))).toEqual([403, why]);
      expect(await told(await visitor.get(`/reviews/${review.id}`))).toEqual([403, why]);
      expect(await told(await visitor.post(`/reviews/${review.id}/look`, {}))).toEqual([403, why]);
      const rejected = await visitor.post(`/reviews/${review.id}/decision`, { decision: 'rejected' });
      expect(await told(rejected)).toEqual([403, why]);
    }
    const member = await as('other');
    const no = [403, 'Only moderators may do that.'];
    expect(await told(await member.get('/reviews'))).toEqual([403, 'Not for you']);
    expect(await told(await member.get(`/reviews?server=${STAFF.STAFF_GUILD_ID}`))).toEqual([
      403,
      'Not for you',
    ]);
    expect(await told(await member.get(`/reviews/${review.id}`))).toEqual(no);
    expect(await told(await member.post(`/reviews/${review.id}/look`, {}))).toEqual(no);
    expect(await told(await member.post(`/reviews/${review.id}/decision`, { decision: 'approved' }))).toEqual(
      no,
    );
    // That there is none is not told either.
    expect(await told(await member.get('/reviews/0197e2a0-0000-7000-8000-000000000000'))).toEqual(no);
    expect(await reviewNow(review.id)).toMatchObject({ state: 'pending' });
    expect(await looksAt(review)).toBe(0);
  });

  it('tell what the card in Discord tells, the oldest first, and show no picture', async () => {
    const moderator = await as('moderator');
    expect(await (await moderator.get('/reviews')).text()).toContain('Nothing waits.');
    const first = await flagged(2);
    const second = await flagged(3, { guildId: null, reportedBy: PEOPLE.other.id });
    const response = await moderator.get('/reviews');
    expect([response.status, response.headers.get('cache-control')]).toEqual([200, 'no-store']);
    const page = await response.text();
    expect(listed(page)).toEqual([first.id, second.id]);
    expect(page).not.toMatch(/<img|data:image\/(?!svg)|\.(png|webp)/);
    const words = bare(page);
    expect(words).toContain('Reviews 2 open');
    expect(words).toContain('Flagged by the classifier · rule classifier-flagged');
    expect(words).toMatch(/checkerboard\.flagged 0\.94 checkerboard\.normal 0\.06/);
    expect(words).toContain('by Member, in Atelier');
    expect(words).toContain('Reported by a member · reported by Another member');
    expect(words).toContain('by Member, on the web');
    expect(words).toContain(PROMPT);
  });

  it('come ten to a page', async () => {
    const made = [];
    for (let n = 0; n < 12; n++) made.push((await flagged(10 + n)).id);
    const moderator = await as('moderator');
    const first = await (await moderator.get('/reviews')).text();
    expect(listed(first)).toEqual(made.slice(0, 10));
    const next = /<a class="button plain" href="([^"]+)" rel="next">/.exec(first)?.[1] ?? '';
    const second = await (await moderator.get(next)).text();
    expect(listed(second)).toEqual(made.slice(10));
    // Forms of that page lead back to it; and when all of it is decided on, to the others.
    const after = /name="after" value="([^"]+)"/.exec(second)?.[1] ?? '';
    for (const id of made.slice(10)) {
      const decided = await moderator.post(`/reviews/${id}/decision`, { decision: 'approved', after });
      expect(decided.headers.get('location')).toBe(`/reviews?after=${after}&past=${id}`);
    }
    const gone = await moderator.get(`/reviews?after=${after}&past=${made[11]}`);
    expect([gone.status, gone.headers.get('location')]).toEqual([303, `/reviews?past=${made[11]}`]);
    const left = await (await moderator.get(gone.headers.get('location')!)).text();
    expect(listed(left)).toEqual(made.slice(0, 10));
    expect(left).toContain('Approved: the picture is delivered');
    expect((await moderator.get('/reviews?after=x&past=%27&server=..')).status).toBe(200);
  });

  it('are those of the guilds where somebody moderates, and no others', async () => {
    const ours = await flagged(30);
    const theirs = await flagged(31, { guildId: salon().id });
    const moderator = await as('moderator');
    expect(listed(await (await moderator.get('/reviews')).text())).toEqual([ours.id, theirs.id]);
    expect(listed(await (await moderator.get(`/reviews?server=${salon().id}`)).text())).toEqual([theirs.id]);

    const own = atelier().members.get(PEOPLE.moderator.id)!;
    const [role] = own.splice(0);
    expect(listed(await (await moderator.get('/reviews')).text())).toEqual([theirs.id]);
    for (const what of ['look', 'decision'])
      expect(
        await told(await moderator.post(`/reviews/${ours.id}/${what}`, { decision: 'approved' })),
      ).toEqual([403, 'Only moderators may do that.']);
    expect((await moderator.post(`/reviews/${theirs.id}/look`, {})).status).toBe(200);
    own.push(role!);
    // The last of a guild is decided on: it is told so, and no refusal.
    await moderator.post(`/reviews/${theirs.id}/decision`, { decision: 'approved' });
    own.splice(0);
    const after = await moderator.get(`/reviews?past=${theirs.id}`);
    expect([after.status, bare(await after.text())]).toEqual([
      200,
      expect.stringContaining('Nothing waits.'),
    ]);
    own.push(role!);
    expect((await (await as('operator')).get('/reviews')).status).toBe(200);
  });

  it('are whoever’s who may Manage Server, until they may not; and not while they are timed out', async () => {
    const { id } = await flagged(32, { guildId: salon().id });
    const visitor = await as('other');
    const own = salon().members.get(PEOPLE.other.id)!;
    const see = async () => (await visitor.get('/reviews')).status;
    expect(await see()).toBe(403);
    own.push(roleOf(salon(), 'Operators').id);
    expect(listed(await (await visitor.get('/reviews')).text())).toEqual([id]);
    salon().timeouts.set(PEOPLE.other.id, new Date(Date.now() + 60_000));
    expect(await see()).toBe(403);
    salon().timeouts.set(PEOPLE.other.id, new Date(Date.now() - 1));
    expect(await see()).toBe(200);
    own.splice(0);
    expect(await see()).toBe(403);
  });

  it('wait while Discord does not say who somebody is', async () => {
    const { id } = await flagged(33);
    const moderator = await as('moderator');
    web.sandbox.misbehave({ serverError: { next: 4, when: 'before', route: '/members/' } });
    expect((await moderator.get('/reviews')).status).toBe(503);
    const decided = await moderator.post(`/reviews/${id}/decision`, { decision: 'approved' });
    expect(await told(decided)).toEqual([503, expect.stringContaining('Discord did not answer in time')]);
    web.sandbox.misbehave({ serverError: { next: 0, when: 'before' } });
    expect(await reviewNow(id)).toMatchObject({ state: 'pending' });
  });
});

describe('a picture that is held', () => {
  it('is in the page that a press answers with, and every press is in the audit log', async () => {
    const review = await flagged(40);
    const moderator = await as('moderator');
    const before = await (await moderator.get(`/reviews/${review.id}`)).text();
    expect(before).not.toContain('<img');
    expect(await looksAt(review)).toBe(0);
    for (const presses of [1, 2]) {
      const response = await moderator.post(`/reviews/${review.id}/look`, {});
      expect([response.status, response.headers.get('cache-control')]).toEqual([200, 'no-store']);
      expect(response.headers.get('content-security-policy')).toMatch(/img-src 'self' data:/);
      const [, webp = ''] = /<img src="data:image\/webp;base64,([^"]+)"/.exec(await response.text()) ?? [];
      const { width, height } = await sharp(Buffer.from(webp, 'base64')).metadata();
      expect({ width, height }).toEqual({ width: review.width, height: review.height });
      expect(await looksAt(review)).toBe(presses);
    }
    const audited = await db.auditEvent.findFirst({
      where: { action: 'review.look', subject: `image:${review.imageId}` },
    });
    expect(audited).toMatchObject({ actorId: PEOPLE.moderator.id, guildId: STAFF.STAFF_GUILD_ID });
    // No address has it: what is asked for without a press is answered with nothing.
    expect((await moderator.get(`/reviews/${review.id}/look`)).status).toBe(404);
  });

  it('is shown to nobody once it is decided on or deleted', async () => {
    const decided = await flagged(41);
    const deleted = await flagged(42);
    const moderator = await as('moderator');
    await (await as('operator')).post(`/reviews/${decided.id}/decision`, { decision: 'approved' });
    expect(await told(await moderator.post(`/reviews/${decided.id}/look`, {}))).toEqual([
      409,
      'That was done already: approved by Operator.',
    ]);
    const page = await (await moderator.get(`/reviews/${decided.id}`)).text();
    expect(bare(page)).toContain('Approved by Operator just now');
    expect(page).not.toMatch(/<img|<form method="post"/);

    const { deleteImage } = await import('#src/generations/images.ts');
    const { generationId } = await db.image.findUniqueOrThrow({ where: { id: deleted.imageId } });
    await deleteImage(actor({ id: PEOPLE.member.id }), generationId);
    expect(await told(await moderator.post(`/reviews/${deleted.id}/look`, {}))).toEqual([
      404,
      'That is not there any more.',
    ]);
    expect(bare(await (await moderator.get('/reviews')).text())).toContain('there is nothing to look at');
    expect([await looksAt(decided), await looksAt(deleted)]).toEqual([0, 0]);
  });
});

describe('a decision', () => {
  it('is made as in Discord, and leads on to the next', async () => {
    const made = [];
    for (let n = 0; n < 4; n++) made.push(await flagged(50 + n));
    const [first, second, third, fourth] = made.map(({ id }) => id);
    const moderator = await as('moderator');
    const decide = async (id: string, fields: Record<string, string>) => {
      const response = await moderator.post(`/reviews/${id}/decision`, fields);
      expect([response.status, response.headers.get('location')]).toEqual([303, `/reviews?past=${id}`]);
      return (await moderator.get(response.headers.get('location')!)).text();
    };
    const approved = await decide(second!, { decision: 'approved', reason: 'of the other form' });
    expect(approved).toContain('Approved: the picture is delivered to the person who asked for it.');
    expect(focusedOn(approved)).toBe(third);
    expect(await reviewNow(second!)).toMatchObject({
      state: 'approved',
      reason: null,
      moderatorId: PEOPLE.moderator.id,
    });

    const strikes = async () =>
      (await db.user.findUniqueOrThrow({ where: { id: PEOPLE.member.id } })).strikes;
    const had = await strikes();
    const rejected = await decide(third!, { decision: 'rejected', reason: '  too <much>\r\nof it ' });
    expect(rejected).toContain('Rejected: the picture is deleted');
    expect(focusedOn(rejected)).toBe(fourth);
    expect((await reviewNow(third!)).reason).toBe('too <much>\nof it');
    const page = await (await moderator.get(`/reviews/${third}`)).text();
    expect(page).toContain('<blockquote dir="auto">too &lt;much&gt;\nof it</blockquote>');
    expect(await strikes()).toBe(had + 1);
    expect(await db.delivery.count({ where: { reviewId: third!, kind: 'notice' } })).toBe(1);

    expect(focusedOn(await decide(fourth!, { decision: 'approved' }))).toBe(first);
    const last = await decide(first!, { decision: 'rejected', reason: `\0${'🌱'.repeat(600)}` });
    expect((await reviewNow(first!)).reason).toBe('🌱'.repeat(500));
    expect(last).toMatch(/<h1 tabindex="-1" autofocus>Reviews/);
    expect(last).toContain('Nothing waits.');
    // What somebody else decided is not told as one's own.
    const other = await (await (await as('operator')).get(`/reviews?past=${first}`)).text();
    expect(other).not.toContain('role="status"');
  });

  it('is made once: the other is told who was first', async () => {
    const review = await flagged(60);
    const answers = await Promise.all(
      (['moderator', 'operator'] as const).map(async (person, n) =>
        (await as(person)).post(`/reviews/${review.id}/decision`, { decision: n ? 'approved' : 'rejected' }),
      ),
    );
    expect(answers.map(({ status }) => status).sort()).toEqual([303, 409]);
    const { state, moderatorId } = await reviewNow(review.id);
    const name = moderatorId === PEOPLE.moderator.id ? 'Moderator' : 'Operator';
    expect(await told(answers.find(({ status }) => status === 409)!)).toEqual([
      409,
      `That was done already: ${state} by ${name}.`,
    ]);
    const decisions = {
      action: { in: ['review.approve', 'review.reject'] },
      subject: `image:${review.imageId}`,
    };
    expect(await db.auditEvent.count({ where: decisions })).toBe(1);
  });

  it.each([
    ['asked for', { owner: PEOPLE.moderator.id }, 'You asked for this picture'],
    ['reported', { reportedBy: PEOPLE.moderator.id }, 'You reported this picture'],
    ['published', { publishedBy: PEOPLE.moderator.id }, 'You published this picture'],
  ])('is not for who %s it', async (_, part, why) => {
    const review = await flagged(61, part);
    const moderator = await as('moderator');
    const no = [403, `${why}, so another moderator must decide on it.`];
    const page = await (await moderator.get('/reviews')).text();
    expect(page).toContain(why);
    expect(page).not.toContain(`/reviews/${review.id}/`);
    expect(await told(await moderator.get(`/reviews/${review.id}`))).toEqual(no);
    expect(await told(await moderator.post(`/reviews/${review.id}/look`, {}))).toEqual(no);
    expect(
      await told(await moderator.post(`/reviews/${review.id}/decision`, { decision: 'approved' })),
    ).toEqual(no);
    expect([(await reviewNow(review.id)).state, await looksAt(review)]).toEqual(['pending', 0]);
  });

  it('on what is not there, or no decision, is refused in a sentence', async () => {
    const review = await flagged(64);
    const operator = await as('operator');
    for (const id of ['0197e2a0-0000-7000-8000-000000000000', 'x', '%00'])
      expect(await told(await operator.post(`/reviews/${id}/decision`, { decision: 'approved' }))).toEqual([
        404,
        'That is not there any more.',
      ]);
    for (const decision of ['', 'pending'])
      expect(await told(await operator.post(`/reviews/${review.id}/decision`, { decision }))).toEqual([
        400,
        'Say whether it is approved or rejected.',
      ]);
    expect(await reviewNow(review.id)).toMatchObject({ state: 'pending' });
  });

  it('is not taken from another site, nor a look', async () => {
    const review = await flagged(65);
    const moderator = await as('moderator');
    for (const headers of [
      { origin: 'https://elsewhere.example', 'sec-fetch-site': 'cross-site' },
      { origin: 'null', 'sec-fetch-site': 'same-site' },
    ])
      for (const what of ['look', 'decision']) {
        const forged = await moderator.post(
          `/reviews/${review.id}/${what}`,
          { decision: 'approved' },
          headers,
        );
        expect(await told(forged)).toEqual([403, 'That came from another site']);
      }
    expect([(await reviewNow(review.id)).state, await looksAt(review)]).toEqual(['pending', 0]);
  });
});

it('leads there from the state of the system, and from the card in Discord', async () => {
  const { id } = await flagged(70);
  expect(await (await (await as('operator')).get('/operators')).text()).toContain(
    '<a href="/reviews">open</a>',
  );
  const { reviewCard } = await import('#src/cards/review.ts');
  expect(JSON.stringify(await reviewCard(id))).toContain(`"url":"${web.url}/reviews/${id}"`);
});

describe.skipIf(!findChromium())('in a browser', () => {
  let browser: Browser;
  beforeAll(async () => {
    browser = await openBrowser();
  });
  afterAll(() => browser?.close());

  it.each([
    ['a phone, without script', 375, 'light', false],
    ['a desktop', 1440, 'dark', true],
  ] as const)('on %s a moderator works through them by keyboard', async (_, width, colorScheme, script) => {
    const { cookies } = await as('moderator');
    const [first, second] = [await flagged(80), await flagged(81)];
    const context = await browser.newContext({
      viewport: { width, height: 800 },
      colorScheme,
      javaScriptEnabled: script,
    });
    await context.addCookies([...cookies].map(([name, value]) => ({ name, value, url: web.url })));
    const page = await context.newPage();
    const faults: string[] = [];
    page.on('console', (said) => faults.push(said.text()));
    page.on('pageerror', (error) => faults.push(String(error)));
    const fits = async () => expect(await page.evaluate('document.documentElement.scrollWidth')).toBe(width);
    const focus = () => page.evaluate('document.activeElement.closest("form")?.getAttribute("action")');
    const shown = () => page.evaluate('document.querySelector("figure img")?.naturalWidth ?? 0');

    await page.goto(`${web.url}/reviews`);
    expect(await page.locator('.review').count()).toBe(2);
    expect(await shown()).toBe(0);
    await fits();
    for (const [review, decision, last] of [
      [first, 'Approve', false],
      [second, 'Reject', true],
    ] as const) {
      await page.locator(`#r-${review.id}`).getByRole('button', { name: 'Look' }).focus();
      await page.keyboard.press('Enter');
      await page.waitForURL(`**/reviews/${review.id}/look`);
      await vi.waitFor(async () => expect(await shown()).toBe(review.width));
      await fits();
      expect(await looksAt(review)).toBe(1);
      expect(await page.evaluate('document.activeElement.tagName')).toBe('H1');
      await page.getByRole('button', { name: decision }).focus();
      await page.keyboard.press('Enter');
      await page.waitForURL(`**/reviews?past=${review.id}`);
      await vi.waitFor(async () =>
        expect(await focus()).toBe(last ? undefined : `/reviews/${second.id}/look`),
      );
    }
    expect(await page.getByText('Nothing waits.').count()).toBe(1);
    expect(faults).toEqual([]);
    expect([(await reviewNow(first.id)).state, (await reviewNow(second.id)).state]).toEqual([
      'approved',
      'rejected',
    ]);
    await context.close();
  });
});
