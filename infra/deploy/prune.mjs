// Inside the image's build: leaves in node_modules what the services need to run, and nothing else.
//
//   node infra/deploy/prune.mjs app|worker
//
// A package stays that `dependencies` of package.json leads to in package-lock.json. So neither what tests and types need stays, nor
// Prisma's command line (which npm keeps, as its client may use it), nor the Postgres and Node that are for laptops.
import { existsSync, globSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';

/** What only the worker needs: the other services draw nothing. */
const WORKER_ONLY = ['onnxruntime-node'];
/** Files that no program reads: sources, types, and what a person reads. Licences stay: some ask for that. */
const UNREAD = '**/*.{map,ts,cts,mts,md,markdown,flow,tsbuildinfo}';
/** Parts of packages that are never loaded by us, in the order of what they weigh. Each must be there: otherwise its line is old. */
const PARTS = [
  // Compilers for the databases that we do not use, and for this one a second time, faster and twice as large.
  '@prisma/client/runtime/*_{fast,small}_bg.{cockroachdb,mysql,sqlite,sqlserver}.*',
  '@prisma/client/runtime/*_fast_bg.postgresql.*',
  '@prisma/client/runtime/wasm-compiler-edge.*',
  // Tables of tokens; LangChain asks for the file beside them, without any.
  'js-tiktoken/dist/ranks',
  'js-tiktoken/dist/index.*',
  // Cuts that contact sheets are not written in.
  'dejavu-fonts-ttf/ttf/DejaVu{Math,Serif}*',
  'dejavu-fonts-ttf/ttf/DejaVuSans{Condensed,Mono}*',
  '@expo-google-fonts/m-plus-1p/{100Thin,300Light,500Medium,800ExtraBold,900Black}',
];
/** onnxruntime's libraries for other systems: all come in one package. */
const OTHER_SYSTEMS = 'onnxruntime-node/bin/napi-v6/{darwin,win32,linux/arm64}';

const [target] = process.argv.slice(2);
if (target !== 'app' && target !== 'worker') fail('Usage: node infra/deploy/prune.mjs app|worker');

const { packages } = JSON.parse(readFileSync('package-lock.json', 'utf8'));
const kept = new Set();
keepNeedsOf('', target === 'app' ? WORKER_ONLY : []);

// What holds another that stays is itself kept: npm puts a package only below one that needs it.
for (const path of Object.keys(packages).filter((path) => path && !kept.has(path))) rm(path);
for (const scope of globSync('node_modules/@*')) if (!readdirSync(scope).length) rm(scope);
for (const name of ['.bin', '.package-lock.json', '.atelier-lock']) rm(join('node_modules', name));
for (const file of globSync(`node_modules/${UNREAD}`)) rm(file);
for (const part of target === 'worker' && process.arch === 'x64' ? [...PARTS, OTHER_SYSTEMS] : PARTS) {
  const found = globSync(`node_modules/${part}`);
  if (!found.length)
    fail(`infra/deploy/prune.mjs: node_modules/${part} is not there any more: look what came in its place.`);
  found.forEach(rm);
}
process.stdout.write(`${kept.size} packages stay for ${target}\n`);

/** @param path of a package in the lock; '' is ours */
function keepNeedsOf(path, without) {
  const { dependencies, optionalDependencies, peerDependencies, peerDependenciesMeta } = packages[path];
  const names = [
    ...Object.keys(dependencies ?? {}),
    ...Object.keys((path && optionalDependencies) || {}),
    ...Object.keys(peerDependencies ?? {}).filter((name) => !peerDependenciesMeta?.[name]?.optional),
  ];
  for (const name of names.filter((one) => !without.includes(one))) {
    const found = resolve(path, name);
    // Those of other systems are in the lock, but not here.
    if (!found || kept.has(found) || !existsSync(found)) continue;
    kept.add(found);
    keepNeedsOf(found, without);
  }
}

/** As Node looks for a package: beside the one that asks, then further up. */
function resolve(path, name) {
  for (let at = path; ; at = at.slice(0, Math.max(0, at.lastIndexOf('node_modules/') - 1))) {
    const found = join(at, 'node_modules', name);
    if (packages[found]) return found;
    if (!at) return undefined;
  }
}

function rm(path) {
  rmSync(path, { recursive: true, force: true });
}

function fail(sentence) {
  process.stderr.write(`${sentence}\n`);
  process.exit(1);
}
