/** The courier's side of the local Discord: no bot and no worker; tests write the rows that those would write. */
import { createHash, randomUUID } from 'node:crypto';
import type { APIMessage } from 'discord-api-types/v10';
import sharp from 'sharp';
import { textOf } from '#infra/local/discord/person.ts';
import { type Sandbox, type SandboxOptions, startSandbox } from '#infra/local/discord/sandbox.ts';
import { PEOPLE, STAFF } from '#infra/local/discord/world.ts';
import type { Failure } from '#src/errors.ts';
import type { Actor } from '#src/people/people.ts';
import { clearJudgement } from '#test/support/drawn.ts';
import type { cell as makeCell } from '#test/support/requests.ts';

const TOKEN = 'local.a-token-of-thirty-characters-or-more';
const APPLICATION = '1100000000000000001';
export const EDIT_INTERVAL_MS = 400;

/** Sets the environment that `config` reads: nothing of ours that reads it may be imported before. */
export async function startLocalDiscord(options: Partial<SandboxOptions> = {}): Promise<Sandbox> {
  const sandbox = await startSandbox({
    token: TOKEN,
    applicationId: APPLICATION,
    check: 'openapi',
    rateLimits: false,
    ...options,
  });
  Object.assign(process.env, {
    DISCORD_TOKEN: TOKEN,
    DISCORD_APPLICATION_ID: APPLICATION,
    DISCORD_API_URL: sandbox.apiUrl,
    ...STAFF,
    PUBLIC_URL: 'https://gallery.example',
    EDIT_INTERVAL_MS: String(EDIT_INTERVAL_MS),
  });
  return sandbox;
}

type Kind = 'card' | 'status' | 'pictures' | 'manifest' | 'notice';

/** A request with a body that the courier sent. */
export interface Sent {
  /** `METHOD path` */
  readonly route: string;
  readonly body: Record<string, unknown>;
  /** how many came with it */
  readonly files: number;
  readonly at: number;
}

/** A courier in this process, before a local Discord of its own; not started yet. */
export async function openCourier(options: Partial<SandboxOptions> = {}) {
  const sandbox = await startLocalDiscord(options);
  const { db } = await import('#src/doors/db.ts');
  const { startCourier } = await import('#src/services/courier/courier.ts');
  const { makeRest } = await import('#src/services/courier/discord.ts');
  const sent: Sent[] = [];
  let running: { close(): Promise<void> } | undefined;

  const stop = async () => {
    await running?.close();
    running = undefined;
  };
  const deliveryOf = (batchId: string, kind: Kind = 'card') =>
    db.delivery.findFirstOrThrow({ where: { batchId, kind } });

  return {
    sandbox,
    sent,
    stop,
    deliveryOf,

    /** @param requestWithinMs of the library, for one request */
    async start({ requestWithinMs }: { requestWithinMs?: number } = {}): Promise<void> {
      const rest = makeRest(() => {});
      if (requestWithinMs) rest.options.timeout = requestWithinMs;
      const plain = rest.options.makeRequest;
      rest.options.makeRequest = async (url, init) => {
        const { body } = init;
        const form = body instanceof FormData ? body : null;
        const json = form ? form.get('payload_json') : body;
        const files = form ? [...form.keys()].filter((key) => String(key).startsWith('files')).length : 0;
        const route = `${init.method} ${new URL(url).pathname}`;
        if (typeof json === 'string') sent.push({ route, body: JSON.parse(json), files, at: Date.now() });
        return plain(url, init);
      };
      running = await startCourier({ rest });
    },

    settled: (batchId: string, kind: Kind = 'card', timeoutMs?: number) =>
      until(
        async () => {
          const row = await db.delivery.findFirst({ where: { batchId, kind } });
          return row && row.posted >= row.wanted && row;
        },
        `a ${kind} that is up to date`,
        timeoutMs,
      ),

    /** The messages in a channel that have this text. */
    ours: (channel: string, text: string): APIMessage[] =>
      messagesIn(sandbox, channel).filter((message) => textOf(message).includes(text)),

    /** An interaction's token, by which messages may be posted in a channel. */
    grant(token: string, channel: string, lifeMs = 15 * 60_000): Date {
      const expiresAt = Date.now() + lifeMs;
      sandbox.state.tokens.set(token, {
        interactionId: '1200000000000000099',
        token,
        channelId: channelId(sandbox, channel),
        personId: member,
        originalId: null,
        expiresAt,
      });
      return new Date(expiresAt);
    },

    /** What the bot may not do in a channel from now on, until the returned function is called. */
    deny(channel: string, bits: bigint): () => void {
      const place = sandbox.state.channels.get(channelId(sandbox, channel))!;
      const before = place.overwrites ?? [];
      const own = { id: APPLICATION, type: 1, allow: '0', deny: String(bits) };
      sandbox.state.updateChannel(place, { overwrites: [...before, own] });
      return () => sandbox.state.updateChannel(place, { overwrites: before });
    },

    /** After each test: what one left unfinished is not the next one's. */
    async tidy(): Promise<void> {
      const none = { serverError: null, rateLimit: null, wall: null, refuseToken: null, slowUpload: null };
      sandbox.misbehave({ ...none, refuseDms: false, answerAfterMs: 0, fileMax: 0 });
      await stop();
      await db.delivery.updateMany({ data: { state: 'closed' } });
    },

    async close(): Promise<void> {
      await stop();
      await sandbox.close();
    },
  };
}

export function channelId(sandbox: Sandbox, name: string): string {
  const found = [...sandbox.state.channels.values()].find((channel) => channel.name === name);
  if (!found) throw new Error(`no channel ${name}`);
  return found.id;
}

export function directId(sandbox: Sandbox, userId: string): string {
  const found = sandbox.state.world.channels.find(
    ({ recipients, name }) => !name && recipients?.includes(userId),
  );
  if (!found) throw new Error('no DM');
  return found.id;
}

export const member = PEOPLE.member.id;

export interface Opening {
  readonly cells?: readonly Parameters<typeof makeCell>[0][];
  readonly kind?: 'imagine' | 'sweep' | 'face_test';
  /** a name; `dm`: with the bot */
  readonly channel?: string;
  readonly title?: string;
  readonly prompt?: string;
  readonly production?: boolean;
  readonly token?: string;
  readonly tokenExpiresAt?: Date;
}

/** A batch as `/imagine` or `/sweep` opens it, by the sandbox's member. */
export async function openIn(sandbox: Sandbox, opening: Opening = {}) {
  // Here and below: whatever reads the environment is imported once it is set.
  const { openedBatch } = await import('#test/support/opened.ts');
  const { actor, cell, origin, request } = await import('#test/support/requests.ts');
  const { cells = [{}], kind = 'imagine', channel = 'portraits', title = 'A test', prompt } = opening;
  const id = channel === 'dm' ? directId(sandbox, member) : channelId(sandbox, channel);
  const guildId = sandbox.state.channels.get(id)?.guildId ?? null;
  const who = actor({ id: member, guildId });
  const byToken = opening.token !== undefined;
  const asks = origin({
    actor: who,
    channelId: id,
    botInside: !byToken,
    ...(opening.token && { token: opening.token }),
    ...(opening.tokenExpiresAt && { tokenExpiresAt: opening.tokenExpiresAt }),
  });
  const made = cells.map((one, index) => cell({ seed: index + 1, ...(prompt && { prompt }), ...one }));
  const batch = await openedBatch(
    asks,
    request(made, { kind, title, production: opening.production ?? false }),
  );
  return { batch, actor: who, channelId: id };
}

/** What a guild's administrator does once: names its moderators and its review channel. */
export async function chooseReview(sandbox: Sandbox, who: Actor): Promise<string> {
  const { changeGuild, chooseReviewChannel } = await import('#src/guilds.ts');
  const guild = sandbox.state.guild(who.guildId ?? '');
  const channel = sandbox.state.channels.get(channelId(sandbox, 'review'));
  if (!guild || !channel) throw new Error('no such guild or channel');
  const admin = { ...who, managesGuild: true };
  const moderators = guild.roles.filter(({ name }) => name === 'Moderators').map(({ id }) => id);
  await changeGuild(admin, { moderatorRoleIds: moderators });
  await chooseReviewChannel(admin, channel.id, {
    guildId: guild.id,
    roles: guild.roles.map(({ id, permissions, tags }) => ({
      id,
      permissions: BigInt(permissions),
      bot: tags?.bot_id !== undefined,
    })),
    overwrites: (channel.overwrites ?? []).map(({ id, allow, deny }) => ({
      id,
      allow: BigInt(allow),
      deny: BigInt(deny),
    })),
  });
  return channel.id;
}

/** Draws what is waiting in a batch, as a worker would. */
export async function drawAll(
  batchId: string,
  how: {
    verdict?: 'clear' | 'flagged';
    fail?: (index: number) => Failure | null;
    most?: number;
    /** as many bytes as a photo has */
    noisy?: boolean;
  } = {},
): Promise<void> {
  const { db } = await import('#src/doors/db.ts');
  const { startGeneration } = await import('#test/support/taking.ts');
  const { finishGeneration, failGeneration } = await import('#src/batches/ending.ts');
  const queued = await db.generation.findMany({
    where: { batchId, state: 'queued' },
    orderBy: { index: 'asc' },
    take: how.most ?? 1_000,
  });
  for (const { id, index } of queued) {
    const drawing = await startGeneration(id, 'w1');
    if (!drawing) throw new Error('not started');
    const failure = how.fail?.(index);
    if (failure) {
      await failGeneration(id, 'w1', failure);
      continue;
    }
    const png = await picture(index, how.noisy);
    const verdict = how.verdict ?? 'clear';
    await finishGeneration(drawing, 'w1', {
      png,
      width: 512,
      height: 640,
      verdict,
      likeness: 0.7,
      bundleHash: 'weights',
      photoIds: [],
      sha256: createHash('sha256').update(png).digest('hex'),
      thumbhash: new Uint8Array([1, 2, 3]),
      scores: { 'checkerboard.normal': 0.2, 'checkerboard.flagged': 0.8 },
      rule: verdict === 'clear' ? null : 'classifier-flagged',
      judged: clearJudgement,
      timings: { base: 1234.5, details: 400 },
    });
  }
}

/** A picture that no other call gave: half of it is its own colour. */
export async function picture(seed: number, noisy = false): Promise<Buffer> {
  if (noisy) {
    const noise = { type: 'gaussian', mean: 128, sigma: 30 } as const;
    const create = { width: 512, height: 640, channels: 3, background: '#888', noise } as const;
    return sharp({ create }).png().toBuffer();
  }
  const hue = Number.parseInt(randomUUID().slice(0, 4), 16) % 360;
  const svg = `<svg xmlns="http://www.w3.org/2000/svg" width="512" height="640"><rect width="512" height="640" fill="hsl(${hue},40%,60%)"/><ellipse cx="256" cy="300" rx="130" ry="170" fill="hsl(25,50%,${50 + (seed % 5) * 6}%)"/><circle cx="${(seed * 37) % 512}" cy="80" r="40" fill="#fff"/></svg>`;
  return sharp(Buffer.from(svg)).png().toBuffer();
}

/** What is now in a channel, oldest first. */
export function messagesIn(sandbox: Sandbox, channel: string): APIMessage[] {
  return [...sandbox.state.messages(channel)];
}

export async function until<T>(
  look: () => T | undefined | null | false | Promise<T | undefined | null | false>,
  what = 'it',
  timeoutMs = 12_000,
): Promise<T> {
  const end = Date.now() + timeoutMs;
  for (;;) {
    const found = await look();
    if (found) return found;
    if (Date.now() > end) throw new Error(`waited in vain for ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 25));
  }
}
