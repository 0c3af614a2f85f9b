/**
 * The plain server below Fastify: what of a request is refused before anything of ours reads it, how long anybody may take, and how it
 * ends. Node itself refuses what could be read in two ways, as a length beside chunks.
 */
import {
  createServer,
  type IncomingMessage,
  type RequestListener,
  type Server,
  type ServerResponse,
  STATUS_CODES,
} from 'node:http';
import type { Socket } from 'node:net';
import { HEADERS } from './send.ts';

/** ms, unless it says otherwise */
export interface ServerLimits {
  /** for a request's headers to come in */
  readonly headers: number;
  /** for the whole of a request */
  readonly request: number;
  /** between two signs of life of a connection */
  readonly silent: number;
  /** for somebody to take in what they were sent, but for streams, which write on */
  readonly take: number;
  /** how often the three above are looked at */
  readonly check: number;
  /** for what is under way when the service ends */
  readonly end: number;
  /** connections at once: more are closed as they come */
  readonly connections: number;
}

export const LIMITS: ServerLimits = {
  headers: 10_000,
  request: 30_000,
  silent: 60_000,
  take: 120_000,
  check: 2_000,
  end: 12_000,
  connections: 10_000,
};

export interface WebServer {
  readonly server: Server;
  /** From now on every answer is the last of its connection. */
  leave(): void;
  /** Ends with `close`, which stops listening: who is being answered has a while, who only waits has none. */
  end(close: () => Promise<unknown>): Promise<void>;
}

/** When the service ends: without a word for so long, a connection waits for nothing. ms */
const IDLE_FOR_MS = 200;
const SLASH = 47;
/** An address with its host, as proxies are asked (RFC 9112, 3.2.2): the host is nothing to us. */
const ABSOLUTE = /^https?:\/\/[^/?#]*/i;

export function openServer(handle: RequestListener, limits: ServerLimits = LIMITS): WebServer {
  let leaving = false;
  const server = createServer(
    {
      requestTimeout: limits.request,
      headersTimeout: limits.headers,
      connectionsCheckingInterval: limits.check,
      keepAliveTimeout: 72_000,
      // Nobody waits for the end of a body that there is not; that alone took a fifth of an answer from memory.
      optimizeEmptyRequests: true,
    },
    (request, response) => {
      if (leaving) response.shouldKeepAlive = false;
      if (hosts(request) > 1) return refuse(response, 400);
      const { url = '' } = request;
      if (url.charCodeAt(0) !== SLASH) {
        const path = url.replace(ABSOLUTE, '');
        if (path === url) return refuse(response, 400);
        request.url = path.startsWith('/') ? path : `/${path}`;
      }
      handle(request, response);
    },
  );
  server.setTimeout(limits.silent);
  server.maxConnections = limits.connections;
  // Node's would cut off whoever has not taken in all of their answer yet, and is called as a server stops listening.
  server.closeIdleConnections = () => {};
  const sockets = new Set<Socket>();
  server.on('connection', (socket) => {
    sockets.add(socket);
    socket.on('close', () => sockets.delete(socket));
  });
  const watching = watchTakers(sockets, limits);

  return {
    server,
    leave() {
      leaving = true;
    },
    async end(close) {
      leaving = true;
      const closing = closeIdle(sockets);
      const last = setTimeout(() => server.closeAllConnections(), limits.end);
      try {
        await close();
      } finally {
        for (const timer of [watching, closing, last]) clearInterval(timer);
      }
    },
  };
}

/** Two of them could be read by a proxy as one, and by us as the other (RFC 9112, 3.2). */
function hosts({ rawHeaders }: IncomingMessage): number {
  let count = 0;
  for (let i = 0; i < rawHeaders.length; i += 2) {
    const name = rawHeaders[i]!;
    if (name.length === 4 && name.toLowerCase() === 'host') count++;
  }
  return count;
}

/**
 * Ends connections of those who do not take in what they were sent: by one byte a minute they would never be silent. What was written is
 * compared, not what arrived: whoever gets more meanwhile, as of a stream, has a bound of its own.
 */
function watchTakers(sockets: ReadonlySet<Socket>, { take, check }: ServerLimits): NodeJS.Timeout {
  const takers = new WeakMap<Socket, { written: number; since: number }>();
  return setInterval(() => {
    const now = performance.now();
    for (const socket of sockets) {
      const { bytesWritten: written, writableLength: owed } = socket;
      const known = takers.get(socket);
      if (!owed || written !== known?.written) takers.set(socket, { written, since: now });
      else if (now - known.since > take) socket.destroy();
    }
  }, check).unref();
}

/** Ends connections on which nobody is answered, has said anything for a while, or has something to take in. */
function closeIdle(sockets: ReadonlySet<Socket>): NodeJS.Timeout {
  const heard = new WeakMap<Socket, { read: number; since: number }>();
  return setInterval(() => {
    const now = performance.now();
    for (const socket of sockets) {
      const { bytesRead: read } = socket;
      const known = heard.get(socket);
      if (read !== known?.read || socket.writableLength || answering(socket))
        heard.set(socket, { read, since: now });
      else if (now - known.since > IDLE_FOR_MS) socket.destroy();
    }
  }, IDLE_FOR_MS / 4);
}

/** What Node writes to a connection now: it says so nowhere else. */
function answering(socket: Socket): unknown {
  return Reflect.get(socket, '_httpMessage');
}

/** What went wrong before there was a request, by Node's code. */
const BROKEN: Readonly<Record<string, number>> = {
  ERR_HTTP_REQUEST_TIMEOUT: 408,
  HPE_HEADER_OVERFLOW: 431,
  HPE_CHUNK_EXTENSIONS_OVERFLOW: 413,
};

const SENTENCES: Readonly<Record<number, string>> = {
  400: 'That was no request that this server understands.',
  408: 'The request did not come in in time, so it was not taken. Try again.',
  413: 'That is too large. Nothing was done.',
  431: 'The headers of the request are too large, cookies among them.',
};

function plain(status: number): { head: Record<string, string>; body: string } {
  const body = `${SENTENCES[status] ?? SENTENCES[400]}\n`;
  return {
    body,
    head: {
      ...HEADERS,
      'content-type': 'text/plain; charset=utf-8',
      'content-length': String(Buffer.byteLength(body)),
      'cache-control': 'no-store',
      connection: 'close',
    },
  };
}

function refuse(response: ServerResponse, status: number): void {
  const { head, body } = plain(status);
  response.writeHead(status, head).end(body);
}

/** Answers what could not be read, or did not come in in time: Node's `clientError`, which Fastify passes on. */
export function answerBroken(error: Error & { code?: string }, socket: Socket): void {
  // An answer that is under way may not have another one in its middle.
  const answer = answering(socket);
  const isBegun = typeof answer === 'object' && answer !== null && Reflect.get(answer, '_headerSent');
  if (error.code !== 'ECONNRESET' && socket.writable && !isBegun) {
    const status = BROKEN[error.code ?? ''] ?? 400;
    const { head, body } = plain(status);
    const lines = Object.entries(head).map(([name, value]) => `${name}: ${value}`);
    socket.write(`HTTP/1.1 ${status} ${STATUS_CODES[status]}\r\n${lines.join('\r\n')}\r\n\r\n${body}`);
  }
  socket.destroy();
}
