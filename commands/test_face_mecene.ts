/**
 * `/test_face_mecene` draws people in scenes that Mecene makes up: every face folder in every idea, with the same seeds,
 * so that what differs is the face alone.
 */
import { SlashCommandBuilder } from 'discord.js';
import { stringify } from 'yaml';
import { randomSeed } from '#src/batches/cells.ts';
import { UserError } from '#src/errors.ts';
import { listFolders } from '#src/faces.ts';
import { askIdea, waitForIdeas } from '#src/ideas.ts';
import { type CheckedPrompt, checkPrompt } from '#src/moderation/words.ts';
import { parseParameter } from '#src/parameters/definitions.ts';
import { admitUser, type Origin } from '#src/people/people.ts';
import { type Say, sayIn } from '#src/say.ts';
import { quote } from '#src/text.ts';
import type { SlashCommand } from './command.ts';
import { Context, Install, suggestBundles, suggestFolders } from './options.ts';
import { sayTo } from './origin.ts';
import { mustPost } from './permissions.ts';
import { makePlan } from './plan.ts';

const ALL = 'all';
const IDEAS_MAX = 10;
const GENERATIONS_MAX = 10;
/** A language model takes seconds for each idea, the built-in composer hardly any time. */
const IDEAS_WITHIN_MS = 120_000;
/** characters of a prompt's name */
const LABEL_MAX = 60;
/** Characters of an autocomplete's choice. */
const CHOICE_MAX = 100;

export default {
  data: new SlashCommandBuilder()
    .setName('test_face_mecene')
    .setDescription('Draw face folders in scenes that Mecene makes up, and compare them.')
    .setContexts(Context.Guild)
    .setIntegrationTypes(Install.GuildInstall)
    .addStringOption((o) =>
      o
        .setName('face_folders')
        .setDescription('Names of your face folders, with commas; or all.')
        .setRequired(true)
        .setAutocomplete(true),
    )
    .addStringOption((o) =>
      o
        .setName('ideas')
        .setDescription('How many, 1 to 10; or few words for each: tea in a garden; a walk by the sea')
        .setRequired(true),
    )
    .addIntegerOption((o) =>
      o
        .setName('generations_per_input')
        .setDescription('Pictures of each face in each idea.')
        .setRequired(true)
        .setMinValue(1)
        .setMaxValue(GENERATIONS_MAX),
    )
    .addStringOption((o) =>
      o.setName('words').setDescription('What the ideas are about, when `ideas` is a number.'),
    )
    .addStringOption((o) =>
      o.setName('bundle').setDescription('The model to draw with. Else as you set it.').setAutocomplete(true),
    ),

  async run(interaction, origin) {
    const { actor, say } = origin;
    const { options } = interaction;
    // Before Mecene thinks: a plan that can't be posted needs no ideas.
    mustPost(interaction, 'face_test', origin.botInside);
    const generations = options.getInteger('generations_per_input', true);
    const chosen = options.getString('bundle');
    const bundle = chosen === null ? null : parseParameter('bundle', chosen);
    const { faults, folders, words } = await check(say, actor.id, {
      folders: options.getString('face_folders', true),
      ideas: options.getString('ideas', true),
      words: options.getString('words'),
      generations,
    });
    if (faults.length) throw new UserError('plan_faults', { faults });

    const ideas = await imagineScenes(origin, words);
    const seed = randomSeed() % (2 ** 32 - GENERATIONS_MAX);
    const labels = words.map((text) => text.slice(0, LABEL_MAX).trim()).filter(Boolean);
    const yaml = stringify(
      {
        name: titleOf(origin, folders.length, ideas.length),
        // Named by the words they came from, where those tell them apart: a sheet is labelled with the names.
        prompts:
          new Set(labels).size === ideas.length
            ? Object.fromEntries(ideas.map(({ prompt }, i) => [labels[i], prompt]))
            : ideas.map(({ prompt }) => prompt),
        faces: folders,
        ...(bundle !== null && { set: { bundle } }),
        seeds: Array.from({ length: generations }, (_, i) => seed + i),
      },
      { lineWidth: 0 },
    );
    const card = await makePlan(interaction, origin, 'face_test', {
      yaml,
      ideas: ideas.map(({ id, prompt }) => ({ id, prompt })),
    });
    if (!ideas.some(({ fallback }) => fallback)) return card;
    const composed = say('Mecene’s language model was away: the built-in composer wrote these prompts.');
    return { ...card, content: `${card.content}\n\n${composed}` };
  },

  async autocomplete(interaction) {
    const { options, user } = interaction;
    const say = sayTo(interaction);
    const { name: option, value: typed } = options.getFocused(true);
    if (option === 'bundle') return suggestBundles(say, typed);
    const names = typed.split(',').map((name) => name.trim());
    const last = names.pop() ?? '';
    const before = names.filter(Boolean);
    const found = (await suggestFolders(say, user.id, last)).filter(({ value }) => !before.includes(value));
    const completed = found
      .map(({ value }) => [...before, value].join(', '))
      .filter((text) => text.length <= CHOICE_MAX)
      .map((text) => ({ name: text, value: text }));
    const all = { name: say('all: every face folder of yours'), value: ALL };
    return !before.length && ALL.startsWith(last.toLowerCase()) ? [all, ...completed] : completed;
  },
} satisfies SlashCommand;

/** The batch's, which everybody in the channel reads. */
function titleOf({ channelLocale }: Origin, faces: number, ideas: number): string {
  const say = sayIn(channelLocale);
  return say(
    '{faces, plural, one {# face} other {# faces}} in {ideas, plural, one {# idea} other {# ideas}}',
    { faces, ideas },
  );
}

interface Input {
  readonly folders: string;
  readonly ideas: string;
  readonly words: string | null;
  readonly generations: number;
}

/** Reads the options, and says everything that is wrong with them at once. `words` has one entry an idea. */
async function check(say: Say, userId: string, input: Input) {
  const faults: string[] = [];
  const { folders, unknown } = await chosenFolders(say, userId, input.folders);
  faults.push(...unknown);

  const { generations } = input;
  if (generations < 1 || generations > GENERATIONS_MAX)
    faults.push(outside(say, 'generations_per_input', GENERATIONS_MAX, generations));

  const ideas = input.ideas.trim();
  const count = /^[+-]?\d+$/.test(ideas) ? Number(ideas) : null;
  const texts = count === null ? partsOf(ideas, ';') : [];
  const about = input.words?.trim() ?? '';
  if (count === null && about)
    faults.push(say('`words` goes with a number of ideas: here `ideas` has words of its own.'));
  if (count === null && !texts.length)
    faults.push(say('`ideas` is empty: give a number up to {max}, or few words.', { max: IDEAS_MAX }));
  const wanted = count ?? texts.length;
  if (wanted > IDEAS_MAX || (count !== null && count < 1))
    faults.push(outside(say, 'ideas', IDEAS_MAX, wanted));
  const checked = [...texts.slice(0, IDEAS_MAX), about].filter(Boolean).flatMap((text) => {
    try {
      return checkPrompt(text);
    } catch (error) {
      if (!(error instanceof UserError)) throw error;
      faults.push(`${quote(text)}: ${error.in(say)}`);
      return [];
    }
  });
  const words = faults.length
    ? []
    : count === null
      ? checked
      : Array<CheckedPrompt | ''>(count).fill(checked[0] ?? '');
  return { faults, folders, words };
}

/** As the error of the same code says it, beside others. */
function outside(say: Say, name: string, max: number, got: number): string {
  return new UserError('parameter_range', { name, min: 1, max, got }).in(say);
}

async function chosenFolders(
  say: Say,
  userId: string,
  text: string,
): Promise<{ folders: string[]; unknown: string[] }> {
  const mine = await listFolders(userId);
  const usable = mine.filter(({ photos }) => photos > 0).map(({ name }) => name);
  const names = [...new Set(partsOf(text, ','))];
  if (names.length === 1 && names[0]?.toLowerCase() === ALL) {
    const none = say('You have no face folder with consent yet. Make one with `/faces add`.');
    return { folders: usable, unknown: usable.length ? [] : [none] };
  }
  const explained = names.flatMap((name) => {
    if (usable.includes(name)) return [];
    const isThere = mine.some((folder) => folder.name === name);
    const error = isThere
      ? new UserError('folder_empty', { name })
      : new UserError('folder_unknown', { name, mine: usable.slice(0, 10) });
    return error.in(say);
  });
  if (!names.length) explained.push(say('`face_folders` is empty: name one, or say `all`.'));
  return { folders: names, unknown: explained };
}

function partsOf(text: string, separator: ',' | ';'): string[] {
  return text
    .split(separator)
    .map((part) => part.trim())
    .filter(Boolean);
}

/** Mecene's prompts, one for each entry of `words`; those that failed are named. @throws {UserError} `plan_faults`, `busy` */
async function imagineScenes(
  { actor, say }: Origin,
  words: readonly (CheckedPrompt | '')[],
): Promise<{ id: string; prompt: string; fallback: boolean }[]> {
  await admitUser(actor);
  const asked = await Promise.all(
    words.map((text) => askIdea({ userId: actor.id, words: text, seed: randomSeed() })),
  );
  const ideas = await waitForIdeas(
    asked.map(({ id }) => id),
    { timeoutMs: IDEAS_WITHIN_MS },
  );
  const faults = ideas.flatMap(({ prompt, words: text }, i) => {
    if (prompt) return [];
    const number = i + 1;
    return text
      ? say('Mecene could not make a prompt of idea {number}, {words}. Try other words.', {
          number,
          words: quote(text),
        })
      : say('Mecene could not make a prompt of idea {number}. Try other words.', { number });
  });
  if (faults.length) throw new UserError('plan_faults', { faults });
  return ideas.flatMap(({ id, prompt, fallback }) => (prompt ? { id, prompt, fallback } : []));
}
