import { PermissionFlagsBits as P } from 'discord-api-types/v10';
import { describe, expect, it } from 'vitest';
import { type ChannelView, sayRoles, strangersIn } from '#src/moderation/privacy.ts';

const role = (id: string, permissions = 0n, bot = false) => ({ id, permissions, bot });
const show = (id: string) => ({ id, allow: P.ViewChannel, deny: 0n });
const hide = (id: string) => ({ id, allow: 0n, deny: P.ViewChannel });
const keepers = { operatorRoleIds: ['op'], moderatorRoleIds: ['mod'] };

/** Everybody sees everything here, unless a channel says otherwise. */
const guild = (overwrites: ChannelView['overwrites'], everyone: bigint = P.ViewChannel): ChannelView => ({
  guildId: 'g',
  roles: [
    role('g', everyone),
    role('mod'),
    role('op'),
    role('members'),
    role('managers', P.ManageGuild),
    role('admins', P.Administrator),
    role('bot', 0n, true),
  ],
  overwrites,
});

describe('the strangers in a channel', () => {
  it('are everyone, where it is not hidden', () => {
    expect(strangersIn(guild([]), keepers)).toEqual(['g']);
    expect(strangersIn(guild([show('g')], 0n), keepers)).toEqual(['g']);
  });

  it('are none where only those who look after things see it, bots and single people', () => {
    const shown = ['mod', 'op', 'managers', 'bot', 'a person'].map(show);
    expect(strangersIn(guild([hide('g'), ...shown]), keepers)).toEqual([]);
    expect(strangersIn(guild([], 0n), keepers)).toEqual([]);
  });

  it('are every other role that sees it, also by rights of its own in a server that shows nothing to everyone', () => {
    expect(strangersIn(guild([hide('g'), show('members'), show('mod')]), keepers)).toEqual(['members']);
    expect(strangersIn(guild([hide('g'), show('members'), show('mod')]), null)).toEqual(['mod', 'members']);
    const view = guild([], 0n);
    const verified = { ...view, roles: [...view.roles, role('verified', P.ViewChannel)] };
    expect(strangersIn(verified, keepers)).toEqual(['verified']);
    expect(strangersIn({ ...verified, overwrites: [hide('verified')] }, keepers)).toEqual([]);
  });
});

it('roles are said by name, everyone without a call', () => {
  expect(sayRoles('1', ['1'])).toBe('@everyone');
  expect(sayRoles('1', ['2', '3'])).toBe('<@&2>, <@&3>');
});
