import type { APILabelComponent } from 'discord.js';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { catalogOf, type OtherLanguage } from '#config/locales.ts';
import { sayIn } from '#src/say.ts';
import type { LocalBot } from './local-bot.ts';

let local: LocalBot;
let definitions: typeof import('#src/parameters/definitions.ts');
beforeAll(async () => {
  local = await (await import('./local-bot.ts')).startLocalBot();
  // Only now: `config` is read when the first of our modules is imported.
  definitions = await import('#src/parameters/definitions.ts');
});
afterAll(async () => {
  await local?.close();
});

describe.each([
  ['de', 'de'],
  ['fr', 'fr'],
  ['es-ES', 'es'],
  ['es-419', 'es'],
  ['ja', 'ja'],
] satisfies [string, OtherLanguage][])('somebody whose Discord is in %s', (locale, language) => {
  const say = sayIn(language);
  const me = () => local.as('operator', 'portraits', 0, locale);

  it('reads answers, refusals and help in it', async () => {
    const operator = await me();
    const wrong = await operator.type('set', { parameter: 'stepz', value: '3' });
    const [beforeName] = say('There is no parameter named {name}. Did you mean {near}?', {
      name: '`stepz`',
      near: '',
    }).split('`stepz`');
    expect(wrong.content.startsWith(`${beforeName}\`stepz\``)).toBe(true);
    expect((await operator.type('help')).content).toContain(`\`/${catalogOf(language).names.imagine}`);
  });

  it('opens forms whose titles and labels are whole, and that Discord takes', async () => {
    const operator = await me();
    const card = await operator.type('settings');
    for (const [name, parameter] of definitions.parameters) {
      const form = await operator.chooseForm(card, `v1:settings.change:${operator.id}`, [name]);
      const { label, description } = form.components[0] as APILabelComponent;
      expect(form.title).toBe(definitions.titleOf(say, parameter));
      expect(label).toContain(form.title);
      if ('max' in parameter) expect(label).toMatch(new RegExp(`${parameter.max}$`));
      expect(description).toBe(definitions.descriptionOf(say, parameter));
    }
    expect((await operator.open('sweep')).title).toBe(say('Sweep'));
  });
});
