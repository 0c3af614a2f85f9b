import { describe, expect, it } from 'vitest';
import { sheetAxes } from '#src/sweeps/sheet-axes.ts';
import { expanded, MINIMAL } from '#test/support/sweeps.ts';

describe('a contact sheet', () => {
  it('keeps the order of the axes, also when Postgres has sorted the keys', async () => {
    const cells = await expanded(`${MINIMAL}axes:
  scheduler: [ddim, euler]
  steps: [10, 20, 30]
faces: [ada, bob]
seeds: [1]`);
    const stored = cells.map(({ coordinates }) =>
      Object.fromEntries(Object.entries(coordinates).sort(([a], [b]) => a.length - b.length)),
    );
    const sheet = sheetAxes(stored);
    expect(sheet.rows).toEqual([{ name: 'scheduler', labels: ['ddim', 'euler'] }]);
    expect(sheet.columns).toEqual([
      { name: 'steps', labels: ['10', '20', '30'] },
      { name: 'face', labels: ['ada', 'bob'] },
    ]);
  });

  it.each([
    ['{ steps: [1, 2, 3], shape: [square, portrait, landscape] }', ['steps'], ['shape']],
    ['{ guidance_scale: "1, 2, .., 20", steps: [1, 2] }', ['steps'], ['guidance_scale']],
    ['{ steps: [1, 2], guidance_scale: "1, 2, .., 20" }', ['steps'], ['guidance_scale']],
    [
      '{ guidance_scale: [1, 2, 3, 4, 5], steps: [1, 2], weight: [0, 1], detail_strength: [0, 1] }',
      ['guidance_scale'],
      ['steps', 'weight', 'detail_strength'],
    ],
  ])('of %s is no strip', async (axes, rows, columns) => {
    const cells = await expanded(`${MINIMAL}axes: ${axes}`);
    const sheet = sheetAxes(cells.map(({ coordinates }) => coordinates));
    expect(sheet.rows.map(({ name }) => name)).toEqual(rows);
    expect(sheet.columns.map(({ name }) => name)).toEqual(columns);
  });

  it('of one axis is a row, and of none is empty', async () => {
    const one = (await expanded(`${MINIMAL}axes: { steps: [1, 2] }`)).map(({ coordinates }) => coordinates);
    expect(sheetAxes(one)).toEqual({ rows: [], columns: [{ name: 'steps', labels: ['1', '2'] }] });
    expect(sheetAxes([{}])).toEqual({ rows: [], columns: [] });
  });
});
