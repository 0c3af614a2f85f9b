/**
 * One socket as the gateway writes to it: plain text, or compressed as the bot asked for it.
 *
 *   ?compress=zlib-stream   one deflate stream for the whole connection; every message ends with 00 00 ff ff
 *   ?compress=zstd-stream   one zstd frame that never ends; every message is flushed
 *   IDENTIFY { compress }   each large message is deflated alone; the others stay text
 */
import { constants, createDeflate, createZstdCompress, deflateSync } from 'node:zlib';
import type { WebSocket } from 'ws';

const STREAMS = {
  'zlib-stream': () => ({ stream: createDeflate(), flush: constants.Z_SYNC_FLUSH }),
  'zstd-stream': () => ({ stream: createZstdCompress(), flush: constants.ZSTD_e_flush }),
} as const;

export type Compression = keyof typeof STREAMS;

export function isCompression(name: string): name is Compression {
  return Object.hasOwn(STREAMS, name);
}

/** Characters; Discord says only that "not all payloads will be compressed". */
const LARGE = 1_024;

export class Line {
  readonly #socket: WebSocket;
  readonly #transport: ReturnType<(typeof STREAMS)[Compression]> | null;
  /** what the stream has given since it was last flushed */
  #chunks: Buffer[] = [];
  #payloads = false;

  constructor(socket: WebSocket, compression: Compression | null) {
    this.#socket = socket;
    this.#transport = compression && STREAMS[compression]();
    this.#transport?.stream.on('data', (chunk: Buffer) => this.#chunks.push(chunk));
    socket.on('close', () => this.#transport?.stream.destroy());
  }

  /** From now on; without effect where the whole connection is compressed. */
  compressPayloads(): void {
    this.#payloads = true;
  }

  send(text: string): void {
    if (this.#transport) {
      this.#transport.stream.write(text);
      this.#whenFlushed((data) => this.#socket.send(data));
    } else if (this.#payloads && text.length > LARGE) this.#socket.send(deflateSync(text));
    else this.#socket.send(text);
  }

  /** After all that was sent before. */
  close(code: number, reason: string): void {
    if (this.#transport) this.#whenFlushed(() => this.#socket.close(code, reason));
    else this.#socket.close(code, reason);
  }

  #whenFlushed(then: (data: Buffer) => void): void {
    const { stream, flush } = this.#transport!;
    stream.flush(flush, () => {
      const data = Buffer.concat(this.#chunks);
      this.#chunks = [];
      then(data);
    });
  }
}
