import { describe, expect, it } from 'vitest';
import { checked, expanded, MINIMAL, refusal } from '#test/support/sweeps.ts';

describe('a sweep', () => {
  it('takes prompts by name, and shortens the labels of long ones', async () => {
    const named = await expanded('prompts: { garden: a woman in a garden, sea: a man by the sea }');
    expect(named.map(({ prompt, coordinates }) => [coordinates.prompt, prompt])).toEqual([
      ['garden', 'a woman in a garden'],
      ['sea', 'a man by the sea'],
    ]);
    const [long] = await expanded(`prompts: [${'portrait '.repeat(20)}, portrait]`);
    expect(long?.coordinates.prompt).toMatch(/^1: portrait .*…$/);
    expect([...(long?.coordinates.prompt ?? '')].length).toBeLessThanOrEqual(60);
  });

  it('needs a prompt and nothing else', async () => {
    expect(await expanded(MINIMAL)).toEqual([
      { coordinates: {}, parameters: {}, prompt: 'portrait of a woman', seed: 1, faceName: null },
    ]);
  });

  it('has a value once that is written twice, and a prompt, a seed and a face as well', async () => {
    const { axes, prompts, seeds, faces } = await checked(
      'prompts: [a, b, a]\naxes: { detail_strength: "0.5, 0.50, 0.6" }\nseeds: [2, 2]\nfaces: [ada, ada]',
    );
    expect({ axes, prompts, seeds, faces }).toEqual({
      axes: [{ name: 'detail_strength', values: [0.5, 0.6] }],
      prompts: ['a', 'b'],
      seeds: [2],
      faces: ['ada'],
    });
  });
});

describe('a sweep with faults', () => {
  it('tells all of them at once, each with its line', async () => {
    const { code, says } = await refusal(
      checked(`name: faulty
axes:
  steps: [10, 999]
  stepz: [1]
  seed: [1]
  detail_strength: 0.2, .., 0.8
faces: [../etc]
set:
  tier: turbo
`),
    );
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

  it('tells of names that the rules for prompts refuse: everybody in the channel reads them', async () => {
    const { says } = await refusal(
      checked('name: n.u.d.e children\nprompts: { h3ntai: a woman in a garden, sea: a man by the sea }\n'),
    );
    expect(says).toContain(
      "- Line 1: The name of a sweep can't be `n.u.d.e children`: it would sexualise a child",
    );
    expect(says).toContain("- Line 2: The name of a prompt can't be `h3ntai`: it asks for sexual content");
    expect(says).not.toContain('`sea`');
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
faces: [ada, ../etc, ghost, eve]
`;
    const folders = [
      { name: 'ada', photos: 1 },
      { name: 'eve', photos: 0 },
    ];
    const { says } = await refusal(checked(text, { language: 'en', operator: false, folders }));
    expect(says).toMatch(/^Nothing was started. 11 things need mending:/);
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
      'Line 10: You have no face folder named `ghost`. Yours: `ada`, `eve`.',
      'Line 10: `eve` has no photo with consent yet.',
    ])
      expect(says).toContain(`- ${fault}`);
  });

  it.each([
    [`${MINIMAL}axes: { steps: [10] }\nset: { steps: 5 }`, /Line 3: `steps` is varied and in `set`/],
    [`${MINIMAL}cells: [{ steps: 5 }]`, /`cells` goes with `method: list`/],
    [`${MINIMAL}prompts: [a cat]`, /not both/],
    [`${MINIMAL}axes: { steps: "1, 1, .., 5" }`, /Line 2: `steps` is a range that never gets from its start/],
    [`${MINIMAL}axes:\n  ste.ps: [1]`, /Line 3: There is no parameter named `ste.ps`/],
    [`${MINIMAL}method: list`, /Line 2: `method: list` needs `cells`/],
    [`prompt: ${'word '.repeat(1_200)}`, /A prompt may have 1000 characters/],
    ['prompt: ""', /The prompt is empty/],
  ])('is refused: %j', async (text, says) => {
    expect(await refusal(checked(text))).toMatchObject({
      code: 'plan_faults',
      says: expect.stringMatching(says),
    });
  });

  it('tells a dozen of thousands', async () => {
    const { says } = await refusal(
      checked(`${MINIMAL}axes: { steps: [${Array.from({ length: 900 }, (_, i) => 200 + i)}] }`),
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
        expect((await refusal(checked(MINIMAL + place))).says).toContain(`\`${name}\` can't be varied here`);
  });
});
