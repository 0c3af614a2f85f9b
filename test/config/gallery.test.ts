import { describe, expect, it } from 'vitest';
import { stringify } from 'yaml';
import { GalleryFile, gallery } from '#config/gallery.ts';
import { parseYaml } from '#config/load.ts';

describe('config/gallery.yaml', () => {
  it('takes down within five seconds, and encodes AVIF fast enough to do it while somebody waits', () => {
    expect(gallery.recheck).toBeLessThanOrEqual(5);
    expect(gallery.avif.effort).toBeLessThanOrEqual(2);
  });

  it.each([
    [{ widths: [640, 320] }, 'widths: must rise'],
    [{ widths: [] }, 'widths: '],
    [{ recheck: 60 }, 'recheck: '],
    [{ colour: 'red' }, 'colour'],
  ])('is refused with %j', (change, fault) => {
    expect(() => parseYaml(stringify({ ...gallery, ...change }), GalleryFile, 'gallery.yaml')).toThrow(fault);
  });
});
