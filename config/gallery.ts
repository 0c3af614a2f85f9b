/** `config/gallery.yaml`: how the public gallery looks and encodes. */
import { z } from 'zod';
import { loadYaml } from './load.ts';

const quality = z.number().int().min(1).max(100);

export const GalleryFile = z.strictObject({
  title: z.string().min(1).max(60),
  tagline: z.string().max(120),
  pageSize: z.number().int().min(1).max(200),
  /** px */
  widths: z
    .array(z.number().int().min(64).max(4096))
    .min(1)
    .refine((widths) => widths.every((width, i) => i === 0 || width > widths[i - 1]!), 'must rise'),
  avif: z.strictObject({ quality, effort: z.number().int().min(0).max(9) }),
  webp: z.strictObject({ quality, effort: z.number().int().min(0).max(6) }),
  jpeg: z.strictObject({ quality }),
  /** MiB */
  memory: z.number().int().min(1).max(4096),
  /** s */
  recheck: z.number().min(0).max(5),
});

export type GallerySettings = z.output<typeof GalleryFile>;

export const gallery: GallerySettings = loadYaml(new URL('./gallery.yaml', import.meta.url), GalleryFile);
