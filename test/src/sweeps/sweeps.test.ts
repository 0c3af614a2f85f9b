import { monitorEventLoopDelay } from 'node:perf_hooks';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { db } from '#src/doors/db.ts';
import { UserError } from '#src/errors.ts';
import { countCells, expandSweep } from '#src/sweeps/expand.ts';
import { parseSweep as parse } from '#src/sweeps/parse.ts';
import { sheetAxes } from '#src/sweeps/sheet-axes.ts';
import type { SweepAsker } from '#src/sweeps/sweeps.ts';

const ANYBODY: SweepAsker = { operator: true, findFace: async () => {} };
const parseSweep = (text: string, asker = ANYBODY, withinMs?: number) => parse(text, asker, withinMs);

const MINIMAL = 'prompt: portrait of a woman\n';

/** The code and the sentence that a sweep is refused with. */
async function refusal(text: string): Promise<{ code: string; says: string }> {
  try {
    expandSweep(await parseSweep(text));
  } catch (error) {
    if (error instanceof UserError) return { code: error.code, says: error.userMessage };
    throw error;
  }
  throw new Error('nothing was refused');
}
const expand = async (text: string) => expandSweep(await parseSweep(text));

describe('a sweep', () => {
  it('of the example at the top of the file is 96 pictures, first axis slowest and seeds fastest', async () => {
    const definition = await parseSweep(`
name: strength against steps
prompts: [portrait of a woman in a garden, portrait of a man by the sea]
axes:
  detail_strength: 0.2, 0.4, .., 0.8
  steps: { from: 10, to: 30, step: 10 }
  scheduler: [ddim, euler]
seeds: [1, 2]
faces: [ada]
set: { guidance_scale: 6 }
`);
    expect(countCells(definition)).toBe(96n);
    const cells = expandSweep(definition);
    expect(cells).toHaveLength(96);
    expect(cells[0]).toEqual({
      coordinates: {
        detail_strength: '0.2',
        steps: '10',
        scheduler: 'ddim',
        prompt: '1: portrait of a woman in a garden',
        seed: '1',
      },
      parameters: { guidance_scale: 6, detail_strength: 0.2, steps: 10, scheduler: 'ddim' },
      prompt: 'portrait of a woman in a garden',
      seed: 1,
      faceName: 'ada',
    });
    expect(cells[1]?.seed).toBe(2);
    expect(cells.at(-1)?.parameters).toMatchObject({ detail_strength: 0.8, steps: 30, scheduler: 'euler' });
    expect(new Set(cells.map((cell) => JSON.stringify(cell))).size).toBe(96);
  });

  it('takes prompts by name, and shortens the labels of long ones', async () => {
    const named = await expand('prompts: { garden: a woman in a garden, sea: a man by the sea }');
    expect(named.map(({ prompt, coordinates }) => [coordinates.prompt, prompt])).toEqual([
      ['garden', 'a woman in a garden'],
      ['sea', 'a man by the sea'],
    ]);
    const [long] = await expand(`prompts: [${'portrait '.repeat(20)}, portrait]`);
    expect(long?.coordinates.prompt).toMatch(/^1: portrait .*…$/);
    expect([...(long?.coordinates.prompt ?? '')].length).toBeLessThanOrEqual(60);
    await expect(parseSweep('prompts:\n  garden: a woman\n  sea: { a: man }')).rejects.toMatchObject({
      userMessage: expect.stringMatching(/Line 1: `prompts`: must be a list of up to 200 prompts, or lines/),
    });
  });

  it('needs a prompt and nothing else', async () => {
    expect(await expand(MINIMAL)).toEqual([
      { coordinates: {}, parameters: {}, prompt: 'portrait of a woman', seed: 1, faceName: null },
    ]);
  });

  it.each([
    ['0.2, 0.4, .., 1.0', [0.2, 0.4, 0.6, 0.8, 1]],
    ['1, 0.9, .., 0.7', [1, 0.9, 0.8, 0.7]],
    ['0, 0.1, 0.2, .., 0.35', [0, 0.1, 0.2, 0.3]],
    ['{ from: 0.1, to: 0.3, step: 0.1 }', [0.1, 0.2, 0.3]],
    ['[0.5, 0.5, 0.50]', [0.5]],
    ['0.5', [0.5]],
    ['0.1, 0.7', [0.1, 0.7]],
  ])('reads the values %s', async (written, values) => {
    const { axes } = await parseSweep(
      `${MINIMAL}axes: { detail_strength: ${JSON.stringify(written).includes('{') || written.startsWith('[') ? written : `"${written}"`} }`,
    );
    expect(axes[0]?.values).toEqual(values);
  });

  it('keeps the comma of a negative prompt', async () => {
    const { axes } = await parseSweep(`${MINIMAL}axes: { negative_prompt: "blurry, hands" }`);
    expect(axes[0]?.values).toEqual(['blurry, hands']);
  });

  it('draws the same samples for the same random_seed, each once, also of 10¹² combinations', async () => {
    const text = (seed: number) => `${MINIMAL}method: random
samples: 50
random_seed: ${seed}
axes:
  detail_strength: { from: 0, to: 0.999, step: 0.001 }
  guidance_rescale: { from: 0, to: 0.999, step: 0.001 }
  weight: { from: 0, to: 0.999, step: 0.001 }
  guidance_scale: { from: 1, to: 10.99, step: 0.01 }`;
    const [one, again, other] = await Promise.all([expand(text(1)), expand(text(1)), expand(text(2))]);
    expect(one).toEqual(again);
    expect(one).not.toEqual(other);
    expect(new Set(one.map(({ parameters }) => JSON.stringify(parameters))).size).toBe(50);
    for (const axis of ['detail_strength', 'guidance_scale'])
      expect(new Set(one.map(({ parameters }) => parameters[axis])).size).toBeGreaterThan(40);
  });

  it('takes all when more samples are asked than there are', async () => {
    expect(await expand(`${MINIMAL}method: random\nsamples: 50\naxes: { steps: [1, 2, 3] }`)).toHaveLength(3);
  });

  it('lists cells as they are written', async () => {
    const cells = await expand(
      `${MINIMAL}method: list\ncells: [{ steps: 10 }, { scheduler: euler, steps: 5 }]`,
    );
    expect(cells.map(({ parameters }) => parameters)).toEqual([
      { steps: 10 },
      { scheduler: 'euler', steps: 5 },
    ]);
    expect(cells.map(({ coordinates }) => coordinates.cell)).toEqual([
      '1: steps 10',
      '2: scheduler euler, steps 5',
    ]);
  });

  it('is cut off by a limit of its own', async () => {
    expect(await expand(`${MINIMAL}axes: { steps: "1, 2, .., 150" }\nseeds: 100\nlimit: 7`)).toHaveLength(7);
  });
});

describe('a contact sheet', () => {
  it('keeps the order of the axes, also when Postgres has sorted the keys', async () => {
    const cells = await expand(`${MINIMAL}axes:
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
    const cells = await expand(`${MINIMAL}axes: ${axes}`);
    const sheet = sheetAxes(cells.map(({ coordinates }) => coordinates));
    expect(sheet.rows.map(({ name }) => name)).toEqual(rows);
    expect(sheet.columns.map(({ name }) => name)).toEqual(columns);
  });

  it('of one axis is a row, and of none is empty', async () => {
    const one = (await expand(`${MINIMAL}axes: { steps: [1, 2] }`)).map(({ coordinates }) => coordinates);
    expect(sheetAxes(one)).toEqual({ rows: [], columns: [{ name: 'steps', labels: ['1', '2'] }] });
    expect(sheetAxes([{}])).toEqual({ rows: [], columns: [] });
  });

  it('reads jsonb that really went through Postgres', async () => {
    const cells = await expand(
      `${MINIMAL}axes: { detail_strength: [0, 1], steps: [1, 2], shape: [square, portrait] }`,
    );
    const [row] = await db.$queryRaw<{ stored: Record<string, string>[] }[]>`
      SELECT ${JSON.stringify(cells.map(({ coordinates }) => coordinates))}::jsonb AS stored`;
    const { rows, columns } = sheetAxes(row!.stored);
    expect([...rows, ...columns].map(({ name }) => name)).toEqual(['detail_strength', 'steps', 'shape']);
  });
});

describe('a sweep with faults', () => {
  it('tells all of them at once, each with its line', async () => {
    const { code, says } = await refusal(`name: faulty
axes:
  steps: [10, 999]
  stepz: [1]
  seed: [1]
  detail_strength: 0.2, .., 0.8
faces: [../etc]
set:
  tier: turbo
`);
    expect(code).toBe('plan_faults');
    expect(says).toMatch(/^Nothing was started. 7 things need mending:/);
    expect(says).toContain('- `prompt` is missing');
    expect(says).toContain('- Line 3: `steps` must be between 1 and 150; 999 is outside.');
    expect(says).toContain('- Line 4: There is no parameter named `stepz`. Did you mean `steps`');
    expect(says).toContain("- Line 5: `seed` can't be varied here; use `seeds`.");
    expect(says).toContain('- Line 6: `detail_strength` is not a range');
    expect(says).toContain("- Line 7: `../etc` can't be a face folder");
    expect(says).toContain("- Line 9: `tier` can't be varied here; it is the same for the whole sweep");
  });

  it('tells what is misspelt, out of range, and not the asker’s at once', async () => {
    const text = `promt: a woman
prompts: [a nude woman]
axes:
  steps: { from: 1, to: 9, by: 2 }
  stepz: [1]
  scheduler: [magic]
seeds: [-1]
method: list
cells: many
faces: [ada, ../etc, ghost]
`;
    const findFace = async (name: string) => {
      if (name !== 'ada') throw new UserError('folder_unknown', { name, mine: ['ada'] });
    };
    const refused = await parseSweep(text, { operator: false, findFace }).catch((error: UserError) => error);
    const { userMessage: says } = refused as UserError;
    expect(says).toMatch(/^Nothing was started. 10 things need mending:/);
    for (const fault of [
      'Line 1: `promt` is not known here',
      "Line 2: I can't draw that",
      'Line 4: `axes.steps`: must be a list',
      'Line 5: There is no parameter named `stepz`',
      'Line 6: `scheduler` must be one of',
      'Line 7: `seeds.0`: Too small',
      'Line 9: `cells`:',
      'Line 3: `axes` does not go with `method: list`',
      "Line 10: `../etc` can't be a face folder",
      'Line 10: You have no face folder named `ghost`. Yours: `ada`.',
    ])
      expect(says).toContain(`- ${fault}`);
  });

  it('asks nobody’s rows for more faces than faults are told', async () => {
    const asked: string[] = [];
    const faces = Array.from({ length: 1_000 }, (_, i) => `face-${i}`);
    const findFace = async (name: string) => {
      asked.push(name);
      throw new UserError('folder_unknown', { name, mine: [] });
    };
    const refused = parseSweep(`${MINIMAL}faces: [${faces}]`, { operator: false, findFace });
    await expect(refused).rejects.toMatchObject({ code: 'plan_faults' });
    expect(asked).toHaveLength(12);
  });

  it.each([
    ['promt: a\n', /Line 1: `promt` is not known here. There are `name`/],
    [`${MINIMAL}axes:\n  steps: { from: 1, to: 3, by: 1 }`, /Line 3: `axes.steps`: must be a list of up to/],
    [`${MINIMAL}seeds: [-1]`, /Line 2: `seeds.0`: Too small/],
    [`${MINIMAL}method: magic`, /Line 2: `method`: Invalid option/],
    [`${MINIMAL}axes: { steps: [] }`, /Line 2/],
    [`${MINIMAL}axes: { steps: [10] }\nset: { steps: 5 }`, /Line 3: `steps` is varied and in `set`/],
    [`${MINIMAL}cells: [{ steps: 5 }]`, /`cells` goes with `method: list`/],
    [`${MINIMAL}prompts: [a cat]`, /not both/],
    [`${MINIMAL}axes: { steps: { from: 1, to: 5, step: 0 } }`, /never gets from its start/],
    [`${MINIMAL}axes: { steps: { from: 5, to: 1, step: 1 } }`, /never gets from its start/],
    [
      `${MINIMAL}axes: { detail_strength: { from: 0, to: 1, step: 0.00001 } }`,
      /has 100,001 values, and 1000 is/,
    ],
    [`prompt: ${'word '.repeat(1_200)}`, /A prompt may have 1000 characters/],
    ['prompt: ""', /The prompt is empty/],
    ['just a sentence', /A sweep: must be lines of `key: value`/],
    ['', /A sweep: must be lines of `key: value`/],
    ['[1, 2]', /A sweep: must be lines of `key: value`/],
  ])('is refused: %j', async (text, says) => {
    expect(await refusal(text)).toMatchObject({ code: 'plan_faults', says: expect.stringMatching(says) });
  });

  it('tells a dozen of thousands', async () => {
    const { says } = await refusal(
      `${MINIMAL}axes: { steps: [${Array.from({ length: 900 }, (_, i) => 200 + i)}] }`,
    );
    expect(says.length).toBeLessThan(2_000);
  });

  it('has no way to a parameter of operators, a tier or a seed', async () => {
    for (const name of ['production_mode', 'tier', 'seed'])
      for (const place of [
        `axes: { ${name}: [1] }`,
        `set: { ${name}: 1 }`,
        `method: list\ncells: [{ ${name}: 1 }]`,
      ])
        expect((await refusal(MINIMAL + place)).says).toContain(`\`${name}\` can't be varied here`);
  });
});

describe('too many pictures', () => {
  it('are counted and refused without being made: 10¹² in a millisecond', async () => {
    const thousand = (from: number) => `{ from: ${from}, to: ${from + 0.999}, step: 0.001 }`;
    const definition = await parseSweep(`${MINIMAL}axes:
  detail_strength: ${thousand(0)}
  guidance_rescale: ${thousand(0)}
  weight: ${thousand(0)}
  guidance_scale: ${thousand(1)}`);
    expect(countCells(definition)).toBe(10n ** 12n);
    const before = performance.now();
    expect(() => expandSweep(definition)).toThrow(
      expect.objectContaining({
        userMessage: expect.stringContaining('1,000,000,000,000 pictures, and 400 is the most'),
      }),
    );
    expect(performance.now() - before).toBeLessThan(5);
  });

  it('are refused as well when the limit asked for is over the one for all', async () => {
    const { code, says } = await refusal(`${MINIMAL}seeds: 401\nlimit: 100000`);
    expect(code).toBe('batch_limit');
    expect(says).toContain('401 pictures, and 400 is the most');
  });
});

describe('YAML that attacks', () => {
  it('does not parse: told with line and column', async () => {
    const { code, says } = await refusal('prompt: a\naxes: [1, 2\nsteps: 3');
    expect(code).toBe('yaml_broken');
    expect(says).toMatch(/at line 3, column 1: /);
    expect((await refusal('a: b: c')).says).toMatch(/line 1, column 4: Nested mappings/);
  });

  it.each([
    [
      'aliases that explode',
      `a: &a [x, x]\n${Array.from({ length: 30 }, (_, i) => `b${i}: &b${i} [*${i ? `b${i - 1}` : 'a'}, *a]`).join('\n')}`,
      /line 2, column 10: aliases/,
    ],
    ['an alias as a key', '? &a x\n: 1\n? *a\n: 2', /aliases/],
    ['a key twice', `${MINIMAL}name: x\nname: y`, /line 3, column 1: the key `name` is there twice/],
    ['a merge of prototypes', '__proto__: { x: 1 }', /a key must be a word/],
    ['a list as a key', '? [1]\n: 2', /a key must be a word/],
    ['lists too deep', '['.repeat(60_000), /line 1, column \d+: it is nested too deep/],
    ['maps too deep', '{a: '.repeat(16_000), /nested too deep/],
    ['60,000 errors', `[${','.repeat(60_000)}]`, /Unexpected ,/],
    ['several documents', 'prompt: a\n---\nprompt: b', /multiple documents/],
    ['a tag bomb', '!a '.repeat(20_000), /line 1/],
    ['control characters', 'prompt: "\u0000"\n\u0007: 1', /line|not known/],
  ])('%s: refused', async (_, text, says) => {
    expect((await refusal(text)).says).toMatch(says);
  });

  it('13,000 plain keys, as many as 64 KiB hold: refused, and meanwhile the event loop turns', async () => {
    const keys = Array.from({ length: 13_000 }, (_, i) => `k${(1296 + i).toString(36)}`);
    const text = `{${keys.join(',')}}`;
    await expand(MINIMAL); // the modules are loaded
    const loop = monitorEventLoopDelay({ resolution: 1 });
    loop.enable();
    const { code } = await refusal(text);
    loop.disable();
    expect(code).toBe('plan_faults');
    expect(loop.max / 1e6).toBeLessThan(150); // ms; on two busy cores
  });

  it('a long key of a long list: what is said of their places does not multiply them', async () => {
    const text = `? ${'k'.repeat(30_000)}\n: [${'1,'.repeat(15_000)}]`;
    expect((await refusal(text)).says).toMatch(/Line 1: `k{59}…` is not known here/);
  });

  it('that takes too long is given up, with its thread', async () => {
    await expect(parseSweep(`[${','.repeat(60_000)}]`, undefined, 5)).rejects.toMatchObject({
      code: 'yaml_broken',
      userMessage: expect.stringContaining('it takes too long to read'),
    });
  });

  it('of more than 64 KiB is not read at all', async () => {
    const keys = Array.from({ length: 20_000 }, (_, i) => `key${i}: 1`).join('\n');
    expect(await refusal(keys)).toMatchObject({
      code: 'file_large',
      says: expect.stringContaining('64 KiB'),
    });
  });

  it('is parsed or refused with a sentence, whatever it is', async () => {
    const piece = fc.constantFrom(
      'a',
      ': ',
      '\n',
      '- ',
      '[',
      ']',
      '{',
      '}',
      '&a ',
      '*a',
      '!!set ',
      '"',
      "'",
      '|',
      '>',
      '? ',
      '#',
      'prompt: x\n',
      'axes:\n',
      '  steps: ',
      '1',
      '..',
      ', ',
      '\t',
      '%YAML 1.1\n---\n',
      '<<: ',
      '\u0000',
      '💥',
    );
    await fc.assert(
      fc.asyncProperty(fc.array(piece, { maxLength: 60 }), async (pieces) => {
        try {
          expandSweep(await parseSweep(pieces.join('')));
        } catch (error) {
          expect(error).toBeInstanceOf(UserError);
        }
      }),
      { numRuns: 60 },
    );
  });
});
