import re
p='/work/main/src/parameters.ts'
s=open(p).read()
def rep(a,b,n=1):
    global s
    assert s.count(a)==n,(a,s.count(a))
    s=s.replace(a,b)
rep('''const YES = new Set(['on', 'true', 'yes', '1']);
const NO = new Set(['off', 'false', 'no', '0']);
/** What a person types to get the default back. */
const RESET = new Set(['default', 'none', 'null', 'random']);
''','''const YES = new Set(['on', 'true', 'yes']);
const NO = new Set(['off', 'false', 'no']);
/** What a person types for "not set", where that is the default: a random seed, no negative prompt. */
const NOT_SET = new Set(['none', 'random']);
''')
rep('''  const near = [...parameters.keys()].filter(
    (known) => distance(name.toLowerCase(), known) <= 3 || known.startsWith(name),
  );
  throw new UserError('parameter_unknown', { name, near: near.slice(0, 3) });
''','''  throw new UserError('parameter_unknown', { name, near: nearNames(name).slice(0, 3) });
''')
rep('''/**
 * The value that `input` means for a parameter; from the text of `/set`, or from JSON and YAML.
 *
''','''/**
 * The value that `input` means for a parameter; from the text of `/set`, or from JSON and YAML. null and `default` mean
 * the default; `none` too, where the default is "not set".
 *
''')
rep('''  const text = typeof input === 'string' ? input.trim() : null;
  if (input === null || (text !== null && RESET.has(text.toLowerCase()) && parameter.type !== 'text')) {
    return parameter.default;
  }
''','''  const word = String(input).trim().toLowerCase();
  if (input === null || word === 'default' || (parameter.default === null && NOT_SET.has(word))) {
    return parameter.default;
  }
''')
rep('''    case 'boolean': {
      const word = String(input).trim().toLowerCase();
      if (YES''','''    case 'boolean': {
      if (YES''')
rep('''      const word = String(input).trim().toLowerCase();
      const { choices }''','''      const { choices }''')
rep('''      if (input === 'default') return parameter.default;
      const got = [...input].length;
      if (got > parameter.maxLength)
        throw new UserError('parameter_length', { name, max: parameter.maxLength, got });
      return input;
''','''      const text = input.trim();
      const got = [...text].length;
      if (got > parameter.maxLength)
        throw new UserError('parameter_length', { name, max: parameter.maxLength, got });
      return text || parameter.default;
''')
rep('''      const number = text === null ? input : NUMBER.test(text) ? Number(text) : null;
      if (typeof number !== 'number' || !Number.isFinite(number)) throw wrong(expected);
''','''      const number = typeof input === 'string' && NUMBER.test(word) ? Number(word) : input;
      if (typeof number !== 'number' || !Number.isFinite(number)) throw wrong(expected);
''')
rep('''      return number;
    }
  }
}
''','''      return number + 0; // -0 and 0 are one value, and one cell key
    }
  }
}
''')
rep('''  await meet(actor);
  return db.$transaction(async (tx) => {
    const key''','''  await meet(actor);
  return db.$transaction(async (tx) => {
    await lockOwner(tx, actor.id);
    const key''')
rep('''  return db.$transaction(async (tx) => {
    const where''','''  return db.$transaction(async (tx) => {
    await lockOwner(tx, actor.id);
    const where''')
rep('''    if (definition(name).operators) {
      const { guildId } = actor;
      await audit(tx, {
        actorId: actor.id,
        action: `${name}.set`,
        subject: `user:${actor.id}`,
        guildId,
        before,
        after,
      });
    }
    return { name, before, after };
  });
}
''','''    await auditChange(tx, actor, { name, before, after });
    return { name, before, after };
  });
}
''')
rep('''    for (const { name: reset, before, after } of changed) {
      if (!definition(reset).operators) continue;
      await audit(tx, {
        actorId: actor.id,
        action: `${reset}.set`,
        subject: `user:${actor.id}`,
        before,
        after,
      });
    }
    return changed;
  });
}
''','''    for (const change of changed) await auditChange(tx, actor, change);
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
''')
rep("import { db, Prisma } from './db.ts';","import { db, Prisma, type Transaction } from './db.ts';")
rep('''  return Object.fromEntries(
    [...parameters].map(([name, parameter]) => {
      if (parameter.operators && !operator) return [name, parameter.default];
      return [
        name,
        Object.hasOwn(overrides, name) ? (overrides[name] ?? null) : fitting(name, own.get(name)),
      ];
    }),
  );
}

export interface Described extends Suggestion {
  readonly parameter: Parameter;
  readonly value: string;
  /** they set it */
  readonly own: boolean;
}

/** For `/settings`: all, with the value now. */
export async function describeParameters(actor: Actor): Promise<Described[]> {
  const values = await resolveParameters(actor);
  const stored = new Set(
    (await db.parameterValue.findMany({ where: { userId: actor.id }, select: { name: true } })).map(
      ({ name }) => name,
    ),
  );
  return [...parameters].map(([name, parameter]) => ({
    name,
    parameter,
    value: showValue(name, values[name] ?? null),
    own: stored.has(name),
  }));
}
''','''  return Object.fromEntries(
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
''')
rep('''/** Autocomplete of `parameter`. */
export function suggestParameters(typed: string): Suggestion[] {
  const wanted = typed.trim().toLowerCase();
  return [...parameters]
    .filter(([name, { title }]) => name.includes(wanted) || title.toLowerCase().includes(wanted))
    .map(([name, { description }]) => suggestion(`${name}: ${description}`, name))
    .slice(0, SUGGESTIONS_MAX);
}
''','''/** Autocomplete of `parameter`: those that have what is typed, or are spelt nearly so. */
export function suggestParameters(typed: string): Suggestion[] {
  const wanted = typed.trim().toLowerCase();
  const having = [...parameters].flatMap(([name, { title }]) =>
    name.includes(wanted) || title.toLowerCase().includes(wanted) ? [name] : [],
  );
  return (having.length ? having : nearNames(wanted))
    .map((name) => suggestion(`${name}: ${definition(name).description}`, name))
    .slice(0, SUGGESTIONS_MAX);
}
''')
rep('''  return [...offers]
    .filter(([value]) => !listed || value.includes(text) || value === now)
    .map(([value, note]) =>
      suggestion(
        `${value || '(empty)'} · ${note.replace(', choice', '').replace(/^choice$/, parameter.title)}`,
        value || 'default',
      ),
    )
    .slice(0, SUGGESTIONS_MAX);
}
''','''  return (
    [...offers]
      // Discord would send a longer one cut off, and half a negative prompt would be stored.
      .filter(([value]) => value.length <= SUGGESTION_LENGTH)
      .filter(([value]) => !listed || value.includes(text) || value === now)
      .map(([value, notes]) => suggestion(`${value} · ${notes.join(', ') || parameter.title}`, value))
      .slice(0, SUGGESTIONS_MAX)
  );
}
''')
rep('''  const offers = new Map<string, string>();
  const offer = (value: string, note: string) =>
    offers.set(value, offers.has(value) ? `${offers.get(value)}, ${note}` : note);
''','''  const offers = new Map<string, string[]>();
  const offer = (value: string, ...notes: string[]) =>
    offers.set(value, [...(offers.get(value) ?? []), ...notes]);
''')
rep('''for (const word of ['on', 'off']) offer(word, 'choice');''','''for (const word of ['on', 'off']) offer(word);''')
rep('''for (const choice of parameter.choices) offer(choice, 'choice');''','''for (const choice of parameter.choices) offer(choice);''')
rep('''  const shorten = (text: string) =>
    text.length > SUGGESTION_LENGTH ? `${text.slice(0, SUGGESTION_LENGTH - 1)}…` : text;
  return { name: shorten(name), value: value.slice(0, SUGGESTION_LENGTH) };
}

/** Levenshtein's. Of two short words. */
''','''  const shown = name.length > SUGGESTION_LENGTH ? `${name.slice(0, SUGGESTION_LENGTH - 1)}…` : name;
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
''')
open(p,'w').write(s)
