/**
 * The one place that reads `process.env`. Everything else imports `config`.
 *
 * A wrong variable stops the process at start and names every variable at
 * fault. Values are never printed: some of them are secrets.
 */
import { resolve } from 'node:path';
import { z } from 'zod';
import { signingFault } from './signing.ts';

const port = z.coerce.number().int().min(0).max(65_535);
const snowflake = z.string().regex(/^\d{17,20}$/, 'must be a Discord id: 17 to 20 digits');
/** An empty variable is an absent one: that is what `NAME=` in a .env file means. */
const optional = <T extends z.ZodType>(type: T) =>
  z.preprocess((value) => (value === '' ? undefined : value), type.optional());
const flag = z.stringbool();
/** Where a variable has one line, `\n` stands for its ends. */
const pem = optional(z.string().transform((text) => text.replaceAll('\\n', '\n')));

const PROVIDERS = ['tensorrt', 'cuda', 'webgpu', 'cpu'] as const;
const isProvider = (name: string): name is (typeof PROVIDERS)[number] =>
  (PROVIDERS as readonly string[]).includes(name);
const namesOf = (list: string) => list.split(',').map((name) => name.trim());
const snowflakes = z
  .string()
  .default('')
  .transform((list) => namesOf(list).filter(Boolean))
  .refine(
    (ids) => ids.every((id) => snowflake.safeParse(id).success),
    'must be Discord ids, comma-separated',
  );

/** Numbers and ranges of them, each once. */
const shardIds = z.string().transform((list, { addIssue }) => {
  const ids = namesOf(list).flatMap((part) => {
    const [, from, to = from] = /^(\d{1,4})(?:-(\d{1,4}))?$/.exec(part) ?? [];
    if (from === undefined || Number(to) < Number(from)) {
      addIssue(`has "${part}", which is neither a number nor a range like 0-31`);
      return [];
    }
    return Array.from({ length: Number(to) - Number(from) + 1 }, (_, i) => Number(from) + i);
  });
  if (new Set(ids).size < ids.length) addIssue('names a shard twice');
  return ids.sort((a, b) => a - b);
});

const Env = z.object({
  LOG_LEVEL: z.enum(['silent', 'debug', 'info', 'warn', 'error']).default('info'),

  /** Bot token. Without one, `npm run demo` talks to the local Discord. */
  DISCORD_TOKEN: optional(z.string().min(30, 'is too short for a bot token')),
  DISCORD_APPLICATION_ID: optional(snowflake),
  /** OAuth2's, for people to sign in on the web pages. Without it they draw as guests alone. */
  DISCORD_CLIENT_SECRET: optional(z.string().min(16, 'is too short for a client secret')),
  /** OAuth2's issuer: people sign in at `/oauth2/authorize` below it. */
  DISCORD_OAUTH_URL: z.url({ protocol: /^https?$/ }).default('https://discord.com'),
  /** Base of Discord's REST API, without the version. */
  DISCORD_API_URL: z.url({ protocol: /^https?$/ }).default('https://discord.com/api'),
  /** Hosts that uploads may be fetched from, comma-separated, with their port where it is unusual. */
  DISCORD_CDN_HOSTS: z.string().default('cdn.discordapp.com,media.discordapp.net'),
  /** `auto` asks Discord; a number is taken as it is. */
  SHARDS: z.union([z.literal('auto'), z.coerce.number().int().min(1).max(1024)]).default('auto'),

  /** Those of this machine, where several carry one bot: `0-31` or `0-15,32-47`. All of them by itself. */
  SHARD_IDS: optional(shardIds),

  /** The platform's own people, user ids: operators and moderators everywhere, and they decide what the gallery shows. */
  STAFF_IDS: snowflakes,
  /**
   * The platform's own server. Flagged pictures from direct messages, and from where the bot is no member, come to its review
   * channel; so do pictures that servers we do not trust offer to the gallery. Without it those stay in quarantine, unseen.
   */
  STAFF_GUILD_ID: optional(snowflake),
  /** Servers whose operators and moderators decide what the gallery shows of theirs, ids; the platform's own is one anyway. */
  TRUSTED_GUILDS: snowflakes,

  /** Without it an embedded Postgres is started under DATA_DIR. */
  DATABASE_URL: optional(z.url({ protocol: /^postgres(ql)?$/ })),
  /** With it BullMQ runs on Redis, without it on Postgres. */
  REDIS_URL: optional(z.url({ protocol: /^rediss?$/ })),
  /** Where `npm run backup` keeps copies; with it the embedded Postgres archives its log there. */
  BACKUP_DIR: optional(z.string().transform((path) => resolve(path))),
  /** Pictures, faces, and what the embedded parts keep. */
  DATA_DIR: z.string().min(1).default('.atelier'),

  /** With a bucket, pictures and faces are kept in S3; without one, in a folder under DATA_DIR. */
  S3_BUCKET: optional(
    z
      .string()
      .regex(/^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$/, 'must be a name of a bucket: 3 to 63 of a-z 0-9 . -'),
  ),
  /** Of anything that speaks S3; Amazon's when left out. */
  S3_ENDPOINT: optional(z.url({ protocol: /^https?$/ })),
  S3_REGION: z
    .string()
    .default('')
    .transform((region) => region || 'us-east-1'),
  /** The two keys. At Amazon both may be left out: then the machine's role is asked, or what the AWS tools know. */
  S3_ACCESS_KEY_ID: optional(z.string().min(1)),
  S3_SECRET_ACCESS_KEY: optional(z.string().min(1)),
  /** Whether the bucket stands in the path (`https://host/bucket/key`) and not in the host name, as MinIO and Ceph mostly want it. */
  S3_PATH_STYLE: optional(flag),

  /**
   * What pictures are signed with (C2PA), instead of the key that an installation makes for itself: a private key of P-256 and its
   * certificates, its own first, as PEM. Others know who signed only by a certificate that an authority gave.
   */
  C2PA_KEY: pem,
  C2PA_CERT: pem,

  /** Names an entry of config/bundles.yaml: what pictures are drawn with unless somebody chooses another. The first of BUNDLES. */
  BUNDLE: optional(z.string().min(1)),
  /** Names of the entries that people may choose from, comma-separated; BUNDLE alone when left out. */
  BUNDLES: z
    .string()
    .default('')
    .transform((list) => namesOf(list).filter(Boolean))
    .refine((names) => new Set(names).size === names.length, 'names a bundle twice'),
  /** What a worker may have of bundles, LoRAs and faces in memory at once, GiB; all of BUNDLES, one set of LoRAs and some faces when left out. */
  WORKER_MEMORY: optional(
    z.coerce
      .number('must be a number of GiB, as 16 or 7.5')
      .positive('must be a number of GiB above 0')
      .max(100_000, 'must be a number of GiB, not of bytes'),
  ),
  /**
   * Execution providers in order of preference, comma-separated. What the first can't do, the next does; without `cpu`, a
   * worker that finds none of them does not start.
   */
  ONNX_PROVIDERS: z
    .string()
    .default('cpu')
    .refine(
      (list) => namesOf(list).every(isProvider) && new Set(namesOf(list)).size === namesOf(list).length,
      `must be some of ${PROVIDERS.join(',')}, each once`,
    )
    .transform((list) => namesOf(list).filter(isProvider)),
  /** CPU threads of one ONNX session; 0 lets onnxruntime choose. */
  ONNX_THREADS: z.coerce.number().int().min(0).max(256).default(0),

  WEB_HOST: z.string().min(1).default('127.0.0.1'),
  /** 0 takes a free port. */
  WEB_PORT: port.default(8080),
  /** Proxies that requests pass before they come to the web service: whose word of a visitor's address counts. */
  WEB_PROXIES: z.coerce.number().int().min(0).max(8).default(0),
  /** Keys the hashes of guests' addresses. Without it each process has its own, and counts guests anew when it starts. */
  WEB_SECRET: optional(z.string().min(32, 'needs 32 characters or more')),
  /** Webhooks of the API may go to private addresses, and by http: for development alone, as people name the addresses. */
  WEBHOOKS_PRIVATE: optional(flag),
  /** `/metrics` of each process is for those who run Atelier: it has a port of its own, which others cannot reach. */
  METRICS_HOST: z.string().min(1).default('127.0.0.1'),
  /** Without it a process takes 9464 or the next that is free; 0 takes any that is. */
  METRICS_PORT: optional(port),
  /** A collector of OpenTelemetry's (OTLP as JSON by HTTP), without `/v1/traces`. Without it nothing is traced. */
  OTEL_EXPORTER_OTLP_ENDPOINT: optional(z.url({ protocol: /^https?$/ })),
  /** What links in Discord begin with; the web service's own address when left out. */
  PUBLIC_URL: optional(z.url({ protocol: /^https?$/ })),

  /** Who writes Mecene's prompts. `composer` needs no model and no network. */
  MECENE_MODEL: z.enum(['composer', 'openai', 'ollama']).default('composer'),
  MECENE_MODEL_NAME: optional(z.string().min(1)),
  /** Address of an OpenAI-compatible endpoint, or of Ollama. */
  MECENE_BASE_URL: optional(z.url({ protocol: /^https?$/ })),
  MECENE_API_KEY: optional(z.string().min(1)),

  /** Time between two edits of one message, and between two previews of one picture, ms. */
  EDIT_INTERVAL_MS: z.coerce.number().int().min(0).max(60_000).default(3_000),
  /** Print nothing that only a developer needs. */
  CI: optional(flag),
});

/** Names of all that is read, for who sets them elsewhere. */
export const variables: readonly string[] = Object.keys(Env.shape);

const Checked = Env.refine(({ BUNDLE, BUNDLES }) => !BUNDLE || !BUNDLES.length || BUNDLES.includes(BUNDLE), {
  path: ['BUNDLE'],
  message: 'must be one of BUNDLES',
}).superRefine((env, { addIssue }) => {
  const say = (name: keyof typeof env, message: string) =>
    addIssue({ code: 'custom', path: [name], message });
  const {
    S3_BUCKET: bucket,
    S3_ENDPOINT: endpoint,
    S3_ACCESS_KEY_ID: id,
    S3_SECRET_ACCESS_KEY: secret,
  } = env;
  const { SHARDS: shards, SHARD_IDS: shardIds = [] } = env;
  if (shardIds.length && shards === 'auto')
    say(
      'SHARDS',
      'must be the number of all shards where SHARD_IDS names some: each machine has to count alike',
    );
  else if (shardIds.some((shard) => shard >= Number(shards)))
    say('SHARD_IDS', `names a shard that is not there: of ${shards} the last is ${Number(shards) - 1}`);
  const { C2PA_KEY: key, C2PA_CERT: certificates } = env;
  if (key === undefined && certificates !== undefined) say('C2PA_KEY', 'is missing, and C2PA_CERT is set');
  if (key !== undefined && certificates === undefined) say('C2PA_CERT', 'is missing, and C2PA_KEY is set');
  const fault = key && certificates ? signingFault(key, certificates) : null;
  if (fault) say(fault.variable, fault.message);
  if (bucket === undefined && (endpoint ?? id ?? secret) !== undefined)
    say('S3_BUCKET', 'is missing, and other S3_ variables are set');
  if (id === undefined && secret !== undefined)
    say('S3_ACCESS_KEY_ID', 'is missing, and S3_SECRET_ACCESS_KEY is set');
  if (id !== undefined && secret === undefined)
    say('S3_SECRET_ACCESS_KEY', 'is missing, and S3_ACCESS_KEY_ID is set');
  if (endpoint !== undefined && id === undefined && secret === undefined)
    say('S3_ACCESS_KEY_ID', 'is missing: only Amazon’s own S3 may be asked without keys');
});

const FALLBACK_BUNDLE = 'reference';
const GIB = 2 ** 30;

function s3Of({ S3_BUCKET: bucket, S3_ENDPOINT: endpoint, ...data }: z.output<typeof Env>) {
  if (bucket === undefined) return null;
  const { S3_ACCESS_KEY_ID: accessKeyId, S3_SECRET_ACCESS_KEY: secretAccessKey } = data;
  return Object.freeze({
    bucket,
    endpoint,
    region: data.S3_REGION,
    /** null: the machine's role */
    keys: accessKeyId && secretAccessKey ? Object.freeze({ accessKeyId, secretAccessKey }) : null,
    pathStyle: data.S3_PATH_STYLE ?? false,
  });
}

/** Parses an environment; tests pass their own. @throws {Error} naming every variable at fault */
export function parseConfig(env: Record<string, string | undefined>) {
  const { success, data, error } = Checked.safeParse(env);
  if (!success) {
    const faults = error.issues.map((issue) => `  ${issue.path.join('.')}: ${issue.message}`);
    throw new Error(`Bad environment (see .env.example):\n${faults.join('\n')}`);
  }
  const bundle = data.BUNDLE ?? data.BUNDLES[0] ?? FALLBACK_BUNDLE;
  return Object.freeze({
    logLevel: data.LOG_LEVEL,
    discord: Object.freeze({
      token: data.DISCORD_TOKEN,
      applicationId: data.DISCORD_APPLICATION_ID,
      clientSecret: data.DISCORD_CLIENT_SECRET,
      oauthUrl: data.DISCORD_OAUTH_URL,
      apiUrl: data.DISCORD_API_URL,
      cdnHosts: data.DISCORD_CDN_HOSTS.split(',').map((host) => host.trim()),
      shards: data.SHARDS,
      /** in order; null: all */
      shardIds: data.SHARD_IDS ?? null,
    }),
    staff: Object.freeze({
      ids: data.STAFF_IDS,
      guildId: data.STAFF_GUILD_ID ?? null,
      trustedGuilds: data.TRUSTED_GUILDS,
    }),
    databaseUrl: data.DATABASE_URL,
    redisUrl: data.REDIS_URL,
    /** absolute; null: no copies are kept */
    backupDir: data.BACKUP_DIR ?? null,
    dataDir: data.DATA_DIR,
    /** null: files are kept in a folder under `dataDir` */
    s3: s3Of(data),
    /** PEM; null: the key that was made here signs */
    signing:
      data.C2PA_KEY && data.C2PA_CERT
        ? Object.freeze({ key: data.C2PA_KEY, certificates: data.C2PA_CERT })
        : null,
    bundle,
    bundles: Object.freeze(data.BUNDLES.length ? data.BUNDLES : [bundle]),
    /** bytes; null: nobody says */
    workerMemory: data.WORKER_MEMORY === undefined ? null : data.WORKER_MEMORY * GIB,
    onnxProviders: data.ONNX_PROVIDERS,
    onnxThreads: data.ONNX_THREADS,
    web: Object.freeze({
      host: data.WEB_HOST,
      port: data.WEB_PORT,
      publicUrl: data.PUBLIC_URL,
      proxies: data.WEB_PROXIES,
      secret: data.WEB_SECRET,
      privateWebhooks: data.WEBHOOKS_PRIVATE ?? false,
    }),
    metrics: Object.freeze({ host: data.METRICS_HOST, port: data.METRICS_PORT }),
    traces: Object.freeze({ endpoint: data.OTEL_EXPORTER_OTLP_ENDPOINT }),
    mecene: Object.freeze({
      model: data.MECENE_MODEL,
      modelName: data.MECENE_MODEL_NAME,
      baseUrl: data.MECENE_BASE_URL,
      apiKey: data.MECENE_API_KEY,
    }),
    editIntervalMs: data.EDIT_INTERVAL_MS,
    ci: data.CI ?? false,
  });
}

export type S3Settings = NonNullable<Config['s3']>;

export type Config = ReturnType<typeof parseConfig>;

export const config: Config = parseConfig(process.env);

// onnxruntime 1.30 reports each session it opens to its maker, from servers too. What people draw, and where, is their own
// business. Set here, as a thread's changes are made to its own copy of the environment, which native code does not see.
process.env.ORT_DISABLE_TELEMETRY = '1';

/** Gives a variable's value to a part that cannot work without it. @throws {Error} naming the variable */
export function required<T>(value: T | undefined, variable: string): T {
  if (value === undefined) throw new Error(`${variable} is not set (see .env.example).`);
  return value;
}

/** The environment of a process that we start: ours with these changes. */
export function childEnv(changes: Record<string, string | undefined>): Record<string, string | undefined> {
  return { ...process.env, ...changes };
}
