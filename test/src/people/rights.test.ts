import { describe, expect, it } from 'vitest';
import { galleryGuildOf, mustManageTokens, trustedGuildOf } from '#src/people/rights.ts';
import { actor, snowflake } from '#test/support/requests.ts';
import { STAFF_GUILD_ID, STAFF_ID, TRUSTED_GUILD } from '#test/support/staff.ts';

const OTHER = snowflake();

describe('what is the platform’s: the gallery, and tokens', () => {
  it.each([
    ['the platform’s own guild', STAFF_GUILD_ID, true, STAFF_GUILD_ID],
    ['a guild that it trusts', TRUSTED_GUILD, true, TRUSTED_GUILD],
    ['another guild', OTHER, true, null],
    ['a direct message', null, false, null],
    ['its own guild without the bot', STAFF_GUILD_ID, false, null],
    ['a trusted guild without the bot', TRUSTED_GUILD, false, null],
  ])('is decided on in %s alike', async (_, guildId, botInside, trusted) => {
    expect(trustedGuildOf({ guildId, botInside })).toBe(trusted);
    expect(galleryGuildOf({ guildId, botInside })).toBe(trusted ?? STAFF_GUILD_ID);
    const manages = (id: string) =>
      mustManageTokens({ actor: actor({ id, guildId, managesGuild: true }), botInside }).then(
        () => true,
        () => false,
      );
    expect([await manages(snowflake()), await manages(STAFF_ID)]).toEqual([trusted !== null, true]);
  });
});
