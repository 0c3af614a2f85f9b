/**
 * A folder of its own for each running instance: `.atelier/1`, or the next number that no living process holds. So a second
 * instance beside the first works on its own data, and the next start finds the first's.
 *
 * The lock is a loopback port that answers with the instance's key: it ends with its process, however that was
 * killed, and cannot be mistaken for another process that got the same id.
 */
import { randomUUID } from 'node:crypto';
import { mkdir, readFile, rename, writeFile } from 'node:fs/promises';
import { type AddressInfo, connect, createServer } from 'node:net';
import { join, resolve } from 'node:path';
import { z } from 'zod';

const INSTANCES_MAX = 16;
const ANSWER_WITHIN_MS = 500;

export interface Instance {
  readonly number: number;
  /** absolute */
  readonly dir: string;
  release(): Promise<void>;
}

const Lock = z.object({ port: z.number().int().positive(), key: z.uuid() });

export async function claimInstance(dataDir: string): Promise<Instance> {
  for (let number = 1; number <= INSTANCES_MAX; number++) {
    const dir = resolve(dataDir, String(number));
    await mkdir(dir, { recursive: true });
    if (await isHeld(join(dir, 'lock.json'))) continue;

    const key = randomUUID();
    const server = createServer((socket) => socket.on('error', () => {}).end(key));
    await new Promise<void>((done, fail) => server.once('error', fail).listen(0, '127.0.0.1', done));
    server.unref();
    const { port } = server.address() as AddressInfo;
    const file = join(dir, 'lock.json');
    await writeFile(`${file}.${key}`, JSON.stringify({ port, key }));
    await rename(`${file}.${key}`, file);
    // Two that started in the same moment both wrote: the later rename stands, the other goes on to the next number.
    await new Promise((done) => setTimeout(done, 50));
    if ((await readLock(file))?.key === key) {
      return { number, dir, release: () => new Promise((done) => server.close(() => done())) };
    }
    server.close();
  }
  throw new Error(`${INSTANCES_MAX} instances run under ${dataDir} already.`);
}

async function readLock(file: string): Promise<z.output<typeof Lock> | null> {
  try {
    return Lock.parse(JSON.parse(await readFile(file, 'utf8')));
  } catch {
    return null; // none yet, or half a file of a killed process
  }
}

async function isHeld(file: string): Promise<boolean> {
  const lock = await readLock(file);
  if (!lock) return false;
  return new Promise((answer) => {
    const socket = connect(lock.port, '127.0.0.1');
    let text = '';
    const done = (held: boolean) => {
      socket.destroy();
      answer(held);
    };
    socket.setTimeout(ANSWER_WITHIN_MS, () => done(false));
    socket.on('error', () => done(false));
    socket.on('data', (chunk) => {
      text += String(chunk);
    });
    socket.on('end', () => done(text === lock.key));
  });
}
