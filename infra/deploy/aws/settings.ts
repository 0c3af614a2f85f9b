/**
 * What an operator decides, stage by stage: `stages/<stage>.yaml`, read once. What is left out has the default that stands here; a bad
 * file stops everything with its file, its line and what was expected, before anything is made.
 */
import { existsSync } from 'node:fs';
import { z } from 'zod';
import { loadYaml } from '../../../config/load.ts';

const snowflake = z.string().regex(/^\d{17,20}$/, 'must be a Discord id in quotes: 17 to 20 digits');
const count = z.number().int().min(0);
const time = z.string().regex(/^([01]\d|2[0-3]):[0-5]\d$/, 'must be a time in quotes, as "23:00"');

/** Shards that one bot carries, see src/services/bot/supervisor.ts: a process of it has so many. */
export const SHARDS_PER_BOT = 16;
export const BOTS_MAX = 10;

const Scaled = (min: number, max: number) =>
  z
    .strictObject({ min: count.min(1).default(min), max: count.min(1).default(max) })
    .refine((range) => range.min <= range.max, 'min must not be above max')
    .prefault({});

export const Settings = z.strictObject({
  domain: z.hostname(),
  zone: z.strictObject({ id: z.string().min(1), name: z.hostname() }),
  certificate: z
    .string()
    .regex(
      /^arn:aws[a-z-]*:acm:us-east-1:\d{12}:certificate\/.+$/,
      'must be the ARN of a certificate in us-east-1',
    ),
  cloudfrontPrefixList: z.string().regex(/^pl-[0-9a-f]+$/, 'must be the id of a prefix list, as pl-3b927c52'),

  discord: z.strictObject({
    application: snowflake,
    staff: z.array(snowflake).default([]),
    staffGuild: snowflake.optional(),
    trustedGuilds: z.array(snowflake).default([]),
    /** Of the whole bot. */
    shards: count
      .min(1)
      .max(SHARDS_PER_BOT * BOTS_MAX)
      .default(1),
  }),
  /** Entries of config/bundles.yaml; their files lie in the bucket of models. */
  bundles: z.array(z.string().min(1)).min(1),
  /** What is deployed: a tag in both ECR repositories. `-c tag=…` goes before it. */
  tag: z.string().min(1).default('main'),

  /** Pictures are signed with C2PA_KEY and C2PA_CERT, of Secrets Manager; false: with the key that the installation makes for itself. */
  signing: z.boolean().default(false),
  /** GiB of a GPU's memory that a worker may fill; see WORKER_MEMORY. */
  workerMemory: z.number().positive().optional(),
  workers: Scaled(1, 5),
  web: Scaled(2, 20),
  /**
   * The three tiers of GPUs. As it is, instances are as many as stand here, and a worker that finds none waits; with `managed`, ECS
   * starts and ends instances as workers come and go, and these are only the first.
   */
  gpus: z
    .strictObject({
      managed: z.boolean().default(false),
      g6: count.default(1),
      g5: count.default(1),
      g4dn: count.default(1),
      /** of each */
      max: count.min(1).default(5),
    })
    .prefault({}),
  /** Instances for all that needs no GPU. */
  light: z
    .strictObject({
      type: z.string().default('m6i.large'),
      min: count.min(1).default(3),
      max: count.min(1).default(12),
    })
    .prefault({}),
  /** While few ask for pictures. null: at no time */
  night: z
    .strictObject({ from: time, to: time, timeZone: z.string().default('Etc/UTC'), workers: count.min(1) })
    .nullable()
    .prefault({ from: '23:00', to: '06:00', workers: 1 }),

  database: z
    .strictObject({ type: z.string().default('t4g.medium'), gib: count.min(20).default(50) })
    .prefault({}),
  redis: z.strictObject({ type: z.string().default('cache.t4g.small') }).prefault({}),
  /** One a zone, so that a zone that is gone takes no other with it; 1 saves two thirds of their price. */
  natGateways: count.min(1).max(3).default(3),
  /** Days */
  keepLogs: z.union([z.literal(7), z.literal(14), z.literal(30), z.literal(60), z.literal(90)]).default(30),
  /** Who is written to. */
  alarms: z.email(),
  logLevel: z.enum(['debug', 'info', 'warn', 'error']).default('info'),

  mecene: z
    .discriminatedUnion('model', [
      z.strictObject({ model: z.literal('composer') }),
      z.strictObject({
        model: z.enum(['openai', 'ollama']),
        name: z.string().min(1),
        url: z.url({ protocol: /^https?$/ }),
      }),
    ])
    .default({ model: 'composer' }),
  /** Reads the web's metrics and hands some of them to CloudWatch. */
  agent: z.string().default('public.ecr.aws/cloudwatch-agent/cloudwatch-agent:1.300062.0b1304'),
});

export type Settings = z.output<typeof Settings>;

const STAGE = /^[a-z][a-z0-9]{0,19}$/;

/** @throws {Error} with a sentence: a stage that does not exist, or what is wrong in its file */
export function readStage(stage: string, folder = new URL('./stages/', import.meta.url)): Settings {
  if (!STAGE.test(stage))
    throw new Error(`A stage is named by 1 to 20 of a-z and 0-9, not ${JSON.stringify(stage)}.`);
  const file = new URL(`${stage}.yaml`, folder);
  if (!existsSync(file))
    throw new Error(`There is no stage ${stage}: copy stages/example.yaml to stages/${stage}.yaml.`);
  return loadYaml(file, Settings);
}

/** Ranges of shards, one for each bot: `0-15`. */
export function botsOf({ discord: { shards } }: Pick<Settings, 'discord'>): string[] {
  const bots = Math.ceil(shards / SHARDS_PER_BOT);
  const first = (bot: number) => Math.round((bot * shards) / bots);
  return Array.from({ length: bots }, (_, bot) => `${first(bot)}-${first(bot + 1) - 1}`);
}
