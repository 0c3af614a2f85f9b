/**
 * `npm run cost`: what a month on AWS costs, by service and by tier of GPUs, from prices.yaml and from what is planned; or with `--ran`
 * what has been drawn, from rows.
 *
 *   npm run cost -- --pictures 300000 --seconds 8 --busy 0.7 --spot 0.8 --gallery 500
 *   npm run cost -- --ran --from 2026-11-01 --to 2026-12-01
 */
import { parseArgs } from 'node:util';
import { z } from 'zod';
import { bundles } from '#config/bundles.ts';
import { loadYaml } from '#config/load.ts';
import { print } from '../local/print.ts';
import { type GpuTier, gpuTiers } from './gpu-tiers.ts';

const USAGE = `Usage: npm run cost -- [options]
  --pictures N   a month              --seconds N   a picture takes of a GPU
  --busy N       0…1: share of the time that GPUs draw while they run
  --spot N       0…1: of the hours beyond the first worker's, those on spot; by the tiers' weights when left out
  --gallery N    GB a month that the gallery shows
  --measured     pictures, seconds and bytes as in the last 30 days, from rows
  --ran          what was drawn: --from DAY --to DAY (2026-11-01), the last 30 days when left out`;

const money = z.number().min(0);
const share = z.number().gt(0).max(1);
const names = ['g6', 'g5', 'g4dn'] as const satisfies readonly GpuTier['name'][];

/** What prices.yaml must be. */
export const Prices = z.strictObject({
  hours: z.number().positive(),
  gpus: z.strictObject(
    Object.fromEntries(
      names.map((name) => [name, z.strictObject({ price: money, onDemand: money })]),
    ) as Record<GpuTier['name'], z.ZodObject<{ price: z.ZodNumber; onDemand: z.ZodNumber }, z.core.$strict>>,
  ),
  others: z.record(z.string(), money),
  services: z.record(z.string(), z.strictObject({ price: money, tasks: z.number().min(0) })),
  light: z.strictObject({ price: money, count: z.number().int().min(0) }),
  shared: z.record(z.string(), z.strictObject({ price: money, count: z.number().int().min(0) })),
  storage: z.strictObject({ gbMonth: money, postgresGbMonth: money, postgresGb: money }),
  traffic: z.strictObject({ gb: money, natGb: money }),
  plan: z.strictObject({
    pictures: z.number().int().min(0),
    megabytes: z.number().positive(),
    months: z.number().positive(),
    galleryGb: money,
    busy: share,
  }),
});
export type Prices = z.output<typeof Prices>;

export interface Plan {
  /** a month */
  readonly pictures: number;
  /** GPU seconds of one */
  readonly seconds: number;
  readonly megabytes: number;
  readonly months: number;
  readonly galleryGb: number;
  /** 0…1 */
  readonly busy: number;
  /** 0…1 of the hours beyond those that are always there; null: by weights */
  readonly spot: number | null;
}

export interface Line {
  readonly what: string;
  /** h, GB or whatever is paid for */
  readonly amount: number;
  readonly unit: string;
  /** dollars */
  readonly each: number;
  readonly dollars: number;
}

/** Hours of each tier: the first worker's all month, and the rest of what is needed by weight, or by a share of spot. */
export function gpuHours({ hours }: Prices, plan: Plan): ReadonlyMap<GpuTier['name'], number> {
  const always = new Map(gpuTiers.map(({ name, base }) => [name, base * hours]));
  const needed = (plan.pictures * plan.seconds) / 3_600 / plan.busy;
  const rest = Math.max(0, needed - sum(always.values()));
  const weightOf = (tiers: readonly GpuTier[]) => sum(tiers.map(({ weight }) => weight));
  return new Map(
    gpuTiers.map((tier) => {
      const alike = plan.spot === null ? gpuTiers : gpuTiers.filter(({ spot }) => spot === tier.spot);
      const part = plan.spot === null ? 1 : tier.spot ? plan.spot : 1 - plan.spot;
      return [tier.name, always.get(tier.name)! + (rest * part * tier.weight) / weightOf(alike)];
    }),
  );
}

export interface Month {
  /** the workers, tier by tier */
  readonly gpus: readonly Line[];
  readonly services: readonly Line[];
  readonly shared: readonly Line[];
  /** dollars, all of it */
  readonly total: number;
  /** dollars of GPUs, were it otherwise */
  readonly instead: readonly { readonly what: string; readonly dollars: number }[];
}

/** What so many hours cost of all that is there whatever is drawn; with what nobody uses of the instances that services run on. */
function alwaysThere({ services: each, shared, light }: Prices, hours: number) {
  const counted = (name: string, count: number, price: number) =>
    line(count === 1 ? name : `${name} × ${count}`, count * hours, 'h', price);
  const services = Object.entries(each).map(([name, { price, tasks }]) => counted(name, tasks, price));
  const room = Math.max(0, light.count * light.price - dollarsOf(services) / hours);
  return {
    services,
    fixed: [
      line(`room left on ${light.count} light instances`, hours, 'h', room),
      ...Object.entries(shared).map(([name, { price, count }]) => counted(name, count, price)),
    ],
  };
}

export function monthOf(prices: Prices, plan: Plan): Month {
  const hoursOf = gpuHours(prices, plan);
  const gpus = gpuTiers.map(({ name, type, spot }) =>
    line(`worker ${type} ${spot ? 'spot' : 'on demand'}`, hoursOf.get(name)!, 'h', prices.gpus[name].price),
  );
  const { services, fixed } = alwaysThere(prices, prices.hours);
  const { storage, traffic } = prices;
  // GB as AWS counts them for money.
  const drawnGb = (plan.pictures * plan.megabytes) / 1_000;
  const shared = [
    ...fixed,
    line('pictures kept', drawnGb * plan.months, 'GB', storage.gbMonth),
    line('rows kept', storage.postgresGb, 'GB', storage.postgresGbMonth),
    line('to Discord', drawnGb, 'GB', traffic.gb + traffic.natGb),
    line('to the gallery’s visitors', plan.galleryGb, 'GB', traffic.gb),
  ];
  const all = sum(hoursOf.values());
  const instead = [
    {
      what: 'the same instances, all on demand',
      dollars: sum(gpuTiers.map(({ name }) => hoursOf.get(name)! * prices.gpus[name].onDemand)),
    },
    ...[['g6.xlarge', prices.gpus.g6.onDemand] as const, ...Object.entries(prices.others)].map(
      ([type, each]) => ({
        what: `as many hours of ${type} on demand`,
        dollars: all * each,
      }),
    ),
  ];
  return { gpus, services, shared, total: dollarsOf([...gpus, ...services, ...shared]), instead };
}

/** An hour of a GPU, as the tiers' weights mix them. Dollars */
export function hourOfGpu(prices: Prices): number {
  return (
    sum(gpuTiers.map(({ name, weight }) => weight * prices.gpus[name].price)) /
    sum(gpuTiers.map(({ weight }) => weight))
  );
}

/** What was drawn in one tier of config/tiers.yaml. */
export interface Ran {
  readonly tier: string;
  readonly drawn: number;
  /** of an equal one, without a GPU */
  readonly copied: number;
  /** failed or cancelled */
  readonly undrawn: number;
  /** s, in which a worker had them in hand, and nothing that it began earlier */
  readonly seconds: number;
  readonly megabytes: number;
}

/**
 * One statement, by the index of what ended. A worker has several pictures in hand at once: time counts once, for the one that it began
 * first, so the sum is the time that workers drew.
 */
export async function readRan(from: Date, to: Date): Promise<Ran[]> {
  const { ask, Prisma } = await import('#src/doors/db.ts');
  return ask<Ran>(Prisma.sql`
    WITH ran AS (
      SELECT id, tier, state, reused, "workerId", "endedAt" AS until, greatest("startedAt", ${from}) AS since
      FROM "Generation" WHERE "endedAt" >= ${from} AND "endedAt" < ${to}
    ), shared AS (
      SELECT *, CASE WHEN "workerId" IS NULL OR since IS NULL THEN 0 ELSE greatest(0, extract(epoch FROM until - greatest(since,
        max(until) OVER (PARTITION BY "workerId" ORDER BY since, until, id ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING)))) END
        AS seconds
      FROM ran
    )
    SELECT s.tier, count(*) FILTER (WHERE s.state = 'done' AND NOT s.reused)::int AS drawn,
      count(*) FILTER (WHERE s.state = 'done' AND s.reused)::int AS copied,
      count(*) FILTER (WHERE s.state <> 'done')::int AS undrawn,
      sum(s.seconds)::float8 AS seconds, (coalesce(sum(i.bytes), 0) / 1e6)::float8 AS megabytes
    FROM shared s LEFT JOIN "Image" i ON i."generationId" = s.id GROUP BY s.tier ORDER BY s.tier`);
}

const sum = (numbers: Iterable<number>) => [...numbers].reduce((all, one) => all + one, 0);
const dollarsOf = (lines: readonly Line[]) => sum(lines.map(({ dollars }) => dollars));

function line(what: string, amount: number, unit: string, each: number): Line {
  return { what, amount, unit, each, dollars: amount * each };
}

// Printing

const number = (value: number, digits = 0) =>
  value.toLocaleString('en-US', { minimumFractionDigits: digits, maximumFractionDigits: digits });
const dollars = (value: number) => `$${number(value, 2)}`;
const percent = (value: number) => `${number(value * 100, 1)} %`;

function table(rows: readonly (readonly string[])[]): string[] {
  const widths = rows.reduce<number[]>(
    (all, row) => row.map((cell, column) => Math.max(all[column] ?? 0, cell.length)),
    [],
  );
  return rows.map((row) =>
    row
      .map((cell, column) => (column === 0 ? cell.padEnd(widths[column]!) : cell.padStart(widths[column]!)))
      .join('  '),
  );
}

const rowsOf = (lines: readonly Line[]) =>
  lines.map(({ what, amount, unit, each, dollars: paid }) => [
    what,
    `${number(amount)} ${unit}`,
    `$${Number(each.toFixed(4))}`,
    dollars(paid),
  ]);

/** Lines of a month, for a person. @param source where the seconds are from */
export function tell(prices: Prices, plan: Plan, source: string): string[] {
  const { gpus, services, shared, total, instead } = monthOf(prices, plan);
  const drawing = dollarsOf(gpus);
  const [same, ...others] = instead.map(({ what, dollars: paid }) => ({
    what,
    paid,
    saved: paid > 0 ? 1 - drawing / paid : 0,
  }));
  return [
    `A month of ${number(plan.pictures)} pictures, ${plan.seconds} s of a GPU each (${source}), GPUs busy ${percent(plan.busy)} of the time`,
    '',
    ...table([
      ...rowsOf([...gpus, ...services, ...shared]),
      ['all', '', '', dollars(total)],
      ['a picture', '', '', plan.pictures ? `$${number(total / plan.pictures, 4)}` : '–'],
    ]),
    '',
    `GPUs alone are ${dollars(drawing)}, and would be`,
    ...table(
      [same!, ...others].map(({ what, paid, saved }) => [
        what,
        dollars(paid),
        saved >= 0 ? `${percent(saved)} saved` : `${percent(-saved)} more now`,
      ]),
    ),
    '',
    ...aboutSaving(prices),
  ];
}

/** What of the 75 % that are told of such a fleet these prices give. */
function aboutSaving({ gpus: { g6, g5, g4dn } }: Prices): string[] {
  const saves = (paid: number, instead: number) => percent(1 - paid / instead);
  return [
    `An hour on spot saves ${saves(g5.price, g5.onDemand)} of the same on demand for g5, ${saves(g4dn.price, g4dn.onDemand)} for g4dn.`,
    `"About 75 %" is g4dn on spot beside g6 on demand: ${saves(g4dn.price, g6.onDemand)}. A fleet with a g6 that is always there saves less.`,
  ];
}

/** Lines of what ran, for a person. */
export function tellRan(prices: Prices, ran: readonly Ran[], from: Date, to: Date): string[] {
  const day = (date: Date) => date.toISOString().slice(0, 10);
  const hours = (to.getTime() - from.getTime()) / 3_600_000;
  const each = hourOfGpu(prices);
  const heads = [
    'tier',
    'drawn',
    'copied',
    'not drawn',
    'GPU h',
    's a picture',
    'MB a picture',
    'dollars',
    'a picture',
  ];
  const row = (tier: string, one: Omit<Ran, 'tier'>) => {
    const paid = (one.seconds / 3_600) * each;
    const stored = one.drawn + one.copied;
    return [
      tier,
      ...[one.drawn, one.copied, one.undrawn].map((count) => number(count)),
      number(one.seconds / 3_600, 2),
      one.drawn ? number(one.seconds / one.drawn, 2) : '–',
      stored ? number(one.megabytes / stored, 2) : '–',
      dollars(paid),
      one.drawn ? `$${number(paid / one.drawn, 4)}` : '–',
    ];
  };
  const total = (of: (one: Ran) => number) => sum(ran.map(of));
  const all = {
    drawn: total((one) => one.drawn),
    copied: total((one) => one.copied),
    undrawn: total((one) => one.undrawn),
    seconds: total((one) => one.seconds),
    megabytes: total((one) => one.megabytes),
  };
  const { services, fixed } = alwaysThere(prices, hours);
  const beside = [...services, ...fixed];
  return [
    `Drawn from ${day(from)} to ${day(to)}, as rows say; an hour of a GPU is ${dollars(each)}, as the tiers' weights mix them`,
    '',
    ...table([heads, ...ran.map((one) => row(one.tier, one)), row('all', all)]),
    '',
    `Time counts while a worker had something in hand; GPUs that stood idle beside it are paid for as well.`,
    `In these ${number(hours)} h, beside it:`,
    ...table([...rowsOf(beside), ['all', '', '', dollars(dollarsOf(beside))]]),
  ];
}

// The command

const OPTIONS = {
  pictures: { type: 'string' },
  seconds: { type: 'string' },
  busy: { type: 'string' },
  spot: { type: 'string' },
  gallery: { type: 'string' },
  measured: { type: 'boolean' },
  ran: { type: 'boolean' },
  from: { type: 'string' },
  to: { type: 'string' },
  help: { type: 'boolean' },
} as const;

const SHARE = 'must be between 0 and 1';
const Asked = z.object({
  pictures: z.coerce.number().int('must be a whole number').min(0, 'must not be below 0').optional(),
  seconds: z.coerce.number().positive('must be above 0').optional(),
  busy: z.coerce.number().gt(0, SHARE).max(1, SHARE).optional(),
  spot: z.coerce.number().min(0, SHARE).max(1, SHARE).optional(),
  gallery: z.coerce.number().min(0, 'must not be below 0').optional(),
  measured: z.boolean().default(false),
  ran: z.boolean().default(false),
  from: z.iso.date('must be a day, as 2026-11-01').optional(),
  to: z.iso.date('must be a day, as 2026-11-01').optional(),
  help: z.boolean().default(false),
});

export type Asked = z.output<typeof Asked>;

/** @throws {Error} with a sentence */
export function parseAsked(args: readonly string[]): Asked {
  let values: unknown;
  try {
    ({ values } = parseArgs({ args: [...args], options: OPTIONS }));
  } catch (error) {
    throw new Error(`${error instanceof Error ? error.message : String(error)}\n${USAGE}`);
  }
  const { success, data, error } = Asked.safeParse(values);
  if (!success)
    throw new Error(error.issues.map(({ path, message }) => `--${path.join('.')}: ${message}`).join('\n'));
  if ((data.from ?? data.to) !== undefined && !data.ran) throw new Error('--from and --to go with --ran.');
  return data;
}

const DAY_MS = 86_400_000;

/** What a month is planned with: as was asked, else as was measured, else as the files say. @param ran of 30 days; null: nobody looked */
export function planOf(
  asked: Asked,
  prices: Prices,
  ran: readonly Ran[] | null,
): { plan: Plan; source: string } {
  const [[bundle, { seconds: guessed }] = ['', { seconds: 0 }]] = bundles;
  const pictures = sum((ran ?? []).map(({ drawn, copied }) => drawn + copied));
  if (ran && pictures === 0)
    throw new Error('Nothing was drawn in the last 30 days, so there is nothing measured.');
  const each = (of: (one: Ran) => number) => (ran ? sum(ran.map(of)) / pictures : null);
  const seconds = each((one) => one.seconds);
  const plan = {
    pictures: asked.pictures ?? (ran ? pictures : prices.plan.pictures),
    seconds: asked.seconds ?? (seconds === null ? guessed : Number(seconds.toFixed(3))),
    megabytes: each((one) => one.megabytes) ?? prices.plan.megabytes,
    months: prices.plan.months,
    galleryGb: asked.gallery ?? prices.plan.galleryGb,
    busy: asked.busy ?? prices.plan.busy,
    spot: asked.spot ?? null,
  };
  if (asked.seconds !== undefined) return { plan, source: '--seconds' };
  return {
    plan,
    source: ran ? 'measured in the last 30 days' : `config/bundles.yaml, ${bundle}: see --measured`,
  };
}

async function read(from: Date, to: Date): Promise<Ran[]> {
  const { closeDb } = await import('#src/doors/db.ts');
  try {
    return await readRan(from, to);
  } finally {
    await closeDb();
  }
}

async function main(args: readonly string[]): Promise<void> {
  const asked = parseAsked(args);
  if (asked.help) return print(USAGE);
  const prices = loadYaml(new URL('./prices.yaml', import.meta.url), Prices);
  const to = asked.to === undefined ? new Date() : new Date(asked.to);
  const from = asked.from === undefined ? new Date(to.getTime() - 30 * DAY_MS) : new Date(asked.from);
  if (from >= to) throw new Error('--from must be before --to.');
  if (asked.ran) {
    for (const text of tellRan(prices, await read(from, to), from, to)) print(text);
    return;
  }
  const { plan, source } = planOf(asked, prices, asked.measured ? await read(from, to) : null);
  for (const text of tell(prices, plan, source)) print(text);
}

if (import.meta.main) {
  try {
    await main(process.argv.slice(2));
  } catch (error) {
    process.stderr.write(`${error instanceof Error ? error.message : String(error)}\n`);
    process.exitCode = 1;
  }
}
