import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { sayIn } from '#src/say.ts';
import { Sweep } from '#src/sweeps/schema.ts';
import { readYaml } from '#src/sweeps/yaml.ts';
import { checked, MINIMAL, refusal } from '#test/support/sweeps.ts';

describe('the shape of a sweep', () => {
  it('is that of the example in the header', () => {
    const source = readFileSync(new URL('../../../src/sweeps/schema.ts', import.meta.url), 'utf8');
    const [, example = ''] = source.match(/```yaml\n([^`]*(?:`[^`\n]+`[^`]*)*)```/) ?? [];
    const parsed = readYaml(example.replaceAll(/^ \* ?/gm, ''), sayIn('en'));
    expect(parsed).toMatchObject({ value: { name: 'strength against steps', limit: 50 } });
    expect(Sweep.safeParse('value' in parsed && parsed.value)).toMatchObject({ success: true });
  });

  it.each([
    ['promt: a\n', /Line 1: `promt` is not known here. There are `name`/],
    [`${MINIMAL}axes:\n  steps: { from: 1, to: 3, by: 1 }`, /Line 3: `axes.steps`: must be a list of up to/],
    [`${MINIMAL}seeds: [-1]`, /Line 2: `seeds.0`: Too small/],
    [`${MINIMAL}method: magic`, /Line 2: `method`: Invalid option/],
    [`${MINIMAL}axes: { steps: [] }`, /Line 2/],
    [
      'prompts:\n  garden: a woman\n  sea: { a: man }',
      /Line 1: `prompts`: must be a list of up to 200 prompts, or lines/,
    ],
    ['just a sentence', /A sweep: must be lines of `key: value`/],
    ['', /A sweep: must be lines of `key: value`/],
    ['[1, 2]', /A sweep: must be lines of `key: value`/],
  ])('is not that of %j', async (text, says) => {
    expect(await refusal(checked(text))).toMatchObject({
      code: 'plan_faults',
      says: expect.stringMatching(says),
    });
  });
});
