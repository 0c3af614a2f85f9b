/**
 * What a bucket does by itself, prefix by prefix. Little: what is kept and what goes is decided by rows, and a bucket that deletes what
 * a row names loses a picture. Previews are rows, too, and not in storage.
 *
 * Where the bucket keeps versions, what people delete would stay as an earlier version, faces among it: those go within a day.
 */
import type { LifecycleRule } from '@aws-sdk/client-s3';
import type { FOLDERS } from '#src/doors/storage.ts';

interface Prefix {
  readonly why: string;
  /** days after which it goes, whatever it is; left out: it stays */
  readonly expires?: number;
}

export const prefixes: Readonly<Record<`${(typeof FOLDERS)[number]}/` | 'tests/room/', Prefix>> = {
  'faces/': {
    why: 'photos stay until consent is withdrawn or the folder removed; then they are deleted at once',
  },
  'tests/': { why: 'pictures drawn outside production mode: as long as their rows name them' },
  'tests/room/': {
    why: 'bytes by which a worker finds out whether there is room; one that was killed leaves them',
    expires: 1,
  },
  'productions/': { why: 'pictures drawn in production mode are kept' },
  'quarantine/': { why: 'flagged pictures stay until a moderator has decided' },
  'photowall/': { why: 'copies of what the gallery shows; they go when it is taken down' },
  'curated/': { why: 'the same of the best of it' },
};

/** Earlier versions, delete markers and parts of uploads that broke off. Days */
const LEFTOVERS = 1;

/** As S3 takes them. */
export const rules: readonly LifecycleRule[] = Object.entries(prefixes).map(([prefix, { expires }]) => ({
  ID: prefix.slice(0, -1).replaceAll('/', '-'),
  Status: 'Enabled',
  Filter: { Prefix: prefix },
  ...(expires !== undefined && { Expiration: { Days: expires } }),
  NoncurrentVersionExpiration: { NoncurrentDays: LEFTOVERS },
  AbortIncompleteMultipartUpload: { DaysAfterInitiation: LEFTOVERS },
}));
