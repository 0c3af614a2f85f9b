/**
 * What people should not send, sent as it really arrives: each gets one sentence, seen by them alone, and nothing in
 * Postgres, the queues or the storage is other than before.
 */
import { createHash } from 'node:crypto';
import { glob } from 'node:fs/promises';
import { crc32 } from 'node:zlib';
import type { APIMessage } from 'discord.js';
import sharp from 'sharp';
import { afterAll, beforeAll, describe, expect, inject, it } from 'vitest';
import { limits } from '#config/tiers.ts';
import { isEphemeral } from '#infra/local/discord/person.ts';
import type { PersonName } from '#infra/local/discord/world.ts';
import { type Action, actions, customId } from '#src/custom-ids.ts';
import { only } from '#test/support/bundle-copy.ts';
import { clearJudgement } from '#test/support/drawn.ts';
import { noFacePhoto, portraitPhoto, twoFacesPhoto } from '#test/support/portraits.ts';
import type { LocalBot, Typist } from './local-bot.ts';

let local: LocalBot;
let db: typeof import('#src/doors/db.ts').db;
let queues: typeof import('#src/doors/queue.ts').queues;
/** all that the bot and the courier sent to Discord */
const wire: { route: string; body: Record<string, unknown> }[] = [];
let me: Typist;
let other: Typist;

beforeAll(async () => {
  local = await (await import('./local-bot.ts')).startLocalBot({
    onRequest: (route, body) => wire.push({ route, body: body as Record<string, unknown> }),
  });
  ({ db } = await import('#src/doors/db.ts'));
  ({ queues } = await import('#src/doors/queue.ts'));
  me = await known('member');
  other = await known('other');
});
afterAll(async () => {
  await local?.close();
});

/** Somebody whom the bot has met: the welcome of a first command is not counted as a change. */
async function known(person: PersonName): Promise<Typist> {
  const typist = await local.as(person);
  await typist.type('set', { parameter: 'steps', value: '10' });
  return typist;
}

const TABLES = [
  ...['User', 'ParameterValue', 'TokenEntry', 'Batch', 'Generation', 'Image', 'Review', 'AuditEvent'],
  ...['FaceFolder', 'FacePhoto', 'Idea', 'Delivery'],
];

/** All that a refused request could have left behind, every column of every row. */
async function everything() {
  const hashes = TABLES.map(
    (table) => `(SELECT md5(string_agg(t::text, ';' ORDER BY t::text)) FROM "${table}" t) AS "${table}"`,
  );
  const [rows] = await db.$queryRawUnsafe<Record<string, string | null>[]>(`SELECT ${hashes.join(', ')}`);
  const kinds = ['delivery', 'face-check', 'idea'] as const;
  const jobs = await Promise.all(kinds.map(async (kind) => [...(await queues().ids(kind))].sort()));
  const files: string[] = [];
  for await (const file of glob(`${process.env.DATA_DIR}/files/**/*.*`)) files.push(file);
  return { rows, jobs, files: files.sort() };
}

/** The sentence that `act` is answered with. */
async function refused(act: () => Promise<APIMessage>): Promise<string> {
  const before = await everything();
  const answer = await act();
  expect(answer.content).not.toMatch(/on our side/);
  // BullMQ forgets a job a moment after its work is done.
  await expect.poll(everything, { timeout: 5_000 }).toEqual(before);
  expect(isEphemeral(answer)).toBe(true);
  return answer.content;
}

const FOLDERS: [what: string, name: string, says: RegExp][] = [
  ['that is not there', 'nobody', /^You have no face folder named `nobody`\. Make one with `\/faces add`\.$/],
  ['above', '../x', /^`\.\.\/x` can't be a face folder: use 1 to 32 lower-case letters, digits, `-` or `_`/],
  ['of a path', 'a/b', /^`a\/b` can't be a face folder/],
  ['of a device', 'NUL', /^`NUL` can't be a face folder/],
  ['with a NUL', 'a\0b', /^`a b` can't be a face folder/],
  ['of 6,000 characters', 'a'.repeat(6_000), /^`a{59}…` can't be a face folder/],
];

describe('/faces add', () => {
  // First of all: this worker would draw what later tests ask for.
  let worker: { close(): Promise<void> };
  beforeAll(async () => {
    const { startWorker } = await import('#src/services/worker/worker.ts');
    worker = await startWorker({ bundles: only(inject('bundleDir')) });
  });
  afterAll(() => worker?.close());
  const add = (name: string, filename: string, data: Uint8Array) =>
    refused(() => me.type('faces add', { name }, { photo1: { filename, data } }));

  it.each<[what: string, file: string, data: () => Uint8Array | Promise<Uint8Array>, says: RegExp]>([
    [
      'no picture',
      'a.png',
      () => Buffer.from('no picture'),
      /- `a\.png` is not a picture I can read: use a JPEG, PNG, WebP or AVIF file\.$/,
    ],
    [
      'an SVG by another name',
      'a.jpg',
      () => Buffer.from('<svg xmlns="http://www.w3.org/2000/svg"/>'),
      /- `a\.jpg` is not a picture I can read/,
    ],
    [
      'a picture that claims 300 megapixels',
      'huge.png',
      () => hugePng(20_000, 15_000),
      /- `huge\.png` has 300 megapixels, and 40 is the most\. Scale it down\.$/,
    ],
    [
      'a picture without a face',
      'hills.png',
      noFacePhoto,
      /^I found no face in `hills\.png`\.\nUse photos with one face, seen from the front\. Nothing was kept\.$/,
    ],
    [
      'a picture with two faces',
      'pair.png',
      twoFacesPhoto,
      /^I found more than one face in `pair\.png`\.\nUse photos with one face/,
    ],
  ])('refuses %s', async (_, filename, data, says) => {
    expect(await add('ada', filename, await data())).toMatch(says);
    expect((await me.type('faces list')).content).toMatch(/^You have no face folder/);
  });

  it('refuses a folder’s name that could be a path', async () => {
    const photo = await portraitPhoto(1);
    for (const [, name, says] of FOLDERS.slice(1)) expect(await add(name, 'a.png', photo)).toMatch(says);
  });
});

/** A PNG whose header says `width`×`height`; it has one pixel. */
async function hugePng(width: number, height: number): Promise<Buffer> {
  const one = sharp({ create: { width: 1, height: 1, channels: 3, background: '#fff' } });
  const png = await one.png().toBuffer();
  png.writeUInt32BE(width, 16);
  png.writeUInt32BE(height, 20);
  png.writeUInt32BE(crc32(png.subarray(12, 29)), 29);
  return png;
}

const unkeepable = (what: string) =>
  `${what} has a character that can't be kept, such as NUL or half of an emoji. Leave it out.`;

describe('/set refuses', () => {
  const none = (name: string) => `There is no parameter named \`${name}\`. \`/settings\` lists them all.`;
  it.each([
    ['an unknown parameter', 'stepz', '3', 'There is no parameter named `stepz`. Did you mean `steps`?'],
    ['a prototype', '__proto__', '3', none('__proto__')],
    ['a name with markdown', 'no`thing** @everyone', '3', none('noˋthing** @everyone')],
    ['a name of 5,000 characters', 'x'.repeat(5_000), '3', none(`${'x'.repeat(59)}…`)],
    ['too little', 'steps', '0', '`steps` must be between 1 and 150; 0 is outside.'],
    ['too much', 'steps', '151', '`steps` must be between 1 and 150; 151 is outside.'],
    ['a seed below 0', 'seed', '-1', '`seed` must be between 0 and 4294967295; -1 is outside.'],
    ['a hair too much', 'weight', '2.01', '`weight` must be between 0 and 2; 2.01 is outside.'],
    ['a word for a number', 'steps', 'many', '`steps` must be a whole number; `many` is not.'],
    ['half a step', 'steps', '7.5', '`steps` must be a whole number; `7.5` is not.'],
    [
      'what is not a number',
      'guidance_scale',
      'NaN',
      '`guidance_scale` must be a number, with a point, as `7.5`; `NaN` is not.',
    ],
    [
      'a word for a switch',
      'production_mode',
      'perhaps',
      '`production_mode` must be `on` or `off`; `perhaps` is not.',
    ],
    [
      'another choice',
      'shape',
      'round',
      '`shape` must be one of `portrait`, `square`, `landscape`; `round` is not.',
    ],
    [
      'a text too long',
      'negative_prompt',
      'x'.repeat(6_000),
      '`negative_prompt` may have 1000 characters; yours has 6000.',
    ],
    ['a NUL', 'negative_prompt', 'hands\0feet', unkeepable('`negative_prompt`')],
  ])('%s', async (_, parameter, value, says) => {
    expect(await refused(() => me.type('set', { parameter, value }))).toBe(says);
  });
});

describe('/imagine refuses', () => {
  it.each([
    [
      'a prompt of 6,000 characters',
      'x'.repeat(6_000),
      'A prompt may have 1000 characters; yours has 6000. Shorten it.',
    ],
    [
      'a prompt that only looks like something',
      '\u200b…',
      'The prompt is empty: say in a few words what to draw.',
    ],
    [
      'a prompt against the rules',
      'a nude woman',
      "I can't draw that: it asks for sexual content, which no channel here shows. Nothing was charged.",
    ],
    ['a NUL', 'a woman\0with a hat', unkeepable('The prompt')],
    ['half an emoji', 'a woman \ud83d with a hat', unkeepable('The prompt')],
  ])('%s', async (_, prompt, says) => {
    expect(await refused(() => me.type('imagine', { prompt }))).toBe(says);
  });

  it.each(FOLDERS)('a face folder %s', async (_, face, says) => {
    expect(await refused(() => me.type('imagine', { prompt: 'portrait', face }))).toMatch(says);
  });
});

describe('/sweep refuses', () => {
  const lines = (...text: string[]) => text.join('\\n');
  it.each([
    [
      'what does not parse',
      lines('prompt: a', 'axes: [1, 2', 'steps: 3'),
      /^The YAML does not parse at line 3, column 1: /,
    ],
    [
      'aliases that explode',
      lines(
        'a: &a [x, x]',
        ...Array.from({ length: 30 }, (_, i) => `b${i}: &b${i} [*${i ? `b${i - 1}` : 'a'}, *a]`),
      ),
      /^The YAML does not parse at line 2, column 10: aliases \(`\*name`\) are not allowed\. Write the value out\.$/,
    ],
    [
      'axes that multiply beyond the limit',
      lines(
        'prompt: a woman',
        'axes:',
        '  steps: 1, 2, .., 150',
        '  guidance_scale: 1, 1.1, .., 30',
        '  detail_strength: 0, 0.01, .., 1',
        'seeds: 1000',
      ),
      new RegExp(`^That makes 4,408,650,000 pictures, and ${limits.batch} is the most for one command\\.`),
    ],
    [
      'a prompt of 5,900 characters',
      `{prompt: ${'x'.repeat(5_900)}}`,
      /- Line 1: A prompt may have 1000 characters; yours has 5900\. Shorten it\.$/,
    ],
    [
      'a NUL in a prompt',
      '{prompt: "a woman \\0 hat"}',
      /line 1, column 10: a character here can't be kept, such as NUL/,
    ],
    ['half an emoji in a name', '{prompt: a woman, name: "a\\ud83d"}', /line 1, column 25: a character/],
    ['a NUL in a key', '{prompt: a woman, "a\\0b": 1}', /line 1, column 19: a character/],
    [
      'nothing',
      '{}',
      /^Nothing was started\. One thing needs mending:\n- `prompt` is missing: say what to draw\.$/,
    ],
  ])('%s', async (_, config, says) => {
    expect(await refused(() => me.type('sweep', { config }))).toMatch(says);
  });

  it('all that is wrong with it, in one answer', async () => {
    const config = lines(
      'prompt: a nude woman',
      'axes:',
      '  stepz: [1]',
      '  steps: [0, many]',
      '  shape: round',
      'faces: [nobody, ../x, a/b]',
      'nonsense: 1',
    );
    const says = await refused(() => me.type('sweep', { config }));
    for (const fault of [
      'Nothing was started. 9 things need mending:',
      'Line 7: `nonsense` is not known here.',
      "Line 1: I can't draw that",
      'Line 3: There is no parameter named `stepz`.',
      'Line 4: `steps` must be between 1 and 150; 0 is outside.',
      'Line 4: `steps` must be a whole number; `many` is not.',
      'Line 5: `shape` must be one of',
      'Line 6: You have no face folder named `nobody`.',
      "Line 6: `../x` can't be a face folder",
      "Line 6: `a/b` can't be a face folder",
    ])
      expect(says).toContain(fault);
  });

  it.each<[file: string, data: string | Buffer, says: RegExp]>([
    [
      '20,000-keys.yaml',
      Array.from({ length: 20_000 }, (_, i) => `k${i}: 1`).join('\n'),
      /^`20_000-keys\.yaml` has 185 KiB, and 64 KiB is the most\.$/,
    ],
    ['a-prototype.yaml', '__proto__: 1', /at line 1, column 1: a key must be a word\.$/],
    ['empty.yaml', '\n', /A sweep: must be lines of `key: value`/],
    ['a-comment.yaml', 'prompt: a\n# \0', /at line 2, column 3: a character here can't be kept/],
    [
      'a-picture.png',
      Buffer.from('89504e470d0a1a0a0000000d', 'hex'),
      /does not parse at line \d+, column \d+/,
    ],
  ])('the file %s', async (filename, data, says) => {
    const file = { filename, data: Buffer.from(data as string) };
    expect(await refused(() => me.type('sweep', {}, { file }))).toMatch(says);
  });

  it('two sources at once', async () => {
    const file = { filename: 'a.yaml', data: Buffer.from('prompt: a woman') };
    const says = await refused(() => me.type('sweep', { config: 'prompt: a man' }, { file }));
    expect(says).toContain('Give `config` or `file`, not both.');
  });

  it('what is typed into its form', async () => {
    const form = await me.open('sweep');
    const says = await refused(() => me.send(form, { yaml: 'prompt: a\naxes: [1, 2\nsteps: 3' }));
    expect(says).toMatch(/at line 3, column 1/);
  });
});

/** A button, or with values a select. */
const pressable = (id: string, values?: readonly string[]) => ({
  type: 1,
  components: [
    values
      ? { type: 3, custom_id: id, options: values.map((value) => ({ label: value, value })) }
      : { type: 2, style: 2, label: 'Press', custom_id: id },
  ],
});

/** The answer to a press on a message that everybody sees. */
async function press(typist: Typist, id: string, values?: readonly string[]): Promise<APIMessage> {
  return typist.press(await local.post(typist.channelId, 'A card', [pressable(id, values)]), id, values);
}

/** A plan of `seeds` pictures. */
async function plan(seeds: number): Promise<{ id: string; hash: string }> {
  const config = `{prompt: portrait of a woman, seeds: ${seeds}}`;
  const card = await me.type('sweep', { config });
  const [, id, hash] = /v1:plan\.run:([\w-]+):(\w+)/.exec(JSON.stringify(card.components)) ?? [];
  if (!id || !hash) throw new Error(`no plan: ${card.content}`);
  return { id, hash };
}

/** Of a batch that `/imagine` opened, drawn as a worker would. */
async function picture(): Promise<{ batchId: string; generationId: string }> {
  const { startGeneration } = await import('#test/support/taking.ts');
  const { finishGeneration } = await import('#src/batches/ending.ts');
  await me.type('imagine', { prompt: 'portrait of a woman' });
  const { id, batchId } = await db.generation.findFirstOrThrow({
    where: { userId: me.id, batch: { kind: 'imagine' } },
    orderBy: { queuedAt: 'desc' },
  });
  const drawing = await startGeneration(id, 'w1');
  const png = Buffer.from('PNG');
  await finishGeneration(drawing!, 'w1', {
    png,
    width: 512,
    height: 640,
    thumbhash: new Uint8Array([1]),
    timings: {},
    bundleHash: 'weights',
    photoIds: [],
    verdict: 'clear',
    scores: { flagged: 0 },
    rule: null,
    judged: clearJudgement,
    likeness: null,
    sha256: createHash('sha256').update(png).digest('hex'),
  });
  return { batchId, generationId: id };
}

describe('a button', () => {
  const NOT_YOURS = 'Only the person who asked for this may press that.';

  it('pressed by somebody else does nothing', async () => {
    const planned = await plan(2);
    const { batchId, generationId } = await picture();
    await me.type('imagine', { prompt: 'portrait of a man' });
    const waiting = await db.batch.findFirstOrThrow({
      where: { ownerId: me.id, state: 'open', endedAt: null },
    });
    // Its job comes a moment after the answer.
    const card = await db.delivery.findFirstOrThrow({ where: { batchId: waiting.id } });
    await expect.poll(async () => [...(await queues().ids('delivery'))]).toContain(card.id);
    const undelivered = await db.delivery.findFirstOrThrow({ where: { batchId } });
    await db.delivery.update({ where: { id: undelivered.id }, data: { state: 'undelivered' } });
    const folder = await db.faceFolder.create({
      data: {
        ownerId: me.id,
        name: 'eve',
        photos: { create: { state: 'checked', storageKey: 'k', sha256: 's', width: 200, height: 200 } },
      },
    });
    const presses: [id: string, values?: string[]][] = [
      [customId('plan.run', planned.id, planned.hash)],
      [customId('plan.edit', planned.id)],
      [customId('plan.cancel', planned.id)],
      [customId('batch.stop', waiting.id)],
      [customId('batch.cancel', waiting.id)],
      [customId('picture.delete', generationId)],
      [customId('picture.unpublish', generationId)],
      [customId('consent.give', folder.id)],
      [customId('consent.cancel', folder.id)],
      [customId('settings.reset', me.id), ['all']],
      [customId('queue.cancel', me.id), [waiting.id]],
      [customId('queue.post', me.id), [undelivered.id]],
    ];
    for (const [id, values] of presses)
      expect([id, await refused(() => press(other, id, values))]).toEqual([id, NOT_YOURS]);
    expect(await refused(() => press(other, customId('picture.publish', generationId)))).toBe(
      'Only the person who asked for a picture, and those who look after the gallery, may publish it.',
    );
    expect(await refused(() => press(other, customId('picture.decline', generationId)))).toBe(
      'Only moderators may do that.',
    );
    for (const action of ['review.approve', 'review.reject', 'review.rejected'] as const)
      expect(await refused(() => press(other, customId(action, generationId)))).toBe(
        'Only moderators may do that.',
      );
  });

  it('with what belongs to somebody else among its values does nothing', async () => {
    const mine = await db.batch.findFirstOrThrow({ where: { ownerId: me.id, state: 'open', endedAt: null } });
    const asOther = (id: string, value: string) => refused(() => press(other, id, [value]));
    expect(await asOther(customId('queue.cancel', other.id), mine.id)).toBe(NOT_YOURS);
    const delivery = await db.delivery.findFirstOrThrow({ where: { state: 'undelivered' } });
    expect(await asOther(customId('queue.post', other.id), delivery.id)).toBe('That is not there any more.');
    expect(await asOther(customId('settings.reset', other.id), 'nonsense')).toMatch(
      /^There is no parameter named `nonsense`/,
    );
    expect(await asOther(customId('pictures.pick', mine.id), 'nonsense')).toBe('That is not there any more.');
    expect(await asOther(customId('pictures.page', mine.id), '1e9')).toBe('That is not there any more.');
  });

  it('pressed twice at once acts once', async () => {
    const elsewhere = await local.as('member', 'sweeps');
    const twice = async (id: string) => {
      const answers = await Promise.all([press(me, id), press(elsewhere, id)]);
      return answers.map(({ content }) => content).sort();
    };
    const charges = () => db.tokenEntry.count({ where: { userId: me.id, reason: 'charge' } });

    const { id, hash } = await plan(3);
    const before = await charges();
    expect(await twice(customId('plan.run', id, hash))).toEqual([
      expect.stringMatching(/^Accepted for \d+ tokens\./),
      'This plan was changed or is already running, or is from before an update. Use the newest card, or give the command again.',
    ]);
    expect(await db.generation.count({ where: { batchId: id } })).toBe(3);
    expect(await charges()).toBe(before + 1);

    expect(await twice(customId('batch.cancel', id))).toEqual([
      expect.stringMatching(/^Cancelled: what is finished is kept/),
      expect.stringMatching(/^That was done already: it (is|has) /),
    ]);
    expect(await db.tokenEntry.count({ where: { batchId: id, reason: 'refund' } })).toBe(3);

    const { generationId } = await picture();
    expect(await twice(customId('picture.deleted', generationId))).toEqual([
      'Picture 1 is deleted.',
      'Picture 1 is deleted.',
    ]);
    const image = await db.image.findUniqueOrThrow({ where: { generationId } });
    expect(await db.auditEvent.count({ where: { subject: `image:${image.id}` } })).toBe(1);
  });

  it('with a stale hash, or none, runs no plan', async () => {
    const { id, hash } = await plan(2);
    const stale =
      'This plan was changed or is already running, or is from before an update. Use the newest card, or give the command again.';
    for (const argument of ['0'.repeat(16), hash.slice(0, -1), hash.toUpperCase(), undefined])
      expect(await refused(() => press(me, customId('plan.run', id, argument)))).toBe(stale);
    await db.batch.update({ where: { id }, data: { planHash: 'f'.repeat(64) } });
    expect(await refused(() => press(me, customId('plan.run', id, hash)))).toBe(stale);
  });

  const UUID = '0190d2c2-7b6a-7000-8000-000000000000';
  it.each([
    'nonsense',
    'v1',
    'v1:plan.run',
    'v0:plan.run:0190d2c2-7b6a-7000-8000-000000000000',
    'v1:plan.run:not-an-id',
    'v1:plan.run:../../etc/passwd',
    `v1:plan.run:${UUID}:${'a'.repeat(33)}`,
    `v1:plan.run:${UUID}:a:b`,
    `v1:plan.run:${UUID}:' OR 1=1`,
    `v1:__proto__:${UUID}`,
    `v1:constructor:${UUID}`,
    '💐'.repeat(50),
  ])('with the malformed id %s says that it is unknown', async (id) => {
    expect(await refused(() => press(me, id))).toBe(
      'This button is not one I know. Run the command again for a fresh card.',
    );
  });

  it.each(Object.keys(actions) as Action[])(
    'forged as %s for what is not there is told so',
    async (action) => {
      // Whatever kind of id an action takes: a row's, and a person's.
      for (const id of [UUID, '262000000000000000'])
        expect(await refused(() => press(me, customId(action, id)))).toMatch(
          /^(That is not there any more|Only |This button is not one I know|Nothing was started)/,
        );
    },
  );
});

describe('a prompt that names people', () => {
  it('calls none of them, wherever it is shown', async () => {
    const roleId = local.sandbox.state.world.guilds[0].roles[1]!.id;
    const operator = await known('operator');
    const prompt = `portrait of @everyone, @here, <@${me.id}>, <@!${me.id}> and <@&${roleId}>`;
    wire.length = 0;

    await operator.type('imagine', { prompt });
    await operator.type('sweep', {
      config: JSON.stringify({ name: '@everyone', prompts: [prompt, prompt + 1] }),
    });
    await operator.type('set', { parameter: 'negative_prompt', value: prompt });
    await operator.type('settings');
    await operator.type('imagine', { prompt: 'portrait', face: '@everyone' });
    await operator.type('test_face_mecene', {
      face_folders: '@everyone',
      ideas: prompt,
      generations_per_input: 1,
    });
    await operator.type('faces show', { name: '@here' });
    await operator.type('set', { parameter: '@everyone', value: `<@${me.id}>` });
    await operator.type('set', { parameter: 'negative_prompt', value: 'default' });

    const { startCourier } = await import('#src/services/courier/courier.ts');
    const courier = await startCourier();
    const { id: batchId } = await db.batch.findFirstOrThrow({ where: { ownerId: operator.id } });
    const card = () => db.delivery.findFirstOrThrow({ where: { batchId, kind: 'card' } });
    try {
      await expect.poll(async () => (await card()).messageId, { timeout: 10_000 }).not.toBeNull();
    } finally {
      await courier.close();
    }
    const posted = local.sandbox.state.message(operator.channelId, (await card()).messageId!, operator.id)!;
    await operator.choose(posted, 'Details');

    const said = wire.flatMap(({ route, body }) => {
      const message = (route.includes('/callback') ? body.data : body) as Record<string, unknown> | undefined;
      return message && ('content' in message || 'components' in message) ? [{ route, message }] : [];
    });
    expect(said.length).toBeGreaterThan(8);
    expect(said.some(({ route }) => route === 'POST /channels/{channel_id}/messages')).toBe(true);
    for (const { message } of said) {
      const { parse, users = [], roles = [] } = message.allowed_mentions as Record<string, string[]>;
      expect([parse, users, roles]).toEqual([[], [], []]);
    }
    for (const message of local.sandbox.state.messages(operator.channelId))
      expect([message.mention_everyone, message.mentions, message.mention_roles]).toEqual([false, [], []]);
  });
});

describe('an older form of a command, as a client may still show it,', () => {
  const older = (name: string, options: readonly [type: 3 | 4, name: string][]) =>
    local.rest(`applications/${local.sandbox.state.world.applicationId}/commands`, {
      name,
      description: 'As it was before the last release.',
      integration_types: [0],
      contexts: [0],
      options: options.map(([type, option]) => ({ type, name: option, description: 'An option.' })),
    });
  const RELOAD =
    'Your Discord shows an older form of this command. Reload it (Ctrl+R) and type the command again.';

  it('with values that nobody could choose now: each is named', async () => {
    await older('imagine', [
      [3, 'prompt'],
      [3, 'seed'],
      [3, 'shape'],
      [4, 'count'],
    ]);
    const ask = (options: Record<string, string | number>) =>
      refused(() => me.type('imagine', { prompt: 'portrait', ...options }));
    expect(await ask({ seed: 'many' })).toBe('`seed` must be a whole number; `many` is not.');
    expect(await ask({ seed: '-1' })).toBe('`seed` must be between 0 and 4294967295; -1 is outside.');
    expect(await ask({ shape: 'round' })).toMatch(/^`shape` must be one of/);
    for (const count of [0, 5, 99])
      expect(await ask({ count })).toBe(`\`count\` must be between 1 and 4; ${count} is outside.`);
    expect(await refused(() => me.type('imagine'))).toBe(RELOAD);
  });

  it('with options of another type, or of a command that is gone: asks to reload', async () => {
    await older('imagine', [
      [3, 'prompt'],
      [3, 'count'],
    ]);
    await older('sweep', [[4, 'config']]);
    await older('paint', []);
    expect(await refused(() => me.type('imagine', { prompt: 'portrait', count: '2' }))).toBe(RELOAD);
    expect(await refused(() => me.type('sweep', { config: 7 }))).toBe(RELOAD);
    expect(await refused(() => me.type('paint'))).toBe(RELOAD);
  });
});

it('Discord was asked nothing that it would not take', () => {
  expect(local.sandbox.violations).toEqual([]);
});
