/** A sweep's page in Chromium: from view to view without its being loaded again, by mouse, by keys, on a phone, and without script. */
import type { Browser, Page } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { PEOPLE, STAFF } from '#infra/local/discord/world.ts';
import { findChromium, openBrowser } from '#test/support/browser.ts';
import { jar, signInAs, startWebWithDiscord, type WebWithDiscord } from './visitors.ts';

// Before anything of ours is imported.
Object.assign(process.env, STAFF, { DISCORD_TOKEN: 'local.a-token-of-thirty-characters-or-more' });

const DESKTOP = { width: 1440, height: 900 };
const PHONE = { width: 375, height: 812 };

describe.skipIf(!findChromium())('a sweep in a browser', () => {
  let web: WebWithDiscord;
  let browser: Browser;
  let cookie: { name: string; value: string; url: string };
  let path: string;
  let running: { readonly id: string; readonly pictures: readonly string[] };
  let db: typeof import('#src/doors/db.ts').db;
  const faults: string[] = [];

  beforeAll(async () => {
    web = await startWebWithDiscord();
    ({ db } = await import('#src/doors/db.ts'));
    const { makeSweep } = await import('./sweep-rows.ts');
    const ownerId = PEOPLE.member.id;
    const axes = { detail_strength: [0.2, 0.4, 0.6, 0.8, 1], steps: [10, 20, 30, 40, 50, 60], seed: [1, 2] };
    path = `/sweeps/${(await makeSweep({ ownerId, axes, drawings: 2 })).id}`;
    running = await makeSweep({
      ownerId,
      batch: { state: 'open', endedAt: null },
      axes: { steps: [10, 20], seed: [1, 2] },
      drawings: 1,
      changes: (number) => (number > 2 ? { generation: { state: 'queued', endedAt: null } } : undefined),
    });
    const visitor = jar(web.url, '198.51.100.1');
    await signInAs(visitor, 'member');
    const [name, value] = [...visitor.cookies].find(([name]) => name.includes('session'))!;
    cookie = { name, value, url: web.url };
    browser = await openBrowser();
  });
  afterAll(async () => {
    await browser?.close();
    await web?.close();
  });

  async function open(viewport: typeof PHONE, at = path, script = true): Promise<Page> {
    const context = await browser.newContext({ viewport, javaScriptEnabled: script });
    await context.addCookies([cookie]);
    const page = await context.newPage();
    page.on('console', (message) => faults.push(`${message.text()} ${message.location().url}`));
    page.on('pageerror', (error) => faults.push(String(error)));
    await page.addInitScript(`
      globalThis.seen = { shift: 0 };
      new PerformanceObserver((list) => {
        for (const entry of list.getEntries()) if (!entry.hadRecentInput) seen.shift += entry.value;
      }).observe({ type: 'layout-shift', buffered: true });`);
    expect((await page.goto(web.url + at))?.status()).toBe(200);
    await page.evaluate('globalThis.stays = true');
    return page;
  }
  const heads = (page: Page) => page.locator('.sheet thead th').allTextContents();
  const queryOf = (page: Page) => new URL(page.url()).searchParams;
  /** Until what was asked for is there, and the page is the one that was opened. */
  async function until(page: Page, what: () => unknown, wanted: unknown) {
    await vi.waitFor(async () => expect(await what()).toEqual(wanted), { timeout: 15_000, interval: 40 });
    expect(await page.evaluate('globalThis.stays')).toBe(true);
  }
  const focused = (page: Page) => page.evaluate('document.activeElement.id');
  async function settled(page: Page) {
    await vi.waitFor(
      async () =>
        expect(
          await page.evaluate(`[...document.querySelectorAll('#view img')].filter((image) => {
            const { top, left } = image.getBoundingClientRect();
            return top < innerHeight && left < innerWidth;
          }).every(({ complete, naturalWidth }) => complete && naturalWidth > 0)`),
        ).toBe(true),
      { timeout: 20_000 },
    );
  }

  it('goes through views, pictures and marks without being loaded again', async () => {
    const page = await open(DESKTOP);
    await settled(page);
    expect((await heads(page)).map((one) => one.split(' ')[0])).toEqual(['0.2', '0.4', '0.6', '0.8', '1']);

    await page.focus('#rows');
    await page.selectOption('#rows', 'seed');
    await until(page, () => queryOf(page).get('rows'), 'seed');
    await until(page, () => page.locator('.sheet tbody th').count(), 2);
    expect(await focused(page)).toBe('rows');
    await page.click('.tabs a:text-is("30")');
    await until(page, () => page.locator('.tabs [aria-current]').textContent(), '30');
    expect(queryOf(page).get('steps')).toBe('30');

    await page.locator('.cell').nth(3).click();
    await until(page, () => page.locator('.panel h2').textContent(), 'Picture 41');
    expect(await focused(page)).toBe('open');
    // Nothing was asked for anew that was there before.
    expect(await page.evaluate('document.querySelector(".cell img").complete')).toBe(true);

    await page.click('text=Mark as the best');
    await until(page, () => page.locator('.panel .best').count(), 1);
    expect(await page.locator('.marked a').textContent()).toBe('picture 41');

    await page.click('#compare');
    await until(page, () => page.locator('.panel h2').textContent(), 'Compare picture 41 with which?');
    await page.locator('.cell').nth(4).click();
    await until(page, () => page.locator('.both figure').count(), 2);
    expect(await page.locator('.pairs').first().textContent()).toContain('Detail strength');
    await settled(page);
    const boxes = await Promise.all([0, 1].map((n) => page.locator('.both .frame').nth(n).boundingBox()));
    expect(boxes[0]!.y).toBe(boxes[1]!.y);
    expect(boxes[0]!.width).toBe(boxes[1]!.width);
    expect(boxes[0]!.height).toBeLessThan(DESKTOP.height);

    // Back, as from page to page.
    for (const title of ['Compare picture 41 with which?', 'Picture 41']) {
      await page.goBack();
      await until(
        page,
        () => page.locator('.panel h2').first().textContent(),
        title === 'Picture 41' ? 'Picture 41 ★ Best' : title,
      );
    }
    await page.click('#close');
    await until(page, () => page.locator('.panel').count(), 0);
    expect(await focused(page)).toBe('c41');

    await page.fill('#min', '0.9');
    await page.press('#min', 'Enter');
    await until(page, () => page.locator('.cell:not(.out)').count(), 2);
    expect(await page.locator('#line').textContent()).toContain('2 of 10 here pass the filter');
    await page.click('#unfilter');
    await until(page, () => page.locator('.cell.out').count(), 0);
    await page.context().close();
  }, 60_000);

  it('is walked through by keys', async () => {
    const page = await open(DESKTOP);
    await page.focus('#c1');
    for (const [key, id] of [
      ['ArrowRight', 'c13'],
      ['ArrowDown', 'c15'],
      ['ArrowLeft', 'c3'],
      ['ArrowUp', 'c1'],
      ['ArrowUp', 'c1'],
    ] as const) {
      await page.keyboard.press(key);
      expect(await focused(page)).toBe(id);
    }
    await page.keyboard.press('Enter');
    await until(page, () => page.locator('.panel h2').textContent(), 'Picture 1');
    await page.keyboard.press('Escape');
    await until(page, () => page.locator('.panel').count(), 0);
    expect(await focused(page)).toBe('c1');
    await page.context().close();
  });

  it('scrolls its table on a phone, and never the page; nothing moves as it arrives', async () => {
    for (const at of [path, `${path}?picture=7`, `${path}?compare=7,60`, `${path}?compare=7`]) {
      const page = await open(PHONE, at);
      await settled(page);
      expect(await page.evaluate('document.documentElement.scrollWidth')).toBe(PHONE.width);
      const grid = (await page.evaluate(
        '(({ scrollWidth, clientWidth }) => ({ scrollWidth, clientWidth }))(document.getElementById("grid"))',
      )) as { scrollWidth: number; clientWidth: number };
      expect(grid.scrollWidth).toBeGreaterThan(grid.clientWidth);
      expect(grid.clientWidth).toBeLessThan(PHONE.width);
      expect(await page.evaluate('globalThis.seen.shift')).toBe(0);
      await page.context().close();
    }
  }, 60_000);

  it('leads the eye on a phone to what was opened, and back', async () => {
    const page = await open(PHONE);
    await settled(page);
    const seen = async (selector: string) => {
      const { y, height } = (await page.locator(selector).boundingBox())!;
      const top = (await page.locator('header.top').boundingBox())!.height;
      return y >= top && y + height <= PHONE.height;
    };
    await page.locator('#c49').scrollIntoViewIfNeeded();
    await page.click('#c49');
    await until(page, () => page.locator('.panel h2').textContent(), 'Picture 49');
    await until(page, () => seen('.panel h2'), true);
    await page.click('#close');
    await until(page, () => page.locator('.panel').count(), 0);
    await until(page, () => seen('#c49 .frame'), true);
    await page.context().close();
  });

  it('keeps the view, and what is looked at, while pictures come: nothing moves', async () => {
    const become = (number: number, data: { state: 'queued' | 'done' | 'failed'; failure?: string }) =>
      db.generation.update({ where: { id: running.pictures[number - 1]! }, data });
    await become(1, { state: 'queued' });
    await become(2, { state: 'queued' });
    const page = await open(DESKTOP, `/sweeps/${running.id}?picture=1&rows=seed&columns=steps`);
    // As when somebody comes back to it; by itself it comes some seconds later.
    const comeBack = () => page.evaluate('document.dispatchEvent(new Event("visibilitychange"))');
    const words = () => page.locator('.cell .word').allTextContents();
    await until(
      page,
      words,
      [1, 3, 2, 4].map((number) => `Not drawn yet (picture ${number})`),
    );
    await page.click('#more summary');
    await page.focus('#c4');
    const boxes = () => Promise.all(['#c1', '#c4', '#open'].map((at) => page.locator(at).boundingBox()));
    const before = await boxes();
    await become(1, { state: 'done' });
    await comeBack();
    await until(page, () => page.locator('#c1 img').count(), 1);
    await page.evaluate('document.querySelector("#c1 img").dataset.same = "yes"');
    await become(2, { state: 'done' });
    await become(3, { state: 'failed', failure: 'internal' });
    await comeBack();
    await until(page, words, ['Failed (picture 3)', 'Not drawn yet (picture 4)']);
    expect(await focused(page)).toBe('c4');
    expect(await page.locator('#more').getAttribute('open')).toBe('');
    expect(await page.locator('#c1 img').getAttribute('data-same')).toBe('yes');
    expect(await page.locator('#line').textContent()).toContain('2 done · 1 waiting · 1 failed');
    expect(await page.locator('.failures').textContent()).toContain('Picture 3 failed');
    expect(await page.locator('.sheet thead th').first().textContent()).toContain('mean');
    expect(await boxes()).toEqual(before);
    await page.context().close();
  }, 30_000);

  it('needs no script: links and forms lead from view to view', async () => {
    const page = await open(PHONE, path, false);
    await page.selectOption('#rows', 'seed');
    await page.selectOption('#columns', 'steps');
    await page.fill('#min', '0.5');
    await page.click('#apply');
    expect(await page.locator('.sheet tbody th').count()).toBe(2);
    await page.click('.tabs a:text-is("0.6")');
    await page.locator('.cell').first().click();
    expect(await page.locator('.panel h2').textContent()).toBe('Picture 25');
    expect([
      queryOf(page).get('rows'),
      queryOf(page).get('detail_strength'),
      queryOf(page).get('min'),
    ]).toEqual(['seed', '0.6', '0.5']);
    await page.click('text=Mark as the best');
    expect(await page.locator('.panel h2').textContent()).toContain('Best');
    await page.click('#compare');
    await page.locator('.cell').nth(1).click();
    expect(await page.locator('.both figure').count()).toBe(2);
    await page.click('#close');
    await page.click('#close');
    expect(await page.locator('.panel').count()).toBe(0);
    await page.context().close();
  });

  it('complains of nothing, as of its content security policy', () => {
    expect(faults).toEqual([]);
  });
});
