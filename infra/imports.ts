/**
 * Who may import whom, as data, and the checker that `npm run lint` runs. Imports of types and dynamic imports count too.
 *
 * Biome checks which file may know a package (onnxruntime, BullMQ, Prisma), by the rules in biome.json.
 */
import { globSync, readFileSync } from 'node:fs';
import { dirname, join, normalize } from 'node:path';
import { fileURLToPath } from 'node:url';

/** floor → the floors that its files may import, beside their own */
const floors: Readonly<Record<string, readonly string[]>> = {
  config: [],
  pipelines: [],
  doors: ['config'],
  subjects: ['doors', 'config'],
  cards: ['subjects', 'doors', 'config'],
  commands: ['cards', 'subjects', 'doors', 'config'],
  // Services meet in Postgres and in BullMQ: none imports another.
  services: ['cards', 'subjects', 'doors', 'config'],
  main: ['services', 'doors', 'config'],
};
/** Production never imports infra; infra and tests may import anything. */
const free = /^(infra|test|prisma)\/|^[^/]+$/;

/** What some files may import beyond their floor. */
const also: readonly (readonly [who: RegExp, whom: RegExp, why: string])[] = [
  [/^src\/services\/bot\//, /^commands\//, 'the bot runs the commands'],
  [/^src\/services\/worker\//, /^pipelines\//, 'the worker draws'],
  [
    /^src\/(bundles\/|doors\/onnx)/,
    /^pipelines\//,
    'they open what pipelines take: sessions, tokenizers, LoRAs',
  ],
  [/^src\/marks\/look\.ts$/, /^pipelines\/watermark\//, 'it looks for what the worker put into pixels'],
  [/^src\/parameters\/definitions\.ts$/, /^pipelines\/choices\.ts$/, 'choices that come from the program'],
  [/^src\/doors\/db\.ts$/, /^prisma\/client\//, 'the one door to Prisma'],
];

const IMPORT = /(?:\bfrom|\bimport|new URL)\s*\(?\s*'([^']+)'/g;

/** Every file of ours below `root` → the files of ours that it imports; all paths are relative to `root`. */
export function importsOf(root: string): Map<string, string[]> {
  const files = globSync('{config,commands,pipelines,src,infra,prisma,test}/**/*.{ts,js,mjs}', {
    cwd: root,
    exclude: (path) => /(^|[/\\])node_modules$/.test(path),
  });
  return new Map(
    files.sort().map((file) => {
      const found = [...readFileSync(join(root, file), 'utf8').matchAll(IMPORT)].map(([, name = '']) => name);
      const ours = found.filter((name) => /^(#|\.\.?\/)/.test(name) && /\.(ts|js|mjs)$/.test(name));
      return [
        file,
        ours.map((name) => (name.startsWith('#') ? name.slice(1) : normalize(join(dirname(file), name)))),
      ];
    }),
  );
}

/** Everything that breaks the rules, a line each, and one circle of imports if there is any. */
export function faultsOf(imports: ReadonlyMap<string, readonly string[]>): string[] {
  const faults: string[] = [];
  for (const [file, imported] of imports) {
    for (const other of imported) {
      if (mayImport(file, other)) continue;
      faults.push(
        `${file} imports ${other}: ${roomOf(file)} may import ${floors[floorOf(file)]?.join(', ') || 'nothing of ours'}`,
      );
    }
  }
  const circle = circleIn(imports);
  return circle ? [...faults, `A circle: ${circle.join(' → ')}`] : faults;
}

function mayImport(file: string, other: string): boolean {
  if (free.test(file) || also.some(([who, whom]) => who.test(file) && whom.test(other))) return true;
  const [room, otherRoom] = [roomOf(file), roomOf(other)];
  // What lies beside the services serves all of them.
  if (room === otherRoom || (room.startsWith('services/') && otherRoom === 'services')) return true;
  return floors[floorOf(file)]?.includes(floorOf(other)) ?? false;
}

/** `src/gallery.ts` and `src/people/rights.ts` are subjects, `src/services/web/pages.ts` is of services. */
function floorOf(file: string): string {
  const [top = '', second = ''] = file.split('/');
  if (top !== 'src') return top;
  if (second === 'main.ts') return 'main';
  return ['services', 'cards', 'doors'].includes(second) ? second : 'subjects';
}

/** A file's floor; each service is a room of its own. */
function roomOf(file: string): string {
  const [, , service = ''] = file.split('/');
  return floorOf(file) === 'services' && !service.endsWith('.ts') ? `services/${service}` : floorOf(file);
}

/** Files that import one another in a circle; null: there are none. First, files that are in none are taken away in turns. */
function circleIn(imports: ReadonlyMap<string, readonly string[]>): string[] | null {
  const left = new Map(imports);
  for (let before = -1; before !== left.size; ) {
    before = left.size;
    for (const [file, imported] of left) if (!imported.some((other) => left.has(other))) left.delete(file);
  }
  const path: string[] = [];
  for (let file = [...left.keys()][0]; file; file = left.get(file)?.find((other) => left.has(other))) {
    if (path.includes(file)) return [...path.slice(path.indexOf(file)), file];
    path.push(file);
  }
  return null;
}

if (import.meta.main) {
  const [root = fileURLToPath(new URL('..', import.meta.url))] = process.argv.slice(2);
  const faults = faultsOf(importsOf(root));
  for (const fault of faults) process.stderr.write(`${fault}\n`);
  process.exitCode = faults.length ? 1 : 0;
}
