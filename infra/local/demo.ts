/**
 * Everything on one machine. `all` is for an operator with a bot token; `demo` needs nothing: without DISCORD_TOKEN it
 * starts the local Discord as well, and prints where to look.
 *
 * Order: Postgres, migrations, bundle, local Discord; then the services, side by side, each a process of its own.
 */
import { randomBytes } from 'node:crypto';
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { join, relative } from 'node:path';
import { config, required } from '#config/env.ts';
import { ensureBundle } from '#src/bundles/ensure.ts';
import { migrate } from '#src/doors/migrate.ts';
import { reachQueues } from '#src/doors/queue.ts';
import type { Service } from '#src/main.ts';
import { startSandbox } from './discord/sandbox.ts';
import { claimInstance } from './instance.ts';
import { startPostgres } from './postgres.ts';
import { type RunningService, startProcess } from './processes.ts';
import { runScript } from './script.ts';

const SERVICES = ['bot', 'worker', 'courier', 'mecene', 'web'] as const;
/** Of the local Discord's one bot. */
const APPLICATION_ID = '1100000000000000001';

/** `node src/main.ts all`: every service, against real Discord. @throws {Error} naming the variable that is missing */
export async function startAll(_args: readonly string[]): Promise<Service> {
  required(config.discord.token, 'DISCORD_TOKEN');
  return startGroup({ local: false, checked: false }).then(({ close }) => ({ close }));
}

/** `npm run demo [-- --script]` */
export async function startDemo(args: readonly string[]): Promise<Service> {
  const scripted = args.includes('--script');
  const unknown = args.filter((arg) => arg !== '--script');
  if (unknown.length) throw new Error(`Unknown option ${unknown.join(' ')}. There is one: --script`);
  if (scripted && config.discord.token) {
    throw new Error('--script types into the local Discord: unset DISCORD_TOKEN to use it.');
  }

  const group = await startGroup({ local: !config.discord.token, checked: scripted });
  if (group.pageUrl) say(`\n  Channel page  ${group.pageUrl}`);
  say(`  Gallery       ${group.webUrl}/\n  Logs          ${relative(process.cwd(), group.logDir)}/`);
  if (!scripted || !group.sandbox) {
    say('\nOpen the channel page and type /imagine. Ctrl-C stops everything.');
    return group;
  }

  let reason: unknown;
  try {
    await runScript(group.sandbox, say);
  } catch (error) {
    reason = error;
  }
  await group.close();
  if (reason) throw reason;
  process.exit(0);
}

interface Group extends Service {
  readonly webUrl: string;
  readonly pageUrl: string | undefined;
  readonly logDir: string;
  readonly sandbox: Awaited<ReturnType<typeof startSandbox>> | undefined;
}

async function startGroup({ local, checked }: { local: boolean; checked: boolean }): Promise<Group> {
  const closers: (() => Promise<unknown>)[] = [];
  const running: RunningService[] = [];
  const close = async () => {
    // Services first and side by side; then what they stand on, last opened first closed.
    await Promise.all(running.splice(0).map((service) => service.stop()));
    for (const undo of closers.splice(0).reverse()) await undo();
  };
  try {
    const instance = await claimInstance(config.dataDir);
    closers.push(() => instance.release());
    if (instance.number > 1)
      say(`Another instance runs here: this one keeps its data in ${relative('', instance.dir)}/`);
    const logDir = join(instance.dir, 'logs');

    await reachQueues(config);
    const databaseUrl = config.databaseUrl ?? (await embeddedDatabase(instance.dir, closers));
    await step('Migrating the database', migrate(databaseUrl, {}));
    await step(`Preparing the bundle ${config.bundle}`, ensureBundle(config.bundle, instance.dir));

    const shared = { DATABASE_URL: databaseUrl, DATA_DIR: instance.dir };
    let sandbox: Group['sandbox'];
    let discord = {};
    if (local) {
      const token = await localToken(instance.dir);
      sandbox = await step(
        'Starting the local Discord',
        startSandbox({
          dataDir: join(instance.dir, 'discord'),
          token,
          applicationId: APPLICATION_ID,
          ...(checked && { check: 'openapi' as const }),
        }),
      );
      closers.push(sandbox.close);
      discord = {
        DISCORD_TOKEN: token,
        DISCORD_APPLICATION_ID: APPLICATION_ID,
        DISCORD_API_URL: sandbox.apiUrl,
        DISCORD_CDN_HOSTS: new URL(sandbox.apiUrl).host,
        SHARDS: '2',
      };
    }

    // The web service first: links in Discord begin with its address.
    const web = await start('web', { ...shared, ...discord, ...(local && { WEB_PORT: '0' }) });
    const webUrl = config.web.publicUrl ?? required(web.url, 'The web service’s address');
    const env = { ...shared, ...discord, PUBLIC_URL: webUrl };
    await step(
      'Starting the bot, a worker, the courier and Mecene',
      Promise.all(SERVICES.filter((name) => name !== 'web').map((name) => start(name, env))),
    );
    return { close, webUrl, pageUrl: sandbox?.pageUrl, logDir, sandbox };

    async function start(name: string, environment: Record<string, string>): Promise<RunningService> {
      const service = await startProcess(name, { env: environment, logDir, say });
      running.push(service);
      return service;
    }
  } catch (error) {
    await close();
    throw error;
  }
}

async function embeddedDatabase(dir: string, closers: (() => Promise<unknown>)[]): Promise<string> {
  const postgres = await step('Starting Postgres', startPostgres({ dataDir: join(dir, 'postgres') }));
  closers.push(() => postgres.stop());
  return postgres.url('atelier');
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

/** Says what takes longer than a second, and for how long. */
async function step<T>(what: string, work: Promise<T>): Promise<T> {
  const startedAt = Date.now();
  const timer = setInterval(() => say(`${what} … ${Math.round((Date.now() - startedAt) / 1000)} s`), 1_000);
  try {
    return await work;
  } finally {
    clearInterval(timer);
  }
}

function say(line: string): void {
  process.stdout.write(`${line}\n`);
}
