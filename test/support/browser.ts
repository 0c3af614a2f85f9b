/** The machine's Chromium, for tests of pages. */
import { existsSync } from 'node:fs';
import { delimiter, join } from 'node:path';
import { type Browser, chromium } from 'playwright-core';

const NAMES = ['chromium', 'chromium-browser', 'google-chrome'];

export function findChromium(path = process.env.PATH ?? ''): string | null {
  const found = path.split(delimiter).flatMap((folder) => NAMES.map((name) => join(folder, name)));
  return found.find((file) => existsSync(file)) ?? null;
}

export async function openBrowser(): Promise<Browser> {
  const executablePath = findChromium();
  if (!executablePath) throw new Error('No chromium was found');
  return chromium.launch({
    executablePath,
    args: [
      ...['--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run'],
      // Without these it looks up hosts of its own at every start.
      ...['--disable-background-networking', '--disable-component-update', '--disable-sync'],
    ],
  });
}
