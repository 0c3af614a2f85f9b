import { createHash } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { type APIMessage, MessageFlags } from 'discord.js';
import sharp from 'sharp';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { parameterEntries } from '#config/parameters.ts';
import { limits } from '#config/tiers.ts';
import { filesOf } from '#infra/local/discord/person.ts';
import { clearJudgement } from '#test/support/drawn.ts';
import { withText } from '#test/support/png-text.ts';
import type { LocalBot, Typist } from './local-bot.ts';

let local: LocalBot;
let db: typeof import('#src/doors/db.ts').db;
beforeAll(async () => {
  local = await (await import('./local-bot.ts')).startLocalBot();
  // Only now: `config` is read when the first of our modules is imported.
  ({ db } = await import('#src/doors/db.ts'));
});
afterAll(async () => {
  await local?.close();
});

const member = () => local.as('member');
const components = (message: APIMessage) => JSON.stringify(message.components ?? []);

/** Does what a worker does: ends queued generations of a person with a picture. @param most all when left out */
async function draw(userId: string, most?: number): Promise<void> {
  const { startGeneration } = await import('#test/support/taking.ts');
  const { finishGeneration } = await import('#src/batches/ending.ts');
  const worker = { id: 'a-worker', bundle: 'reference', bundleHash: 'weights' };
  await db.worker.upsert({ where: { id: worker.id }, create: worker, update: { seenAt: new Date() } });
  const waiting = { where: { userId, state: 'queued' }, ...(most !== undefined && { take: most }) } as const;
  for (const { id } of await db.generation.findMany(waiting)) {
    const drawing = await startGeneration(id, worker.id);
    if (!drawing) continue;
    const png = await sharp({ create: { width: 64, height: 80, channels: 3, background: '#a33' } })
      .png()
      .toBuffer();
    await finishGeneration(drawing, worker.id, {
      png,
      width: 64,
      height: 80,
      sha256: createHash('sha256').update(png).digest('hex'),
      thumbhash: new Uint8Array([1, 2, 3]),
      verdict: drawing.prompt.includes('held') ? 'flagged' : 'clear',
      scores: { flagged: 0 },
      rule: null,
      judged: clearJudgement,
      likeness: null,
      bundleHash: worker.bundleHash,
      photoIds: [],
      timings: { encode: 12, denoise: 340 },
    });
  }
}

/** Does what Mecene does, until it is stopped. */
function think(promptOf: (idea: { words: string; seed: bigint }) => string) {
  const stopped = new AbortController();
  const thinking = (async () => {
    while (!stopped.signal.aborted) {
      for (const idea of await db.idea.findMany({ where: { state: 'waiting' } })) {
        await db.idea.update({
          where: { id: idea.id },
          data: {
            state: 'ready',
            prompt: promptOf(idea),
            source: 'composer',
            fallback: idea.words === 'winter',
          },
        });
      }
      await sleep(20);
    }
  })();
  return {
    async stop() {
      stopped.abort();
      await thinking;
    },
  };
}

/** Does what the courier does: posts the batch's card and keeps the message's id. */
async function postCard(
  batchId: string,
  kind: 'card' | 'pictures' | 'status' = 'card',
  rows: object[] = [],
): Promise<APIMessage> {
  const batch = await db.batch.findUniqueOrThrow({ where: { id: batchId } });
  const message = await local.post(batch.channelId!, batch.title, rows);
  const existing = await db.delivery.findFirst({ where: { batchId, kind } });
  if (existing) await db.delivery.update({ where: { id: existing.id }, data: { messageId: message.id } });
  else
    await db.delivery.create({
      data: { batchId, kind, userId: batch.ownerId, messageId: message.id, nonce: message.id },
    });
  return message;
}

const button = (customId: string, label = 'Press') => ({
  type: 1,
  components: [{ type: 2, style: 2, label, custom_id: customId }],
});

const latestBatch = (ownerId: string) =>
  db.batch.findFirstOrThrow({
    where: { ownerId },
    orderBy: { createdAt: 'desc' },
    include: { generations: true },
  });

describe('a guild that is new', () => {
  const settingsOf = (id: string) => db.guildSettings.findUnique({ where: { id } });
  const nothing = { reviewChannelId: null, operatorRoleIds: [], moderatorRoleIds: [] };

  it('is greeted where the bot may write, and nothing is taken by its name', async () => {
    for (const [index, { id, ownerId }] of local.sandbox.state.guildsOfBot.entries()) {
      await expect.poll(() => settingsOf(id), { timeout: 10_000 }).toMatchObject(nothing);
      expect(await db.delivery.findMany({ where: { guildId: id, kind: 'greeting' } })).toMatchObject([
        { channelId: await local.channel('portraits', index as 0 | 1), userId: ownerId },
      ]);
    }
  });

  it.each([0, 1] as const)(
    'has what Set up found when somebody who manages it says so: server %i',
    async (n) => {
      const guild = local.sandbox.state.world.guilds[n];
      const role = (name: string) => guild.roles.find((one) => one.name === name)?.id;
      const operator = await local.as('operator', 'portraits', n);
      const greeting = await local.post(operator.channelId, 'Hello', [button(`v1:guild.setup:${guild.id}`)]);
      for (const person of ['member', 'moderator'] as const) {
        const nobody = await local.as(person, 'portraits', n);
        expect((await nobody.press(greeting, 'v1:guild.setup')).content).toMatch(/may Manage Server/);
      }

      const asked = await operator.press(greeting, 'v1:guild.setup');
      expect(asked.content).toMatch(/by their names\. None of them counts before/);
      expect(await settingsOf(guild.id)).toMatchObject(nothing);

      expect((await operator.press(asked, 'v1:guild.adopt')).content).toMatch(/Review channel: <#\d+>\n/);
      expect(await settingsOf(guild.id)).toMatchObject({
        reviewChannelId: await local.channel('review', n),
        operatorRoleIds: [role('Operators')],
        moderatorRoleIds: [role('Moderators')],
      });
    },
  );

  it('that is another is set up by nobody who manages this one', async () => {
    const [, salon] = local.sandbox.state.world.guilds;
    const operator = await local.as('operator');
    const forged = await local.post(operator.channelId, 'Forged', [button(`v1:guild.adopt:${salon.id}`)]);
    expect((await operator.press(forged, 'v1:guild.adopt')).content).toMatch(/may Manage Server/);
  });
});

describe('/imagine', () => {
  it('accepts, says the place, and leaves a message to be posted', async () => {
    const me = await member();
    const { content } = await me.type('imagine', { prompt: 'portrait of a woman, red hair', seed: 7 });
    expect(content).toMatch(/^Accepted for 1 token\. .* will appear here\.$/);
    const batch = await latestBatch(me.id);
    expect(batch).toMatchObject({ kind: 'imagine', state: 'open', channelId: me.channelId, botInside: true });
    expect(batch.generations).toMatchObject([{ seed: 7n, state: 'queued' }]);
    expect(await db.delivery.findMany({ where: { batchId: batch.id } })).toMatchObject([{ kind: 'card' }]);
  });

  it('draws several with the seeds one after another', async () => {
    const me = await member();
    await me.type('imagine', {
      prompt: 'portrait of a man',
      seed: 4294967295,
      count: 3,
      shape: 'square',
      tier: 'relax',
    });
    const { generations, tier } = await latestBatch(me.id);
    expect(tier).toBe('relax');
    expect(generations.map(({ seed }) => seed)).toEqual([4294967295n, 0n, 1n]);
    expect(generations[0]).toMatchObject({ width: 512, height: 512 });
  });

  it('answers on the other shard as well', async () => {
    const { content } = await (await local.as('member', 'portraits', 1)).type('imagine', {
      prompt: 'portrait',
    });
    expect(content).toMatch(/^Accepted/);
  });

  it('works in DMs, and where only the person has installed the app', async () => {
    expect((await (await local.as('member', 'dm')).type('imagine', { prompt: 'portrait' })).content).toMatch(
      /^Accepted/,
    );
    const friends = await local.as('member', 'friends');
    expect((await friends.type('imagine', { prompt: 'portrait' })).content).toMatch(/^Accepted/);
    const batch = await latestBatch(friends.id);
    expect(batch).toMatchObject({ botInside: false, guildId: null });
    expect(await db.delivery.findFirst({ where: { batchId: batch.id } })).toMatchObject({
      token: expect.any(String),
    });
  });

  it('refuses 6,000 characters, naming both numbers, and charges nothing', async () => {
    const me = await local.as('other');
    const before = await db.batch.count({ where: { ownerId: me.id } });
    const { content } = await me.type('imagine', { prompt: 'x'.repeat(6_000) });
    expect(content).toMatch(/1000 characters; yours has 6000/);
    expect(await db.batch.count({ where: { ownerId: me.id } })).toBe(before);
  });

  it('refuses what the rules refuse, and blanks', async () => {
    expect((await (await member()).type('imagine', { prompt: 'a n4ked portrait' })).content).toMatch(
      /can't draw that/,
    );
    expect((await (await member()).type('imagine', { prompt: '   ' })).content).toMatch(/prompt is empty/);
  });

  it('names the permissions that it lacks, and queues nothing', async () => {
    const me = await local.as('other', 'no-bots');
    const { content } = await me.type('imagine', { prompt: 'portrait' });
    expect(content).toMatch(/I lack Send Messages, Attach Files/);
    expect(await db.batch.count({ where: { channelId: me.channelId } })).toBe(0);
  });

  it('names the face folders that there are when one is unknown', async () => {
    expect((await (await member()).type('imagine', { prompt: 'portrait', face: 'nobody' })).content).toMatch(
      /no face folder named `nobody`/,
    );
    expect((await (await member()).type('imagine', { prompt: 'portrait', face: '../etc' })).content).toMatch(
      /can't be a face folder/,
    );
  });
});

describe('/set and /settings', () => {
  it('answers old and new, and shows what is one’s own', async () => {
    const me = await local.as('moderator');
    expect((await me.type('set', { parameter: 'steps', value: '30' })).content).toBe(
      '`steps`: **`20`** → **`30`**',
    );
    expect((await me.type('set', { parameter: 'steps', value: '31' })).content).toBe(
      '`steps`: **`30`** → **`31`**',
    );
    const card = await me.type('settings');
    expect(card.content).toContain('**Steps `31`** (`20`)');
    expect(card.content).toContain('Guidance scale `7.5`');

    const reset = await me.press(card, `v1:settings.reset:${me.id}`, ['steps']);
    expect(reset.content).toMatch(/`steps`: \*\*`31`\*\* → \*\*`20`\*\*/);
    expect(components(reset)).not.toMatch('settings.reset');
  });

  it('show parameters in groups by their titles, the tokens that are left, and fit a phone', async () => {
    const me = await local.as('moderator');
    const { content } = await me.type('settings');
    expect(content).toMatch(/^You have \*\*[\d,]+ tokens\*\*/);
    expect(content.match(/^\*\*[^*`]+\*\*$/gm)).toEqual([
      '**Picture**',
      '**Drawing**',
      '**Face**',
      '**Queue and gallery**',
    ]);
    for (const { title } of parameterEntries.values()) expect(content).toContain(title);
    expect(content.length).toBeLessThan(1_200);
  });

  it('change a parameter in a form, and say what is wrong with a bad value', async () => {
    const me = await local.as('moderator');
    const card = await me.type('settings');
    const form = await me.chooseForm(card, `v1:settings.change:${me.id}`, ['steps']);
    expect(JSON.stringify(form)).toMatch(/Steps: 1 to 150/);
    expect(JSON.stringify(form)).toMatch(/"value":"20"/);
    expect((await me.send(form, { value: '999' }, card)).content).toMatch(
      /between 1 and 150; 999 is outside/,
    );

    const change = async (shown: APIMessage, name: string, value: string | string[]) =>
      me.send(await me.chooseForm(shown, `v1:settings.change:${me.id}`, [name]), { value }, shown);
    const more = await change(card, 'steps', '33');
    expect(more.content).toMatch(/^`steps`: \*\*`20`\*\* → \*\*`33`\*\*\n[\s\S]*\*\*Steps `33`\*\* \(`20`\)/);
    const emptied = await change(more, 'steps', '');
    expect(emptied.content).toMatch(/`33`\*\* → \*\*`20`/);
    expect((await change(emptied, 'scheduler', ['euler'])).content).toMatch(/\*\*Scheduler `euler`\*\*/);
    await me.type('set', { parameter: 'scheduler', value: 'default' });
  });

  it('offer only what somebody may set', async () => {
    expect(components(await (await member()).type('settings'))).not.toContain('production_mode');
    expect(components(await (await local.as('operator')).type('settings'))).toContain('production_mode');
  });

  it.each([
    ['stepz', '3', /no parameter named `stepz`.*`steps`/],
    ['steps', '151', /between 1 and 150; 151 is outside/],
    ['steps', 'many', /must be a whole number; `many` is not/],
    ['guidance_scale', '7,5', /must be a number, with a point/],
    ['scheduler', 'magic', /must be one of `ddim`/],
    ['negative_prompt', 'x'.repeat(1_001), /may have 1000 characters; yours has 1001/],
    ['production_mode', 'on', /Only operators/],
  ])('refuses %s %s', async (parameter, value, says) => {
    expect((await (await member()).type('set', { parameter, value })).content).toMatch(says);
  });

  it('lets operators set production mode, and notes it', async () => {
    const operator = await local.as('operator');
    expect((await operator.type('set', { parameter: 'production_mode', value: 'on' })).content).toMatch(
      /\*\*`off`\*\* → \*\*`on`\*\*/,
    );
    const change = { actorId: operator.id, action: 'production_mode.set' };
    expect(await db.auditEvent.findFirst({ where: change })).toMatchObject({ before: false, after: true });
    await operator.type('set', { parameter: 'production_mode', value: 'default' });
  });

  it('suggests at most 25, and values that fit the parameter', async () => {
    const me = await member();
    const names = await me.suggest('set', { parameter: '' }, 'parameter');
    expect(names.length).toBeGreaterThan(10);
    expect(names.length).toBeLessThanOrEqual(25);
    const values = await me.suggest('set', { parameter: 'scheduler', value: 'eu' }, 'value');
    expect(values.map(({ value }) => value)).toEqual(expect.arrayContaining(['euler', 'euler_a']));
    expect(await me.suggest('set', { parameter: 'nonsense', value: '' }, 'value')).toEqual([]);
  });

  it('lets nobody else press a card', async () => {
    const me = await member();
    const operator = await local.as('operator');
    const forged = await local.post(operator.channelId, 'A forged card', [
      {
        type: 1,
        components: [
          { type: 3, custom_id: `v1:settings.reset:${me.id}`, options: [{ label: 'All', value: 'all' }] },
        ],
      },
    ]);
    expect((await operator.press(forged, `v1:settings.reset:${me.id}`, ['all'])).content).toMatch(
      /Only the person who asked/,
    );
  });

  it('calls nobody, whatever a value says', async () => {
    const me = await member();
    const said = await me.type('set', { parameter: 'negative_prompt', value: '@everyone `hi`' });
    expect(said.mention_everyone).toBe(false);
    expect(said.content).toMatch('`@everyone ˋhiˋ`');
    await me.type('set', { parameter: 'negative_prompt', value: 'default' });
  });
});

describe('custom ids', () => {
  it.each([
    'nonsense',
    'v0:picture.again:x',
    'v1:picture.again:not-an-id',
    'v1:unknown.thing:0190d2c2-7b6a-7000-8000-000000000000',
  ])('of %s get a sentence', async (id) => {
    const me = await member();
    const message = await local.post(me.channelId, 'forged', [button(id)]);
    expect((await me.press(message, id)).content).toMatch(/not one I know/);
  });

  it('of rows that are not there get a sentence', async () => {
    const me = await member();
    for (const action of [
      'plan.run',
      'batch.stop',
      'picture.again',
      'picture.open',
      'picture.delete',
      'picture.deleted',
      'picture.keep',
      'picture.use',
      'pictures.again',
      'sheet.use',
      'review.approve',
      'consent.give',
    ]) {
      const id = `v1:${action}:0190d2c2-7b6a-7000-8000-000000000000`;
      const message = await local.post(me.channelId, 'forged', [button(id)]);
      expect((await me.press(message, id)).content, action).toMatch(/not there any more|Only moderators/);
    }
  });
});

describe('/sweep', () => {
  const yaml = '{prompt: portrait of a woman, axes: {steps: [10, 20], guidance_scale: [4, 6]}, seeds: 2}';

  it('shows a plan, charges nothing, and runs once', async () => {
    const me = await member();
    const card = await me.type('sweep', { config: yaml });
    expect(card.content).toMatch(/\*\*8 pictures\*\*, 0 drawn before/);
    const planned = await latestBatch(me.id);
    expect(planned).toMatchObject({ state: 'planned', charged: 0, generations: [] });

    const old = structuredClone(card);
    const run = await me.press(card, 'v1:plan.run');
    expect(run.content).toMatch(/^Accepted for \d+ tokens/);
    expect(components(run)).toBe('[]');
    expect((await latestBatch(me.id)).generations).toHaveLength(8);

    const again = await local.post(me.channelId, 'The old card', old.components);
    expect((await me.press(again, 'v1:plan.run')).content).toMatch(/changed or is already running/);
    expect((await (await local.as('other')).press(again, 'v1:plan.run')).content).toMatch(
      /Only the person who asked/,
    );
    expect(await db.generation.count({ where: { batchId: planned.id } })).toBe(8);
  });

  it('leaves out equal cells, says so, and charges and draws the others once', async () => {
    const me = await member();
    const cells = Array(11).fill('{steps: 12}').join(', ');
    const card = await me.type('sweep', {
      config: `{prompt: portrait, method: list, cells: [${cells}, {steps: 13}]}`,
    });
    expect(card.content).toMatch(/\*\*2 pictures\*\*, 0 drawn before/);
    expect(card.content).toContain('10 cells left out: the same picture as another.');
    expect(card.content).not.toContain('by `limit`');
    expect((await me.press(card, 'v1:plan.run')).content).toMatch(/^Accepted for 2 tokens/);
    expect((await latestBatch(me.id)).generations).toHaveLength(2);
  });

  it('refuses a negative prompt that the last steps would follow alone, wherever the two are set', async () => {
    const me = await member();
    const axes = '{guidance_cutoff: [conditional, unconditional], negative_prompt: [blurry]}';
    expect((await me.type('sweep', { config: `{prompt: portrait, axes: ${axes}}` })).content).toMatch(
      /follow the negative prompt alone, so the two do not go together/,
    );
    await me.type('set', { parameter: 'negative_prompt', value: 'blurry' });
    expect(
      (await me.type('sweep', { config: '{prompt: portrait, set: {guidance_cutoff: unconditional}}' }))
        .content,
    ).toMatch(/follow the negative prompt alone/);
    expect((await me.type('set', { parameter: 'guidance_cutoff', value: 'unconditional' })).content).toMatch(
      /follow the negative prompt alone/,
    );
    await me.type('set', { parameter: 'negative_prompt', value: 'none' });
  });

  it('opens a form without a config, and that form makes a plan', async () => {
    const me = await member();
    const form = await me.open('sweep');
    expect(JSON.stringify(form)).toMatch('prompt: portrait');
    const card = await me.send(form, { yaml: 'prompt: portrait of a man\naxes:\n  steps: 10, 20, 30\n' });
    expect(card.content).toMatch(/\*\*3 pictures\*\*/);
    expect((await me.press(card, 'v1:plan.cancel')).content).toMatch(/thrown away/);
  });

  it('is edited: the old card’s Run no longer works', async () => {
    const me = await member();
    const card = await me.type('sweep', { config: yaml });
    const old = structuredClone(card);
    const form = await me.openBy(card, 'v1:plan.edit');
    expect(JSON.stringify(form)).toMatch('guidance_scale');
    const edited = await me.send(form, { yaml: 'prompt: portrait of a man\nseeds: 3' }, card);
    expect(edited.content).toMatch(/\*\*3 pictures\*\*/);
    const again = await local.post(me.channelId, 'The old card', old.components);
    expect((await me.press(again, 'v1:plan.run')).content).toMatch(/changed or is already running/);
    expect((await me.press(edited, 'v1:plan.run')).content).toMatch(/^Accepted/);
  });

  it('reads a file', async () => {
    const me = await member();
    const file = { filename: 'sweep.yaml', data: Buffer.from('prompt: portrait\nseeds: [1, 2, 3, 4]\n') };
    expect((await me.type('sweep', {}, { file })).content).toMatch(/\*\*4 pictures\*\*/);
  });

  it('says all that is wrong at once, and plans nothing', async () => {
    const me = await member();
    const before = await db.batch.count({ where: { ownerId: me.id } });
    const { content } = await me.type('sweep', {
      config: '{prompt: portrait, axes: {steps: [1, 999], nonsense: [1]}, set: {scheduler: magic}}',
    });
    expect(content).toMatch(/3 things need mending/);
    expect(content).toMatch(/999/);
    expect(content).toMatch(/nonsense/);
    expect(content).toMatch(/magic/);
    expect(await db.batch.count({ where: { ownerId: me.id } })).toBe(before);
  });

  it('refuses broken YAML with its line, and more than the limit with both numbers', async () => {
    const me = await member();
    expect((await me.type('sweep', { config: 'prompt: a\\naxes: [1' })).content).toMatch(/line 2/);
    const many = '{prompt: portrait, axes: {steps: {from: 1, to: 150, step: 1}}, seeds: 10}';
    expect((await me.type('sweep', { config: many })).content).toMatch(
      new RegExp(`1,500 pictures, and ${limits.batch} is the most`),
    );
    expect(
      (await me.type('sweep', { config: '{prompt: portrait, faces: [nobody, ghost]}' })).content,
    ).toMatch(/nobody[\s\S]*ghost/);
  });

  it('asks for the right to make threads', async () => {
    const { content } = await (await local.as('member', 'no-bots')).type('sweep', { config: yaml });
    expect(content).toMatch(/I lack .*Send Messages in Threads/);
  });
});

describe('/detect', () => {
  it('says whose a picture is, to who asked alone, and refuses what is none', async () => {
    const me = await member();
    const { markPicture } = await import('#src/marks/marks.ts');
    const create = { width: 300, height: 300, channels: 3, background: '#988' } as const;
    const { bytes } = await markPicture(sharp({ create }).png(), 'drawn');
    const ours = await me.type('detect', {}, { picture: { filename: 'a.png', data: bytes } });
    expect(ours.content).toContain('### It was drawn here');
    expect(ours.flags).toBe(MessageFlags.Ephemeral);
    const plain = await sharp({ create }).jpeg().toBuffer();
    const nobodys = await me.type('detect', {}, { picture: { filename: 'b.jpg', data: plain } });
    expect(nobodys.content).toMatch(/### No mark was found[\s\S]*That proves nothing/);
    const text = { filename: 'c.png', data: Buffer.from('no picture') };
    expect((await me.type('detect', {}, { picture: text })).content).toMatch(
      /`c\.png` is not a picture I can read/,
    );
  });
});

describe('/describe', () => {
  const describePicture = async (person: Typist, data: Buffer, filename = 'a.png') =>
    (await person.type('describe', {}, { picture: { filename, data } })).content;

  it('reads what another program wrote into the file, and names what is ours by another name', async () => {
    const me = await member();
    const create = { width: 300, height: 300, channels: 3, background: '#988' } as const;
    const png = await sharp({ create }).png().toBuffer();
    const text =
      'a cat `in` a hat\nNegative prompt: dogs\nSteps: 24, Sampler: Euler a, CFG scale: 6, Seed: 7';
    const said = await describePicture(me, withText(png, 'parameters', text));
    expect(said).toContain('### Drawn by AUTOMATIC1111’s web UI, as the file says');
    expect(said).toContain('a cat ˋinˋ a hat');
    expect(said).toContain('Negative prompt:\n```\ndogs\n```');
    expect(said).toContain(
      '- Steps: **`24`**\n- Guidance scale: **`6`**\n- Scheduler: **`Euler a`**, here **`euler_a`**',
    );
    const comment = { IFD2: { UserComment: text } };
    const jpeg = await sharp(png).withExif(comment).jpeg().toBuffer();
    expect(await describePicture(me, jpeg, 'a.jpg')).toContain('- Seed: **`7`**');
    expect(await describePicture(me, png)).toMatch(/^This file says nothing of how it was drawn/);
  });

  it('tells of a picture that was drawn here what its card tells, by its pixels alone, to who may see that', async () => {
    const { embedWatermark } = await import('#pipelines/watermark/embed.ts');
    const { watermarkOf } = await import('#src/marks/marks.ts');
    const me = await member();
    await me.type('imagine', { prompt: 'a bridge in fog' });
    await draw(me.id);
    const { id } = await db.generation.findFirstOrThrow({
      where: { userId: me.id, prompt: 'a bridge in fog' },
    });
    const side = 384;
    const rgb = Uint8Array.from({ length: side * side * 3 }, (_, i) => 90 + ((i * 37) % 61));
    const marked = embedWatermark({ rgb, width: side, height: side }, await watermarkOf(id));
    const raw = { width: side, height: side, channels: 3 } as const;
    const jpeg = await sharp(marked.rgb, { raw }).jpeg({ quality: 90 }).toBuffer();
    expect(await describePicture(me, jpeg, 'a.jpg')).toMatch(/\*\*Picture 1\*\*[\s\S]*a bridge in fog/);
    expect(await describePicture(await local.as('other', 'lounge'), jpeg, 'a.jpg')).toBe(
      'It was drawn here, for somebody else: what they asked for is theirs to tell.',
    );
  });
});

describe('/faces and /test_face_mecene', () => {
  it('adds photos once a worker saw one face, and only with consent', async () => {
    const me = await member();
    const { finishFaceCheck } = await import('#src/faces.ts');
    const photo = await sharp({ create: { width: 300, height: 300, channels: 3, background: '#988' } })
      .png()
      .toBuffer();
    const photos = { photo1: { filename: 'a.png', data: photo }, photo2: { filename: 'b.png', data: photo } };
    const looking = (async () => {
      for (let seen = 0; seen < 2; ) {
        for (const { id } of await db.facePhoto.findMany({
          where: { state: 'checking' },
          orderBy: { createdAt: 'asc' },
        })) {
          await finishFaceCheck(id, seen === 0 ? 1 : 2);
          seen++;
        }
        await sleep(20);
      }
    })();
    const card = await me.type('faces add', { name: 'ada' }, photos);
    await looking;
    expect(card.content).toMatch(/more than one face in `b\.png`/);
    expect(card.content).toMatch(/I am the person in these photos/);
    expect((await me.type('imagine', { prompt: 'portrait', face: 'ada' })).content).toMatch(
      /no photo with consent/,
    );

    const copy = await local.post(me.channelId, 'Copied', card.components);
    expect((await (await local.as('other')).press(copy, 'v1:consent.give')).content).toMatch(
      /Only the person/,
    );
    expect((await me.press(card, 'v1:consent.give')).content).toMatch(/1 photo added to `ada`/);
    expect((await me.press(copy, 'v1:consent.give')).content).toMatch(/done already/);
    expect((await me.type('faces list')).content).toBe('- `ada`: 1 photo');
    const shown = await me.type('faces show', { name: 'ada' });
    expect(filesOf(shown)).toHaveLength(1);
    expect(await me.suggest('imagine', { prompt: 'x', face: 'a' }, 'face')).toEqual([
      { name: 'ada · 1 photo', value: 'ada' },
    ]);
  });

  it('says of a folder that is removed what will not be drawn with it', async () => {
    const me = await member();
    const photo = {
      state: 'accepted',
      storageKey: 'faces/c/d.png',
      sha256: 's',
      width: 1,
      height: 1,
    } as const;
    await db.faceFolder.create({ data: { ownerId: me.id, name: 'cleo', photos: { create: photo } } });
    await me.type('imagine', { prompt: 'portrait of a queen', face: 'cleo', count: 2 });
    const { id } = await latestBatch(me.id);
    expect((await me.type('faces remove', { name: 'cleo' })).content).toBe(
      '`cleo` is gone, with all its photos. 2 pictures that were to be drawn with it will not be; the tokens are back.',
    );
    expect(await latestBatch(me.id)).toMatchObject({ id, state: 'finished' });
  });

  it('refuses files that are no photos, all in one answer', async () => {
    const me = await member();
    const photo1 = { filename: 'a.png', data: Buffer.from('no picture') };
    const photo2 = { filename: 'b.jpg', data: Buffer.from('%PDF-1.4') };
    const { content } = await me.type('faces add', { name: 'bob' }, { photo1, photo2 });
    expect(content).toMatch(/a\.png[\s\S]*b\.jpg/);
    expect((await me.type('faces add', { name: 'Bob Ross' }, { photo1 })).content).toMatch(
      /can't be a face folder/,
    );
  });

  it('refuses words that would be refused as a prompt, before Mecene sees them', async () => {
    const options = { face_folders: 'ada', ideas: 'tea; a naked man', generations_per_input: 1 };
    const { content } = await (await member()).type('test_face_mecene', options);
    expect(content).toMatch(/`a naked man`: I can't draw that/);
  });

  it('completes the last of several names', async () => {
    const me = await member();
    const found = await me.suggest(
      'test_face_mecene',
      { face_folders: '', ideas: '1', generations_per_input: 1 },
      'face_folders',
    );
    expect(found[0]).toMatchObject({ value: 'all' });
    expect(found.map(({ value }) => value)).toContain('ada');
  });

  it('plans every face in every idea with the same seeds, and keeps whose idea it was', async () => {
    const me = await member();
    const thinking = think(({ words }) => `portrait of a person, ${words}`);
    const card = await me.type('test_face_mecene', {
      face_folders: 'all',
      ideas: 'tea in a garden; a walk by the sea',
      generations_per_input: 3,
    });
    await thinking.stop();
    expect(card.content).toMatch(/\*\*6 pictures\*\*/);
    expect(card.content).toMatch(/1\. \*\*`tea in a garden`\*\* `portrait of a person, tea in a garden`/);
    await me.press(card, 'v1:plan.run');
    const { kind, generations } = await latestBatch(me.id);
    expect(kind).toBe('face_test');
    expect(new Set(generations.map(({ seed }) => seed)).size).toBe(3);
    expect(new Set(generations.map(({ ideaId }) => ideaId)).size).toBe(2);
    expect(generations.every(({ faceFolderId }) => faceFolderId !== null)).toBe(true);
  });

  it('asks Mecene for as many ideas as it is told', async () => {
    const me = await member();
    const thinking = think(({ words, seed }) => `${words} ${seed}`);
    const options = { face_folders: 'ada', ideas: '4', generations_per_input: 1, words: 'winter' };
    const card = await me.type('test_face_mecene', options);
    await thinking.stop();
    expect(card.content).toMatch(/\*\*4 pictures\*\*/);
    expect(card.content).toMatch(/4\. `winter/);
    expect(card.content).toMatch(/language model was away/);
  });

  it('shows every prompt whole before anything is paid: in the card, or else in a file and in the form', async () => {
    const me = await member();
    const long = (words: string) => `portrait of a person, ${words}, ${'under a lime tree '.repeat(12)}end`;
    const thinking = think(({ words }) => long(words));
    const few = { face_folders: 'ada', ideas: 'tea; sea', generations_per_input: 1 };
    const card = await me.type('test_face_mecene', few);
    for (const words of ['tea', 'sea']) expect(card.content).toContain(`\`${long(words)}\``);
    expect(card.attachments).toEqual([]);
    const form = JSON.stringify(await me.openBy(card, 'v1:plan.edit'));
    for (const words of ['tea', 'sea']) expect(form).toContain(long(words));

    const ideas = Array.from({ length: 10 }, (_, i) => `idea ${i}`);
    const many = { face_folders: 'ada', ideas: ideas.join('; '), generations_per_input: 1 };
    const crowded = await me.type('test_face_mecene', many);
    await thinking.stop();
    expect(crowded.content).toMatch(/whole in `plan\.yaml`[\s\S]*10\. /);
    const [file] = crowded.attachments;
    expect(file?.filename).toBe('plan.yaml');
    const text = await (await fetch(file!.url)).text();
    for (const words of ideas) expect(text).toContain(long(words));

    const run = await me.press(crowded, 'v1:plan.cancel');
    expect(run.attachments).toEqual([]);
  });

  it('says all faults of a face test at once', async () => {
    const { content } = await (await member()).type('test_face_mecene', {
      face_folders: 'ada, nobody, ghost',
      ideas: '11',
      generations_per_input: 2,
    });
    expect(content).toMatch(/3 things need mending/);
    expect(content).toMatch(/nobody[\s\S]*ghost[\s\S]*between 1 and 10; 11/);
  });
});

describe('a picture’s buttons', () => {
  it('draw again, vary and tell details', async () => {
    const me = await local.as('operator');
    await me.type('imagine', { prompt: 'portrait of a sailor', seed: 5 });
    await draw(me.id);
    const { id: batchId, generations } = await latestBatch(me.id);
    const id = generations[0]!.id;
    const rows = ['again', 'vary', 'details'].map((action) => button(`v1:picture.${action}:${id}`, action));
    const message = await postCard(batchId, 'card', rows);
    const other = await local.as('other');

    expect((await other.press(message, 'v1:picture.again')).content).toMatch(/^Accepted/);
    expect((await latestBatch(other.id)).generations[0]?.prompt).toBe('portrait of a sailor');
    await other.press(message, 'v1:picture.vary');
    const varied = (await latestBatch(other.id)).generations[0]!;
    expect(varied.seed).toBe(5n);
    expect((varied.parameters as { guidance_scale: number }).guidance_scale).not.toBe(7.5);

    const details = await other.choose(message, 'Details');
    expect(details.content).toMatch(/portrait of a sailor[\s\S]*Seed `5`[\s\S]*sha256/);
  });

  it('ask before a picture is deleted for good, and answer whatever is pressed then', async () => {
    const me = await local.as('operator');
    await me.type('imagine', { prompt: 'portrait of a glover', seed: 6 });
    await draw(me.id);
    const { id: batchId, generations } = await latestBatch(me.id);
    const id = generations[0]!.id;
    const message = await postCard(batchId, 'card', [button(`v1:picture.delete:${id}`, 'Delete…')]);
    const isThere = async () =>
      (await db.image.findUniqueOrThrow({ where: { generationId: id } })).deletedAt === null;

    const other = await local.as('other');
    expect((await other.press(message, 'v1:picture.delete')).content).toMatch(/Only the person/);
    const kept = await me.press(message, 'v1:picture.delete');
    expect(kept.content).toMatch(/Delete picture 1 for good\? Nobody can bring it back/);
    expect(await isThere()).toBe(true);
    expect((await me.press(kept, 'Keep it')).content).toBe('Picture 1 is kept.');
    expect(await isThere()).toBe(true);

    const question = await me.press(message, 'v1:picture.delete');
    const forged = await local.post(me.channelId, 'Forged', question.components);
    expect((await other.press(forged, 'v1:picture.deleted')).content).toMatch(/Only the person/);
    expect(await isThere()).toBe(true);
    const twice = await Promise.all([
      me.press(question, 'Delete for good'),
      me.press(forged, 'v1:picture.deleted'),
    ]);
    for (const { content } of twice) expect(content).toBe('Picture 1 is deleted.');
    expect(components(twice[0])).toBe('[]');
    expect(await isThere()).toBe(false);
    expect(await db.auditEvent.count({ where: { action: 'image.delete', actorId: me.id } })).toBe(1);
    expect((await me.press(message, 'v1:picture.delete')).content).toMatch(/not there any more/);
  });

  it('open one of several by its number, and draw all of them again', async () => {
    const me = await local.as('operator');
    await me.type('imagine', { prompt: 'portrait of a cooper', seed: 70, count: 3 });
    await draw(me.id);
    const { id: batchId, generations } = await latestBatch(me.id);
    const second = generations.find(({ index }) => index === 1)!;
    const message = await postCard(batchId, 'card', [
      button(`v1:picture.open:${second.id}`, '2'),
      button(`v1:pictures.again:${batchId}`, 'Again'),
    ]);
    const other = await local.as('other');
    const card = await other.press(message, '2');
    expect(card.content).toBe('**Picture 2** · portrait of a cooper · seed 71');
    expect(card.attachments).toHaveLength(1);
    expect(components(card)).toMatch(/picture\.details[\s\S]*picture\.report[\s\S]*picture\.delete/);

    expect((await other.press(message, 'Again')).content).toMatch(/^Accepted/);
    const again = await latestBatch(other.id);
    expect(again.generations).toHaveLength(3);
    expect(again.generations.map(({ seed }) => seed)).not.toContain(71n);
  });

  it('make a picture’s settings one’s own, by its number on the contact sheet', async () => {
    const me = await local.as('operator');
    const card = await me.type('sweep', {
      config: '{prompt: portrait of a tanner, axes: {steps: [10, 20, 30]}, set: {scheduler: euler}}',
    });
    await me.press(card, 'v1:plan.run');
    const { id } = await latestBatch(me.id);
    const message = await postCard(id, 'status', [button(`v1:sheet.use:${id}`, 'Use these settings…')]);
    const other = await local.as('other');
    await other.type('set', { parameter: 'guidance_scale', value: '6' });
    await other.type('set', { parameter: 'seed', value: '5' });
    const use = async (number: string) => {
      const form = await other.openBy(message, 'Use these settings…');
      return (await other.send(form, { number }, message)).content;
    };
    for (const bad of ['0', '4', '-1', '1.5', 'two'])
      expect(await use(bad), bad).toBe(
        `There is no picture \`${bad}\` here: give a number from 1 to 3, as on the contact sheet.`,
      );
    const own = async () =>
      Object.fromEntries(
        (await db.parameterValue.findMany({ where: { userId: other.id } })).map(({ name, value }) => [
          name,
          value,
        ]),
      );
    expect(await own()).toEqual({ guidance_scale: 6, seed: 5 });

    expect(await use('#3')).toMatch(/those of picture 3 now:[\s\S]*`steps`: \*\*`20`\*\* → \*\*`30`\*\*/);
    // What the picture has by default is stored no more; the seed stays one's own.
    expect(await own()).toEqual({ steps: 30, scheduler: 'euler', seed: 5 });
    expect(await use('3')).toBe('Your settings are those of picture 3 already.');
    await other.type('set', { parameter: 'seed', value: 'random' });
    await db.parameterValue.deleteMany({ where: { userId: other.id } });
  });

  it('pick one of several, and never show what is held', async () => {
    const me = await local.as('operator');
    await me.type('imagine', { prompt: 'portrait of a baker', count: 2 });
    await draw(me.id);
    const { id: batchId, generations } = await latestBatch(me.id);
    const message = await postCard(batchId);
    const pick = await me.choose(message, 'Details');
    expect(components(pick)).toMatch('pictures.pick');
    const card = await me.press(pick, `v1:pictures.pick:${batchId}`, [generations[0]!.id]);
    expect(filesOf(card)).toHaveLength(1);
    expect(components(card)).toMatch('picture.vary');

    await me.type('imagine', { prompt: 'portrait, held back', count: 2 });
    await draw(me.id);
    const held = await latestBatch(me.id);
    const heldMessage = await postCard(held.id);
    const heldPick = await me.choose(heldMessage, 'Details');
    const refused = await me.press(heldPick, `v1:pictures.pick:${held.id}`, [held.generations[0]!.id]);
    expect(refused.content).toMatch(/held for review/);
    expect(filesOf(refused)).toHaveLength(0);
  });

  it('report a picture once, and it is out of sight', async () => {
    const me = await local.as('operator');
    await me.type('imagine', { prompt: 'portrait of a clown' });
    await draw(me.id);
    const { id: batchId, generations } = await latestBatch(me.id);
    const message = await postCard(batchId);
    const other = await local.as('other');
    expect((await other.choose(message, 'Report')).content).toMatch(/out of sight/);
    const review = await db.review.findFirstOrThrow({
      where: { image: { generationId: generations[0]!.id } },
    });
    expect(review).toMatchObject({ state: 'pending', reportedBy: other.id });

    const card = await local.post(me.channelId, 'Review', [
      button(`v1:review.approve:${review.id}`),
      button(`v1:review.reject:${review.id}`),
    ]);
    expect((await other.press(card, 'v1:review.approve')).content).toMatch(/Only moderators/);
    const moderator = await local.as('moderator');
    const form = await moderator.openBy(card, 'v1:review.reject');
    expect((await moderator.send(form, { reason: 'Not a nice clown' })).content).toMatch(/^Rejected/);
    expect((await moderator.press(card, 'v1:review.approve')).content).toMatch(/done already/);
    expect(await db.review.findUniqueOrThrow({ where: { id: review.id } })).toMatchObject({
      state: 'rejected',
      reason: 'Not a nice clown',
    });
  });

  it('turn the page of many', async () => {
    const me = await local.as('operator');
    const card = await me.type('sweep', { config: '{prompt: portrait, seeds: 12}' });
    await me.press(card, 'v1:plan.run');
    await draw(me.id);
    const { id } = await latestBatch(me.id);
    const select = (value: string) => ({
      type: 1,
      components: [{ type: 3, custom_id: `v1:pictures.page:${id}`, options: [{ label: value, value }] }],
    });
    const message = await postCard(id, 'pictures', [select('1')]);
    void (await local.as('other')).press(message, `v1:pictures.page:${id}`, ['1']).catch(() => {});
    await expect
      .poll(() => db.delivery.findFirst({ where: { messageId: message.id } }))
      .toMatchObject({ page: 1 });
    const beyond = await postCard(id, 'pictures', [select('99')]);
    expect((await me.press(beyond, `v1:pictures.page:${id}`, ['99'])).content).toMatch(/not there any more/);
  });

  it('turn the contact sheets of very many', async () => {
    const me = await local.as('operator');
    const yaml = '{prompt: portrait, axes: {steps: {from: 1, to: 60, step: 1}}}';
    await me.press(await me.type('sweep', { config: yaml }), 'v1:plan.run');
    const { id } = await latestBatch(me.id);
    await db.generation.updateMany({ where: { batchId: id }, data: { state: 'cancelled' } });
    const select = (value: string) => ({
      type: 1,
      components: [{ type: 3, custom_id: `v1:sheet.page:${id}`, options: [{ label: value, value }] }],
    });
    const message = await postCard(id, 'status', [select('1')]);
    void (await local.as('other')).press(message, `v1:sheet.page:${id}`, ['1']).catch(() => {});
    await expect
      .poll(() => db.delivery.findFirst({ where: { messageId: message.id } }))
      .toMatchObject({ page: 1 });
    for (const bad of ['99', '-1', '0.5']) {
      const forged = await postCard(id, 'status', [select(bad)]);
      expect((await me.press(forged, `v1:sheet.page:${id}`, [bad])).content).toMatch(/not there any more/);
    }
  });
});

describe('/balance and /tokens', () => {
  it('show what there is, what it buys, and where it went', async () => {
    const me = await local.as('other', 'portraits', 1);
    await me.type('imagine', { prompt: 'portrait of a banker', count: 2, tier: 'turbo' });
    const { id, charged } = await latestBatch(me.id);
    await me.type('queue', { cancel: id });
    const { content } = await me.type('balance');
    const { tokens } = await db.user.findUniqueOrThrow({ where: { id: me.id } });
    expect(content).toMatch(
      new RegExp(
        `^You have \\*\\*${tokens} tokens\\*\\*\\.\\nUp to 100 more come <t:\\d+:R>, until you have 2,000\\.\\nA picture with your settings: \`turbo\` 2 · \`fast\` 1 · \`relax\` 1\\.`,
      ),
    );
    expect(content).toMatch(
      new RegExp(
        `\\+${charged}\\*\\* Not drawn, given back: \`2 pictures\`, <t:\\d+:R>\\n- \\*\\*−${charged}\\*\\* \`2 pictures\``,
      ),
    );
    expect(content).toMatch(/\+500\*\* Welcome/);
  });

  it('of others are seen and given by those whom the platform trusts', async () => {
    const other = await local.as('other', 'portraits', 1);
    const before = (await db.user.findUniqueOrThrow({ where: { id: other.id } })).tokens;
    const operator = await local.as('operator');
    const grant = { person: other.id, amount: 25, note: 'for a poster' };
    expect((await operator.type('tokens grant', grant)).content).toBe(
      `<@${other.id}> got 25 tokens and has ${before + 25} now.`,
    );
    expect((await operator.type('tokens grant', { ...grant, amount: -25 })).content).toBe(
      `25 tokens were taken back: <@${other.id}> has ${before} now.`,
    );
    const history = (await operator.type('tokens history', { person: other.id })).content;
    expect(history).toMatch(/−25\*\* By an operator, .*\n- \*\*\+25\*\* By an operator/);
    // It was asked for in another guild.
    expect(history).toMatch(/− ?\d+\*\* Pictures,/);
    expect(history).not.toMatch(/2 pictures/);
    expect((await member().then((me) => me.type('tokens grant', grant))).content).toMatch(
      /only the platform’s staff/,
    );
    expect((await operator.type('tokens grant', { ...grant, amount: 0 })).content).toMatch(/amount/);
    const app = { ...grant, person: '1100000000000000001' };
    expect((await operator.type('tokens grant', app)).content).toMatch(/Apps draw nothing/);
    expect((await db.user.findUniqueOrThrow({ where: { id: other.id } })).tokens).toBe(before);
  });
});

describe('/queue, Stop, Cancel and Rerun', () => {
  it('shows what waits, and cancels it with its tokens back', async () => {
    const me = await local.as('moderator');
    await me.type('imagine', { prompt: 'portrait of a judge', count: 4 });
    const card = await me.type('queue');
    expect(card.content).toMatch(/`4 pictures`.*0 done, 0 being drawn, 4 waiting/);
    const { id } = await latestBatch(me.id);
    expect((await me.press(card, `v1:queue.cancel:${me.id}`, [id])).content).toMatch(
      /^Cancelled[\s\S]*Nothing of yours waits/,
    );
    expect(await latestBatch(me.id)).toMatchObject({ state: 'cancelled' });
    expect(await db.tokenEntry.count({ where: { userId: me.id, reason: 'refund' } })).toBe(4);
    expect((await me.type('queue', { cancel: id })).content).toMatch(/not there any more/);
  });

  it('cancels by the menu of a message: what is finished is kept, and the rest comes back', async () => {
    const me = await local.as('moderator');
    await me.type('imagine', { prompt: 'portrait of a cooper', count: 3 });
    const { id, charged, generations } = await latestBatch(me.id);
    await draw(me.id, 1);
    expect((await me.type('queue')).content).toMatch(
      /`3 pictures`.*1 done, 0 being drawn, 2 waiting; (next|place \d+ in fast); ready (in|within) [\d–]+ (s|min)/,
    );
    expect((await me.choose(await postCard(id), 'Cancel')).content).toBe(
      'Cancelled: what is finished is kept, and the tokens of the rest come back.',
    );
    expect(await latestBatch(me.id)).toMatchObject({ state: 'cancelled' });
    const rows = await db.generation.findMany({ where: { batchId: id }, include: { image: true } });
    expect(rows.map(({ state, image }) => `${state} ${image !== null}`).sort()).toEqual([
      'cancelled false',
      'cancelled false',
      'done true',
    ]);
    const entries = await db.tokenEntry.findMany({ where: { batchId: id } });
    const kept = generations.find((one) => rows.some((row) => row.id === one.id && row.state === 'done'))!;
    expect(entries.reduce((sum, { amount }) => sum + amount, 0)).toBe(-kept.price);
    expect(charged).toBe(3 * kept.price);
  });

  it('shows operators what waits in all, for whom, and what the workers do; nobody else', async () => {
    const [me, salon] = [await local.as('other'), await local.as('moderator', 'portraits', 1)];
    await db.worker.deleteMany();
    const staff = await local.as('operator');
    await staff.type('queue', { all: true });
    await me.type('imagine', { prompt: 'portrait of a cartwright', count: 2 });
    await salon.type('imagine', { prompt: 'portrait of a chandler' });
    for (const one of [me, salon])
      expect((await one.type('queue', { all: true })).content).toMatch(/^Only operators/);

    expect((await staff.type('queue', { all: true })).content).toMatch(/\*\*Workers\*\*\nNone is there/);
    const seenAt = new Date(Date.now() + 60_000);
    const worker = { bundle: 'reference', bundleHash: 'weights', seenAt };
    await db.worker.create({ data: { ...worker, id: 'a-host-1', msPerStep: 33.4, memoryMib: 812 } });
    await db.worker.create({ data: { ...worker, id: 'b-host-2', aside: 'storage_full' } });
    const memory = { memory: 0.4 * 2 ** 30, budget: 1.5 * 2 ** 30 };
    await db.worker.create({ data: { ...worker, ...memory, id: 'c-host-3', warm: ['other', 'reference'] } });
    const said = (await staff.type('queue', { all: true })).content;
    expect(said).toMatch(
      /\*\*fast\*\*: \d+ pictures of \d people, the first for \d+ s; \d+ % of what is drawn/,
    );
    expect(said).toMatch(new RegExp(`<@${me.id}>: \\d+ pictures?, \\d+ s of a worker; waits for \\d+ s`));
    expect(said).toContain(`<@${salon.id}>`);
    expect(said).toContain(
      '- `a-host-1` (`reference`): waits for something to draw · 33 ms a step · 812 MiB',
    );
    expect(said).toContain('- `b-host-2` (`reference`): takes nothing: our storage is full');
    expect(said).toContain(
      '- `c-host-3` (`reference`, `other`): waits for something to draw · 0.4 of 1.5 GiB for bundles',
    );

    // An operator of another server sees its people, and no machines.
    const [, { roles }] = local.sandbox.state.world.guilds;
    const boss = await local.as('operator', 'portraits', 1);
    await boss.type('guild operators', { role: roles.find(({ name }) => name === 'Moderators')!.id });
    const theirs = (await salon.type('queue', { all: true })).content;
    expect(theirs).toContain('**fast**');
    expect(theirs).toContain(`<@${salon.id}>: 1 picture,`);
    expect(theirs).not.toContain(`<@${me.id}>`);
    expect(theirs).not.toContain('Workers');
    await boss.type('guild operators');
    expect((await salon.type('queue', { all: true })).content).toMatch(/^Only operators/);
    await db.worker.deleteMany();
    for (const one of [me, salon]) await one.type('queue', { cancel: (await latestBatch(one.id)).id });
  });

  it('says why nothing is drawn, as long as every worker is set aside', async () => {
    const me = await local.as('moderator');
    await me.type('imagine', { prompt: 'portrait of a miller' });
    const seenAt = new Date(Date.now() + 60_000);
    const worker = { bundle: 'reference', bundleHash: 'weights', seenAt };
    await db.worker.deleteMany();
    await db.worker.create({ data: { ...worker, id: 'full', aside: 'storage_full' } });
    expect((await me.type('queue')).content).toMatch(
      /^\*\*Nothing is drawn right now\*\*: our storage is full/,
    );
    await db.worker.create({ data: { ...worker, id: 'well' } });
    expect((await me.type('queue')).content).not.toMatch(/Nothing is drawn/);
    await db.worker.deleteMany();
    await me.type('queue', { cancel: (await latestBatch(me.id)).id });
  });

  it('lets the owner and moderators end a batch, and nobody else', async () => {
    const me = await local.as('operator');
    await me.type('imagine', { prompt: 'portrait of a nurse', count: 2 });
    const { id } = await latestBatch(me.id);
    const message = await postCard(id, 'card', [
      button(`v1:batch.stop:${id}`),
      button(`v1:batch.cancel:${id}`),
    ]);
    expect((await (await local.as('other')).press(message, 'v1:batch.cancel')).content).toMatch(
      /Only the person/,
    );
    expect((await (await local.as('other')).choose(message, 'Cancel')).content).toMatch(/Only the person/);
    expect((await (await local.as('moderator')).press(message, 'v1:batch.stop')).content).toMatch(/^Stopped/);
    expect((await me.press(message, 'v1:batch.stop')).content).toMatch(/done already/);
  });

  it('posts again what was not delivered', async () => {
    const me = await local.as('moderator');
    await me.type('imagine', { prompt: 'portrait of a pilot' });
    const { id } = await latestBatch(me.id);
    await db.delivery.updateMany({
      where: { batchId: id },
      data: { state: 'undelivered', lastError: '50013' },
    });
    const card = await me.type('queue');
    expect(card.content).toMatch(/Not delivered[\s\S]*50013/);
    const delivery = await db.delivery.findFirstOrThrow({ where: { batchId: id } });
    await me.press(card, `v1:queue.post:${me.id}`, [delivery.id]);
    expect(await db.delivery.findUniqueOrThrow({ where: { id: delivery.id } })).toMatchObject({
      state: 'active',
    });
  });

  it('reruns /imagine with new seeds, and a sweep as a new plan', async () => {
    const me = await local.as('moderator');
    await me.type('imagine', { prompt: 'portrait of a smith', seed: 1, count: 2 });
    const first = await latestBatch(me.id);
    expect((await me.choose(await postCard(first.id), 'Rerun')).content).toMatch(/^Accepted/);
    const again = await latestBatch(me.id);
    expect(again.id).not.toBe(first.id);
    expect(again.generations).toHaveLength(2);

    await me.press(
      await me.type('sweep', { config: '{prompt: portrait of a smith, seeds: 3}' }),
      'v1:plan.run',
    );
    const sweep = await latestBatch(me.id);
    expect((await me.choose(await postCard(sweep.id), 'Rerun')).content).toMatch(/\*\*3 pictures\*\*/);
  });

  it('reruns a sweep from its own thread in the channel, as threads have no threads', async () => {
    const me = await local.as('moderator');
    await me.press(
      await me.type('sweep', { config: '{prompt: portrait of a monk, seeds: 2}' }),
      'v1:plan.run',
    );
    const { id, channelId } = await latestBatch(me.id);
    const thread = await local.rest<{ id: string }>(
      `channels/${channelId}/messages/${(await postCard(id)).id}/threads`,
      {
        name: 'A sweep',
      },
    );
    await db.batch.update({ where: { id }, data: { threadId: thread.id } });
    const message = await local.post(thread.id, 'The pictures');
    await db.delivery.create({
      data: { batchId: id, kind: 'pictures', userId: me.id, messageId: message.id, nonce: message.id },
    });

    const inThread = await local.as('moderator', thread.id);
    expect((await inThread.choose(message, 'Rerun')).content).toMatch(/\*\*2 pictures\*\*/);
    expect(await latestBatch(me.id)).toMatchObject({ state: 'planned', channelId });
  });

  it('says that a message of somebody else shows nothing of ours', async () => {
    const me = await member();
    const message = await local.post(me.channelId, 'hello');
    for (const entry of ['Details', 'Rerun', 'Cancel', 'Report']) {
      expect((await me.choose(message, entry)).content, entry).toMatch(/not there any more/);
    }
  });
});

describe('/gallery', () => {
  it('publishes what was drawn in production mode, takes it back, and nothing else', async () => {
    const me = await local.as('operator');
    await me.type('set', { parameter: 'production_mode', value: 'on' });
    await me.type('imagine', { prompt: 'portrait of a gardener', seed: 3 });
    await draw(me.id);
    const production = await latestBatch(me.id);
    const id = production.generations[0]!.id;
    const message = await postCard(production.id, 'card', [button(`v1:picture.publish:${id}`)]);
    const link = `https://discord.com/channels/1/${me.channelId}/${message.id}`;

    const other = await local.as('other');
    expect((await other.press(message, 'v1:picture.publish')).content).toMatch(/Only the person/);
    expect((await me.type('gallery publish', { picture: link })).content).toMatch(
      /gardener.*is in the gallery now/,
    );
    expect((await me.press(message, 'v1:picture.publish')).content).toMatch(/in the gallery/);
    expect(await db.image.findUnique({ where: { generationId: id } })).toMatchObject({
      visibility: 'published',
    });
    const taken = await postCard(production.id, 'card', [button(`v1:picture.unpublish:${id}`)]);
    expect((await me.press(taken, 'v1:picture.unpublish')).content).toMatch(/not in the gallery any more/);
    expect((await me.press(message, 'v1:picture.publish')).content).toMatch(/in the gallery/);
    expect((await other.type('gallery curate', { picture: id })).content).toMatch(
      /Only those who look after/,
    );
    expect((await me.type('gallery curate')).content).toMatch(/one of the best of the gallery now/);
    expect(await me.suggest('gallery curate', { picture: 'gard' }, 'picture')).toHaveLength(1);
    const { id: imageId } = await db.image.findUniqueOrThrow({ where: { generationId: id } });
    const page = `https://pictures.example.org/pictures/${imageId}`;
    expect(
      (await me.type('gallery collection', { collection: 'landscapes', picture: page })).content,
    ).toMatch(/in the collection .*Landscapes.* now/);
    expect(await db.image.findUnique({ where: { generationId: id } })).toMatchObject({
      collection: 'landscapes',
      curatedAt: expect.any(Date),
    });
    // The same by what a picture's own card offers those who look after the gallery.
    const open = await postCard(production.id, 'card', [button(`v1:picture.open:${id}`)]);
    const own = await me.press(open, 'v1:picture.open');
    expect((await me.press(own, 'v1:picture.uncurate')).content).toMatch(/not one of the best/);
    expect((await me.press(own, `v1:picture.collection:${id}`, ['main'])).content).toMatch(/Portraits/);
    expect(JSON.stringify((await other.press(open, 'v1:picture.open')).components)).not.toMatch(/picture\.c/);
    const offered = await me.suggest('gallery unpublish', { picture: 'gard' }, 'picture');
    expect(offered).toEqual([{ name: 'portrait of a gardener · seed 3', value: id }]);
    expect((await me.type('gallery unpublish')).content).toMatch(/gardener.*is off/);
    expect((await me.type('gallery unpublish', { picture: id })).content).toMatch(/done already/);

    await me.type('set', { parameter: 'production_mode', value: 'default' });
    await me.type('imagine', { prompt: 'portrait of a test' });
    await draw(me.id);
    const test = (await latestBatch(me.id)).generations[0]!.id;
    expect((await me.type('gallery publish', { picture: test })).content).toMatch(/this one was a test/);
    expect((await me.type('gallery publish', { picture: 'nonsense' })).content).toMatch(/not there any more/);
  });
});

describe('/guild', () => {
  it('shows and changes the settings for who manages the server', async () => {
    const operator = await local.as('operator', 'portraits', 1);
    expect((await operator.type('guild show')).content).toMatch(/Review channel: <#\d+>/);
    const channel = await local.channel('review', 1);
    expect((await operator.type('guild review_channel', { channel })).content).toMatch(`<#${channel}>`);
    const noBots = await local.channel('no-bots', 1);
    expect((await operator.type('guild review_channel', { channel: noBots })).content).toMatch(
      /I lack Send Messages/,
    );
    expect((await operator.type('guild operators')).content).toMatch(/Operators: none/);
  });

  it('refuses a review channel that others see, naming them, and warns of one that they came to see', async () => {
    const operator = await local.as('operator', 'portraits', 1);
    const [, salon] = local.sandbox.state.world.guilds;
    const moderators = salon.roles.find(({ name }) => name === 'Moderators')!.id;
    const channel = await local.channel('review', 1);
    const open = await local.channel('sweeps', 1);
    expect((await operator.type('guild review_channel', { channel: open })).content).toMatch(
      /can't be the review channel, as it can be seen by @everyone/,
    );
    // Whom nobody named as moderators are others.
    const shown = await operator.type('guild moderators');
    expect(shown.content).toMatch(`It can be seen by <@&${moderators}>`);
    expect((await operator.type('guild review_channel', { channel })).content).toMatch(
      `can be seen by <@&${moderators}>`,
    );
    expect((await operator.type('guild moderators', { role: moderators })).content).not.toMatch(
      'can be seen',
    );
    expect((await operator.type('guild review_channel', { channel })).content).toMatch(`<#${channel}>`);
  });

  it('switches previews off and on, by who manages the server, and it is in the audit log', async () => {
    const operator = await local.as('operator', 'portraits', 1);
    const me = await local.as('member', 'portraits', 1);
    expect((await me.type('guild previews', { mode: 'off' })).content).toMatch(/Manage Server/);
    expect((await operator.type('guild show')).content).toContain('while pictures are drawn: **on**');
    expect((await operator.type('guild previews', { mode: 'off' })).content).toContain('drawn: **off**');
    const settings = await db.guildSettings.findFirstOrThrow({ where: { previews: false } });
    expect(
      await db.auditEvent.findFirst({ where: { guildId: settings.id }, orderBy: { createdAt: 'desc' } }),
    ).toMatchObject({
      actorId: operator.id,
      action: 'guild.set',
      before: expect.objectContaining({ previews: true }),
      after: expect.objectContaining({ previews: false }),
    });
    expect((await operator.type('guild previews', { mode: 'on' })).content).toContain('drawn: **on**');
  });

  it('switches production mode for a channel or the server, by operators, for members', async () => {
    const operator = await local.as('operator', 'sweeps', 1);
    const me = await local.as('member', 'sweeps', 1);
    const production = async () => {
      await me.type('imagine', { prompt: 'portrait of a glazier' });
      return (await latestBatch(me.id)).production;
    };
    const settings = async () => (await me.type('settings')).content;
    expect((await operator.type('guild production')).content).toBe(
      'Production mode in this channel: **as in the server**\nProduction mode in the server: **off**\nSo pictures that you ask for here are tests: they can’t be published.',
    );
    expect(await production()).toBe(false);

    expect((await operator.type('guild production', { mode: 'on' })).content).toMatch(
      /in this channel: \*\*on\*\*[\s\S]*may be published, by this channel’s setting/,
    );
    expect(await production()).toBe(true);
    expect(await settings()).toContain('**Production mode `on`** (this channel’s)');
    expect((await operator.type('guild show')).content).toMatch(`<#${operator.channelId}> on`);

    await operator.type('guild production', { mode: 'unset' });
    await operator.type('guild production', { mode: 'on', where: 'server' });
    expect(await settings()).toContain('**Production mode `on`** (this server’s)');
    expect((await operator.type('set', { parameter: 'production_mode', value: 'off' })).content).toMatch(
      /are tests: they can’t be published, by your own setting/,
    );
    expect((await operator.type('set', { parameter: 'production_mode', value: 'default' })).content).toMatch(
      /may be published, by the server’s setting/,
    );

    const plan = await me.type('sweep', { config: '{prompt: portrait of a glazier, seeds: 2}' });
    expect(plan.content).toMatch(/Production mode/);
    await operator.type('guild production', { mode: 'unset', where: 'server' });
    expect((await me.press(plan, 'v1:plan.run')).content).toMatch(/switched off here since/);
    expect(await production()).toBe(false);
  });

  it('counts in a thread as in its channel', async () => {
    const operator = await local.as('operator', 'sweeps', 1);
    const root = await local.post(operator.channelId, 'A thread starts here');
    const thread = await local.rest<{ id: string }>(
      `channels/${operator.channelId}/messages/${root.id}/threads`,
      { name: 'A thread' },
    );
    const inThread = await local.as('operator', thread.id, 1);
    await inThread.type('guild production', { mode: 'on' });
    const me = await local.as('member', thread.id, 1);
    await me.type('imagine', { prompt: 'portrait of a roofer' });
    expect(await latestBatch(me.id)).toMatchObject({ production: true, channelId: thread.id });
    await inThread.type('guild production', { mode: 'unset' });
  });

  it('is refused to others, in a sentence', async () => {
    expect((await (await member()).type('guild show')).content).toMatch(/may Manage Server may/);
    expect((await (await member()).type('guild production', { mode: 'on' })).content).toMatch(
      /Only operators/,
    );
  });
});

describe('all of it', () => {
  it('is as Discord describes its API', () => {
    expect(local.sandbox.violations).toEqual([]);
  });
});
