/**
 * One RGB picture, painted rectangle by rectangle, and made a JPEG.
 *
 * We paint it ourselves: pictures and texts are small rectangles, and copying them costs a tenth of what compositing hundreds
 * of layers does.
 */
import sharp from 'sharp';
import { type MarkedFile, markPicture } from '#src/marks/marks.ts';
import { type Colour, colours } from './colours.ts';
import type { SetText } from './lettering.ts';
import type { Thumbnail } from './thumbnails.ts';

const BYTES_MAX = 8 * 1024 * 1024;

/** Positions may be fractions: they are rounded. What lies outside is cut off. */
export class Canvas {
  readonly width: number;
  readonly height: number;
  readonly #pixels: Buffer;

  /** @param width px, whole @param height px, whole */
  constructor(width: number, height: number) {
    this.width = width;
    this.height = height;
    this.#pixels = Buffer.alloc(width * height * 3);
    this.fill(0, 0, width, height, colours.page);
  }

  /** @param alpha 0…1 */
  fill(x: number, y: number, width: number, height: number, colour: Colour, alpha = 1): void {
    this.#blend(x, y, width, height, colour, () => alpha);
  }

  /** Diagonal stripes: nothing is there yet. @param period px */
  hatch(x: number, y: number, width: number, height: number, period: number): void {
    this.fill(x, y, width, height, colours.place);
    this.#blend(x, y, width, height, colours.hatch, (dx, dy) => ((dx + dy) % period < period / 2.5 ? 1 : 0));
  }

  /** Takes the corners off a rectangle that was painted. @param radius px */
  round(x: number, y: number, width: number, height: number, radius: number): void {
    for (const right of [0, 1]) {
      for (const low of [0, 1]) {
        const left = x + right * (width - radius);
        const top = y + low * (height - radius);
        this.#blend(left, top, radius, radius, colours.page, (dx, dy) => {
          const from = Math.hypot(right ? dx + 0.5 : radius - dx - 0.5, low ? dy + 0.5 : radius - dy - 0.5);
          return Math.min(1, Math.max(0, from - radius + 0.5));
        });
      }
    }
  }

  /** @param x px, whole, from 0 @param y px, whole, from 0 */
  picture({ data, width, height }: Thumbnail, x: number, y: number): void {
    const across = Math.min(width, this.width - x);
    for (let row = 0; row < Math.min(height, this.height - y); row++) {
      const from = row * width * 3;
      data.copy(this.#pixels, ((y + row) * this.width + x) * 3, from, from + across * 3);
    }
  }

  text({ data, width, height }: SetText, x: number, y: number, colour: Colour): void {
    this.#blend(x, y, width, height, colour, (dx, dy) => (data[dy * width + dx] ?? 0) / 255);
  }

  /** A JPEG of at most 8 MiB. Without chroma subsampling, which would smear small coloured text. What would be too many bytes comes half as large. */
  async encode(): Promise<MarkedFile> {
    const { width, height } = this;
    const raw = { width, height, channels: 3 } as const;
    for (const quality of [88, 78, 65]) {
      const image = sharp(this.#pixels, { raw });
      const sheet = await markPicture(image.jpeg({ quality, chromaSubsampling: '4:4:4' }), 'composed');
      if (sheet.bytes.length <= BYTES_MAX) return sheet;
    }
    const half = sharp(this.#pixels, { raw }).resize({ width: Math.round(width / 2) });
    return markPicture(half.jpeg({ quality: 70 }), 'composed');
  }

  #blend(
    x: number,
    y: number,
    width: number,
    height: number,
    [red, green, blue]: Colour,
    alphaAt: (dx: number, dy: number) => number,
  ): void {
    const pixels = this.#pixels;
    const [left, top] = [Math.round(x), Math.round(y)];
    const [across, down] = [Math.round(width), Math.round(height)];
    for (let dy = Math.max(0, -top); dy < down && top + dy < this.height; dy++) {
      for (let dx = Math.max(0, -left); dx < across && left + dx < this.width; dx++) {
        const alpha = alphaAt(dx, dy);
        if (!alpha) continue;
        const at = ((top + dy) * this.width + left + dx) * 3;
        pixels[at] = pixels[at]! + (red - pixels[at]!) * alpha;
        pixels[at + 1] = pixels[at + 1]! + (green - pixels[at + 1]!) * alpha;
        pixels[at + 2] = pixels[at + 2]! + (blue - pixels[at + 2]!) * alpha;
      }
    }
  }
}
