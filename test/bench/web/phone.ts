/** What somebody has of the wall on a phone of the middle, on a slow line: measured by Chromium itself. */
import type { Browser } from 'playwright-core';
import { openBrowser } from '#test/support/browser.ts';
import { type Goal, median, say } from '../goal.ts';

const VIEWS = 5;
/** Lighthouse's phone: a processor four times as slow, 1.6 Mb/s down, 750 kb/s up, 150 ms to and fro. */
const SLOWER = 4;
const LINE = { offline: false, latency: 150, downloadThroughput: 1.6e6 / 8, uploadThroughput: 0.75e6 / 8 };
const SCREEN = {
  viewport: { width: 390, height: 844 },
  deviceScaleFactor: 3,
  isMobile: true,
  hasTouch: true,
};
/** A task that holds the page up for longer is counted by what it is longer. ms */
const LONG_MS = 50;

interface View {
  readonly lcpMs: number;
  readonly cls: number;
  readonly tbtMs: number;
  readonly kb: number;
  readonly pictures: number;
  readonly said: readonly string[];
}

/** What the page notes of itself. ms */
interface Seen {
  readonly fcp: number;
  readonly lcp: number | null;
  readonly cls: number;
  readonly tasks: readonly (readonly [startTime: number, duration: number])[];
}
const NOTE = `
  globalThis.seen = { fcp: 0, lcp: null, cls: 0, tasks: [] };
  const note = {
    paint: ({ name, startTime }) => { if (name === 'first-contentful-paint') seen.fcp = startTime },
    'largest-contentful-paint': ({ startTime }) => { seen.lcp = startTime },
    'layout-shift': ({ value }) => { seen.cls += value },
    longtask: ({ startTime, duration }) => { seen.tasks.push([startTime, duration]) },
  };
  for (const type in note)
    new PerformanceObserver((list) => list.getEntries().forEach(note[type])).observe({ type, buffered: true });
`;

export async function phone(url: string, of: string): Promise<readonly Goal[]> {
  const browser = await openBrowser();
  try {
    await view(browser, url); // the browser's own start is nobody's
    const views: View[] = [];
    for (let i = 0; i < VIEWS; i++) views.push(await view(browser, url));
    const middle = (key: 'lcpMs' | 'cls' | 'tbtMs' | 'kb' | 'pictures') =>
      median(views.map((one) => one[key]));
    const said = views.flatMap((one) => one.said);
    say(
      `on a phone, ${of}`,
      `largest paint ${views.map(({ lcpMs }) => lcpMs.toFixed(0)).join(', ')} ms; ${middle('kb').toFixed(0)} kB, ${middle('pictures')} pictures`,
    );
    for (const line of new Set(said)) say('  it says', line);
    return [
      { name: `largest paint on a phone, ${of}, s`, got: middle('lcpMs') / 1_000, atMost: 1 },
      { name: `layout shift, ${of}`, got: Math.max(...views.map(({ cls }) => cls)), atMost: 0 },
      { name: `blocked, ${of}, ms`, got: middle('tbtMs'), atMost: 50 },
      { name: `first view, ${of}, kB`, got: middle('kb'), atMost: 175 },
      { name: `errors in its console, ${of}`, got: said.length, atMost: 0 },
    ];
  } finally {
    await browser.close();
  }
}

/** Of somebody who was never here. */
async function view(browser: Browser, url: string): Promise<View> {
  const context = await browser.newContext(SCREEN);
  try {
    const page = await context.newPage();
    const said: string[] = [];
    page.on('console', (message) => {
      if (message.type() === 'error' || message.type() === 'warning') said.push(message.text());
    });
    page.on('pageerror', (error) => said.push(error.message));
    const cdp = await context.newCDPSession(page);
    await cdp.send('Network.enable');
    await cdp.send('Network.emulateNetworkConditions', LINE);
    await cdp.send('Emulation.setCPUThrottlingRate', { rate: SLOWER });
    let [bytes, pictures] = [0, 0];
    cdp.on('Network.loadingFinished', ({ encodedDataLength }) => {
      bytes += encodedDataLength;
    });
    cdp.on('Network.responseReceived', ({ type, response }) => {
      if (type === 'Image' && !response.url.startsWith('data:')) pictures++;
    });
    await page.addInitScript(NOTE);
    await page.goto(url, { waitUntil: 'networkidle' });
    const seen = (await page.evaluate('seen')) as Seen;
    const held = seen.tasks.filter(([at]) => at >= seen.fcp).map(([, duration]) => duration - LONG_MS);
    return {
      lcpMs: seen.lcp ?? Number.NaN,
      cls: seen.cls,
      tbtMs: held.reduce((sum, ms) => sum + ms, 0),
      kb: bytes / 1_000,
      pictures,
      said,
    };
  } finally {
    await context.close();
  }
}
