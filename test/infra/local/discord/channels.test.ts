/** Which threads start where, who sees them, and announcement channels. */
import { ChannelType, PermissionFlagsBits as P, REST, Routes } from 'discord.js';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { connectPerson } from '#infra/local/discord/person.ts';
import type { Sandbox } from '#infra/local/discord/sandbox.ts';
import type { StoredChannel } from '#infra/local/discord/world.ts';
import { APPLICATION_ID, startJudged, TOKEN } from './bot.ts';

interface Made {
  id: string;
  type: number;
  flags?: number;
  thread_metadata?: { auto_archive_duration: number };
}

let sandbox: Sandbox;
let rest: REST;
let sweeps: StoredChannel;
let news: StoredChannel;

beforeAll(async () => {
  sandbox = await startJudged();
  rest = new REST({ api: sandbox.apiUrl }).setToken(TOKEN);
  sweeps = [...sandbox.state.channels.values()].find(({ name }) => name === 'sweeps')!;
  const body = { name: 'news', type: ChannelType.GuildAnnouncement };
  const made = (await rest.post(Routes.guildChannels(sweeps.guildId!), { body })) as Made;
  news = sandbox.state.channels.get(made.id)!;
});

afterAll(async () => {
  await sandbox.close();
  expect(sandbox.violations.filter(({ side }) => side === 'response')).toEqual([]);
});

const send = ({ id }: StoredChannel) =>
  rest.post(Routes.channelMessages(id), { body: { content: 'x' } }) as Promise<Made>;
const start = ({ id }: StoredChannel, extra: object = {}, messageId?: string) =>
  rest.post(Routes.threads(id, messageId), { body: { name: 'a thread', ...extra } }) as Promise<Made>;

describe('a thread', () => {
  it('is of its channel’s kind, and private where nothing is said', async () => {
    expect((await start(sweeps)).type).toBe(ChannelType.PrivateThread);
    expect((await start(sweeps, { type: ChannelType.PublicThread })).type).toBe(ChannelType.PublicThread);
    expect((await start(sweeps, {}, (await send(sweeps)).id)).type).toBe(ChannelType.PublicThread);
    const { type } = await start(news, {}, (await send(news)).id);
    expect(type).toBe(ChannelType.AnnouncementThread);
    expect((await start(news, { type })).type).toBe(type);
  });

  it.each([
    ['of an announcement in a text channel', { type: ChannelType.AnnouncementThread }, 'type'],
    ['of a length of time that is none', { type: 11, auto_archive_duration: 30 }, 'auto_archive_duration'],
    ['slower than six hours', { type: 11, rate_limit_per_user: 21_601 }, 'rate_limit_per_user'],
    ['without a name', { type: 11, name: '' }, 'name'],
  ])('%s is refused', async (_, extra, field) => {
    await expect(start(sweeps, extra)).rejects.toMatchObject({
      code: 50035,
      rawError: { errors: { [field]: expect.anything() } },
    });
  });

  it.each([ChannelType.PublicThread, ChannelType.PrivateThread, undefined])(
    'of type %s is refused in an announcement channel',
    async (type) => {
      await expect(start(news, { type })).rejects.toMatchObject({ code: 50035 });
    },
  );

  it('lasts as long as it is told to', async () => {
    const made = await start(sweeps, { type: 11, auto_archive_duration: 60 });
    expect(made.thread_metadata!.auto_archive_duration).toBe(60);
  });

  it('that is private is seen by who is in it and who manages threads', async () => {
    const { id } = await start(sweeps, { type: ChannelType.PrivateThread });
    const member = await connectPerson(sandbox.pageUrl, { person: 'member', channel: 'sweeps' });
    await expect(member.in(id)).rejects.toThrow('sees no channel');
    await rest.put(Routes.threadMembers(id, member.id));
    expect((await member.in(id)).channelId).toBe(id);
    member.close();

    await rest.delete(Routes.threadMembers(id, '@me'));
    await rest.get(Routes.channel(id));
    const overwrites = [{ id: APPLICATION_ID, type: 1, allow: '0', deny: String(P.ManageThreads) }];
    sandbox.state.updateChannel(sweeps, { overwrites });
    await expect(rest.get(Routes.channel(id))).rejects.toMatchObject({ code: 50001 });
    sandbox.state.updateChannel(sweeps, { overwrites: [] });
  });
});

describe('an announcement', () => {
  it('is published once, and only from an announcement channel', async () => {
    const { id } = await send(news);
    const published = (await rest.post(Routes.channelMessageCrosspost(news.id, id))) as Made;
    expect(published.flags).toBe(1);
    const again = rest.post(Routes.channelMessageCrosspost(news.id, id));
    await expect(again).rejects.toMatchObject({ code: 40033 });
    const elsewhere = rest.post(Routes.channelMessageCrosspost(sweeps.id, (await send(sweeps)).id));
    await expect(elsewhere).rejects.toMatchObject({ code: 50024 });
  });
});
