/**
 * `npm run deploy`, with a real Postgres for the lock and stand-ins for git, docker and aws on PATH: they write down what they are asked,
 * and fail, hang or never become healthy as the test says.
 */
import { chmod, mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it, vi } from 'vitest';
import { config } from '#config/env.ts';
import { deploy } from '#infra/deploy/deploy.ts';
import { hold } from '#infra/deploy/shell.ts';
import { readStage } from '#infra/deploy/stages.ts';

const printed = vi.hoisted((): string[] => []);
/** told each line as it is printed */
const heard = vi.hoisted(() => ({ line: (_line: string): void => {} }));
vi.mock('#infra/local/print.ts', () => ({
  print: (line: string) => {
    printed.push(line);
    heard.line(line);
  },
}));

const DIGEST = `@sha256:${'a'.repeat(64)}`;
const SECRETS = 'DISCORD_TOKEN=t\nWEB_SECRET=w\nPOSTGRES_PASSWORD=p\n';
const IMAGES = ['NODE_IMAGE', 'CUDA_IMAGE', 'POSTGRES_IMAGE', 'REDIS_IMAGE']
  .map((name) => `${name}=x${DIGEST}`)
  .join('\n');

/** Fails or hangs where the test says so, by a pattern of what it was asked. */
const ASKED = `line="\${0##*/} $*"
echo "$line  # \${TAG-} \${DOCKER_HOST-here}" >> "$STUB/log"
if grep -qEf "$STUB/fails" 2>/dev/null <<EOF
$line \${TAG-}
EOF
then echo "no space left on device" >&2; exit 1; fi
`;
const GIT = `#!/bin/sh
${ASKED}
case "$1" in status) cat "$STUB/changes" ;; rev-parse) cat "$STUB/tag" ;; esac`;
const DOCKER = `#!/bin/sh
${ASKED}
case "$line" in
  *hold.ts*) DATABASE_URL=$STUB_DATABASE exec "$STUB_NODE" infra/deploy/inside/hold.ts "$TAG" ;;
  *' ps '*) cat "$STUB/ps" ;;
  *' up --detach --no-build'*)
    health=healthy; if grep -qx "$TAG" "$STUB/sick"; then health=starting; fi
    for service in bot courier mecene web backup worker; do
      printf '{"Service":"%s","Image":"r/atelier-app:%s","State":"running","Health":"%s"}\\n' $service "$TAG" $health
    done > "$STUB/ps" ;;
  *' stop '*) : > "$STUB/ps" ;;
esac`;
const AWS = `#!/bin/sh
${ASKED}
case "$line" in
  *get-caller-identity*) echo '"111122223333"' ;;
  *describe-secret*) if grep -q "\${4##*/}" "$STUB/no-secrets"; then echo ResourceNotFoundException >&2; exit 254; fi; echo '{}' ;;
  *get-login-password*) echo secret ;;
  *describe-stacks*) echo "\\"--cluster c --task-definition old --network-configuration 'awsvpcConfiguration={subnets=[a,b]}'\\"" ;;
  *describe-task-definition*) cat <<EOF
{"family":"$4","taskDefinitionArn":"$4","revision":1,"cpu":"174","containerDefinitions":[
  {"name":"web","image":"111122223333.dkr.ecr.us-east-1.amazonaws.com/atelier/production/app:old"},{"name":"agent","image":"agent@sha256:b"}]}
EOF
  ;;
  *register-task-definition*) echo "$4" > "$STUB/registered"; echo '{"taskDefinitionArn":"new"}' ;;
  *run-task*) echo '"arn:task"' ;;
  *describe-tasks*) cat "$STUB/exit" ;;
  *update-service*) echo "$8" > "$STUB/task" ;;
  *describe-services*)
    task=$(cat "$STUB/task"); state=COMPLETED; if [ "$task" = new ]; then state=$(cat "$STUB/rollout"); fi
    echo '[{"serviceName":"web","taskDefinition":"'$task'","desiredCount":2,"runningCount":2,"deployments":[{"status":"PRIMARY","rolloutState":"'$state'"}]}]' ;;
esac`;

let dir: string;
let interrupt: AbortController;
beforeEach(async () => {
  printed.length = 0;
  heard.line = () => {};
  interrupt = new AbortController();
  dir = await mkdtemp(join(tmpdir(), 'atelier-deploy-'));
  await mkdir(join(dir, 'bin'));
  for (const [name, script] of Object.entries({ git: GIT, docker: DOCKER, aws: AWS })) {
    await writeFile(join(dir, 'bin', name), script);
    await chmod(join(dir, 'bin', name), 0o755);
  }
  const files = {
    log: '',
    fails: '',
    changes: '',
    tag: 'one',
    ps: '',
    sick: '',
    'no-secrets': '',
    task: 'old',
    exit: '{"exitCode":0}',
  };
  for (const [name, text] of Object.entries({ ...files, rollout: 'COMPLETED' })) await set(name, text);
  await set('env', `${SECRETS}${IMAGES}\nDATABASE_URL=${config.databaseUrl}\n`);
  const shared = `env: ${dir}/env, healthyWithin: 1`;
  await set(
    'stages.yaml',
    `machine: { kind: compose, profiles: [gpu], secrets: [DISCORD_TOKEN, WEB_SECRET, POSTGRES_PASSWORD], ${shared} }
far: { kind: compose, profiles: [], secrets: [], host: 'ssh://deploy@far', registry: r/, ${shared} }
lonely: { kind: compose, profiles: [], secrets: [], host: 'ssh://deploy@far', ${shared} }
production: { kind: ecs, region: us-east-1, secrets: [DISCORD_TOKEN], services: [web], ${shared} }
`,
  );
  vi.stubEnv('PATH', `${dir}/bin:/usr/bin:/bin`);
  vi.stubEnv('STUB', dir);
  vi.stubEnv('STUB_NODE', process.execPath);
  vi.stubEnv('STUB_DATABASE', config.databaseUrl);
});
afterEach(async () => {
  vi.unstubAllEnvs();
  await rm(dir, { recursive: true, force: true });
});

const set = (name: string, text: string) => writeFile(join(dir, name), text);
const to = (stage: string, isDry = false) => deploy(stage, isDry, interrupt.signal, join(dir, 'stages.yaml'));
/** What docker and aws were asked that changes something, without what each call has. */
async function changes(): Promise<string[]> {
  const text = await readFile(join(dir, 'log'), 'utf8');
  return text
    .split('\n')
    .filter((line) => /^(docker|aws)/.test(line))
    .map((line) =>
      line
        .replace(/ --file \S+ --env-file \S+( --profile \w+)*/, '')
        .replace(/ --(region|output) \S+/g, '')
        .replace(/ bot courier mecene web backup( worker)?/, ' SERVICES')
        .replace(/--cli-input-json .* --query/, '--query'),
    )
    .filter((line) => !/ (ps|config|describe-\S+|get-\S+|wait) /.test(line));
}

it('knows the stages of stages.yaml, and says which there are', async () => {
  expect(readStage('production').kind).toBe('ecs');
  await expect(to('nowhere')).rejects.toThrow(/no stage nowhere.*machine, far, lonely, production/);
});

it('prints each step and its budget, under three minutes together, and does nothing', async () => {
  await set('changes', ' M src/main.ts');
  await to('machine', true);
  const [, seconds] = /in all\s+(\d+) s/.exec(printed.join('\n')) ?? [];
  expect(Number(seconds)).toBeLessThan(180);
  expect(
    printed.filter((line) => /^ {2}(check|build|push|lock|migrate|update|wait)/.test(line)),
  ).toHaveLength(7);
  expect(await changes()).toEqual([]);
});

it('names what is missing before anything changes', async () => {
  await set('env', 'DISCORD_TOKEN=\nWEB_SECRET=w\nNODE_IMAGE=node:24\n');
  const failure = to('machine');
  await expect(failure).rejects.toThrow(/Nothing was changed/);
  await expect(failure).rejects.toThrow(
    /lacks DISCORD_TOKEN, POSTGRES_PASSWORD, POSTGRES_IMAGE, REDIS_IMAGE, CUDA_IMAGE/,
  );
  await expect(failure).rejects.toThrow(/NODE_IMAGE must name an image by digest/);
  await rm(join(dir, 'env'));
  await expect(to('machine')).rejects.toThrow(/env is missing/);
  await expect(to('lonely')).rejects.toThrow(/needs a registry/);
  expect(await changes()).toEqual([]);
});

it('deploys what is committed, and nothing else', async () => {
  await set('changes', ' M src/main.ts');
  await expect(to('machine')).rejects.toThrow(/not committed/);
  expect(await changes()).toEqual([]);
});

it('builds, migrates, updates and waits, in this order and one at a time', async () => {
  await to('machine');
  expect(await changes()).toEqual([
    'docker compose build migrate backup worker  # one here',
    'docker compose up --detach --wait postgres  # one here',
    'docker compose run --rm --no-TTY --no-deps --entrypoint node migrate infra/deploy/inside/hold.ts one  # one here',
    'docker compose run --rm --no-TTY migrate  # one here',
    'docker compose up --detach --no-build --remove-orphans SERVICES  # one here',
  ]);
  // The lock is free again.
  await to('machine');
  expect(printed.at(-1)).toBe('machine runs one.');
});

it('builds here and runs there, over a registry', async () => {
  await to('far');
  expect((await changes()).slice(0, 4)).toEqual([
    'docker compose build migrate backup  # one here',
    'docker compose push migrate backup  # one here',
    'docker compose pull migrate backup  # one ssh://deploy@far',
    'docker compose up --detach --wait postgres  # one ssh://deploy@far',
  ]);
});

it('refuses a second deploy while one is at work', async () => {
  const env = { DATABASE_URL: config.databaseUrl ?? '' };
  const other = await hold(
    { program: process.execPath, args: ['infra/deploy/inside/hold.ts', 'other'], env },
    20_000,
  );
  try {
    await expect(to('machine')).rejects.toThrow(
      /lock: Another deploy is at work \(atelier deploy other, since \d\d:\d\d UTC\)/,
    );
    expect((await changes()).join()).not.toMatch(/--no-TTY migrate|--no-build/);
  } finally {
    await other.release();
  }
});

it('rolls back when the new version never becomes healthy', async () => {
  await to('machine');
  await set('tag', 'two');
  await set('sick', 'two\n');
  await expect(to('machine')).rejects.toThrow(
    /wait: Not healthy after 1 s: bot is running starting;[\s\S]*Rolled back: the version before runs, and is healthy/,
  );
  expect((await changes()).at(-1)).toBe(
    'docker compose up --detach --no-build --remove-orphans SERVICES  # one here',
  );
});

it('rolls back when the services cannot be updated', async () => {
  await to('machine');
  await set('tag', 'two');
  await set('fails', 'up --detach --no-build.*two\n');
  await expect(to('machine')).rejects.toThrow(
    /update: docker compose up ended with 1\.\nno space left on device\nRolled back/,
  );
});

it.each([
  ['build', /^push: interrupted$/, 0],
  ['migrate', /^update: interrupted\nRolled back/, 1],
  ['update', /^wait: interrupted\nRolled back/, 2],
])(
  'begins nothing more when it is interrupted in %s, and rolls back what it has',
  async (at, sentence, ups) => {
    await to('machine');
    await set('log', '');
    await set('tag', 'two');
    await set('sick', 'two\n');
    heard.line = (line) => line.startsWith(at) && interrupt.abort(new Error('interrupted'));
    await expect(to('machine')).rejects.toThrow(sentence);
    expect((await changes()).filter((line) => line.includes('--no-build'))).toHaveLength(ups);
  },
);

it('says so loudly when it cannot roll back', async () => {
  await to('machine');
  await set('tag', 'two');
  await set('fails', 'up --detach --no-build\n');
  await expect(to('machine')).rejects.toThrow(/ROLLING BACK FAILED TOO/);
});

it('stops what never became healthy, where there was nothing before', async () => {
  await set('sick', 'one\n');
  await expect(to('machine')).rejects.toThrow(/There was no version before: the services are stopped/);
  expect((await changes()).at(-1)).toBe('docker compose stop SERVICES  # any here');
});

it.each([
  ['build', 'build', /^build: .*no space left on device/s],
  ['the registry', ' push ', /^push: /],
  ['the migration', '--no-TTY migrate', /^migrate: .*The services were not changed/s],
])('changes no service when %s fails', async (_, fails, sentence) => {
  await set('fails', `${fails}\n`);
  await expect(to('far')).rejects.toThrow(sentence);
  expect((await changes()).join()).not.toMatch(/--no-build/);
  // Nothing holds the next one up.
  await set('fails', '');
  await to('far');
});

it('says when a program is not there', async () => {
  await rm(join(dir, 'bin/docker'));
  vi.stubEnv('PATH', `${dir}/bin`);
  await writeFile(join(dir, 'bin/git'), `#!/bin/sh\n[ "$1" = status ] || echo one`);
  await expect(to('machine')).rejects.toThrow(/docker is not installed/);
});

it('gives ECS’s tasks the new images and nothing else, after the migration', async () => {
  await to('production');
  const registered = JSON.parse(await readFile(join(dir, 'registered'), 'utf8'));
  expect(registered).toEqual({
    family: 'old',
    cpu: '174',
    containerDefinitions: [
      { name: 'web', image: '111122223333.dkr.ecr.us-east-1.amazonaws.com/atelier/production/app:one' },
      { name: 'agent', image: 'agent@sha256:b' },
    ],
  });
  const all = await changes();
  expect(all.filter((line) => /push|run-task|update-service/.test(line))).toEqual([
    'docker push 111122223333.dkr.ecr.us-east-1.amazonaws.com/atelier/production/app:one  #  here',
    'docker push 111122223333.dkr.ecr.us-east-1.amazonaws.com/atelier/production/worker:one  #  here',
    'aws ecs run-task --cluster c --task-definition new --network-configuration awsvpcConfiguration={subnets=[a,b]} --query tasks[0].taskArn  #  here',
    'aws ecs update-service --cluster atelier-production --service web --task-definition new  #  here',
  ]);
});

it.each([
  ['FAILED', /ECS gave web up[\s\S]*Rolled back/],
  ['IN_PROGRESS', /web 2 of 2, in_progress[\s\S]*Rolled back/],
])('puts ECS’s tasks back when the rollout is %s', async (rollout, sentence) => {
  await set('rollout', rollout);
  await expect(to('production')).rejects.toThrow(sentence);
  expect(await readFile(join(dir, 'task'), 'utf8')).toBe('old\n');
});

it('changes no service of ECS’s without a secret, or when the migration fails', async () => {
  await set('no-secrets', 'DISCORD_TOKEN');
  await expect(to('production')).rejects.toThrow(/Secrets Manager has no atelier\/production\/DISCORD_TOKEN/);
  expect(await changes()).toEqual([]);
  await set('no-secrets', '');
  await set('exit', '{"exitCode":1}');
  await expect(to('production')).rejects.toThrow(/The migration ended with 1.*CloudWatch/s);
  expect((await changes()).join()).not.toMatch(/update-service/);
});
