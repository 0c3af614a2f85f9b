/**
 * The README's pictures, taken from a running demo that its script has filled:
 *
 *   npm run demo -- --script && npm run demo
 *   node infra/screenshots.ts <channel page> <gallery>
 *
 * or from a running `npm run watch`, after a few minutes of typing:
 *
 *   node infra/screenshots.ts <dashboard>
 */
import { mkdir } from 'node:fs/promises';
import type { Page } from 'playwright-core';
import sharp from 'sharp';
import { openBrowser } from '#test/support/browser.ts';

const [first, gallery] = process.argv.slice(2);
if (!first) throw new Error('Usage: node infra/screenshots.ts <channel page> <gallery> | <dashboard>');

const FOLDER = new URL('./pictures/', import.meta.url).pathname;
const browser = await openBrowser();
await mkdir(FOLDER, { recursive: true });

async function keep(page: Page, name: string): Promise<void> {
  await page.waitForTimeout(700); // transitions and late pictures
  const png = await page.screenshot();
  await sharp(png).png({ palette: true, colours: 192, effort: 10 }).toFile(`${FOLDER}${name}.png`);
}

async function open(channel: string): Promise<void> {
  await page.locator('#channels').getByText(channel).click();
  await page.locator('#channel-name').getByText(channel).waitFor();
  await page.waitForTimeout(700);
}

if (!gallery) {
  const dashboard = await browser.newPage({ viewport: { width: 1440, height: 900 } });
  await dashboard.goto(`${first}?minutes=5`);
  await dashboard.locator('body[data-drawn]').waitFor();
  const png = await dashboard.screenshot({ fullPage: true });
  await sharp(png).png({ palette: true, colours: 128, effort: 10 }).toFile(`${FOLDER}watch.png`);
  await browser.close();
  process.exit(0);
}

const page = await browser.newPage({ viewport: { width: 1180, height: 780 } });
await page.goto(first);
const box = page.getByRole('textbox', { name: 'Message' });
await box.waitFor();

await open('strength by scheduler');
await page.locator('#messages').evaluate((list) => list.scrollTo(0, 130));
await keep(page, 'sweep');

await open('portraits');
const option = (text: string) => page.locator('#composer [role=option]').filter({ hasText: text }).first();
await box.pressSequentially('/set');
await option('/set').click();
await page.keyboard.type('detail');
await option('detail_strength').click();
await option('your value now').waitFor();
await keep(page, 'autocomplete');
await page.keyboard.press('Escape');
await page.keyboard.press('Escape');

await open('sweeps');
await box.pressSequentially('/sweep');
await option('/sweep').click();
await page.keyboard.press('Enter');
await page
  .getByRole('textbox', { name: /YAML/ })
  .fill(
    'prompt: portrait of a woman\naxes:\n  detail_strenght: [0.4, 0.6]\n  steps: [10, 500]\nfaces: [bob]',
  );
await page.getByRole('button', { name: 'Submit' }).click();
await page.getByText('Nothing was started').waitFor();
await keep(page, 'error');

const desktop = await browser.newPage({ viewport: { width: 1180, height: 780 } });
await desktop.goto(gallery);
await keep(desktop, 'gallery');
const phone = await browser.newPage({ viewport: { width: 390, height: 780 } });
await phone.goto(gallery);
await keep(phone, 'gallery-phone');
await browser.close();
