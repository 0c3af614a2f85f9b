import { expect, it } from 'vitest';
import { db } from '#src/doors/db.ts';
import { sheetAxes } from '#src/sweeps/sheet-axes.ts';
import { expanded, MINIMAL } from '#test/support/sweeps.ts';

it('the axes of a contact sheet keep their order through jsonb', async () => {
  const cells = await expanded(
    `${MINIMAL}axes: { detail_strength: [0, 1], steps: [1, 2], shape: [square, portrait] }`,
  );
  const [row] = await db.$queryRaw<{ stored: Record<string, string>[] }[]>`
    SELECT ${JSON.stringify(cells.map(({ coordinates }) => coordinates))}::jsonb AS stored`;
  const { rows, columns } = sheetAxes(row!.stored);
  expect([...rows, ...columns].map(({ name }) => name)).toEqual(['detail_strength', 'steps', 'shape']);
});
