/** REST without people: what a bot may send where, what is refused and how, and what goes wrong on request. */
import {
  GatewayIntentBits,
  PermissionFlagsBits,
  REST,
  type RESTPostAPIChannelMessageResult,
  Routes,
} from 'discord.js';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { connectPerson, filesOf } from '#infra/local/discord/person.ts';
import type { Sandbox } from '#infra/local/discord/sandbox.ts';
import { PEOPLE } from '#infra/local/discord/world.ts';
import { APPLICATION_ID, picture, startJudged, TOKEN } from './bot.ts';

type Message = RESTPostAPIChannelMessageResult;

let sandbox: Sandbox;
let rest: REST;

beforeAll(async () => {
  sandbox = await startJudged({ privilegedIntents: GatewayIntentBits.GuildMembers });
  rest = new REST({ api: sandbox.apiUrl, retries: 2 }).setToken(TOKEN);
});

afterAll(() => sandbox.close());

function channel(name: string, guild: 0 | 1 = 0): string {
  const { id } = sandbox.state.world.guilds[guild];
  return [...sandbox.state.channels.values()].find(
    (one) => one.name === name && (!one.guildId || one.guildId === id),
  )!.id;
}

const send = (where: string, body: object, files: { name: string; data: Buffer }[] = []) =>
  rest.post(Routes.channelMessages(where), { body, files }) as Promise<Message>;

describe('with traffic as it should be', () => {
  afterEach(() => {
    expect(sandbox.violations).toEqual([]);
  });

  it('keeps only the attachments an edit lists', async () => {
    const data = await picture(10, 60, 90);
    const message = await send(channel('portraits'), { content: 'two' }, [
      { name: 'a.png', data },
      { name: 'SPOILER_b.png', data },
    ]);
    const [a, b] = message.attachments;
    expect(b!.flags).toBe(8);
    const url = Routes.channelMessage(channel('portraits'), message.id);
    const edited = (await rest.patch(url, {
      body: { attachments: [{ id: a!.id }, { id: '0', description: 'new' }] },
      files: [{ name: 'c.png', data }],
    })) as Message;
    expect(edited.attachments.map(({ filename }) => filename)).toEqual(['a.png', 'c.png']);
    expect(edited.attachments[1]!.description).toBe('new');
    expect(edited.edited_timestamp).toBeTruthy();
    await rest.delete(url);
    await expect(rest.get(url)).rejects.toMatchObject({ code: 10008 });
  });

  it('tells of a file that a component or an embed shows there alone, and an edit keeps it by that id', async () => {
    const data = await picture(10, 60, 90);
    const gallery = (name: string) => ({ type: 12, items: [{ media: { url: `attachment://${name}` } }] });
    const shown = await send(channel('portraits'), { flags: 1 << 15, components: [gallery('a.png')] }, [
      { name: 'a.png', data },
    ]);
    expect(shown.attachments).toEqual([]);
    const [file] = filesOf(shown);
    expect(file).toMatchObject({ filename: 'a.png', url: expect.stringContaining(file!.id) });
    const url = Routes.channelMessage(channel('portraits'), shown.id);
    const body = {
      components: [gallery('a.png'), gallery('b.png')],
      attachments: [{ id: file!.id }, { id: '0' }],
    };
    const edited = (await rest.patch(url, { body, files: [{ name: 'b.png', data }] })) as Message;
    expect(filesOf(edited).map(({ filename }) => filename)).toEqual(['a.png', 'b.png']);
    expect(filesOf(edited)[0]).toEqual(file);
    // Not listed, it is gone: nothing may show it then.
    await expect(
      rest.patch(url, { body: { components: [gallery('a.png')], attachments: [] } }),
    ).rejects.toMatchObject({ code: 50035 });

    const embeds = [{ image: { url: 'attachment://a.png' } }];
    const files = ['a.png', 'b.png'].map((name) => ({ name, data }));
    const { attachments } = await send(channel('portraits'), { embeds }, files);
    expect(attachments.map(({ filename }) => filename)).toEqual(['b.png']);
  });

  it('makes one message of one enforced nonce, however often it is sent', async () => {
    const body = { content: 'once', nonce: 'delivery-1', enforce_nonce: true };
    const [first, second] = await Promise.all([send(channel('sweeps'), body), send(channel('sweeps'), body)]);
    expect(second.id).toBe(first.id);
    expect((await send(channel('sweeps'), { ...body, nonce: 'delivery-2' })).id).not.toBe(first.id);
  });

  it('does the work and loses the answer: with a nonce, still one message', async () => {
    sandbox.misbehave({ serverError: { next: 2, when: 'after', route: 'POST /channels' } });
    await send(channel('sweeps'), { content: 'lost answer', nonce: 'delivery-3', enforce_nonce: true });
    const all = (await rest.get(Routes.channelMessages(channel('sweeps')))) as Message[];
    expect(all.filter(({ content }) => content === 'lost answer')).toHaveLength(1);
  });

  it('limits on request, and the library waits', async () => {
    sandbox.misbehave({ rateLimit: { next: 1, retryAfterS: 0.3 } });
    const startedAt = Date.now();
    await send(channel('sweeps'), { content: 'after a wait' });
    expect(Date.now() - startedAt).toBeGreaterThanOrEqual(290);
  });

  it('pages through messages', async () => {
    const sent: string[] = [];
    for (let i = 0; i < 5; i++) sent.push((await send(channel('review'), { content: `${i}` })).id);
    const list = async (query: Record<string, string>) =>
      (
        (await rest.get(Routes.channelMessages(channel('review')), {
          query: new URLSearchParams(query),
        })) as Message[]
      ).map(({ content }) => content);
    expect(await list({ limit: '2' })).toEqual(['4', '3']);
    expect(await list({ limit: '2', before: sent[2]! })).toEqual(['1', '0']);
    expect(await list({ limit: '2', after: sent[1]! })).toEqual(['3', '2']);
  });

  it('has threads, from a message and without', async () => {
    const start = await send(channel('sweeps'), { content: 'A sweep' });
    const thread = (await rest.post(Routes.threads(channel('sweeps'), start.id), {
      body: { name: 'cells' },
    })) as { id: string };
    expect(thread.id).toBe(start.id);
    await send(thread.id, { content: 'cell 1' });
    await expect(
      rest.post(Routes.threads(channel('sweeps'), start.id), { body: { name: 'b' } }),
    ).rejects.toMatchObject({
      code: 160004,
    });
    const own = (await rest.post(Routes.threads(channel('sweeps')), {
      body: { name: 'private', type: 12 },
    })) as { id: string };
    await rest.put(Routes.threadMembers(own.id, PEOPLE.member.id));
    const { guilds } = (await (await fetch(`${sandbox.pageUrl}sandbox/view?person=member`)).json()) as {
      guilds: { channels: { id: string }[] }[];
    };
    const seen = guilds[0]!.channels.map(({ id }) => id);
    expect(seen).toContain(thread.id);
    expect(seen).toContain(own.id);
  });

  it('says who mentions whom, as far as allowed', async () => {
    const content = `<@${PEOPLE.member.id}> and <@${PEOPLE.operator.id}>`;
    const message = await send(channel('portraits'), {
      content,
      allowed_mentions: { users: [PEOPLE.member.id] },
    });
    expect(message.mentions.map(({ id }) => id)).toEqual([PEOPLE.member.id]);
  });

  it('refuses with Discord’s codes', async () => {
    await expect(send(channel('no-bots'), { content: 'x' })).rejects.toMatchObject({
      code: 50013,
      status: 403,
    });
    await expect(send(channel('friends'), { content: 'x' })).rejects.toMatchObject({ code: 50001 });
    await expect(send('1', { content: 'x' })).rejects.toMatchObject({ code: 10003, status: 404 });
    await expect(send(channel('portraits'), {})).rejects.toMatchObject({ code: 50006 });
    const stranger = new REST({ api: sandbox.apiUrl }).setToken('another-token');
    await expect(stranger.get(Routes.user())).rejects.toMatchObject({ status: 401 });

    const { id } = (await rest.post(Routes.userChannels(), { body: { recipient_id: PEOPLE.member.id } })) as {
      id: string;
    };
    await send(id, { content: 'Hello' });
    sandbox.misbehave({ refuseDms: true });
    await expect(send(id, { content: 'x' })).rejects.toMatchObject({ code: 50007 });
    sandbox.misbehave({ refuseDms: false });
  });

  it('registers commands one by one, and keeps their ids when they change', async () => {
    const [guild] = sandbox.state.world.guilds;
    const all = Routes.applicationGuildCommands(APPLICATION_ID, guild.id);
    const made = (await rest.post(all, { body: { name: 'ping', description: 'x' } })) as { id: string };
    const one = Routes.applicationGuildCommand(APPLICATION_ID, guild.id, made.id);
    expect(await rest.post(all, { body: { name: 'ping', description: 'y' } })).toMatchObject({ id: made.id });
    expect(await rest.patch(one, { body: { name: 'pong' } })).toMatchObject({ id: made.id, name: 'pong' });
    expect(await rest.get(one)).toMatchObject({ name: 'pong', description: 'y', guild_id: guild.id });
    expect(await rest.get(all)).toHaveLength(1);
    await rest.delete(one);
    await expect(rest.get(one)).rejects.toMatchObject({ code: 10063 });
  });

  it('lists commands with their translations only when asked', async () => {
    const all = Routes.applicationCommands(APPLICATION_ID);
    const ping = { name: 'ping', description: 'x', name_localizations: { de: 'pingen' } };
    await rest.put(all, { body: [ping] });
    const list = (query: object, headers: Record<string, string> = {}) =>
      rest.get(all, { query: new URLSearchParams({ ...query }), headers });
    const [plain] = (await list({})) as object[];
    expect(plain).not.toHaveProperty('name_localizations');
    expect(await list({}, { 'x-discord-locale': 'de' })).toMatchObject([{ name_localized: 'pingen' }]);
    expect(await list({ with_localizations: 'true' })).toMatchObject([ping]);
    await rest.put(all, { body: [] });
  });

  it('reacts, types, and changes channels and threads', async () => {
    const { id } = await send(channel('portraits'), { content: 'react to me' });
    const reaction = Routes.channelMessageOwnReaction(channel('portraits'), id, encodeURIComponent('👍'));
    await rest.put(reaction);
    const reacted = (await rest.get(Routes.channelMessage(channel('portraits'), id))) as Message;
    expect(reacted.reactions).toMatchObject([{ emoji: { name: '👍' }, count: 1, me: true }]);
    await rest.delete(reaction);
    await rest.post(Routes.channelTyping(channel('portraits')));

    const thread = (await rest.post(Routes.threads(channel('portraits')), {
      body: { name: 'a', type: 11 },
    })) as {
      id: string;
    };
    expect(await rest.get(Routes.threadMembers(thread.id))).toHaveLength(1);
    const archived = await rest.patch(Routes.channel(thread.id), { body: { archived: true, name: 'b' } });
    expect(archived).toMatchObject({ name: 'b', thread_metadata: { archived: true } });
    await send(thread.id, { content: 'wakes it' });
    expect(await rest.get(Routes.channel(thread.id))).toMatchObject({ thread_metadata: { archived: false } });

    const barred = { type: 1, deny: '2048', allow: '0' };
    const overwrite = Routes.channelPermission(channel('sweeps', 1), APPLICATION_ID);
    await rest.put(overwrite, { body: barred });
    await expect(send(channel('sweeps', 1), { content: 'x' })).rejects.toMatchObject({ code: 50013 });
    await rest.delete(overwrite);
    await send(channel('sweeps', 1), { content: 'x' });
  });

  it('knows guilds, members, roles and channels', async () => {
    const [guild] = sandbox.state.world.guilds;
    for (const path of [
      Routes.guild(guild.id),
      Routes.guildChannels(guild.id),
      Routes.guildRoles(guild.id),
      Routes.guildMember(guild.id, PEOPLE.operator.id),
      Routes.user(),
      Routes.currentApplication(),
      Routes.userGuilds(),
      Routes.guildActiveThreads(guild.id),
      Routes.gatewayBot(),
    ] as `/${string}`[]) {
      expect(await rest.get(path)).toBeTruthy();
    }
    const made = (await rest.post(Routes.guildChannels(guild.id), { body: { name: 'New Room' } })) as {
      id: string;
      name: string;
    };
    expect(made.name).toBe('new-room');
    await rest.delete(Routes.channel(made.id));

    const role = guild.roles.find(({ name }) => name === 'Atelier')!;
    const { permissions } = role;
    role.permissions = String(BigInt(permissions) & ~PermissionFlagsBits.ManageChannels);
    await expect(rest.post(Routes.guildChannels(guild.id), { body: { name: 'no' } })).rejects.toMatchObject({
      code: 50013,
    });
    role.permissions = permissions;
  });
});

describe('limits', () => {
  const text = (content: string) => ({ type: 10, content });
  const button = (custom_id: string) => ({ type: 2, style: 1, label: 'x', custom_id });
  const V2 = 1 << 15;
  const cases: [string, object, string][] = [
    ['2,001 characters', { content: 'x'.repeat(2001) }, 'content'],
    [
      '41 components with nesting',
      {
        flags: V2,
        components: [0, 1, 2, 3].map(() => ({ type: 17, components: Array(10).fill(text('x')) })),
      },
      'components',
    ],
    ['v2 with content', { flags: V2, content: 'x', components: [text('x')] }, 'content'],
    ['v2 components without the flag', { components: [text('x')] }, 'components'],
    [
      'a custom id twice',
      { components: [{ type: 1, components: [button('a'), button('a')] }] },
      'components',
    ],
    [
      'six buttons in a row',
      { components: [{ type: 1, components: [...'abcdef'].map(button) }] },
      'components',
    ],
    [
      '11 gallery items',
      { flags: V2, components: [{ type: 12, items: Array(11).fill({ media: { url: 'https://a.b/c' } }) }] },
      'components',
    ],
    [
      'a file that was not sent',
      { flags: V2, components: [{ type: 13, file: { url: 'attachment://no.txt' } }] },
      'components',
    ],
    [
      'an embed of 6,001',
      { embeds: [{ description: 'x'.repeat(4000) }, { description: 'x'.repeat(2001) }] },
      'embeds',
    ],
  ];
  it.each(cases)('refuses %s', async (_, body, field) => {
    await expect(send(channel('portraits'), body)).rejects.toMatchObject({
      code: 50035,
      rawError: { errors: { [field]: expect.anything() } },
    });
  });

  it('takes 40 components, and edits keep v2', async () => {
    const components = [{ type: 17, accent_color: 1, components: Array(39).fill(text('x')) }];
    const message = await send(channel('portraits'), { flags: V2, components });
    const url = Routes.channelMessage(channel('portraits'), message.id);
    const edited = (await rest.patch(url, { body: { components: [text('y')] } })) as Message;
    expect(edited.flags).toBe(V2);
    await expect(rest.patch(url, { body: { content: 'x' } })).rejects.toMatchObject({ code: 50035 });
  });

  it('refuses a file above 10 MiB, and 25 MiB in all', async () => {
    const big = (mib: number) => ({ name: 'big.bin', data: Buffer.alloc(mib * 1024 * 1024 + 1) });
    await expect(send(channel('portraits'), {}, [big(10)])).rejects.toMatchObject({
      code: 40005,
      status: 413,
    });
    await expect(send(channel('portraits'), {}, [big(9), big(9), big(9)])).rejects.toMatchObject({
      status: 413,
    });
  });

  it.each(['Test', 'a b', '', 'x'.repeat(33)])('refuses a command called “%s”', async (name) => {
    const body = [{ name, description: 'x' }];
    await expect(rest.put(Routes.applicationCommands(APPLICATION_ID), { body })).rejects.toMatchObject({
      code: 50035,
    });
  });
});

describe('the judge', () => {
  it('collects what Discord’s description refuses, and refuses it too', async () => {
    // The limits above have left their own.
    const before = sandbox.violations.length;
    await expect(send(channel('portraits'), { content: 'x', tts: 'loud' })).rejects.toMatchObject({
      code: 50035,
    });
    await expect(rest.get('/channels/1/nonsense')).rejects.toMatchObject({ status: 404 });
    const [bad, unknown] = sandbox.violations.slice(before);
    expect(bad).toMatchObject({ route: 'POST /channels/{channel_id}/messages', side: 'request' });
    expect(bad!.faults.join()).toContain('/tts');
    expect(unknown!.faults.join()).toContain('no such route');
  });
});

it('is for this machine alone: another site’s page is turned away', async () => {
  const foreign = await fetch(`${sandbox.pageUrl}sandbox/misbehave`, {
    method: 'POST',
    headers: { origin: 'http://example.com' },
    body: '{}',
  });
  expect(foreign.status).toBe(403);
  const member = await connectPerson(sandbox.pageUrl, { person: 'member', channel: 'portraits' });
  expect(await member.commands()).toEqual([]);
  member.close();
});
