/**
 * A sweep: YAML in, cells out.
 *
 * ```yaml
 * name: strength against steps
 * prompts: [portrait of a woman in a garden, portrait of a man by the sea]   # or `prompt: …`
 * method: grid                    # every combination; `random` draws `samples` of them; `list` takes `cells`
 * axes:                           # any parameter but seed, tier and production_mode
 *   detail_strength: 0.2, 0.4, .., 0.8
 *   steps: { from: 10, to: 30, step: 10 }
 *   scheduler: [ddim, euler]
 * seeds: [1, 2]                   # or how many
 * faces: [ada]                    # face folders
 * set: { guidance_scale: 6 }      # the same in every cell
 * limit: 50                       # no more than these pictures
 * ```
 *
 * People paste this, so it is parsed in a thread with a deadline: known files of a few KiB keep a YAML parser busy for
 * seconds. Cells are counted before they are made: a line of YAML can ask for 10¹².
 */
import { Worker } from 'node:worker_threads';
import { z } from 'zod';
import type { ParameterJson } from '#config/parameters.ts';
import { parameters } from '#config/parameters.ts';
import { limits } from '#config/tiers.ts';
import type { ResolvedParameters } from './batches.ts';
import { UserError } from './errors.ts';
import { parseParameter, showValue } from './parameters.ts';

export const SWEEP_BYTES_MAX = 64 * 1024;
const PARSE_WITHIN_MS = 2_000;
/** Values of one axis: more would not be readable on a sheet, and make no cell cheaper. */
const VALUES_MAX = 200;
const FAULTS_MAX = 12;
/** What has a key or a rule of its own. */
const NOT_AXES = new Set(['seed', 'tier', 'production_mode', 'negative_prompt']);

export interface Axis {
  readonly name: string;
  readonly labels: readonly string[];
}

export interface SweepDefinition {
  readonly name: string;
  readonly method: 'grid' | 'random' | 'list';
  readonly prompts: readonly string[];
  readonly axes: readonly { readonly name: string; readonly values: readonly ParameterJson[] }[];
  readonly cells: readonly ResolvedParameters[];
  readonly seeds: readonly number[];
  readonly faces: readonly string[];
  readonly set: ResolvedParameters;
  readonly samples: number;
  readonly randomSeed: number;
  readonly limit: number;
}

export interface SweepCell {
  /** axis → label, of every axis with more than one value */
  readonly coordinates: Record<string, string>;
  readonly parameters: ResolvedParameters;
  readonly prompt: string;
  readonly seed: number;
  readonly faceName: string | null;
}

const Value = z.union([z.string(), z.number(), z.boolean(), z.null()]);
const Range = z.strictObject({ from: z.number(), to: z.number(), step: z.number() });
const Values = z.union([z.array(Value).min(1), Range, z.string(), z.number(), z.boolean()]);
const Sweep = z.strictObject({
  name: z.string().max(80).default('Sweep'),
  method: z.enum(['grid', 'random', 'list']).default('grid'),
  prompt: z.string().optional(),
  prompts: z.array(z.string()).min(1).max(VALUES_MAX).optional(),
  axes: z.record(z.string(), Values).default({}),
  cells: z.array(z.record(z.string(), Value)).min(1).max(2_000).optional(),
  seeds: z
    .union([
      z
        .array(
          z
            .number()
            .int()
            .min(0)
            .max(2 ** 32 - 1),
        )
        .min(1)
        .max(VALUES_MAX),
      z.number().int().min(1).max(VALUES_MAX),
    ])
    .default([1]),
  faces: z.array(z.string()).max(50).default([]),
  set: z.record(z.string(), Value).default({}),
  samples: z.number().int().min(1).max(10_000).default(8),
  random_seed: z.number().int().min(0).default(1),
  limit: z.number().int().min(1).optional(),
});

/** @throws {UserError} `file_large`, `yaml_broken`, `plan_faults` with every fault at once */
export async function parseSweep(text: string): Promise<SweepDefinition> {
  const bytes = Buffer.byteLength(text);
  if (bytes > SWEEP_BYTES_MAX)
    throw new UserError('file_large', { what: 'The YAML', bytes, max: SWEEP_BYTES_MAX });
  const parsed = Sweep.safeParse(await parseInThread(text));
  if (!parsed.success)
    throw new UserError('plan_faults', { faults: parsed.error.issues.map(sentence).slice(0, FAULTS_MAX) });

  const raw = parsed.data;
  const faults: string[] = [];
  const attempt = <T>(work: () => T, otherwise: T): T => {
    try {
      return work();
    } catch (error) {
      if (!(error instanceof UserError)) throw error;
      if (!faults.includes(error.userMessage)) faults.push(error.userMessage);
      return otherwise;
    }
  };

  const prompts = raw.prompts ?? (raw.prompt === undefined ? [] : [raw.prompt]);
  if (raw.prompt !== undefined && raw.prompts) faults.push('Give `prompt` or `prompts`, not both.');
  if (!prompts.length) faults.push('`prompt` is missing: say what to draw.');
  if (prompts.some((prompt) => !prompt.trim())) faults.push('A prompt is empty.');
  if (raw.method === 'list' && !raw.cells) faults.push('`method: list` needs `cells`.');
  if (raw.method !== 'list' && raw.cells) faults.push('`cells` goes with `method: list`.');
  if (raw.method === 'list' && Object.keys(raw.axes).length)
    faults.push('`axes` does not go with `method: list`.');

  const checked = (values: ResolvedParameters) =>
    Object.fromEntries(
      Object.entries(values).map(([name, value]) => [name, attempt(() => parseAxisValue(name, value), null)]),
    );
  const axes = Object.entries(raw.axes).map(([name, given]) => ({
    name,
    values: attempt(() => spread(name, given), []).map((value) =>
      attempt(() => parseAxisValue(name, value), null),
    ),
  }));
  const definition: SweepDefinition = {
    name: raw.name,
    method: raw.method,
    prompts,
    axes,
    cells: (raw.cells ?? []).map(checked),
    seeds: typeof raw.seeds === 'number' ? Array.from({ length: raw.seeds }, (_, i) => i + 1) : raw.seeds,
    faces: raw.faces,
    set: checked(raw.set),
    samples: raw.samples,
    randomSeed: raw.random_seed,
    limit: raw.limit ?? limits.batch,
  };
  if (faults.length) throw new UserError('plan_faults', { faults: faults.slice(0, FAULTS_MAX) });
  return definition;
}

function parseAxisValue(name: string, value: ParameterJson): ParameterJson {
  if (parameters.has(name) && NOT_AXES.has(name) && name !== 'negative_prompt') {
    const instead = name === 'seed' ? 'use `seeds`' : 'it is the same for the whole sweep: use `/set`';
    throw new UserError('plan_faults', { faults: [`\`${name}\` can't be varied here; ${instead}.`] });
  }
  return parseParameter(name, value);
}

/** `[1, 2]`, `"0.2, 0.4, .., 0.8"` and `{from, to, step}` are the same. */
function spread(name: string, given: z.output<typeof Values>): ParameterJson[] {
  const fault = (says: string) => new UserError('plan_faults', { faults: [`\`${name}\`: ${says}`] });
  const stepped = (from: number, to: number, step: number): number[] => {
    const count = Math.floor((to - from) / step + 1e-9) + 1;
    if (!Number.isFinite(count) || count < 1) throw fault('the range never gets from its start to its end.');
    if (count > VALUES_MAX)
      throw fault(`the range has ${count.toLocaleString('en')} values, and ${VALUES_MAX} is the most.`);
    // Twelve digits: 0.1 + 0.2 is to be 0.3.
    return Array.from({ length: count }, (_, i) => Number((from + i * step).toPrecision(12)));
  };
  if (Array.isArray(given)) {
    if (given.length > VALUES_MAX) throw fault(`${given.length} values, and ${VALUES_MAX} is the most.`);
    return given;
  }
  if (typeof given === 'object') return stepped(given.from, given.to, given.step);
  if (typeof given !== 'string') return [given];
  const parts = given.split(',').map((part) => part.trim());
  const dots = parts.findIndex((part) => part === '..' || part === '...');
  if (dots < 0) return parts;
  const [from, second, to] = [parts[dots - 2], parts[dots - 1], parts[dots + 1]].map(Number);
  if (from === undefined || second === undefined || to === undefined || dots < 2) {
    throw fault('write a range as `0.2, 0.4, .., 0.8`.');
  }
  return [...parts.slice(0, dots - 2), ...stepped(from, to, second - from), ...parts.slice(dots + 2)];
}

/** How many cells there are without `limit`, without making them. */
export function countCells(definition: SweepDefinition): bigint {
  const { method, axes, prompts, seeds, faces, cells, samples } = definition;
  const around = BigInt(prompts.length) * BigInt(seeds.length) * BigInt(Math.max(1, faces.length));
  if (method === 'list') return BigInt(cells.length) * around;
  const combinations = axes.reduce((product, { values }) => product * BigInt(values.length), 1n);
  const drawn = method === 'random' && BigInt(samples) < combinations ? BigInt(samples) : combinations;
  return drawn * around;
}

/**
 * The cells, first axis slowest, seeds fastest.
 *
 * @throws {UserError} `batch_limit` when there are more than `limit`, or than anyone may ask for
 */
export function expandSweep(definition: SweepDefinition): SweepCell[] {
  const { faces, prompts, seeds, set, limit } = definition;
  const count = countCells(definition);
  const most = Math.min(limit, limits.batch);
  // `limit` cuts a grid on purpose; the limit for everybody refuses it, so that nobody is surprised by half a sweep.
  if (count > BigInt(limits.batch) && limit >= limits.batch) {
    throw new UserError('batch_limit', { pictures: count, max: limits.batch });
  }
  const cells: SweepCell[] = [];
  for (const combination of combinationsOf(definition)) {
    for (const faceName of faces.length ? faces : [null]) {
      for (const [promptIndex, prompt] of prompts.entries()) {
        for (const seed of seeds) {
          if (cells.length >= most) return cells;
          cells.push({
            coordinates: {
              ...Object.fromEntries(
                Object.entries(combination).map(([name, value]) => [name, showValue(name, value)]),
              ),
              ...(faces.length > 1 && faceName && { face: faceName }),
              ...(prompts.length > 1 && { prompt: `${promptIndex + 1}: ${prompt}`.slice(0, 60) }),
              ...(seeds.length > 1 && { seed: String(seed) }),
            },
            parameters: { ...set, ...combination },
            prompt,
            seed,
            faceName,
          });
        }
      }
    }
  }
  return cells;
}

function* combinationsOf({
  method,
  axes,
  cells,
  samples,
  randomSeed,
}: SweepDefinition): Generator<ResolvedParameters> {
  if (method === 'list') return yield* cells;
  const total = axes.reduce((product, { values }) => product * values.length, 1);
  const at = (index: number): ResolvedParameters => {
    const combination: ResolvedParameters = {};
    let rest = index;
    for (const { name, values } of [...axes].reverse()) {
      combination[name] = values[rest % values.length] ?? null;
      rest = Math.floor(rest / values.length);
    }
    // Back in the order of the YAML.
    return Object.fromEntries(axes.map(({ name }) => [name, combination[name] ?? null]));
  };
  if (method === 'grid' || samples >= total) {
    for (let index = 0; index < total; index++) yield at(index);
    return;
  }
  const random = mulberry32(randomSeed);
  const chosen = new Set<number>();
  while (chosen.size < samples) chosen.add(Math.floor(random() * total));
  for (const index of chosen) yield at(index);
}

/**
 * How a contact sheet lays cells out: the last axis with several values makes the columns, all others the rows.
 * Works on stored coordinates, so that a sheet needs no YAML.
 */
export function sheetAxes(coordinates: readonly Readonly<Record<string, string>>[]): {
  rows: Axis[];
  columns: Axis[];
} {
  const values = new Map<string, Set<string>>();
  for (const cell of coordinates) {
    for (const [name, label] of Object.entries(cell))
      values.set(name, (values.get(name) ?? new Set()).add(label));
  }
  const axes = [...values]
    .filter(([, labels]) => labels.size > 1)
    .map(([name, labels]) => ({ name, labels: [...labels] }));
  const columns = axes.splice(-1);
  return { rows: axes, columns };
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

const Parsed = z.union([
  z.object({ value: z.unknown() }),
  z.object({ line: z.number(), column: z.number(), reason: z.string() }),
]);

async function parseInThread(text: string): Promise<unknown> {
  const thread = new Worker(new URL('./sweep-parser.ts', import.meta.url), { workerData: text });
  let timer: NodeJS.Timeout | undefined;
  try {
    const answer = await new Promise<unknown>((resolve, reject) => {
      thread.once('message', resolve);
      thread.once('error', reject);
      const late = { line: 1, column: 1, reason: 'it takes too long to read. Use fewer keys.' };
      timer = setTimeout(() => resolve(late), PARSE_WITHIN_MS);
    });
    const parsed = Parsed.parse(answer);
    if ('reason' in parsed) throw new UserError('yaml_broken', parsed);
    return parsed.value;
  } finally {
    clearTimeout(timer);
    await thread.terminate();
  }
}

function sentence(issue: z.core.$ZodIssue): string {
  const where = issue.path.length ? `\`${issue.path.join('.')}\`` : 'The YAML';
  if (issue.code === 'unrecognized_keys') {
    const known = Object.keys(Sweep.shape).map((key) => `\`${key}\``);
    return `${issue.keys.map((key) => `\`${key.slice(0, 40)}\``).join(', ')} is not known here. There are ${known.join(', ')}.`;
  }
  return `${where}: ${issue.message}`;
}
