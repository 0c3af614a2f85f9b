import { generateKeyPairSync } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { parseConfig, required } from '#config/env.ts';
import { certificatesIn } from '#config/signing.ts';
import { makeCertificate } from '#src/marks/certificate.ts';

const mine = makeCertificate('Mine');

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

  it('takes a key and certificates that can sign, on a line each, and names what keeps others from it', () => {
    const C2PA_KEY = mine.key.replaceAll('\n', '\\n');
    const C2PA_CERT = mine.certificates.replaceAll('\n', '\\n');
    expect(parseConfig({}).signing).toBeNull();
    expect(parseConfig({ C2PA_KEY, C2PA_CERT }).signing).toEqual(mine);

    expect(saysOf({ C2PA_KEY })).toContain('C2PA_CERT: is missing');
    expect(saysOf({ C2PA_CERT })).toContain('C2PA_KEY: is missing');
    const other = makeCertificate('Somebody');
    const foreign = saysOf({ C2PA_KEY: other.key, C2PA_CERT });
    expect(foreign).toContain('C2PA_KEY: does not fit C2PA_CERT');
    for (const line of other.key.split('\n').slice(1, -2)) expect(foreign).not.toContain(line);
    expect(saysOf({ C2PA_KEY: 'nonsense', C2PA_CERT })).toContain('C2PA_KEY: is no private key in PEM');
    const curve = generateKeyPairSync('ec', { namedCurve: 'P-384' }).privateKey;
    const wide = curve.export({ type: 'pkcs8', format: 'pem' }).toString();
    expect(saysOf({ C2PA_KEY: wide, C2PA_CERT })).toContain('C2PA_KEY: must be a key of the curve P-256');
    expect(saysOf({ C2PA_KEY, C2PA_CERT: 'nonsense' })).toContain('C2PA_CERT: is no certificate in PEM');
    const [own = '', authority = ''] = certificatesIn(mine.certificates);
    expect(saysOf({ C2PA_KEY, C2PA_CERT: own })).toContain('must have the certificate of its authority');
    expect(saysOf({ C2PA_KEY, C2PA_CERT: own + authority.replace('MII', 'AAA') })).toContain(
      'C2PA_CERT: has a certificate that cannot be read',
    );
    const [, another = ''] = certificatesIn(other.certificates);
    expect(saysOf({ C2PA_KEY, C2PA_CERT: own + another })).toContain('C2PA_CERT: is out of order');
  });

  it('names a certificate that has expired, or is not valid yet', () => {
    const old = makeCertificate('Old', new Date('1990-02-03'));
    expect(saysOf({ C2PA_KEY: old.key, C2PA_CERT: old.certificates })).toContain(
      'C2PA_CERT: has expired: it was valid until 2015-02-02',
    );
    const young = makeCertificate('Young', new Date('2049-12-31'));
    expect(saysOf({ C2PA_KEY: young.key, C2PA_CERT: young.certificates })).toContain(
      'C2PA_CERT: is not valid yet: it is from 2049-12-30 on',
    );
  });

  it('keeps files in S3 where there is a bucket, and says which of its variables is missing', () => {
    expect(parseConfig({ S3_PATH_STYLE: 'true', S3_REGION: 'eu-central-1' }).s3).toBeNull();
    // At Amazon the machine's role is enough.
    const amazon = { bucket: 'pictures', endpoint: undefined, region: 'us-east-1', keys: null };
    expect(parseConfig({ S3_BUCKET: 'pictures' }).s3).toEqual({ ...amazon, pathStyle: false });
    const S3_BUCKET = 'pictures';
    const keys = { S3_ACCESS_KEY_ID: 'id', S3_SECRET_ACCESS_KEY: 'hush' };
    const S3_ENDPOINT = 'http://127.0.0.1:9000';
    expect(parseConfig({ S3_BUCKET, S3_ENDPOINT, S3_PATH_STYLE: 'true', ...keys }).s3).toMatchObject({
      endpoint: S3_ENDPOINT,
      keys: { accessKeyId: 'id', secretAccessKey: 'hush' },
      pathStyle: true,
    });
    expect(saysOf({ S3_ENDPOINT, ...keys })).toContain('S3_BUCKET: is missing');
    expect(saysOf({ S3_BUCKET, S3_ACCESS_KEY_ID: 'id' })).toContain('S3_SECRET_ACCESS_KEY: is missing');
    expect(saysOf({ S3_BUCKET, S3_SECRET_ACCESS_KEY: 'hush' })).toContain('S3_ACCESS_KEY_ID: is missing');
    expect(saysOf({ S3_BUCKET, S3_ENDPOINT })).toContain('S3_ACCESS_KEY_ID: is missing');
    expect(saysOf({ S3_BUCKET: 'Pictures!' })).toContain('S3_BUCKET: must be a name of a bucket');
    expect(saysOf({ S3_BUCKET, S3_SECRET_ACCESS_KEY: 'hush' })).not.toContain('hush');
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
