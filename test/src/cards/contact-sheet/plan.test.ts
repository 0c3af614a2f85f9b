import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { planFlow, planGrid } from '#src/cards/contact-sheet/plan.ts';
import type { SheetCell, SheetRequest } from '#src/cards/contact-sheet/request.ts';

type Axes = Readonly<Record<string, readonly string[]>>;
type Coordinates = Readonly<Record<string, string>>;

const numbers = (count: number) => Array.from({ length: count }, (_, i) => String(i + 1));

/** Every combination of the axes, the first one slowest. */
const product = (axes: Axes): Coordinates[] =>
  Object.entries(axes).reduce<Coordinates[]>(
    (all, [name, labels]) => all.flatMap((one) => labels.map((label) => ({ ...one, [name]: label }))),
    [{}],
  );

function request(
  rows: Axes,
  columns: Axes,
  coordinates: readonly Coordinates[] = product({ ...rows, ...columns }),
  { width = 512, height = 640 } = {},
): SheetRequest {
  const axes = (of: Axes) => Object.entries(of).map(([name, labels]) => ({ name, labels }));
  const cells = coordinates.map(
    (one, i): SheetCell => ({
      id: String(i),
      number: i + 1,
      coordinates: one,
      state: 'waiting',
      width,
      height,
    }),
  );
  return { title: '', subtitle: '', rows: axes(rows), columns: axes(columns), cells };
}

/** All cells on one sheet. */
const planSheet = (asked: SheetRequest) => planGrid(asked) ?? planFlow(asked);

/** `[row, column]` of each cell, in the cells' order */
const places = (plan: ReturnType<typeof planSheet>) => plan.placed.map(({ row, column }) => [row, column]);

describe('a grid', () => {
  it('that is full has a row for every combination of the row axes, and columns likewise', () => {
    const plan = planSheet(
      request({ prompt: ['woman', 'man'], steps: ['10', '20'] }, { seed: ['1', '2', '3'] }),
    );
    expect(plan).toMatchObject({ kind: 'grid', rows: 4, columns: 3 });
    expect(places(plan)).toEqual(Array.from({ length: 12 }, (_, i) => [Math.floor(i / 3), i % 3]));
    expect(plan.rowNames).toEqual(['prompt', 'steps']);
    expect(plan.rowHeaders).toEqual([
      [
        { text: 'woman', from: 0, span: 2 },
        { text: 'man', from: 2, span: 2 },
      ],
      ['10', '20', '10', '20'].map((text, from) => ({ text, from, span: 1 })),
    ]);
    expect(plan.columnHeaders).toEqual([numbers(3).map((text, from) => ({ text, from, span: 1 }))]);
  });

  it('has its labels in the order of the axes, whatever the order of the cells', () => {
    const asked = request({ steps: ['10', '9', '30'] }, { seed: ['1', '2'] });
    fc.assert(
      fc.property(fc.shuffledSubarray([...asked.cells], { minLength: asked.cells.length }), (cells) => {
        const plan = planSheet({ ...asked, cells });
        expect(plan.rowHeaders[0]!.map(({ text }) => text)).toEqual(['10', '9', '30']);
        for (const { cell, row, column } of plan.placed)
          expect(cell.coordinates).toEqual({ steps: ['10', '9', '30'][row], seed: ['1', '2'][column] });
      }),
    );
  });

  it('keeps its holes, and has no row of holes alone', () => {
    const all = product({ steps: numbers(4), seed: numbers(3) });
    const some = all.filter(({ steps, seed }) => steps !== '3' && !(steps === '1' && seed === '2'));
    const plan = planSheet(request({ steps: numbers(4) }, { seed: numbers(3) }, some));
    expect(plan).toMatchObject({ kind: 'grid', rows: 3, columns: 3 });
    expect(plan.rowHeaders[0]!.map(({ text }) => text)).toEqual(['1', '2', '4']);
    expect(places(plan)).toEqual([
      [0, 0],
      [0, 2],
      [1, 0],
      [1, 1],
      [1, 2],
      [2, 0],
      [2, 1],
      [2, 2],
    ]);
  });

  it('does not join the labels of neighbours that differ further out', () => {
    const plan = planSheet(request({ prompt: ['woman', 'man'], steps: ['10'] }, { seed: ['1', '2'] }));
    expect(plan.rowHeaders[1]).toEqual([
      { text: '10', from: 0, span: 1 },
      { text: '10', from: 1, span: 1 },
    ]);
  });

  it.each([
    ['6 cells on one line', { steps: ['10'] }, { seed: numbers(6) }],
    ['6 cells in one column', { seed: numbers(6) }, {}],
  ])('holds %s', (_, rows: Axes, columns: Axes) => {
    expect(planSheet(request(rows, columns)).kind).toBe('grid');
  });
});

describe('cells flow in lines', () => {
  it.each([
    ['there is no axis', {}, {}],
    ['one long axis would be a line of 7', {}, { seed: numbers(7) }],
    ['one long axis would be a column of 7', { seed: numbers(7) }, {}],
  ])('when %s', (_, rows: Axes, columns: Axes) => {
    const plan = planSheet(request(rows, columns));
    expect(plan.kind).toBe('flow');
    expect([...plan.rowHeaders, ...plan.columnHeaders, ...plan.rowNames, ...plan.columnNames]).toEqual([]);
    expect(places(plan)).toEqual(plan.placed.map((_, i) => [Math.floor(i / plan.columns), i % plan.columns]));
  });

  it('when more than half of a grid would be holes, and not when just half is', () => {
    const axes = [{ steps: numbers(4) }, { seed: numbers(4) }] as const;
    const checkered = product({ ...axes[0], ...axes[1] }).filter(
      ({ steps, seed }) => (Number(steps) + Number(seed)) % 2 === 0,
    );
    expect(planSheet(request(...axes, checkered)).kind).toBe('grid');
    expect(planSheet(request(...axes, checkered.slice(1))).kind).toBe('flow');
  });

  it('when two cells would have the same place', () => {
    const twice = [...product({ steps: numbers(3), seed: numbers(3) }), { steps: '1', seed: '1' }];
    expect(planSheet(request({ steps: numbers(3) }, { seed: numbers(3) }, twice)).kind).toBe('flow');
  });

  it('about four wide to three high over all, whatever the shape of a picture', () => {
    // 70 squares: √(70 · 1.4) = 9.9 across; half as wide, √2 times as many.
    const across = (size: { width: number; height: number }) => {
      const { rows, columns } = planSheet(request({}, { seed: numbers(70) }, undefined, size));
      return [columns, rows];
    };
    expect(across({ width: 512, height: 512 })).toEqual([10, 7]);
    expect(across({ width: 512, height: 1024 })).toEqual([14, 5]);
    expect(across({ width: 1024, height: 512 })).toEqual([7, 10]);
  });

  it('each with its label, and with the names of the axes when there are several', () => {
    const captions = (asked: SheetRequest) => planSheet(asked).placed.map(({ caption }) => caption);
    expect(captions(request({}, { seed: numbers(11) }))).toEqual(numbers(11));
    const diagonal = numbers(4).map((n) => ({ guidance_scale: n, seed: n }));
    expect(captions(request({ guidance_scale: numbers(4) }, { seed: numbers(4) }, diagonal))).toEqual(
      diagonal.map(({ seed }) => `guidance scale ${seed} · seed ${seed}`),
    );
  });

  it('without the number of a sample, which is not the number of its picture', () => {
    const samples = numbers(8).flatMap((n) =>
      ['1', '2'].map((seed) => ({ sample: `${n}: steps ${n}0`, seed })),
    );
    const asked = request(
      { sample: numbers(8).map((n) => `${n}: steps ${n}0`) },
      { seed: ['1', '2'] },
      samples,
    );
    expect(planFlow(asked).placed.map(({ caption }) => caption)[2]).toBe('steps 20 · seed 1');
  });
});
