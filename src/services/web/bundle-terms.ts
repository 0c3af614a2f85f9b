/** What a bundle says of itself, for people who look at its pictures. */
import { join } from 'node:path';
import { bundles } from '#config/bundles.ts';
import { config } from '#config/env.ts';
import { readManifest } from '#src/bundles/manifest.ts';

export interface Terms {
  readonly title: string;
  /** made for tests and demos */
  readonly standIn: boolean;
  /** null where the bundle is not on this machine */
  readonly licence: string | null;
}

/** Read anew each time: a bundle may be brought or built while we run. */
export async function termsOf(name: string): Promise<Terms> {
  const entry = bundles.get(name);
  const unknown = { title: name, standIn: entry?.build !== undefined, licence: null };
  if (!entry) return unknown;
  try {
    const { title, standIn, licence } = await readManifest(join(config.dataDir, entry.path));
    return { title, standIn, licence };
  } catch {
    return unknown;
  }
}

export function allTerms(): Promise<Terms[]> {
  return Promise.all(config.bundles.map(termsOf));
}
