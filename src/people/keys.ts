/**
 * Keys of the API: secrets by which somebody's own programs act as them, as far as a key's scopes go.
 *
 *   atelier_<prefix>_<secret>      shown once; Postgres has the prefix, and the SHA-256 of all of it
 *
 * The only file that writes ApiKey.
 */
import { createHash, randomBytes, timingSafeEqual } from 'node:crypto';
import { audit } from '#src/audit.ts';
import { type ApiKey, db, type KeyScope } from '#src/doors/db.ts';
import { webhookUrl as permitted } from '#src/doors/webhook.ts';
import { UserError } from '#src/errors.ts';
import type { Actor } from './people.ts';
import type { Visitor } from './sessions.ts';

export const scopes = ['read', 'draw', 'faces'] as const satisfies readonly KeyScope[];
/** Of one person. */
export const KEYS_MAX = 10;
export const NAME_MAX = 60;
const FORM = /^atelier_([A-Za-z0-9]{10})_[\w-]{43}$/;
const LETTERS = 'ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz23456789';
/** "Last used" is true to the minute: else each request would write a row. ms */
const USED_EVERY_MS = 60_000;

const hashOf = (key: string) => createHash('sha256').update(key).digest('hex');
const newPrefix = () => [...randomBytes(10)].map((byte) => LETTERS[byte % LETTERS.length]).join('');

export interface NewKey {
  readonly name: string;
  readonly scopes: readonly KeyScope[];
  /** null: no webhook */
  readonly webhookUrl: string | null;
}

/** What is shown once. */
export interface ShownKey {
  readonly key: string;
  /** null: it has no webhook */
  readonly webhookSecret: string | null;
}

/** @throws {UserError} `key_name`, `keys_many`, `webhook_url` */
export async function makeKey(actor: Actor, wanted: NewKey): Promise<ShownKey> {
  const name = wanted.name.trim();
  if (!name || [...name].length > NAME_MAX) throw new UserError('key_name', { max: NAME_MAX });
  const webhookUrl = wanted.webhookUrl === null ? null : (permitted(wanted.webhookUrl)?.href ?? null);
  if (wanted.webhookUrl !== null && webhookUrl === null) throw new UserError('webhook_url', {});
  const prefix = newPrefix();
  const key = `atelier_${prefix}_${randomBytes(32).toString('base64url')}`;
  const webhookSecret = webhookUrl === null ? null : `whsec_${randomBytes(32).toString('base64')}`;
  const data = { userId: actor.id, name, prefix, hash: hashOf(key), scopes: [...wanted.scopes] };
  await db.$transaction(async (tx) => {
    // Two that are made at once take turns, so that together they do not pass the limit.
    await tx.$executeRaw`SELECT 1 FROM "User" WHERE id = ${actor.id} FOR NO KEY UPDATE`;
    if ((await tx.apiKey.count({ where: { userId: actor.id } })) >= KEYS_MAX)
      throw new UserError('keys_many', { max: KEYS_MAX });
    const { id } = await tx.apiKey.create({ data: { ...data, webhookUrl, webhookSecret } });
    await audit(tx, {
      actorId: actor.id,
      action: 'key.create',
      subject: `key:${id}`,
      after: { name, scopes: data.scopes, webhook: webhookUrl !== null },
    });
  });
  return { key, webhookSecret };
}

export type ListedKey = Pick<
  ApiKey,
  'id' | 'name' | 'prefix' | 'scopes' | 'lastUsedAt' | 'webhookUrl' | 'createdAt'
>;

/** Newest first. */
export async function listKeys(userId: string): Promise<ListedKey[]> {
  return db.apiKey.findMany({
    where: { userId },
    orderBy: { createdAt: 'desc' },
    omit: { hash: true, webhookSecret: true },
  });
}

/** It is good for nothing from now on. @throws {UserError} `gone`, also of somebody else's */
export async function revokeKey(actor: Actor, id: string): Promise<void> {
  await db.$transaction(async (tx) => {
    const { count } = await tx.apiKey.deleteMany({ where: { id, userId: actor.id } });
    if (!count) throw new UserError('gone', {});
    await audit(tx, { actorId: actor.id, action: 'key.revoke', subject: `key:${id}` });
  });
}

/** Whoever has a key. */
export interface Holder {
  readonly keyId: string;
  readonly scopes: readonly KeyScope[];
  readonly hasWebhook: boolean;
  /** as whom it acts */
  readonly visitor: Visitor;
}

/** null: it is no key, or was revoked */
export async function holderOf(key: string, now = new Date()): Promise<Holder | null> {
  const [, prefix] = FORM.exec(key) ?? [];
  if (prefix === undefined) return null;
  const found = await db.apiKey.findUnique({
    where: { prefix },
    include: { user: { select: { locale: true } } },
  });
  if (!found || !timingSafeEqual(Buffer.from(found.hash), Buffer.from(hashOf(key)))) return null;
  const usedBefore = new Date(now.getTime() - USED_EVERY_MS);
  if (!found.lastUsedAt || found.lastUsedAt < usedBefore)
    await db.apiKey.updateMany({ where: { id: found.id }, data: { lastUsedAt: now } });
  const { id: keyId, userId, name, user } = found;
  return {
    keyId,
    scopes: found.scopes,
    hasWebhook: found.webhookUrl !== null,
    visitor: { sessionId: '', userId, isGuest: false, name, locale: user.locale, isDue: false },
  };
}
