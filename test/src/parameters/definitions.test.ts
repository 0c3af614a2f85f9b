import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { UserError } from '#src/errors.ts';
import { parameters, parseParameter } from '#src/parameters/definitions.ts';

/** The code and the sentence of the UserError that `work` throws. */
function refusal(work: () => unknown): { code: string; says: string } {
  try {
    work();
  } catch (error) {
    if (error instanceof UserError) return { code: error.code, says: error.userMessage };
    throw error;
  }
  throw new Error('nothing was refused');
}
describe('parseParameter', () => {
  it.each([
    ['guidance_scale', '7.5', 7.5],
    ['guidance_scale', ' 7 ', 7],
    ['guidance_scale', 12, 12],
    ['steps', '30', 30],
    ['steps', '7.0', 7],
    ['detail_strength', '-0', 0],
    ['seed', '4294967295', 4294967295],
    ['detail_size', '700', 704],
    ['detail_size', 1536, 1536],
    ['seed', 'none', null],
    ['seed', 'random', null],
    ['seed', null, null],
    ['steps', 'default', 20],
    ['production_mode', 'ON', true],
    ['production_mode', 'yes', true],
    ['production_mode', 'false', false],
    ['production_mode', true, true],
    ['scheduler', 'DDIM', 'ddim'],
    ['negative_prompt', ' blurry, hands ', 'blurry, hands'],
    ['negative_prompt', 'none', null],
    ['negative_prompt', '  ', null],
  ] as const)('reads %s %j as %j', (name, input, value) => {
    expect(parseParameter(name, input)).toBe(value);
  });

  it.each([
    'Infinity',
    'NaN',
    '1e999',
    '1e1',
    '0x10',
    '0b1',
    '7,5',
    '1_000',
    '',
    '٣',
    'none',
    '9'.repeat(400),
    Number.NaN,
    Number.POSITIVE_INFINITY,
    true,
  ])('refuses %j as a number, and says the form', (input) => {
    const { code, says } = refusal(() => parseParameter('guidance_scale', input));
    expect(code).toBe('parameter_type');
    expect(says).toContain('`7.5`');
  });

  it('refuses what is out of range, and says the range', () => {
    expect(refusal(() => parseParameter('steps', '151'))).toEqual({
      code: 'parameter_range',
      says: '`steps` must be between 1 and 150; 151 is outside.',
    });
    expect(refusal(() => parseParameter('seed', -1)).code).toBe('parameter_range');
  });

  it('refuses half steps, other words and other types', () => {
    expect(refusal(() => parseParameter('steps', '7.5')).says).toContain('a whole number');
    expect(refusal(() => parseParameter('production_mode', 'maybe')).code).toBe('parameter_type');
    expect(refusal(() => parseParameter('production_mode', 1)).code).toBe('parameter_type');
    expect(refusal(() => parseParameter('negative_prompt', 5)).code).toBe('parameter_type');
    expect(refusal(() => parseParameter('negative_prompt', 'x'.repeat(1001))).code).toBe('parameter_length');
    expect(refusal(() => parseParameter('negative_prompt', 'nude, child')).code).toBe('negative_blocked');
    expect(refusal(() => parseParameter('scheduler', 'magic')).says).toContain('`euler_a`');
  });

  it.each([
    ['guidence_scale', 'guidance_scale'],
    ['Steps', 'steps'],
    ['shceduler', 'scheduler'],
    ['detail', 'detail_steps'],
    ['strength', 'detail_strength'],
    ['Prompt weight', 'weight'],
    ['lara', 'lora'],
  ])('knows no %s, and names %s', (typed, meant) => {
    const { code, says } = refusal(() => parseParameter(typed, '1'));
    expect(code).toBe('parameter_unknown');
    expect(says).toContain(`\`${meant}\``);
  });

  it.each(['foo', 'cfg', 'xy', 'lara croft', 'guess'])('guesses at nothing for %s', (typed) => {
    expect(refusal(() => parseParameter(typed, '1')).says).toBe(
      `There is no parameter named \`${typed}\`. \`/settings\` lists them all.`,
    );
  });

  it('knows no __proto__ and no empty name', () => {
    for (const name of ['__proto__', 'constructor', '', 'x'.repeat(5_000)])
      expect(refusal(() => parseParameter(name, '1')).code).toBe('parameter_unknown');
  });

  it('gives a value that fits or a UserError, whatever it is given', () => {
    const name = fc.constantFrom(...parameters.keys());
    const input = fc.oneof(fc.string(), fc.double(), fc.integer(), fc.boolean(), fc.constant(null));
    fc.assert(
      fc.property(name, input, (name, input) => {
        try {
          const value = parseParameter(name, input);
          expect(parseParameter(name, value)).toBe(value);
        } catch (error) {
          expect(error).toBeInstanceOf(UserError);
        }
      }),
      { numRuns: 2_000 },
    );
  });
});

describe('choices', () => {
  it('that the program names are those of the program', async () => {
    const { schedulerNames, spacings, guidanceCutoffs, genders } = await import('#pipelines/choices.ts');
    const of = (name: string) => {
      const parameter = parameters.get(name);
      return parameter?.type === 'choice' ? parameter.choices : null;
    };
    expect(of('scheduler')).toEqual(schedulerNames);
    expect(of('timestep_spacing')).toEqual(spacings);
    expect(of('guidance_cutoff')).toEqual(guidanceCutoffs);
    expect(of('gender')).toEqual(genders);
    expect(of('shape')).toEqual(['portrait', 'square', 'landscape']);
    expect(of('tier')).toEqual(['turbo', 'fast', 'relax']);
  });
});
