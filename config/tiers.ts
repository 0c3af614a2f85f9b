/** `config/tiers.yaml`: tiers, token grants and limits. */
import { z } from 'zod';
import { loadYaml } from './load.ts';

const count = z.number().int().min(0);
/** What `config/tiers.yaml` must be. A tier without weight would never have its turn while others wait. */
export const TiersFile = z.strictObject({
  tiers: z.record(
    z.string(),
    z.strictObject({
      description: z.string().max(80),
      tokens: count,
      weight: z.number().positive(),
      /** s */
      target: z.number().positive(),
      /** s */
      within: z.number().positive(),
      /** s */
      cap: z.number().positive().optional(),
    }),
  ),
  tokens: z.strictObject({ welcome: count, daily: count, max: count }),
  guests: z.strictObject({ tokens: count, perAddress: count }),
  limits: z.strictObject({ waiting: count.min(1), batch: count.min(1) }),
});

const file = loadYaml(new URL('./tiers.yaml', import.meta.url), TiersFile);

export type Tier = z.output<typeof TiersFile>['tiers'][string];
/** name → tier */
export const tiers: ReadonlyMap<string, Tier> = new Map(Object.entries(file.tiers));
/** The tiers as the order knows them. */
export const tierRules = Object.entries(file.tiers).map(([name, { weight, target, cap }]) => ({
  name,
  weight,
  targetMs: target * 1_000,
  capMs: cap === undefined ? null : cap * 1_000,
}));
export const tokenGrants = file.tokens;
export const guests = file.guests;
export const limits = file.limits;
