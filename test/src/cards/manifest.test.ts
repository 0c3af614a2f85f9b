import fc from 'fast-check';
import { beforeAll, describe, expect, it } from 'vitest';
import { openBatch } from '#src/batches/batches.ts';
import { buildManifest, csvOf } from '#src/cards/manifest.ts';
import { type Batch, db } from '#src/doors/db.ts';
import { type Picture, picturesOf } from '#src/generations/pictures.ts';
import { drawAll } from '#test/src/services/courier/local.ts';
import { cell, origin, request } from '#test/support/requests.ts';

/** RFC 4180, as a spreadsheet reads it. */
function readCsv(text: string): string[][] {
  const lines: string[][] = [];
  let line: string[] = [];
  let rest = text;
  while (rest) {
    const [all, quoted, bare, end] = /^(?:"((?:[^"]|"")*)"|([^",\r\n]*))(,|\r\n)/.exec(rest) ?? [];
    if (all === undefined) throw new Error(`not CSV: ${rest.slice(0, 40)}`);
    line.push(quoted?.replaceAll('""', '"') ?? bare ?? '');
    rest = rest.slice(all.length);
    if (end === '\r\n') {
      lines.push(line);
      line = [];
    }
  }
  return lines;
}

describe('CSV', () => {
  it('holds any text, and none that a spreadsheet would run', () => {
    const start = fc.constantFrom('', '=', '+', '-', '@', '\t=', '\r=', ' =', '＝', '"', ',', '\n=');
    const text = fc.tuple(start, fc.string({ unit: 'grapheme' })).map(([a, b]) => a + b);
    fc.assert(
      fc.property(fc.array(text, { minLength: 1 }), (values) => {
        const [line] = readCsv(csvOf([values]));
        expect(line!.map((value, i) => (value === values[i] ? value : value.slice(1)))).toEqual(values);
        for (const value of line!) expect(value).not.toMatch(/^\s*[=+\-@＝＋－＠]/);
      }),
    );
  });

  it('leaves numbers numbers', () => {
    expect(csvOf([[-1, 2n, 0.5, true, null, undefined]])).toBe('-1,2,0.5,true,,\r\n');
  });
});

describe('a manifest', () => {
  let batch: Batch;
  let pictures: Picture[];

  beforeAll(async () => {
    const cells = ['10', '20', '30', '40'].map((steps, i) =>
      cell(
        { seed: i, prompt: i ? `=HYPERLINK("x"), ${i}` : 'plain', coordinates: { steps } },
        { steps: Number(steps) },
      ),
    );
    const opened = await openBatch(origin(), request(cells, { kind: 'sweep', title: 'Steps' }));
    await drawAll(opened.id, { most: 1 });
    await drawAll(opened.id, { most: 1, verdict: 'flagged' });
    await drawAll(opened.id, { fail: (index) => (index === 2 ? 'lora_unknown' : 'internal') });
    batch = await db.batch.findUniqueOrThrow({ where: { id: opened.id } });
    pictures = await picturesOf(batch.id);
  });

  it('has a line a picture, with its place, seed, times and fate', () => {
    const { csv } = buildManifest(batch, pictures);
    const [header, ...lines] = readCsv(String(csv));
    expect(lines).toHaveLength(4);
    const of = (line: string[]) => Object.fromEntries(header!.map((name, i) => [name, line[i]]));
    expect(of(lines[0]!)).toMatchObject({
      batch: batch.id,
      number: '1',
      axis_steps: '10',
      seed: '0',
      prompt: 'plain',
      state: 'done',
      base_ms: '1235',
      details_ms: '400',
      likeness: '0.7',
      verdict: 'clear',
      reused: 'false',
    });
    expect(of(lines[0]!).sha256).toMatch(/^[0-9a-f]{64}$/);
    expect(of(lines[2]!)).toMatchObject({ state: 'failed', failure: 'lora_unknown', sha256: '' });
    expect(of(lines[2]!).prompt).toMatch(/^'=HYPERLINK/);
  });

  it('leads to no picture that is held', () => {
    const { csv, json } = buildManifest(batch, pictures);
    const held = pictures[1]!.image!;
    expect(held.verdict).toBe('flagged');
    for (const file of [csv, json]) {
      expect(String(file)).not.toContain(held.sha256);
      expect(String(file)).not.toContain('quarantine');
    }
  });

  it('sums up, and counts what is not shown apart', () => {
    const { summary, json } = buildManifest(batch, pictures);
    expect(summary).toMatchObject({
      pictures: 4,
      done: 2,
      notShown: 1,
      failed: 2,
      cancelled: 0,
      reused: 0,
      likeness: 0.7,
      failures: { internal: 1, lora_unknown: 1 },
    });
    expect(JSON.parse(String(json))).toMatchObject({ version: 2, summary, axes: [{ name: 'steps' }] });
  });

  it('is the same bytes for the same rows', async () => {
    const first = buildManifest(batch, pictures);
    const second = buildManifest(batch, await picturesOf(batch.id));
    expect(second.csv.equals(first.csv)).toBe(true);
    expect(second.json.equals(first.json)).toBe(true);
  });
});
