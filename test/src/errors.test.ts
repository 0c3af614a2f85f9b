import { expect, it } from 'vitest';
import { failureOf, failureSentence, UserError } from '#src/errors.ts';
import { sayIn } from '#src/say.ts';

it('keeps of a failure what a card has a sentence for; all else is ours', () => {
  expect(failureOf(new UserError('lora_unknown', { name: 'film', known: [] }))).toBe('lora_unknown');
  expect(failureOf(new UserError('plan_changed', {}))).toBe('internal');
  expect(failureOf(new RangeError('constructor'))).toBe('internal');
});

it('has a sentence for whatever a row says', () => {
  expect(failureSentence(sayIn('en'), 'gone')).toBe('Its face folder is gone.');
  for (const word of [null, 'internal', 'a word of another version', 'constructor'])
    expect(failureSentence(sayIn('en'), word)).toBe('Something broke on our side.');
});
