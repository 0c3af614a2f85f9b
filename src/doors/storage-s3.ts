/**
 * Files in a bucket of S3, or of anything that speaks its protocol. Loaded only where S3 is configured: its library takes 20 MB.
 *
 * What is written is checked twice: it comes with a checksum, which S3 verifies, and with its SHA-256 beside it, which every read is held
 * against. So also a server that knows no checksums gives nothing that was not put there.
 *
 * An S3 that refuses the connection, hangs, is overloaded or takes our keys no more is away (`StorageAway`), for whoever asks within a
 * second too: nobody waits for one that has just not answered.
 */
import { createHash } from 'node:crypto';
import {
  CopyObjectCommand,
  DeleteObjectCommand,
  GetObjectCommand,
  HeadBucketCommand,
  HeadObjectCommand,
  ListObjectsV2Command,
  PutObjectCommand,
  S3Client,
  S3ServiceException,
} from '@aws-sdk/client-s3';
import { Upload } from '@aws-sdk/lib-storage';
import { getSignedUrl } from '@aws-sdk/s3-request-presigner';
import type { S3Settings } from '#config/env.ts';
import { log } from './log.ts';
import { MissingFile, StorageAway, StorageFull, type Store } from './storage-kinds.ts';

/** Larger ones are sent in parts of this size. S3 takes none under 5 MiB. */
const PART_BYTES = 8 * 2 ** 20;
const PARTS_AT_ONCE = 4;
/** Of one request: the SDK repeats what may be repeated, after a pause that grows. */
const ATTEMPTS = 3;
const CONNECTS_WITHIN_MS = 2_000;
/** Without a byte from it, S3 hangs. */
const SILENT_FOR_MS = 2_500;
/** All attempts together, of something small; what is large gets the time that it takes at the least speed. */
const ANSWERS_WITHIN_MS = 6_000;
const BYTES_PER_MS = 100;
/** For so long after it did not answer, nobody waits for it again. */
const AWAY_FOR_MS = 1_000;
/** Deletes of a folder's files at once. */
const DELETES_AT_ONCE = 8;

/** In the words of Amazon, Ceph and MinIO. */
const FULL = new Set(['QuotaExceeded', 'InsufficientStorage', 'XMinioStorageFull', 'StorageFull']);
const MISSING = new Set(['NotFound', 'NoSuchKey']);

export function s3Store(settings: S3Settings): Store {
  const { bucket: Bucket, endpoint, region, pathStyle, keys } = settings;
  const client = new S3Client({
    region,
    ...(endpoint && { endpoint }),
    // A copy: the library writes into what it is given.
    ...(keys && { credentials: { ...keys } }),
    forcePathStyle: pathStyle,
    maxAttempts: ATTEMPTS,
    // What is read is held against our own SHA-256, whatever the server knows.
    responseChecksumValidation: 'WHEN_REQUIRED',
    requestHandler: {
      connectionTimeout: CONNECTS_WITHIN_MS,
      socketTimeout: SILENT_FOR_MS,
      httpAgent: { maxSockets: 50 },
      httpsAgent: { maxSockets: 50 },
    },
  });
  const where = `the bucket ${Bucket}${endpoint ? ` at ${endpoint}` : ''}`;
  let awayUntil = 0;
  let isAway = false;

  /** @param bytes that go either way, as far as is known */
  async function ask<T>(bytes: number, work: (abortSignal: AbortSignal) => Promise<T>): Promise<T> {
    if (performance.now() < awayUntil) throw new StorageAway(`S3 has just not answered for ${where}`);
    try {
      const result = await work(AbortSignal.timeout(ANSWERS_WITHIN_MS + Math.ceil(bytes / BYTES_PER_MS)));
      if (isAway) log.info({ bucket: Bucket }, 'S3 answers again');
      isAway = false;
      return result;
    } catch (error) {
      const meant = meaningOf(error, where);
      if (!(meant instanceof StorageAway)) throw meant;
      // What is refused is answered at once, and another file may not be.
      if (!isRefusal(error)) awayUntil = performance.now() + AWAY_FOR_MS;
      if (!isAway) log.error({ err: meant }, 'S3 is away');
      isAway = true;
      throw meant;
    }
  }

  async function head(Key: string) {
    try {
      return await ask(0, (abortSignal) =>
        client.send(new HeadObjectCommand({ Bucket, Key }), { abortSignal }),
      );
    } catch (error) {
      if (error instanceof MissingFile) return null;
      throw error;
    }
  }

  async function read(Key: string): Promise<{ bytes: Buffer<ArrayBuffer>; sha256: string; kept?: string }> {
    // The size is not known before: enough for what is the largest of ours.
    const { Body, Metadata } = await ask(PART_BYTES, async (abortSignal) => {
      const found = await client.send(new GetObjectCommand({ Bucket, Key }), { abortSignal });
      return { ...found, Body: await found.Body?.transformToByteArray() };
    });
    const bytes = Buffer.from(Body ?? new Uint8Array());
    const kept = Metadata?.sha256;
    return { bytes, sha256: hashOf(bytes).toString('hex'), ...(kept !== undefined && { kept }) };
  }

  async function sha256(key: string): Promise<string | null> {
    try {
      return (await read(key)).sha256;
    } catch (error) {
      if (error instanceof MissingFile) return null;
      throw error;
    }
  }

  async function remove(Key: string): Promise<void> {
    await ask(0, (abortSignal) => client.send(new DeleteObjectCommand({ Bucket, Key }), { abortSignal }));
  }

  async function* list(folder: string): AsyncGenerator<string> {
    let token: string | undefined;
    do {
      const page = await ask(0, (abortSignal) =>
        client.send(new ListObjectsV2Command({ Bucket, Prefix: `${folder}/`, ContinuationToken: token }), {
          abortSignal,
        }),
      );
      for (const { Key } of page.Contents ?? []) if (Key) yield Key;
      token = page.IsTruncated ? page.NextContinuationToken : undefined;
    } while (token);
  }

  return {
    name: where,
    async check() {
      try {
        const abortSignal = AbortSignal.timeout(ANSWERS_WITHIN_MS);
        await client.send(new HeadBucketCommand({ Bucket }), { abortSignal });
      } catch (error) {
        if (error instanceof Error && statusOf(error) === null && !isOfNetwork(error)) throw error;
        throw new Error(refusal(error, settings));
      }
    },
    async put(Key, bytes) {
      const sha256 = hashOf(bytes);
      // A view of its own: the library would take all of the buffer that it is a part of.
      const Body = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
      const object = { Bucket, Key, Body, Metadata: { sha256: sha256.toString('hex') } };
      await ask(bytes.length, async (abortSignal) => {
        if (bytes.length <= PART_BYTES) {
          const ChecksumSHA256 = sha256.toString('base64');
          return client.send(new PutObjectCommand({ ...object, ChecksumSHA256 }), { abortSignal });
        }
        const params = { ...object, ChecksumAlgorithm: 'SHA256' as const };
        const upload = new Upload({ client, params, partSize: PART_BYTES, queueSize: PARTS_AT_ONCE });
        // It has no signal of its own, and takes what it has begun away.
        abortSignal.addEventListener('abort', () => void upload.abort());
        return upload.done();
      });
    },
    async get(key) {
      // Damaged on its way, perhaps: asked for once more.
      for (let attempt = 1; ; attempt++) {
        const { bytes, sha256, kept } = await read(key);
        if (kept === undefined || kept === sha256) return bytes;
        if (attempt === 2)
          throw new Error(`${key} in ${where} is not what was put there: its SHA-256 differs`);
      }
    },
    sha256,
    async saidSha256(key) {
      // What others put there says nothing.
      return (await head(key))?.Metadata?.sha256 ?? sha256(key);
    },
    async copy(from, to) {
      await ask(PART_BYTES, (abortSignal) =>
        client.send(new CopyObjectCommand({ Bucket, Key: to, CopySource: `${Bucket}/${from}` }), {
          abortSignal,
        }),
      );
    },
    async modifiedAt(key) {
      return (await head(key))?.LastModified ?? null;
    },
    list,
    remove,
    async removeFolder(folder) {
      let some: string[] = [];
      for await (const key of list(folder)) {
        some.push(key);
        if (some.length < DELETES_AT_ONCE) continue;
        await Promise.all(some.map(remove));
        some = [];
      }
      await Promise.all(some.map(remove));
    },
    async readUrl(Key, seconds) {
      return getSignedUrl(client, new GetObjectCommand({ Bucket, Key }), { expiresIn: seconds });
    },
    async close() {
      client.destroy();
    },
  };
}

function hashOf(bytes: Uint8Array): Buffer {
  return createHash('sha256').update(bytes).digest();
}

/** HTTP's; null: there was no answer */
function statusOf(error: unknown): number | null {
  return error instanceof S3ServiceException ? (error.$metadata.httpStatusCode ?? null) : null;
}

/** What went wrong, in a word. Not the error itself: it may hold what was signed, and by which key. */
function wordOf(error: unknown): string {
  if (!(error instanceof Error)) return 'unknown';
  const code = 'code' in error && typeof error.code === 'string' ? error.code : error.name;
  const status = statusOf(error);
  return status === null ? code : `${code}, HTTP ${status}`;
}

/** It was understood, and we may not. */
function isRefusal(error: unknown): boolean {
  const status = statusOf(error);
  return status === 401 || status === 403 || (error instanceof Error && error.name === 'NoSuchBucket');
}

function meaningOf(error: unknown, where: string): unknown {
  if (!(error instanceof Error)) return error;
  const status = statusOf(error);
  if (MISSING.has(error.name)) return new MissingFile(`There is no such file in ${where}`);
  if (FULL.has(error.name) || status === 507) return new StorageFull(`S3 takes no more into ${where}`);
  if (isRefusal(error)) return new StorageAway(`S3 refuses us ${where}: ${wordOf(error)}`);
  if (status === null && !isOfNetwork(error)) return error;
  if (status === null || status === 408 || status === 429 || status >= 500)
    return new StorageAway(`S3 does not answer for ${where}: ${wordOf(error)}`);
  return new Error(`S3 does not understand what was asked of ${where}: ${wordOf(error)}`);
}

/** Codes and names of Node's, of the SDK's handler and of its retries. */
const NETWORK =
  /^(E[A-Z]+|UND_ERR_\w+|TimeoutError|AbortError|NetworkingError|CredentialsProviderError|TokenProviderError)$/;

function isOfNetwork(error: Error): boolean {
  return ('code' in error && NETWORK.test(String(error.code))) || NETWORK.test(error.name);
}

/** Why this process does not start, and what to do. */
function refusal(error: unknown, { bucket, endpoint, region }: S3Settings): string {
  const at = endpoint ? ` at ${endpoint}` : '';
  const word = wordOf(error);
  switch (statusOf(error)) {
    case null:
      return `S3 can't be reached${at} (${word}). Is it running, and is S3_ENDPOINT right?`;
    case 301:
      return `The bucket ${bucket} is not in the region ${region}. Set S3_REGION to where it is.`;
    case 404:
      return `There is no bucket ${bucket}${at}. Make it, or set S3_BUCKET to one that is there.`;
    case 400:
    case 401:
    case 403:
      return `S3${at} refuses these keys for the bucket ${bucket} (${word}). Mend S3_ACCESS_KEY_ID and S3_SECRET_ACCESS_KEY, or what they may do.`;
    default:
      return `S3${at} does not answer for the bucket ${bucket} (${word}).`;
  }
}
