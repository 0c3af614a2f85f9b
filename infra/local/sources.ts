/** Which files of ours a process runs, and when one of them changes. */
import { existsSync, readdirSync, readFileSync, watch } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { importsOf } from '#infra/imports.ts';

const ROOT = fileURLToPath(new URL('../..', import.meta.url));
const WATCHED = ['src', 'commands', 'pipelines', 'config'];
/** An editor writes a file in several moves, and saves several files at once. ms */
const QUIET_MS = 150;

/** All paths here are relative to the root. */
export type Imports = ReadonlyMap<string, readonly string[]>;

export const readImports = (): Imports => importsOf(ROOT);

/** All that `main.ts` with these services imports, now or later. Other services are left out: none imports another. */
export function filesOf(names: readonly string[], imports: Imports): ReadonlySet<string> {
  const isOther = (file: string) => {
    const [, service] = /^src\/services\/([^/]+)\//.exec(file) ?? [];
    return service !== undefined && !names.includes(service);
  };
  const files = new Set<string>();
  const add = (file: string) => {
    if (files.has(file) || isOther(file)) return;
    files.add(file);
    imports.get(file)?.forEach(add);
  };
  add('src/main.ts');
  return files;
}

/** The file, if it is a module; else those beside it that name it: they read it. */
export function modulesOf(file: string, root = ROOT): string[] {
  if (file.endsWith('.ts')) return [file];
  const folder = dirname(file);
  const name = basename(file);
  // A folder, or what was in one that is gone.
  if (!name.includes('.') || !existsSync(join(root, folder))) return [];
  return readdirSync(join(root, folder), { withFileTypes: true })
    .filter((entry) => entry.isFile() && entry.name.endsWith('.ts'))
    .map((entry) => join(folder, entry.name))
    .filter((module) => readFileSync(join(root, module), 'utf8').includes(name));
}

/** Tells which files changed, when no more do. @returns what ends it */
export function watchSources(onChange: (files: readonly string[]) => void): () => void {
  const changed = new Set<string>();
  let timer: NodeJS.Timeout | undefined;
  const watchers = WATCHED.map((folder) =>
    watch(join(ROOT, folder), { recursive: true }, (_, name) => {
      if (name === null) return;
      changed.add(join(folder, name));
      clearTimeout(timer);
      timer = setTimeout(() => {
        onChange([...changed]);
        changed.clear();
      }, QUIET_MS);
    }),
  );
  return () => {
    clearTimeout(timer);
    for (const watcher of watchers) watcher.close();
  };
}
