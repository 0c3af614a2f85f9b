import { describe, expect, it } from 'vitest';
import { db } from '#src/doors/db.ts';
import { parameters } from '#src/parameters/definitions.ts';
import {
  adoptParameters,
  describeParameters,
  resetParameter,
  resolveParameters,
  setParameter,
} from '#src/parameters/values.ts';
import { actor, origin } from '#test/support/requests.ts';

const operator = () => actor({ managesGuild: true });

describe('a person’s values', () => {
  it('are stored, say what they were, and go back to the defaults', async () => {
    const person = actor();
    expect(await setParameter(person, 'steps', '30')).toEqual({ name: 'steps', before: 20, after: 30 });
    expect(await setParameter(person, 'steps', '40')).toEqual({ name: 'steps', before: 30, after: 40 });
    await setParameter(person, 'seed', '7');
    expect(await resolveParameters(origin({ actor: person }), { guidance_scale: 3 })).toMatchObject({
      steps: 40,
      seed: 7,
      guidance_scale: 3,
      scheduler: 'ddim',
    });
    expect(await resetParameter(person, 'steps')).toEqual([{ name: 'steps', before: 40, after: 20 }]);
    expect(await resetParameter(person, 'all')).toEqual([{ name: 'seed', before: 7, after: null }]);
    expect(await resolveParameters(origin({ actor: person }))).toMatchObject({ steps: 20, seed: null });
  });

  it('are the default where the YAML takes them no more, or knows them no more', async () => {
    const person = actor();
    await setParameter(person, 'steps', 30);
    await db.parameterValue.update({
      where: { userId_name: { userId: person.id, name: 'steps' } },
      data: { value: 9000 },
    });
    await db.parameterValue.create({ data: { userId: person.id, name: 'was_renamed', value: 1 } });
    const values = await resolveParameters(origin({ actor: person }));
    expect(values.steps).toBe(20);
    expect(values).not.toHaveProperty('was_renamed');
    expect(await resetParameter(person, 'all')).toHaveLength(1);
  });

  it('are described with their default, and whose they are', async () => {
    const person = actor();
    await setParameter(person, 'steps', '30');
    const described = await describeParameters(origin({ actor: person }));
    expect(described.map(({ name }) => name)).toEqual([...parameters.keys()]);
    expect(described.find(({ name }) => name === 'steps')).toMatchObject({
      value: '30',
      default: '20',
      own: true,
    });
    expect(described.find(({ name }) => name === 'seed')).toMatchObject({ value: 'random', own: false });
  });
});

describe('an unconditional cutoff and a negative prompt', () => {
  const clash = {
    code: 'negative_alone',
    userMessage: expect.stringContaining('give `negative_prompt` the value `none`'),
  };

  it.each([
    ['negative_prompt', 'blurry', 'guidance_cutoff', 'unconditional'],
    ['guidance_cutoff', 'unconditional', 'negative_prompt', 'blurry'],
  ])('are refused together, and either way back is open: %s first', async (first, value, second, refused) => {
    const person = actor();
    await setParameter(person, first, value);
    await expect(setParameter(person, second, refused)).rejects.toMatchObject(clash);
    expect(await resolveParameters(origin({ actor: person }))).toMatchObject({ [first]: value });
    await setParameter(person, second, 'default');
    await setParameter(person, first, 'default');
    expect(await setParameter(person, second, refused)).toMatchObject({ after: refused });
  });

  it('that were set before this was a rule: others can be set, and each of the two put back', async () => {
    const person = actor();
    await setParameter(person, 'guidance_cutoff', 'unconditional');
    await db.parameterValue.create({ data: { userId: person.id, name: 'negative_prompt', value: 'blurry' } });
    await setParameter(person, 'steps', '30');
    await expect(setParameter(person, 'negative_prompt', 'hands')).rejects.toMatchObject(clash);
    expect(await setParameter(person, 'negative_prompt', 'none')).toMatchObject({ after: null });
  });

  it('are not taken over together from a picture either, and then nothing else of it is', async () => {
    const person = actor();
    await setParameter(person, 'negative_prompt', 'blurry');
    const adopted = adoptParameters(person, { steps: 30, guidance_cutoff: 'unconditional' });
    await expect(adopted).rejects.toMatchObject(clash);
    expect(await db.parameterValue.count({ where: { userId: person.id } })).toBe(1);
  });

  it('set by two commands at once: one of them is refused', async () => {
    const person = actor();
    await setParameter(person, 'steps', '30');
    const both = await Promise.allSettled([
      setParameter(person, 'negative_prompt', 'blurry'),
      setParameter(person, 'guidance_cutoff', 'unconditional'),
    ]);
    expect(both.map(({ status }) => status).sort()).toEqual(['fulfilled', 'rejected']);
  });
});

it('a negative prompt that the rules refuse counts no more, whenever it was stored', async () => {
  const person = actor();
  await setParameter(person, 'negative_prompt', 'blurry');
  await db.parameterValue.updateMany({
    where: { userId: person.id, name: 'negative_prompt' },
    data: { value: 'nude, child' },
  });
  expect(await resolveParameters(origin({ actor: person }))).toMatchObject({ negative_prompt: null });
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
    expect((await resolveParameters(origin({ actor: person }))).production_mode).toBe(true);
    const former = { ...person, managesGuild: false };
    expect((await resolveParameters(origin({ actor: former }))).production_mode).toBe(false);
    expect(
      (await resolveParameters(origin({ actor: former }), { production_mode: true })).production_mode,
    ).toBe(false);
  });
});
