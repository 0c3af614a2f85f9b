/** `config/gallery.yaml`: how the public gallery looks and encodes. */
import { z } from 'zod';
import { loadYaml } from './load.ts';

const quality = z.number().int().min(1).max(100);

export const GalleryFile = z.strictObject({
  title: z.string().min(1).max(60),
  tagline: z.string().max(120),
  /** name → how it is shown; names are those of folders in storage */
  collections: z
    .record(
      z.string().regex(/^[a-z0-9][a-z0-9-]{0,31}$/, 'must be lower-case letters, digits and -'),
      z.strictObject({
        title: z.string().min(1).max(40),
        description: z.string().max(200).optional(),
        loop: z.boolean().default(false),
      }),
    )
    .refine((all) => Object.keys(all).length > 0, 'must name one at least'),
  pageSize: z.number().int().min(1).max(200),
  /** px */
  widths: z
    .array(z.number().int().min(64).max(4096))
    .min(1)
    .refine((widths) => widths.every((width, i) => i === 0 || width > widths[i - 1]!), 'must rise'),
  /** px, and qualities */
  dense: z.strictObject({
    width: z.number().int().min(64).max(4096),
    avif: quality,
    webp: quality,
    jpeg: quality,
  }),
  avif: z.strictObject({ quality, effort: z.number().int().min(0).max(9) }),
  webp: z.strictObject({ quality, effort: z.number().int().min(0).max(6) }),
  jpeg: z.strictObject({ quality }),
  /** MiB */
  memory: z.number().int().min(1).max(4096),
  /** s */
  recheck: z.number().min(0.1).max(1.5),
});

export type GallerySettings = z.output<typeof GalleryFile>;

export const gallery: GallerySettings = loadYaml(new URL('./gallery.yaml', import.meta.url), GalleryFile);
