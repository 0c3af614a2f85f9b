import sharp from 'sharp';

/** A PNG of 7.7 MB: noise, which nothing makes smaller. */
export function largePng(): Promise<Buffer> {
  const noise = { type: 'gaussian', mean: 128, sigma: 40 } as const;
  return sharp({ create: { width: 1_600, height: 1_600, channels: 3, background: '#000', noise } })
    .png({ compressionLevel: 0 })
    .toBuffer();
}
