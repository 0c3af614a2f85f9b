/**
 * A sweep: YAML in, cells out.
 *
 * ```yaml
 * name: strength against steps
 * prompts: [portrait of a woman in a garden, portrait of a man by the sea]   # or `prompt: …`, or by name, as
 *                                 # { garden: portrait of a woman in a garden, sea: portrait of a man by the sea }
 * method: grid                    # every combination; `random` draws `samples` of them; `list` takes `cells`
 * axes:                           # any parameter but seed, tier and production_mode
 *   detail_strength: 0.2, 0.4, .., 0.8
 *   steps: { from: 10, to: 30, step: 10 }
 *   scheduler: [ddim, euler]
 * samples: 8                      # of `random`, drawn by `random_seed`
 * cells: [{ steps: 10 }, { steps: 20, scheduler: euler }]                    # of `list`
 * seeds: [1, 2]                   # or how many: 2 is 1 and 2
 * faces: [ada]                    # face folders
 * set: { guidance_scale: 6 }      # the same in every cell
 * limit: 50                       # the first so many pictures, and no more
 * ```
 *
 * People paste this, so it is parsed in a thread with a deadline: files of a few KiB can keep a YAML parser busy for
 * seconds. Cells are counted before they are made: a few lines of YAML can ask for 10¹². Every fault is told at once.
 */
import { Worker } from 'node:worker_threads';
import { z } from 'zod';
import type { ParameterJson } from '#config/parameters.ts';
import { limits } from '#config/tiers.ts';
import { UserError } from '#src/errors.ts';
import { folderName } from '#src/faces.ts';
import { checkPrompt } from '#src/moderation/words.ts';
import type { ResolvedParameters } from '#src/parameters/definitions.ts';
import { parameters, parseParameter, showValue } from '#src/parameters/definitions.ts';
import { quote } from '#src/text.ts';
import type { Parsed } from './parse-thread.ts';

export const SWEEP_BYTES_MAX = 64 * 1024;
/** Of parsing alone: the thread has started by then. */
const PARSE_WITHIN_MS = 1_000;
/** A machine that is this slow to start a thread is not well. */
const START_WITHIN_MS = 10_000;
/** MiB; a file of 64 KiB that needs more is built to. */
const THREAD_HEAP_MIB = 96;
/** Values of one axis; 14 full ones are still counted and checked in some milliseconds. */
const VALUES_MAX = 1_000;
/** Each is read against the safety rules, a tenth of a millisecond of everybody's event loop. */
const PROMPTS_MAX = 200;
const SEED_MAX = 2 ** 32 - 1;
const FAULTS_MAX = 12;
/** Longest label of a coordinate, in characters. */
const LABEL_LENGTH = 60;

export interface Axis {
  readonly name: string;
  readonly labels: readonly string[];
}

export interface SweepDefinition {
  readonly name: string;
  readonly method: 'grid' | 'random' | 'list';
  readonly prompts: readonly string[];
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

export interface SweepCell {
  /** axis → label */
  readonly coordinates: Record<string, string>;
  /** what differs from the person's own values */
  readonly parameters: ResolvedParameters;
  readonly prompt: string;
  readonly seed: number;
  readonly faceName: string | null;
}

const Value = z.union(
  [z.string(), z.number(), z.boolean(), z.null()],
  'must be a word, a number, `on` or `off`',
);
const Range = z.strictObject({ from: z.number(), to: z.number(), step: z.number() });
const Values = z.union(
  [z.array(Value).min(1).max(VALUES_MAX), Range, Value],
  `must be a list of up to ${VALUES_MAX} values, as \`[10, 20]\`, or a range, as \`0.2, 0.4, .., 0.8\` or \`{ from: 10, to: 30, step: 10 }\``,
);
const Seed = z.number().int().min(0).max(SEED_MAX);
const Settings = z.record(z.string(), Value);

const Sweep = z.strictObject(
  {
    name: z.string().trim().min(1).max(80).default('Sweep'),
    method: z.enum(['grid', 'random', 'list']).default('grid'),
    prompt: z.string().optional(),
    prompts: z
      .union(
        [
          z.array(z.string()).min(1).max(PROMPTS_MAX),
          z
            .record(z.string().min(1).max(LABEL_LENGTH), z.string())
            .refine((named) => Object.keys(named).length <= PROMPTS_MAX),
        ],
        `must be a list of up to ${PROMPTS_MAX} prompts, or lines of \`name: prompt\` with names of up to ${LABEL_LENGTH} characters`,
      )
      .optional(),
    axes: z.record(z.string(), Values).default({}),
    cells: z.array(Settings).min(1).max(VALUES_MAX).optional(),
    seeds: z
      .union(
        [z.array(Seed).min(1).max(VALUES_MAX), z.number().int().min(1).max(VALUES_MAX)],
        `must be a list of whole numbers from 0 to ${SEED_MAX}, or how many`,
      )
      .default([1]),
    faces: z.array(z.string()).max(VALUES_MAX).default([]),
    set: Settings.default({}),
    samples: z.number().int().min(1).max(VALUES_MAX).default(8),
    random_seed: Seed.default(1),
    limit: z.number().int().min(1).optional(),
  },
  {
    error: (issue) =>
      issue.code === 'invalid_type'
        ? 'must be lines of `key: value`, as `prompt: …` and `axes: …`'
        : undefined,
  },
);

/** What only the rows of who asks can tell. */
export interface SweepAsker {
  readonly operator: boolean;
  /** @throws {UserError} told beside what is wrong with the YAML itself */
  findFace(name: string): Promise<void>;
}
const ANYBODY: SweepAsker = { operator: true, findFace: async () => {} };

/**
 * @param withinMs of parsing, before it is given up
 * @throws {UserError} `file_large`, `yaml_broken`, `plan_faults` with every fault at once, each with its line
 */
export async function parseSweep(
  text: string,
  asker: SweepAsker = ANYBODY,
  withinMs = PARSE_WITHIN_MS,
): Promise<SweepDefinition> {
  const bytes = Buffer.byteLength(text);
  if (bytes > SWEEP_BYTES_MAX)
    throw new UserError('file_large', { what: 'The YAML', bytes, max: SWEEP_BYTES_MAX });
  const { value, lines } = await parseInThread(text, withinMs);
  const faults = new Faults(lines);
  const { raw, unread } = shapeOf(value, faults);
  const definition = checkSweep(raw, unread, asker.operator, faults);
  for (const [index, name] of raw.faces.entries())
    await faults.attempt(`faces.${index}`, async () => asker.findFace(folderName(name)));
  faults.throwIfAny();
  return definition;
}

/** All that has the right shape. What has not is noted, and left out, so that the rest can be checked as well. */
function shapeOf(
  value: unknown,
  faults: Faults,
): { raw: z.output<typeof Sweep>; unread: ReadonlySet<string> } {
  const whole = Sweep.safeParse(value);
  if (whole.success) return { raw: whole.data, unread: new Set() };
  const unread = new Set<string>();
  const rest = structuredClone(value) as Record<string, Record<string, unknown>>;
  for (const issue of whole.error.issues) {
    faults.issue(issue);
    const [key, inner] = issue.path.map(String);
    if (key === undefined) {
      if (issue.code !== 'unrecognized_keys') throw faults.error();
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

/**
 * What the shape alone does not say: parameters and their ranges, prompts, names, and what does not go together.
 *
 * @param unread keys that are there, and not in `raw`
 */
function checkSweep(
  raw: z.output<typeof Sweep>,
  unread: ReadonlySet<string>,
  operator: boolean,
  faults: Faults,
): SweepDefinition {
  const settings = (path: string, given: ResolvedParameters): ResolvedParameters =>
    Object.fromEntries(
      Object.entries(given).map(([name, value]) => [
        name,
        faults.try(`${path}.${name}`, () => parseVaried(name, value, operator), null),
      ]),
    );

  const named = promptsOf(raw);
  const prompts = [...named.keys()];
  if (raw.prompt !== undefined && raw.prompts) faults.add('prompts', 'Give `prompt` or `prompts`, not both.');
  if (!prompts.length && !unread.has('prompt') && !unread.has('prompts'))
    faults.add('', '`prompt` is missing: say what to draw.');
  for (const [prompt, { path }] of named) faults.try(path, () => checkPrompt(prompt), undefined);

  if (raw.method === 'list' && !raw.cells && !unread.has('cells'))
    faults.add('method', '`method: list` needs `cells`.');
  if (raw.method !== 'list' && raw.cells && !unread.has('method'))
    faults.add('cells', '`cells` goes with `method: list`.');
  if (raw.method === 'list' && Object.keys(raw.axes).length)
    faults.add('axes', '`axes` does not go with `method: list`; use `cells`.');
  const varied = new Set([...Object.keys(raw.axes), ...(raw.cells ?? []).flatMap(Object.keys)]);
  for (const name of Object.keys(raw.set).filter((name) => varied.has(name)))
    faults.add(`set.${name}`, `\`${name}\` is varied and in \`set\`: it can be only one.`);

  const axes = Object.entries(raw.axes).map(([name, given]) => {
    const at = `axes.${name}`;
    const values = faults.try(at, () => spread(name, given), []);
    return {
      name,
      values: distinct(values.map((value) => faults.try(at, () => parseVaried(name, value, operator), null))),
    };
  });
  return {
    name: raw.name,
    method: raw.method,
    prompts,
    promptLabels: [...named.values()].map((one) => one.label),
    axes,
    cells: (raw.cells ?? []).map((cell, index) => settings(`cells.${index}`, cell)),
    seeds: distinct(
      typeof raw.seeds === 'number' ? Array.from({ length: raw.seeds }, (_, i) => i + 1) : raw.seeds,
    ),
    faces: distinct(raw.faces),
    set: settings('set', raw.set),
    samples: raw.samples,
    randomSeed: raw.random_seed,
    limit: raw.limit ?? null,
  };
}

/** What has a key of its own here, or is the same for a whole batch. */
const NOT_VARIED: Readonly<Record<string, string>> = {
  seed: 'use `seeds`.',
  tier: 'it is the same for the whole sweep: use `/set`.',
  production_mode: 'it is the same for the whole sweep: use `/set`.',
};

/** @throws {UserError} as `parseParameter`, and `parameter_operators` @throws {AxisFault} */
function parseVaried(name: string, value: ParameterJson, operator: boolean): ParameterJson {
  if (Object.hasOwn(NOT_VARIED, name)) throw new AxisFault(name, `can't be varied here; ${NOT_VARIED[name]}`);
  const parsed = parseParameter(name, value);
  if (parameters.get(name)?.operators && !operator) throw new UserError('parameter_operators', { name });
  return parsed;
}

/** `[10, 20, 30]`, `"10, 20, .., 30"` and `{ from: 10, to: 30, step: 10 }` are the same. */
function spread(name: string, given: z.output<typeof Values>): readonly ParameterJson[] {
  if (Array.isArray(given)) return given;
  if (given !== null && typeof given === 'object') return stepped(name, given.from, given.to, given.step);
  // A comma in a negative prompt is a comma.
  if (typeof given !== 'string' || parameters.get(name)?.type === 'text') return [given];
  const parts = given.split(',').map((part) => part.trim());
  const dots = parts.findIndex((part) => part === '..' || part === '...');
  if (dots < 0) {
    if (parts.length > VALUES_MAX) throw tooMany(name, parts.length);
    return parts;
  }
  const [from, second, to] = [dots - 2, dots - 1, dots + 1].map((at) => Number(parts[at] || Number.NaN));
  if (dots !== parts.length - 2 || ![from, second, to].every(Number.isFinite))
    throw new AxisFault(name, 'is not a range that I can read: write it as `0.2, 0.4, .., 0.8`.');
  return [...parts.slice(0, dots - 2), ...stepped(name, from!, to!, second! - from!)];
}

function stepped(name: string, from: number, to: number, step: number): number[] {
  // A hair more than the quotient: (0.8 − 0.2) ÷ 0.2 is 2.9999999999999996.
  const count = Math.floor((to - from) / step + 1e-9) + 1;
  if (!Number.isFinite(count) || count < 1)
    throw new AxisFault(name, 'is a range that never gets from its start to its end.');
  if (count > VALUES_MAX) throw tooMany(name, count);
  // Twelve digits: 0.1 + 2 × 0.1 is to be 0.3.
  return Array.from({ length: count }, (_, i) => Number((from + i * step).toPrecision(12)));
}

function tooMany(name: string, count: number): AxisFault {
  return new AxisFault(name, `has ${count.toLocaleString('en')} values, and ${VALUES_MAX} is the most.`);
}

/** How many pictures are meant, `limit` apart. Counts, and makes none. */
export function countCells(definition: SweepDefinition): bigint {
  const { method, axes, prompts, seeds, faces, cells, samples } = definition;
  const around = BigInt(prompts.length) * BigInt(seeds.length) * BigInt(Math.max(1, faces.length));
  if (method === 'list') return BigInt(cells.length) * around;
  const combinations = axes.reduce((product, { values }) => product * BigInt(values.length), 1n);
  const drawn = method === 'random' && BigInt(samples) < combinations ? BigInt(samples) : combinations;
  return drawn * around;
}

/**
 * The cells, first axis slowest; then faces, prompts, and seeds fastest. A `limit` of the person's own cuts them off; the
 * limit for everybody refuses them, so that nobody is surprised by half a sweep.
 *
 * @throws {UserError} `batch_limit` when there are more than anyone may ask for, before any is made
 */
export function expandSweep(definition: SweepDefinition): SweepCell[] {
  const { limit } = definition;
  const count = countCells(definition);
  if (count > limits.batch && (limit === null || limit > limits.batch))
    throw new UserError('batch_limit', { pictures: count, max: limits.batch });
  return cellsOf(definition)
    .take(limit ?? limits.batch)
    .toArray();
}

function* cellsOf(definition: SweepDefinition): Generator<SweepCell, undefined> {
  const { method, faces, prompts, promptLabels, seeds, set } = definition;
  let combinationIndex = 0;
  for (const combination of combinationsOf(definition)) {
    combinationIndex++;
    const labels = Object.entries(combination).map(
      ([name, value]) => [name, showValue(name, value)] as const,
    );
    // Samples and listed cells fill no grid: each is a place of its own.
    const place =
      method === 'grid'
        ? Object.fromEntries(labels)
        : {
            [method === 'random' ? 'sample' : 'cell']: label(
              combinationIndex,
              labels.map(([name, shown]) => `${name} ${shown}`).join(', '),
            ),
          };
    for (const faceName of faces.length ? faces : [null]) {
      for (const [promptIndex, prompt] of prompts.entries()) {
        for (const seed of seeds) {
          yield {
            coordinates: {
              ...place,
              ...(faces.length > 1 && faceName && { face: faceName }),
              ...(prompts.length > 1 && { prompt: promptLabels[promptIndex] ?? '' }),
              ...(seeds.length > 1 && { seed: String(seed) }),
            },
            parameters: { ...set, ...combination },
            prompt,
            seed,
            faceName,
          };
        }
      }
    }
  }
}

function* combinationsOf(definition: SweepDefinition): Generator<ResolvedParameters, undefined> {
  const { method, axes, cells, samples, randomSeed } = definition;
  if (method === 'list') {
    yield* cells;
    return;
  }
  const combinations = axes.reduce((product, { values }) => product * values.length, 1);
  if (method === 'random' && samples < combinations) {
    const random = mulberry32(randomSeed);
    const drawn = new Set<string>();
    while (drawn.size < samples) {
      // Each axis by itself: one random number has too few bits to point into 10¹² combinations.
      const places = axes.map(({ values }) => Math.floor(random() * values.length));
      if (drawn.has(String(places))) continue;
      drawn.add(String(places));
      yield Object.fromEntries(axes.map(({ name, values }, i) => [name, values[places[i]!]!]));
    }
    return;
  }
  yield* product(axes);
}

/** Every combination, the first axis slowest. */
function* product(axes: SweepDefinition['axes']): Generator<ResolvedParameters, undefined> {
  const [first, ...others] = axes;
  if (!first) {
    yield {};
    return;
  }
  for (const value of first.values) {
    for (const rest of product(others)) yield { [first.name]: value, ...rest };
  }
}

/** Width over height that a contact sheet should have: a card in Discord is wider than high. */
const SHEET_ASPECT = 1.2;
/** of most pictures */
const CELL_ASPECT = 0.8;

/**
 * How a contact sheet lays cells out: some of the axes make the columns, the others the rows, faster ones inside slower
 * ones; which is decided by the sheet's shape, as a strip of 2 × 20 cells can't be read. Takes the stored coordinates of
 * a batch in its order, so that a sheet needs no YAML.
 *
 * Postgres forgets the order of keys (jsonb sorts them), so the order of the axes is read off the cells: the sooner an
 * axis leaves its first label, the faster it is.
 */
export function sheetAxes(coordinates: readonly Readonly<Record<string, string>>[]): {
  rows: Axis[];
  columns: Axis[];
} {
  const found = new Map<string, { labels: Set<string>; leaves: number }>();
  for (const [index, cell] of coordinates.entries()) {
    for (const [name, label] of Object.entries(cell)) {
      const axis = found.get(name) ?? { labels: new Set(), leaves: 0 };
      found.set(name, axis);
      axis.labels.add(label);
      if (axis.labels.size === 2 && !axis.leaves) axis.leaves = index;
    }
  }
  const axes = [...found]
    .filter(([, { labels }]) => labels.size > 1)
    .sort(([, a], [, b]) => b.leaves - a.leaves)
    .map(([name, { labels }]) => ({ name, labels: [...labels] }));
  const count = (some: readonly Axis[]) => some.reduce((product, { labels }) => product * labels.length, 1);
  const layouts = [
    ...axes.map((_, at) => ({ rows: axes.slice(0, at), columns: axes.slice(at) })),
    ...axes.map((_, at) => ({ rows: axes.slice(at + 1), columns: axes.slice(0, at + 1) })),
  ];
  const strain = ({ rows, columns }: (typeof layouts)[number]) =>
    Math.abs(Math.log((count(columns) * CELL_ASPECT) / count(rows) / SHEET_ASPECT));
  // Of equally good ones the first: sorting keeps the order of equals.
  return layouts.sort((a, b) => strain(a) - strain(b))[0] ?? { rows: [], columns: [] };
}

/** Tommy Ettinger's mulberry32: a small generator of 0…1, the same for the same seed. */
function mulberry32(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
}

/** The number keeps labels apart that begin alike. */
function label(number: number, text: string): string {
  const letters = [...`${number}: ${text}`];
  if (letters.length <= LABEL_LENGTH) return letters.join('');
  return `${letters
    .slice(0, LABEL_LENGTH - 1)
    .join('')
    .trimEnd()}…`;
}

/** prompt → its label, and where it stands in the YAML. A prompt that is there twice counts once. */
function promptsOf({
  prompt,
  prompts = prompt === undefined ? [] : [prompt],
}: z.output<typeof Sweep>): Map<string, { label: string; path: string }> {
  const found = new Map<string, { label: string; path: string }>();
  const put = (text: string, label: string, path: string) => {
    if (!found.has(text)) found.set(text, { label, path });
  };
  if (Array.isArray(prompts))
    for (const [i, text] of prompts.entries())
      put(text, label(found.size + 1, text), prompt === undefined ? `prompts.${i}` : 'prompt');
  else for (const [name, text] of Object.entries(prompts)) put(text, name.trim(), `prompts.${name}`);
  return found;
}

function distinct<T>(values: readonly T[]): T[] {
  return [...new Set(values)];
}

type Lines = ReadonlyMap<string, number>;

/** @throws {UserError} `yaml_broken`, also when it takes too long or too much memory; `busy` when no thread starts */
async function parseInThread(text: string, withinMs: number): Promise<{ value: unknown; lines: Lines }> {
  const thread = new Worker(new URL('./parse-thread.ts', import.meta.url), {
    resourceLimits: { maxOldGenerationSizeMb: THREAD_HEAP_MIB },
  });
  const tooMuch = new UserError('yaml_broken', {
    line: 1,
    column: 1,
    reason: 'it takes too long to read. Use fewer keys and lists.',
  });
  let timer: NodeJS.Timeout | undefined;
  const within = (ms: number, error: UserError) => {
    clearTimeout(timer);
    return new Promise<never>((_, reject) => {
      timer = setTimeout(reject, ms, error);
    });
  };
  const answer = () =>
    new Promise<unknown>((resolve, reject) => {
      thread.once('message', resolve);
      thread.once('error', (error: NodeJS.ErrnoException) =>
        reject(error.code === 'ERR_WORKER_OUT_OF_MEMORY' ? tooMuch : error),
      );
    });
  try {
    const busy = new UserError('busy', { what: 'The thread that reads YAML' });
    await Promise.race([answer(), within(START_WITHIN_MS, busy)]);
    const parsing = answer();
    thread.postMessage(text);
    // The thread is our own file: its answer needs no check.
    const parsed = (await Promise.race([parsing, within(withinMs, tooMuch)])) as Parsed;
    if ('reason' in parsed) throw new UserError('yaml_broken', parsed);
    return parsed;
  } finally {
    clearTimeout(timer);
    await thread.terminate();
  }
}

/** A fault of one axis or setting. Its message is a sentence that is told beside others. */
class AxisFault extends Error {
  constructor(name: string, says: string) {
    super(`\`${name}\` ${says}`);
  }
}

/** What is wrong with a sweep, one sentence a fault, to be told all at once. */
class Faults {
  readonly #lines: Lines;
  readonly #found = new Set<string>();

  constructor(lines: Lines) {
    this.#lines = lines;
  }

  add(path: string, says: string): void {
    this.#found.add(`${lineOf(path, this.#lines)}${says}`);
  }

  /** What zod found. */
  issue(issue: z.core.$ZodIssue): void {
    const path = issue.path.join('.');
    if (issue.code !== 'unrecognized_keys') {
      this.add(path, `${path ? quote(path) : 'A sweep'}: ${issue.message}.`);
      return;
    }
    const known = (path ? ['from', 'to', 'step'] : Object.keys(Sweep.shape)).map((key) => `\`${key}\``);
    for (const key of issue.keys) {
      const says = `${quote(key)} is not known here. There are ${known.join(', ')}.`;
      this.add(path ? `${path}.${key}` : key, says);
    }
  }

  /** `otherwise` where `work` throws what is told to people, and where more is wrong than would be told. */
  try<T>(path: string, work: () => T, otherwise: T): T {
    if (this.#found.size >= FAULTS_MAX) return otherwise;
    try {
      return work();
    } catch (error) {
      this.#note(path, error);
      return otherwise;
    }
  }

  async attempt(path: string, work: () => Promise<void>): Promise<void> {
    if (this.#found.size >= FAULTS_MAX) return;
    await work().catch((error: unknown) => this.#note(path, error));
  }

  #note(path: string, error: unknown): void {
    if (error instanceof AxisFault) this.add(path, error.message);
    else if (error instanceof UserError) this.add(path, error.userMessage);
    else throw error;
  }

  error(): UserError {
    const faults = [...this.#found];
    const more = faults.length - FAULTS_MAX;
    if (more > 0) faults.splice(FAULTS_MAX, more, `… and ${more} more.`);
    return new UserError('plan_faults', { faults });
  }

  throwIfAny(): void {
    if (this.#found.size) throw this.error();
  }
}

/** `Line 7: `, of the deepest part of a path that has a line. */
function lineOf(path: string, lines: Lines): string {
  for (let at = path; at; at = at.slice(0, Math.max(0, at.lastIndexOf('.')))) {
    const line = lines.get(at);
    if (line !== undefined) return `Line ${line}: `;
  }
  return '';
}
