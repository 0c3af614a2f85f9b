/**
 * Builds a stage of a Dockerfile without a container engine: each COPY and RUN in a mount namespace of its own, over an overlay of the
 * layers before it. A layer is a folder named by all that it was made of, so that what did not change is not made again.
 *
 * Needs Linux, root, `unshare` and overlay mounts.
 */
import { spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { readdirSync, statSync } from 'node:fs';
import { cp, mkdir, readFile, rename, rm, stat } from 'node:fs/promises';
import { join, relative } from 'node:path';
import type { Placed, Stage } from './dockerfile.ts';

export interface Layer {
  /** what made it, as the Dockerfile has it; an image's own says its name */
  readonly text: string;
  /** in the folder of layers */
  readonly key: string;
  /** of all its files, bytes */
  readonly bytes: number;
}

export interface Built {
  readonly stage: Stage;
  /** the lowest first */
  readonly layers: readonly Layer[];
}

export interface Builder {
  /** holds `layers/` and `caches/`; absolute */
  readonly dir: string;
  /** what COPY copies from; absolute */
  readonly context: string;
  readonly isIgnored: (path: string) => boolean;
  readonly stages: ReadonlyMap<string, Stage>;
  /** image → the key of its one layer */
  readonly images: ReadonlyMap<string, string>;
  /** for RUN: what this machine needs to reach npm's registry */
  readonly network: { readonly mounts: string; readonly env: Readonly<Record<string, string>> };
  readonly print: (line: string) => void;
  /** keys of all layers that were asked for: others in the folder are of older builds */
  readonly used: Set<string>;
}

/** @throws {Error} naming the step that failed, with its last lines */
export async function build(builder: Builder, name: string): Promise<Built> {
  const stage = builder.stages.get(name);
  if (!stage) throw new Error(`The Dockerfile has no stage ${name}`);
  const layers = [...(await layersBelow(builder, stage))];
  for (const placed of stage.steps) {
    try {
      layers.push(await layerOf(builder, stage, layers, placed));
    } catch (error) {
      const why = error instanceof Error ? error.message : String(error);
      throw new Error(`${name}, Dockerfile:${placed.line}: ${placed.text}\nfailed: ${why}`, { cause: error });
    }
  }
  return { stage, layers };
}

async function layersBelow(builder: Builder, { base }: Stage): Promise<readonly Layer[]> {
  if (base === 'scratch') return [];
  if (builder.stages.has(base)) return (await build(builder, base)).layers;
  const key = builder.images.get(base);
  if (key === undefined) throw new Error(`There is no image ${base} on this machine`);
  return [{ text: `FROM ${base}`, key, bytes: sizeOf(join(builder.dir, 'layers', key)) }];
}

async function layerOf(
  builder: Builder,
  stage: Stage,
  below: readonly Layer[],
  placed: Placed,
): Promise<Layer> {
  const { step, text, workdir, env } = placed;
  const from = step.kind === 'copy' && step.from ? await build(builder, step.from) : undefined;
  const sources = step.kind === 'copy' && !from ? filesOf(builder, step.sources) : [];
  const sum = createHash('sha256').update(
    JSON.stringify([below.map(({ key }) => key), stage.user, workdir, env, text]),
  );
  sum.update(JSON.stringify(from?.layers.map(({ key }) => key) ?? []));
  for (const file of sources) sum.update(`\0${file}\0`).update(await readFile(join(builder.context, file)));
  const key = sum.digest('hex').slice(0, 16);

  builder.used.add(key);
  const folder = join(builder.dir, 'layers');
  const done = join(folder, key);
  if (!(await exists(done))) {
    const startedAt = performance.now();
    const part = `${key}.part`;
    await rm(join(folder, part), { recursive: true, force: true });
    for (const name of ['upper', 'work', 'root', 'from', 'context'])
      await mkdir(join(folder, part, name), { recursive: true });
    for (const file of sources) await cp(join(builder.context, file), join(folder, part, 'context', file));
    const script = [
      'set -e',
      `mount -t overlay overlay -o lowerdir=${lower(below)},upperdir=${part}/upper,workdir=${part}/work ${part}/root`,
      `mkdir -p ${part}/root${workdir}`,
      ...(from ? [`mount -t overlay overlay -o ro,lowerdir=${lower(from.layers)} ${part}/from`] : []),
      ...(step.kind === 'copy'
        ? step.sources.map((source) =>
            copyLine(join(part, from ? 'from' : 'context', source), step.to, join(part, 'root'), workdir),
          )
        : runLines(builder, placed, part)),
    ];
    await inNamespace(
      folder,
      script.join('\n'),
      step.kind === 'run' ? { ...env, ...builder.network.env } : {},
    );
    await rename(join(folder, part, 'upper'), done);
    await rm(join(folder, part), { recursive: true, force: true });
    builder.print(
      `  ${((performance.now() - startedAt) / 1_000).toFixed(1).padStart(6)} s  ${stage.name}: ${text.slice(0, 90)}`,
    );
  }
  return { text, key, bytes: sizeOf(done) };
}

/** What a folder holds goes into the target, a file below it or as it. */
function copyLine(source: string, to: string, root: string, workdir: string): string {
  const target = join(root, to.startsWith('/') ? to : join(workdir, to));
  const inFolder = to.endsWith('/') || to === '.' ? target : join(target, '..');
  return `mkdir -p '${inFolder}'
if [ -d '${source}' ]; then mkdir -p '${target}'; cp -a '${source}/.' '${target}'; else cp -a '${source}' '${target}'; fi`;
}

function runLines(builder: Builder, { step, workdir }: Placed, part: string): string[] {
  if (step.kind !== 'run') return [];
  const root = `${part}/root`;
  return [
    `mount -t proc proc ${root}/proc; mount --rbind /dev ${root}/dev; mount -t tmpfs tmpfs ${root}/run`,
    ...step.caches.flatMap((target) => {
      const cache = `../caches/${target.replaceAll('/', '_')}`;
      return [`mkdir -p ${cache} ${root}${target}; mount --bind ${cache} ${root}${target}`];
    }),
    builder.network.mounts.replaceAll('ROOT', root),
    `exec unshare --root=${root} --wd=${workdir} /bin/sh -c '${step.script.replaceAll("'", "'\\''")}'`,
  ];
}

/** Mounts made in it go with it. @throws {Error} with the last lines it wrote */
async function inNamespace(
  cwd: string,
  script: string,
  env: Readonly<Record<string, string>>,
): Promise<void> {
  const child = spawn('unshare', ['--mount', '--propagation', 'private', 'sh', '-c', script], {
    cwd,
    stdio: ['ignore', 'pipe', 'pipe'],
    env: { PATH: '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin', HOME: '/root', ...env },
  });
  let said = '';
  for (const stream of [child.stdout, child.stderr])
    stream.on('data', (chunk: Buffer) => {
      said = (said + chunk.toString()).slice(-4_000);
    });
  const code = await new Promise<number | null>((done, fail) => {
    child.on('error', fail);
    child.on('close', done);
  });
  if (code !== 0) throw new Error(`it ended with ${code}\n${said}`);
}

/** Relative to the folder of layers, the highest first. The kernel wants one, even where there is nothing. */
export function lower(layers: readonly Layer[]): string {
  return [...layers.map(({ key }) => key).reverse(), 'nothing'].join(':');
}

/** Relative to the context. @throws {Error} when there is none */
function filesOf({ context, isIgnored }: Builder, sources: readonly string[]): string[] {
  return sources.flatMap((source) => {
    const path = join(context, source);
    const files = statSync(path).isDirectory() ? filesBelow(path) : [path];
    const found = files.map((file) => relative(context, file)).filter((file) => !isIgnored(file));
    if (!found.length) throw new Error(`${source} is not in the context: see .dockerignore`);
    return found.sort();
  });
}

/** As a registry counts: bytes of files, not of disk. */
function sizeOf(dir: string): number {
  return filesBelow(dir).reduce((sum, file) => sum + statSync(file).size, 0);
}

/** Links are not followed: readdir's own recursion does that. */
export function filesBelow(dir: string): string[] {
  return readdirSync(dir, { withFileTypes: true }).flatMap((entry) => {
    const path = join(dir, entry.name);
    if (entry.isDirectory()) return filesBelow(path);
    return entry.isFile() ? [path] : [];
  });
}

async function exists(path: string): Promise<boolean> {
  return stat(path).then(
    () => true,
    () => false,
  );
}
