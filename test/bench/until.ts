import { setTimeout as sleep } from 'node:timers/promises';

const WITHIN_MS = 120_000;

/** @param what is waited for. @throws {Error} with it after two minutes */
export async function until(isSo: () => boolean, what: string): Promise<void> {
  for (const end = Date.now() + WITHIN_MS; !isSo(); await sleep(10)) {
    if (Date.now() > end) throw new Error(`Nothing was seen of ${what}.`);
  }
}
