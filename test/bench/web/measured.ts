/** The process that measures: it has the environment of its Postgres from the beginning, and tells its parent the goals. */
import { request } from 'node:http';
import { cpus } from 'node:os';
import { setTimeout as sleep } from 'node:timers/promises';
import { z } from 'zod';
import { freePort } from '#infra/local/free-port.ts';
import { type ServiceProcess, serviceProcess } from '#infra/local/processes.ts';
import { closeDb, db } from '#src/doors/db.ts';
import { unpublishImage } from '#src/publishing.ts';
import { actor } from '#test/support/requests.ts';
import { MAKER, publishMany } from '../gallery-pictures.ts';
import { goFirst } from '../go-first.ts';
import { type Goal, median, say } from '../goal.ts';
import { takenBy } from '../process-tree.ts';
import { phone } from './phone.ts';
import { type Answer, type Asked, type Load, Loaded, Part } from './protocol.ts';

const SIZES = [10, 5_600];
/** Short ones, and many: whatever else the machine does then meets both of a pair. */
const ROUNDS = 15;
const ROUND_SECONDS = 1;
const REMOVALS = 5;
const CONNECTIONS = 16;
const MINUTES = Number(process.env.WEB_MINUTES ?? 1);
/** Of the watch, before it counts: caches fill, and the heap finds its size. */
const WARMING = 0.25;
const SAMPLE_MS = 1_000;
/** Pages of the whole wall that are asked for beside the first; pictures of a page. */
const DEEP_PAGES = 40;
/** As a browser of today says it. */
const PAGE = { 'accept-encoding': 'gzip, deflate, br, zstd', accept: 'text/html' };
const PICTURE = { accept: 'image/avif,image/webp,*/*' };
/** Requests a second to each process while a picture is taken down. */
const STEADY_RATE = 300;
/** As phones ask for them. */
const WIDTH = 'dense';

interface Web {
  readonly url: string;
  readonly service: ServiceProcess;
}

async function startWeb(): Promise<Web> {
  const port = await freePort();
  const service = serviceProcess(['web'], {
    env: { WEB_PORT: String(port), METRICS_PORT: '0' },
    onLine: (line) => process.stderr.write(`${line}\n`),
    print: () => {},
  });
  await service.start();
  return { url: `http://127.0.0.1:${port}`, service };
}

interface Fetched {
  readonly status: number;
  /** as they came: name, value, name, value … */
  readonly headers: string[];
  readonly body: Buffer;
}

/** As it is on the line, without undoing any coding. */
function fetchRaw(url: string, { path, headers }: Asked): Promise<Fetched> {
  return new Promise((done, fail) => {
    request(new URL(path, url), { headers, agent: false }, (response) => {
      const parts: Buffer[] = [];
      response.on('data', (part: Buffer) => parts.push(part));
      response.on('error', fail);
      response.on('end', () =>
        done({ status: response.statusCode ?? 0, headers: response.rawHeaders, body: Buffer.concat(parts) }),
      );
    })
      .on('error', fail)
      .end();
  });
}

/** Node writes these itself. */
const ITS_OWN = ['date', 'connection', 'keep-alive', 'transfer-encoding'];

function ownHeaders(headers: readonly string[]): string[] {
  const pairs = headers.flatMap((name, i) => (i % 2 ? [] : [[name, headers[i + 1] ?? '']]));
  return pairs.filter(([name = '']) => !ITS_OWN.includes(name.toLowerCase())).flat();
}

const headerOf = ({ headers }: Fetched, name: string) => headers[headers.indexOf(name) + 1] ?? '';

/** What ours answers, whole and as 304. */
async function answerOf(url: string, asked: Asked): Promise<Answer> {
  const whole = await fetchRaw(url, asked);
  const etag = headerOf(whole, 'etag');
  const short = await fetchRaw(url, known(asked, etag));
  if (whole.status !== 200 || short.status !== 304 || short.body.length)
    throw new Error(`${asked.path} is answered with ${whole.status} and ${short.status}.`);
  return {
    path: asked.path,
    etag,
    headers: ownHeaders(whole.headers),
    short: ownHeaders(short.headers),
    body: whole.body,
  };
}

const known = ({ path, headers }: Asked, etag: string): Asked => ({
  path,
  headers: { ...headers, 'if-none-match': etag },
});

const sum = (values: Iterable<number>) => [...values].reduce((all, one) => all + one, 0);

interface Rate {
  readonly perSecond: number;
  /** of the server's process, for one answer */
  readonly cpuMs: number;
  /** of a core, 0…1 */
  readonly busy: number;
}

async function rateOf(
  load: Part,
  pid: number,
  asked: Omit<Load, 'connections'>,
  status: number,
): Promise<Rate> {
  const before = takenBy(pid).cpuSeconds;
  const { statuses, errors, seconds } = await load.ask({ ...asked, connections: CONNECTIONS }, Loaded);
  const cpuSeconds = takenBy(pid).cpuSeconds - before;
  const answers = sum(Object.values(statuses));
  if (errors || answers !== statuses[status])
    throw new Error(
      `Not all was answered with ${status}: ${JSON.stringify(statuses)}, ${errors} not at all.`,
    );
  return {
    perSecond: answers / seconds,
    cpuMs: (cpuSeconds * 1_000) / answers,
    busy: cpuSeconds / seconds,
  };
}

/** Ours and the bare one in turns; which is first changes from round to round. */
async function compare(
  what: string,
  { ours, bare, load }: { ours: Web; bare: { url: string; pid: number }; load: Part },
  asked: readonly Asked[],
  status: number,
): Promise<{ rate: number; cpu: number }> {
  const servers = { ours: { url: ours.url, pid: ours.service.pid ?? 0 }, bare };
  const rounds: Record<keyof typeof servers, Rate[]> = { ours: [], bare: [] };
  const run = async (who: keyof typeof servers, seconds: number) => {
    const { url, pid } = servers[who];
    return rateOf(load, pid, { url, asked: [...asked], seconds }, status);
  };
  for (const who of ['bare', 'ours'] as const) await run(who, 1);
  for (let round = 0; round < ROUNDS; round++)
    for (const who of round % 2 ? (['ours', 'bare'] as const) : (['bare', 'ours'] as const))
      rounds[who].push(await run(who, ROUND_SECONDS));
  // Of each round, then the middle of them: those beside each other had the same machine.
  const ratio = (key: 'perSecond' | 'cpuMs') =>
    median(rounds.ours.map((one, i) => one[key] / (rounds.bare[i]?.[key] ?? Number.NaN)));
  const tell = (who: keyof typeof servers) => {
    const of = (key: keyof Rate) => median(rounds[who].map((one) => one[key]));
    return `${of('perSecond').toFixed(0)}/s, ${(of('cpuMs') * 1_000).toFixed(0)} µs of CPU each (${(100 * of('busy')).toFixed(0)} % of a core)`;
  };
  const told = { rate: ratio('perSecond'), cpu: ratio('cpuMs') };
  say(what, `ours ${tell('ours')}`);
  say('', `bare ${tell('bare')}; ${told.rate.toFixed(2)} of its rate, ${told.cpu.toFixed(2)} of its CPU`);
  return told;
}

async function speed(count: number, ours: Web, bare: Part, load: Part): Promise<readonly Goal[]> {
  const of = `${count.toLocaleString('en')} pictures`;
  const page: Asked = { path: '/', headers: PAGE };
  const answer = await answerOf(ours.url, page);
  const pictures = (await picturesOf(ours.url, '/')).map(({ path }) => ({ path, headers: PICTURE }));
  const answers = [answer];
  for (const picture of pictures) answers.push(await answerOf(ours.url, picture));
  const url = await bare.ask(answers, z.string());
  const sides = { ours, bare: { url, pid: bare.pid }, load };
  const kib = (bytes: number) => `${(bytes / 1_024).toFixed(1)} KiB`;
  const pictureBytes = answers.slice(1).map(({ body }) => body.length);
  say(
    of,
    `page ${kib(answer.body.length)} of br; ${pictures.length} of AVIF, ${kib(median(pictureBytes))} each`,
  );
  const whole = await compare(`page, ${of}`, sides, [page], 200);
  const picture = await compare(`picture, ${of}`, sides, pictures, 200);
  const etags = new Map(answers.map(({ path, etag }) => [path, etag]));
  const have = (asked: Asked) => known(asked, etags.get(asked.path) ?? '');
  const unchanged = await compare(`page that one has, ${of}`, sides, [have(page)], 304);
  const kept = await compare(`picture that one has, ${of}`, sides, pictures.map(have), 304);
  return [
    { name: `page's rate, ${of}`, got: whole.rate, atLeast: 0.5 },
    { name: `picture's rate, ${of}`, got: picture.rate, atLeast: 0.9 },
    { name: `picture's CPU, ${of}`, got: picture.cpu, atMost: 1.3 },
    { name: `page's 304, rate, ${of}`, got: unchanged.rate, atLeast: 0.9 },
    { name: `picture's 304, rate, ${of}`, got: kept.rate, atLeast: 0.9 },
  ];
}

/** Addresses of a page's pictures, each in one width. */
async function picturesOf(url: string, path: string): Promise<Asked[]> {
  const text = (await fetchRaw(url, { path, headers: {} })).body.toString();
  const ids = new Set([...text.matchAll(/\/img\/([0-9a-f-]{36})\/dense/g)].map(([, id]) => id));
  return [...ids].map((id) => ({ path: `/img/${id}/${WIDTH}`, headers: PICTURE }));
}

/** The wall, page after page, as its links lead. */
async function pagesOf(url: string, max: number): Promise<Asked[]> {
  const pages: Asked[] = [];
  for (let path: string | undefined = '/'; path !== undefined && pages.length < max; ) {
    pages.push({ path, headers: PAGE });
    const text: string = (await fetchRaw(url, { path, headers: {} })).body.toString();
    path = /rel="next" href="([^"]+)"/.exec(text)?.[1];
  }
  return pages;
}

/** Everything is asked for without a pause while the gallery changes every second: what is kept for too long would pile up. */
async function memory({ url, service }: Web, load: Part): Promise<readonly Goal[]> {
  const pid = service.pid ?? 0;
  const pages = await pagesOf(url, DEEP_PAGES);
  const pictures = (await Promise.all(pages.slice(0, 3).map(({ path }) => picturesOf(url, path)))).flat();
  for (const picture of pictures) await fetchRaw(url, picture); // made, whatever an encoder takes
  const asked = [...pages, ...pictures];
  const before = takenBy(pid).mib;
  const seconds = MINUTES * 60;
  let answered: Loaded | null = null;
  const loading = load.ask({ url, asked, connections: CONNECTIONS, seconds }, Loaded).then((loaded) => {
    answered = loaded;
  });
  const samples: number[] = [];
  const ids = pictures.map(({ path }) => path.split('/')[2] ?? '');
  for (let n = 0; !answered; n++) {
    samples.push(takenBy(pid).mib);
    await db.image.update({ where: { id: ids[n % ids.length] ?? '' }, data: { curatedAt: new Date() } });
    await Promise.race([loading, sleep(SAMPLE_MS)]);
  }
  await loading;
  const counted = samples.slice(Math.floor(samples.length * WARMING));
  const third = Math.floor(counted.length / 3);
  const [first, last] = [median(counted.slice(0, third)), median(counted.slice(-third))];
  const { statuses, errors } = Loaded.parse(answered);
  const all = sum(Object.values(statuses));
  say(
    `memory, ${MINUTES} min of load`,
    `${before.toFixed(0)} MiB before; ${first.toFixed(0)} in the first third, ${last.toFixed(0)} in the last, ${Math.max(...samples).toFixed(0)} at most; ${all} answers`,
  );
  return [
    { name: 'memory, last third of the first', got: last / first, atMost: 1.1 },
    { name: 'not answered under load', got: errors + all - (statuses['200'] ?? 0), atMost: 0 },
  ];
}

/** Publishes a picture and takes it down while both are asked for all the rest. */
async function removal(webs: readonly Web[], load: Part): Promise<readonly Goal[]> {
  const pages = await pagesOf(webs[0]!.url, 5);
  let ended = false;
  const loading = (async () => {
    while (!ended)
      for (const { url } of webs)
        await load.ask(
          { url, asked: pages, connections: CONNECTIONS, seconds: 1, rate: STEADY_RATE },
          Loaded,
        );
  })();
  const came: number[] = [];
  const went: number[] = [];
  for (let n = 0; n < REMOVALS; n++) {
    const [id = ''] = await publishMany(1);
    const published = performance.now();
    await Promise.all(webs.map((one) => untilEverywhere(one, id, true)));
    came.push((performance.now() - published) / 1_000);
    const asked = performance.now();
    await unpublishImage(actor({ id: MAKER }), id);
    await Promise.all(webs.map((one) => untilEverywhere(one, id, false)));
    went.push((performance.now() - asked) / 1_000);
  }
  ended = true;
  await loading;
  const told = (seconds: readonly number[]) => seconds.map((one) => one.toFixed(2)).join(', ');
  say('on both processes', `published after ${told(came)} s, gone after ${told(went)} s`);
  return [
    { name: 'published on both processes, s', got: Math.max(...came), atMost: 2 },
    { name: 'taken down on both processes, s', got: Math.max(...went), atMost: 2 },
  ];
}

/** Its page, its bytes and the wall's first page all show it, or none does. */
async function untilEverywhere({ url }: Web, id: string, shown: boolean): Promise<void> {
  for (const end = performance.now() + 30_000; performance.now() < end; await sleep(20)) {
    const [wall, page, picture] = await Promise.all([
      fetchRaw(url, { path: '/', headers: {} }),
      fetchRaw(url, { path: `/pictures/${id}`, headers: PAGE }),
      fetchRaw(url, { path: `/img/${id}/${WIDTH}`, headers: PICTURE }),
    ]);
    const places = [wall.body.includes(id), page.status === 200, picture.status === 200];
    if (places.every((isHere) => isHere === shown)) return;
  }
  throw new Error(`A picture was ${shown ? 'not shown' : 'still shown'} after half a minute.`);
}

/** Until it shows all of them, and what it makes ready by itself is made. */
async function settled({ url, service }: Web, count: number): Promise<void> {
  for (;;) {
    const { body } = await fetchRaw(url, { path: '/', headers: {} });
    if (body.includes(`aria-setsize="${count}"`)) break;
    await sleep(50);
  }
  // Nothing is left to encode when it takes no CPU.
  for (let last = Number.NaN; ; ) {
    const { cpuSeconds } = takenBy(service.pid ?? 0);
    if (cpuSeconds - last < 0.05) return;
    last = cpuSeconds;
    await sleep(1_000);
  }
}

async function measure(): Promise<readonly Goal[]> {
  if (process.platform !== 'linux') throw new Error('web reads /proc, which only Linux has.');
  say('cores', String(cpus().length));
  const [bare, load] = [new Part('bare'), new Part('load')];
  goFirst(load.pid);
  const webs = [await startWeb(), await startWeb()];
  const ours = webs[0]!;
  const goals: Goal[] = [];
  try {
    let published = 0;
    for (const size of SIZES) {
      await publishMany(size - published);
      published = size;
      for (const one of webs) await settled(one, size);
      goals.push(...(await phone(ours.url, `${size.toLocaleString('en')} pictures`)));
      goals.push(...(await speed(size, ours, bare, load)));
    }
    goals.push(...(await removal(webs, load)), ...(await memory(ours, load)));
  } finally {
    await Promise.all([bare.close(), load.close(), ...webs.map(({ service }) => service.stop())]);
    await closeDb();
  }
  return goals;
}

process.send?.(await measure());
process.disconnect?.();
