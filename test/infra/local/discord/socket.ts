/** A bare gateway socket that keeps what it hears, however it is compressed. */
import { constants, createInflate, createZstdDecompress, inflateSync } from 'node:zlib';
import { WebSocket } from 'ws';
import { TOKEN } from './bot.ts';

export interface Packet {
  op: number;
  t?: string;
  s?: number;
  d: { session_id?: string; content?: string; guilds?: unknown[] } & Record<string, unknown>;
}

/** @param url with `compress=…` where the whole connection shall be compressed */
export function open(url: string) {
  const socket = new WebSocket(url);
  const heard: Packet[] = [];
  const frames: Buffer[] = [];
  const waiting = new Set<() => void>();
  const hear = (text: string) => {
    heard.push(JSON.parse(text) as Packet);
    for (const check of waiting) check();
  };
  const decompress = decompressor(new URL(url).searchParams.get('compress'), hear);
  socket.on('message', (raw: Buffer, binary: boolean) => {
    frames.push(raw);
    if (decompress) decompress(raw);
    else hear(binary ? inflateSync(raw).toString() : raw.toString());
  });
  const closed = new Promise<number>((resolve) => socket.on('close', resolve));
  return {
    socket,
    heard,
    /** as they came over the wire */
    frames,
    closed,
    send: (op: number, d: unknown) => socket.send(JSON.stringify({ op, d })),
    until: (fits: (packet: Packet) => boolean) =>
      new Promise<Packet>((resolve) => {
        const check = () => {
          const found = heard.find(fits);
          if (found) resolve(found);
        };
        waiting.add(check);
        check();
      }),
  };
}

/** One stream for the whole connection; a message is whole once the stream is flushed after its frame. */
function decompressor(name: string | null, hear: (text: string) => void) {
  if (!name) return null;
  const zstd = name === 'zstd-stream';
  const stream = zstd ? createZstdDecompress() : createInflate();
  let text: Buffer[] = [];
  stream.on('data', (chunk: Buffer) => text.push(chunk));
  return (frame: Buffer) => {
    stream.write(frame);
    stream.flush(zstd ? constants.ZSTD_e_flush : constants.Z_SYNC_FLUSH, () => {
      const whole = Buffer.concat(text).toString();
      text = [];
      hear(whole);
    });
  };
}

export const identify = (shard: readonly unknown[], extra: object = {}) => ({
  token: TOKEN,
  intents: 513,
  shard,
  properties: { os: 'linux', browser: 'test', device: 'test' },
  ...extra,
});

/** Connected, and greeted. */
export async function greeted(url: string) {
  const line = open(url);
  await line.until(({ op }) => op === 10);
  return line;
}
