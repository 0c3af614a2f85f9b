/** Signing in and drawing in Chromium, with the local Discord at another site and a real worker. */
import type { Browser, Page } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, inject, it } from 'vitest';
import { findChromium, openBrowser } from '#test/support/browser.ts';
import { startWebWithDiscord, type WebWithDiscord } from './visitors.ts';

const PHONE = { width: 375, height: 780 };

describe.skipIf(!findChromium())('drawing in a browser', () => {
  let web: WebWithDiscord;
  let browser: Browser;
  let db: typeof import('#src/doors/db.ts').db;
  let workers: typeof import('#test/support/worker-process.ts');
  const faults: string[] = [];

  beforeAll(async () => {
    web = await startWebWithDiscord();
    ({ db } = await import('#src/doors/db.ts'));
    workers = await import('#test/support/worker-process.ts');
    await workers.useBundle(inject('bundleDir'));
    browser = await openBrowser();
  });
  afterAll(async () => {
    await workers?.endWorkers();
    await browser?.close();
    await web?.close();
  });

  async function open(viewport = PHONE, script = true): Promise<Page> {
    const context = await browser.newContext({ viewport, javaScriptEnabled: script, deviceScaleFactor: 1 });
    const page = await context.newPage();
    page.on('console', (message) => faults.push(message.text()));
    page.on('pageerror', (error) => faults.push(String(error)));
    return page;
  }
  const widthOf = (page: Page) => page.evaluate('document.documentElement.scrollWidth');
  async function signIn(page: Page, name: string): Promise<void> {
    await page.goto(`${web.url}/draw`);
    await page.getByRole('navigation', { name: 'Yours' }).getByRole('link', { name: 'Sign in' }).click();
    await page.getByRole('button', { name, exact: true }).click();
    await page.waitForURL(`${web.url}/draw`);
  }
  async function ask(
    page: Page,
    prompt: string,
    more: { count?: number; steps?: number } = {},
  ): Promise<void> {
    await page.goto(`${web.url}/draw`);
    await page.getByLabel('What to draw').fill(prompt);
    await page.getByRole('radio', { name: String(more.count ?? 1), exact: true }).check();
    if (more.steps) {
      await page.getByText('More', { exact: true }).click();
      await page.getByLabel('Steps', { exact: false }).first().fill(String(more.steps));
    }
    await page.getByRole('button', { name: 'Draw', exact: true }).click();
    await page.waitForURL(/\/draw\/[0-9a-f-]{36}$/);
  }

  it('signs in at Discord’s own site, draws, watches it to its end, and finds it again', async () => {
    const page = await open();
    await signIn(page, 'Member');
    expect(await page.getByRole('link', { name: 'Member', exact: true }).count()).toBe(1);
    expect(await widthOf(page)).toBe(PHONE.width);

    await ask(page, 'portrait of a woman, long red hair, emerald dress, forest', { steps: 12 });
    expect(await page.locator('#line').textContent()).toContain('Waiting');
    const worker = workers.workerProcess();
    await worker.ready;
    const picture = page.locator('.tile img:not(.preview)');
    await picture.waitFor({ timeout: 60_000 });
    const width = () => page.evaluate('document.querySelector(".tile img:not(.preview)").naturalWidth');
    await expect.poll(width).toBeGreaterThan(100);
    expect(await page.locator('#line').textContent()).toContain('1 picture ready');
    expect(await widthOf(page)).toBe(PHONE.width);

    await page.getByRole('link', { name: 'Draw one like this' }).click();
    expect(await page.getByLabel('What to draw').inputValue()).toContain('emerald dress');
    await page.getByRole('link', { name: 'My pictures' }).click();
    await page.locator('.strip img').waitFor();
    expect(await page.locator('.row').count()).toBe(1);
    await page.getByRole('link', { name: 'Member', exact: true }).click();
    expect(await page.locator('h1').textContent()).toBe('Member');
    await page.getByRole('button', { name: 'Sign out' }).click();
    await page.goto(`${web.url}/draw/pictures`);
    expect(await page.locator('.row').count()).toBe(0);
    await page.context().close();
  }, 120_000);

  it('cancels what is being drawn', async () => {
    const page = await open();
    await signIn(page, 'Another member');
    await ask(page, 'portrait of an old man, snow', { count: 2, steps: 150 });
    await page.locator('progress').first().waitFor({ timeout: 30_000 });
    await page.getByRole('button', { name: 'Cancel' }).click();
    await page.getByText('not drawn, tokens given back').waitFor({ timeout: 30_000 });
    const batch = await db.batch.findFirstOrThrow({
      orderBy: { createdAt: 'desc' },
      include: { generations: true },
    });
    expect(batch.generations.map(({ state }) => state)).toEqual(['cancelled', 'cancelled']);
    await page.context().close();
  }, 90_000);

  it('needs no script: the page asks for itself anew until it is done', async () => {
    const page = await open(PHONE, false);
    await ask(page, 'portrait of a woman, sea');
    await page.locator('.tile img:not(.preview)').waitFor({ timeout: 60_000 });
    // A guest, who had five tokens.
    await page.goto(`${web.url}/draw`);
    expect(await page.locator('.tokens').textContent()).toMatch(/^[0-4] tokens?$/);
    await page.context().close();
  }, 90_000);

  it('complains of nothing, as of its content security policy', () => {
    expect(faults).toEqual([]);
  });
});
