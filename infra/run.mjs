// Runs Atelier on a machine that has only Node ≥ 20 and npm: installs what is missing, generates the Prisma client, and
// goes on with the Node that Atelier is written for. Plain JavaScript without dependencies, as nothing is installed yet.
//
//   node infra/run.mjs demo|dev|test|soak|start|generate|migrate|check-migrations|bench|torture|golden|bundle|storage|backup|watch|cost|
//     words|innocent|bias|rules|client|check|deploy|watermark [arguments]
import { spawn, spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { constants } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { endWithParent } from './end-with-parent.mjs';

const root = join(dirname(fileURLToPath(import.meta.url)), '..');
const modules = join(root, 'node_modules');
const OLDEST_NODE = 20;
const SIGNALS = ['SIGTERM', 'SIGINT', 'SIGHUP'];
/** Type stripping without a flag. */
const OLDEST_NODE_THAT_RUNS_US = [22, 18];

/** The shell that npm started us by; null: it was not npm. */
const shell = process.env.npm_lifecycle_event ? process.ppid : null;

/** As for the services that they start, see infra/local/processes.ts. */
const SMALL = '--max-semi-space-size=4';

const [task = '', ...args] = process.argv.slice(2);
const tasks = {
  demo: () => [SMALL, join(root, 'infra/local/demo.ts'), ...args],
  dev: () => [join(root, 'infra/local/dev.ts'), ...args],
  start: () => {
    // `all` is for one machine, and none of the services' business.
    if (args[0] === 'all') return [SMALL, join(root, 'infra/local/all.ts'), ...args.slice(1)];
    // Node's own option goes before the file: `npm start -- worker --inspect`.
    const isInspect = (arg) => /^--inspect(=.+)?$/.test(arg);
    return [...args.filter(isInspect), join(root, 'src/main.ts'), ...args.filter((arg) => !isInspect(arg))];
  },
  test: () => {
    // Whoever names files has them, however long they take.
    const isChosen = args.some((arg) => !arg.startsWith('-') || arg.startsWith('--project'));
    const quick = ['--project', 'pure', '--project', 'whole'];
    return [join(modules, 'vitest/vitest.mjs'), 'run', ...(isChosen ? [] : quick), ...args];
  },
  soak: () => [join(modules, 'vitest/vitest.mjs'), 'run', '--project', 'soak', ...args],
  bench: () => [join(root, 'test/bench/bench.ts'), ...args],
  torture: () => [join(root, 'test/torture/torture.ts'), ...args],
  golden: () => [join(root, 'test/golden-runs/run.ts'), ...args],
  bundle: () => [join(root, 'infra/bundle/bundle.ts'), ...args],
  migrate: () => [join(root, 'infra/database/migrate-dev.ts'), ...args],
  'check-migrations': () => [join(root, 'infra/database/check-migrations.ts'), ...args],
  storage: () => [join(root, 'infra/storage/storage.ts'), ...args],
  backup: () => [join(root, 'infra/backup/backup.ts'), ...args],
  watch: () => [SMALL, join(root, 'infra/watch/watch.ts'), ...args],
  cost: () => [join(root, 'infra/deploy/cost.ts'), ...args],
  words: () => [join(root, 'infra/words.ts'), ...args],
  innocent: () => [join(root, 'infra/innocent.ts'), ...args],
  bias: () => [join(root, 'infra/bias.ts'), ...args],
  rules: () => [join(root, 'infra/rules.ts'), ...args],
  client: () => [join(root, 'infra/client/generate.ts'), ...args],
  imports: () => [join(root, 'infra/imports.ts'), ...args],
  deploy: () => [join(root, 'infra/deploy/deploy.ts'), ...args],
  check: () => [join(root, 'infra/deploy/check.ts'), ...args],
  watermark: () => [join(root, 'infra/watermark.ts'), ...args],
  generate: () => null,
};

if (!Object.hasOwn(tasks, task)) fail(`Usage: node infra/run.mjs ${Object.keys(tasks).join('|')}`, 2);
if (Number(process.versions.node.split('.')[0]) < OLDEST_NODE) {
  fail(`Atelier needs Node ${OLDEST_NODE} or newer; this is ${process.version}. See https://nodejs.org`);
}

if (shell !== null) endWithParent(shell);
await install();
await generate();
const target = tasks[task]();
if (target) await run(node(), target);

/** `npm ci`, when node_modules is not what package-lock.json says. */
async function install() {
  const stamp = join(modules, '.atelier-lock');
  const wanted = hash('package-lock.json', 'package.json');
  if (read(stamp) === wanted) return;
  await exclusively(async () => {
    if (read(stamp) === wanted) return; // another process has just done it
    // Some installers left everything in place but the stamp, as a plain `npm ci` does.
    if (
      existsSync(join(modules, '.package-lock.json')) &&
      spawnSync('npm', ['ls', '--depth=0'], options()).status === 0
    ) {
      writeFileSync(stamp, wanted);
      return;
    }
    await quietly('Installing packages (about a minute, once)', 'npm', ['ci', '--no-audit', '--no-fund']);
    writeFileSync(stamp, wanted);
  });
}

/** The Prisma client, when the schema changed. */
async function generate() {
  const stamp = join(root, 'prisma/client/.schema');
  const wanted = hash('prisma/schema.prisma', 'package-lock.json');
  if (read(stamp) === wanted) return;
  await exclusively(async () => {
    if (read(stamp) === wanted) return;
    const prisma = createRequire(join(root, 'package.json')).resolve('prisma/build/index.js');
    await quietly('Generating the Prisma client', node(), [prisma, 'generate'], {
      // `generate` needs no engine, and any existing path stops Prisma from downloading one.
      PRISMA_SCHEMA_ENGINE_BINARY: process.execPath,
    });
    writeFileSync(stamp, wanted);
  });
}

/** The Node from npm, or this one if it is new enough. */
function node() {
  const own = join(modules, `node-${process.platform}-${process.arch}/bin/node`);
  if (existsSync(own)) return own;
  const [major, minor] = process.versions.node.split('.').map(Number);
  const [oldMajor, oldMinor] = OLDEST_NODE_THAT_RUNS_US;
  if (major > oldMajor || (major === oldMajor && minor >= oldMinor)) return process.execPath;
  return fail(
    `There is no Node from npm for ${process.platform}-${process.arch}, and this one is ${process.version}: install Node 24.`,
  );
}

/** This process becomes it, where Node can do that; else it runs in this terminal, its signals and its exit code ours. */
function run(command, commandArgs) {
  process.chdir(root);
  const env = {
    ...process.env,
    PATH: `${dirname(node())}:${join(modules, '.bin')}:${process.env.PATH}`,
    // What Node made of our sources and the libraries' is kept: a second start takes half the time.
    NODE_COMPILE_CACHE: process.env.NODE_COMPILE_CACHE ?? join(root, '.atelier/compile-cache'),
    NODE_NO_WARNINGS: '1',
  };
  // 50 MiB less than two processes. From Node 22.15 on, and not on Windows.
  if (process.execve) {
    const watch = `--import=${new URL(`end-with-parent.mjs?pid=${process.pid}&parent=${shell}`, import.meta.url)}`;
    process.execve(command, [command, ...(shell === null ? [] : [watch]), ...commandArgs], env);
  }

  const child = spawn(command, commandArgs, { stdio: 'inherit', env });
  // Ctrl-C reaches the whole group; we only have to outlive the child. A SIGTERM reaches us alone.
  process.on('SIGINT', () => {});
  process.on('SIGTERM', () => child.kill('SIGTERM'));
  return new Promise((resolve) => {
    child.on('error', (error) => fail(`${command}: ${error.message}`));
    child.on('exit', (code, signal) => {
      process.exitCode = signal ? 1 : (code ?? 1);
      resolve();
    });
  });
}

/** Runs it without its output, with a line whenever it takes long, and its last lines when it fails. */
async function quietly(what, command, commandArgs, env = {}) {
  const startedAt = Date.now();
  const seconds = () => Math.round((Date.now() - startedAt) / 1000);
  const child = spawn(command, commandArgs, {
    cwd: root,
    stdio: ['ignore', 'pipe', 'pipe'],
    env: { ...process.env, ...env },
  });
  let text = '';
  for (const stream of [child.stdout, child.stderr]) {
    stream.on('data', (chunk) => {
      text = (text + chunk).slice(-20_000);
    });
  }
  // It would go on without us.
  const stop = (signal) => {
    child.kill();
    process.exit(128 + constants.signals[signal]);
  };
  for (const signal of SIGNALS) process.on(signal, stop);
  const inPlace = process.stdout.isTTY;
  const tick = () =>
    process.stdout.write(inPlace ? `\r${what} … ${seconds()} s` : `${what} … ${seconds()} s\n`);
  const first = setTimeout(tick, 1_000);
  const timer = setInterval(tick, inPlace ? 1_000 : 10_000);
  const code = await new Promise((resolve) => {
    child.on('error', (error) => {
      text += error.message;
      resolve(1);
    });
    child.on('exit', resolve);
  });
  for (const signal of SIGNALS) process.off(signal, stop);
  clearTimeout(first);
  clearInterval(timer);
  if (inPlace && seconds() > 0) process.stdout.write('\n');
  if (code !== 0) {
    const lines = text.split('\n').filter((line) => line.trim() && !line.includes('EBADENGINE'));
    fail(`${what} failed (${command} ${commandArgs.join(' ')}):\n${lines.slice(-25).join('\n')}`);
  }
}

/** One process at a time: two that start together must not both install. A lock of a dead process does not count. */
async function exclusively(work) {
  const lock = join(root, '.atelier/setup.lock');
  mkdirSync(dirname(lock), { recursive: true });
  for (let waited = 0; ; waited++) {
    try {
      writeFileSync(lock, String(process.pid), { flag: 'wx' });
      break;
    } catch {
      if (!isAlive(Number(read(lock)))) rmSync(lock, { force: true });
      else if (waited === 4) process.stdout.write('Waiting for another process that is installing …\n');
      await new Promise((resolve) => setTimeout(resolve, 250));
    }
  }
  try {
    await work();
  } finally {
    rmSync(lock, { force: true });
  }
}

function isAlive(pid) {
  try {
    return pid > 0 && process.kill(pid, 0);
  } catch {
    return false;
  }
}

function hash(...files) {
  const sum = createHash('sha256');
  for (const file of files) sum.update(readFileSync(join(root, file)));
  return sum.digest('hex');
}

function read(file) {
  try {
    return readFileSync(file, 'utf8');
  } catch {
    return '';
  }
}

function options() {
  return { cwd: root, stdio: 'ignore' };
}

function fail(message, code = 1) {
  process.stderr.write(`${message}\n`);
  process.exit(code);
}
