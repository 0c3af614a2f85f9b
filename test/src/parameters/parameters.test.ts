import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { db } from '#src/doors/db.ts';
import { UserError } from '#src/errors.ts';
import { parameters, parseParameter } from '#src/parameters/definitions.ts';
import { suggestParameters, suggestValues } from '#src/parameters/suggestions.ts';
import {
  describeParameters,
  resetParameter,
  resolveParameters,
  setParameter,
} from '#src/parameters/values.ts';
import { actor } from '#test/support/requests.ts';

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
const operator = () => actor({ managesGuild: true });

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
    expect(refusal(() => parseParameter('scheduler', 'magic')).says).toContain('`euler_a`');
  });

  it.each([
    ['guidence_scale', 'guidance_scale'],
    ['Steps', 'steps'],
    ['shceduler', 'scheduler'],
    ['detail', 'detail_steps'],
  ])('knows no %s, and names %s', (typed, meant) => {
    const { code, says } = refusal(() => parseParameter(typed, '1'));
    expect(code).toBe('parameter_unknown');
    expect(says).toContain(`\`${meant}\``);
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

describe('a person’s values', () => {
  it('are stored, say what they were, and go back to the defaults', async () => {
    const person = actor();
    expect(await setParameter(person, 'steps', '30')).toEqual({ name: 'steps', before: 20, after: 30 });
    expect(await setParameter(person, 'steps', '40')).toEqual({ name: 'steps', before: 30, after: 40 });
    await setParameter(person, 'seed', '7');
    expect(await resolveParameters(person, { guidance_scale: 3 })).toMatchObject({
      steps: 40,
      seed: 7,
      guidance_scale: 3,
      scheduler: 'ddim',
    });
    expect(await resetParameter(person, 'steps')).toEqual([{ name: 'steps', before: 40, after: 20 }]);
    expect(await resetParameter(person, 'all')).toEqual([{ name: 'seed', before: 7, after: null }]);
    expect(await resolveParameters(person)).toMatchObject({ steps: 20, seed: null });
  });

  it('are the default where the YAML takes them no more, or knows them no more', async () => {
    const person = actor();
    await setParameter(person, 'steps', 30);
    await db.parameterValue.update({
      where: { userId_name: { userId: person.id, name: 'steps' } },
      data: { value: 9000 },
    });
    await db.parameterValue.create({ data: { userId: person.id, name: 'was_renamed', value: 1 } });
    const values = await resolveParameters(person);
    expect(values.steps).toBe(20);
    expect(values).not.toHaveProperty('was_renamed');
    expect(await resetParameter(person, 'all')).toHaveLength(1);
  });

  it('are described with their default, and whose they are', async () => {
    const person = actor();
    await setParameter(person, 'steps', '30');
    const described = await describeParameters(person);
    expect(described.map(({ name }) => name)).toEqual([...parameters.keys()]);
    expect(described.find(({ name }) => name === 'steps')).toMatchObject({
      value: '30',
      standard: '20',
      own: true,
    });
    expect(described.find(({ name }) => name === 'seed')).toMatchObject({ value: 'random', own: false });
  });
});

describe('production_mode', () => {
  it('is for operators only, and nothing is stored or audited when refused', async () => {
    const person = actor();
    await expect(setParameter(person, 'production_mode', 'on')).rejects.toMatchObject({
      code: 'parameter_operators',
    });
    expect(await db.parameterValue.count({ where: { userId: person.id } })).toBe(0);
    expect(await db.auditEvent.count({ where: { actorId: person.id } })).toBe(0);
  });

  it('is audited with before and after, in the order of the changes, also when reset', async () => {
    const person = operator();
    await setParameter(person, 'production_mode', 'on');
    await Promise.all([
      setParameter(person, 'production_mode', 'off'),
      setParameter(person, 'production_mode', 'on'),
      setParameter(person, 'production_mode', 'off'),
    ]);
    await resetParameter(person, 'all');
    const events = await db.auditEvent.findMany({
      where: { actorId: person.id, action: 'production_mode.set' },
      orderBy: { id: 'asc' },
    });
    expect(events).toHaveLength(5);
    expect(events[0]).toMatchObject({ before: false, after: true, guildId: person.guildId });
    // Each begins where another ended: as many changes leave a value as reach it.
    const left = events.filter(({ before }) => before === true).length;
    const reached = events.filter(({ after }) => after === true).length;
    expect(left).toBe(reached);
  });

  it('counts as off for somebody who is no operator any more, whatever is stored or asked', async () => {
    const person = operator();
    await setParameter(person, 'production_mode', 'on');
    expect((await resolveParameters(person)).production_mode).toBe(true);
    const former = { ...person, managesGuild: false };
    expect((await resolveParameters(former)).production_mode).toBe(false);
    expect((await resolveParameters(former, { production_mode: true })).production_mode).toBe(false);
  });
});

describe('suggestions', () => {
  it('find a parameter by a part of its name or title, or by a typo', () => {
    expect(suggestParameters('').map(({ value }) => value)).toEqual([...parameters.keys()]);
    expect(suggestParameters('guid').map(({ value }) => value)).toEqual([
      'guidance_scale',
      'guidance_rescale',
      'guidance_cutoff',
      'detail_guidance_scale',
    ]);
    expect(suggestParameters('schedular')[0]?.value).toBe('scheduler');
  });

  it('offer the value typed, the value now, the default and the range', async () => {
    const person = actor();
    await setParameter(person, 'steps', 30);
    expect(await suggestValues(person.id, 'steps', '25')).toEqual([
      { name: '25 · as typed', value: '25' },
      { name: '30 · your value now', value: '30' },
      { name: '20 · default', value: '20' },
      { name: '1 · min', value: '1' },
      { name: '150 · max', value: '150' },
    ]);
    expect((await suggestValues(person.id, 'steps', '999'))[0]).toEqual({
      name: '999 · must be from 1 to 150',
      value: '999',
    });
    expect((await suggestValues(person.id, 'scheduler', 'eul')).map(({ value }) => value)).toContain(
      'euler_a',
    );
    expect((await suggestValues(person.id, 'production_mode', '')).map(({ value }) => value)).toEqual([
      'off',
      'on',
    ]);
  });

  it('are at most 25, of 100 characters, and each is a value that /set takes as it stands', async () => {
    const person = actor();
    await setParameter(person, 'negative_prompt', 'hands, '.repeat(40));
    for (const name of parameters.keys()) {
      const offered = await suggestValues(person.id, name, '');
      expect(offered.length).toBeLessThanOrEqual(25);
      for (const { name: label, value } of offered) {
        expect(label.length).toBeLessThanOrEqual(100);
        expect(value.length).toBeLessThanOrEqual(100);
        parseParameter(name, value);
      }
    }
  });
});
