/**
 * The one place that reads `process.env`. Everything else imports `config`.
 *
 * A wrong variable stops the process at start and names every variable at
 * fault. Values are never printed: some of them are secrets.
 */
import { z } from 'zod';

const port = z.coerce.number().int().min(0).max(65_535);
const snowflake = z.string().regex(/^\d{17,20}$/, 'must be a Discord id: 17 to 20 digits');
/** An empty variable is an absent one: that is what `NAME=` in a .env file means. */
const optional = <T extends z.ZodType>(type: T) =>
  z.preprocess((value) => (value === '' ? undefined : value), type.optional());
const flag = z.stringbool();

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

const Env = z.object({
  LOG_LEVEL: z.enum(['silent', 'debug', 'info', 'warn', 'error']).default('info'),

  /** Bot token. Without one, `npm run demo` talks to the local Discord. */
  DISCORD_TOKEN: optional(z.string().min(30, 'is too short for a bot token')),
  DISCORD_APPLICATION_ID: optional(snowflake),
  /** Base of Discord's REST API, without the version. */
  DISCORD_API_URL: z.url({ protocol: /^https?$/ }).default('https://discord.com/api'),
  /** Hosts that uploads may be fetched from, comma-separated, with their port where it is unusual. */
  DISCORD_CDN_HOSTS: z.string().default('cdn.discordapp.com,media.discordapp.net'),
  /** `auto` asks Discord; a number is taken as it is. */
  SHARDS: z.union([z.literal('auto'), z.coerce.number().int().min(1).max(1024)]).default('auto'),

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
  /** Pictures, faces, and what the embedded parts keep. */
  DATA_DIR: z.string().min(1).default('.atelier'),

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

const Checked = Env.refine(({ BUNDLE, BUNDLES }) => !BUNDLE || !BUNDLES.length || BUNDLES.includes(BUNDLE), {
  path: ['BUNDLE'],
  message: 'must be one of BUNDLES',
});

const FALLBACK_BUNDLE = 'reference';
const GIB = 2 ** 30;

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
      apiUrl: data.DISCORD_API_URL,
      cdnHosts: data.DISCORD_CDN_HOSTS.split(',').map((host) => host.trim()),
      shards: data.SHARDS,
    }),
    staff: Object.freeze({
      ids: data.STAFF_IDS,
      guildId: data.STAFF_GUILD_ID ?? null,
      trustedGuilds: data.TRUSTED_GUILDS,
    }),
    databaseUrl: data.DATABASE_URL,
    redisUrl: data.REDIS_URL,
    dataDir: data.DATA_DIR,
    bundle,
    bundles: Object.freeze(data.BUNDLES.length ? data.BUNDLES : [bundle]),
    /** bytes; null: nobody says */
    workerMemory: data.WORKER_MEMORY === undefined ? null : data.WORKER_MEMORY * GIB,
    onnxProviders: data.ONNX_PROVIDERS,
    onnxThreads: data.ONNX_THREADS,
    web: Object.freeze({ host: data.WEB_HOST, port: data.WEB_PORT, publicUrl: data.PUBLIC_URL }),
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
