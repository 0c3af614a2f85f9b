/** People who type and press what the plan says, each one thing after the other, and note what they read. */
import { setTimeout as sleep } from 'node:timers/promises';
import { type APIMessage, ComponentType } from 'discord-api-types/v10';
import {
  connectPerson,
  type FileToSend,
  type Outcome,
  type Person,
  textOf,
} from '#infra/local/discord/person.ts';
import { sampleNames, samplePhoto } from '#infra/local/discord/samples/samples.ts';
import type { Downtime } from './downtime.ts';
import { type Deed, LANES, type Typed } from './plan.ts';
import type { Asked } from './reader/reader.ts';
import type { Stage } from './stage.ts';

/** The longest that a command may rightly take: Mecene's ideas. */
const ANSWERED_WITHIN_MS = 150_000;
/** An answer that the bot did not give so long after it was down does not come. */
const GONE_AFTER_MS = 20_000;
const FOLDER = 'ada';
const ACCEPTED = /^Accepted/;
/** What it reads like when nothing was done. */
const REFUSALS =
  /does not answer|did not answer|broke on our side|not there any more|done already|Only |no face folder|no photo|can't|must |Nothing was|already have|tokens and you have|Try again/;

export interface Typing {
  readonly asked: readonly Asked[];
  /** Nobody types anything more; resolves when all are answered, or nobody waits any longer. */
  end(): Promise<void>;
}

export async function startTyping(
  { sandbox }: Stage,
  downtime: Downtime,
  typed: readonly Typed[],
): Promise<Typing> {
  const people = await Promise.all(LANES.map((lane) => connectPerson(sandbox.pageUrl, lane)));
  await prepare(people);
  const startedAt = Date.now();
  const ending = new AbortController();
  const asked: Asked[] = [];

  const lanes = people.map(async (person, lane) => {
    for (const { atMs, twice, deed } of typed.filter((one) => one.lane === lane)) {
      await sleep(atMs - (Date.now() - startedAt), undefined, { signal: ending.signal }).catch(() => {});
      if (ending.signal.aborted) return;
      if (twice) sandbox.misbehave({ deliverTwice: 1 });
      for await (const one of doIt(person, deed, downtime)) asked.push(one);
    }
  });
  return {
    asked,
    async end() {
      ending.abort();
      await Promise.all(lanes);
      for (const person of people) person.close();
    },
  };
}

/** Small pictures of few steps: what is to be seen here is not how they look. Two people have a face folder. */
async function prepare(people: readonly Person[]): Promise<void> {
  const withFace = new Set<string>();
  for (const person of people) {
    await say(person, () => person.command('set', { parameter: 'steps', value: '4' }));
    if (withFace.has(person.name) || !['member', 'other'].includes(person.name)) continue;
    withFace.add(person.name);
    const card = await say(person, async () =>
      person.command('faces add', { name: FOLDER }, await photos(2)),
    );
    await say(person, () => person.press(card, 'v1:consent.give'), card);
  }
}

async function photos(count: number): Promise<Record<string, FileToSend>> {
  const found = await Promise.all(sampleNames.slice(0, count).map(samplePhoto));
  return Object.fromEntries(found.flatMap((photo, i) => (photo ? [[`photo${i + 1}`, photo] as const] : [])));
}

/** Of whom pictures are drawn with another bundle. */
const ANOTHERS = 'weaver';

/** One deed, and what follows from it: a plan is run, photos are consented to. */
async function* doIt(person: Person, deed: Deed, downtime: Downtime): AsyncGenerator<Asked> {
  const send = (what: string, act: () => Promise<Outcome>, pressed?: APIMessage) =>
    ask(person, what, downtime, act, pressed);
  /** Presses what the answer offers, if it does. */
  const goOn = async ({ message }: Answered, button: string, what: string) => {
    const id = message && buttonsOf(message).find((one) => one.startsWith(`v1:${button}`));
    return id ? send(what, () => person.press(message, id), message) : null;
  };
  switch (deed.kind) {
    case 'imagine': {
      const { prompt, count, face } = deed;
      // Rarely asked for, and there is no memory for both: workers load one for the other, and are killed at it.
      const bundle = prompt.includes(ANOTHERS) && { bundle: 'noir' };
      const options = { prompt, count, ...(face && { face: FOLDER }), ...bundle };
      const made = await send('/imagine', () => person.command('imagine', options));
      if (made) yield withBatch(made.asked, made.asked.id, count);
      return;
    }
    case 'sweep':
    case 'face test': {
      const plan = await send(`/${deed.kind}`, () =>
        deed.kind === 'sweep'
          ? person.command('sweep', { config: deed.config })
          : person.command('test_face_mecene', {
              ...{ face_folders: FOLDER, ideas: deed.ideas, generations_per_input: deed.each },
            }),
      );
      if (!plan) return;
      yield plan.asked;
      const run = await goOn(plan, 'plan.run', 'Run');
      if (run) yield withBatch(run.asked, plan.asked.id, null);
      return;
    }
    case 'faces add': {
      const files = await photos(1);
      const added = await send('/faces add', () => person.command('faces add', { name: FOLDER }, files));
      if (!added) return;
      yield added.asked;
      const given = await goOn(added, 'consent.give', 'Consent');
      if (given) yield given.asked;
      return;
    }
    case 'press': {
      const { button } = deed;
      const messages = (await person.messages()).reverse();
      const idIn = (message: APIMessage) => buttonsOf(message).find((one) => one.startsWith(`v1:${button}`));
      const target = messages.find(idIn);
      const id = target && idIn(target);
      const pressed = id && (await send(button, () => person.press(target, id), target));
      if (!pressed) return;
      yield withBatch(pressed.asked, pressed.asked.id, null);
      // A question: yes.
      const sure = await goOn(pressed, button, `${button}, sure`);
      if (sure) yield sure.asked;
      return;
    }
    default: {
      const [command, options] = plainCommand(deed);
      const done = await send(`/${command}`, () => person.command(command, options));
      if (done) yield done.asked;
    }
  }
}

function plainCommand(
  deed: Extract<Deed, { kind: 'faces remove' | 'settings' | 'queue' | 'set' }>,
): [command: string, options: Record<string, string>] {
  if (deed.kind === 'faces remove') return [deed.kind, { name: FOLDER }];
  if (deed.kind === 'set') return [deed.kind, { parameter: deed.parameter, value: deed.value }];
  return [deed.kind, {}];
}

function withBatch(asked: Asked, by: string, pictures: number | null): Asked {
  return asked.answer === 'accepted' && ACCEPTED.test(asked.text)
    ? { ...asked, batch: { by, pictures } }
    : asked;
}

interface Answered {
  readonly asked: Asked;
  readonly message: APIMessage | null;
}

/** null: their client did not send it, as where a button was gone at that moment. */
async function ask(
  person: Person,
  what: string,
  downtime: Downtime,
  act: () => Promise<Outcome>,
  pressed?: APIMessage,
): Promise<Answered | null> {
  const startedAt = Date.now();
  let outcome: Outcome;
  try {
    outcome = await act();
    if (outcome.kind === 'modal') outcome = await person.submitModal(outcome.modal, {});
  } catch {
    return null;
  }
  const asked = { what: `${person.name}: ${what}`, id: outcome.interactionId };
  const over = new AbortController();
  try {
    const message = await Promise.race([
      answerTo(person, outcome, pressed),
      untilBotGone(downtime, startedAt, over.signal),
    ]);
    const text = textOf(message);
    const answer = REFUSALS.test(text) && !ACCEPTED.test(text) ? 'refused' : 'accepted';
    const botDown = downtime.within(startedAt, Date.now());
    return { asked: { ...asked, answer, text, botDown }, message };
  } catch (error) {
    // Not acknowledged within 3 s; or it was, and the bot that did was gone before it had an answer.
    const until = outcome.kind === 'failed' ? startedAt + 5_000 : Date.now();
    const botDown = downtime.within(startedAt - 1_000, until);
    return { asked: { ...asked, answer: 'unanswered', text: messageOf(error), botDown }, message: null };
  } finally {
    over.abort();
  }
}

const messageOf = (error: unknown) => (error instanceof Error ? error.message : String(error));

/** Who reads "thinking" from a bot that was killed does not sit before it for minutes. */
async function untilBotGone(downtime: Downtime, startedAt: number, over: AbortSignal): Promise<never> {
  while (!downtime.within(startedAt, Date.now() - GONE_AFTER_MS))
    await sleep(500, undefined, { signal: over });
  throw new Error('the bot was down meanwhile');
}

async function answerTo(person: Person, outcome: Outcome, pressed?: APIMessage): Promise<APIMessage> {
  const waiting = { timeoutMs: ANSWERED_WITHIN_MS };
  if (outcome.kind === 'failed') throw new Error(outcome.reason);
  if (outcome.kind !== 'acknowledged' || !pressed) return person.waitForReply(waiting);
  const reply = person.waitForReply(waiting);
  // A command that came two times edits its answer two times: what is pressed is answered when its buttons are others.
  const before = buttonsOf(pressed).join();
  const edit = person.waitForEdit(pressed, (now) => buttonsOf(now).join() !== before, waiting);
  return Promise.any([reply, edit]);
}

/** For the time before anything goes wrong. @throws {Error} with what was read in place of what should be */
async function say(person: Person, act: () => Promise<Outcome>, pressed?: APIMessage): Promise<APIMessage> {
  const message = await answerTo(person, await act(), pressed);
  if (REFUSALS.test(textOf(message))) throw new Error(`${person.name} was told: ${textOf(message)}`);
  return message;
}

/** Custom ids of the buttons that can be pressed, in a message of whatever kind. */
function buttonsOf(message: APIMessage): string[] {
  const walk = (value: unknown): string[] => {
    if (Array.isArray(value)) return value.flatMap(walk);
    if (typeof value !== 'object' || value === null) return [];
    const isButton =
      'type' in value && value.type === ComponentType.Button && !('disabled' in value && value.disabled);
    const own = isButton && 'custom_id' in value ? [String(value.custom_id)] : [];
    return [...own, ...Object.values(value).flatMap(walk)];
  };
  return walk(message.components ?? []);
}
