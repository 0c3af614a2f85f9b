/**
 * `/describe`: what a picture was asked for with. Of one that was drawn here its rows say it, to whoever may see its card; of others the
 * program that drew it may have written it into the file. Nothing is guessed from the picture.
 */
import { SlashCommandBuilder } from 'discord.js';
import { detailsOf } from '#src/cards/details.ts';
import { visibleByMark } from '#src/generations/pictures.ts';
import { detectUpload } from '#src/marks/detect.ts';
import type { Origin } from '#src/people/people.ts';
import { message, type Say } from '#src/say.ts';
import { block, code } from '#src/text.ts';
import type { Written } from '#src/uploads/written.ts';
import type { Answer, SlashCommand } from './command.ts';
import { Context, Install } from './options.ts';

/** Characters of an answer; what is longer comes as a file. */
const PROMPT_SHOWN = 700;
const VALUE_SHOWN = 120;
const LORAS_SHOWN = 8;
/** The most that seeds go to here. */
const SEED_MAX = 2 ** 32 - 1;

const PROGRAMS: Readonly<Record<Written['by'], string>> = {
  A1111: 'AUTOMATIC1111’s web UI',
  InvokeAI: 'InvokeAI',
  ComfyUI: 'ComfyUI',
};

/** What other programs call our schedulers: with the noise levels that are ours by that name. */
const SCHEDULERS: Readonly<Record<string, string>> = {
  ddim: 'ddim',
  'ddim ddim_uniform': 'ddim',
  euler: 'euler',
  'euler normal': 'euler',
  'euler a': 'euler_a',
  euler_a: 'euler_a',
  'euler_ancestral normal': 'euler_a',
  'dpm++ 2m': 'dpmpp_2m',
  dpmpp_2m: 'dpmpp_2m',
  'dpmpp_2m normal': 'dpmpp_2m',
  'dpm++ 2m karras': 'dpmpp_2m_karras',
  dpmpp_2m_k: 'dpmpp_2m_karras',
  'dpmpp_2m karras': 'dpmpp_2m_karras',
  unipc: 'unipc',
  'uni_pc normal': 'unipc',
  lcm: 'lcm',
  'lcm sgm_uniform': 'lcm',
};

export default {
  data: new SlashCommandBuilder()
    .setName('describe')
    .setDescription('Read what a picture was asked for with, from its own marks and text.')
    .setContexts(Context.Guild, Context.BotDM, Context.PrivateChannel)
    .setIntegrationTypes(Install.GuildInstall, Install.UserInstall)
    .addAttachmentOption((o) =>
      o.setName('picture').setDescription('JPEG, PNG, WebP or AVIF.').setRequired(true),
    ),

  async run({ options }, origin) {
    const { say, actor } = origin;
    const { watermark, written, claim } = await detectUpload(
      actor.id,
      options.getAttachment('picture', true),
    );
    if (watermark?.isOurs) return ours(origin, watermark.digits);
    if (written) return told(say, written);
    if (watermark || claim)
      return say(
        'The file is marked, and says nothing of what it was asked for with. `/detect` tells of its marks.',
      );
    return say(
      'This file says nothing of how it was drawn. Chats and social networks take such text off: try the file as its program saved it.',
    );
  },
} satisfies SlashCommand;

async function ours(origin: Origin, digits: string): Promise<Answer> {
  const picture = await visibleByMark(origin, digits);
  if (!picture)
    return origin.say('It was drawn here, for somebody else: what they asked for is theirs to tell.');
  return detailsOf(origin.say, origin.actor.id, picture);
}

function told(say: Say, written: Written): Answer {
  const { by, prompt, negativePrompt, steps, guidanceScale, seed, size, model, loras } = written;
  const value = (text: string | number) => `**${code(String(text), VALUE_SHOWN)}**`;
  const line = (name: string, text: string | number | null) =>
    text === null ? [] : [`- ${say(name)}: ${value(text)}`];
  const long = (name: string, text: string | null) =>
    text === null ? [] : [`${say(name)}:`, block(cut(text))];
  const lines = [
    `### ${say('Drawn by {program}, as the file says', { program: PROGRAMS[by] })}`,
    ...long(message('Prompt'), prompt),
    ...long(message('Negative prompt'), negativePrompt),
    ...line(message('Steps'), steps),
    ...line(message('Guidance scale'), guidanceScale),
    ...schedulerLine(say, written, value),
    ...line(message('Seed'), seed),
    ...line(message('Size'), size && `${size.width} × ${size.height}`),
    ...line(message('Model'), model),
    ...line(
      message('LoRAs'),
      loras.length
        ? loras
            .slice(0, LORAS_SHOWN)
            .map(({ name, scale }) => `${name} ${scale}`)
            .join(', ')
        : null,
    ),
    `-# ${say('Ask for it with `/imagine`, and set the rest with `/set`. Another model draws another picture, with the same seed too.')}`,
    ...(seed !== null && Number(seed) > SEED_MAX
      ? [`-# ${say('Seeds go to {max, number} here: that one is no seed of ours.', { max: SEED_MAX })}`]
      : []),
  ];
  const texts = [prompt, negativePrompt].filter((text) => text !== null && text.length > PROMPT_SHOWN);
  return {
    content: lines.join('\n'),
    files: texts.length
      ? [
          {
            attachment: Buffer.from([prompt, negativePrompt].filter(Boolean).join('\n\n')),
            name: 'prompt.txt',
          },
        ]
      : [],
  };
}

function schedulerLine(say: Say, { scheduler }: Written, value: (text: string) => string): string[] {
  if (scheduler === null) return [];
  const known = SCHEDULERS[scheduler.toLowerCase()];
  return [
    `- ${
      known
        ? say('Scheduler: {theirs}, here {ours}', { theirs: value(scheduler), ours: value(known) })
        : say('Scheduler: {theirs}, which is none of ours', { theirs: value(scheduler) })
    }`,
  ];
}

const cut = (text: string) => (text.length > PROMPT_SHOWN ? `${text.slice(0, PROMPT_SHOWN)}…` : text);
