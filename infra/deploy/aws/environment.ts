/**
 * What each service is told, and what it may do with the bucket of files: no more than its own program needs. That this is so, by
 * config/env.ts and by the imports of each service, is tested.
 */
import { Aws } from 'aws-cdk-lib';
import type { FOLDERS } from '../../../src/doors/storage.ts';
import type { Settings } from './settings.ts';

export const SERVICES = ['bot', 'courier', 'mecene', 'web', 'worker'] as const;
export type Service = (typeof SERVICES)[number];

export const WEB_PORT = 8080;
export const METRICS_PORT = 9464;
/** No two in the world may have the same name. */
export const bucketName = (stage: string, what: 'files' | 'models') =>
  `atelier-${stage}-${what}-${Aws.ACCOUNT_ID}-${Aws.REGION}`;

/** In every container: the spool, and the bundles below it. */
export const DATA_DIR = '/data';
/** On every instance and, read-only, in every container: whom to believe that it is RDS. */
export const RDS_CERTIFICATES = '/etc/atelier/rds.pem';

/** What pictures are signed with, where a stage has a certificate for it: `signing` in its settings. */
export const SIGNING: readonly string[] = ['C2PA_KEY', 'C2PA_CERT'];

/** In Secrets Manager. Whoever has one of these in its list can read it, and nobody else. */
export const secretsOf: Readonly<Record<Service | 'migrate', readonly string[]>> = {
  bot: ['DATABASE_URL', 'REDIS_URL', 'DISCORD_TOKEN', ...SIGNING],
  courier: ['DATABASE_URL', 'REDIS_URL', 'DISCORD_TOKEN', ...SIGNING],
  mecene: ['DATABASE_URL', 'REDIS_URL', 'MECENE_API_KEY'],
  web: ['DATABASE_URL', 'REDIS_URL', 'DISCORD_TOKEN', 'DISCORD_CLIENT_SECRET', 'WEB_SECRET', ...SIGNING],
  worker: ['DATABASE_URL', 'REDIS_URL', ...SIGNING],
  migrate: ['DATABASE_URL'],
};

const people = ['STAFF_IDS', 'STAFF_GUILD_ID', 'TRUSTED_GUILDS'];
/** In Parameter Store: an operator changes one there and restarts the service, without a deployment. */
export const parametersOf: Readonly<Record<Service, readonly string[]>> = {
  bot: ['LOG_LEVEL', 'DISCORD_APPLICATION_ID', 'SHARDS', 'BUNDLES', 'PUBLIC_URL', ...people],
  courier: ['LOG_LEVEL', 'DISCORD_APPLICATION_ID', 'BUNDLES', 'PUBLIC_URL', ...people],
  mecene: ['LOG_LEVEL', 'MECENE_MODEL', 'MECENE_MODEL_NAME', 'MECENE_BASE_URL'],
  web: ['LOG_LEVEL', 'DISCORD_APPLICATION_ID', 'BUNDLES', 'PUBLIC_URL', ...people],
  worker: ['LOG_LEVEL', 'BUNDLES', 'WORKER_MEMORY', ...people],
};

/** What there is to be told, by name; what a stage leaves out is not there, and the program's own default holds. */
export function parameterValues(settings: Settings): Readonly<Record<string, string>> {
  const { discord, mecene, workerMemory } = settings;
  const values: Record<string, string | undefined> = {
    LOG_LEVEL: settings.logLevel,
    DISCORD_APPLICATION_ID: discord.application,
    SHARDS: String(discord.shards),
    STAFF_IDS: discord.staff.join(),
    STAFF_GUILD_ID: discord.staffGuild,
    TRUSTED_GUILDS: discord.trustedGuilds.join(),
    BUNDLES: settings.bundles.join(),
    PUBLIC_URL: `https://${settings.domain}`,
    WORKER_MEMORY: workerMemory === undefined ? undefined : String(workerMemory),
    MECENE_MODEL: mecene.model,
    MECENE_MODEL_NAME: mecene.model === 'composer' ? undefined : mecene.name,
    MECENE_BASE_URL: mecene.model === 'composer' ? undefined : mecene.url,
  };
  // Parameter Store keeps nothing empty.
  return Object.fromEntries(Object.entries(values).filter((entry): entry is [string, string] => !!entry[1]));
}

/** What follows from these stacks, so that nobody has to say it. */
export function fixed(service: Service, bucket: string, region: string): Record<string, string> {
  return {
    DATA_DIR,
    S3_BUCKET: bucket,
    S3_REGION: region,
    // Within the network alone: the security groups let nobody else in.
    METRICS_HOST: '0.0.0.0',
    METRICS_PORT: String(METRICS_PORT),
    ...(service === 'web' && {
      WEB_HOST: '0.0.0.0',
      WEB_PORT: String(WEB_PORT),
      // CloudFront and the load balancer
      WEB_PROXIES: '2',
    }),
    // Without cpu: a worker that finds no GPU does not start, and the others go on.
    ...(service === 'worker' && { ONNX_PROVIDERS: 'tensorrt,cuda' }),
  };
}

type Folder = (typeof FOLDERS)[number];
const all: readonly Folder[] = ['faces', 'tests', 'productions', 'quarantine', 'photowall', 'curated'];
const drawn: readonly Folder[] = ['tests', 'productions', 'quarantine'];
const shown: readonly Folder[] = ['photowall', 'curated'];

/** Folders of the bucket that each reads, writes and deletes from. All of them may list it: without that, missing looks like refused. */
export const foldersOf: Readonly<
  Record<Service, Readonly<Record<'read' | 'write' | 'remove', readonly Folder[]>>>
> = {
  // Takes photos in, publishes, reviews; `/forget` reaches everything.
  bot: { read: all, write: all, remove: all },
  courier: { read: all, write: [], remove: [] },
  mecene: { read: [], write: [], remove: [] },
  web: { read: all, write: all, remove: all },
  // Draws, copies an equal picture, and its file check removes what no row names.
  worker: { read: ['faces', ...drawn], write: drawn, remove: all },
};
export const publicFolders = shown;
