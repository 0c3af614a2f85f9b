/** What people see of pictures while they are drawn, and what tells them that those are done. */
import { type APIMessage, MessageFlags } from 'discord-api-types/v10';
import sharp from 'sharp';
import { afterAll, afterEach, describe, expect, it } from 'vitest';
import { walk } from '#infra/local/discord/components.ts';
import { filesOf, textOf } from '#infra/local/discord/person.ts';
import {
  channelId,
  directId,
  drawAll,
  EDIT_INTERVAL_MS,
  member,
  messagesIn,
  type Opening,
  openCourier,
  openIn,
  picture,
  until,
} from './local.ts';

const courier = await openCourier();
const { sandbox, sent, start, settled } = courier;
const { db } = await import('#src/doors/db.ts');
const { endBatch, failGeneration, finishGeneration } = await import('#src/batches/ending.ts');
const { NOTE_AFTER_MS } = await import('#src/batches/batches.ts');
const { changed } = await import('#src/deliveries.ts');
const { reportProgress } = await import('#src/generations/generations.ts');
const { changeGuild } = await import('#src/guilds.ts');
const { drawn } = await import('#test/support/drawn.ts');
const { startGeneration } = await import('#test/support/taking.ts');

afterEach(courier.tidy);
afterAll(courier.close);

/** What a worker would tell; each colour is another preview. */
const webp = async (colour: string) =>
  new Uint8Array(
    await sharp({ create: { width: 77, height: 96, channels: 3, background: colour } })
      .webp()
      .toBuffer(),
  );

/** A batch of which everything is being drawn, and its message. */
async function drawing(opening: Opening = {}, kind: 'card' | 'status' = 'card') {
  const { batch, actor, channelId: channel } = await openIn(sandbox, opening);
  const { messageId, channelId: place } = await settled(batch.id, kind);
  const rows = await db.generation.findMany({ where: { batchId: batch.id }, orderBy: { index: 'asc' } });
  const taken = [];
  for (const { id } of rows) taken.push(await startGeneration(id, 'w1'));
  const message = () => messagesIn(sandbox, place!).find(({ id }) => id === messageId)!;
  return {
    batch,
    actor,
    channel,
    ids: rows.map(({ id }) => id),
    taken: taken.flatMap((one) => one ?? []),
    message,
    said: () => textOf(message()).replaceAll('\u00a0', ' '),
    previews: () => filesOf(message()).filter(({ filename }) => filename.startsWith('preview-')),
    /** bodies of its edits */
    edits: () =>
      sent.filter(({ route }) => route === `PATCH /api/v10/channels/${place}/messages/${messageId}`),
  };
}
const report = async (...reports: Parameters<typeof reportProgress>[1]) =>
  (await reportProgress('w1', reports)).wake();
const tell = async (id: string, progress: number, stage = 'base', colour?: string) =>
  report({ id, progress, stage, ...(colour !== undefined && { preview: await webp(colour) }) });

describe('a card while its picture is drawn', () => {
  it('says what is done to it, with its steps as a bar', async () => {
    await start();
    const { batch, ids, message, said } = await drawing({ prompt: 'in steps' });
    const { steps } = await db.generation.findUniqueOrThrow({ where: { id: ids[0]! } });
    await tell(ids[0]!, 0.5);
    await settled(batch.id);
    await until(() => said().includes(`Sketching ▰▰▰▰▱▱▱▱ ${steps / 2} / ${steps}`));
    await tell(ids[0]!, 0.75, 'detail');
    await until(() => said().includes('Detailing the face ▰▰▰▰▰▰▱▱'));
    await tell(ids[0]!, 0.95, 'detail');
    await until(() => said().includes(`▰▰▰▰▰▰▰▱ ${steps - 1} / ${steps}`));
    await tell(ids[0]!, 0.99, 'safety');
    await until(() => said().includes(`Checking ▰▰▰▰▰▰▰▰ ${steps} / ${steps}`));
    expect(filesOf(message())).toEqual([]);
  });

  it('shows its preview beside that, the newest alone, each sent once; in the end the picture alone', async () => {
    await start();
    const { batch, ids, taken, message, said, previews, edits } = await drawing({ prompt: 'on the way' });
    await tell(ids[0]!, 0.2, 'base', 'red');
    await until(() => previews().length === 1);
    const [first] = previews();
    const thumbnail = [...walk(message().components ?? [])].find(({ type }) => type === 11);
    expect(thumbnail).toMatchObject({ description: 'Picture 1 as it is so far, small' });
    expect(await sharp(await bytesOf(message(), first!.id)).metadata()).toMatchObject({
      format: 'webp',
      width: 77,
      height: 96,
    });

    // Steps without a new preview: the one that is there stays, and is not sent again.
    const before = edits().length;
    await tell(ids[0]!, 0.3);
    await until(() => said().includes(' 6 / 20'));
    expect(previews()).toEqual([expect.objectContaining({ id: first!.id })]);
    expect(
      edits()
        .slice(before)
        .map(({ files }) => files),
    ).toEqual(
      edits()
        .slice(before)
        .map(() => 0),
    );

    await tell(ids[0]!, 0.4, 'base', 'blue');
    await until(() => previews()[0]?.filename !== first!.filename);
    expect(previews()).toHaveLength(1);

    await finishGeneration(taken[0]!, 'w1', drawn({ png: await picture(1) }));
    await until(() => filesOf(message()).some(({ filename }) => filename.startsWith('picture-1-')));
    expect(filesOf(message())).toHaveLength(1);
    expect(said()).not.toMatch(/▰|▱/);
    const count = edits().length;
    (await changed(db, { batchId: batch.id }))();
    await settled(batch.id);
    await until(() => edits().length > count);
    expect(edits().at(-1)!.files).toBe(0);
  });

  it('is not edited before its time, however many previews there are', async () => {
    await start();
    const { batch, ids, edits } = await drawing({ prompt: 'not too often' });
    for (const [n, colour] of ['red', 'green', 'blue', 'white'].entries()) {
      await tell(ids[0]!, n / 10, 'base', colour);
      (await changed(db, { batchId: batch.id }))();
    }
    await settled(batch.id);
    await until(() => edits().some(({ files }) => files === 1));
    // The courier takes no row before its time, and after each edit that is so long away.
    const { notBefore, postedAt } = await settled(batch.id);
    expect(notBefore.getTime()).toBeGreaterThanOrEqual(postedAt!.getTime() + EDIT_INTERVAL_MS);
    const times = edits().map(({ at }) => at);
    for (const [n, at] of times.slice(1).entries())
      expect(at - times[n]!).toBeGreaterThanOrEqual(EDIT_INTERVAL_MS - 5);
  });

  it('has a row for each of four, and says how many more there are', async () => {
    await start();
    const cells = Array.from({ length: 4 }, () => ({}));
    const { ids, said, previews } = await drawing({ prompt: 'four at once', cells });
    await report(
      ...(await Promise.all(
        ids.map(async (id, n) => ({
          id,
          progress: (n + 1) / 5,
          stage: n ? 'base' : 'detail',
          ...(n < 3 && { preview: await webp(`hsl(${n * 90}, 50%, 50%)`) }),
        })),
      )),
    );
    await until(() => previews().length === 3);
    const words = said();
    expect(words).toMatch(/Picture 1: Detailing the face\n▰▱▱/);
    expect(words).toMatch(/Picture 3: Sketching\n▰▰▰▰▱/);
    expect(words).toMatch(/Picture 4: Sketching ▰▰▰▰▰▰▱▱ /);
    expect(previews().map(({ filename }) => filename.slice(0, 10))).toEqual([
      'preview-1-',
      'preview-2-',
      'preview-3-',
    ]);
  });

  it('shows none any more once the picture is flagged, its preview is taken back, or the server wants none', async () => {
    await start();
    const flagged = await drawing({ prompt: 'flagged later' });
    await tell(flagged.ids[0]!, 0.5, 'base', 'red');
    await until(() => flagged.previews().length === 1);
    await report({ id: flagged.ids[0]!, progress: 0.6, stage: 'base', preview: null });
    await until(() => flagged.previews().length === 0);
    await tell(flagged.ids[0]!, 0.7, 'base', 'green');
    await until(() => flagged.previews().length === 1);
    await finishGeneration(flagged.taken[0]!, 'w1', drawn({ verdict: 'flagged' }));
    await until(() => textOf(flagged.message()).includes('kept back'));
    expect(filesOf(flagged.message())).toEqual([]);

    const off = await drawing({ prompt: 'switched off' });
    await tell(off.ids[0]!, 0.5, 'base', 'red');
    await until(() => off.previews().length === 1);
    await changeGuild({ ...off.actor, managesGuild: true }, { previews: false });
    await until(() => off.previews().length === 0);
    expect(textOf(off.message())).toContain('Sketching');
    await tell(off.ids[0]!, 0.6, 'base', 'blue');
    await until(() => off.said().includes(' 12 / 20'));
    expect(off.previews()).toEqual([]);
    await changeGuild({ ...off.actor, managesGuild: true }, { previews: true });
  });

  it('shows them in direct messages too', async () => {
    await start();
    const { ids, previews } = await drawing({ prompt: 'between us', channel: 'dm' });
    await tell(ids[0]!, 0.5, 'base', 'red');
    await until(() => previews().length === 1);
  });

  it('is sent without a preview that went while it was made', async () => {
    const { sendFitting } = await import('#src/services/courier/files.ts');
    const { renderCard } = await import('#src/cards/cards.ts');
    await start();
    const { batch, ids } = await drawing({ prompt: 'gone meanwhile' });
    await tell(ids[0]!, 0.5, 'base', 'red');
    await courier.stop();
    const card = await renderCard(await courier.deliveryOf(batch.id), batch);
    expect(card!.files).toHaveLength(1);
    await db.preview.deleteMany();
    const { body } = await sendFitting(card!, [], async (content) => ({ id: '1', files: [], body: content }));
    expect(body.files).toEqual([]);
    expect(JSON.stringify(body.container)).not.toMatch(/attachment:|Too large/);
    expect(JSON.stringify(body.container)).toContain('Sketching');
  });
});

describe('the status of a sweep', () => {
  it('shows what is being drawn, and how many more', async () => {
    await start();
    const cells = Array.from({ length: 6 }, (_, n) => ({ coordinates: { steps: String(n) } }));
    const { ids, message, said, previews } = await drawing({ kind: 'sweep', title: 'Seen', cells }, 'status');
    for (const id of ids) await tell(id, 0.4, 'base', 'red');
    await until(() => previews().length === 4);
    expect(said()).toMatch(/0 of 6/);
    expect(said()).toContain('Picture 4: Sketching\n▰▰▰▱▱▱▱▱');
    expect(said()).toContain('2 more are being drawn');
    expect(filesOf(message()).filter(({ filename }) => filename.startsWith('contact-sheet'))).toHaveLength(1);
  });
});

describe('a note that it is done', () => {
  const notes = (batchId: string) => db.delivery.findMany({ where: { batchId, kind: 'notice' } });
  /** As if it had been accepted so long ago. */
  const waited = (batchId: string, ms: number) =>
    db.batch.update({ where: { id: batchId }, data: { openedAt: new Date(Date.now() - ms) } });
  const noteOf = async (batchId: string) => {
    const { channelId: place, messageId } = await settled(batchId, 'notice');
    return messagesIn(sandbox, place!).find(({ id }) => id === messageId)!;
  };
  const LONG_MS = NOTE_AFTER_MS + 5_000;

  it.each(['portraits', 'dm'])(
    'answers the card in %s, and notifies the asker alone, once',
    async (where) => {
      await start();
      const { batch, channelId: channel } = await openIn(sandbox, {
        prompt: `took long in ${where} @everyone`,
        title: '@everyone <@1> took long',
        channel: where,
      });
      const card = await settled(batch.id);
      await waited(batch.id, LONG_MS);
      await drawAll(batch.id);
      const note = await noteOf(batch.id);
      expect(textOf(note)).toContain(`<@${member}>, your picture is ready.`);
      expect(textOf(note)).toContain(`/${channel}/${card.messageId})`);
      expect(note.message_reference?.message_id).toBe(card.messageId);
      const post = sent.filter(
        ({ route, body }) =>
          route === `POST /api/v10/channels/${channel}/messages` && JSON.stringify(body).includes('is ready'),
      );
      expect(post.map(({ body }) => body.allowed_mentions)).toEqual([
        { parse: [], users: [member], replied_user: false },
      ]);
      expect(note.mentions.map(({ id }) => id)).toEqual([member]);
      expect((note.flags ?? 0) & MessageFlags.SuppressNotifications).toBe(0);
      // It comes when the picture is there to be seen.
      const shown = messagesIn(sandbox, channel).find(({ id }) => id === card.messageId)!;
      expect(filesOf(shown)[0]?.filename).toMatch(/^picture-1-/);
      (await changed(db, { batchId: batch.id }))();
      await settled(batch.id);
      expect(await notes(batch.id)).toMatchObject([{ state: 'closed' }]);
    },
  );

  it('comes for a sweep in its thread, after its pictures', async () => {
    await start();
    const cells = ['1', '2', '3'].map((steps) => ({ coordinates: { steps } }));
    const { batch } = await openIn(sandbox, { kind: 'sweep', cells, title: 'Long sweep' });
    await settled(batch.id, 'status');
    await waited(batch.id, LONG_MS);
    await drawAll(batch.id, { fail: (index) => (index === 1 ? 'internal' : null) });
    const note = await noteOf(batch.id);
    const { threadId } = await db.batch.findUniqueOrThrow({ where: { id: batch.id } });
    expect(note.channel_id).toBe(threadId);
    expect(textOf(note)).toContain('what you asked for is ready: 2 of 3 pictures.');
    expect(messagesIn(sandbox, threadId!).at(-1)!.id).toBe(note.id);
  });

  it('comes too when the last picture was flagged or failed, and says so', async () => {
    await start();
    for (const [how, said] of [
      [{ verdict: 'flagged' }, /is drawn, and held for review/],
      [{ fail: () => 'internal' as const }, /has ended without a picture/],
    ] as const) {
      const { batch } = await openIn(sandbox, { prompt: 'ended otherwise' });
      await settled(batch.id);
      await waited(batch.id, LONG_MS);
      await drawAll(batch.id, how);
      const note = await until(async () =>
        (await notes(batch.id)).find(({ reviewId, messageId }) => !reviewId && messageId),
      );
      const message = messagesIn(sandbox, note.channelId!).find(({ id }) => id === note.messageId)!;
      expect(textOf(message)).toMatch(said);
    }
  });

  it('does not come for what was quick, stopped, or cancelled', async () => {
    await start();
    const quick = await openIn(sandbox, { prompt: 'quick' });
    await waited(quick.batch.id, NOTE_AFTER_MS - 10_000);
    await drawAll(quick.batch.id);

    for (const how of ['stopped', 'cancelled'] as const) {
      const { batch, ids } = await drawing({ prompt: how, cells: [{}, {}] });
      await waited(batch.id, LONG_MS);
      await endBatch(batch.id, how);
      for (const id of ids) await failGeneration(id, 'w1', 'internal');
      expect(await db.batch.findUnique({ where: { id: batch.id } })).toMatchObject({
        endedAt: expect.any(Date),
      });
      expect(await notes(batch.id)).toEqual([]);
    }
    expect(await db.batch.findUnique({ where: { id: quick.batch.id } })).toMatchObject({
      state: 'finished',
    });
    expect(await notes(quick.batch.id)).toEqual([]);
  });

  it('goes to the person where the channel cannot be reached any more', async () => {
    await start();
    const { batch } = await openIn(sandbox, { prompt: 'no way back', channel: 'no-bots' });
    await settled(batch.id);
    await waited(batch.id, LONG_MS);
    await drawAll(batch.id);
    const note = await noteOf(batch.id);
    expect(note.channel_id).toBe(directId(sandbox, member));
    expect(note.channel_id).not.toBe(channelId(sandbox, 'no-bots'));
  });
});

/** A file of a message as somebody who sees it gets it: addresses are signed when they are asked for. */
async function bytesOf({ id, channel_id }: APIMessage, fileId: string): Promise<Buffer> {
  const headers = { authorization: `Bot ${process.env.DISCORD_TOKEN}` };
  const answer = await fetch(`${sandbox.apiUrl}/v10/channels/${channel_id}/messages/${id}`, { headers });
  const file = filesOf((await answer.json()) as APIMessage).find((one) => one.id === fileId);
  return Buffer.from(await (await fetch(file?.url ?? '')).arrayBuffer());
}
