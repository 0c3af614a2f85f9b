import type { ChildProcess } from 'node:child_process';
import { subscribe, unsubscribe } from 'node:diagnostics_channel';
import { readFile } from 'node:fs/promises';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import sharp from 'sharp';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it, vi } from 'vitest';
import { config } from '#config/env.ts';
import { readPhoto, takePhoto } from '#src/uploads/photos.ts';
import { bomb, deepPng, vastAvif } from '#test/support/bombs.ts';

/** 16 megapixels, the most that are let through as AVIF: 300 MB while it is decoded. */
const largeAvif = () =>
  sharp({ create: { width: 4_000, height: 4_000, channels: 3, background: '#888' } })
    .avif({ quality: 1, effort: 0 })
    .toBuffer();
const small = () =>
  sharp({ create: { width: 200, height: 300, channels: 3, background: '#c33' } })
    .png()
    .toBuffer();
/** Of what ends by itself, however busy the machine is. */
const LONG_MS = 600_000;

let started: ChildProcess[] = [];
const note = (message: unknown) => void started.push((message as { process: ChildProcess }).process);
beforeEach(() => {
  started = [];
  subscribe('child_process', note);
});
afterEach(() => void unsubscribe('child_process', note));

describe('readPhoto', () => {
  it('reads a photo in a process of its own, which ends', async () => {
    const { png, width, height } = await readPhoto(await small(), 'photo.png');
    expect([width, height]).toEqual([200, 300]);
    expect(await sharp(png).metadata()).toMatchObject({ format: 'png', width: 200, height: 300 });
    expect(started.map(({ exitCode }) => exitCode)).toEqual([0]);
  });

  it.each([
    [
      'text',
      async () => Buffer.from('no picture'),
      '`x` is not a picture I can read: use a JPEG, PNG, WebP or AVIF file.',
    ],
    [
      'a PNG of 300 megapixels',
      () => bomb(20_000, 15_000),
      '`x` has 300 megapixels, and 40 is the most. Scale it down.',
    ],
    [
      'an AVIF of 36 megapixels',
      vastAvif,
      '`x` has 36 megapixels, and 16 is the most of an AVIF file. Scale it down.',
    ],
    [
      'an interlaced PNG of 40 megapixels and 16 bits',
      () => deepPng(6_300, 6_300),
      '`x` has 40 megapixels, and 20 is the most of an image with 16-bit colours. Scale it down.',
    ],
    [
      'a speck',
      () =>
        sharp(Buffer.alloc(300), { raw: { width: 10, height: 10, channels: 3 } })
          .png()
          .toBuffer(),
      '`x` is too small: each side needs 128 px or more.',
    ],
  ])('says what is wrong with %s', async (_, bytes, userMessage) => {
    await expect(readPhoto(await bytes(), 'x')).rejects.toMatchObject({ name: 'UserError', userMessage });
  });

  it.each([
    ['takes too much memory', { memory: 150, withinMs: LONG_MS }],
    ['takes too long', { memory: 10_000, withinMs: 1 }],
  ])('says so of a photo that %s, and reads the next', async (_, limits) => {
    await expect(readPhoto(await largeAvif(), 'vast.avif', limits)).rejects.toMatchObject({
      code: 'upload_heavy',
      userMessage:
        '`vast.avif` takes too much memory or time to read. Scale it down, or save it as a plain JPEG.',
    });
    expect(started.map(({ signalCode }) => signalCode)).toEqual(['SIGKILL']);
    expect(await readPhoto(await small(), 'photo.png')).toMatchObject({ width: 200 });
  });

  it('reads the largest that it lets through', async () => {
    expect(await readPhoto(await largeAvif(), 'x', { memory: 512, withinMs: LONG_MS })).toMatchObject({
      width: 1536,
    });
  });

  it.runIf(process.platform === 'linux')('gives the decoder nothing of our environment', async () => {
    const reading = readPhoto(await largeAvif(), 'x');
    const environment = () => readFile(`/proc/${started[0]?.pid}/environ`, 'utf8').catch(() => null);
    // Empty too while the process is only being made: the decoder's own name says that it has begun.
    const hasBegun = async () =>
      (await readFile(`/proc/${started[0]?.pid}/cmdline`, 'utf8').catch(() => '')).includes('decode-process');
    await expect.poll(hasBegun, { interval: 5 }).toBe(true);
    expect(await environment()).toBe('');
    await reading;
  });
});

describe('takePhoto', () => {
  let server: Server;
  let url: string;
  let asked = 0;
  beforeAll(async () => {
    const png = await small();
    server = createServer((_, response) => {
      asked++;
      response.end(png);
    }).listen(0, '127.0.0.1');
    await new Promise((listening) => server.once('listening', listening));
    const host = `127.0.0.1:${(server.address() as AddressInfo).port}`;
    url = `http://${host}/photo.png`;
    vi.spyOn(config.discord.cdnHosts, 'includes').mockImplementation((name) => name === host);
  });
  afterAll(() => {
    server.closeAllConnections();
    server.close();
  });
  const take = (personId: string) => takePhoto(personId, { url, name: 'photo.png', size: 100 });
  const refusals = (all: PromiseSettledResult<unknown>[]) =>
    all.flatMap((one) => (one.status === 'rejected' ? one.reason.userMessage : []));

  it('reads one at a time, and fetches none that still waits', async () => {
    asked = 0;
    const [fetched, running]: [number[], number[]] = [[], []];
    const count = () => {
      fetched.push(asked);
      running.push(started.filter(({ exitCode, signalCode }) => exitCode === null && !signalCode).length);
    };
    subscribe('child_process', count);
    await Promise.all(['ada', 'bob', 'eve', 'ada'].map(take));
    unsubscribe('child_process', count);
    expect(fetched).toEqual([1, 2, 3, 4]);
    expect(running).toEqual([1, 1, 1, 1]);
  });

  it('reads five of one person and refuses the others, and meanwhile reads somebody else’s', async () => {
    const [mine, theirs] = await Promise.all([
      Promise.allSettled(Array.from({ length: 7 }, () => take('ada'))),
      take('bob'),
    ]);
    const says =
      'I am still at 5 photos of yours, and that is the most at once. Wait for the answer, then try again.';
    expect(refusals(mine)).toEqual([says, says]);
    expect(theirs).toMatchObject({ width: 200 });
  });

  it('lets twenty wait in all', async () => {
    const all = await Promise.allSettled(Array.from({ length: 22 }, (_, n) => take(`person ${n}`)));
    expect(refusals(all)).toHaveLength(2);
    expect(started).toHaveLength(20);
  });
});
