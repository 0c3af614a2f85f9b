/**
 * Progress by server-sent events. However many pages look on, a process asks Postgres once a second for all of them together, and
 * writes to those whose batch has changed. Places in the backlog cost more: they are told every few seconds, to some after the others.
 *
 * Bounded: so many streams in a process, of one network and of one person. A stream lives for some minutes and the page opens it anew,
 * which asks again who they are. Whoever takes nothing in is let go.
 */
import type { ServerResponse } from 'node:http';
import type { FastifyReply } from 'fastify';
import { placesOf, type Told } from '#src/backlog/place.ts';
import { log } from '#src/doors/log.ts';
import { type Board, boardsOf } from './boards.ts';

const EVERY_MS = 1_000;
/** A place is told anew when it is so old, and of so many batches at once: it takes a forecast of the backlog. */
const PLACES_EVERY_MS = 5_000;
const PLACES_MAX = 25;
const BEAT_EVERY_MS = 20_000;
const LIVES_MS = 5 * 60_000;
const IN_ALL = 2_000;
const OF_NETWORK = 200;
const OF_PERSON = 20;
/** When who was let go as the process ended comes again. */
const AGAIN_MS = { least: 1_000, spread: 4_000 };
/** Batches of one statement. */
const READ_MAX = 500;
/** What a stream may owe its reader. bytes */
const OWED_MAX = 256 * 1024;

/** What of a batch changes and is told, by names: of its page, element id → what is in it. */
export type Parts = Readonly<Record<string, string>>;

/** An event of a stream. @param data one line */
export const event = (name: string, data: string) => `event: ${name}\ndata: ${data}\n\n`;

export interface Stream {
  readonly batchId: string;
  readonly userId: string;
  readonly network: string;
  readonly response: ServerResponse;
}

interface Open extends Stream {
  readonly until: number;
  beatAt: number;
}

interface Watched {
  readonly streams: Set<Open>;
  /** element id → what every stream has */
  parts: Parts;
}

export interface Live {
  /** false: there are too many. Its head is written by whoever opens it. */
  open(stream: Stream): boolean;
  readonly size: number;
  close(): void;
}

/**
 * @param show what is told of a board
 * @param say an event that tells what has changed of it
 */
export function openLive(
  show: (board: Board, told: Told | undefined) => Parts,
  say: (changed: Parts) => string,
): Live {
  const watched = new Map<string, Watched>();
  const ofNetwork = new Map<string, number>();
  const ofPerson = new Map<string, number>();
  const places = new Map<string, { readonly told: Told; readonly at: number }>();
  let size = 0;
  let timer: NodeJS.Timeout | undefined;
  let closed = false;

  const add = (counts: Map<string, number>, key: string, by: 1 | -1) => {
    const count = (counts.get(key) ?? 0) + by;
    if (count > 0) counts.set(key, count);
    else counts.delete(key);
  };

  function leave(stream: Open): void {
    const at = watched.get(stream.batchId);
    if (!at?.streams.delete(stream)) return;
    size--;
    add(ofNetwork, stream.network, -1);
    add(ofPerson, stream.userId, -1);
    if (!at.streams.size) {
      watched.delete(stream.batchId);
      places.delete(stream.batchId);
    }
    stream.response.end();
  }

  function write(stream: Open, text: string): void {
    if (stream.response.writableLength > OWED_MAX) {
      leave(stream);
      stream.response.destroy();
    } else stream.response.write(text);
  }

  async function look(now: number): Promise<void> {
    const ids = [...watched.keys()];
    const boards: Board[] = [];
    for (let from = 0; from < ids.length; from += READ_MAX)
      boards.push(...(await boardsOf(ids.slice(from, from + READ_MAX))));
    const due = boards
      .filter(({ id, endedAt }) => !endedAt && now - (places.get(id)?.at ?? 0) >= PLACES_EVERY_MS)
      .map(({ id }) => id)
      .sort((a, b) => (places.get(a)?.at ?? 0) - (places.get(b)?.at ?? 0))
      .slice(0, PLACES_MAX);
    const told = await placesOf(due);
    for (const [i, id] of due.entries()) if (watched.has(id)) places.set(id, { told: told[i]!, at: now });
    const there = new Set(boards.map(({ id }) => id));
    for (const board of boards) tell(board);
    // Deleted, with somebody's data.
    for (const id of ids)
      if (!there.has(id)) for (const stream of watched.get(id)?.streams ?? []) leave(stream);
  }

  function tell(board: Board): void {
    const at = watched.get(board.id);
    if (!at) return;
    const parts = show(board, places.get(board.id)?.told);
    const changed = Object.entries(parts).filter(([id, html]) => at.parts[id] !== html);
    at.parts = parts;
    for (const stream of at.streams) {
      // It became somebody else's, as a guest's does when they sign in.
      if (stream.userId !== board.ownerId) leave(stream);
      else if (changed.length) write(stream, say(Object.fromEntries(changed)));
    }
    if (!board.endedAt) return;
    for (const stream of at.streams) {
      write(stream, event('end', '{}'));
      leave(stream);
    }
  }

  async function tick(): Promise<void> {
    const now = Date.now();
    try {
      await look(now);
    } catch (error) {
      // Pages wait: what they show is as old as it is.
      log.warn({ err: error }, 'progress is not known');
    }
    for (const { streams } of [...watched.values()])
      for (const stream of streams) {
        if (now > stream.until) leave(stream);
        else if (now - stream.beatAt >= BEAT_EVERY_MS) {
          stream.beatAt = now;
          write(stream, ':\n\n');
        }
      }
    timer = watched.size && !closed ? setTimeout(() => void tick(), EVERY_MS) : undefined;
  }

  return {
    get size() {
      return size;
    },

    open(wanted) {
      const { batchId, network, userId, response } = wanted;
      const full =
        size >= IN_ALL ||
        (ofNetwork.get(network) ?? 0) >= OF_NETWORK ||
        (ofPerson.get(userId) ?? 0) >= OF_PERSON;
      if (closed || full) return false;
      const now = Date.now();
      const stream: Open = { ...wanted, until: now + LIVES_MS, beatAt: now };
      const at = watched.get(batchId) ?? { streams: new Set<Open>(), parts: {} };
      watched.set(batchId, at);
      at.streams.add(stream);
      size++;
      add(ofNetwork, network, 1);
      add(ofPerson, userId, 1);
      response.on('close', () => leave(stream));
      response.on('error', () => leave(stream));
      if (Object.keys(at.parts).length) queueMicrotask(() => write(stream, say(at.parts)));
      timer ??= setTimeout(() => void tick(), 0);
      return true;
    },

    close() {
      closed = true;
      clearTimeout(timer);
      for (const { streams } of [...watched.values()])
        for (const stream of streams) {
          // All of them come back, and not at once.
          write(stream, `retry: ${AGAIN_MS.least + Math.floor(Math.random() * AGAIN_MS.spread)}\n\n`);
          leave(stream);
        }
    },
  };
}

/** Writes the head of a stream that was let in. */
export function beginStream(reply: FastifyReply): void {
  const { raw: response } = reply.hijack();
  for (const [name, value] of Object.entries(reply.getHeaders()))
    if (value !== undefined) response.setHeader(name, value);
  response.writeHead(200, { 'content-type': 'text/event-stream', 'x-accel-buffering': 'no' });
  response.write('retry: 2000\n\n');
}
