/**
 * What `npm run demo -- --script` does: types the main commands as a person would, waits for what is posted, and prints
 * what came. Every step that does not end as it should ends the script with its reason.
 */
import type { APIMessage } from 'discord-api-types/v10';
import { connectPerson, filesOf, isEphemeral, type Person, textOf } from './discord/person.ts';
import { sampleNames, samplePhoto } from './discord/samples/samples.ts';
import type { Sandbox } from './discord/sandbox.ts';

/** On two cores a picture takes a second or two; a batch of a dozen must not hang the script for ever. */
const PATIENCE_MS = 120_000;

interface Row {
  readonly command: string;
  readonly pictures: number;
  readonly seconds: number;
  readonly files: readonly string[];
}

/** @throws {Error} naming the step and what was missing, or what broke Discord's description */
export async function runScript(sandbox: Sandbox, print: (line: string) => void): Promise<void> {
  const rows: Row[] = [];
  const at = (person: 'member' | 'operator' | 'moderator', channel: string) =>
    connectPerson(sandbox.pageUrl, { person, channel });
  const member = await at('member', 'portraits');
  const operator = await at('operator', 'portraits');
  const moderator = await at('moderator', 'review');
  const sweeper = await at('member', 'sweeps');

  async function step(command: string, work: () => Promise<APIMessage[]>): Promise<void> {
    const startedAt = Date.now();
    print(`… ${command}`);
    let messages: APIMessage[];
    try {
      messages = await work();
    } catch (error) {
      throw new Error(`${command}: ${error instanceof Error ? error.message : String(error)}`, {
        cause: error,
      });
    }
    const files = messages.flatMap(filesOf).map(({ filename }) => filename);
    const pictures = messages.reduce((sum, message) => sum + picturesIn(message), 0);
    rows.push({ command, pictures, seconds: (Date.now() - startedAt) / 1000, files });
  }

  await step('/set', async () => [
    await answered(member, 'set', { parameter: 'guidance_scale', value: '6' }, /7\.5|6/),
  ]);

  await step('/faces add', async () => {
    const photos = await Promise.all(sampleNames.slice(0, 3).map(samplePhoto));
    const given = photos.flatMap((photo, i) => (photo ? [[`photo${i + 1}`, photo] as const] : []));
    await member.command('faces add', { name: 'ada' }, Object.fromEntries(given));
    const card = await reply(member);
    if (!hasButton(card, 'consent.give')) throw new Error(`the answer was: ${textOf(card)}`);
    await member.press(card, 'v1:consent.give');
    return [await member.waitForEdit(card, (m) => !hasButton(m, 'consent.give'), { timeoutMs: 20_000 })];
  });

  await step('/imagine', () =>
    imagined(
      member,
      { prompt: 'portrait of a woman, long red hair, emerald dress, forest', seed: 11, count: 4 },
      4,
    ),
  );
  await step('/imagine face', () =>
    imagined(member, { prompt: 'portrait of a woman, golden hour, sea', face: 'ada', seed: 5 }, 1),
  );

  await step('/test_face_mecene', () =>
    batch(member, 'test_face_mecene', {
      face_folders: 'ada',
      ideas: 'neon samurai; snow queen',
      generations_per_input: 2,
    }),
  );
  await step('/sweep', () =>
    batch(sweeper, 'sweep', {
      config: [
        'name: strength by scheduler',
        'prompt: portrait of a woman, auburn hair, garden',
        'faces: [ada]',
        'axes:',
        '  detail_strength: [0.4, 0.6, 0.9]',
        '  scheduler: [ddim, euler, dpmpp_2m]',
        'seeds: [7]',
      ].join('\n'),
    }),
  );

  await step('/imagine, held and approved', async () => {
    // What earlier runs left is no answer to this one; and without a seed it is a picture that was never drawn.
    const known = new Set(
      [...(await member.messages()), ...(await moderator.messages())].map(({ id }) => id),
    );
    const isNew = (m: APIMessage) => !known.has(m.id) && !isEphemeral(m) && /checkered/.test(textOf(m));
    await send(member, 'imagine', { prompt: 'portrait of a man, checkered background' });
    const review = await moderator.waitForMessage((m) => isNew(m) && hasButton(m, 'review.approve'), {
      timeoutMs: PATIENCE_MS,
    });
    await moderator.press(review, 'v1:review.approve');
    return [await member.waitForMessage((m) => isNew(m) && picturesIn(m) > 0, { timeoutMs: PATIENCE_MS })];
  });

  await step('/gallery publish', async () => {
    await answered(operator, 'guild production', { mode: 'on' }, /may be published/);
    const posted: APIMessage[] = [];
    for (const [i, wish] of GALLERY.entries()) {
      // A member's picture needs a second yes; an operator's own is his alone to publish.
      const asker = i ? operator : member;
      const [card] = await imagined(asker, wish, 1);
      if (!card) throw new Error('no picture came');
      posted.push(card);
      if (asker === operator) await pressed(operator, card, 'v1:picture.publish', /in the gallery now/);
      else {
        await pressed(member, card, 'v1:picture.publish', /offered to the gallery/);
        const isRequest = (m: APIMessage) =>
          textOf(m).includes(wish.prompt) && hasButton(m, 'picture.decline');
        const request = await moderator.waitForMessage(isRequest, { timeoutMs: 30_000 });
        await pressed(moderator, request, 'v1:picture.publish', /in the gallery now/);
      }
    }
    return posted;
  });

  for (const person of [member, operator, moderator, sweeper]) person.close();
  print(`\n${table(rows)}\n`);
  if (sandbox.violations.length) {
    const first = sandbox.violations.slice(0, 5).map((violation) => JSON.stringify(violation));
    throw new Error(
      `${sandbox.violations.length} requests broke Discord's API description:\n${first.join('\n')}`,
    );
  }
}

/** Pictures for the gallery: as varied as the reference bundle's words. */
const GALLERY = [
  { prompt: 'portrait of a woman, silver bob, crimson coat, city, dusk' },
  { prompt: 'portrait of a man with a beard, navy suit, mountains', shape: 'square' },
  { prompt: 'smiling woman, curly copper hair, yellow dress, sea' },
  { prompt: 'old man, glasses, green sweater, forest' },
  { prompt: 'pastel portrait of a woman, lavender hair, garden', shape: 'square' },
  { prompt: 'portrait of a queen, gold crown, earrings, night' },
  { prompt: 'noir portrait of a man, hat, snow' },
  { prompt: 'woman with a long braid of chestnut hair, desert, sunset', shape: 'square' },
];

/** Types a command; its answer must not be a refusal. */
async function send(
  person: Person,
  command: string,
  options: Record<string, string | number>,
): Promise<APIMessage> {
  const outcome = await person.command(command, options);
  if (outcome.kind === 'failed') throw new Error(outcome.reason);
  return reply(person);
}

async function answered(
  person: Person,
  command: string,
  options: Record<string, string | number>,
  says: RegExp,
) {
  const message = await send(person, command, options);
  if (!says.test(textOf(message))) throw new Error(`the answer was: ${textOf(message)}`);
  return message;
}

async function pressed(person: Person, message: APIMessage, button: string, says: RegExp): Promise<void> {
  await person.press(message, button);
  const text = textOf(await reply(person));
  if (!says.test(text)) throw new Error(`the answer was: ${text}`);
}

const reply = (person: Person) => person.waitForReply({ timeoutMs: 60_000 });

/** `/imagine`, until its card shows as many pictures as were asked for. */
async function imagined(
  person: Person,
  options: Record<string, string | number>,
  pictures: number,
): Promise<APIMessage[]> {
  const known = new Set((await person.messages()).map(({ id }) => id));
  await answered(person, 'imagine', options, /^Accepted/);
  const card = await person.waitForMessage(
    (m) => !known.has(m.id) && !isEphemeral(m) && picturesIn(m) >= pictures,
    {
      timeoutMs: PATIENCE_MS,
    },
  );
  return [card];
}

/** A face test or a sweep: plan card, Run, then everything that its thread holds once the manifest is there. */
async function batch(
  person: Person,
  command: string,
  options: Record<string, string | number>,
): Promise<APIMessage[]> {
  const known = new Set((await person.messages()).map(({ id }) => id));
  const plan = await send(person, command, options);
  if (!hasButton(plan, 'plan.run')) throw new Error(`the answer was: ${textOf(plan)}`);
  await person.press(plan, 'Run');
  const card = await person.waitForMessage((m) => !known.has(m.id) && !isEphemeral(m), { timeoutMs: 30_000 });
  // A thread that was started from a message has the message's id.
  const thread = await untilThere(() => person.in(card.id));
  await thread.waitForMessage((m) => filesOf(m).some(({ filename }) => filename.endsWith('.csv')), {
    timeoutMs: PATIENCE_MS,
  });
  await thread.waitForMessage((m) => picturesIn(m) > 0 && hasCustomId(m, 'pictures.'), {
    timeoutMs: PATIENCE_MS,
  });
  return thread.messages();
}

async function untilThere<T>(look: () => Promise<T>): Promise<T> {
  const deadline = Date.now() + 30_000;
  for (;;) {
    try {
      return await look();
    } catch (error) {
      if (Date.now() > deadline) throw error;
      await new Promise((done) => setTimeout(done, 200));
    }
  }
}

const picturesIn = (message: APIMessage) =>
  filesOf(message).filter(({ content_type }) => content_type?.startsWith('image/')).length;
const hasCustomId = (message: APIMessage, part: string) =>
  JSON.stringify(message.components ?? []).includes(`v1:${part}`);
const hasButton = hasCustomId;

function table(rows: readonly Row[]): string {
  const cells = rows.map(({ command, pictures, seconds, files }) => [
    command,
    String(pictures),
    seconds.toFixed(1),
    files.length > 4
      ? `${files.slice(0, 3).join(', ')} and ${files.length - 3} more`
      : files.join(', ') || '–',
  ]);
  const all = [['command', 'pictures', 'seconds', 'files'], ...cells];
  const widths = [0, 1, 2].map((column) => Math.max(...all.map((row) => row[column]?.length ?? 0)));
  return all
    .map((row) =>
      row
        .map((cell, i) => (i === 1 || i === 2 ? cell.padStart(widths[i] ?? 0) : cell.padEnd(widths[i] ?? 0)))
        .join('  ')
        .trimEnd(),
    )
    .join('\n');
}
