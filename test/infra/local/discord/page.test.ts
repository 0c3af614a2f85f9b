/** The channel page in a real browser, at a desk and on a phone; and its scripts before the type checker. */
import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { Routes } from 'discord.js';
import type { Browser, Page } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { connectPerson, type Person } from '#infra/local/discord/person.ts';
import { type Sandbox, startSandbox } from '#infra/local/discord/sandbox.ts';
import { findChromium, openBrowser } from '#test/support/browser.ts';
import { APPLICATION_ID, commands, startBot, type TestBot, TOKEN } from './bot.ts';

it('the page’s scripts pass the type checker', async () => {
  await promisify(execFile)('node_modules/.bin/tsc', ['-p', 'infra/local/discord/page']);
});

// Without a browser there is nothing to test; a CI machine has to have one.
const missing = !findChromium() && !process.env.CI;

describe.skipIf(missing)(`in a browser${missing ? ' (skipped: no chromium was found)' : ''}`, () => {
  let sandbox: Sandbox;
  let bot: TestBot;
  let browser: Browser;
  let operator: Person;
  let page: Page;
  const problems: string[] = [];

  beforeAll(async () => {
    const options = { token: TOKEN, applicationId: APPLICATION_ID, rateLimits: false, answerWithinMs: 800 };
    sandbox = await startSandbox(options);
    bot = await startBot(sandbox.apiUrl);
    await bot.client.rest.put(Routes.applicationCommands(APPLICATION_ID), { body: commands });
    operator = await connectPerson(sandbox.pageUrl, { person: 'operator', channel: 'portraits' });
    browser = await openBrowser();
    page = await browser.newPage({ viewport: { width: 1280, height: 860 } });
    page.on('pageerror', (error) => problems.push(String(error)));
    page.on('console', (message) => message.type() === 'error' && problems.push(message.text()));
    page.on('request', (request) => {
      if (!request.url().startsWith(sandbox.pageUrl) && !request.url().startsWith('data:'))
        problems.push(request.url());
    });
    await page.goto(sandbox.pageUrl);
    await page.getByRole('textbox', { name: 'Message' }).waitFor();
  });

  afterAll(async () => {
    operator?.close();
    await browser?.close();
    await bot?.close();
    await sandbox?.close();
    expect(problems).toEqual([]);
  });

  const options = () => page.locator('#composer [role=option]');

  it('a channel in which nothing was asked for shows what to try, and a click puts it into the line', async () => {
    const trials = page.locator('.first-run .trial');
    await expect.poll(() => trials.count()).toBe(2);
    expect(await trials.first().innerText()).toContain('/imagine prompt: portrait');
    await trials.first().click();
    await expect
      .poll(() => page.locator('[data-option=prompt] input').inputValue())
      .toContain('portrait of a woman');
    await page.keyboard.press('Escape');
  });

  it('a photo is one of the samples, which reaches the bot', async () => {
    await page.locator('.trial', { hasText: '/faces add' }).click();
    await expect.poll(() => page.locator('[data-option=name] input').inputValue()).toBe('ada');
    await page.locator('.picker').click();
    expect(await options().first().innerText()).toBe('A file of yours…');
    await options().filter({ hasText: 'ben-2.jpg' }).click();
    await expect.poll(() => page.locator('.picker').innerText()).toBe('ben-2.jpg');
    await page.keyboard.press('Enter');
    await page.getByText('ben-2.jpg, 320×400').waitFor();
    // Something was asked for now.
    await page.locator('.first-run').waitFor({ state: 'detached' });
  });

  it('a command is typed, completed by the bot, mended, sent and answered in private', async () => {
    await page.getByRole('textbox', { name: 'Message' }).pressSequentially('/se');
    await expect.poll(() => options().first().innerText()).toContain('/set');
    await page.keyboard.press('Enter');
    await page.keyboard.type('gui');
    await expect.poll(() => options().allInnerTexts()).toEqual(['guidance', 'guidance_cutoff']);
    await page.keyboard.press('ArrowDown');
    await page.keyboard.press('Enter');
    await page.keyboard.press('Enter');
    expect(await page.getByRole('alert').innerText()).toBe('Please fill in value.');
    await page.keyboard.type('0.5');
    await page.keyboard.press('Enter');
    const reply = page.locator('.message.ephemeral').last();
    await expect.poll(() => reply.innerText()).toContain('Your guidance_cutoff is now 0.5.');
    expect(await reply.innerText()).toContain('Only you can see this');
    await reply.getByRole('button', { name: 'Dismiss message' }).click();
    await reply.waitFor({ state: 'detached' });
  });

  it('pictures arrive, buttons open dialogs, and what is filled in reaches the bot', async () => {
    await page.keyboard.type('/imagine a baker');
    await page.keyboard.press('Enter');
    await page.locator('.gallery.n4 img').first().waitFor();
    await page.locator('.gallery.n4 .picture').first().click();
    await page.locator('dialog.lightbox img').waitFor();
    await page.keyboard.press('Escape');
    await page.getByRole('button', { name: 'Details' }).click();
    // What is to be filled in has the focus, not the ✕ before it.
    await expect.poll(() => page.locator('dialog textarea:focus').count()).toBe(1);
    await page.getByRole('button', { name: 'Submit' }).click();
    expect(await page.locator('dialog').innerText()).toContain('Please fill this in.');
    await page.locator('dialog textarea').fill('Lovely');
    await page.locator('dialog .select').first().click();
    await page.getByRole('option', { name: 'Speed' }).click();
    await page.getByRole('button', { name: 'Submit' }).click();
    await page.getByText('Thanks: Lovely (speed, 0 files)').waitFor();
  });

  it('the menu of a message offers the bot’s message commands', async () => {
    await operator.say('Look at me');
    await page.getByText('Look at me').click({ button: 'right' });
    await page.getByRole('menuitem', { name: 'Details' }).click();
    await page.getByText('facts.json').waitFor();
  });

  it('silence is said in so many words', async () => {
    await page.keyboard.type('/sleep ');
    await page.keyboard.press('Enter');
    await page.getByText('The application did not respond').waitFor();
  });

  it('what people write stays text', async () => {
    await operator.say('<img src=x onerror="document.title=1"> [x](javascript:alert(1)) **bold**');
    const message = page.locator('.message', { hasText: 'onerror' });
    await message.waitFor();
    expect(await message.locator('img, a').count()).toBe(0);
    expect(await message.locator('strong').innerText()).toBe('bold');
  });

  it('somebody else sees other channels, and no one else’s private answers', async () => {
    await page.getByRole('button', { name: 'Be somebody else' }).click();
    await page.getByRole('menuitem', { name: 'Moderator' }).click();
    await page.getByRole('button', { name: '# review' }).waitFor();
    expect(await page.locator('.message.ephemeral').count()).toBe(0);
  });

  it('fits a phone', async () => {
    await page.setViewportSize({ width: 390, height: 844 });
    expect(await page.locator('#channels').isVisible()).toBe(false);
    await page.getByRole('button', { name: 'Channels' }).click();
    await page.getByRole('button', { name: '# sweeps' }).click();
    await expect.poll(() => page.locator('#channel-name').innerText()).toContain('sweeps');
    expect(await page.locator('body').evaluate((body) => body.scrollWidth)).toBe(390);
  });
});
