/** `npm run bundle -- reference DIR`: puts the reference bundle, small networks of our own that draw a world of their own, into DIR. */
import { readdir } from 'node:fs/promises';
import { resolve } from 'node:path';
import { buildReferenceBundle } from '#pipelines/reference/build.ts';
import { messageOf } from '#src/doors/log.ts';
import { isMissing } from '#src/doors/storage.ts';
import type { Command } from './command.ts';

/** Ends with 0 once it is there, with 1 when it can't be written or DIR holds something already, with 2 when the arguments are wrong. */
const reference: Command = async ([dir, ...more]) => {
  if (!dir || more.length || dir.startsWith('-')) {
    process.stderr.write('Usage: npm run bundle -- reference DIR\n');
    return 2;
  }
  try {
    if (await holdsSomething(resolve(dir))) {
      process.stderr.write(
        `There is something in ${dir} already, which would be lost. Name a folder that is new or empty.\n`,
      );
      return 1;
    }
    await buildReferenceBundle(resolve(dir));
    return 0;
  } catch (error) {
    process.stderr.write(`${messageOf(error)}\n`);
    return 1;
  }
};
export default reference;

/** @throws {NodeJS.ErrnoException} when it is no folder, or can't be read: what is there is somebody's */
async function holdsSomething(dir: string): Promise<boolean> {
  try {
    return (await readdir(dir)).length > 0;
  } catch (error) {
    if (isMissing(error)) return false;
    throw error;
  }
}
