import { describe, expect, it } from 'vitest';
import { parameters, parseParameter } from '#src/parameters/definitions.ts';
import { suggestParameters, suggestValues } from '#src/parameters/suggestions.ts';
import { setParameter } from '#src/parameters/values.ts';
import { sayIn } from '#src/say.ts';
import { actor } from '#test/support/requests.ts';

const _operator = () => actor({ managesGuild: true });

describe('suggestions', () => {
  it('find a parameter by a part of its name or title, or by a typo', () => {
    expect(suggestParameters(sayIn('en'), '').map(({ value }) => value)).toEqual([...parameters.keys()]);
    expect(suggestParameters(sayIn('en'), 'guid').map(({ value }) => value)).toEqual([
      'guidance_scale',
      'guidance_rescale',
      'guidance_cutoff',
      'detail_guidance_scale',
    ]);
    expect(suggestParameters(sayIn('en'), 'schedular')[0]?.value).toBe('scheduler');
    expect(suggestParameters(sayIn('en'), 'foo')).toEqual([]);
  });

  it('offer the value typed, the value now, the default and the range', async () => {
    const person = actor();
    await setParameter(person, 'steps', 30);
    expect(await suggestValues(sayIn('en'), person.id, 'steps', '25')).toEqual([
      { name: '25 · as typed', value: '25' },
      { name: '30 · your value now', value: '30' },
      { name: '20 · default', value: '20' },
      { name: '1 · min', value: '1' },
      { name: '150 · max', value: '150' },
    ]);
    expect((await suggestValues(sayIn('en'), person.id, 'steps', '999'))[0]).toEqual({
      name: '999 · must be from 1 to 150',
      value: '999',
    });
    expect(
      (await suggestValues(sayIn('en'), person.id, 'scheduler', 'eul')).map(({ value }) => value),
    ).toContain('euler_a');
    expect(
      (await suggestValues(sayIn('en'), person.id, 'production_mode', '')).map(({ value }) => value),
    ).toEqual(['off', 'on']);
  });

  it('are at most 25, of 100 characters, and each is a value that /set takes as it stands', async () => {
    const person = actor();
    await setParameter(person, 'negative_prompt', 'hands, '.repeat(40));
    for (const name of parameters.keys()) {
      const offered = await suggestValues(sayIn('en'), person.id, name, '');
      expect(offered.length).toBeLessThanOrEqual(25);
      for (const { name: label, value } of offered) {
        expect(label.length).toBeLessThanOrEqual(100);
        expect(value.length).toBeLessThanOrEqual(100);
        parseParameter(name, value);
      }
    }
  });
});
