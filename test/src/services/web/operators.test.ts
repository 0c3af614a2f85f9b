/** The pages of the platform's own people over real HTTP: who sees what, and what it says. */
import { statfs } from 'node:fs/promises';
import { PermissionFlagsBits } from 'discord-api-types/v10';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { PEOPLE, type PersonName, STAFF } from '#infra/local/discord/world.ts';
import { findChromium, openBrowser } from '#test/support/browser.ts';
import { jar, startWebWithDiscord, visitors, type WebWithDiscord } from './visitors.ts';

// Before anything of ours is imported: the local Discord's first guild is the platform's own.
Object.assign(process.env, STAFF, { DISCORD_TOKEN: 'local.a-token-of-thirty-characters-or-more' });

let web: WebWithDiscord;
let db: typeof import('#src/doors/db.ts').db;

beforeAll(async () => {
  web = await startWebWithDiscord();
  ({ db } = await import('#src/doors/db.ts'));
  // Here the one counts by what `/guild operators` says of it alone, and the other by what it may do.
  const [{ roles }] = web.sandbox.state.world.guilds;
  roles.find(({ name }) => name === 'Operators')!.permissions = '0';
  roles.find(({ name }) => name === 'Moderators')!.permissions = String(PermissionFlagsBits.ManageGuild);
  const { makeDay, makeFleet } = await import('./operators.ts');
  await makeDay();
  await makeFleet();
});
afterAll(() => web?.close());

const as = visitors(() => web.url);
const told = async (response: Response) => [
  response.status,
  (await response.text()).match(/<h1[^>]*>(.*?)<\/h1>/)?.[1],
];

/** Gives the moderator and the other member a role of the platform's own guild. @returns takes it away from one of them */
async function appoint(person: PersonName, as: 'operatorRoleIds' | 'moderatorRoleIds'): Promise<() => void> {
  const [{ id, members, roles }] = web.sandbox.state.world.guilds;
  const role = roles.find(({ name }) => name === (as === 'operatorRoleIds' ? 'Operators' : 'Moderators'))!.id;
  await db.guildSettings.upsert({ where: { id }, create: { id, [as]: [role] }, update: { [as]: [role] } });
  const own = members.get(PEOPLE[person].id)!;
  if (!own.includes(role)) own.push(role);
  return () => void own.splice(own.indexOf(role), 1);
}

describe('the state of the system', () => {
  it('is for operators: nobody else learns anything', async () => {
    expect(await told(await jar(web.url).get('/operators'))).toEqual([403, 'Sign in first']);
    expect(await told(await (await as('member')).get('/operators'))).toEqual([403, 'Not for you']);
    const page = await (await as('operator')).get('/operators');
    expect(page.status).toBe(200);
    expect(page.headers.get('cache-control')).toBe('no-store');
    expect(page.headers.get('content-security-policy')).not.toContain('unsafe');
  });

  it('is for whoever has the role in the platform’s own guild, until it is taken away', async () => {
    const visitor = await as('other');
    const dismiss = await appoint('other', 'operatorRoleIds');
    expect((await visitor.get('/operators')).status).toBe(200);
    dismiss();
    expect((await visitor.get('/operators')).status).toBe(403);
    const dismissAgain = await appoint('other', 'operatorRoleIds');
    expect((await visitor.get('/operators')).status).toBe(200);
    await db.guildSettings.updateMany({ data: { operatorRoleIds: [] } });
    expect((await visitor.get('/operators')).status).toBe(403);
    dismissAgain();
  });

  it('is for whoever may Manage Server there, as in Discord', async () => {
    const visitor = await as('other');
    const [{ members, roles }, elsewhere] = web.sandbox.state.world.guilds;
    const own = members.get(PEOPLE.other.id)!;
    own.push(roles.find(({ name }) => name === 'Moderators')!.id);
    expect((await visitor.get('/operators')).status).toBe(200);
    own.splice(0);
    elsewhere.members
      .get(PEOPLE.other.id)!
      .push(elsewhere.roles.find(({ name }) => name === 'Operators')!.id);
    expect((await visitor.get('/operators')).status).toBe(403);
  });

  it('tells what waits, who draws, what failed, and the day by the hour', async () => {
    const page = await (await (await as('operator')).get('/operators')).text();
    const rows = page.replaceAll(/<\/t[dh]>/g, ' | ').replaceAll(/<[^>]+>/g, '');
    expect(rows).toMatch(/turbo \| reference \| 12 \| 4 \| \d+ s/);
    expect(rows).toMatch(
      /worker-3-\w+ \| reference \| aside: storage is full \| 43 ms a step \| 1\.9 GiB \| 1\.5 of 4\.0 GiB/,
    );
    expect(rows).toMatch(/memory_short It needs more memory than our machines have\. \| \d+/);
    expect(page.match(/<th scope="row" data-value="\d+">\d\d:00<\/th>/g)).toHaveLength(24);
    expect(page).not.toContain('secret');

    const ended = await db.generation.findMany({ where: { state: { in: ['done', 'failed'] } } });
    const drawn = [...page.matchAll(/<tr><th scope="row" data-value="(\d+)">.*?<\/tr>/g)].map(
      ([row, from]) => ({
        from: Number(from) * 1_000,
        values: [...row.matchAll(/data-value="([^"]*)"/g)].slice(1).map(([, value]) => Number(value)),
      }),
    );
    let failed = 0;
    for (const { from, values } of drawn.slice(0, 20)) {
      const all = ended.filter(
        ({ endedAt }) => endedAt!.getTime() >= from && endedAt!.getTime() < from + 3_600_000,
      );
      const own = all.filter(({ state }) => state === 'done');
      expect(values[5]).toBe(all.length - own.length);
      failed += values[5]!;
      const [turbo, fast, relax, half, most] = values;
      expect([turbo, fast, relax]).toEqual(
        ['turbo', 'fast', 'relax'].map((name) => own.filter(({ tier }) => tier === name).length),
      );
      expect(values[6]).toBe(own.reduce((sum, { price }) => sum + price, 0));
      const waits = own.map(({ startedAt, queuedAt }) => (startedAt!.getTime() - queuedAt.getTime()) / 1_000);
      const sorted = waits.sort((a, b) => a - b);
      const at = (share: number) => {
        const place = share * (sorted.length - 1);
        const [low, high] = [sorted[Math.floor(place)]!, sorted[Math.ceil(place)]!];
        return low + (high - low) * (place % 1);
      };
      expect(half).toBeCloseTo(at(0.5), 0);
      expect(most).toBeCloseTo(at(0.9), 0);
    }
    expect(failed).toBeGreaterThan(0);
  });

  it('tells where files are, how much still fits, and which messages are due', async () => {
    const [{ putFile, storageState }, { config }, { systemState }, { systemPage }] = await Promise.all([
      import('#src/doors/storage.ts'),
      import('#config/env.ts'),
      import('#src/services/web/operators/state.ts'),
      import('#src/services/web/operators/system-page.ts'),
    ]);
    await putFile('tests/a/file.bin', Buffer.from('x'));
    const state = { ...(await systemState()), storage: await storageState() };
    const { bavail, bsize } = await statfs(config.dataDir);
    const text = (changes: Partial<typeof state> = {}) =>
      systemPage({ ...state, ...changes }, { moderates: false })
        .html.replaceAll(/<[^>]+>/g, ' ')
        .replaceAll(/\s+/g, ' ');
    const [, free] = / Free (\d+\.\d) GiB /.exec(text()) ?? [];
    // Others write to that disk as well.
    expect(Math.abs(Number(free) - (bavail * bsize) / 2 ** 30)).toBeLessThan(2);
    expect(text()).toContain(` Where ${config.dataDir}`);
    expect(text({ storage: { name: 'the bucket b', answers: true, free: null } })).not.toContain(' Free ');
    expect(text({ storage: { name: 'b', answers: false, free: null } })).toContain('does not answer');

    const due = (count: number, ago: number | null) =>
      / Messages due (.*?) Reviews /.exec(
        text({
          due: { count, since: ago === null ? null : new Date(state.readAt.getTime() - ago) },
        }),
      )?.[1];
    expect(due(0, null)).toBe('0 none due');
    expect(due(3, null)).toBe('3 none due yet');
    expect(due(3, 120_000)).toBe('3 oldest 2 min');
  });

  it.skipIf(!findChromium()).each([
    ['a phone', 375, 'light'],
    ['a desktop', 1440, 'dark'],
  ] as const)(
    'draws the day on %s, with nothing beside the page and no complaint',
    async (_, width, colorScheme) => {
      const { cookies } = await as('operator');
      const browser = await openBrowser();
      try {
        const context = await browser.newContext({ viewport: { width, height: 900 }, colorScheme });
        await context.addCookies([...cookies].map(([name, value]) => ({ name, value, url: web.url })));
        const page = await context.newPage();
        const faults: string[] = [];
        page.on('console', (message) => faults.push(message.text()));
        page.on('pageerror', (error) => faults.push(String(error)));
        await page.goto(`${web.url}/operators`);
        await vi.waitFor(
          async () =>
            expect(await page.evaluate('document.querySelectorAll(".chart canvas").length === 4')).toBe(true),
          { timeout: 10_000 },
        );
        expect(await page.evaluate('document.documentElement.scrollWidth')).toBe(width);
        expect(faults).toEqual([]);
      } finally {
        await browser.close();
      }
    },
  );
});
