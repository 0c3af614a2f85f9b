/** Bundles: what pictures can be drawn with. */
import { z } from 'zod';
import { entryOf } from '#config/bundles.ts';
import { config } from '#config/env.ts';
import { lorasOf } from '#src/backlog/fleet.ts';
import { termsOf } from '../bundle-terms.ts';
import { refusals } from './problem.ts';
import { anyone, type Routes } from './routes.ts';

const Bundle = z
  .object({
    name: z.string().describe('A value of the parameter `bundle`.'),
    title: z.string(),
    standIn: z.boolean().describe('Made for tests and demonstrations: not a trained model.'),
    licence: z.string().nullable().describe('null: not known here'),
    shapes: z
      .record(z.string(), z.object({ width: z.int().describe('px'), height: z.int().describe('px') }))
      .describe('Name → size: values of the parameter `shape`.'),
    loras: z.array(z.string()).nullable().describe('Names for the parameter `lora`; null: no worker says.'),
    isDefault: z.boolean(),
  })
  .meta({ id: 'Bundle', description: 'A model that pictures can be drawn with.' });

const BundleList = z.object({ items: z.array(Bundle) }).meta({ id: 'BundleList' });

export function bundles(area: Routes): void {
  area.get(
    '/bundles',
    {
      schema: {
        operationId: 'listBundles',
        tags: ['Bundles'],
        summary: 'List bundles',
        security: anyone('read'),
        response: { 200: BundleList, default: refusals },
      },
    },
    async () => {
      const items = config.bundles.map(async (name) => {
        const [{ title, standIn, licence }, loras] = await Promise.all([termsOf(name), lorasOf(name)]);
        const { shapes } = entryOf(name);
        return { name, title, standIn, licence, shapes, loras, isDefault: name === config.bundle };
      });
      return { items: await Promise.all(items) };
    },
  );
}
