import type { Browser, Page } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { publishImage } from '#src/publishing.ts';
import { startWeb } from '#src/services/web/web.ts';
import { findChromium, openBrowser } from '#test/support/browser.ts';
import { makePicture } from './pictures.ts';

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
  const shiftOf = (page: Page) => page.evaluate('globalThis.seen.shift');
  const widthOf = (page: Page) => page.evaluate('document.documentElement.scrollWidth');

  it('explains an empty wall', async () => {
    const { page } = await open('/', PHONE);
    expect(await page.textContent('h1')).toBe('No pictures here yet');
    expect(await page.textContent('main')).toContain('/gallery publish');
    await page.context().close();
  });

  describe('with thirty pictures', () => {
    beforeAll(async () => {
      for (let n = 0; n < 30; n++) {
        const { image, owner } = await makePicture(n);
        await publishImage(owner, image.id);
        ids.unshift(image.id);
      }
    });

    it.each([
      ['desktop', DESKTOP],
      ['phone', PHONE],
    ])('shows them on a %s in order, uncropped, without a shift', async (_, viewport) => {
      const { page, faults } = await open('/', viewport);
      await page.waitForFunction('document.querySelector("img").naturalWidth > 0');
      const loadedBefore = await page.evaluate(
        '[...document.images].filter((i) => i.naturalWidth > 0).length',
      );
      expect(loadedBefore).toBeLessThan(24);
      await page.evaluate(
        '(async () => { for (const i of document.images) { i.scrollIntoView(); await i.decode().catch(() => {}); } })()',
      );
      const images = (await page.evaluate(
        '[...document.images].map((i) => { const { x, y, width, height } = i.getBoundingClientRect(); return { x, y: Math.round(y), width, height, ratio: i.naturalWidth / i.naturalHeight, alt: i.alt, src: i.currentSrc, href: i.closest("a").href } })',
      )) as (Record<'x' | 'y' | 'width' | 'height' | 'ratio', number> &
        Record<'alt' | 'src' | 'href', string>)[];

      expect(images.map(({ href }) => href.split('/').at(-1))).toEqual(ids.slice(0, 24));
      for (const [i, { x, y, width, height, ratio, alt, src }] of images.entries()) {
        expect(width / height).toBeCloseTo(ratio, 1);
        expect(width).toBeGreaterThan(80);
        expect(src).toMatch(/\.avif$/);
        expect(alt).toMatch(/^AI-made picture, (upright|square|wide), published on/);
        // Left to right, then down.
        const before = images[i - 1];
        if (before) expect(y > before.y || (Math.abs(y - before.y) <= 1 && x > before.x)).toBe(true);
      }
      expect(await shiftOf(page)).toBe(0);
      expect(await widthOf(page)).toBe(viewport.width);
      expect(faults).toEqual([]);
      await page.context().close();
    });

    it('needs no script: pictures, pages and details are reached by links', async () => {
      const { page } = await open('/', PHONE, false);
      await page.click('text=More pictures');
      expect(page.url()).toContain('before=');
      await page.click('.wall a');
      expect(await page.textContent('dl')).toContain('px');
      await page.click('text=Newer');
      expect(page.url()).toContain(ids[23]);
      await page.click('text=Older');
      expect(page.url()).toContain(ids[24]);
      await page.click('text=All pictures');
      expect(new URL(page.url()).pathname).toBe('/');
      await page.context().close();
    });

    it.each([
      ['desktop', DESKTOP],
      ['phone', PHONE],
    ])('shows one picture on a %s whole, without a shift', async (_, viewport) => {
      // The tallest and the widest.
      for (const shape of [4, 3]) {
        const { page, faults } = await open(`/pictures/${ids[29 - shape]}`, viewport);
        await page.waitForFunction('document.querySelector(".frame img").naturalWidth > 0');
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
