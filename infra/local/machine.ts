/**
 * What the services stand on where there is one machine for everything: a folder of its own, a Postgres, the bundle, and in
 * place of Discord the local one.
 */
import { randomBytes } from 'node:crypto';
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { join, relative } from 'node:path';
import { config } from '#config/env.ts';
import { ensureBundle } from '#src/bundles/ensure.ts';
import { migrate } from '#src/doors/migrate.ts';
import { type Sandbox, startSandbox } from './discord/sandbox.ts';
import { STAFF } from './discord/world.ts';
import { freePort } from './free-port.ts';
import { claimInstance } from './instance.ts';
import { startPostgres } from './postgres.ts';
import { print, printWhile } from './print.ts';

/** Of the local Discord's one bot. */
const APPLICATION_ID = '1100000000000000001';

export interface Machine {
  /** absolute: where this instance keeps its data */
  readonly dir: string;
  /** what the services' environment has besides ours */
  readonly env: Readonly<Record<string, string>>;
  /** where the gallery will be */
  readonly webUrl: string;
  /** the local Discord, if it is used */
  readonly sandbox: Sandbox | undefined;
  /** What was opened last is closed first. */
  close(): Promise<void>;
}

type Closers = (() => Promise<void>)[];

export interface MachineOptions {
  /** every request of the bot is held against Discord's API description */
  readonly checked?: boolean;
  /** DATA_DIR when left out */
  readonly dataDir?: string;
  /** BUNDLES when left out */
  readonly bundles?: readonly string[];
}

/**
 * Whatever can be made ready side by side is. Without DISCORD_TOKEN there is the local Discord.
 *
 * @throws {Error} in words, with everything closed again
 */
export async function prepareMachine(options: MachineOptions = {}): Promise<Machine> {
  const { checked = false, dataDir = config.dataDir, bundles = config.bundles } = options;
  const closers: Closers = [];
  const close = async () => {
    for (const undo of closers.splice(0).reverse()) await undo();
  };
  try {
    const { number, dir, release } = await claimInstance(dataDir);
    closers.push(release);
    if (number > 1) print(`Another instance runs here: this one keeps its data in ${relative('', dir)}/`);

    const local = !config.discord.token;
    const web = await addressOfWeb(local, number);
    const webUrl = config.web.publicUrl ?? web.origin;
    const [databaseUrl, discord] = await all([
      openDatabase(dir, closers),
      local ? localDiscord(dir, webUrl, checked, closers) : undefined,
      printWhile(`Preparing the bundle ${bundles.join(', ')}`, ensureBundles(bundles, dir)),
      reachRedis(),
    ]);
    return {
      dir,
      webUrl,
      sandbox: discord?.sandbox,
      close,
      env: {
        DATABASE_URL: databaseUrl,
        DATA_DIR: dir,
        BUNDLES: bundles.join(','),
        PUBLIC_URL: webUrl,
        WEB_PORT: web.port,
        // Each process takes one that is free: several can't have the same.
        METRICS_PORT: config.metrics.port === 0 ? '0' : '',
        ...discord?.env,
      },
    };
  } catch (error) {
    await close();
    throw error;
  }
}

/** One after another: those that are built take all cores there are. */
async function ensureBundles(bundles: readonly string[], dir: string): Promise<void> {
  for (const name of bundles) await ensureBundle(name, dir);
}

/** As `Promise.all`, but nothing is still under way when it fails: whatever was opened meanwhile has its closer. */
async function all<T extends readonly unknown[]>(
  work: readonly [...T],
): Promise<{ -readonly [K in keyof T]: Awaited<T[K]> }> {
  await Promise.allSettled(work);
  return Promise.all(work);
}

async function openDatabase(dir: string, closers: Closers): Promise<string> {
  const url = config.databaseUrl ?? (await embeddedDatabase(dir, closers));
  await printWhile('Migrating the database', migrate(url));
  return url;
}

async function embeddedDatabase(dir: string, closers: Closers): Promise<string> {
  const postgres = await printWhile(
    'Starting Postgres',
    startPostgres({
      dataDir: join(dir, 'postgres'),
      ...(config.backupDir && { archive: join(config.backupDir, 'wal') }),
    }),
  );
  closers.push(() => postgres.stop());
  return postgres.url('atelier');
}

async function reachRedis(): Promise<void> {
  if (!config.redisUrl) return;
  const { reachQueues } = await import('#src/doors/queue.ts');
  await reachQueues(config);
}

/** The environment that makes the bot talk to it. */
async function localDiscord(dir: string, webUrl: string, checked: boolean, closers: Closers) {
  const token = await localToken(dir);
  // Nobody has to keep it: both sides get it with each start.
  const clientSecret = randomBytes(24).toString('base64url');
  const sandbox = await startSandbox({
    dataDir: join(dir, 'discord'),
    token,
    applicationId: APPLICATION_ID,
    oauth: { clientSecret, redirectUris: [new URL('/sign-in/return', webUrl).href] },
    ...(checked && { check: 'openapi' as const }),
  });
  closers.push(sandbox.close);
  const env = {
    DISCORD_TOKEN: token,
    DISCORD_APPLICATION_ID: APPLICATION_ID,
    DISCORD_CLIENT_SECRET: clientSecret,
    DISCORD_OAUTH_URL: sandbox.oauthUrl,
    DISCORD_API_URL: sandbox.apiUrl,
    DISCORD_CDN_HOSTS: new URL(sandbox.apiUrl).host,
    SHARDS: '2',
    ...STAFF,
  };
  return { sandbox, env };
}

/** Kept, so that what the local Discord remembers of the bot fits the next start. */
async function localToken(dir: string): Promise<string> {
  const file = join(dir, 'local-token');
  const kept = await readFile(file, 'utf8').catch(() => '');
  if (kept.length >= 30) return kept;
  const token = `local.${randomBytes(24).toString('base64url')}`;
  await mkdir(dir, { recursive: true });
  await writeFile(file, token, { mode: 0o600 });
  return token;
}

/**
 * Chosen before the web service listens there, so that nobody waits for it: links in Discord begin with it. In the demo,
 * which shall start whatever else runs here, the next free port stands for a taken one.
 */
async function addressOfWeb(local: boolean, instance: number): Promise<{ port: string; origin: string }> {
  const { host, port: wanted } = config.web;
  const port = local || !wanted ? await freePort(wanted && wanted + instance - 1, host) : wanted;
  // A person clicks it: "0.0.0.0" and "[::]" lead nowhere in some browsers.
  const name = ['0.0.0.0', '::'].includes(host) ? '127.0.0.1' : host;
  const { origin } = new URL(`http://${name.includes(':') ? `[${name}]` : name}:${port}`);
  return { port: String(port), origin };
}
