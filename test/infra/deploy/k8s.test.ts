/**
 * What a cluster is given: held against the schemas that Kubernetes and KEDA publish, and against what the services read and answer.
 * Without kubectl, or without the schemas (`npm ci` in infra/deploy/k8s), it is skipped, and says why.
 */
import { readFileSync } from 'node:fs';
import { beforeAll, describe, expect, it } from 'vitest';
import { z } from 'zod';
import { parseConfig } from '#config/env.ts';
import {
  faultsOf,
  type Manifest,
  render,
  unknownFields,
  VARIANTS,
  whatIsMissing,
} from '#infra/deploy/k8s/rendered.ts';
import { workersNeeded } from '#infra/watch/source.ts';
import { makeCertificate } from '#src/marks/certificate.ts';

const SERVICES = ['bot', 'courier', 'mecene', 'web', 'worker'];

const Container = z.looseObject({
  name: z.string(),
  image: z.string(),
  args: z.array(z.string()).default([]),
  env: z
    .array(
      z.looseObject({ name: z.string(), value: z.string().optional(), valueFrom: z.unknown().optional() }),
    )
    .default([]),
  envFrom: z.array(z.object({ configMapRef: z.object({ name: z.string() }) })).default([]),
  ports: z.array(z.looseObject({ name: z.string(), containerPort: z.number() })).default([]),
  securityContext: z.unknown().optional(),
  resources: z.looseObject({ limits: z.record(z.string(), z.unknown()) }),
  readinessProbe: z.unknown().optional(),
  livenessProbe: z.unknown().optional(),
  startupProbe: z.unknown().optional(),
});
const Workload = z.looseObject({
  kind: z.string(),
  spec: z.looseObject({
    template: z.looseObject({
      metadata: z.looseObject({ labels: z.record(z.string(), z.string()) }),
      spec: z.looseObject({
        containers: z.array(Container),
        securityContext: z.unknown().optional(),
        automountServiceAccountToken: z.unknown().optional(),
        volumes: z.array(z.looseObject({ name: z.string() })).default([]),
        tolerations: z.unknown().optional(),
      }),
    }),
  }),
});
const Selecting = z.object({
  spec: z.looseObject({
    selector: z.looseObject({ matchLabels: z.record(z.string(), z.string()) }).optional(),
  }),
});
const Settings = z.object({ data: z.record(z.string(), z.string()) });
const SecretRef = z.object({
  secretKeyRef: z.object({ name: z.literal('atelier'), key: z.string(), optional: z.boolean().optional() }),
});

/** Names of all variables, as the file itself has them. */
const variables = [
  ...readFileSync(new URL('../../../config/env.ts', import.meta.url), 'utf8').matchAll(
    /^ {2}([A-Z][A-Z\d_]+): /gm,
  ),
].map(([, name = '']) => name);

const missing = whatIsMissing();

describe.skipIf(missing)(`manifests${missing ? `, skipped: ${missing}` : ''}`, () => {
  describe.each(VARIANTS)('of %s', (variant) => {
    let manifests: Manifest[];
    beforeAll(() => {
      manifests = render(variant);
    });
    const of = (kind: string) => manifests.filter((one) => one.kind === kind);
    const workloads = () =>
      manifests
        .filter(({ kind }) => ['Deployment', 'StatefulSet', 'Job'].includes(kind))
        .map((one) => ({ name: one.metadata.name, ...Workload.parse(one) }));
    const podOf = (name: string) => workloads().find((one) => one.name === name)!.spec.template;
    const containerOf = (name: string) => podOf(name).spec.containers[0]!;

    it('are as the published schemas want them', async () => {
      expect(manifests.length).toBeGreaterThan(25);
      expect(await faultsOf(manifests)).toEqual([]);
    });

    it('have no field that nobody knows', () => {
      expect(unknownFields(manifests)).toBe('');
    });

    it('run nobody as root, and write nowhere but in volumes', () => {
      for (const { name, spec } of workloads()) {
        const { containers, securityContext, automountServiceAccountToken } = spec.template.spec;
        expect(securityContext, name).toMatchObject({
          runAsNonRoot: true,
          seccompProfile: { type: 'RuntimeDefault' },
        });
        expect(automountServiceAccountToken, name).toBe(false);
        for (const container of containers) {
          expect(container.securityContext, name).toEqual({
            allowPrivilegeEscalation: false,
            readOnlyRootFilesystem: true,
            capabilities: { drop: ['ALL'] },
          });
          expect(container.resources.limits, name).toHaveProperty('memory');
        }
      }
    });

    it('give the services variables that they read, secrets by reference alone, and a configuration that is accepted', () => {
      const [settings] = of('ConfigMap').map((one) => ({ name: one.metadata.name, ...Settings.parse(one) }));
      expect(Object.keys(settings!.data).filter((name) => !variables.includes(name))).toEqual([]);
      for (const service of SERVICES) {
        const { env, envFrom } = containerOf(service);
        expect(envFrom, service).toEqual([{ configMapRef: { name: settings!.name } }]);
        expect(
          env.filter(({ name }) => !variables.includes(name)),
          service,
        ).toEqual([]);
        const own = Object.fromEntries(
          env.map(({ name, value, valueFrom }) => [
            name,
            value ?? madeUp(name, SecretRef.parse(valueFrom).secretKeyRef.key),
          ]),
        );
        expect(
          () => parseConfig({ ...settings!.data, S3_BUCKET: 'a-bucket', ...own }),
          service,
        ).not.toThrow();
        for (const { name, value } of env) if (isSecret(name)) expect(value, name).toBeUndefined();
      }
      expect(Object.keys(settings!.data).filter(isSecret)).toEqual([]);
    });

    it('give each service the secrets it needs, and no other', () => {
      const secretsOf = (name: string) =>
        containerOf(name)
          .env.filter(({ valueFrom }) => valueFrom)
          .map((one) => one.name);
      const s3 = ['S3_ACCESS_KEY_ID', 'S3_SECRET_ACCESS_KEY'];
      const signing = ['C2PA_KEY', 'C2PA_CERT'];
      const rows = ['DATABASE_URL', 'REDIS_URL'];
      expect(secretsOf('bot')).toEqual([...rows, 'DISCORD_TOKEN', ...s3, ...signing]);
      expect(secretsOf('courier')).toEqual([...rows, 'DISCORD_TOKEN', ...s3, ...signing]);
      expect(secretsOf('mecene')).toEqual([...rows, 'MECENE_API_KEY']);
      expect(secretsOf('web')).toEqual([
        ...rows,
        'DISCORD_TOKEN',
        'DISCORD_CLIENT_SECRET',
        'WEB_SECRET',
        ...s3,
        ...signing,
      ]);
      expect(secretsOf('worker')).toEqual([...rows, ...s3, ...signing]);
      expect(secretsOf('migrate')).toEqual(['DATABASE_URL']);
    });

    it('ask each service on the port where it answers', () => {
      for (const service of SERVICES) {
        const { args, ports, readinessProbe, livenessProbe, startupProbe } = containerOf(service);
        expect(args).toEqual(['src/main.ts', service]);
        expect(ports).toContainEqual({ name: 'metrics', containerPort: 9464 });
        expect(livenessProbe).toMatchObject({ httpGet: { path: '/healthz', port: 'metrics' } });
        expect(startupProbe).toMatchObject({ httpGet: { path: '/readyz', port: 'metrics' } });
        expect(readinessProbe).toMatchObject({
          httpGet: { path: '/readyz', port: service === 'web' ? 'http' : 'metrics' },
        });
      }
    });

    it('a worker has a GPU, unless there are none', () => {
      const withGpu = !variant.includes('cpu');
      const { limits } = containerOf('worker').resources;
      expect(limits['nvidia.com/gpu']).toBe(withGpu ? '1' : undefined);
      expect(Boolean(podOf('worker').spec.tolerations)).toBe(withGpu);
      const providers = containerOf('worker').env.find(({ name }) => name === 'ONNX_PROVIDERS');
      expect(providers?.value).toBe(withGpu ? 'tensorrt,cuda' : 'cpu');
    });

    it('budgets and policies mean pods that there are; by itself nobody may speak with anybody', () => {
      const names = workloads().map(({ name }) => name);
      for (const { name, spec } of workloads())
        expect(spec.template.metadata.labels['app.kubernetes.io/name']).toBe(name);
      expect(of('PodDisruptionBudget').map(({ metadata }) => metadata.name)).toEqual(SERVICES);
      for (const budget of of('PodDisruptionBudget'))
        expect(Selecting.parse(budget).spec.selector?.matchLabels['app.kubernetes.io/name']).toBe(
          budget.metadata.name,
        );
      const policies = of('NetworkPolicy');
      for (const [, name = ''] of JSON.stringify(policies).matchAll(/"app\.kubernetes\.io\/name":"(\w+)"/g))
        expect(names).toContain(name);
      expect(policies.find(({ metadata }) => metadata.name === 'nothing')).toMatchObject({
        spec: { podSelector: {}, policyTypes: ['Ingress', 'Egress'] },
      });
    });
  });

  it('together they give every variable, or leave it to its default on purpose', () => {
    const given = new Set(
      VARIANTS.flatMap((variant) => {
        const manifests = render(variant);
        const settings = manifests.filter(({ kind }) => kind === 'ConfigMap');
        const ofPods = manifests
          .filter(({ kind }) => kind === 'Deployment')
          .flatMap((one) =>
            Workload.parse(one).spec.template.spec.containers[0]!.env.map(({ name }) => name),
          );
        return [...settings.flatMap((one) => Object.keys(Settings.parse(one).data)), ...ofPods];
      }),
    );
    const left = variables.filter((name) => !given.has(name));
    expect(left).toEqual([
      // Only where Discord, S3, the model or the collector is another than usual.
      'DISCORD_OAUTH_URL',
      'DISCORD_API_URL',
      // Only where several machines carry one bot.
      'SHARD_IDS',
      // Of the embedded Postgres: a cluster's is copied by those who run it.
      'BACKUP_DIR',
      'S3_ENDPOINT',
      'S3_PATH_STYLE',
      // The first of BUNDLES; all that fits.
      'BUNDLE',
      'WORKER_MEMORY',
      'ONNX_THREADS',
      'WEBHOOKS_PRIVATE',
      'OTEL_EXPORTER_OTLP_ENDPOINT',
      'MECENE_MODEL_NAME',
      'MECENE_BASE_URL',
      'EDIT_INTERVAL_MS',
      'CI',
    ]);
  });

  it('workers are scaled by the expression that fires WaitPastTarget', () => {
    const manifests = render('overlays/many');
    const scaled = manifests.filter(({ kind }) => kind === 'ScaledObject');
    expect(scaled.map(({ metadata }) => metadata.name)).toEqual(['web', 'worker']);
    const { spec } = z
      .object({
        spec: z.object({ triggers: z.array(z.object({ metadata: z.record(z.string(), z.string()) })) }),
      })
      .parse(scaled[1]);
    expect(spec.triggers[0]?.metadata.query).toBe(workersNeeded);
    // Who is scaled has no number of its own.
    for (const name of ['web', 'worker'])
      expect(
        manifests.find((one) => one.kind === 'Deployment' && one.metadata.name === name)?.spec,
      ).not.toHaveProperty('replicas');
  });

  it('what is wrong would be found', async () => {
    const wrong = (changes: object): Manifest => ({
      apiVersion: 'apps/v1',
      kind: 'Deployment',
      metadata: { name: 'wrong' },
      spec: {
        selector: {},
        template: { spec: { containers: [{ name: 'one', image: 'x', ...changes }] } },
      },
    });
    expect(await faultsOf([wrong({})])).toEqual([]);
    expect(await faultsOf([wrong({ ports: [{ containerPort: 'http' }] })])).toEqual([
      expect.stringContaining('containerPort'),
    ]);
    expect(unknownFields([wrong({ readinesProbe: {} })])).toContain('readinesProbe');
  });
});

const isSecret = (name: string) => /TOKEN|SECRET|_KEY$|ACCESS_KEY_ID|DATABASE_URL|REDIS_URL/.test(name);

/** Something of the kind that a secret is. */
const signing = makeCertificate('an installation');

function madeUp(name: string, key: string): string {
  expect(key).toBe(name);
  if (name === 'DATABASE_URL') return 'postgresql://a:b@postgres:5432/atelier';
  if (name === 'REDIS_URL') return 'rediss://redis:6379';
  if (name === 'C2PA_KEY') return signing.key;
  if (name === 'C2PA_CERT') return signing.certificates;
  return 'x'.repeat(40);
}
