/**
 * The life of one idea, a prompt that Mecene makes of a few words:
 *
 *   waiting ──▶ ready
 *      └──────▶ failed
 *
 * Asking writes the row and then a job that carries its id. A job that is lost is put back by `requeueWaitingIdeas`; one
 * that comes twice finds its row ended. The only file that writes Idea.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { db, type Idea, type Prisma } from './doors/db.ts';
import { type Queues, queues } from './doors/queue.ts';
import { UserError } from './errors.ts';
import type { CheckedPrompt } from './moderation/words.ts';
import { message } from './say.ts';

const POLL_MS = 150;
/** A row this young may still be on its way to the queue. */
const SETTLED_MS = 2_000;

/** What Mecene made. */
export interface Thought {
  /** about 50 words */
  readonly idea: string;
  /** category → keywords; eight categories */
  readonly categories: Readonly<Record<string, readonly string[]>>;
  /** the 15 most relevant */
  readonly keywords: readonly string[];
  readonly prompt: string;
  /** `composer`, or the model's name */
  readonly source: string;
  /** the model was asked and was of no use, so the composer wrote this */
  readonly fallback: boolean;
}

export interface NewIdea {
  readonly userId: string;
  /** as the person wrote them, checked before a model could reword them; empty: Mecene chooses */
  readonly words: CheckedPrompt | '';
  readonly seed: number | bigint;
}

export async function askIdea({ userId, words, seed }: NewIdea, via: Queues = queues()): Promise<Idea> {
  const idea = await db.idea.create({ data: { userId, words, seed: BigInt(seed) } });
  via.addSoon('idea', { ideaId: idea.id }, { id: idea.id });
  return idea;
}

/**
 * Waits until all of them have ended.
 *
 * @returns the rows in the order of `ids`; a failed one has `prompt: null`, so that the caller can say which it was
 * @throws {UserError} `busy` after `timeoutMs`; `gone` when a row is not there
 */
export async function waitForIdeas(
  ids: readonly string[],
  { timeoutMs }: { timeoutMs: number },
): Promise<Idea[]> {
  const wanted = [...new Set(ids)];
  const ended: Prisma.IdeaWhereInput = { id: { in: wanted }, state: { not: 'waiting' } };
  for (const until = Date.now() + timeoutMs; (await db.idea.count({ where: ended })) < wanted.length; ) {
    if (Date.now() >= until) throw new UserError('busy', { what: message('Mecene') });
    await sleep(POLL_MS);
  }
  const rows = new Map((await db.idea.findMany({ where: ended })).map((idea) => [idea.id, idea]));
  return ids.map((id) => {
    const idea = rows.get(id);
    if (!idea) throw new UserError('gone', {});
    return idea;
  });
}

/** What a job is about; null when the idea has ended, or its asker is gone. */
export async function startIdea(id: string): Promise<Idea | null> {
  return db.idea.findUnique({ where: { id, state: 'waiting' } });
}

/** @returns false when it had ended already: the first one counts */
export async function finishIdea(
  id: string,
  { categories, keywords, ...thought }: Thought,
): Promise<boolean> {
  const { count } = await db.idea.updateMany({
    where: { id, state: 'waiting' },
    data: {
      ...thought,
      state: 'ready',
      keywords: [...keywords],
      categories: categories as Prisma.InputJsonObject,
    },
  });
  return count > 0;
}

/** @param failure a UserError code, or `internal` */
export async function failIdea(id: string, failure: string): Promise<boolean> {
  const { count } = await db.idea.updateMany({
    where: { id, state: 'waiting' },
    data: { state: 'failed', failure },
  });
  return count > 0;
}

/** Puts back what waits in Postgres and is not in the queue, as after Redis was emptied. Returns how many. */
export async function requeueWaitingIdeas(via: Queues = queues(), now = new Date()): Promise<number> {
  const waiting = await db.idea.findMany({
    where: { state: 'waiting', createdAt: { lt: new Date(now.getTime() - SETTLED_MS) } },
    orderBy: { createdAt: 'asc' },
    select: { id: true },
  });
  if (!waiting.length) return 0;
  const queued = await via.ids('idea');
  const lost = waiting.filter(({ id }) => !queued.has(id));
  for (const { id } of lost) await via.add('idea', { ideaId: id }, { id });
  return lost.length;
}
