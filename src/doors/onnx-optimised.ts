/**
 * A network as onnxruntime optimised it, kept beside its file: to optimise a graph is most of what opening one takes (of the reference
 * bundle's 2.2 s, 1.8), and comes out the same each time.
 */
import { createHash, randomUUID } from 'node:crypto';
import { access, constants, mkdir, readdir, readFile, rename, rm, stat } from 'node:fs/promises';
import { arch, cpus } from 'node:os';
import { basename, dirname, join } from 'node:path';

/** beside a network */
const FOLDER = '.optimised';
/** bytes of a network's file. Opening a larger one is mostly reading it, of which this would be one more copy. */
const MOST = 256 * 2 ** 20;

export interface Optimised {
  readonly path: string;
  readonly isThere: boolean;
  /** Gives `make` a path to write to, and keeps what it wrote. Another process may have been quicker: both wrote the same. */
  keep<T>(make: (path: string) => Promise<T>): Promise<T>;
  forget(): Promise<void>;
}

/**
 * @param network its file, with all its weights in it
 * @param runtime onnxruntime's version
 * @returns null where it is too large, or its folder can't be written to
 */
export async function optimisedOf(network: string, runtime: string): Promise<Optimised | null> {
  if ((await stat(network)).size > MOST) return null;
  const folder = join(dirname(network), FOLDER);
  const name = basename(network, '.onnx');
  const content = short(await readFile(network));
  const path = join(folder, `${name}.${content}.${await machine(runtime)}.onnx`);
  const isThere = await stat(path).then(
    () => true,
    () => false,
  );
  // Bundles may be mounted to be read only.
  if (!isThere && !(await canWrite(folder))) return null;
  return {
    path,
    isThere,
    async keep(make) {
      const making = `${path}.${randomUUID()}.making`;
      try {
        const made = await make(making);
        await rename(making, path);
        // Those of the network as it was before it changed.
        for (const other of await readdir(folder))
          if (other.startsWith(`${name}.`) && !other.startsWith(`${name}.${content}.`))
            await rm(join(folder, other), { force: true });
        return made;
      } finally {
        await rm(making, { force: true });
      }
    },
    forget: () => rm(path, { force: true }),
  };
}

async function canWrite(folder: string): Promise<boolean> {
  try {
    await mkdir(folder, { recursive: true });
    await access(folder, constants.W_OK);
    return true;
  } catch {
    return false;
  }
}

/** A graph is laid out for the instructions that this processor has: with those of another it is wrong, or slow. */
async function machine(runtime: string): Promise<string> {
  const flags = /^(?:flags|Features)\s*:.*$/m.exec(
    await readFile('/proc/cpuinfo', 'utf8').catch(() => ''),
  )?.[0];
  return short(`${runtime} ${arch()} ${cpus()[0]?.model} ${flags}`);
}

const short = (what: string | Buffer) => createHash('sha256').update(what).digest('hex').slice(0, 16);
