/** Whatever goes wrong between the courier and Discord, the picture is seen in the end, and once. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { setTimeout as sleep } from 'node:timers/promises';
import { PermissionFlagsBits as P } from 'discord-api-types/v10';
import { afterAll, afterEach, describe, expect, it, onTestFinished } from 'vitest';
import { filesOf, textOf } from '#infra/local/discord/person.ts';
import { PEOPLE } from '#infra/local/discord/world.ts';
import {
  channelId,
  chooseReview,
  directId,
  drawAll,
  member,
  messagesIn,
  type Opening,
  openCourier,
  openIn,
  until,
} from './local.ts';

const courier = await openCourier();
const { sandbox, sent, start, deliveryOf, settled, ours, deny } = courier;
const { db } = await import('#src/doors/db.ts');
const { changed, wakeCourier } = await import('#src/deliveries.ts');

afterEach(courier.tidy);
afterAll(courier.close);

/** A batch whose picture is drawn, and nothing of it is posted. */
async function drawn(prompt: string, opening: Opening = {}, how: Parameters<typeof drawAll>[1] = {}) {
  const opened = await openIn(sandbox, { prompt, ...opening });
  await drawAll(opened.batch.id, how);
  return opened;
}

/** The one message that shows this picture. */
function seen(channel: string, prompt: string, pictures = 1) {
  const [message, ...more] = ours(channel, prompt);
  expect(more).toEqual([]);
  expect(filesOf(message!)).toHaveLength(pictures);
  return message!;
}

/** Waits for the card, and does not let it wait. */
async function settledSoon(batchId: string) {
  return until(
    async () => {
      const row = await deliveryOf(batchId);
      if (row.posted >= row.wanted) return row;
      const { count } = await db.delivery.updateMany({
        where: { id: row.id, lastError: { not: null }, notBefore: { gt: new Date() } },
        data: { notBefore: new Date() },
      });
      if (count) wakeCourier([row.id]);
    },
    'a card that is up to date',
    25_000,
  );
}

/** A courier in a process of its own, with what it says when it ends. */
function spawnCourier(): { child: ChildProcess; ended: Promise<{ code: number | null; said: string }> } {
  const child = spawn(process.execPath, ['src/main.ts', 'courier'], {
    env: process.env,
    stdio: ['ignore', 'ignore', 'pipe'],
  });
  let said = '';
  child.stderr.on('data', (chunk: Buffer) => {
    said += String(chunk);
  });
  const ended = once(child, 'close').then(([code]: (number | null)[]) => ({ code: code ?? null, said }));
  onTestFinished(async () => {
    child.kill('SIGKILL');
    await ended;
  });
  return { child, ended };
}

describe('a refused token', () => {
  it('once is a stray refusal: everything goes on', async () => {
    sandbox.misbehave({ refuseToken: { next: 1 } });
    const { batch, channelId: channel } = await openIn(sandbox, { prompt: 'one stray refusal' });
    await start();
    await settled(batch.id, 'card', 20_000);
    await drawAll(batch.id);
    await settled(batch.id);
    seen(channel, 'one stray refusal');
  });

  it('again and again ends the process with a sentence, soon and after few requests', async () => {
    const refusals = 1_000;
    sandbox.misbehave({ refuseToken: { next: refusals } });
    const prompts = ['first', 'second', 'third', 'fourth', 'fifth', 'sixth', 'seventh', 'eighth'];
    const opened = await Promise.all(prompts.map((prompt) => drawn(`${prompt} refused token`)));
    const { code, said } = await spawnCourier().ended;
    expect(code).toBe(1);
    expect(said).toContain('check DISCORD_TOKEN');
    // Three times as many as are in hand at once: Discord shuts out who goes on.
    expect(refusals - sandbox.misbehave({}).refuseToken!.next).toBeLessThanOrEqual(18);

    // The one that is started after it has lost nothing.
    sandbox.misbehave({ refuseToken: null });
    await start();
    for (const [i, { batch, channelId: channel }] of opened.entries()) {
      await settledSoon(batch.id);
      seen(channel, `${prompts[i]} refused token`);
    }
  }, 60_000);
});

describe('a wall before Discord', () => {
  it.each([
    [403, 9],
    [404, 9],
    [520, 9],
  ])('that answers %i with a page of its own is never taken for Discord', async (status, next) => {
    const prompt = `behind a wall of ${status}`;
    sandbox.misbehave({ wall: { next, status, route: 'POST /channels' } });
    const { batch, channelId: channel } = await drawn(prompt);
    await start();
    const put = await until(async () => {
      const row = await deliveryOf(batch.id);
      return row.lastError && row;
    });
    expect(put).toMatchObject({ state: 'active', lastError: `http-${status}` });
    await settledSoon(batch.id);
    seen(channel, prompt);
  });

  it('is asked again when it said', async () => {
    sandbox.misbehave({ wall: { next: 2, status: 429, retryAfterS: 1 } });
    const { batch, channelId: channel } = await drawn('let through after a while');
    await start();
    await settled(batch.id, 'card', 20_000);
    seen(channel, 'let through after a while');
  });

  it('that is busy is not asked again before it said', async () => {
    sandbox.misbehave({ wall: { next: 1, status: 503, retryAfterS: 60 } });
    const { batch } = await drawn('busy for a minute');
    await start();
    const put = await until(async () => {
      const row = await deliveryOf(batch.id);
      return row.lastError !== null && row;
    });
    expect(put.lastError).toBe('http-503');
    expect(put.notBefore.getTime()).toBeGreaterThan(Date.now() + 30_000);
  });

  it('that shuts everybody out (1015) and does not say for how long is not asked again and again', async () => {
    const next = 1_000;
    sandbox.misbehave({ wall: { next, status: 429 } });
    const names = ['one', 'two', 'three'];
    const opened = await Promise.all(names.map((name) => drawn(`shut out, ${name}`)));
    await start();
    await until(() => db.delivery.count({ where: { lastError: 'http-429', state: 'active' } }));
    await sleep(1_500);
    // As many as were under way together.
    expect(next - sandbox.misbehave({}).wall!.next).toBeLessThanOrEqual(6);
    sandbox.misbehave({ wall: null });
    for (const [i, { batch, channelId: channel }] of opened.entries()) {
      await settledSoon(batch.id);
      seen(channel, `shut out, ${names[i]}`);
    }
  });
});

describe('a file that is too large', () => {
  it.each([
    ['for Discord', { fileMax: 150_000 }],
    ['for a wall before it', { wall: { next: 1, status: 413, route: 'POST /channels' } }],
  ])('%s is sent smaller, and once', async (why, how) => {
    sandbox.misbehave(how);
    const prompt = `too large ${why}`;
    const { batch, channelId: channel } = await drawn(prompt, {}, { noisy: true });
    await start();
    await settled(batch.id);
    const message = seen(channel, prompt);
    const [file] = sandbox.state.filesOf(message.id);
    expect(file).toMatchObject({ content_type: 'image/webp', filename: expect.stringMatching(/\.webp$/) });
    expect(textOf(message)).not.toContain('Too large');
    const before = sent.length;
    (await changed(db, { batchId: batch.id }))();
    await settled(batch.id);
    expect(sent.slice(before).map(({ files }) => files)).toEqual([0]);
    expect(filesOf(seen(channel, prompt))).toMatchObject([{ id: file!.id }]);
  });

  it('however small is told of instead, with the page where everybody sees it', async () => {
    sandbox.misbehave({ fileMax: 10 });
    const { batch, channelId: channel } = await drawn('no file at all');
    const image = await db.image.findFirstOrThrow({ where: { generation: { batchId: batch.id } } });
    await start();
    await settled(batch.id);
    expect(textOf(seen(channel, 'no file at all', 0))).toMatch(/Too large for Discord here: `picture-1-/);
    await db.image.update({ where: { id: image.id }, data: { visibility: 'published' } });
    (await changed(db, { batchId: batch.id }))();
    await settled(batch.id);
    const said = textOf(seen(channel, 'no file at all', 0));
    expect(said).toContain(`](https://gallery.example/pictures/${image.id})`);
    // And when the limit is lifted, it comes.
    sandbox.misbehave({ fileMax: 0 });
    (await changed(db, { batchId: batch.id }))();
    await settled(batch.id);
    expect(textOf(seen(channel, 'no file at all'))).not.toContain('Too large');
  });
});

it('a place that was closed meanwhile: the picture comes as a direct message', async () => {
  await start();
  const { batch } = await openIn(sandbox, { prompt: 'closed meanwhile', channel: 'sweeps' });
  await settled(batch.id);
  onTestFinished(deny('sweeps', P.ViewChannel));
  await drawAll(batch.id);
  await settled(batch.id);
  expect(textOf(seen(directId(sandbox, member), 'closed meanwhile'))).toContain(
    `This belongs in <#${channelId(sandbox, 'sweeps')}>`,
  );
});

it('a message whose files are other than we think is shown anew', async () => {
  await start();
  const { batch, channelId: channel } = await drawn('other files');
  const row = await settled(batch.id);
  const [picture] = row.files as { id: string; name: string }[];
  await courier.stop();
  await db.delivery.update({ where: { id: row.id }, data: { files: [{ ...picture, id: '1' }] } });
  (await changed(db, { batchId: batch.id }))();
  await start();
  expect((await settledSoon(batch.id)).messageId).toBe(row.messageId);
  seen(channel, 'other files');
});

describe('an upload', () => {
  it('that takes too long is sent again, and seen once', async () => {
    // The library tries four times by itself; the fifth is the row's.
    sandbox.misbehave({ slowUpload: { next: 5, ms: 1_200 } });
    const { batch, channelId: channel } = await drawn('over a slow line');
    await start({ requestWithinMs: 400 });
    await settled(batch.id, 'card', 25_000);
    seen(channel, 'over a slow line');
    // Whatever is still being read was given up, or is the same message.
    await sleep(1_500);
    seen(channel, 'over a slow line');
  });

  it('that is answered before it was read ends no process, and each picture is posted once', async () => {
    const prompts = Array.from({ length: 12 }, (_, i) => `early answer ${i}.`);
    const opened = [];
    for (const prompt of prompts) opened.push(await drawn(prompt, { cells: [{}, {}, {}] }));
    const answers = 60;
    sandbox.misbehave({
      serverError: { next: answers, when: 'before', status: 503, route: 'POST /channels' },
    });
    const { child } = spawnCourier();
    for (const { batch } of opened) await settled(batch.id, 'card', 60_000);
    expect(sandbox.misbehave({}).serverError!.next).toBe(0);
    expect(child.exitCode).toBeNull();
    for (const [i, { channelId: channel }] of opened.entries()) seen(channel, prompts[i]!, 3);
  }, 90_000);
});

describe('a thread of a sweep', () => {
  const cells = ['1', '2'].map((steps) => ({ coordinates: { steps } }));
  async function sweep(prompt: string) {
    await start();
    const { batch } = await openIn(sandbox, { kind: 'sweep', cells, prompt, channel: 'sweeps' });
    const { channelId: threadId } = await settled(batch.id, 'status');
    const thread = sandbox.state.channels.get(threadId!)!;
    const change = (how: { archived?: boolean; locked?: boolean }) =>
      sandbox.state.updateChannel(thread, { thread: { ...thread.thread!, ...how } });
    return { batch, thread, change };
  }

  it('that was archived is opened by what is posted in it, and edited on', async () => {
    const { batch, thread, change } = await sweep('archived');
    change({ archived: true });
    await drawAll(batch.id);
    for (const kind of ['status', 'pictures', 'manifest'] as const) {
      expect((await settled(batch.id, kind)).channelId).toBe(thread.id);
    }
    const files = messagesIn(sandbox, thread.id).flatMap(filesOf);
    expect(files.filter(({ filename }) => filename.startsWith('picture-'))).toHaveLength(2);

    // Nothing is posted now: an edit alone has to open it.
    change({ archived: true });
    (await changed(db, { batchId: batch.id, kind: 'status' }))();
    await settled(batch.id, 'status');
    expect(thread.thread!.archived).toBe(false);
  });

  it.each([{ locked: true }, { locked: true, archived: true }])(
    'that was closed (%o) to the bot: the pictures come as direct messages',
    async (how) => {
      const { batch, change } = await sweep(`closed ${JSON.stringify(how)}`);
      onTestFinished(deny('sweeps', P.ManageThreads));
      change(how);
      await drawAll(batch.id);
      const { channelId: place, messageId } = await settled(batch.id, 'pictures');
      expect(place).toBe(directId(sandbox, member));
      const message = messagesIn(sandbox, place!).find(({ id }) => id === messageId)!;
      expect(filesOf(message)).toHaveLength(2);
      expect((await settled(batch.id, 'status')).channelId).toBe(place);
      expect((await settled(batch.id, 'manifest')).channelId).toBe(place);
    },
  );
});

describe('without the right to read a channel’s past', () => {
  it('a notice is said by itself', async () => {
    await start();
    const { batch, channelId: channel, actor } = await openIn(sandbox, { prompt: 'no history' });
    await chooseReview(sandbox, actor);
    await drawAll(batch.id, { verdict: 'flagged' });
    const review = await until(() =>
      db.review.findFirst({ where: { image: { generation: { batchId: batch.id } } } }),
    );
    onTestFinished(deny('portraits', P.ReadMessageHistory));
    const { decide } = await import('#src/moderation/reviews.ts');
    await decide({ ...actor, id: PEOPLE.moderator.id, managesGuild: true }, review.id, 'approved', null);
    await settled(batch.id, 'notice');
    const notice = await until(() => ours(channel, 'was approved').at(-1));
    expect(notice.mentions.map(({ id }) => id)).toEqual([member]);
    expect(notice.message_reference).toBeUndefined();
    // Which of the two is seen first, it or what is said of it, is not told here.
    await until(() => ours(channel, 'no history').some((message) => filesOf(message).length === 1));
  });

  it('a picture is posted once though the answer was lost, and keeps its files', async () => {
    onTestFinished(deny('portraits', P.ReadMessageHistory));
    sandbox.misbehave({ serverError: { next: 5, when: 'after', route: 'POST /channels' } });
    const { batch, channelId: channel } = await drawn('posted blindly');
    await start();
    await settled(batch.id, 'card', 20_000);
    seen(channel, 'posted blindly');
    const before = sent.length;
    (await changed(db, { batchId: batch.id }))();
    await settled(batch.id);
    expect(sent.slice(before).map(({ files }) => files)).toEqual([0]);
  });
});

it('nothing that was sent was other than Discord describes it', () => {
  expect(sent.length).toBeGreaterThan(50);
  expect(sandbox.violations).toEqual([]);
});
