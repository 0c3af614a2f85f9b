/** The web service as a process: a thousand who look on, and how it ends while it is at work. */
import { type ChildProcess, fork } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { request } from 'node:http';
import { connect } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { freePort } from '#infra/local/free-port.ts';
import { openBatch } from '#src/batches/batches.ts';
import { db } from '#src/doors/db.ts';
import { openGuest, originOf, visitorOf } from '#src/people/sessions.ts';
import { takenBy } from '#test/bench/process-tree.ts';
import { largePng } from '#test/support/large-png.ts';
import { scrape } from '#test/support/prometheus.ts';
import { cell, request as wanted } from '#test/support/requests.ts';
import { finish } from './visitors.ts';

const PEOPLE = 50;
/** As many as one person may have. */
const STREAMS = 20;

let child: ChildProcess;
let url: string;
let metricsPort: number;
let exited: Promise<unknown[]>;

beforeAll(async () => {
  metricsPort = await freePort();
  child = fork('src/main.ts', ['web'], {
    env: {
      ...process.env,
      WEB_PORT: '0',
      METRICS_PORT: String(metricsPort),
      WEB_PROXIES: '1',
      LOG_LEVEL: 'error',
    },
    stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
  });
  exited = once(child, 'exit');
  const [message] = (await once(child, 'message')) as [{ url: string }];
  ({ url } = message);
});
afterAll(() => void child?.kill('SIGKILL'));

interface Person {
  readonly cookie: string;
  readonly address: string;
  /** of a batch that waits */
  readonly id: string;
}
async function person(number: number): Promise<Person> {
  const token = await openGuest(`network ${number}`);
  const { id } = await openBatch(
    originOf((await visitorOf(token))!, 'form'),
    wanted([cell({ prompt: `looked at ${number}` }, { steps: 10 })], { tier: 'relax' }),
  );
  return { cookie: `session=${token}`, address: `203.0.113.${number}`, id };
}

interface Stream {
  readonly status: number | undefined;
  text: string;
  isOver: boolean;
}
function look({ cookie, address, id }: Person): Promise<Stream> {
  return new Promise((opened, fail) => {
    const headers = { cookie, 'x-forwarded-for': address };
    request(`${url}/draw/${id}/events`, { headers, agent: false }, (response) => {
      const stream: Stream = { status: response.statusCode, text: '', isOver: false };
      response.on('data', (data: Buffer) => {
        stream.text += data.toString();
      });
      response.on('error', () => {});
      response.on('close', () => {
        stream.isOver = true;
      });
      opened(stream);
    })
      .on('error', fail)
      .end();
  });
}

/** Takes a large answer in, a piece at a time. */
async function takeSlowly(path: string, { cookie }: Person): Promise<{ bytes: number; length: number }> {
  return new Promise((done, fail) => {
    request(url + path, { headers: { cookie }, agent: false }, async (response) => {
      let bytes = 0;
      try {
        for await (const part of response) {
          bytes += (part as Buffer).length;
          await sleep(5);
        }
        done({ bytes, length: Number(response.headers['content-length']) });
      } catch (error) {
        fail(error);
      }
    })
      .on('error', fail)
      .end();
  });
}

it('tells its metrics to those who run it, on a port of their own, and to nobody else', async () => {
  expect((await scrape(metricsPort)).values('atelier_service_info', { service: 'web' })).toEqual([1]);
  for (const path of ['/', '/draw', '/operators'])
    expect((await fetch(`http://127.0.0.1:${metricsPort}${path}`)).status).toBe(404);
  for (const path of ['/metrics', '/metrics/', '//metrics', '/Metrics', '/%6detrics'])
    expect([path, (await fetch(url + path)).status]).toEqual([path, 404]);
  for (const path of ['/healthz', '/readyz']) expect((await fetch(url + path)).status).toBe(200);
});

it('serves a thousand who look on beside everybody else, and ends in order while it is at work', async () => {
  const people: Person[] = [];
  for (let i = 0; i < PEOPLE; i++) people.push(await person(i));
  await fetch(url);
  const before = takenBy(child.pid!).mib;
  const streams: Stream[] = [];
  for (const one of people)
    streams.push(...(await Promise.all(Array.from({ length: STREAMS }, () => look(one)))));
  expect(new Set(streams.map(({ status }) => status))).toEqual(new Set([200]));
  const more = await look(people[0]!);
  await expect.poll(() => more.isOver).toBe(true);
  expect([more.status, more.text]).toEqual([503, 'Too many look on.']);
  await expect
    .poll(() => streams.every(({ text }) => text.includes('event: parts')), { timeout: 15_000 })
    .toBe(true);
  expect((await fetch(`${url}/about`)).status).toBe(200);
  expect(takenBy(child.pid!).mib - before).toBeLessThan(150);

  // Under way: a picture of megabytes, and a form of which half has come.
  const png = await largePng();
  const [me, other] = [people[1]!, people[2]!];
  const picture = await finish(me.id, { png });
  const download = takeSlowly(`/draw/pictures/${picture}/full.png`, me);
  const body = String(
    new URLSearchParams({ form: randomUUID(), prompt: 'half a form', steps: '10', tier: 'relax' }),
  );
  const socket = connect(Number(new URL(url).port), '127.0.0.1');
  let answer = '';
  socket.on('data', (part) => {
    answer += part.toString('latin1');
  });
  const formEnded = once(socket, 'close');
  socket.write(
    `POST /draw HTTP/1.1\r\nHost: x\r\nOrigin: ${url}\r\nCookie: ${other.cookie}\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: ${body.length}\r\n\r\n${body.slice(0, 10)}`,
  );
  await sleep(200);

  child.kill('SIGTERM');
  // Whoever sends visitors here hears of it first; whoever is here already, or comes now, is served.
  const ready = async () => {
    const response = await fetch(`${url}/readyz`, { headers: { connection: 'close' } });
    return [response.status, ((await response.json()) as { ok: boolean }).ok];
  };
  await expect.poll(ready).toEqual([503, false]);
  const page = await fetch(`${url}/about`);
  expect([page.status, page.headers.get('connection')]).toEqual([200, 'close']);
  // Those of the picture that was drawn have ended.
  const waiting = streams.slice(STREAMS * 2);
  expect(waiting.some(({ isOver }) => isOver)).toBe(false);
  for (let told = 0; told < 3; told++) await ready().catch(() => {});
  await expect.poll(() => ready().catch(() => 'nobody'), { timeout: 10_000 }).toBe('nobody');

  // Streams end, and say when to come again: not all at once.
  await expect.poll(() => streams.every(({ isOver }) => isOver), { timeout: 10_000 }).toBe(true);
  const hints = waiting.map(({ text }) => Number(/retry: (\d+)\n\n$/.exec(text)?.[1]));
  expect(Math.min(...hints)).toBeGreaterThanOrEqual(1_000);
  expect(new Set(hints).size).toBeGreaterThan(100);
  socket.write(body.slice(10));
  await formEnded;
  expect(answer).toMatch(/^HTTP\/1\.1 303 [\s\S]*\r\nlocation: \/draw\/[0-9a-f-]{36}\r\n/);
  expect(await db.generation.count({ where: { prompt: 'half a form' } })).toBe(1);
  const { bytes, length } = await download;
  expect([bytes, bytes > 5_000_000]).toEqual([length, true]);
  expect(await exited).toEqual([0, null]);
}, 60_000);
