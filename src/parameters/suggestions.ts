/** What `/set` offers while somebody types: names of parameters, and values. */
import { completeLoras } from '#src/bundles/offered-loras.ts';
import { db } from '#src/doors/db.ts';
import { UserError } from '#src/errors.ts';
import type { Say } from '#src/say.ts';
import {
  definition,
  descriptionOf,
  fitting,
  nearNames,
  parameters,
  parseParameter,
  showValue,
  titleOf,
} from './definitions.ts';

/** A choice of an autocomplete: Discord takes 25, of 100 characters each. */
export interface Suggestion {
  readonly name: string;
  readonly value: string;
}
const SUGGESTIONS_MAX = 25;
const SUGGESTION_LENGTH = 100;

/** Autocomplete of `parameter`: those that have what is typed, or are spelt nearly so. */
export function suggestParameters(say: Say, typed: string): Suggestion[] {
  const wanted = typed.trim().toLowerCase();
  const having = [...parameters].flatMap(([name, parameter]) => {
    const words = [name, parameter.title, titleOf(say, parameter)];
    return words.some((word) => word.toLowerCase().includes(wanted)) ? [name] : [];
  });
  return (having.length ? having : nearNames(wanted))
    .map((name) => suggestion(`${name}: ${descriptionOf(say, definition(name))}`, name))
    .slice(0, SUGGESTIONS_MAX);
}

/** Autocomplete of `value`: what is typed if it would do, then the value now, the default, and the range or the choices. */
export async function suggestValues(
  say: Say,
  userId: string,
  name: string,
  typed: string,
): Promise<Suggestion[]> {
  const parameter = parameters.get(name);
  if (!parameter) return [];
  const own = await db.parameterValue.findMany({ where: { userId, name: { in: [name, 'bundle'] } } });
  const storedOf = (which: string) => fitting(which, own.find((one) => one.name === which)?.value);
  const now = showValue(name, storedOf(name));
  const byDefault = showValue(name, parameter.default);

  const offers = new Map<string, string[]>();
  const offer = (value: string, ...notes: string[]) =>
    offers.set(value, [...(offers.get(value) ?? []), ...notes]);
  if (typed.trim()) {
    try {
      offer(showValue(name, parseParameter(name, typed)), say('as typed'));
    } catch (error) {
      if (!(error instanceof UserError)) throw error;
      // Enter takes the first line: without this one, a value out of range would silently become another.
      if (parameter.type === 'number' || parameter.type === 'integer')
        offer(typed.trim(), say('must be from {min} to {max}', { min: parameter.min, max: parameter.max }));
    }
  }
  offer(now, say('your value now'));
  offer(byDefault, say('default'));
  if (parameter.type === 'boolean') for (const word of ['on', 'off']) offer(word);
  if (parameter.type === 'choice') for (const choice of parameter.choices) offer(choice);
  if (parameter.type === 'loras')
    for (const value of await completeLoras(String(storedOf('bundle')), typed)) offer(value);
  if (parameter.type === 'number' || parameter.type === 'integer') {
    offer(String(parameter.min), say('min'));
    offer(String(parameter.max), say('max'));
  }
  const text = typed.trim().toLowerCase();
  const listed = parameter.type === 'choice' || parameter.type === 'boolean';
  return (
    [...offers]
      // Discord would send a longer one cut off, and half a negative prompt would be stored.
      .filter(([value]) => value.length <= SUGGESTION_LENGTH)
      .filter(([value]) => !listed || value.includes(text) || value === now)
      .map(([value, notes]) => suggestion(`${value} · ${notes.join(', ') || titleOf(say, parameter)}`, value))
      .slice(0, SUGGESTIONS_MAX)
  );
}

function suggestion(name: string, value: string): Suggestion {
  const shown = name.length > SUGGESTION_LENGTH ? `${name.slice(0, SUGGESTION_LENGTH - 1)}…` : name;
  return { name: shown, value };
}
