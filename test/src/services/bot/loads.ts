/** What one person can put on a shard. Used by a test, which sees that others are answered meanwhile, and by a bench, which measures. */
import type { APIMessage } from 'discord.js';
import { deepPng, vastAvif } from '#test/support/bombs.ts';
import type { Typist } from './local-bot.ts';

/** 64 KiB, the most that a file may have. */
const GROWING = { prompts: Array.from({ length: 22 }, (_, i) => `${'ﷺ'.repeat(985)}${i}`) };
const SPELT = { prompts: Array.from({ length: 64 }, (_, i) => `${'a b '.repeat(247)}${i}`) };
/** As many pictures as a batch may have, with long prompts. */
const WIDE = { prompts: Array.from({ length: 50 }, (_, i) => `${'a portrait, '.repeat(80)}${i}`), seeds: 8 };

const sweep = (person: Typist, definition: object) =>
  person.type('sweep', {}, { file: { filename: 'a.yaml', data: Buffer.from(JSON.stringify(definition)) } });
const photos = (person: Typist, data: Buffer) =>
  person.type(
    'faces add',
    { name: 'ada' },
    Object.fromEntries([1, 2].map((i) => [`photo${i}`, { filename: 'a', data }])),
  );
/** The answers to those that the local Discord brought to the bot in time: it has 40 uploads in hand itself. */
async function forty(people: readonly Typist[]): Promise<APIMessage[]> {
  const all = Array.from({ length: 40 }, (_, i) =>
    sweep(people[i % people.length]!, [GROWING, SPELT, WIDE][Math.floor(i / people.length) % 3]!),
  );
  return (await Promise.allSettled(all)).flatMap((one) => (one.status === 'fulfilled' ? one.value : []));
}

export interface Load {
  readonly what: string;
  /** Makes it ready: what it takes is nobody's load. */
  prepare(people: readonly Typist[]): Promise<() => Promise<readonly APIMessage[]>>;
  /** what the answers say */
  readonly says: RegExp;
}

const load = (
  what: string,
  says: RegExp,
  put: (people: readonly Typist[]) => Promise<APIMessage | readonly APIMessage[]>,
): Load => ({
  what,
  says,
  prepare: async (people) => async () => [await put(people)].flat(),
});

/** One who is asked for nothing else does it; `forty` takes several people. */
export const loads: readonly Load[] = [
  load('prompts that grow by folding', /characters that stand for many/, ([me]) => sweep(me!, GROWING)),
  load('prompts of single letters', /\*\*64 pictures\*\*/, ([me]) => sweep(me!, SPELT)),
  load('a plan of 400 pictures with long prompts', /\*\*400 pictures\*\*/, ([me]) => sweep(me!, WIDE)),
  load(
    '40 sweeps at once',
    // Some are refused, as two of each are still read; how many depends on how fast they come.
    /I am still at 2 sweeps of yours|Nothing was started|\*\*400 pictures\*\*/,
    forty,
  ),
  {
    what: 'two AVIFs of 36 megapixels',
    says: /16 is the most of an AVIF/,
    async prepare([me]) {
      const data = await vastAvif();
      return async () => [await photos(me!, data)];
    },
  },
  {
    what: 'two interlaced PNGs of 40 megapixels and 16 bits',
    says: /20 is the most of an image with 16/,
    async prepare([me]) {
      const data = await deepPng(6_300, 6_300);
      return async () => [await photos(me!, data)];
    },
  },
  {
    what: 'a plan of 400 pictures that is run',
    says: /^Accepted for 400 tokens/,
    async prepare([me]) {
      const { db } = await import('#src/doors/db.ts');
      const { endBatch } = await import('#src/batches/ending.ts');
      // Of the time before there may be one.
      const before = await db.batch.findFirst({ where: { ownerId: me!.id, state: 'open' } });
      if (before) await endBatch(before.id, 'cancelled');
      const card = await sweep(me!, WIDE);
      return async () => [await me!.press(card, 'v1:plan.run')];
    },
  },
];
