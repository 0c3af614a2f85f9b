/** Postgres as it is, read by SQL of the reader's own, all at one moment. */
import pg from 'pg';

export interface Batch {
  readonly id: string;
  readonly kind: string;
  readonly state: string;
  readonly ownerId: string;
  readonly interactionId: string | null;
  readonly charged: number;
  readonly endedAt: Date | null;
}
export interface Generation {
  readonly id: string;
  readonly batchId: string;
  readonly index: number;
  readonly state: string;
  readonly reused: boolean;
  readonly price: number;
}
export interface Image {
  readonly id: string;
  readonly generationId: string;
  readonly storageKey: string;
  readonly sha256: string;
  readonly verdict: string;
  readonly visibility: string;
  readonly collection: string | null;
  readonly deletedAt: Date | null;
  /** of its review, if it has one */
  readonly review: string | null;
}
export interface Delivery {
  readonly id: string;
  readonly kind: string;
  readonly state: string;
  readonly batchId: string | null;
  readonly reviewId: string | null;
  readonly messageId: string | null;
  readonly wanted: number;
  readonly posted: number;
  readonly lastError: string | null;
}
export interface Token {
  readonly userId: string;
  readonly amount: number;
  readonly reason: string;
  readonly batchId: string | null;
  readonly generationId: string | null;
}
export interface Photo {
  readonly id: string;
  readonly state: string;
  readonly storageKey: string;
  readonly sha256: string;
}

export interface Rows {
  readonly users: readonly { readonly id: string; readonly tokens: number }[];
  readonly batches: readonly Batch[];
  readonly generations: readonly Generation[];
  readonly images: readonly Image[];
  readonly deliveries: readonly Delivery[];
  readonly tokens: readonly Token[];
  readonly photos: readonly Photo[];
  /** ids of ideas that nobody has thought of yet */
  readonly waitingIdeas: readonly string[];
  readonly reviewChannels: readonly string[];
  /** of which pictures there are previews */
  readonly previews: readonly string[];
}

export async function readRows(databaseUrl: string): Promise<Rows> {
  const client = new pg.Client({ connectionString: databaseUrl });
  client.on('error', () => {});
  await client.connect();
  try {
    await client.query('BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY');
    const all = async <T>(sql: string) => (await client.query(sql)).rows as T[];
    const ids = async (sql: string) => (await all<{ id: string }>(sql)).map(({ id }) => id);
    return {
      users: await all('SELECT id, tokens FROM "User"'),
      batches: await all(
        'SELECT id, kind, state, "ownerId", "interactionId", charged, "endedAt" FROM "Batch" ORDER BY id',
      ),
      generations: await all(
        'SELECT id, "batchId", index, state, reused, price FROM "Generation" ORDER BY "batchId", index',
      ),
      images: await all(
        `SELECT i.id, "generationId", "storageKey", sha256, verdict, visibility, collection, "deletedAt", r.state AS review
         FROM "Image" i LEFT JOIN "Review" r ON r."imageId" = i.id ORDER BY i.id`,
      ),
      deliveries: await all(
        'SELECT id, kind, state, "batchId", "reviewId", "messageId", wanted, posted, "lastError" FROM "Delivery" ORDER BY id',
      ),
      tokens: await all(
        'SELECT "userId", amount, reason, "batchId", "generationId" FROM "TokenEntry" ORDER BY id',
      ),
      photos: await all('SELECT id, state, "storageKey", sha256 FROM "FacePhoto" ORDER BY id'),
      waitingIdeas: await ids(`SELECT id FROM "Idea" WHERE state = 'waiting'`),
      reviewChannels: await ids(
        'SELECT "reviewChannelId" AS id FROM "GuildSettings" WHERE "reviewChannelId" IS NOT NULL',
      ),
      previews: await ids('SELECT "generationId" AS id FROM "Preview"'),
    };
  } finally {
    await client.end();
  }
}
