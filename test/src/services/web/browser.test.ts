import type { Browser, Page } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { startWeb } from '#src/services/web/web.ts';
import { publishMany } from '#test/bench/gallery-pictures.ts';
import { findChromium, openBrowser } from '#test/support/browser.ts';

const DESKTOP = { width: 1280, height: 900 };
const PHONE = { width: 390, height: 844 };

describe.skipIf(!findChromium())('the gallery in a browser', () => {
  let web: Awaited<ReturnType<typeof startWeb>>;
  let browser: Browser;
  const ids: string[] = [];

  beforeAll(async () => {
    web = await startWeb({ host: '127.0.0.1', port: 0 });
    browser = await openBrowser();
  });
  afterAll(async () => {
    await browser?.close();
    await web?.close();
  });

  /** Also fails the test when the page complains, as about its content security policy. */
  async function open(
    path: string,
    viewport: typeof PHONE,
    script = true,
  ): Promise<{ page: Page; faults: string[] }> {
    const context = await browser.newContext({ viewport, javaScriptEnabled: script, deviceScaleFactor: 1 });
    const page = await context.newPage();
    const faults: string[] = [];
    page.on('console', (message) => faults.push(message.text()));
    await page.addInitScript(`
      globalThis.seen = { shift: 0 };
      new PerformanceObserver((list) => {
        for (const entry of list.getEntries()) seen.shift += entry.value;
      }).observe({ type: 'layout-shift', buffered: true });`);
    await page.goto(web.url + path);
    return { page, faults };
  }
  const chunksOf = (page: Page) => page.locator('.chunk').count();
  const shiftOf = (page: Page) => page.evaluate('globalThis.seen.shift');
  const widthOf = (page: Page) => page.evaluate('document.documentElement.scrollWidth');

  it('explains an empty wall', async () => {
    const { page } = await open('/', PHONE);
    expect(await page.textContent('main .text h1')).toBe('No pictures here yet');
    expect(await page.textContent('main')).toContain('/gallery publish');
    await page.context().close();
  });

  describe('with a hundred pictures', () => {
    beforeAll(async () => {
      ids.push(...(await publishMany(100, 6)));
      await vi.waitFor(
        async () => expect(await (await fetch(`${web.url}/feed.json`)).text()).toContain(ids[0]),
        { timeout: 10_000 },
      );
    });

    it.each([
      ['desktop', DESKTOP],
      ['phone', PHONE],
    ])(
      'shows them on a %s without an end: uncropped, none over another, without a shift',
      async (_, viewport) => {
        const { page, faults } = await open('/', viewport);
        await vi.waitFor(
          async () =>
            expect(await page.evaluate('document.querySelector(".wall img").naturalWidth > 0')).toBe(true),
          { timeout: 10_000 },
        );
        expect(await page.locator('.wall article').count()).toBe(36);
        // A hundred are three of them: with the fourth it begins again with the newest.
        const firsts = () => page.locator(`.wall a[href="/pictures/${ids[0]}"]`).count();
        await page.mouse.move(viewport.width / 2, viewport.height / 2);
        await vi.waitFor(
          async () => {
            await page.mouse.wheel(0, 1_500);
            expect(await chunksOf(page)).toBeGreaterThanOrEqual(4);
          },
          { timeout: 60_000 },
        );
        expect(await firsts()).toBeGreaterThanOrEqual(1);
        const boxes = (await page.evaluate(
          '[...document.querySelectorAll(".wall article")].map((a) => { const { x, y, width, height } = a.getBoundingClientRect(); const i = a.querySelector("img"); return { x, y, width, height, ratio: i.width / i.height, wanted: Number(i.getAttribute("width")) / Number(i.getAttribute("height")), alt: i.alt } })',
        )) as Record<'x' | 'y' | 'width' | 'height' | 'ratio' | 'wanted', number>[];
        for (const [n, box] of boxes.entries()) {
          expect(box.ratio).toBeCloseTo(box.wanted, 1);
          for (const other of boxes.slice(n + 1)) {
            const apart =
              other.x >= box.x + box.width - 1 ||
              box.x >= other.x + other.width - 1 ||
              other.y >= box.y + box.height - 1 ||
              box.y >= other.y + other.height - 1;
            expect(apart).toBe(true);
          }
        }
        expect(await shiftOf(page)).toBe(0);
        expect(await widthOf(page)).toBe(viewport.width);
        expect(faults).toEqual([]);
        await page.context().close();
      },
      90_000,
    );

    it.each([
      ['a phone of three device pixels to one', PHONE, 3, /\/dense$/],
      ['a phone of one', PHONE, 1, /\/240$/],
      ['a desktop of two', DESKTOP, 2, /\/(640|full)$/],
    ] as const)(
      'gives %s what its columns need, and no more',
      async (_, viewport, deviceScaleFactor, needs) => {
        const context = await browser.newContext({ viewport, deviceScaleFactor });
        const page = await context.newPage();
        await page.goto(web.url);
        const first = 'document.querySelector(".wall img").currentSrc';
        await vi.waitFor(async () => expect(await page.evaluate(first)).toMatch(needs), { timeout: 10_000 });
        await context.close();
      },
    );

    it('is walked through with the arrow keys', async () => {
      const { page } = await open('/', DESKTOP);
      await page.locator('.wall a').first().focus();
      await page.keyboard.press('ArrowRight');
      expect(await page.evaluate('document.activeElement.pathname')).toBe(`/pictures/${ids[1]}`);
      await page.keyboard.press('ArrowDown');
      const below = await page.evaluate('document.activeElement.pathname');
      expect(ids.slice(2).map((id) => `/pictures/${id}`)).toContain(below);
      await page.keyboard.press('Enter');
      await page.waitForURL(`**${below}`);
      await page.context().close();
    });

    it('shows one picture over the whole window, and closes it again', async () => {
      const { page, faults } = await open(`/pictures/${ids[5]}`, DESKTOP);
      await page.click('.frame');
      await vi.waitFor(
        async () =>
          expect(await page.evaluate('document.querySelector("dialog[open] img")?.naturalWidth > 0')).toBe(
            true,
          ),
        { timeout: 10_000 },
      );
      await page.keyboard.press('Escape');
      await expect.poll(() => page.locator('dialog').count()).toBe(0);
      await page.keyboard.press('ArrowRight');
      await page.waitForURL(`**/pictures/${ids[6]}`);
      expect(faults).toEqual([]);
      await page.context().close();
    });

    it('needs no script: pictures, pages and details are reached by links', async () => {
      const { page } = await open('/', PHONE, false);
      await page.click('text=More pictures');
      expect(page.url()).toContain('before=');
      await page.locator('.wall a').first().click();
      expect(await page.textContent('dl')).toContain('px');
      await page.click('text=Newer');
      expect(page.url()).toContain(ids[35]);
      await page.click('text=Older');
      expect(page.url()).toContain(ids[36]);
      await page.click('text=All pictures');
      expect(new URL(page.url()).pathname).toBe('/');
      await page.context().close();
    });

    it.each([
      ['desktop', DESKTOP],
      ['phone', PHONE],
    ])('shows one picture on a %s whole, without a shift', async (_, viewport) => {
      // The tallest and the widest.
      for (const shape of [5, 3]) {
        const { page, faults } = await open(`/pictures/${ids[shape]}`, viewport);
        await vi.waitFor(
          async () =>
            expect(await page.evaluate('document.querySelector(".frame img").naturalWidth > 0')).toBe(true),
          { timeout: 10_000 },
        );
        const box = (await page.locator('.frame img').boundingBox())!;
        expect(box.x).toBeGreaterThanOrEqual(0);
        expect(box.x + box.width).toBeLessThanOrEqual(viewport.width);
        expect(box.height).toBeLessThanOrEqual(viewport.height);
        expect(await shiftOf(page)).toBe(0);
        expect(await widthOf(page)).toBe(viewport.width);
        expect(faults).toEqual([]);
        await page.context().close();
      }
    });
  });
});
