import { describe, expect, it } from 'vitest';
import { guests, tokenGrants } from '#config/tiers.ts';
import { openBatch } from '#src/batches/batches.ts';
import { endBatch } from '#src/batches/ending.ts';
import { db } from '#src/doors/db.ts';
import type { UserError } from '#src/errors.ts';
import { linkGuest } from '#src/people/linking.ts';
import { admitGuest, isGuest } from '#src/people/people.ts';
import { mustSee } from '#src/people/rights.ts';
import {
  beginSignIn,
  forgetSessions,
  openGuest,
  originOf,
  renew,
  SESSION_LIFE_MS,
  SIGN_IN_WITHIN_MS,
  signIn,
  signOut,
  signOutEverywhere,
  takeSignIn,
  type Visitor,
  visitorOf,
} from '#src/people/sessions.ts';
import { tokensLeft } from '#src/people/tokens.ts';
import { cell, request, snowflake } from '#test/support/requests.ts';

const DAY_MS = 24 * 60 * 60_000;
const person = (id = snowflake()) => ({ id, name: 'Somebody', locale: 'en-US' });
let addresses = 0;
const address = () => `address ${addresses++}`;
const balance = async (id: string) => {
  const { tokens } = await db.user.findUniqueOrThrow({ where: { id } });
  const { _sum } = await db.tokenEntry.aggregate({ where: { userId: id }, _sum: { amount: true } });
  expect(tokens).toBe(_sum.amount ?? 0);
  return tokens;
};
const visitor = async (token: string): Promise<Visitor> => (await visitorOf(token))!;

describe('a session', () => {
  it('is known by its token, of which Postgres has the hash alone', async () => {
    const { id } = person();
    const token = await signIn(person(id), undefined);
    expect(await visitorOf(token)).toMatchObject({
      userId: id,
      isGuest: false,
      name: 'Somebody',
      isDue: false,
    });
    const rows = JSON.stringify(await db.session.findMany({ where: { userId: id } }));
    expect(rows).not.toContain(token);
  });

  it.each(['', 'x', 'A'.repeat(43), `${'A'.repeat(42)}'`])('is nobody’s by %j', async (forged) => {
    expect(await visitorOf(forged)).toBeNull();
  });

  it('ends a week after its token was last changed, and is deleted', async () => {
    const token = await signIn(person(), undefined);
    const { sessionId } = await visitor(token);
    const late = new Date(Date.now() + SESSION_LIFE_MS + 1_000);
    expect(await visitorOf(token, late)).toBeNull();
    expect(await renew(token, late)).toBeNull();
    await forgetSessions(late);
    expect(await db.session.findUnique({ where: { id: sessionId } })).toBeNull();
  });

  it('gets a new token a day, once of many requests; the old one is good for a minute more', async () => {
    const token = await signIn(person(), undefined);
    expect(await renew(token)).toBeNull();
    const tomorrow = new Date(Date.now() + DAY_MS + 1_000);
    expect(await visitorOf(token, tomorrow)).toMatchObject({ isDue: true });
    const changed = (await Promise.all(Array.from({ length: 20 }, () => renew(token, tomorrow)))).filter(
      Boolean,
    );
    expect(changed).toHaveLength(1);
    const [next] = changed;
    const soon = new Date(tomorrow.getTime() + 30_000);
    expect(await visitorOf(token, soon)).toMatchObject({ isDue: false });
    expect(await visitorOf(next!, soon)).not.toBeNull();
    const later = new Date(tomorrow.getTime() + 61_000);
    expect(await visitorOf(token, later)).toBeNull();
    expect(await visitorOf(next!, new Date(tomorrow.getTime() + 6.9 * DAY_MS))).not.toBeNull();
  });

  it('has a new token after each sign-in, and the one before is good no more', async () => {
    const { id } = person();
    const first = await signIn(person(id), undefined);
    const second = await signIn(person(id), first);
    expect(second).not.toBe(first);
    expect(await visitorOf(first)).toBeNull();
    expect(await visitorOf(second)).not.toBeNull();
  });

  it('is signed out here, or everywhere', async () => {
    const { id } = person();
    const [a, b, c] = [
      await signIn(person(id), undefined),
      await signIn(person(id), undefined),
      await signIn(person(), undefined),
    ];
    await signOut(await visitor(a));
    expect(await visitorOf(a)).toBeNull();
    expect(await visitorOf(b)).not.toBeNull();
    const d = await signIn(person(id), undefined);
    expect(await signOutEverywhere(await visitor(b))).toBe(2);
    expect([await visitorOf(b), await visitorOf(d)]).toEqual([null, null]);
    expect(await visitorOf(c)).not.toBeNull();
  });
});

describe('a sign-in', () => {
  it('is taken back once, of a hundred that try', async () => {
    await beginSignIn('once', '/draw');
    const taken = await Promise.all(Array.from({ length: 100 }, () => takeSignIn('once')));
    expect(taken.filter((to) => to !== null)).toEqual(['/draw']);
  });

  it('is not taken when it never was, or is too old', async () => {
    expect(await takeSignIn('never')).toBeNull();
    await beginSignIn('old', '/draw');
    expect(await takeSignIn('old', new Date(Date.now() + SIGN_IN_WITHIN_MS))).toBeNull();
    expect(await takeSignIn('old')).toBeNull();
  });
});

describe('guests', () => {
  it('have a few tokens, once', async () => {
    const guest = await visitor(await openGuest(address()));
    expect(isGuest(guest.userId)).toBe(true);
    expect(await balance(guest.userId)).toBe(guests.tokens);
    expect(await tokensLeft(originOf(guest, 'x').actor)).toBe(guests.tokens);
    const opened = openBatch(
      originOf(guest, 'many'),
      request(Array.from({ length: 9 }, (_, seed) => cell({ seed }))),
    );
    await expect(opened).rejects.toMatchObject({ code: 'tokens_short' });
    expect(await balance(guest.userId)).toBe(guests.tokens);
  });

  it('are bounded for each address, however many come at once', async () => {
    const from = address();
    const came = await Promise.allSettled(Array.from({ length: 20 }, () => admitGuest(from)));
    expect(came.filter(({ status }) => status === 'fulfilled')).toHaveLength(guests.perAddress);
    for (const one of came)
      if (one.status === 'rejected') expect((one.reason as UserError).code).toBe('guests_many');
    await admitGuest(address());
  });

  it('are no persons to link to, and persons no guests', async () => {
    const guest = await admitGuest(address());
    await expect(linkGuest(snowflake(), snowflake())).rejects.toThrow('Only a guest');
    await expect(linkGuest(guest, guest)).rejects.toThrow('Only a guest');
  });
});

describe('a guest who signs in', () => {
  it('takes tokens and pictures along, those that wait among their own', async () => {
    const token = await openGuest(address());
    const guest = await visitor(token);
    const asked = request([cell({ prompt: 'a guest’s' }, { steps: 10 })], { tier: 'relax' });
    const batch = await openBatch(originOf(guest, 'one'), asked);
    const row = await db.batch.findUniqueOrThrow({ where: { id: batch.id } });
    expect(row).toMatchObject({ channelId: null, guildId: null, ownerId: guest.userId });
    expect(await db.delivery.count({ where: { batchId: batch.id } })).toBe(0);
    const me = person();
    const signedIn = await signIn(me, token);
    expect(await visitorOf(token)).toBeNull();
    expect(await visitorOf(signedIn)).toMatchObject({ userId: me.id });
    expect(await balance(guest.userId)).toBe(0);
    expect(await balance(me.id)).toBe(tokenGrants.welcome + guests.tokens - batch.charged);
    expect(await db.batch.count({ where: { ownerId: me.id } })).toBe(1);
    expect(await db.generation.count({ where: { userId: me.id } })).toBe(1);
    const flows = await db.flow.findMany({ where: { userId: { in: [guest.userId, me.id] } } });
    expect(flows.map(({ userId, waiting }) => [userId, waiting]).sort()).toEqual(
      [
        [me.id, 1],
        [guest.userId, 0],
      ].sort(),
    );
    // What was not drawn is given back to whom it belongs now.
    await endBatch(batch.id, 'cancelled');
    expect(await balance(me.id)).toBe(tokenGrants.welcome + guests.tokens);
    expect(await db.flow.aggregate({ where: { userId: me.id }, _sum: { waiting: true } })).toMatchObject({
      _sum: { waiting: 0 },
    });
  });

  it('moves them once, of a hundred at once, and to one person of several', async () => {
    const guest = await admitGuest(address());
    const people = Array.from({ length: 4 }, () => person());
    for (const one of people) await signIn(one, undefined);
    const moved = await Promise.all(
      Array.from({ length: 100 }, (_, i) => linkGuest(guest, people[i % 4]!.id)),
    );
    expect(moved.filter((tokens) => tokens !== null)).toEqual([guests.tokens]);
    expect(await balance(guest)).toBe(0);
    const sums = await Promise.all(people.map(({ id }) => balance(id)));
    expect(sums.sort()).toEqual(
      [...Array(3).fill(tokenGrants.welcome), tokenGrants.welcome + guests.tokens].sort(),
    );
    const audited = await db.auditEvent.count({ where: { action: 'guest.link', subject: `user:${guest}` } });
    expect(audited).toBe(1);
  });

  it('loses nothing while pictures are asked for and cancelled beside it', async () => {
    const token = await openGuest(address());
    const guest = await visitor(token);
    const me = person();
    await signIn(me, undefined);
    const ask = (seed: number) =>
      openBatch(
        originOf(guest, `beside ${seed}`),
        request([cell({ seed, prompt: 'beside' }, { steps: 10 })], { tier: 'relax' }),
      );
    const [first, second] = [await ask(1), await ask(2)];
    const [moved, ...ended] = await Promise.allSettled([
      linkGuest(guest.userId, me.id),
      endBatch(first.id, 'cancelled'),
      ask(3),
      endBatch(second.id, 'cancelled'),
    ]);
    expect(moved.status).toBe('fulfilled');
    for (const one of ended)
      if (one.status === 'rejected') expect((one.reason as UserError).code).toBe('tokens_short');
    for (const { id } of await db.batch.findMany({ where: { ownerId: { in: [guest.userId, me.id] } } }))
      await endBatch(id, 'cancelled');
    expect((await balance(guest.userId)) + (await balance(me.id))).toBe(tokenGrants.welcome + guests.tokens);
    expect(
      await db.flow.aggregate({ where: { userId: { in: [guest.userId, me.id] } }, _sum: { waiting: true } }),
    ).toMatchObject({
      _sum: { waiting: 0 },
    });
  });

  it('is blocked as the guest was', async () => {
    const guest = await admitGuest(address());
    const until = new Date(Date.now() + DAY_MS);
    await db.user.update({ where: { id: guest }, data: { strikes: 2, blockedUntil: until } });
    const me = person();
    await signIn(me, undefined);
    await linkGuest(guest, me.id);
    expect(await db.user.findUniqueOrThrow({ where: { id: me.id } })).toMatchObject({
      strikes: 2,
      blockedUntil: until,
    });
  });
});

it('what was asked for on the web is no more to be seen by others there than anywhere', async () => {
  const [a, b] = [
    await visitor(await signIn(person(), undefined)),
    await visitor(await signIn(person(), undefined)),
  ];
  const { id } = await openBatch(originOf(a, 'seen'), request([cell({ prompt: 'seen' })]));
  const batch = await db.batch.findUniqueOrThrow({ where: { id } });
  await mustSee(originOf(a, 'x'), batch);
  // Both have no channel, which is not the same one.
  await expect(mustSee(originOf(b, 'x'), batch)).rejects.toMatchObject({ code: 'gone' });
});

it('the same form sent twice makes one batch, and another’s of the same name another', async () => {
  const [a, b] = [
    await visitor(await signIn(person(), undefined)),
    await visitor(await signIn(person(), undefined)),
  ];
  const asked = request([cell({ prompt: 'twice' })]);
  const [first, again, other] = [
    await openBatch(originOf(a, 'form'), asked),
    await openBatch(originOf(a, 'form'), asked),
    await openBatch(originOf(b, 'form'), asked),
  ];
  expect(again.id).toBe(first.id);
  expect(other.id).not.toBe(first.id);
});
