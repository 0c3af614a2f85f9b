/** One package of the npm registry, without what it depends on: its tarball, held against a pinned hash, and read in memory. */
import { execFile } from 'node:child_process';
import { createHash } from 'node:crypto';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { gunzipSync } from 'node:zlib';
import { messageOf } from '#src/doors/log.ts';

export interface PinnedPackage {
  /** `name@version` */
  readonly spec: string;
  /** of the tarball, as package-lock.json has it: `sha512-…` */
  readonly integrity: string;
}

/** A package takes seconds; a registry that is silent is given up. ms */
const FETCH_MS = 120_000;

/**
 * `npm pack`, which takes the registry that npm is set to, and runs no script of the package.
 *
 * @returns path inside the package → bytes
 * @throws {Error} when the registry does not answer, and when the tarball is another one
 */
export async function fetchPackage({ spec, integrity }: PinnedPackage): Promise<Map<string, Uint8Array>> {
  const folder = await mkdtemp(join(tmpdir(), 'atelier-npm-'));
  try {
    const asked = ['pack', spec, '--json', '--ignore-scripts', '--pack-destination', folder];
    const { stdout } = await promisify(execFile)('npm', asked, { timeout: FETCH_MS }).catch(
      (error: unknown) => {
        throw new Error(
          `npm could not fetch ${spec}: ${messageOf(error).trim().split('\n').slice(0, 3).join(' ')}`,
        );
      },
    );
    const [{ filename }] = JSON.parse(stdout) as [{ filename: string }];
    const tarball = await readFile(join(folder, filename));
    const found = `sha512-${createHash('sha512').update(tarball).digest('base64')}`;
    if (found !== integrity)
      throw new Error(
        `${spec} is not the file that was looked at: its hash is ${found}, and ${integrity} is needed.`,
      );
    return filesOf(gunzipSync(tarball));
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

const BLOCK = 512;

/** The files of a ustar archive whose names are short, as npm's are: `package/…`. */
function filesOf(archive: Uint8Array): Map<string, Uint8Array> {
  const files = new Map<string, Uint8Array>();
  const text = (from: number, length: number) =>
    Buffer.from(archive.subarray(from, from + length))
      .toString('utf8')
      .replace(/\0.*$/s, '');
  for (let at = 0; at + BLOCK <= archive.length && archive[at]; ) {
    const size = Number.parseInt(text(at + 124, 12), 8);
    const prefix = text(at + 345, 155);
    const path = [prefix, text(at, 100)].filter(Boolean).join('/');
    const isFile = ['0', ''].includes(text(at + 156, 1));
    if (isFile) files.set(path.replace(/^package\//, ''), archive.subarray(at + BLOCK, at + BLOCK + size));
    at += BLOCK * (1 + Math.ceil(size / BLOCK));
  }
  return files;
}
