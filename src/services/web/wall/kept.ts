/**
 * Pages as they go out, compressed, in memory for as long as the gallery is as it was when they were made. They are answered before
 * Fastify sees the request, and whether somebody has them already is known before anything else is.
 */
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { FastifyReply, FastifyRequest } from 'fastify';
import { LruCache } from '#src/lru-cache.ts';
import type { Page } from '../layout.ts';
import { type Coding, codingFor, codings, hasTag, tagOf } from '../send.ts';

/** Something with its headers as they go out: name, value, name, value … */
export interface Ready {
  readonly etag: string;
  readonly headers: string[];
  /** of a 304 */
  readonly short: string[];
  readonly body: Buffer;
}

/** A page, a feed: text of one kind. */
export interface Text {
  readonly type: string;
  readonly text: string;
  /** more headers: name, value … */
  readonly headers: readonly string[];
}

export interface Kept {
  answer(request: IncomingMessage, response: ServerResponse): boolean;
  /** Answers with what `make` makes, and keeps it; null of `make`'s is for the caller to answer. */
  send(request: FastifyRequest, reply: FastifyReply, make: () => Promise<Text | null>): Promise<boolean>;
  /** All of it is old from now on. */
  forget(): void;
}

/** Bytes of each coding; addresses can be made up without end, as of searches. */
const BYTES_MAX = 24 * 2 ** 20;
/** What a page says beside the gallery, as of a bundle's terms, is so old at most. ms */
const FRESH_FOR_MS = 60_000;

export const htmlText = ({ html, policy }: Page): Text => ({
  type: 'text/html; charset=utf-8',
  text: html,
  headers: ['content-security-policy', policy],
});

/** @param always headers of every answer */
export function keepPages(always: readonly string[]): Kept {
  let pages = emptied();
  let making = new Map<string, Promise<Ready | null>>();

  async function made(coding: Coding, make: () => Promise<Text | null>): Promise<Ready | null> {
    const found = await make();
    if (!found) return null;
    const body = await codings[coding](found.text);
    const etag = tagOf(found.text, coding);
    const short = [
      'etag',
      etag,
      'cache-control',
      'no-cache',
      'vary',
      'accept-encoding',
      ...found.headers,
      ...always,
    ];
    return {
      etag,
      short,
      body,
      headers: [
        ...['content-type', found.type, 'content-length', String(body.length)],
        ...(coding === 'identity' ? [] : ['content-encoding', coding]),
        ...short,
      ],
    };
  }

  return {
    answer(request, response) {
      const { url = '', headers } = request;
      const coding = codingFor(headers['accept-encoding']);
      const page = pages[coding].get(url);
      if (!page || page.until < performance.now()) return false;
      write(request, response, page);
      return true;
    },

    async send(request, reply, make) {
      const { url = '' } = request.raw;
      const coding = codingFor(request.headers['accept-encoding']);
      const mine = pages;
      const key = `${coding} ${url}`;
      let ready = making.get(key);
      if (!ready) {
        ready = made(coding, make).then((page) => {
          // Made of what was there before a change: it goes to who asked, and to nobody else.
          if (page && mine === pages)
            mine[coding].set(
              url,
              { ...page, until: performance.now() + FRESH_FOR_MS },
              page.body.length + 2_000,
            );
          return page;
        });
        const all = making;
        making.set(key, ready);
        void ready.catch(() => {}).finally(() => all.delete(key));
      }
      const page = await ready;
      if (!page) return false;
      reply.hijack();
      write(request.raw, reply.raw, page);
      return true;
    },

    forget() {
      pages = emptied();
      making = new Map();
    },
  };
}

function emptied() {
  const some = () => new LruCache<Ready & { readonly until: number }>(BYTES_MAX);
  return { br: some(), gzip: some(), identity: some() } as const satisfies Record<Coding, unknown>;
}

/** Whole, or 304 to who has it; without its body for HEAD. */
export function write(request: IncomingMessage, response: ServerResponse, ready: Ready): void {
  if (hasTag(request.headers['if-none-match'], ready.etag)) response.writeHead(304, ready.short).end();
  else if (request.method === 'HEAD') response.writeHead(200, ready.headers).end();
  else response.writeHead(200, ready.headers).end(ready.body);
}
