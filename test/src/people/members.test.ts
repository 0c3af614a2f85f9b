/** Who somebody is in a guild, as the local Discord says it over REST. */
import { PermissionFlagsBits as P } from 'discord-api-types/v10';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { type Sandbox, startSandbox } from '#infra/local/discord/sandbox.ts';
import { PEOPLE, STAFF } from '#infra/local/discord/world.ts';
import { actor } from '#test/support/requests.ts';

const TOKEN = 'local.a-token-of-thirty-characters-or-more';
let sandbox: Sandbox;
let members: typeof import('#src/people/members.ts');
const asked: string[] = [];

beforeAll(async () => {
  sandbox = await startSandbox({
    token: TOKEN,
    applicationId: '1100000000000000001',
    check: 'openapi',
    crowd: { people: 1, guilds: 12 },
    onRequest: (route) => void asked.push(route),
  });
  Object.assign(process.env, STAFF, { DISCORD_TOKEN: TOKEN, DISCORD_API_URL: sandbox.apiUrl });
  members = await import('#src/people/members.ts');
});
afterAll(async () => {
  await sandbox?.close();
  expect(sandbox?.violations).toEqual([]);
});
beforeEach(() => {
  asked.length = 0;
});

/** A guild that was not asked for yet: what is known of one counts for a while. */
let last = 2;
const guild = () => sandbox.state.world.guilds[++last]!;
const roleIn = ({ roles }: ReturnType<typeof guild>, called: string) =>
  roles.find(({ name }) => name === called)!;
const person = () => actor({ id: PEOPLE.other.id, guildId: '1', roleIds: ['2'], managesGuild: true });
const managed = async (guildId: string, who = person()) => (await members.actorAt(who, guildId)).managesGuild;

describe('somebody in a guild', () => {
  it('has their roles there, and nothing of elsewhere', async () => {
    const here = guild();
    const role = roleIn(here, 'Moderators').id;
    here.members.get(PEOPLE.other.id)!.push(role);
    expect(await members.actorAt(person(), here.id)).toEqual({
      ...person(),
      guildId: here.id,
      roleIds: [role],
      managesGuild: false,
    });
    here.members.get(PEOPLE.other.id)!.splice(0);
    expect(await members.actorAt(person(), here.id)).toMatchObject({ roleIds: [] });
    expect(await members.actorAt(person(), null)).toMatchObject({
      guildId: null,
      roleIds: [],
      managesGuild: false,
    });
  });

  it.each([
    ['a role that may Manage Server', 'Moderators', P.ManageGuild, true],
    ['a role of administrators', 'Moderators', P.Administrator, true],
    ['everybody', '@everyone', P.ManageGuild, true],
    ['a role that they have not', 'Operators', P.ManageGuild, false],
    ['a role that may other things', 'Moderators', P.ManageRoles | P.ManageChannels, false],
  ])('manages it by %s: %s', async (_, name, bits, manages) => {
    const here = guild();
    here.members.get(PEOPLE.other.id)!.push(roleIn(here, 'Moderators').id);
    roleIn(here, name).permissions = String(bits);
    expect(await managed(here.id)).toBe(manages);
  });

  it('manages it as its owner', async () => {
    const here = guild();
    expect(await managed(here.id, actor({ id: here.ownerId }))).toBe(true);
  });

  it('has nothing while they are timed out, unless they are above that', async () => {
    const here = guild();
    const own = here.members.get(PEOPLE.other.id)!;
    own.push(roleIn(here, 'Operators').id);
    here.timeouts.set(PEOPLE.other.id, new Date(Date.now() + 60_000));
    expect(await members.actorAt(person(), here.id)).toMatchObject({ roleIds: [], managesGuild: false });
    const above = guild();
    above.members.get(PEOPLE.other.id)!.push(roleIn(above, 'Operators').id);
    roleIn(above, 'Operators').permissions = String(P.Administrator);
    above.timeouts.set(PEOPLE.other.id, new Date(Date.now() + 60_000));
    expect(await managed(above.id)).toBe(true);
    here.timeouts.set(PEOPLE.other.id, new Date(Date.now() - 1));
    expect(await managed(here.id)).toBe(true);
  });

  it('is nobody where they or the bot are no members', async () => {
    const here = guild();
    const [, , annex] = sandbox.state.world.guilds;
    for (const [guildId, id] of [
      [here.id, '99'],
      [here.id, '1100000000000000009'],
      [annex.id, PEOPLE.other.id],
      ['99', PEOPLE.other.id],
    ] as const)
      expect(await members.actorAt(actor({ id }), guildId)).toMatchObject({
        roleIds: [],
        managesGuild: false,
      });
    expect([await members.guildName(annex.id), await members.guildName(here.id)]).toEqual([null, here.name]);
    expect([await members.personName('99'), await members.personName(PEOPLE.other.id)]).toEqual([
      null,
      'Another member',
    ]);
  });

  it('is asked for each time, the guild once in a while; staff and guests never', async () => {
    const here = guild();
    for (let n = 0; n < 3; n++) await members.actorAt(person(), here.id);
    const member = 'GET /guilds/{guild_id}/members/{user_id}';
    expect(asked).toEqual([member, 'GET /guilds/{guild_id}', member, member]);
    await members.actorAt(actor({ id: PEOPLE.operator.id }), here.id);
    await members.actorAt(actor({ id: 'guest:1' }), here.id);
    expect(asked).toHaveLength(4);
  });

  it('is not known while Discord does not answer; that is not kept', async () => {
    const here = guild();
    sandbox.misbehave({ serverError: { next: 2, when: 'before', route: '/members/' } });
    await expect(members.actorAt(person(), here.id)).rejects.toThrow();
    sandbox.misbehave({ serverError: { next: 2, when: 'before', route: 'GET /guilds/{guild_id}' } });
    await expect(members.actorAt(person(), here.id)).rejects.toThrow();
    expect(await managed(here.id)).toBe(false);
  });
});
