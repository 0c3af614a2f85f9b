/** A machine with Docker, this one or another by SSH: what compose.yaml describes. */
import { resolve } from 'node:path';
import { z } from 'zod';
import { envFaults, LONG_MS, type Place, ROOT, readEnv, SHORT_MS } from './place.ts';
import { hold, run } from './shell.ts';
import type { ComposeStage } from './stages.ts';

const SERVICES = ['bot', 'courier', 'mecene', 'web'];
/** profile → its worker */
const WORKERS = { gpu: 'worker', cpu: 'worker-cpu' } as const;

/** Of `docker compose ps --format json`: a line each. */
const Container = z.object({
  Service: z.string(),
  Image: z.string(),
  State: z.string(),
  Health: z.string().default(''),
});

export function composePlace({ env: path, secrets, profiles, host, registry = '' }: ComposeStage): Place {
  const env = readEnv(path);
  const workers = profiles.map((profile) => WORKERS[profile]);
  const services = [...SERVICES, ...workers];
  /** The nightly copies are of this version too; but where they fail, the version before would be no remedy. */
  const started = [...SERVICES, 'backup', ...workers];
  /** One of each image. */
  const built = ['migrate', 'backup', ...workers.filter((worker) => worker === 'worker')];

  const compose = (args: readonly string[], tag: string, isThere: boolean) => ({
    program: 'docker',
    args: [
      ...['compose', '--file', 'infra/deploy/compose.yaml', '--env-file', path],
      ...profiles.flatMap((profile) => ['--profile', profile]),
      ...args,
    ],
    cwd: ROOT,
    env: {
      TAG: tag,
      REGISTRY: registry,
      ENV_FILE: resolve(ROOT, path),
      ...(host && isThere && { DOCKER_HOST: host }),
    },
  });
  const there = (args: readonly string[], tag: string, limitMs = SHORT_MS) =>
    run(compose(args, tag, true), limitMs);

  async function containers() {
    // Which tag is said does not matter to what is.
    const text = await there(['ps', '--all', '--format', 'json'], 'any');
    return text
      .split('\n')
      .filter(Boolean)
      .map((line) => Container.parse(JSON.parse(line)))
      .filter(({ Service }) => services.includes(Service));
  }
  const up = (tag: string) =>
    there(['up', '--detach', '--no-build', '--remove-orphans', ...started], tag, 5 * SHORT_MS);

  return {
    async faults() {
      const images = [
        'NODE_IMAGE',
        'POSTGRES_IMAGE',
        'REDIS_IMAGE',
        ...(profiles.includes('gpu') ? ['CUDA_IMAGE'] : []),
      ];
      const faults = envFaults(path, env, secrets, images);
      if (host && !registry)
        faults.push('A stage with a host needs a registry: what is built here is pulled from there.');
      if (!faults.length) await there(['config', '--quiet'], 'any');
      return faults;
    },
    async build(tag) {
      await run(compose(['build', ...built], tag, false), LONG_MS);
    },
    async push(tag) {
      if (!registry) return; // built where it runs
      await run(compose(['push', ...built], tag, false), LONG_MS);
      await there(['pull', ...built], tag, LONG_MS);
    },
    async lock(tag) {
      await there(['up', '--detach', '--wait', 'postgres'], tag, 2 * SHORT_MS);
      const script = ['--entrypoint', 'node', 'migrate', 'infra/deploy/inside/hold.ts', tag];
      return hold(compose(['run', '--rm', '--no-TTY', '--no-deps', ...script], tag, true), SHORT_MS);
    },
    async running() {
      const all = await containers();
      return new Map(all.map(({ Service, Image }) => [Service, Image.slice(Image.lastIndexOf(':') + 1)]));
    },
    async migrate(tag) {
      await there(['run', '--rm', '--no-TTY', 'migrate'], tag, 10 * SHORT_MS);
    },
    async update(tag) {
      await up(tag);
    },
    async unhealthy() {
      const all = await containers();
      return services.flatMap((service) => {
        const found = all.find(({ Service }) => Service === service);
        if (found?.State === 'running' && found.Health === 'healthy') return [];
        return [`${service} ${found ? `is ${found.State} ${found.Health}`.trim() : 'is not there'}`];
      });
    },
    async rollBack(to) {
      const tag = to.get('web');
      if (tag === undefined) await there(['stop', ...started], 'any', 2 * SHORT_MS);
      else await up(tag);
    },
  };
}
