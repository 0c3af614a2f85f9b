/**
 * What a picture takes beside its networks: from the command to when it is seen in the channel. All services run, before a Postgres, a
 * Redis where there is one, and a local Discord of the bench; only the UNet sleeps, as long as a large one takes on a GPU. Then, with
 * more waiting than can be drawn, how long the networks stand still between runs.
 */
import { mkdtemp, rm } from 'node:fs/promises';
import { cpus, tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { bundles } from '#config/bundles.ts';
import { connectPerson } from '#infra/local/discord/person.ts';
import { startSandbox } from '#infra/local/discord/sandbox.ts';
import { STAFF } from '#infra/local/discord/world.ts';
import { serviceProcess } from '#infra/local/processes.ts';
import { findRedis } from '#infra/local/redis.ts';
import { ensureReferenceBundle } from '#src/bundles/ensure.ts';
import { ownPostgres, ownRedis } from '#test/support/own.ts';
import { type Goal, median, say } from '../goal.ts';
import { until } from '../until.ts';
import type { Run } from './sleeping-onnx.ts';

const SLEEP = fileURLToPath(new URL('./sleep.ts', import.meta.url));
const TOKEN = 'local.a-token-of-thirty-characters-or-more';
const APPLICATION_ID = '1100000000000000001';
/** Pictures, one after the other. */
const ALONE = 6;
/** Commands of four pictures each that wait at once. */
const LOADED = 2;

export async function overhead(): Promise<readonly Goal[]> {
  say('cores', String(cpus().length));
  const binary = findRedis(process.env.PATH ?? '');
  const goals = await measured('postgres', null);
  if (!binary) return goals;
  const redis = await ownRedis(binary);
  try {
    return [...goals, ...(await measured('redis', redis.url))];
  } finally {
    await redis.close();
  }
}

async function measured(backend: string, redisUrl: string | null): Promise<Goal[]> {
  const dataDir = await mkdtemp(join(tmpdir(), 'atelier-bench-'));
  await ensureReferenceBundle(join(dataDir, bundles.get('reference')!.path));
  const postgres = await ownPostgres();
  let shown = 0;
  const sandbox = await startSandbox({
    token: TOKEN,
    applicationId: APPLICATION_ID,
    onRequest(route, body) {
      if (/^(POST|PATCH) .*\/messages/.test(route) && JSON.stringify(body).includes('"filename":"picture-'))
        shown = Date.now();
    },
  });
  const env = {
    DATABASE_URL: postgres.url,
    REDIS_URL: redisUrl ?? '',
    DATA_DIR: dataDir,
    BUNDLE: 'reference',
    DISCORD_TOKEN: TOKEN,
    DISCORD_APPLICATION_ID: APPLICATION_ID,
    DISCORD_API_URL: sandbox.apiUrl,
    DISCORD_CDN_HOSTS: new URL(sandbox.apiUrl).host,
    LOG_LEVEL: 'error',
    ...STAFF,
  };
  const runs: Run[] = [];
  const onLine = (line: string) => {
    if (line.startsWith('run ')) runs.push(JSON.parse(line.slice(4)) as Run);
    else process.stderr.write(`${line}\n`);
  };
  const print = (line: string) => process.stderr.write(`${line}\n`);
  const services = ['bot', 'worker', 'courier'].map((name) =>
    serviceProcess([name], { env, onLine, print, execArgv: name === 'worker' ? ['--import', SLEEP] : [] }),
  );
  try {
    for (const service of services) await service.start();
    const member = await connectPerson(sandbox.pageUrl, { person: 'member', channel: 'portraits' });
    const draw = async (prompt: string) => {
      [shown, runs.length] = [0, 0];
      const at = Date.now();
      await member.command('imagine', { prompt, tier: 'turbo' });
      await until(() => shown > 0, 'the picture');
      const ms = runs.reduce((sum, { from, to }) => sum + to - from, 0);
      return { beside: shown - at - ms, model: ms };
    };
    // What is loaded and compiled with the first picture is the start bench's.
    await draw('warming up');
    const alone: Awaited<ReturnType<typeof draw>>[] = [];
    for (let i = 0; i < ALONE; i++) {
      alone.push(await draw(`portrait ${i}`));
      await sleep(1_000);
    }
    const beside = median(alone.map((one) => one.beside));
    const model = median(alone.map((one) => one.model));
    say(
      `${backend}: beside ${(model / 1_000).toFixed(2)} s of networks`,
      `${beside.toFixed(0)} ms (${alone.map((one) => one.beside.toFixed(0)).join(', ')})`,
    );

    [shown, runs.length] = [0, 0];
    for (let i = 0; i < LOADED; i++) await member.command('imagine', { prompt: `many ${i}`, count: 4 });
    const decoded = () => runs.filter(({ network }) => network === 'vaeDecoder').length;
    await until(() => decoded() >= LOADED * 4, 'all pictures');
    const drawing = runs.find(({ network }) => network === 'unet')?.thread;
    const own = runs.filter(({ thread }) => thread === drawing);
    // From the first step of the first picture to the last of the last: what is between pictures is all in it.
    const steps = own.filter(({ network }) => network === 'unet');
    const [from, to] = [steps[0]?.from ?? 0, steps.at(-1)?.to ?? 0];
    const busy = own
      .filter((run) => run.from >= from && run.to <= to)
      .reduce((sum, run) => sum + run.to - run.from, 0);
    const idle = 1 - busy / (to - from);
    say(
      `${backend}: ${LOADED * 4} pictures in ${((to - from) / 1_000).toFixed(1)} s`,
      `still for ${(100 * idle).toFixed(2)} %`,
    );
    member.close();
    return [
      { name: `${backend}: beside a picture's networks, ms`, got: beside, atMost: 120 },
      { name: `${backend}: of the networks' time, %`, got: (100 * beside) / model, atMost: 2 },
      { name: `${backend}: networks still under load, %`, got: 100 * idle, atMost: 2 },
    ];
  } finally {
    await Promise.all(services.map((service) => service.stop()));
    await sandbox.close();
    await postgres.close();
    await rm(dataDir, { recursive: true, force: true });
  }
}
