/**
 * Checks what a sweep asks for, beyond its shape: parameters and their ranges, prompts, names, and what does not go
 * together. Every fault is told at once, so parts of the wrong shape are left out and the rest is checked as well.
 */
import type { ParameterJson } from '#config/parameters.ts';
import { UserError } from '#src/errors.ts';
import type { ListedFolder } from '#src/faces.ts';
import { folderName } from '#src/folder-name.ts';
import { type CheckedPrompt, checkName, checkPrompt } from '#src/moderation/words.ts';
import type { ResolvedParameters } from '#src/parameters/definitions.ts';
import { parameters, parseParameter } from '#src/parameters/definitions.ts';
import { message, type Say } from '#src/say.ts';
import { AxisFault, Faults, type Path } from './faults.ts';
import { label } from './labels.ts';
import { Sweep, type SweepShape } from './schema.ts';
import { spread } from './values.ts';
import type { Lines } from './yaml.ts';

export interface SweepDefinition {
  readonly name: string;
  readonly method: 'grid' | 'random' | 'list';
  readonly prompts: readonly CheckedPrompt[];
  /** of each prompt, as it stands on a contact sheet */
  readonly promptLabels: readonly string[];
  readonly axes: readonly { readonly name: string; readonly values: readonly ParameterJson[] }[];
  /** of `method: list` */
  readonly cells: readonly ResolvedParameters[];
  readonly seeds: readonly number[];
  /** names of face folders, well formed; whether they are there is not known here */
  readonly faces: readonly string[];
  readonly set: ResolvedParameters;
  /** of `method: random` */
  readonly samples: number;
  readonly randomSeed: number;
  /** pictures; null: no `limit` was given */
  readonly limit: number | null;
}

/** What only the asker's own rows can tell, and the language to tell faults in. */
export interface SweepAsker {
  readonly language: Say['language'];
  readonly operator: boolean;
  readonly folders: readonly Pick<ListedFolder, 'name' | 'photos'>[];
}

/**
 * @param value what the YAML holds
 * @param lines where it holds it
 * @returns every fault at once, each with its line, when there is any
 */
export function checkSweep(
  value: unknown,
  lines: Lines,
  asker: SweepAsker,
  say: Say,
): SweepDefinition | { readonly faults: readonly string[] } {
  const faults = new Faults(lines, say);
  const shape = shapeOf(value, faults);
  const definition = shape && definitionOf(shape.raw, shape.unread, asker, faults, say);
  const told = faults.told();
  return definition && !told.length ? definition : { faults: told };
}

/** Everything of the right shape. The rest is noted and left out, so that the checks can go on. null: nothing is left. */
function shapeOf(value: unknown, faults: Faults): { raw: SweepShape; unread: ReadonlySet<string> } | null {
  const whole = Sweep.safeParse(value);
  if (whole.success) return { raw: whole.data, unread: new Set() };
  const unread = new Set<string>();
  const rest = structuredClone(value) as Record<string, Record<string, unknown>>;
  for (const issue of whole.error.issues) {
    faults.issue(issue);
    const [key, inner] = issue.path.map(String);
    if (key === undefined) {
      if (issue.code !== 'unrecognized_keys') return null;
      for (const unknown of issue.keys) delete rest[unknown];
    } else if (inner !== undefined && (key === 'axes' || key === 'set')) {
      delete rest[key]?.[inner];
    } else {
      delete rest[key];
      unread.add(key);
    }
  }
  return { raw: Sweep.parse(rest), unread };
}

/** @param unread keys that are there, and not in `raw` */
function definitionOf(
  raw: SweepShape,
  unread: ReadonlySet<string>,
  { operator, folders }: SweepAsker,
  faults: Faults,
  say: Say,
): SweepDefinition {
  const settings = (path: Path, given: ResolvedParameters): ResolvedParameters =>
    Object.fromEntries(
      Object.entries(given).map(([name, value]) => [
        name,
        faults.try([...path, name], () => parseVaried(name, value, operator), null),
      ]),
    );

  const named = promptsOf(raw);
  if (raw.prompt !== undefined && raw.prompts)
    faults.add(['prompts'], say('Give `prompt` or `prompts`, not both.'));
  if (!named.size && !unread.has('prompt') && !unread.has('prompts'))
    faults.add([], say('`prompt` is missing: say what to draw.'));
  // Everybody in the channel reads these.
  faults.try(['name'], () => checkName(raw.name, message('The name of a sweep')), undefined);
  if (raw.prompts && !Array.isArray(raw.prompts)) {
    for (const { label, path } of named.values())
      faults.try(path, () => checkName(label, message('The name of a prompt')), undefined);
  }
  const prompts = [...named].flatMap(
    ([prompt, { path }]) => faults.try(path, () => checkPrompt(prompt), null) ?? [],
  );

  if (raw.method === 'list' && !raw.cells && !unread.has('cells'))
    faults.add(['method'], say('`method: list` needs `cells`.'));
  if (raw.method !== 'list' && raw.cells && !unread.has('method'))
    faults.add(['cells'], say('`cells` goes with `method: list`.'));
  if (raw.method === 'list' && Object.keys(raw.axes).length)
    faults.add(['axes'], say('`axes` does not go with `method: list`; use `cells`.'));
  const varied = new Set([...Object.keys(raw.axes), ...(raw.cells ?? []).flatMap(Object.keys)]);
  for (const name of Object.keys(raw.set).filter((name) => varied.has(name)))
    faults.add(['set', name], say('`{name}` is varied and in `set`: it can be only one.', { name }));

  const axes = Object.entries(raw.axes).map(([name, given]) => {
    const at = ['axes', name];
    const values = faults.try(at, () => spread(name, given), []);
    return {
      name,
      values: distinct(values.map((value) => faults.try(at, () => parseVaried(name, value, operator), null))),
    };
  });
  for (const [index, name] of raw.faces.entries())
    faults.try(['faces', index], () => mustHaveFace(name, folders), undefined);
  return {
    name: raw.name,
    method: raw.method,
    prompts,
    promptLabels: [...named.values()].map((one) => one.label),
    axes,
    cells: (raw.cells ?? []).map((cell, index) => settings(['cells', index], cell)),
    seeds: distinct(
      typeof raw.seeds === 'number' ? Array.from({ length: raw.seeds }, (_, i) => i + 1) : raw.seeds,
    ),
    faces: distinct(raw.faces),
    set: settings(['set'], raw.set),
    samples: raw.samples,
    randomSeed: raw.random_seed,
    limit: raw.limit ?? null,
  };
}

/** What has a key of its own here, or is the same for a whole batch. */
const NOT_VARIED: Readonly<Record<string, string>> = {
  seed: message("`{name}` can't be varied here; use `seeds`."),
  tier: message("`{name}` can't be varied here; it is the same for the whole sweep: use `/set`."),
  production_mode: message("`{name}` can't be varied here; it is the same for the whole sweep: use `/set`."),
};

/** @throws {UserError} as `parseParameter`, and `parameter_operators` @throws {AxisFault} */
function parseVaried(name: string, value: ParameterJson, operator: boolean): ParameterJson {
  const message = Object.hasOwn(NOT_VARIED, name) ? NOT_VARIED[name] : undefined;
  if (message !== undefined) throw new AxisFault((say) => say(message, { name }));
  const parsed = parseParameter(name, value);
  if (parameters.get(name)?.operators && !operator) throw new UserError('parameter_operators', { name });
  return parsed;
}

/** @throws {UserError} `folder_name`, `folder_unknown`, `folder_empty` */
function mustHaveFace(name: string, folders: SweepAsker['folders']): void {
  folderName(name);
  const folder = folders.find((own) => own.name === name);
  if (!folder)
    throw new UserError('folder_unknown', { name, mine: folders.slice(0, 10).map((own) => own.name) });
  if (!folder.photos) throw new UserError('folder_empty', { name });
}

/** prompt → its label, and where it stands in the YAML. A prompt that is there twice counts once. */
function promptsOf({
  prompt,
  prompts = prompt === undefined ? [] : [prompt],
}: SweepShape): Map<string, { label: string; path: Path }> {
  const found = new Map<string, { label: string; path: Path }>();
  const put = (text: string, label: string, path: Path) => {
    if (!found.has(text)) found.set(text, { label, path });
  };
  if (Array.isArray(prompts))
    for (const [i, text] of prompts.entries())
      put(text, label(found.size + 1, text), prompt === undefined ? ['prompts', i] : ['prompt']);
  else for (const [name, text] of Object.entries(prompts)) put(text, name.trim(), ['prompts', name]);
  return found;
}

function distinct<T>(values: readonly T[]): T[] {
  return [...new Set(values)];
}
