import { describe, expect, it } from 'vitest';
import { parseConfig, required } from '#config/env.ts';

/** What a refused environment is told. */
function saysOf(env: Record<string, string>): string {
  try {
    parseConfig(env);
  } catch (error) {
    return String(error);
  }
  throw new Error('it was accepted');
}

describe('the environment', () => {
  it('needs nothing', () => {
    expect(parseConfig({})).toMatchObject({
      dataDir: '.atelier',
      bundle: 'reference',
      databaseUrl: undefined,
      web: { host: '127.0.0.1', port: 8080 },
      mecene: { model: 'composer' },
    });
  });

  it('takes an empty variable for an absent one, as .env.example has them', () => {
    expect(parseConfig({ DISCORD_TOKEN: '', REDIS_URL: '', PUBLIC_URL: '' })).toEqual(parseConfig({}));
  });

  it('has execution providers in their order, the CPU when none is named', () => {
    expect(parseConfig({}).onnxProviders).toEqual(['cpu']);
    expect(parseConfig({ ONNX_PROVIDERS: 'tensorrt, cuda,cpu' }).onnxProviders).toEqual([
      ...['tensorrt', 'cuda', 'cpu'],
    ]);
  });

  it('has the bundles that people choose from, and the memory for them', () => {
    expect(parseConfig({})).toMatchObject({
      bundle: 'reference',
      bundles: ['reference'],
      workerMemory: null,
    });
    expect(parseConfig({ BUNDLE: 'mine' })).toMatchObject({ bundle: 'mine', bundles: ['mine'] });
    const several = parseConfig({ BUNDLES: 'mine, yours', WORKER_MEMORY: '7.5' });
    expect(several).toMatchObject({
      bundle: 'mine',
      bundles: ['mine', 'yours'],
      workerMemory: 7.5 * 2 ** 30,
    });
    expect(parseConfig({ BUNDLES: 'mine,yours', BUNDLE: 'yours' }).bundle).toBe('yours');
    expect(saysOf({ WORKER_MEMORY: 'much' })).toContain(
      'WORKER_MEMORY: must be a number of GiB, as 16 or 7.5',
    );
    expect(saysOf({ WORKER_MEMORY: '0' })).toContain('WORKER_MEMORY: must be a number of GiB above 0');
    expect(saysOf({ WORKER_MEMORY: '17179869184' })).toContain('must be a number of GiB, not of bytes');
    expect(saysOf({ BUNDLES: 'mine,mine' })).toContain('BUNDLES: names a bundle twice');
    expect(saysOf({ BUNDLES: 'mine', BUNDLE: 'yours' })).toContain('BUNDLE: must be one of BUNDLES');
  });

  it('has the platform’s own people and the servers that they trust, none when left out', () => {
    const none = { ids: [], guildId: null, trustedGuilds: [] };
    expect(parseConfig({ STAFF_IDS: '', STAFF_GUILD_ID: '', TRUSTED_GUILDS: '' }).staff).toEqual(none);
    const [one, other] = ['123456789012345678', '223456789012345678'];
    const given = { STAFF_IDS: `${one}, ${other}`, STAFF_GUILD_ID: one, TRUSTED_GUILDS: other };
    expect(parseConfig(given).staff).toEqual({ ids: [one, other], guildId: one, trustedGuilds: [other] });
  });

  it.each([
    ['STAFF_IDS', '123456789012345678,somebody'],
    ['STAFF_GUILD_ID', 'secret'],
    ['TRUSTED_GUILDS', '12'],
    ['DISCORD_TOKEN', 'short-secret'],
    ['DISCORD_APPLICATION_ID', 'not-an-id'],
    ['DISCORD_API_URL', 'ftp://secret.example'],
    ['SHARDS', 'several'],
    ['DATABASE_URL', 'mysql://somebody:hidden-password@db.example/atelier'],
    ['REDIS_URL', 'http://:hidden-password@cache.example'],
    ['ONNX_PROVIDERS', 'cuda,abacus'],
    ['ONNX_PROVIDERS', 'cpu,cuda,cpu'],
    ['ONNX_THREADS', '-7'],
    ['WEB_PORT', '70000'],
    ['METRICS_PORT', 'any-port'],
    ['OTEL_EXPORTER_OTLP_ENDPOINT', 'collector-of-mine'],
    ['PUBLIC_URL', 'gallery-of-mine'],
    ['MECENE_MODEL', 'oracle'],
    ['MECENE_BASE_URL', 'oracle-of-mine'],
    ['EDIT_INTERVAL_MS', 'rarely'],
    ['LOG_LEVEL', 'loudly'],
    ['CI', 'perhaps'],
  ])('names %s when it is bad, and keeps its value to itself', (name, value) => {
    const says = saysOf({ [name]: value });
    expect(says).toContain(`  ${name}: `);
    expect(says).not.toContain(value);
    expect(says.match(/^ {2}\w+: /gm)).toEqual([`  ${name}: `]);
  });

  it('names all that are bad at once', () => {
    const says = saysOf({ WEB_PORT: 'x', DATABASE_URL: 'y', SHARDS: '0' });
    for (const name of ['WEB_PORT', 'DATABASE_URL', 'SHARDS']) expect(says).toContain(`  ${name}: `);
    expect(says).toContain('.env.example');
  });

  it('keeps metrics to this machine unless told otherwise', () => {
    expect(parseConfig({}).metrics).toEqual({ host: '127.0.0.1', port: undefined });
  });

  it('traces nothing unless told where to', () => {
    expect(parseConfig({ OTEL_EXPORTER_OTLP_ENDPOINT: '' }).traces).toEqual({ endpoint: undefined });
  });

  it('is told by name what a part cannot work without', () => {
    expect(() => required(undefined, 'DISCORD_TOKEN')).toThrow('DISCORD_TOKEN is not set');
    expect(required('x', 'DISCORD_TOKEN')).toBe('x');
  });
});
