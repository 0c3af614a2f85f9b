import { execFile } from 'node:child_process';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { promisify } from 'node:util';
import sharp from 'sharp';
import { beforeAll, describe, expect, it } from 'vitest';
import {
  drawContactSheet,
  type SheetCell,
  type SheetRequest,
} from '#src/cards/contact-sheet/contact-sheet.ts';

const RED = { r: 200, g: 30, b: 40 };
let red: Buffer;
let loads = 0;

beforeAll(async () => {
  red = await sharp({ create: { width: 512, height: 640, channels: 3, background: RED } })
    .png()
    .toBuffer();
});

const numbers = (count: number) => Array.from({ length: count }, (_, i) => String(i + 1));

/** A full grid; `changes` makes some of its cells other. */
function grid(
  rows: number,
  columns: number,
  changes: (index: number) => Partial<SheetCell> = () => ({}),
): SheetRequest {
  return {
    title: 'Guidance against steps',
    subtitle: 'all of it',
    rows: [{ name: 'guidance_scale', labels: numbers(rows) }],
    columns: [{ name: 'steps', labels: numbers(columns) }],
    cells: Array.from({ length: rows * columns }, (_, i) => ({
      id: `red ${rows}x${columns} ${i}`,
      coordinates: { guidance_scale: String(Math.floor(i / columns) + 1), steps: String((i % columns) + 1) },
      state: 'done',
      width: 512,
      height: 640,
      load: async () => {
        loads++;
        return red;
      },
      ...changes(i),
    })),
  };
}

/** Colours of the sheet's pixels, and how many of each; JPEG moves them a little. */
async function share(bytes: Buffer, fits: (r: number, g: number, b: number) => boolean): Promise<number> {
  const { data, info } = await sharp(bytes).removeAlpha().raw().toBuffer({ resolveWithObject: true });
  let found = 0;
  for (let i = 0; i < data.length; i += 3) if (fits(data[i]!, data[i + 1]!, data[i + 2]!)) found++;
  return found / (info.width * info.height);
}
const isRed = (r: number, g: number, b: number) => r > 180 && g < 60 && b < 70;

describe('a contact sheet', () => {
  it('shows every picture, within what Discord takes', async () => {
    const { bytes, width, height } = await drawContactSheet(grid(8, 12));
    expect(await sharp(bytes).metadata()).toMatchObject({ format: 'jpeg', width, height });
    expect(Math.max(width, height)).toBeLessThanOrEqual(4_096);
    expect(bytes.length).toBeLessThan(8 * 1024 * 1024);
    expect(await share(bytes, isRed)).toBeGreaterThan(0.7);
  });

  it.each([
    [1, 1],
    [1, 9],
    [1, 40],
    [40, 1],
    [20, 20],
    [3, 100],
    [200, 2],
  ])('of %i × %i stays within 4,096 px', async (rows, columns) => {
    const { width, height, bytes } = await drawContactSheet(grid(rows, columns));
    expect(Math.max(width, height)).toBeLessThanOrEqual(4_096);
    expect(await share(bytes, isRed)).toBeGreaterThan(0.4);
  });

  it('never asks for the bytes of what may not be seen', async () => {
    const hidden = ['held', 'gone', 'failed', 'cancelled', 'waiting', 'running'] as const;
    loads = 0;
    const request = grid(2, 3, (i) => ({ state: hidden[i]!, code: 'internal' }));
    const { bytes, alt } = await drawContactSheet(request);
    expect(loads).toBe(0);
    expect(await share(bytes, isRed)).toBe(0);
    expect(alt).toContain('1 held for review');
    expect(alt).toContain('1 failed');
  });

  it('tells held, failed and waiting cells apart', async () => {
    const of = async (state: SheetCell['state']) =>
      (await drawContactSheet(grid(3, 3, () => ({ state })))).bytes;
    const near = (wanted: readonly number[]) => (r: number, g: number, b: number) =>
      Math.abs(r - wanted[0]!) + Math.abs(g - wanted[1]!) + Math.abs(b - wanted[2]!) < 12;
    const held = near([0x4a, 0x4d, 0x55]);
    const failed = near([0x34, 0x23, 0x27]);
    const hatch = near([0x2d, 0x2f, 0x35]);
    expect(await share(await of('held'), held)).toBeGreaterThan(0.6);
    expect(await share(await of('failed'), failed)).toBeGreaterThan(0.6);
    expect(await share(await of('waiting'), hatch)).toBeGreaterThan(0.15);
    expect(await share(await of('waiting'), held)).toBeLessThan(0.02);
  });

  it('reads a picture once, however often it is drawn', async () => {
    const request = grid(2, 5);
    loads = 0;
    const first = await drawContactSheet(request);
    const second = await drawContactSheet(request);
    expect(loads).toBe(10);
    expect(second.bytes.equals(first.bytes)).toBe(true);
  });

  it('lays cells that fill no grid out in lines', async () => {
    const sparse: SheetRequest = {
      ...grid(6, 6),
      cells: grid(6, 6).cells.filter((_, i) => i % 7 === 0),
    };
    const { width, height, alt, bytes } = await drawContactSheet(sparse);
    expect(width / height).toBeLessThan(2.5);
    expect(alt).not.toContain('Rows');
    expect(await share(bytes, isRed)).toBeGreaterThan(0.4);
  });

  it('keeps labels of any length inside, and does not read them as markup', async () => {
    const long = [...'<b>&amp;', ...'a very long label '.repeat(400)].join('');
    const labels = [long, `${long}2`, 'ünïcode ✓ 漢字'];
    const cells = grid(1, 3).cells.map((cell, i) => ({ ...cell, coordinates: { prompt: labels[i]! } }));
    const request = { title: long, subtitle: long, rows: [], columns: [{ name: 'prompt', labels }], cells };
    const { alt, width } = await drawContactSheet(request);
    expect([...alt].length).toBeLessThanOrEqual(1_024);
    expect(width).toBeLessThan(2_000);
  });

  // How a glyph is hinted is the machine's to say; that it is there, and as large, is ours.
  it('has its labels on a machine without a single font', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'atelier-fonts-'));
    try {
      await writeFile(join(folder, 'fonts.conf'), '<fontconfig></fontconfig>');
      const request: SheetRequest = {
        ...grid(2, 2, () => ({ state: 'held' })),
        title: 'A title of several words',
      };
      const module = pathToFileURL(join(process.cwd(), 'src/cards/contact-sheet/contact-sheet.ts')).href;
      const script = `
        import { writeFileSync } from 'node:fs';
        const { drawContactSheet } = await import(${JSON.stringify(module)});
        const { bytes } = await drawContactSheet(${JSON.stringify(request)});
        writeFileSync(${JSON.stringify(join(folder, 'sheet.jpg'))}, bytes);`;
      const env = { ...process.env, FONTCONFIG_FILE: join(folder, 'fonts.conf') };
      await promisify(execFile)(process.execPath, ['--input-type=module', '-e', script], { env });
      const bright = (r: number, g: number, b: number) => Math.min(r, g, b) > 180;
      const here = await share((await drawContactSheet(request)).bytes, bright);
      const bare = await share(await readFile(join(folder, 'sheet.jpg')), bright);
      expect(here).toBeGreaterThan(0.002);
      expect(Math.abs(bare - here)).toBeLessThan(here / 4);
    } finally {
      await rm(folder, { recursive: true, force: true });
    }
  });
});
