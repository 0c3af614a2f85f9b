import { type APIAttachment, ComponentType } from 'discord-api-types/v10';
import fc from 'fast-check';
import sharp from 'sharp';
import { describe, expect, it } from 'vitest';
import { readComponents, walk } from '#infra/local/discord/components.ts';
import { Faults } from '#infra/local/discord/discord-error.ts';
import { endBatch } from '#src/batches/ending.ts';
import { renderCard } from '#src/cards/cards.ts';
import { detailsOf } from '#src/cards/details.ts';
import { buildManifest } from '#src/cards/manifest.ts';
import type { Card, CardFile } from '#src/cards/parts.ts';
import { sheetsOf } from '#src/cards/sheet.ts';
import { type DeliveryKind, db } from '#src/doors/db.ts';
import { deleteImage } from '#src/generations/images.ts';
import { picturesOf } from '#src/generations/pictures.ts';
import { decide, reportImage } from '#src/moderation/reviews.ts';
import { publishImage } from '#src/publishing.ts';
import { sayIn } from '#src/say.ts';
import { plain } from '#src/text.ts';
import { drawAll } from '#test/src/services/courier/local.ts';
import { openedBatch } from '#test/support/opened.ts';
import { actor, cell, origin, request } from '#test/support/requests.ts';
import { TRUSTED_GUILD } from '#test/support/staff.ts';
import { startGeneration } from '#test/support/taking.ts';

const nasty = '@everyone <@123456789012345678> **b** _i_ `c` ||s|| [l](https://x.y) # h\n> q '.repeat(30);

async function opened(
  cells: readonly Parameters<typeof cell>[0][] = [{}],
  changes: Parameters<typeof request>[1] = {},
  channelLocale = 'en-US',
) {
  const person = actor({ guildId: TRUSTED_GUILD });
  const made = cells.map((one, index) => cell({ seed: index, ...one }));
  const batch = await openedBatch(origin({ actor: person, channelLocale }), request(made, changes));
  return { person, batch };
}

/** As the courier has it, judged by the local Discord's rules. */
async function render(
  where: { batchId?: string; reviewId?: string },
  kind: DeliveryKind,
  page = 0,
): Promise<Card> {
  const to = { ...where, kind, page, userId: actor().id, nonce: `${Math.random()}` };
  const delivery = await db.delivery.create({ data: to });
  const batch = where.batchId ? await db.batch.findUnique({ where: { id: where.batchId } }) : null;
  const card = await renderCard(delivery, batch);
  if (!card) throw new Error('nothing to show');
  const attachments = card.files.map(({ name }, id) => ({
    id: String(id),
    filename: name,
  })) as APIAttachment[];
  const faults = new Faults();
  // The courier may add one line of its own.
  const line = { type: 10, content: 'x'.repeat(120) };
  const container = { ...card.container, components: [line, ...card.container.components] };
  readComponents([container], { v2: true, attachments, faults, path: [] });
  faults.throwIfAny();
  expect(card.files.length).toBeLessThanOrEqual(10);
  for (const { name, description } of card.files) {
    expect(name).toMatch(/^[\w.-]+$/);
    expect([...(description ?? '')].length).toBeLessThanOrEqual(1_024);
  }
  return card;
}

async function bytesOf(file: CardFile | undefined): Promise<Buffer> {
  const bytes = await file?.bytes();
  if (!bytes) throw new Error('no such file');
  return bytes;
}

const words = (card: Card) =>
  [...walk([card.container])].map(({ content, label }) => content ?? label ?? '').join('\n');
const buttons = (card: Card) =>
  [...walk([card.container])].flatMap(({ custom_id }) =>
    custom_id ? [String(custom_id).split(':')[1]] : [],
  );

/** Labels of the buttons, row by row. */
const rows = (card: Card) =>
  card.container.components.flatMap((one) => {
    if (one.type !== ComponentType.ActionRow) return [];
    const labels = one.components.flatMap((part) => ('label' in part && part.label ? part.label : []));
    return labels.length ? [labels] : [];
  });

describe("a person's words", () => {
  it('keep no markdown, mention or link', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'grapheme', maxLength: 80 }), (text) => {
        const shown = plain(text, 60);
        expect(shown.replace(/\\./gu, '')).not.toMatch(/[*_~|`<>#[\]()]|@(?!\u200b)|:\/\//);
        expect(shown).not.toContain('\n');
      }),
    );
    expect(plain('@everyone', 60)).toBe('@\u200beveryone');
    expect(plain('<@1> **b** https://x', 60)).toBe('\\<@\u200b1\\> \\*\\*b\\*\\* https:\u200b//x');
    expect(plain('1. not a list', 60)).toBe('1\\. not a list');
    expect(plain('turned \u202e around', 60)).toBe('turned  around');
  });

  it('are cut between characters', () => {
    expect(plain('👩‍🚀'.repeat(40), 9)).toMatch(/…$/);
    expect(plain('👩'.repeat(40), 5)).toBe('👩👩👩👩…');
  });
});

describe('the card of /imagine', () => {
  it('says where it stands while it waits, and can be cancelled', async () => {
    const { batch } = await opened();
    const card = await render({ batchId: batch.id }, 'card');
    expect(words(card)).toMatch(/Waiting · (next|place \d+ in fast) · ready (in|within) [\d–]+ (s|min)\n/);
    expect(buttons(card)).toEqual(['batch.cancel']);
    expect(card.mentions).toEqual([]);
  });

  it('tells no time of a batch that is cancelled while a picture is being drawn', async () => {
    const { batch } = await opened([{}, {}]);
    const first = await db.generation.findFirstOrThrow({ where: { batchId: batch.id } });
    await startGeneration(first.id, 'w1');
    await endBatch(batch.id, 'cancelled');
    const said = words(await render({ batchId: batch.id }, 'card'));
    expect(said).toContain('Drawing');
    expect(said).not.toContain('Ready about');
  });

  it('has of one picture all that can be done with it, Delete in a row of its own', async () => {
    const { batch } = await opened();
    await drawAll(batch.id);
    expect(rows(await render({ batchId: batch.id }, 'card'))).toEqual([
      ['Again', 'Vary', 'Details'],
      ['Delete…'],
    ]);
  });

  it.each([2, 3, 4])('has of %i pictures two rows by their numbers, and Delete in neither', async (count) => {
    const { batch } = await opened(
      Array.from({ length: count }, () => ({})),
      { production: true },
    );
    await drawAll(batch.id);
    const card = await render({ batchId: batch.id }, 'card');
    expect(card.files).toHaveLength(count);
    const numbers = Array.from({ length: count }, (_, i) => String(i + 1));
    expect(rows(card)).toEqual([[...numbers, 'Again'], numbers.map((number) => `V${number}`)]);
    expect(new Set(buttons(card))).toEqual(new Set(['picture.open', 'pictures.again', 'picture.vary']));
    expect(words(card)).not.toContain('Shown:');
  });

  it('says which pictures are to be seen, when their places do not tell their numbers', async () => {
    const { batch, person } = await opened([{}, {}, {}]);
    await drawAll(batch.id);
    const [, second] = await picturesOf(batch.id);
    await deleteImage(person, second!.id);
    const card = await render({ batchId: batch.id }, 'card');
    expect(words(card)).toContain('Shown: pictures 1, 3');
    expect(rows(card)).toEqual([
      ['1', '3', 'Again'],
      ['V1', 'V3'],
    ]);
  });

  it('has Publish in production alone, and Take down in its place', async () => {
    const { batch, person } = await opened([{}], { production: true });
    await drawAll(batch.id);
    expect(buttons(await render({ batchId: batch.id }, 'card'))).toContain('picture.publish');

    const [first] = await db.generation.findMany({ where: { batchId: batch.id }, include: { image: true } });
    const wanted = async () =>
      (await db.delivery.findMany({ where: { batchId: batch.id } })).map((d) => d.wanted);
    const before = await wanted();
    await publishImage({ ...person, managesGuild: true }, first?.image?.id ?? '');
    expect(await wanted()).toEqual(before.map((n) => n + 1));
    const shown = await render({ batchId: batch.id }, 'card');
    expect(buttons(shown)).not.toContain('picture.publish');
    expect(buttons(shown)).toContain('picture.unpublish');
    expect(words(shown)).toContain('in the gallery');
  });

  it('fits Discord whatever was asked', async () => {
    const { batch } = await opened(
      Array.from({ length: 12 }, (_, i) => ({ prompt: `${nasty.slice(0, 900)} ${i}` })),
      { production: true },
    );
    await drawAll(batch.id, { most: 5 });
    const half = await render({ batchId: batch.id }, 'card');
    expect(half.files).toHaveLength(5);
    await drawAll(batch.id);
    const card = await render({ batchId: batch.id }, 'card');
    expect(card.files).toHaveLength(10);
    expect(buttons(card)).toEqual(['pictures.pick', 'pictures.again']);
  });

  it('says why there is no picture, and never names a code of ours', async () => {
    const { batch } = await opened();
    await drawAll(batch.id, { fail: () => 'internal' });
    const card = await render({ batchId: batch.id }, 'card');
    expect(words(card)).toContain('Something broke on our side. Its tokens are back.');
    expect(card.files).toEqual([]);
  });

  it('says in which picture no face was found to put the person into', async () => {
    const { batch, person } = await opened([{}, {}]);
    await drawAll(batch.id);
    const folder = await db.faceFolder.create({ data: { ownerId: person.id, name: 'me' } });
    await db.generation.updateMany({
      where: { batchId: batch.id },
      data: { faceFolderId: folder.id, faceId: folder.id },
    });
    expect(words(await render({ batchId: batch.id }, 'card'))).not.toContain('face was found');
    const [first] = await picturesOf(batch.id);
    await db.image.update({ where: { id: first!.image!.id }, data: { likeness: null } });
    expect(words(await render({ batchId: batch.id }, 'card'))).toContain(
      '1 picture: no face was found, so the face folder is not in it.',
    );
    expect(words(await render({ batchId: batch.id }, 'status'))).toContain('1 with no face found');
    const manifest = buildManifest(
      await db.batch.findUniqueOrThrow({ where: { id: batch.id } }),
      await picturesOf(batch.id),
    );
    expect(
      JSON.parse(String(manifest.json)).pictures.map(({ image }: { image: object }) => image),
    ).toMatchObject([
      { likeness: null, faceFound: false },
      { likeness: 0.7, faceFound: true },
    ]);
  });

  it('loses a picture that is reported, deleted or rejected', async () => {
    const { batch, person } = await opened([{}, {}, {}]);
    await drawAll(batch.id);
    const [first, second] = await picturesOf(batch.id);
    await reportImage(actor(), first!.image!.id);
    await deleteImage(person, second!.id);
    const card = await render({ batchId: batch.id }, 'card');
    expect(card.files.map(({ name }) => name)).toEqual([expect.stringMatching(/^picture-3-/)]);
    expect(words(card)).toMatch(/Flagged, so kept back[\s\S]*Deleted/);
  });
});

describe('the messages of a sweep', () => {
  const cells = Array.from({ length: 30 }, (_, i) => ({
    prompt: nasty.slice(0, 900),
    coordinates: { steps: `${nasty.slice(0, 50)} ${i % 6}`, scheduler: `s${Math.floor(i / 6)}` },
  }));

  it('fit Discord while it goes and when it has ended', async () => {
    const { batch } = await opened(cells, { kind: 'sweep', title: nasty.slice(0, 80) });
    await drawAll(batch.id, { most: 7 });
    const status = await render({ batchId: batch.id }, 'status');
    expect(words(status)).toMatch(/7 of 30[\s\S]*7 done · 23 waiting/);
    expect(buttons(status)).toEqual(['sheet.use', 'batch.stop', 'batch.cancel']);
    const sheet = await sharp(await bytesOf(status.files[0])).metadata();
    expect(sheet.format).toBe('jpeg');

    await drawAll(batch.id, { fail: (index) => (index % 5 === 0 ? 'internal' : null) });
    for (const kind of ['card', 'status', 'pictures', 'manifest'] as const) {
      const card = await render({ batchId: batch.id }, kind);
      for (const file of card.files) expect((await bytesOf(file)).length).toBeLessThan(10 * 1024 * 1024);
      expect(buttons(card)).not.toContain('batch.cancel');
    }
  });

  it('call pictures by the numbers that the contact sheet and the manifest have', async () => {
    const six = Array.from({ length: 6 }, (_, i) => ({ coordinates: { steps: String(i) } }));
    const { batch } = await opened(six, { kind: 'sweep' });
    await drawAll(batch.id, { fail: (index) => (index % 3 === 1 ? 'internal' : null) });
    expect(words(await render({ batchId: batch.id }, 'status'))).toContain(
      '2 failed (2, 5): Something broke',
    );
    expect(words(await render({ batchId: batch.id }, 'pictures'))).toContain('2: Something broke');
    const pictures = await picturesOf(batch.id);
    const whole = await db.batch.findUniqueOrThrow({ where: { id: batch.id } });
    const [sheet] = await sheetsOf(whole, pictures);
    expect(sheet!.numbers).toEqual([1, 2, 3, 4, 5, 6]);
    const { json } = buildManifest(whole, pictures);
    const failed = JSON.parse(String(json)).pictures.filter(
      ({ state }: { state: string }) => state === 'failed',
    );
    expect(failed.map(({ number }: { number: number }) => number)).toEqual([2, 5]);
  });

  it('say a seed once, whether it is an axis or not', async () => {
    const { batch } = await opened([{ seed: 7, coordinates: { seed: '7', steps: '4' } }, { seed: 8 }], {
      kind: 'sweep',
    });
    await drawAll(batch.id);
    const card = await render({ batchId: batch.id }, 'pictures');
    const [first, second] = [...walk([card.container])].find(({ options }) => options)!.options as object[];
    expect(first).toMatchObject({ label: '1: seed 7, steps 4', description: 'done' });
    expect(second).toMatchObject({ description: 'seed 8 · done' });
  });

  it('show as many contact sheets as can be read, one at a time', async () => {
    const many = Array.from({ length: 96 }, (_, i) => ({
      coordinates: { steps: String(i % 8), guidance_scale: String(Math.floor(i / 8)) },
    }));
    const { batch } = await opened(many, { kind: 'sweep' });
    await drawAll(batch.id, { most: 1 });
    const sheets = await sheetsOf(batch, await picturesOf(batch.id));
    expect(sheets.length).toBeGreaterThan(1);
    const names = new Set<string>();
    for (const page of [0, 1, 99]) {
      const card = await render({ batchId: batch.id }, 'status', page);
      expect(card.files).toHaveLength(1);
      names.add(card.files[0]!.name);
      const at = Math.min(page, sheets.length - 1);
      const { options } = [...walk([card.container])].find((one) =>
        String(one.custom_id).includes('sheet.page'),
      )!;
      const chosen = (options as { label: string; default: boolean }[]).filter((one) => one.default);
      expect(chosen.map(({ label }) => label)).toEqual([
        expect.stringMatching(
          new RegExp(`^Sheet ${at + 1} of ${sheets.length}: .*\\b${sheets[at]!.numbers[0]}\\b`),
        ),
      ]);
    }
    expect(names.size).toBe(Math.min(3, sheets.length));
  });

  it('draw a new sheet when something is to be seen, and not at every picture', async () => {
    const { batch } = await opened(cells, { kind: 'sweep' });
    const name = async () => (await render({ batchId: batch.id }, 'status')).files[0]!.name;
    const names = [await name()];
    for (let i = 0; i < 6; i++) {
      await drawAll(batch.id, { most: 1 });
      names.push(await name());
    }
    expect(new Set(names).size).toBe(3); // none, and the first two tenths
    const [first] = await picturesOf(batch.id);
    await reportImage(actor(), first!.image!.id);
    expect(names).not.toContain(await name());
  });

  it('turn pages: ten pictures, and at most 25 pages to choose from', async () => {
    const { batch } = await opened(
      Array.from({ length: 300 }, () => ({})),
      { kind: 'sweep' },
    );
    await drawAll(batch.id, { most: 12 });
    const card = await render({ batchId: batch.id }, 'pictures', 1);
    expect(card.files).toHaveLength(2);
    expect(buttons(card)).toEqual(['pictures.pick', 'pictures.page']);
    const options = [...walk([(await render({ batchId: batch.id }, 'pictures', 29)).container])].find((one) =>
      String(one.custom_id).includes('pictures.page'),
    )!.options as { value: string; default: boolean }[];
    expect(options).toHaveLength(25);
    expect(options.filter((one) => one.default).map(({ value }) => value)).toEqual(['29']);
  });
});

describe.each([
  ['de', 'Nochmal', 'fertig'],
  ['fr', 'Encore', 'terminées'],
  ['es-ES', 'Repetir', 'listas'],
  ['ja', 'もう一度', '完成'],
])('in a server whose language is %s', (locale, again, done) => {
  it('every message is in that language, and fits Discord', async () => {
    const one = await opened([{}], {}, locale);
    await drawAll(one.batch.id);
    expect(rows(await render({ batchId: one.batch.id }, 'card'))[0]?.[0]).toBe(again);

    const four = await opened([{}, {}, {}, {}], { production: true }, locale);
    const waiting = words(await render({ batchId: four.batch.id }, 'card'));
    expect(waiting).not.toMatch(/Waiting|\bCancel\b|Asked by|tier/);
    await drawAll(four.batch.id, { fail: (index) => (index === 3 ? 'internal' : null) });
    const shown = await render({ batchId: four.batch.id }, 'card');
    expect(rows(shown)[0]).toEqual(['1', '2', '3', again]);
    expect(words(shown)).not.toMatch(/picture|Its tokens|Asked by/);

    const cells = Array.from({ length: 12 }, (_, i) => ({ coordinates: { steps: `${i}` } }));
    const sweep = await opened(cells, { kind: 'sweep' }, locale);
    await drawAll(sweep.batch.id, { most: 5, fail: (index) => (index === 2 ? 'internal' : null) });
    const status = words(await render({ batchId: sweep.batch.id }, 'status'));
    expect(status).toContain(done);
    for (const kind of ['card', 'status', 'pictures', 'manifest'] as const)
      expect(words(await render({ batchId: sweep.batch.id }, kind))).not.toMatch(
        /picture|Its tokens|Asked by|waiting|\bCancel\b|Manifest of/,
      );
  });
});

describe('a review', () => {
  async function flagged() {
    const { batch, person } = await opened([{ prompt: nasty.slice(0, 900) }]);
    await drawAll(batch.id, { verdict: 'flagged' });
    const review = await db.review.findFirstOrThrow({
      where: { image: { generation: { batchId: batch.id } } },
      include: { image: true },
    });
    return { batch, person, review };
  }

  it('shows the picture so blurred that it cannot be made out, behind a spoiler', async () => {
    const { batch, review } = await flagged();
    const card = await render({ reviewId: review.id }, 'review');
    const [file] = card.files;
    expect(file!.spoiler).toBe(true);
    const { data } = await sharp(await bytesOf(file))
      .greyscale()
      .raw()
      .toBuffer({ resolveWithObject: true });
    const { width } = await sharp(await bytesOf(file)).metadata();
    // Neighbouring pixels hardly differ: no edge is left.
    let steepest = 0;
    for (let i = 1; i < data.length; i++)
      if (i % width) steepest = Math.max(steepest, Math.abs(data[i]! - data[i - 1]!));
    expect(steepest).toBeLessThan(12);
    expect(buttons(card)).toEqual(['review.approve', 'review.reject']);
    expect(card.mentions).toEqual([]);
    expect(words(card)).toContain(`<@${batch.ownerId}>`);
    expect(words(card)).toMatch(/flagged 0\.80/);
  });

  it('when rejected keeps neither picture nor buttons, and says who, when and why', async () => {
    const { person, review } = await flagged();
    const moderator = actor({ guildId: person.guildId, managesGuild: true });
    await decide(moderator, review.id, 'rejected', 'not **here**');
    const card = await render({ reviewId: review.id }, 'review');
    expect(card.files).toEqual([]);
    expect(buttons(card)).toEqual([]);
    expect(words(card)).toMatch(new RegExp(`Rejected by <@${moderator.id}> <t:\\d+:f>`));
    expect(words(card)).toContain('not \\*\\*here\\*\\*');
    const notice = await render({ reviewId: review.id }, 'notice');
    expect(notice.mentions).toEqual([person.id]);
    expect(notice.files).toEqual([]);
    expect(words(notice)).toContain('rejected by the moderators');
  });

  it('approved lets the card show the picture', async () => {
    const { batch, person, review } = await flagged();
    expect((await render({ batchId: batch.id }, 'card')).files).toEqual([]);
    await decide(actor({ guildId: person.guildId, managesGuild: true }), review.id, 'approved', null);
    const card = await render({ batchId: batch.id }, 'card');
    expect((await bytesOf(card.files[0])).length).toBeGreaterThan(1_000);
    expect(words(await render({ reviewId: review.id }, 'notice'))).toContain('was approved');
  });
});

it('details say which word the face has, beside its folder, and the folder’s name to its owner alone', async () => {
  const { person, batch } = await opened([{ parameters: { gender: 'woman' } }]);
  const [picture] = await picturesOf(batch.id);
  const faceFolder = { id: 'f', ownerId: person.id, name: 'ada', createdAt: new Date() };
  const withFace = { ...picture!, faceId: 'f', faceFolder };
  const details = detailsOf(sayIn('en'), person.id, withFace);
  expect(details).toContain('Face `ada`, gender `woman`');
  // Not once more as changed from its default.
  expect(details.match(/`woman`/g)).toHaveLength(1);
  expect(detailsOf(sayIn('en'), actor().id, withFace)).toContain('A face folder, gender `woman`');
  expect(detailsOf(sayIn('en'), person.id, { ...withFace, faceFolder: null })).toContain(
    'A face folder that is gone, gender `woman`',
  );
});

it('what is gone is not shown', async () => {
  const nobody = { userId: actor().id, nonce: 'gone' };
  const delivery = await db.delivery.create({ data: { ...nobody, kind: 'card' } });
  expect(await renderCard(delivery, null)).toBeNull();
  expect(await renderCard({ ...delivery, kind: 'review' }, null)).toBeNull();
});
