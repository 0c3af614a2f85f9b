/**
 * What people set: stored values over the defaults of config/parameters.yaml. The only file that writes ParameterValue.
 */
import { type Parameter, type ParameterJson, parameters } from '#config/parameters.ts';
import { audit } from '#src/audit.ts';
import type { ResolvedParameters } from '#src/batches/batches.ts';
import { parseLoras, sayLoras } from '#src/bundles/lora-choice.ts';
import { completeLoras, requireLoras } from '#src/bundles/offered-loras.ts';
import { db, Prisma, type Transaction } from '#src/doors/db.ts';
import { UserError } from '#src/errors.ts';
import { type Actor, isOperator, meet } from '#src/people/people.ts';
import { isKeepable } from '#src/text.ts';

/** A choice of an autocomplete: Discord takes 25, of 100 characters each. */
export interface Suggestion {
  readonly name: string;
  readonly value: string;
}
const SUGGESTIONS_MAX = 25;
const SUGGESTION_LENGTH = 100;

const YES = new Set(['on', 'true', 'yes']);
const NO = new Set(['off', 'false', 'no']);
/** What a person types for "not set", where that is the default: a random seed, no negative prompt. */
const NOT_SET = new Set(['none', 'random']);
/** No hexadecimal, no exponent, no "Infinity": what a person would write. */
const NUMBER = /^[+-]?(?:\d+\.?\d*|\.\d+)$/;

function definition(name: string): Parameter {
  const found = parameters.get(name);
  if (found) return found;
  throw new UserError('parameter_unknown', { name, near: nearNames(name).slice(0, 3) });
}

/**
 * The value that `input` means for a parameter; from the text of `/set`, or from JSON and YAML. null and `default` mean
 * the default; `none` too, where the default is "not set".
 *
 * @throws {UserError} `parameter_unknown`, `_type`, `_range`, `_choice`, `_length`, `_lora`, `text_unkeepable`
 */
export function parseParameter(name: string, input: ParameterJson): ParameterJson {
  const parameter = definition(name);
  const wrong = (expected: string) => new UserError('parameter_type', { name, expected, got: String(input) });
  const word = String(input).trim().toLowerCase();
  if (input === null || word === 'default' || (parameter.default === null && NOT_SET.has(word))) {
    return parameter.default;
  }

  switch (parameter.type) {
    case 'boolean': {
      if (YES.has(word)) return true;
      if (NO.has(word)) return false;
      throw wrong('`on` or `off`');
    }
    case 'choice': {
      const { choices } = parameter;
      if (!choices.includes(word))
        throw new UserError('parameter_choice', { name, choices, got: String(input) });
      return word;
    }
    case 'loras': {
      if (typeof input !== 'string') throw wrong('names of LoRAs, as `film:0.6, ink`');
      try {
        return sayLoras(parseLoras(input)) || null;
      } catch (error) {
        throw new UserError('parameter_lora', { name, problem: (error as RangeError).message });
      }
    }
    case 'text': {
      if (typeof input !== 'string') throw wrong('text');
      const text = input.trim();
      if (!isKeepable(text)) throw new UserError('text_unkeepable', { what: `\`${name}\`` });
      const got = [...text].length;
      if (got > parameter.maxLength)
        throw new UserError('parameter_length', { name, max: parameter.maxLength, got });
      return text || parameter.default;
    }
    case 'number':
    case 'integer': {
      const { min, max, step, type } = parameter;
      const expected = type === 'integer' ? 'a whole number' : 'a number, with a point, as `7.5`';
      const number = typeof input === 'string' && NUMBER.test(word) ? Number(word) : input;
      if (typeof number !== 'number' || !Number.isFinite(number)) throw wrong(expected);
      if (type === 'integer' && !Number.isInteger(number)) throw wrong(expected);
      if (number < min || number > max)
        throw new UserError('parameter_range', { name, min, max, got: number });
      // -0 and 0 are one value, and one cell key; so are those that draw the same.
      return (step ? step * Math.round(number / step) : number) + 0;
    }
  }
}

/** How a value is shown: `on`, `7.5`, `random`. */
export function showValue(name: string, value: ParameterJson): string {
  if (value === null) return name === 'seed' ? 'random' : 'none';
  if (typeof value === 'boolean') return value ? 'on' : 'off';
  return String(value);
}

export interface Changed {
  readonly name: string;
  readonly before: ParameterJson;
  readonly after: ParameterJson;
}

/** Stores a value. @throws {UserError} as `parseParameter`, and `parameter_operators`, `lora_unknown` */
export async function setParameter(actor: Actor, name: string, input: ParameterJson): Promise<Changed> {
  const after = parseParameter(name, input);
  if (definition(name).operators && !(await isOperator(actor)))
    throw new UserError('parameter_operators', { name });
  if (definition(name).type === 'loras') await requireLoras([after]);
  await meet(actor);
  return db.$transaction(async (tx) => {
    await lockOwner(tx, actor.id);
    const key = { userId_name: { userId: actor.id, name } };
    const stored = await tx.parameterValue.findUnique({ where: key });
    const before = fitting(name, stored?.value);
    const value = after === null ? Prisma.JsonNull : after;
    await tx.parameterValue.upsert({
      where: key,
      create: { userId: actor.id, name, value },
      update: { value },
    });
    await auditChange(tx, actor, { name, before, after });
    return { name, before, after };
  });
}

/** Back to the default: one, or all. Returns what was changed. @throws {UserError} `parameter_unknown` */
export async function resetParameter(actor: Actor, name: string | 'all'): Promise<Changed[]> {
  if (name !== 'all') definition(name);
  return db.$transaction(async (tx) => {
    await lockOwner(tx, actor.id);
    const where = { userId: actor.id, ...(name !== 'all' && { name }) };
    const stored = await tx.parameterValue.findMany({ where });
    await tx.parameterValue.deleteMany({ where });
    const changed = stored
      .filter((row) => parameters.has(row.name))
      .map((row) => ({
        name: row.name,
        before: fitting(row.name, row.value),
        after: definition(row.name).default,
      }));
    for (const change of changed) await auditChange(tx, actor, change);
    return changed;
  });
}

/** A person's changes one after another: else two at once would both note the same `before` in the audit log. */
async function lockOwner(tx: Transaction, userId: string): Promise<void> {
  await tx.$executeRaw`SELECT 1 FROM "User" WHERE id = ${userId} FOR UPDATE`;
}

/** What only operators may set is what others must be able to look up: who, when, from what to what. */
async function auditChange(tx: Transaction, actor: Actor, { name, before, after }: Changed): Promise<void> {
  if (!definition(name).operators) return;
  const { id: actorId, guildId } = actor;
  await audit(tx, { actorId, action: `${name}.set`, subject: `user:${actorId}`, guildId, before, after });
}

/**
 * Every parameter's value for a person: overrides over what they stored over the defaults. A parameter for operators
 * counts for nobody else, whatever is stored: a role taken away counts at once.
 */
export async function resolveParameters(
  actor: Actor,
  overrides: ResolvedParameters = {},
): Promise<ResolvedParameters> {
  const stored = await db.parameterValue.findMany({ where: { userId: actor.id } });
  const own = new Map(stored.map(({ name, value }) => [name, value]));
  const operator = await isOperator(actor);
  return Object.fromEntries(
    [...parameters].map(([name, parameter]): [string, ParameterJson] => {
      if (parameter.operators && !operator) return [name, parameter.default];
      if (Object.hasOwn(overrides, name)) return [name, overrides[name] ?? null];
      return [name, fitting(name, own.get(name))];
    }),
  );
}

/** A line of `/settings`. */
export interface Described {
  readonly name: string;
  readonly parameter: Parameter;
  /** as `showValue` shows it */
  readonly value: string;
  readonly standard: string;
  /** they set it: it would stay if the default changed */
  readonly own: boolean;
}

/** For `/settings`: all, with the value now. */
export async function describeParameters(actor: Actor): Promise<Described[]> {
  const values = await resolveParameters(actor);
  const stored = await db.parameterValue.findMany({ where: { userId: actor.id }, select: { name: true } });
  const own = new Set(stored.map(({ name }) => name));
  return [...parameters].map(([name, parameter]) => ({
    name,
    parameter,
    value: showValue(name, values[name] ?? null),
    standard: showValue(name, parameter.default),
    own: own.has(name),
  }));
}

/** Autocomplete of `parameter`: those that have what is typed, or are spelt nearly so. */
export function suggestParameters(typed: string): Suggestion[] {
  const wanted = typed.trim().toLowerCase();
  const having = [...parameters].flatMap(([name, { title }]) =>
    name.includes(wanted) || title.toLowerCase().includes(wanted) ? [name] : [],
  );
  return (having.length ? having : nearNames(wanted))
    .map((name) => suggestion(`${name}: ${definition(name).description}`, name))
    .slice(0, SUGGESTIONS_MAX);
}

/** Autocomplete of `value`: what is typed if it would do, then the value now, the default, and the range or the choices. */
export async function suggestValues(userId: string, name: string, typed: string): Promise<Suggestion[]> {
  const parameter = parameters.get(name);
  if (!parameter) return [];
  const stored = await db.parameterValue.findUnique({ where: { userId_name: { userId, name } } });
  const now = showValue(name, fitting(name, stored?.value));
  const standard = showValue(name, parameter.default);

  const offers = new Map<string, string[]>();
  const offer = (value: string, ...notes: string[]) =>
    offers.set(value, [...(offers.get(value) ?? []), ...notes]);
  if (typed.trim()) {
    try {
      offer(showValue(name, parseParameter(name, typed)), 'as typed');
    } catch (error) {
      if (!(error instanceof UserError)) throw error;
      // Enter takes the first line: without this one, a value out of range would silently become another.
      if (parameter.type === 'number' || parameter.type === 'integer')
        offer(typed.trim(), `must be from ${parameter.min} to ${parameter.max}`);
    }
  }
  offer(now, 'your value now');
  offer(standard, 'default');
  if (parameter.type === 'boolean') for (const word of ['on', 'off']) offer(word);
  if (parameter.type === 'choice') for (const choice of parameter.choices) offer(choice);
  if (parameter.type === 'loras') for (const value of await completeLoras(typed)) offer(value);
  if (parameter.type === 'number' || parameter.type === 'integer') {
    offer(String(parameter.min), 'least');
    offer(String(parameter.max), 'most');
  }
  const text = typed.trim().toLowerCase();
  const listed = parameter.type === 'choice' || parameter.type === 'boolean';
  return (
    [...offers]
      // Discord would send a longer one cut off, and half a negative prompt would be stored.
      .filter(([value]) => value.length <= SUGGESTION_LENGTH)
      .filter(([value]) => !listed || value.includes(text) || value === now)
      .map(([value, notes]) => suggestion(`${value} · ${notes.join(', ') || parameter.title}`, value))
      .slice(0, SUGGESTIONS_MAX)
  );
}

/** A stored value, if the parameter would still take it; else the default. */
function fitting(name: string, value: unknown): ParameterJson {
  const standard = definition(name).default;
  if (typeof value !== 'string' && typeof value !== 'number' && typeof value !== 'boolean') return standard;
  try {
    return parseParameter(name, value);
  } catch {
    return standard;
  }
}

function suggestion(name: string, value: string): Suggestion {
  const shown = name.length > SUGGESTION_LENGTH ? `${name.slice(0, SUGGESTION_LENGTH - 1)}…` : name;
  return { name: shown, value };
}

/** Names that somebody may have meant, nearest first. */
function nearNames(typed: string): string[] {
  const wanted = typed.trim().toLowerCase();
  return [...parameters.keys()]
    .map((name) => ({
      name,
      far: wanted.length > 2 && name.startsWith(wanted) ? 0 : distance(wanted, name),
    }))
    .filter(({ far }) => far <= 3)
    .sort((a, b) => a.far - b.far)
    .map(({ name }) => name);
}

/** Levenshtein's, of two short words; 4 stands for anything beyond 3. */
function distance(a: string, b: string): number {
  if (Math.abs(a.length - b.length) > 3) return 4;
  let row = Array.from({ length: b.length + 1 }, (_, j) => j);
  for (let i = 1; i <= a.length; i++) {
    const next = [i];
    for (let j = 1; j <= b.length; j++) {
      const change = a[i - 1] === b[j - 1] ? 0 : 1;
      next.push(Math.min(row[j]! + 1, next[j - 1]! + 1, row[j - 1]! + change));
    }
    row = next;
  }
  return row[b.length]!;
}
