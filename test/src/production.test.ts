import { describe, expect, it } from 'vitest';
import { db } from '#src/doors/db.ts';
import {
  describeParameters,
  resetParameter,
  resolveParameters,
  setParameter,
} from '#src/parameters/values.ts';
import { type AskedAt, productionMode, switchesFor, switchProduction } from '#src/production.ts';
import { actor, snowflake } from '#test/support/requests.ts';
import { STAFF_ID } from '#test/support/staff.ts';

/** An operator and a member of one guild, in one channel. */
function place() {
  const guildId = snowflake();
  const at = { channelId: snowflake(), botInside: true };
  const operator: AskedAt = { ...at, actor: actor({ guildId, managesGuild: true }) };
  const member: AskedAt = { ...at, actor: actor({ guildId }) };
  return { guildId, operator, member };
}
const elsewhere = (asked: AskedAt): AskedAt => ({ ...asked, channelId: snowflake() });

describe('production mode', () => {
  it('is off where nobody said anything', async () => {
    expect(await productionMode(place().member)).toEqual({ on: false, by: null });
  });

  it('counts for members by the channel, then by the server', async () => {
    const { operator, member } = place();
    await switchProduction(operator, 'server', true);
    expect(await productionMode(member)).toEqual({ on: true, by: 'server' });
    await switchProduction(operator, 'channel', false);
    expect(await productionMode(member)).toEqual({ on: false, by: 'channel' });
    expect(await productionMode(elsewhere(member))).toEqual({ on: true, by: 'server' });
    await switchProduction(operator, 'channel', null);
    expect(await productionMode(member)).toEqual({ on: true, by: 'server' });
    expect(await productionMode({ ...member, actor: actor() })).toEqual({ on: false, by: null });
  });

  it('an operator’s own word counts before both, and is taken back', async () => {
    const { operator } = place();
    await switchProduction(operator, 'channel', true);
    await setParameter(operator.actor, 'production_mode', 'off');
    expect(await productionMode(operator)).toEqual({ on: false, by: 'person' });
    await setParameter(operator.actor, 'production_mode', 'default');
    expect(await productionMode(operator)).toEqual({ on: true, by: 'channel' });
    await setParameter(operator.actor, 'production_mode', 'off');
    await resetParameter(operator.actor, 'production_mode');
    expect(await productionMode(operator)).toEqual({ on: true, by: 'channel' });
  });

  it('of an operator who is none any more is the channel’s', async () => {
    const { operator } = place();
    await setParameter(operator.actor, 'production_mode', 'on');
    const former = { ...operator, actor: { ...operator.actor, managesGuild: false } };
    expect(await productionMode(former)).toEqual({ on: false, by: null });
    await switchProduction(operator, 'channel', true);
    expect(await productionMode(former)).toEqual({ on: true, by: 'channel' });
  });

  it('is what a picture is asked with, and /settings says whose word it is', async () => {
    const { operator, member } = place();
    await switchProduction(operator, 'channel', true);
    expect((await resolveParameters(member)).production_mode).toBe(true);
    // What is asked along with the picture is for operators alone.
    expect((await resolveParameters(member, { production_mode: false })).production_mode).toBe(true);
    expect((await resolveParameters(operator, { production_mode: false })).production_mode).toBe(false);
    const described = await describeParameters(member);
    expect(described.find(({ name }) => name === 'production_mode')).toMatchObject({
      value: 'on',
      own: false,
      by: 'channel',
    });
    expect(described.find(({ name }) => name === 'steps')).toMatchObject({ by: null });
  });

  it('is switched by operators and staff alone, where the bot is a member', async () => {
    const { guildId, operator, member } = place();
    const refused = { code: 'operators_only' };
    await expect(switchProduction(member, 'channel', true)).rejects.toMatchObject(refused);
    await expect(switchProduction({ ...operator, botInside: false }, 'channel', true)).rejects.toMatchObject(
      refused,
    );
    const direct = { ...operator, actor: { ...operator.actor, guildId: null } };
    await expect(switchProduction(direct, 'server', true)).rejects.toMatchObject(refused);
    expect(await db.productionSwitch.count({ where: { guildId } })).toBe(0);
    expect(await db.auditEvent.count({ where: { guildId } })).toBe(0);

    await db.guildSettings.create({ data: { id: guildId, operatorRoleIds: ['5'] } });
    const byRole = { ...member, actor: { ...member.actor, roleIds: ['5'] } };
    await switchProduction(byRole, 'channel', true);
    const staff = { ...member, actor: { ...member.actor, id: STAFF_ID } };
    await switchProduction(staff, 'server', false);
    expect(await switchesFor(member)).toEqual({ channel: true, server: false });
  });

  it('every change is in the audit log, each beginning where another ended', async () => {
    const { guildId, operator } = place();
    await Promise.all([true, false, true].map((on) => switchProduction(operator, 'server', on)));
    await switchProduction(operator, 'channel', true);
    const events = await db.auditEvent.findMany({ where: { guildId }, orderBy: { id: 'asc' } });
    const { actor: by, channelId } = operator;
    expect(events.map(({ action, actorId, subject }) => [action, actorId, subject])).toEqual([
      ...Array(3).fill(['production_mode.set', by.id, `guild:${guildId}`]),
      ['production_mode.set', by.id, `channel:${channelId}`],
    ]);
    const servers = events.slice(0, 3);
    expect(servers.map(({ after }) => after).sort()).toEqual([false, true, true]);
    // A chain from null: each `before` but the first is some `after`.
    const befores = servers.map(({ before }) => before);
    expect(befores.filter((before) => before === null)).toHaveLength(1);
    const [last] = [(await switchesFor(operator)).server];
    const count = (list: readonly unknown[], value: unknown) => list.filter((one) => one === value).length;
    for (const value of [true, false])
      expect(
        count(
          servers.map(({ after }) => after),
          value,
        ),
      ).toBe(count(befores, value) + (last === value ? 1 : 0));
  });
});
