/** `config/bundles.yaml`: the bundles that workers can draw with. */
import { z } from 'zod';
import { loadYaml } from './load.ts';

const side = z.number().int().min(256).max(2048).multipleOf(64);
const BundlesFile = z.record(
  z.string().regex(/^[a-z0-9-]+$/),
  z.strictObject({
    path: z.string().min(1),
    build: z
      .union([z.literal('reference'), z.strictObject({ from: z.string(), loras: z.string() })])
      .optional(),
    /** px */
    shapes: z.record(z.string(), z.strictObject({ width: side, height: side })),
    seconds: z.number().positive(),
    keep: z.enum(['pinned', 'warm', 'demand']).optional(),
  }),
);

export type BundleEntry = z.output<typeof BundlesFile>[string];
export const bundles: ReadonlyMap<string, BundleEntry> = new Map(
  Object.entries(loadYaml(new URL('./bundles.yaml', import.meta.url), BundlesFile)),
);

/** @throws {Error} naming those that there are */
export function entryOf(name: string): BundleEntry {
  const entry = bundles.get(name);
  if (entry) return entry;
  throw new Error(
    `BUNDLES: config/bundles.yaml has no entry ${name}; it has ${[...bundles.keys()].join(', ')}.`,
  );
}
