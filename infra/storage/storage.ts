/**
 * `npm run storage -- …`: files of the folder under DATA_DIR and of the bucket that S3_BUCKET names.
 *
 *   copy disk s3        everything that is not there already; broken off, it is begun again
 *   check disk s3       reads everything in both; ends with 1 where they differ
 *   url KEY [SECONDS]   an address of one file in the bucket that needs no keys, for so long (60)
 *   lifecycle [apply]   what the bucket does by itself, prefix by prefix: shown, or set
 */
import { resolve } from 'node:path';
import { PutBucketLifecycleConfigurationCommand, S3Client } from '@aws-sdk/client-s3';
import { config, required } from '#config/env.ts';
import { openStore, type Store } from '#src/doors/storage.ts';
import { print } from '../local/print.ts';
import { rules } from './lifecycle.ts';
import { compare, copyAll } from './transfer.ts';

const USAGE =
  'Usage: npm run storage -- copy|check disk|s3 disk|s3 · url KEY [SECONDS] · lifecycle [apply]   (see .env.example for S3_…)';
const TELL_EVERY_MS = 2_000;
const SHOWN = 20;
const MIB = 2 ** 20;
const WEEK_S = 7 * 24 * 3_600;

const settings = () => required(config.s3 ?? undefined, 'S3_BUCKET');

async function placeOf(name: string | undefined): Promise<Store | null> {
  if (name === 'disk') return openStore({ dir: resolve(config.dataDir, 'files') });
  if (name === 's3') return openStore({ s3: settings() });
  return null;
}

/** @returns the exit code */
async function main([verb, first, second]: readonly string[]): Promise<number> {
  if ((verb === 'copy' || verb === 'check') && first !== second) {
    const [from, to] = [await placeOf(first), await placeOf(second)];
    if (!from || !to) return usage();
    await Promise.all([from.check(), to.check()]);
    return verb === 'copy' ? copy(from, to) : check(from, to);
  }
  if (verb === 'url' && first) return url(first, Number(second ?? 60));
  if (verb === 'lifecycle' && (first === undefined || first === 'apply')) return lifecycle(first === 'apply');
  return usage();
}

function usage(): number {
  process.stderr.write(`${USAGE}\n`);
  return 2;
}

async function copy(from: Store, to: Store): Promise<number> {
  print(`From ${from.name} to ${to.name}`);
  const tell = nowAndThen();
  const { files, copied, bytes, gone } = await copyAll(from, to, ({ at, ...done }) =>
    tell(() => `${at} of ${done.files} files; copied ${done.copied}, ${mib(done.bytes)}`),
  );
  print(
    `${files} files: ${copied} copied (${mib(bytes)}), ${files - copied - gone} were there, ${gone} went meanwhile`,
  );
  return 0;
}

async function check(from: Store, to: Store): Promise<number> {
  print(`${from.name} and ${to.name}`);
  const tell = nowAndThen();
  const { files, ...found } = await compare(from, to, (at, of) => tell(() => `${at} of ${of} files`));
  const lists = [
    ['missing in the second', found.missing],
    ['only in the second', found.extra],
    ['different', found.different],
  ] as const;
  for (const [what, keys] of lists) {
    for (const key of keys.slice(0, SHOWN)) print(`${what}: ${key}`);
    if (keys.length > SHOWN) print(`${what}: ${keys.length - SHOWN} more`);
  }
  const differ = lists.reduce((sum, [, keys]) => sum + keys.length, 0);
  print(`${files} files in the first, ${differ} differences`);
  return differ ? 1 : 0;
}

async function url(key: string, seconds: number): Promise<number> {
  if (!(Number.isInteger(seconds) && seconds > 0 && seconds <= WEEK_S)) return usage();
  const store = await openStore({ s3: settings() });
  print((await store.readUrl(key, seconds)) ?? '');
  return 0;
}

async function lifecycle(apply: boolean): Promise<number> {
  if (!apply) {
    print(JSON.stringify({ Rules: rules }, null, 2));
    return 0;
  }
  const { bucket, endpoint, region, keys, pathStyle } = settings();
  const client = new S3Client({
    region,
    forcePathStyle: pathStyle,
    ...(endpoint && { endpoint }),
    ...(keys && { credentials: { ...keys } }),
  });
  const LifecycleConfiguration = { Rules: [...rules] };
  await client.send(new PutBucketLifecycleConfigurationCommand({ Bucket: bucket, LifecycleConfiguration }));
  print(`${rules.length} rules are set on the bucket ${bucket}`);
  return 0;
}

/** Prints what is newest every few seconds. */
function nowAndThen(): (say: () => string) => void {
  let after = performance.now() + TELL_EVERY_MS;
  return (say) => {
    if (performance.now() < after) return;
    after = performance.now() + TELL_EVERY_MS;
    print(say());
  };
}

const mib = (bytes: number) => `${(bytes / MIB).toFixed(1)} MiB`;

try {
  process.exitCode = await main(process.argv.slice(2));
} catch (error) {
  // A sentence of ours; of what the library says only its name, as it may hold what was signed.
  const isOurs = error instanceof Error && !('$metadata' in error);
  process.stderr.write(
    `${isOurs ? error.message : `S3 refused it: ${error instanceof Error ? error.name : ''}`}\n`,
  );
  process.exitCode = 1;
}
