/** The platform's own people, its guild, and a guild that they trust, as every test's environment names them. */
export const STAFF_ID = '1190000000000000001';
export const STAFF_GUILD_ID = '1190000000000000002';
export const TRUSTED_GUILD = '1190000000000000003';
