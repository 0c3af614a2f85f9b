import { describe, expect, it } from 'vitest';
import { db } from '#src/doors/db.ts';
import { changeGuild, meetGuild } from '#src/guilds.ts';
import { actor, snowflake } from '../support/requests.ts';

const found = { reviewChannelId: '1', operatorRoleIds: ['2'], moderatorRoleIds: ['3'] };

describe('a guild', () => {
  it('is met once, and what its administrators changed stays', async () => {
    const id = snowflake();
    expect(await meetGuild(id, snowflake(), found)).toBe(true);
    const admin = actor({ guildId: id, managesGuild: true });
    await changeGuild(admin, { operatorRoleIds: ['9'] });
    expect(await meetGuild(id, snowflake(), found)).toBe(false);
    expect(await db.guildSettings.findUnique({ where: { id } })).toMatchObject({
      ...found,
      operatorRoleIds: ['9'],
    });
  });

  it('keeps who changed what', async () => {
    const id = snowflake();
    await meetGuild(id, snowflake(), found);
    const admin = actor({ guildId: id, managesGuild: true });
    await changeGuild(admin, { reviewChannelId: '7' });
    const events = await db.auditEvent.findMany({
      where: { subject: `guild:${id}` },
      orderBy: { createdAt: 'asc' },
    });
    expect(events).toMatchObject([
      { action: 'guild.meet', after: found },
      { action: 'guild.set', actorId: admin.id, before: found, after: { ...found, reviewChannelId: '7' } },
    ]);
  });

  it('is changed by nobody who may not manage it', async () => {
    await expect(changeGuild(actor(), { operatorRoleIds: ['9'] })).rejects.toMatchObject({
      code: 'administrators_only',
    });
  });
});
