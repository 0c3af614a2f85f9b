/** LoRAs as people name them, and as workers have them. */
import { afterEach, describe, expect, it } from 'vitest';
import { openBatch } from '#src/batches/batches.ts';
import { parseLoras, sayLoras } from '#src/bundles/lora-choice.ts';
import { db } from '#src/doors/db.ts';
import { parseParameter } from '#src/parameters/definitions.ts';
import { suggestValues } from '#src/parameters/suggestions.ts';
import { setParameter } from '#src/parameters/values.ts';
import { sayIn } from '#src/say.ts';
import { actor, cell, origin, request } from '#test/support/requests.ts';

const workers = (...loras: string[][]) =>
  db.worker.createMany({
    data: loras.map((names, i) => ({ id: `w${i}`, bundle: 'reference', bundleHash: 'h', loras: names })),
  });
afterEach(() => db.worker.deleteMany());
/** An error whose sentence for people is this. */
const says = (userMessage: string) => expect.objectContaining({ userMessage });

describe('what people write', () => {
  it.each([
    ['film', 'film'],
    ['film:1', 'film'],
    [' ink , film:0.60 ', 'film:0.6, ink'],
    ['film:-1.5', 'film:-1.5'],
    ['film:0', ''],
    ['film:0, ink', 'ink'],
    ['a,b,c,d', 'a, b, c, d'],
    ['film,', 'film'],
  ])('%j is %j', (text, said) => {
    expect(sayLoras(parseLoras(text))).toBe(said);
  });

  it.each([
    ['Film', '`Film` is no LoRA: write its name, or `name:scale`, as `film:0.8`.'],
    ['../film', '`../film` is no LoRA: write its name, or `name:scale`, as `film:0.8`.'],
    ['film:', 'The scale of the LoRA `film` is from −4 to 4, as `film:0.8`.'],
    ['film:much', 'The scale of the LoRA `film` is from −4 to 4, as `film:0.8`.'],
    ['film:5', 'The scale of the LoRA `film` is from −4 to 4, as `film:0.8`.'],
    ['film:1:2', '`film:1:2` is no LoRA: write its name, or `name:scale`, as `film:0.8`.'],
    ['film, film:0.5', 'The LoRA `film` is named twice.'],
    ['a,b,c,d,e', 'A picture is drawn with at most 4 LoRAs.'],
  ])('%j is refused', (text, sentence) => {
    expect(() => parseLoras(text)).toThrow(says(sentence));
    expect(() => parseParameter('lora', text)).toThrow(says(sentence));
  });

  it('is refused by a name that the rules for prompts refuse', () => {
    expect(() => parseParameter('lora', 'film, nude-child:0.5')).toThrow(
      says(
        "A LoRA can't be `nude-child`: it would sexualise a child, and that is never drawn here. Take another one.",
      ),
    );
  });

  it('is stored as one writes it, and none is null', () => {
    expect(parseParameter('lora', ' ink,film:.5')).toBe('film:0.5, ink');
    expect(parseParameter('lora', 'none')).toBeNull();
    expect(parseParameter('lora', 'film:0')).toBeNull();
    expect(() => parseParameter('lora', 3)).toThrow(says(expect.stringContaining('names of LoRAs')));
  });
});

describe('what workers have', () => {
  it('is all that can be set, and all that can be asked for', async () => {
    await workers(['film', 'ink'], ['ink', 'wax']);
    const someone = actor();
    await expect(setParameter(someone, 'lora', 'oil')).rejects.toThrow(
      says('There is no LoRA `oil`; there is `film`, `ink`, `wax`.'),
    );
    expect(await db.parameterValue.count({ where: { userId: someone.id } })).toBe(0);
    await setParameter(someone, 'lora', 'wax:0.5, film');

    const before = await db.batch.count();
    const oil = request([cell({ prompt: 'a woman' }, { lora: 'oil' })]);
    await expect(openBatch(origin(), oil)).rejects.toThrow(
      says(expect.stringContaining('There is no LoRA `oil`')),
    );
    expect(await db.batch.count()).toBe(before);
  });

  it('is not offered by a name that the rules for prompts refuse', async () => {
    await workers(['film', 'hentai-style']);
    await expect(setParameter(actor(), 'lora', 'oil')).rejects.toThrow(
      says('There is no LoRA `oil`; there is `film`.'),
    );
  });

  it('is nothing on a bundle without any, in words', async () => {
    await workers([]);
    await expect(setParameter(actor(), 'lora', 'oil')).rejects.toThrow(
      says('There is no LoRA `oil` here, nor any other.'),
    );
  });

  it('cannot be told while there is no worker, so nothing is refused then', async () => {
    await expect(setParameter(actor(), 'lora', 'oil')).resolves.toMatchObject({ after: 'oil' });
  });

  it('completes what is typed, after a comma too, and each once', async () => {
    await workers(['film', 'ink', 'wax']);
    const values = async (typed: string) =>
      (await suggestValues(sayIn('en'), actor().id, 'lora', typed)).map(({ value }) => value);
    expect(await values('')).toEqual(['none', 'film', 'ink', 'wax']);
    expect(await values('in')).toEqual(['in', 'none', 'ink']);
    expect(await values('film:0.5, ')).toEqual(['film:0.5', 'none', 'film:0.5, ink', 'film:0.5, wax']);
  });
});
