import { execFile } from 'node:child_process';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { promisify } from 'node:util';
import sharp from 'sharp';
import { beforeAll, describe, expect, it } from 'vitest';
import { limits } from '#config/tiers.ts';
import {
  altOf,
  drawSheet,
  planSheets,
  type SheetCell,
  type SheetRequest,
  sayDrawn,
} from '#src/cards/contact-sheet/contact-sheet.ts';
import { measureSheet } from '#src/cards/contact-sheet/measure.ts';
import { takeIdentity } from '#src/marks/installation.ts';
import { sayIn } from '#src/say.ts';
import { testIdentity } from '#test/support/identity.ts';

takeIdentity(testIdentity);

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
      number: i + 1,
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

/** The first of a batch's sheets. */
async function drawFirst(request: SheetRequest) {
  const [plan] = await planSheets(request);
  return { ...(await drawSheet(sayIn('en'), request, plan!)), alt: altOf(sayIn('en'), request, plan!) };
}

/** How much smaller a message shows a sheet: at most 520 px wide, and 440 high. */
const shownAt = (width: number, height: number) => Math.min(1, 520 / width, 440 / height);

const shapes: readonly (readonly [rows: number, columns: number])[] = [
  [1, 1],
  [1, 2],
  [1, 9],
  [5, 8],
  [1, 40],
  [40, 1],
  [20, 20],
  [3, 100],
  [200, 2],
  [1, limits.batch],
];

describe('contact sheets', () => {
  it('show every picture, within what Discord takes', async () => {
    const { bytes, width, height } = await drawFirst(grid(5, 8));
    expect(await sharp(bytes).metadata()).toMatchObject({ format: 'jpeg', width, height });
    expect(bytes.length).toBeLessThan(8 * 1024 * 1024);
    expect(await share(bytes, isRed)).toBeGreaterThan(0.4);
  });

  it.each(shapes)('of %i × %i can be read where a message shows them', async (rows, columns) => {
    const request = grid(rows, columns, () => ({ state: 'waiting' }));
    const plans = await planSheets(request);
    for (const plan of plans) {
      const { width, height, fontSize, cellWidth } = await measureSheet(plan, request);
      const scale = shownAt(width, height);
      expect(fontSize * scale).toBeGreaterThanOrEqual(13);
      // Room for a number of three digits.
      expect(cellWidth * scale).toBeGreaterThanOrEqual(40);
      expect(Math.max(width, height)).toBeLessThanOrEqual(4_096);
    }
  });

  it.each(shapes)(
    'of %i × %i have each picture once, on as few as a list of pages holds',
    async (rows, columns) => {
      const request = grid(rows, columns, () => ({ state: 'waiting' }));
      const plans = await planSheets(request);
      const numbers = plans.flatMap(({ placed }) => placed.map(({ cell }) => cell.number));
      expect(numbers.sort((a, b) => a - b)).toEqual(Array.from({ length: rows * columns }, (_, i) => i + 1));
      expect(plans.length).toBeLessThanOrEqual(25);
      for (const { placed } of plans)
        expect(new Set(placed.map(({ row, column }) => `${row} ${column}`)).size).toBe(placed.length);
    },
  );

  it('are legible with labels of any length, on several axes at once', async () => {
    const label = (axis: string, i: number) =>
      `${i}: a ${axis} that is described in more words than fit ${i}`;
    const axes = ['prompt', 'scheduler', 'face', 'guidance_scale'].map((name) => ({
      name,
      labels: [1, 2, 3].map((i) => label(name, i)),
    }));
    const cells = grid(9, 9, () => ({ state: 'waiting' })).cells.map((cell, i) => ({
      ...cell,
      coordinates: Object.fromEntries(
        axes.map(({ name, labels }, at) => [name, labels[Math.floor(i / 3 ** at) % 3]!]),
      ),
    }));
    const request = {
      title: 'Four axes',
      subtitle: '',
      rows: axes.slice(0, 2),
      columns: axes.slice(2),
      cells,
    };
    const plans = await planSheets(request);
    expect(plans.flatMap(({ placed }) => placed)).toHaveLength(81);
    for (const plan of plans) {
      const { width, height, fontSize, cellWidth } = await measureSheet(plan, request);
      expect(fontSize * shownAt(width, height)).toBeGreaterThanOrEqual(12.9);
      expect(cellWidth * shownAt(width, height)).toBeGreaterThanOrEqual(30);
    }
  });

  it('cut a grid between the labels of its outermost axis, where those fit', async () => {
    const asked = grid(12, 4, () => ({ state: 'waiting' }));
    const rows = [
      { name: 'prompt', labels: ['a', 'b', 'c'] },
      { name: 'steps', labels: numbers(4) },
    ];
    const cells = asked.cells.map((cell, i) => ({
      ...cell,
      coordinates: {
        prompt: 'abc'[Math.floor(i / 16)]!,
        steps: String((Math.floor(i / 4) % 4) + 1),
        seed: String((i % 4) + 1),
      },
    }));
    const plans = await planSheets({
      ...asked,
      rows,
      columns: [{ name: 'seed', labels: numbers(4) }],
      cells,
    });
    expect(plans.map(({ rowHeaders }) => rowHeaders[0])).toEqual(
      ['a', 'b', 'c'].map((text) => [{ text, from: 0, span: 4 }]),
    );
  });

  it('have the picture’s number in each cell, drawn or not', async () => {
    const bright = (r: number, g: number, b: number) => Math.min(r, g, b) > 200;
    for (const state of ['done', 'waiting', 'held', 'failed', 'cancelled', 'gone'] as const) {
      const of = (number: number) =>
        drawFirst({ ...grid(1, 1, () => ({ state, number })), title: '', subtitle: '' });
      // Of wider digits there is more ink.
      expect(await share((await of(888)).bytes, bright), state).toBeGreaterThan(
        (await share((await of(1)).bytes, bright)) * 1.3,
      );
    }
  });

  it('never ask for the bytes of what may not be seen', async () => {
    const hidden = ['held', 'gone', 'failed', 'cancelled', 'waiting', 'running'] as const;
    loads = 0;
    const request = grid(2, 3, (i) => ({ state: hidden[i]! }));
    const { bytes, alt } = await drawFirst(request);
    expect(loads).toBe(0);
    expect(await share(bytes, isRed)).toBe(0);
    expect(alt).toContain('1 held for review');
    expect(alt).toContain('1 failed');
  });

  it('tell held, failed and waiting cells apart', async () => {
    const of = async (state: SheetCell['state']) => (await drawFirst(grid(3, 3, () => ({ state })))).bytes;
    const near = (wanted: readonly number[]) => (r: number, g: number, b: number) =>
      Math.abs(r - wanted[0]!) + Math.abs(g - wanted[1]!) + Math.abs(b - wanted[2]!) < 12;
    const held = near([0x4a, 0x4d, 0x55]);
    const failed = near([0x34, 0x23, 0x27]);
    const hatch = near([0x2d, 0x2f, 0x35]);
    expect(await share(await of('held'), held)).toBeGreaterThan(0.4);
    expect(await share(await of('failed'), failed)).toBeGreaterThan(0.4);
    expect(await share(await of('waiting'), hatch)).toBeGreaterThan(0.15);
    expect(await share(await of('waiting'), held)).toBeLessThan(0.02);
  });

  it('read a picture once, however often they are drawn', async () => {
    const request = grid(2, 5);
    loads = 0;
    const first = await drawFirst(request);
    const second = await drawFirst(request);
    expect(loads).toBe(10);
    const [one, other] = await Promise.all([first, second].map(({ bytes }) => sharp(bytes).raw().toBuffer()));
    expect(other!.equals(one!)).toBe(true);
  });

  it('lay cells that fill no grid out in lines', async () => {
    const sparse: SheetRequest = {
      ...grid(6, 6),
      cells: grid(6, 6).cells.filter((_, i) => i % 7 === 0),
    };
    const { width, height, alt, bytes } = await drawFirst(sparse);
    expect(width / height).toBeLessThan(2.5);
    expect(alt).not.toContain('Rows');
    expect(await share(bytes, isRed)).toBeGreaterThan(0.4);
  });

  it('keep labels of any length inside, and do not read them as markup', async () => {
    const long = [...'<b>&amp;', ...'a very long label '.repeat(400)].join('');
    const labels = [long, `${long}2`, 'ünïcode ✓ 漢字'];
    const cells = grid(1, 3).cells.map((cell, i) => ({ ...cell, coordinates: { prompt: labels[i]! } }));
    const request = { title: long, subtitle: long, rows: [], columns: [{ name: 'prompt', labels }], cells };
    const { alt, width } = await drawFirst(request);
    expect([...alt].length).toBeLessThanOrEqual(1_024);
    expect(width).toBeLessThan(2_700);
  });

  it('have their words in the language of the batch, where the font has its letters', () => {
    const languages = (['en', 'de', 'fr', 'es', 'ja'] as const).map((one) => sayDrawn(sayIn(one)).language);
    expect(languages).toEqual(['en', 'de', 'fr', 'es', 'en']);
  });

  // How a glyph is hinted is the machine's to say; that it is there, and as large, is ours.
  it('have their labels on a machine without a single font', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'atelier-fonts-'));
    try {
      await writeFile(join(folder, 'fonts.conf'), '<fontconfig></fontconfig>');
      const request: SheetRequest = {
        ...grid(2, 2, () => ({ state: 'held' })),
        title: 'A title of several words',
      };
      const module = (file: string) => pathToFileURL(join(process.cwd(), file)).href;
      const script = `
        import { writeFileSync } from 'node:fs';
        const { drawSheet, planSheets } = await import(${JSON.stringify(module('src/cards/contact-sheet/contact-sheet.ts'))});
        const { sayIn } = await import(${JSON.stringify(module('src/say.ts'))});
        const request = ${JSON.stringify(request)};
        const [plan] = await planSheets(request);
        const { bytes } = await drawSheet(sayIn('en'), request, plan);
        writeFileSync(${JSON.stringify(join(folder, 'sheet.jpg'))}, bytes);`;
      const env = { ...process.env, FONTCONFIG_FILE: join(folder, 'fonts.conf') };
      await promisify(execFile)(process.execPath, ['--input-type=module', '-e', script], { env });
      const bright = (r: number, g: number, b: number) => Math.min(r, g, b) > 180;
      const here = await share((await drawFirst(request)).bytes, bright);
      const bare = await share(await readFile(join(folder, 'sheet.jpg')), bright);
      expect(here).toBeGreaterThan(0.002);
      expect(Math.abs(bare - here)).toBeLessThan(here / 4);
    } finally {
      await rm(folder, { recursive: true, force: true });
    }
  });
});
