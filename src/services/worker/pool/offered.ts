/** Which bundles a worker has to draw with, and whether they fit into its memory: known from their files, before one is loaded. */
import { join } from 'node:path';
import { entryOf } from '#config/bundles.ts';
import type { Config } from '#config/env.ts';
import { faultOf, inspectBundle, memoryOf } from '#src/bundles/inspect.ts';
import type { Level } from './plan.ts';
import type { Offered } from './pool.ts';

const GIB = 2 ** 30;

/** Where a bundle is, and how it is kept. */
export interface BundlePlace {
  readonly dir: string;
  readonly level: Level;
}

/** Those that BUNDLES names. @throws {Error} naming one that config/bundles.yaml has not */
export function placesOf({ bundle, bundles, dataDir }: Pick<Config, 'bundle' | 'bundles' | 'dataDir'>) {
  return new Map(
    // What is drawn with unless somebody chooses is loaded first.
    [...new Set([bundle, ...bundles])].map((name): [string, BundlePlace] => {
      const entry = entryOf(name);
      const level = entry.keep ?? (name === bundle ? 'warm' : 'demand');
      return [name, { dir: join(dataDir, entry.path), level }];
    }),
  );
}

/** Memory for faces, where nobody says how much there is: a photo's takes some KiB with most ID encoders. bytes */
const FACES = 64 * 2 ** 20;

/** What a worker may have in memory where nobody says: all bundles, a set of LoRAs in one, and some faces. bytes */
export function roomForAll(offered: readonly Offered[]): number {
  const bundles = offered.reduce((sum, { bytes }) => sum + bytes, 0);
  return bundles + Math.max(...offered.map(({ loraBytes }) => loraBytes)) + FACES;
}

/**
 * Looks at their files. One with faults is offered with them, as long as there is another.
 *
 * @throws {Error} naming what is wrong with the only one
 */
export async function offeredBundles(places: ReadonlyMap<string, BundlePlace>): Promise<Offered[]> {
  const offered = await Promise.all(
    [...places].map(async ([name, { dir, level }]): Promise<Offered> => {
      try {
        const inspection = await inspectBundle(dir);
        return { name, dir, level, ...memoryOf(inspection), fault: faultOf(inspection) };
      } catch (error) {
        const fault = error instanceof Error ? error : new Error(String(error));
        return { name, dir, level, bytes: 0, loraBytes: 0, fault };
      }
    }),
  );
  const [first] = offered;
  if (first?.fault && offered.every(({ fault }) => fault)) throw first.fault;
  return offered;
}

/** @param budget bytes @throws {Error} naming a bundle that never fits, with numbers */
export function mustFit(offered: readonly Offered[], budget: number): void {
  const sound = offered.filter(({ fault }) => !fault).sort((a, b) => b.bytes - a.bytes);
  const pinned = sound.filter(({ level }) => level === 'pinned');
  for (const { name, bytes } of sound) {
    const others = pinned.filter((one) => one.name !== name);
    const beside = others.reduce((sum, one) => sum + one.bytes, 0);
    if (bytes + beside <= budget) continue;
    const with_ = others.length
      ? ` beside ${others.map((one) => one.name).join(', ')}, which ${others.length === 1 ? 'is' : 'are'} pinned and ${others.length === 1 ? 'needs' : 'need'} ${gib(beside)}`
      : '';
    throw new Error(`WORKER_MEMORY is ${gib(budget)}, and bundle ${name} needs ${gib(bytes)}${with_}.`);
  }
}

/** Upwards, so that what is said to be needed is enough. */
const gib = (bytes: number) => `${Math.ceil((bytes / GIB) * 100) / 100} GiB`;
