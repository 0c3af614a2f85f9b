/** Fetches people's files: from Discord's own hosts alone, with a limit. */
import { config } from '#config/env.ts';
import { log } from '#src/doors/log.ts';
import { UserError } from '#src/errors.ts';

export interface Upload {
  /** as Discord signed it; it expires, so it is fetched at once and never kept */
  readonly url: string;
  readonly name: string;
  /** bytes, as Discord says */
  readonly size: number;
}

const FETCH_WITHIN_MS = 15_000;
const LOOPBACK = new Set(['127.0.0.1', 'localhost', '[::1]']);

/** @throws {UserError} `file_large`, `upload_gone` */
export async function fetchUpload({ url, name, size }: Upload, bytesMax: number): Promise<Buffer> {
  const tooLarge = (bytes: number) => new UserError('file_large', { file: name, bytes, max: bytesMax });
  if (size > bytesMax) throw tooLarge(size);
  const from = permitted(url);
  if (!from) {
    // Discord sends no such thing: a wrong DISCORD_CDN_HOSTS, or somebody who tries.
    log.error({ hosts: config.discord.cdnHosts }, 'an upload is on none of DISCORD_CDN_HOSTS');
    throw new UserError('upload_gone', { file: name });
  }

  const chunks: Uint8Array[] = [];
  let bytes = 0;
  try {
    // A redirect would lead wherever somebody likes.
    const response = await fetch(from, { redirect: 'error', signal: AbortSignal.timeout(FETCH_WITHIN_MS) });
    if (!response.ok || !response.body) throw new Error(`status ${response.status}`);
    for await (const chunk of response.body) {
      bytes += chunk.length;
      if (bytes > bytesMax) throw tooLarge(bytes);
      chunks.push(chunk);
    }
  } catch (error) {
    if (error instanceof UserError) throw error;
    log.warn({ err: error }, 'upload not fetched');
    throw new UserError('upload_gone', { file: name });
  }
  return Buffer.concat(chunks);
}

/** The URL, when it is by https and we may fetch from its host and port; by http only on this machine. */
function permitted(url: string): URL | null {
  const from = URL.parse(url);
  if (!from || from.username || from.password) return null;
  if (!config.discord.cdnHosts.includes(from.host)) return null;
  const secure = from.protocol === 'https:' || (from.protocol === 'http:' && LOOPBACK.has(from.hostname));
  return secure ? from : null;
}
