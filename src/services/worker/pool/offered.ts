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

/**
 * Looks at their files. One with faults is offered with them, as long as there is another.
 *
 * @param budget bytes
 * @throws {Error} naming what is wrong with the only one, or a bundle that never fits
 */
export async function offeredBundles(
  places: ReadonlyMap<string, BundlePlace>,
  budget: number,
): Promise<Offered[]> {
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
  mustFit(
    offered.filter(({ fault }) => !fault),
    budget,
  );
  return offered;
}

/** @throws {Error} with numbers */
function mustFit(offered: readonly Offered[], budget: number): void {
  const pinned = offered.filter(({ level }) => level === 'pinned');
  for (const { name, bytes } of [...offered].sort((a, b) => b.bytes - a.bytes)) {
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
