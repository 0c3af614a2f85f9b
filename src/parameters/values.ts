/**
 * What people set: stored values over the defaults of config/parameters.yaml. The only file that writes ParameterValue.
 */
import { audit } from '#src/audit.ts';
import { requireLoras } from '#src/bundles/offered-loras.ts';
import { db, isDuplicate, Prisma, type Transaction } from '#src/doors/db.ts';
import { UserError } from '#src/errors.ts';
import { type Actor, admitUser } from '#src/people/people.ts';
import { isOperator } from '#src/people/rights.ts';
import { type AskedAt, modeOf, switchesFor } from '#src/production.ts';
import {
  definition,
  fitting,
  mustGoTogether,
  OF_PERSON,
  type Parameter,
  type ParameterJson,
  parameters,
  parseParameter,
  type ResolvedParameters,
  showValue,
  TOGETHER,
} from './definitions.ts';

export interface Changed {
  readonly name: string;
  readonly before: ParameterJson;
  readonly after: ParameterJson;
}

/**
 * Stores a value; `default` takes the stored one away.
 *
 * @throws {UserError} as `parseParameter`, and `parameter_operators`, `lora_unknown`, `negative_alone`, `maker_name_taken`
 */
export async function setParameter(actor: Actor, name: string, input: ParameterJson): Promise<Changed> {
  const after = parseParameter(name, input);
  if (definition(name).operators && !(await isOperator(actor)))
    throw new UserError('parameter_operators', { name });
  if (String(input).trim().toLowerCase() === 'default') {
    const [changed] = await resetParameter(actor, name);
    return changed ?? { name, before: after, after };
  }
  if (definition(name).type === 'loras') await requireLoras(await bundleFor(actor), [after]);
  await admitUser(actor);
  const stored = db.$transaction(async (tx) => {
    await lockOwner(tx, actor.id);
    const now = await storedNow(tx, actor);
    const change = { name, before: now[name] ?? null, after };
    if (TOGETHER.some((one) => one === name)) mustGoTogether({ ...now, [name]: after });
    await store(tx, actor, change);
    return change;
  });
  return stored.catch((error: unknown) => {
    if (name === 'maker_name' && isDuplicate(error))
      throw new UserError('maker_name_taken', { name: String(after) });
    throw error;
  });
}

/**
 * Makes a person's values these, all or none; what is so already is left as it is, and what is a default is stored no more.
 *
 * @param values fit their parameters, none of which is for operators
 * @returns what was changed
 * @throws {UserError} `lora_unknown`, `negative_alone`, `blocked_until`
 */
export async function adoptParameters(actor: Actor, values: ResolvedParameters): Promise<Changed[]> {
  const loras = Object.entries(values).filter(([name]) => definition(name).type === 'loras');
  await requireLoras(
    typeof values.bundle === 'string' ? values.bundle : await bundleFor(actor),
    loras.map(([, value]) => value),
  );
  await admitUser(actor);
  return db.$transaction(async (tx) => {
    await lockOwner(tx, actor.id);
    const now = await storedNow(tx, actor);
    mustGoTogether({ ...now, ...values });
    const changed = Object.entries(values)
      .map(([name, after]) => ({ name, before: now[name] ?? null, after }))
      .filter(({ before, after }) => before !== after);
    for (const change of changed) {
      if (change.after === definition(change.name).default)
        await tx.parameterValue.deleteMany({ where: { userId: actor.id, name: change.name } });
      else await store(tx, actor, change);
    }
    return changed;
  });
}

/** What a person draws with. */
async function bundleFor({ id: userId }: Actor): Promise<string> {
  const stored = await db.parameterValue.findUnique({ where: { userId_name: { userId, name: 'bundle' } } });
  return String(fitting('bundle', stored?.value));
}

/** What a person set, over the defaults. */
async function storedNow(tx: Transaction, { id: userId }: Actor): Promise<ResolvedParameters> {
  const stored = await tx.parameterValue.findMany({ where: { userId } });
  const own = new Map(stored.map(({ name, value }) => [name, value]));
  return Object.fromEntries([...parameters.keys()].map((name) => [name, fitting(name, own.get(name))]));
}

async function store(tx: Transaction, actor: Actor, change: Changed): Promise<void> {
  const { name, after } = change;
  const userId = actor.id;
  const value = after === null ? Prisma.JsonNull : after;
  await tx.parameterValue.upsert({
    where: { userId_name: { userId, name } },
    create: { userId, name, value },
    update: { value },
  });
  await auditChange(tx, actor, change);
}

/** Resets one parameter, or all, to the default. Returns what was changed. @throws {UserError} `parameter_unknown` */
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

/** Makes a person's changes take turns: else two at once would both note the same `before` in the audit log. */
async function lockOwner(tx: Transaction, userId: string): Promise<void> {
  await tx.$executeRaw`SELECT 1 FROM "User" WHERE id = ${userId} FOR UPDATE`;
}

/** Audits what only operators may set: others must be able to look up who changed it, when, and from what to what. */
async function auditChange(tx: Transaction, actor: Actor, { name, before, after }: Changed): Promise<void> {
  if (!definition(name).operators) return;
  const { id: actorId, guildId } = actor;
  await audit(tx, { actorId, action: `${name}.set`, subject: `user:${actorId}`, guildId, before, after });
}

/**
 * Every parameter's value for a person, here: overrides over what they stored over the defaults. A parameter for operators
 * counts for nobody else, whatever is stored: a role taken away counts at once. Production mode is as `modeOf` says.
 */
export async function resolveParameters(
  asked: AskedAt,
  overrides: ResolvedParameters = {},
): Promise<ResolvedParameters> {
  const { values } = await resolve(asked, overrides);
  return Object.fromEntries(Object.entries(values).filter(([name]) => !OF_PERSON.has(name)));
}

async function resolve(asked: AskedAt, overrides: ResolvedParameters) {
  const { actor } = asked;
  const [stored, operator, switches] = await Promise.all([
    db.parameterValue.findMany({ where: { userId: actor.id } }),
    isOperator(actor),
    switchesFor(asked),
  ]);
  const own = new Map(stored.map(({ name, value }) => [name, value]));
  const said = operator ? own.get('production_mode') : undefined;
  const production = modeOf(said === undefined ? null : fitting('production_mode', said) === true, switches);
  const values = Object.fromEntries(
    [...parameters].map(([name, parameter]): [string, ParameterJson] => {
      const may = operator || !parameter.operators;
      if (may && Object.hasOwn(overrides, name)) return [name, overrides[name] ?? null];
      if (name === 'production_mode') return [name, production.on];
      return [name, may ? fitting(name, own.get(name)) : parameter.default];
    }),
  );
  return { values, own, production, operator };
}

/** A line of `/settings`. */
export interface Described {
  readonly name: string;
  readonly parameter: Parameter;
  /** as `showValue` shows it */
  readonly value: string;
  readonly default: string;
  /** they set it: it would stay if the default changed */
  readonly own: boolean;
  /** whose word counts, where it is neither theirs nor the default */
  readonly by: 'channel' | 'server' | null;
  /** they may set it */
  readonly settable: boolean;
}

/** All parameters with their values now and here, for `/settings`. */
export async function describeParameters(asked: AskedAt): Promise<Described[]> {
  const { values, own, production, operator } = await resolve(asked, {});
  const byOf = (name: string): Described['by'] =>
    name === 'production_mode' && production.by !== 'person' ? production.by : null;
  return [...parameters].map(([name, parameter]) => ({
    name,
    parameter,
    value: showValue(name, values[name] ?? null),
    default: showValue(name, parameter.default),
    own: own.has(name),
    by: byOf(name),
    settable: operator || !parameter.operators,
  }));
}
