/**
 * What services are told is what their programs read: names that config/env.ts knows, values that it takes, and of each service neither
 * less nor more than the files that it imports ask for.
 */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import { parseConfig, variables } from '../../../../config/env.ts';
import { makeCertificate } from '../../../../src/marks/certificate.ts';
import { importsOf } from '../../../imports.ts';
import { parametersOf, parameterValues, SERVICES, type Service, secretsOf } from '../environment.ts';
import { Settings } from '../settings.ts';
import { example, flat, ofType, STAGE, synth } from './synth.ts';

const root = fileURLToPath(new URL('../../../..', import.meta.url));
/** All that a stage may say, so that nothing is left out. */
const full = Settings.parse({
  ...example,
  discord: { ...example.discord, staffGuild: '100000000000000003', trustedGuilds: ['100000000000000004'] },
  workerMemory: 12,
  signing: true,
  mecene: { model: 'openai', name: 'some-model', url: 'https://models.example.org/v1' },
});
const { services } = synth(full);
const signing = makeCertificate('Atelier');

function environmentOf(service: Service): Record<string, string> {
  const task = ofType(services, 'AWS::ECS::TaskDefinition').find(
    ({ Properties }) => Properties.Family === `atelier-${STAGE}-${service}`,
  )!;
  const [container] = task.Properties.ContainerDefinitions;
  const plain = Object.fromEntries(
    container.Environment.map((one: { Name: string; Value: unknown }) => [one.Name, flat(one.Value)]),
  );
  const values: Record<string, string> = {
    DATABASE_URL:
      'postgresql://atelier:secret@db:5433/atelier?sslmode=verify-full&sslrootcert=/etc/atelier/rds.pem',
    REDIS_URL: 'rediss://:secret@redis:6380',
    ...parameterValues(full),
    C2PA_KEY: signing.key,
    C2PA_CERT: signing.certificates,
  };
  const kept = container.Secrets.map((one: { Name: string }) => [
    one.Name,
    values[one.Name] ?? 'x'.repeat(64),
  ]);
  return { ...plain, S3_BUCKET: 'atelier-example-files-1-eu', ...Object.fromEntries(kept) };
}

/** Where config/env.ts puts it → what it is called. One of them in a file means that the file reads the variable. */
const read: Readonly<Record<string, RegExp>> = {
  DISCORD_TOKEN: /\bconfig\.discord\.token\b/,
  DISCORD_CLIENT_SECRET: /\bconfig\.discord\.clientSecret\b/,
  DISCORD_APPLICATION_ID: /\bconfig\.discord\.applicationId\b/,
  SHARDS: /\bconfig\.discord\.shards\b/,
  STAFF_IDS: /\bconfig\.staff\.ids\b/,
  STAFF_GUILD_ID: /\bconfig\.staff\.guildId\b/,
  BUNDLES: /\bconfig\.bundles?\b/,
  WORKER_MEMORY: /\bconfig\.workerMemory\b/,
  ONNX_PROVIDERS: /\bconfig\.onnxProviders\b/,
  MECENE_API_KEY: /\bconfig\.mecene\b/,
  MECENE_MODEL: /\bconfig\.mecene\b/,
  C2PA_KEY: /\bconfig\.signing\b/,
  C2PA_CERT: /\bconfig\.signing\b/,
  WEB_SECRET: /\bconfig\.web\.secret\b/,
  WEB_PORT: /\bconfig\.web\.port\b/,
  WEB_PROXIES: /\bconfig\.web\.proxies\b/,
  DATABASE_URL: /\bconfig\.databaseUrl\b/,
  REDIS_URL: /\b(connectQueues\(config\)|config\.redisUrl)/,
};
const entries: Readonly<Record<Service, readonly string[]>> = {
  bot: ['src/services/bot/supervisor.ts', 'src/services/bot/shard.ts'],
  courier: ['src/services/courier/courier.ts'],
  mecene: ['src/services/mecene/mecene.ts'],
  web: ['src/services/web/web.ts'],
  worker: ['src/services/worker/worker.ts'],
};
const imports = importsOf(root);

/** Texts of all files that a service imports. `config = wider` in some is how a door takes its part: `const { token } = config.discord`. */
function textOf(service: Service): string {
  const seen = new Set<string>();
  const todo = [...entries[service]];
  for (let file = todo.pop(); file !== undefined; file = todo.pop()) {
    if (seen.has(file)) continue;
    seen.add(file);
    todo.push(...(imports.get(file) ?? []));
  }
  const texts = [...seen]
    .filter((file) => imports.has(file))
    .map((file) => readFileSync(join(root, file), 'utf8'));
  // `const { applicationId, clientSecret } = config.discord` reads two of them.
  return texts.join('\n').replace(/const \{([^}]*)\} = config\.(\w+);/g, (_, names: string, group: string) =>
    names
      .split(',')
      .map((name) => `config.${group}.${name.trim().split(':')[0]}`)
      .join(';'),
  );
}

describe.each(SERVICES)('%s', (service) => {
  const environment = environmentOf(service);

  it('is told by names that config/env.ts knows', () => {
    // ECS's own beside them: where the AWS SDK is.
    const known = [...variables, 'AWS_REGION'];
    expect(Object.keys(environment).filter((name) => !known.includes(name))).toEqual([]);
  });

  it('is told what config/env.ts takes', () => {
    const config = parseConfig(environment);
    expect(config.databaseUrl).toContain('sslmode=verify-full');
    expect(config.s3).toMatchObject({ keys: null });
    expect(config.metrics).toEqual({ host: '0.0.0.0', port: 9464 });
    if (service === 'web') expect(config.web).toMatchObject({ proxies: 2, port: 8080, host: '0.0.0.0' });
    if (service === 'worker') expect(config.onnxProviders).toEqual(['tensorrt', 'cuda']);
  });

  it('is told what its files read, and no more', () => {
    const text = textOf(service);
    const wanted = Object.entries(read)
      .filter(([, how]) => how.test(text))
      .map(([name]) => name);
    expect(
      Object.keys(environment)
        .filter((name) => name in read)
        .sort(),
    ).toEqual(wanted.sort());
  });
});

it('reaches each secret and parameter from one service at least', () => {
  const told = SERVICES.flatMap((service) => [...secretsOf[service], ...parametersOf[service]]);
  expect(Object.keys(parameterValues(full)).filter((name) => !told.includes(name))).toEqual([]);
});
