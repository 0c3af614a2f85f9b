/** How a message's files are made to fit, whatever they are; by a Discord that says how many bytes it takes. */
import { type APIContainerComponent, ComponentType } from 'discord-api-types/v10';
import sharp from 'sharp';
import { expect, it } from 'vitest';
import { NotDiscord } from '#src/doors/discord.ts';
import { takeIdentity } from '#src/marks/installation.ts';
import { sayIn } from '#src/say.ts';
import type { Content } from '#src/services/courier/discord.ts';
import { sendFitting } from '#src/services/courier/files.ts';
import { testIdentity } from '#test/support/identity.ts';

takeIdentity(testIdentity);

const noise = { type: 'gaussian', mean: 128, sigma: 30 } as const;
const photo = sharp({ create: { width: 512, height: 640, channels: 3, background: '#888', noise } });
const png = await photo.png().toBuffer();
const jpg = await photo.jpeg({ quality: 100 }).toBuffer();
const file = (name: string, data: Buffer) => ({
  name,
  ...(/\.(png|jpg)$/.test(name) && { source: 'drawn' as const }),
  bytes: async () => data,
});
const address = (name: string) => ({ url: `attachment://${name}` });

const container: APIContainerComponent = {
  type: ComponentType.Container,
  components: [
    { type: ComponentType.TextDisplay, content: 'What was asked' },
    {
      type: ComponentType.MediaGallery,
      items: ['picture-1-aa.png', 'sheet-bb.jpg'].map((name) => ({ media: address(name) })),
    },
    { type: ComponentType.File, file: address('manifest-cc.csv') },
  ],
};
const files = [
  file('picture-1-aa.png', png),
  file('sheet-bb.jpg', jpg),
  file('manifest-cc.csv', Buffer.alloc(500_000)),
];
const card = { say: sayIn('en'), container, files, mentions: [] };

/** What was sent, in the order of the tries; the last one was taken. */
async function sendTo(most: number, has: Parameters<typeof sendFitting>[1] = []): Promise<Content[]> {
  const tries: Content[] = [];
  await sendFitting(card, has, async (content) => {
    tries.push(content);
    const bytes = content.files.reduce((sum, { data }) => sum + data.length, 0);
    if (bytes > most) throw new NotDiscord(413, 0);
    return { id: '1', files: [] };
  });
  return tries;
}
const names = (content: Content | undefined) => content?.files.map(({ name }) => name);
const shown = (content: Content | undefined) => JSON.stringify(content?.container);

it('sends all as it is where that is taken', async () => {
  const [first, ...more] = await sendTo(10_000_000);
  expect(more).toEqual([]);
  expect(names(first)).toEqual(['picture-1-aa.png', 'sheet-bb.jpg', 'manifest-cc.csv']);
  expect(shown(first)).not.toContain('Too large');
});

it('makes pictures smaller, under names of their own, and tells of what can’t be', async () => {
  const tries = await sendTo(400_000);
  const last = tries.at(-1);
  expect(names(last)).toEqual(['picture-1-aa.webp', 'sheet-bb.webp']);
  expect(shown(last)).toContain('attachment://picture-1-aa.webp');
  expect(shown(last)).toContain('attachment://sheet-bb.webp');
  expect(shown(last)).not.toContain('attachment://manifest');
  expect(shown(last)).toContain('`manifest-cc.csv`');
  for (const { data } of last!.files) expect((await sharp(data).metadata()).format).toBe('webp');
});

it('sends nothing where nothing is taken, and gives up no other part of the message', async () => {
  const last = (await sendTo(0)).at(-1);
  expect(names(last)).toEqual([]);
  expect(shown(last)).toContain('What was asked');
  expect(shown(last)).not.toContain('attachment://');
});

it('keeps what the message has, also when it was made smaller', async () => {
  const has = [
    { id: '7', name: 'picture-1-aa.webp' },
    { id: '8', name: 'of-another-time.png' },
  ];
  const [first] = await sendTo(10_000_000, has);
  expect(first!.kept).toEqual(['7']);
  expect(names(first)).toEqual(['sheet-bb.jpg', 'manifest-cc.csv']);
  expect(shown(first)).toContain('attachment://picture-1-aa.webp');
});

it('passes on what is wrong beside the size', async () => {
  const away = new Error('away');
  const send = () => Promise.reject(away);
  await expect(sendFitting(card, [], send)).rejects.toBe(away);
});
