/**
 * Which texts the rules in force allow, however their words are disguised. Pure but for counts: a text and the rules, and nothing else.
 *
 * Every step takes time in proportion to the text as it is when folded, and that has a limit: no prompt holds the event loop for
 * longer than a millisecond or two, whatever it is made of (`npm run bench -- words safety`).
 */
import type { z } from 'zod';
import { UserError } from '#src/errors.ts';
import { message } from '#src/say.ts';
import { isKeepable } from '#src/text.ts';
import { type Folded, fold } from './folding.ts';
import { FOLDED_MAX, nextRules, ownRules, rulesInForce, rulesLookingOn } from './rule-set.ts';
import { countSaid } from './said.ts';

/** For a service that checks prompts, at its start: so that the first one waits for nothing. @throws {Error} where the rules can't be used */
export function prepareRules(): void {
  for (const rules of [ownRules, nextRules]) void rules?.gates;
}

/** A prompt that the rules allow. What is to be drawn takes nothing else, so none goes by unchecked and none is checked twice. */
export type CheckedPrompt = string & z.core.$brand<'checked'>;

/** @throws {UserError} `prompt_empty`, `prompt_long`, `text_grows`, `prompt_blocked`, `text_unkeepable` */
export function checkPrompt(text: string): CheckedPrompt {
  const inForce = rulesInForce();
  const { promptMax: max } = inForce.file;
  // A character has at most two code units: most of what is too long is not even counted.
  const got = text.length > 2 * max ? text.length : [...text].length;
  if (got > max) throw new UserError('prompt_long', { max, got });
  const folded = foldedText(text, message('The prompt'));
  if (!/[^\s\p{P}]/u.test(folded[0]?.text ?? '')) throw new UserError('prompt_empty', {});
  const lookingOn = rulesLookingOn();
  const broken = inForce.gates.prompts(folded);
  countSaid({
    hash: inForce.hash,
    rule: broken?.rule.id ?? '',
    shadow: lookingOn?.hash ?? '',
    shadowRule: lookingOn?.gates.prompts(folded)?.rule.id ?? '',
  });
  if (broken) throw new UserError('prompt_blocked', { rule: broken.rule.id, says: broken.rule.says });
  return text as CheckedPrompt;
}

/**
 * A negative prompt may name what the rules refuse, as it says what to keep out of the picture; but not what the rules with `negative`
 * refuse, since what it names can come through, nor what would turn an innocent prompt round when it is kept out.
 *
 * @throws {UserError} `negative_blocked`, `text_grows`, `text_unkeepable`
 */
export function checkNegativePrompt(text: string): void {
  const broken = rulesInForce().gates.negatives(foldedText(text, message('The negative prompt')));
  if (broken) throw new UserError('negative_blocked', { says: broken.rule.negative ?? broken.rule.says });
}

/**
 * What people call something, and others read: by the rules for prompts.
 *
 * @param what as the sentence names it. @throws {UserError} `name_blocked`, `text_grows`, `text_unkeepable`
 */
export function checkName(name: string, what: string): void {
  const broken = rulesInForce().gates.prompts(foldedText(name, what));
  if (broken) throw new UserError('name_blocked', { what, name, says: broken.rule.says });
}

function foldedText(text: string, what: string): Folded[] {
  if (!isKeepable(text)) throw new UserError('text_unkeepable', { what });
  const folded = fold(text, FOLDED_MAX);
  if (folded === null) throw new UserError('text_grows', { what, max: FOLDED_MAX });
  return folded;
}
