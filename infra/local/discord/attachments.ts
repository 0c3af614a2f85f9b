/**
 * Files of messages: their bytes, and addresses that are good for a day.
 *
 * Inside, an address is plain; whatever leaves is written with `signing`, which adds `ex` (when it ends), `is` (when it was
 * given) and `hm` (the signature), as Discord's own addresses have them. Each reading gives an address with at least half
 * of its life left, and the same one for half of its life, so that pages need not load a picture again and again.
 */
import { createHmac, timingSafeEqual } from 'node:crypto';
import { readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { APIAttachment } from 'discord-api-types/v10';
import { snowflake, snowflakeTime } from './snowflake.ts';

export interface Upload {
  readonly filename: string;
  readonly contentType: string;
  readonly data: Buffer;
}

export interface AttachmentOptions {
  /** `http://127.0.0.1:PORT`, under which they are served */
  readonly origin: string;
  /** kept between runs, so that addresses outlive a restart */
  readonly signingKey: string;
  /** where bytes are kept; in memory without one */
  readonly dir: string | null;
}

/** Of a signed address. */
const LIFE_MS = 86_400_000;

const ADDRESS = /^https?:\/\/[^/]+\/attachments\/\d+\/(\d+)\/[^/?#]+/;
const ADDRESS_KEYS = new Set(['url', 'proxy_url', 'icon_url', 'proxy_icon_url']);

/** An attachment's address without its signature; any other address as it is. */
export function unsigned(url: string): string {
  return ADDRESS.exec(url)?.[0] ?? url;
}

export class Attachments {
  readonly #options: AttachmentOptions;
  readonly #known = new Map<string, APIAttachment>();
  /** bytes that no folder keeps: there is none, or the attachment is ephemeral */
  readonly #bytes = new Map<string, Buffer>();

  constructor(options: AttachmentOptions) {
    this.#options = options;
  }

  async add(
    { filename, contentType, data }: Upload,
    { channelId, ...extra }: { channelId: string } & Partial<APIAttachment>,
  ): Promise<APIAttachment> {
    const id = snowflake();
    const url = `${this.#options.origin}/attachments/${channelId}/${id}/${encodeURIComponent(filename)}`;
    const size = contentType.startsWith('image/') ? await imageSize(data) : null;
    const attachment: APIAttachment = {
      id,
      filename,
      size: data.length,
      url,
      proxy_url: url,
      content_type: contentType,
      ...size,
      ...extra,
    };
    const file = attachment.ephemeral ? null : this.#file(id);
    if (file) await writeFile(file, data);
    else this.#bytes.set(id, data);
    this.#known.set(id, attachment);
    return attachment;
  }

  get(id: string): APIAttachment | undefined {
    return this.#known.get(id);
  }

  async bytes(id: string): Promise<Buffer | null> {
    if (!this.#known.has(id)) return null;
    const file = this.#file(id);
    return this.#bytes.get(id) ?? (file ? await readFile(file).catch(() => null) : null);
  }

  forget(id: string): void {
    this.#known.delete(id);
    this.#bytes.delete(id);
    const file = this.#file(id);
    if (file) void rm(file, { force: true }).catch(() => {});
  }

  #file(id: string): string | null {
    return this.#options.dir && join(this.#options.dir, id);
  }

  /** What is to be found again after a restart. */
  kept(): APIAttachment[] {
    return [...this.#known.values()].filter(({ ephemeral }) => !ephemeral);
  }

  restore(attachments: readonly APIAttachment[]): void {
    for (const attachment of attachments) this.#known.set(attachment.id, attachment);
  }

  /** For `JSON.stringify`: signs the address of every attachment on its way out. */
  readonly signing = (key: string, value: unknown): unknown =>
    typeof value === 'string' && ADDRESS_KEYS.has(key) && value.startsWith(`${this.#options.origin}/`)
      ? this.#signed(value)
      : value;

  #signed(url: string): string {
    const id = ADDRESS.exec(url)?.[1];
    if (!id) return url;
    const createdAt = snowflakeTime(id);
    const issuedAt = Date.now() - ((Date.now() - createdAt) % (LIFE_MS / 2));
    const [ex, is] = [issuedAt + LIFE_MS, issuedAt].map((ms) => Math.floor(ms / 1000).toString(16));
    return `${unsigned(url)}?ex=${ex}&is=${is}&hm=${this.#signature(unsigned(url), ex!, is!)}&`;
  }

  #signature(url: string, ex: string, is: string): string {
    const { pathname } = new URL(url);
    return createHmac('sha256', this.#options.signingKey).update(`${pathname} ${ex} ${is}`).digest('hex');
  }

  /** The attachment of an address as it was given out; nothing when it is unsigned, altered or too old. */
  admitted(address: URL): APIAttachment | null {
    const [ex = '', is = '', hm = ''] = ['ex', 'is', 'hm'].map(
      (name) => address.searchParams.get(name) ?? '',
    );
    const right = Buffer.from(this.#signature(address.href, ex, is));
    const given = Buffer.from(hm);
    if (given.length !== right.length || !timingSafeEqual(given, right)) return null;
    if (Number.parseInt(ex, 16) * 1000 <= Date.now()) return null;
    return this.#known.get(ADDRESS.exec(address.href)?.[1] ?? '') ?? null;
  }
}

/** Width and height in pixels; null for a file that only says that it is an image. */
async function imageSize(data: Buffer): Promise<{ width: number; height: number } | null> {
  const { default: sharp } = await import('sharp');
  const { width, height } = await sharp(data)
    .metadata()
    .catch(() => ({ width: undefined, height: undefined }));
  return width && height ? { width, height } : null;
}
