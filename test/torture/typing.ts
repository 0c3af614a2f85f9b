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
import { type Button, type Deed, LANES, type Typed } from './plan.ts';
import type { Asked } from './reader/reader.ts';
import type { Stage } from './stage.ts';

/** The longest that a command may rightly take: Mecene's ideas. */
const ANSWERED_WITHIN_MS = 150_000;
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

/** One deed, and what follows from it: a plan is run, photos are consented to. */
async function* doIt(person: Person, deed: Deed, downtime: Downtime): AsyncGenerator<Asked> {
  switch (deed.kind) {
    case 'imagine': {
      const { prompt, count, face } = deed;
      const made = await ask(person, '/imagine', downtime, () =>
        person.command('imagine', { prompt, count, ...(face && { face: FOLDER }) }),
      );
      yield withBatch(made.asked, made.asked.id, count);
      return;
    }
    case 'sweep':
    case 'face test': {
      const plan = await ask(person, `/${deed.kind}`, downtime, () =>
        deed.kind === 'sweep'
          ? person.command('sweep', { config: deed.config })
          : person.command('test_face_mecene', {
              ...{ face_folders: FOLDER, ideas: deed.ideas, generations_per_input: deed.each },
            }),
      );
      yield plan.asked;
      const { message } = plan;
      if (!message || !buttonsOf(message).some((id) => id.startsWith('v1:plan.run'))) return;
      const run = await ask(person, 'Run', downtime, () => person.press(message, 'v1:plan.run'), message);
      yield withBatch(run.asked, plan.asked.id, null);
      return;
    }
    case 'faces add': {
      const files = await photos(1);
      const add = () => person.command('faces add', { name: FOLDER }, files);
      const { asked, message } = await ask(person, '/faces add', downtime, add);
      yield asked;
      if (!message || !buttonsOf(message).some((id) => id.startsWith('v1:consent.give'))) return;
      yield (await ask(person, 'Consent', downtime, () => person.press(message, 'v1:consent.give'), message))
        .asked;
      return;
    }
    case 'faces remove':
      yield (
        await ask(person, '/faces remove', downtime, () => person.command('faces remove', { name: FOLDER }))
      ).asked;
      return;
    case 'set': {
      const { parameter, value } = deed;
      yield (await ask(person, '/set', downtime, () => person.command('set', { parameter, value }))).asked;
      return;
    }
    case 'settings':
    case 'queue':
      yield (await ask(person, `/${deed.kind}`, downtime, () => person.command(deed.kind))).asked;
      return;
    case 'press':
      yield* pressNewest(person, deed.button, downtime);
  }
}

/** Nothing is pressed where there is no such button. A form is sent as it opens, a question is answered with yes. */
async function* pressNewest(person: Person, button: Button, downtime: Downtime): AsyncGenerator<Asked> {
  const messages = (await person.messages()).reverse();
  const target = messages.find((message) => buttonsOf(message).some((id) => id.startsWith(`v1:${button}`)));
  const id = target && buttonsOf(target).find((one) => one.startsWith(`v1:${button}`));
  if (!target || !id) return;
  const first = await ask(person, button, downtime, () => person.press(target, id), target);
  yield first.batchOf && ACCEPTED.test(first.asked.text)
    ? withBatch(first.asked, first.asked.id, null)
    : first.asked;
  const again = first.message && buttonsOf(first.message).find((one) => one.startsWith('v1:picture.deleted'));
  if (first.message && again) {
    const { message } = first;
    yield (await ask(person, `${button}, sure`, downtime, () => person.press(message, again), message)).asked;
  }
}

function withBatch(asked: Asked, by: string, pictures: number | null): Asked {
  return asked.answer === 'accepted' && ACCEPTED.test(asked.text)
    ? { ...asked, batch: { by, pictures } }
    : asked;
}

interface Answered {
  readonly asked: Asked;
  readonly message: APIMessage | null;
  /** it may make a batch */
  readonly batchOf: boolean;
}

async function ask(
  person: Person,
  what: string,
  downtime: Downtime,
  act: () => Promise<Outcome>,
  pressed?: APIMessage,
): Promise<Answered> {
  const startedAt = Date.now();
  const name = `${person.name}: ${what}`;
  let outcome: Outcome | undefined;
  try {
    outcome = await act();
    if (outcome.kind === 'modal') {
      const { modal } = outcome;
      outcome = await person.submitModal(modal, {});
    }
    const message = await answerTo(person, outcome, pressed);
    const text = textOf(message);
    const asked = {
      ...{ what: name, id: outcome.interactionId, text, botDown: downtime.within(startedAt, Date.now()) },
      answer: REFUSALS.test(text) && !ACCEPTED.test(text) ? ('refused' as const) : ('accepted' as const),
    };
    return { asked, message, batchOf: what === 'picture.again' };
  } catch (error) {
    const text = error instanceof Error ? error.message : String(error);
    // Not acknowledged within 3 s; or it was, and the bot that did was gone before it had an answer.
    const until = outcome?.kind === 'failed' ? startedAt + 5_000 : Date.now();
    const asked: Asked = {
      ...{ what: name, id: outcome?.interactionId ?? '', answer: 'unanswered', text },
      botDown: downtime.within(startedAt - 1_000, until),
    };
    return { asked, message: null, batchOf: false };
  }
}

async function answerTo(person: Person, outcome: Outcome, pressed?: APIMessage): Promise<APIMessage> {
  const waiting = { timeoutMs: ANSWERED_WITHIN_MS };
  if (outcome.kind === 'failed') throw new Error(outcome.reason);
  if (outcome.kind !== 'acknowledged' || !pressed) return person.waitForReply(waiting);
  const reply = person.waitForReply(waiting);
  const edit = person.waitForEdit(pressed, undefined, waiting);
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
