/** A task of one service, and of the migration: who it is, what it is told, where it writes. */
import { Aws, Duration, type Stack } from 'aws-cdk-lib';
import * as ecs from 'aws-cdk-lib/aws-ecs';
import * as iam from 'aws-cdk-lib/aws-iam';
import * as logs from 'aws-cdk-lib/aws-logs';
import { accept, finding } from './accept.ts';
import type { Data } from './data.ts';
import {
  bucketName,
  DATA_DIR,
  fixed,
  foldersOf,
  METRICS_PORT,
  parametersOf,
  RDS_CERTIFICATES,
  type Service,
  secretsOf,
  WEB_PORT,
} from './environment.ts';
import { hostPaths } from './fleet.ts';

/** A worker closes within 25 s (src/services/run.ts), a start before it takes 10 s more; a spot notice leaves 120. */
const STOPS_WITHIN = Duration.seconds(60);

/** CPU units of 1,024 a core, MiB. `most` ends a process that grows without end, and is no part of what is kept free for it. */
const sizes: Readonly<Record<Service | 'migrate', { cpu: number; memory: number; most: number }>> = {
  bot: { cpu: 174, memory: 159, most: 1_024 },
  courier: { cpu: 174, memory: 159, most: 512 },
  mecene: { cpu: 174, memory: 159, most: 512 },
  migrate: { cpu: 174, memory: 159, most: 512 },
  web: { cpu: 1_024, memory: 1_024, most: 1_536 },
  // All cores of an xlarge, and 85 % of its 16 GiB: the rest is the system's, its agent's and the models' cache.
  worker: { cpu: 4_096, memory: Math.floor(0.85 * 16 * 1_024), most: Math.floor(0.85 * 16 * 1_024) },
};

/** Where both images have the program. */
const ROOT = '/app';
/** As npm starts it (infra/run.mjs): where new objects live stays small, and so does the process. */
const NODE = ['node', '--max-semi-space-size=4'];

export interface TaskProps {
  readonly stage: string;
  /** of both images */
  readonly tag: string;
  readonly data: Data;
  readonly retention: logs.RetentionDays;
}

/** A task of one service: who it is, what it is told, where it writes. */
export function defineTask(
  scope: Stack,
  { stage, tag, data, retention }: TaskProps,
  name: Service | 'migrate',
  id: string = name,
  more: Readonly<Record<string, string>> = {},
) {
  const { cpu, memory, most } = sizes[name];
  const role = new iam.Role(scope, `${id}-Role`, {
    assumedBy: new iam.ServicePrincipal('ecs-tasks.amazonaws.com'),
    description: `What the ${id} may do`,
  });
  const executionRole = new iam.Role(scope, `${id}-StartRole`, {
    assumedBy: new iam.ServicePrincipal('ecs-tasks.amazonaws.com'),
    description: `What ECS may do to start the ${id}`,
  });
  const isService = name !== 'migrate';
  if (isService) grantFiles(role, name, `arn:${Aws.PARTITION}:s3:::${bucketName(stage, 'files')}`);

  const task = new ecs.Ec2TaskDefinition(scope, `${id}-Task`, {
    family: `atelier-${stage}-${id}`,
    networkMode: ecs.NetworkMode.AWS_VPC,
    taskRole: role,
    executionRole,
    volumes: [
      { name: 'own', host: { sourcePath: hostPaths.own } },
      { name: 'models', host: { sourcePath: hostPaths.models } },
      { name: 'certificates', host: { sourcePath: hostPaths.certificates } },
    ],
  });
  const logGroup = new logs.LogGroup(scope, `${id}-Log`, {
    logGroupName: `/atelier/${stage}/${id}`,
    retention,
  });
  const secrets: Record<string, ecs.Secret> = {};
  for (const secret of secretsOf[name]) {
    const kept = data.secrets[secret];
    if (kept) secrets[secret] = ecs.Secret.fromSecretsManager(kept);
  }
  for (const parameter of isService ? parametersOf[name] : []) {
    const kept = data.parameters[parameter];
    if (kept) secrets[parameter] = ecs.Secret.fromSsmParameter(kept);
  }
  const image = data.images[name === 'worker' ? 'worker' : 'app'];
  const linuxParameters = new ecs.LinuxParameters(scope, `${id}-Linux`, { initProcessEnabled: true });
  linuxParameters.dropCapabilities(ecs.Capability.ALL);
  linuxParameters.addTmpfs({ containerPath: '/tmp', size: 256 });
  const container = task.addContainer(name, {
    image: ecs.ContainerImage.fromEcrRepository(image, tag),
    workingDirectory: ROOT,
    ...programOf(name),
    cpu,
    memoryReservationMiB: memory,
    memoryLimitMiB: most,
    ...(name === 'worker' && { gpuCount: 1 }),
    environment: isService
      ? { ...fixed(name, bucketName(stage, 'files'), scope.region), ...more }
      : // Not among config/env.ts's: the migration reads this one alone.
        {},
    secrets,
    logging: ecs.LogDrivers.awsLogs({
      logGroup,
      streamPrefix: name,
      mode: ecs.AwsLogDriverMode.NON_BLOCKING,
    }),
    user: '1000:1000',
    readonlyRootFilesystem: true,
    linuxParameters,
    stopTimeout: STOPS_WITHIN,
    ...(isService && { healthCheck: healthCheck(name) }),
    ...(isService && {
      portMappings: [
        { containerPort: METRICS_PORT, name: 'metrics' },
        ...(name === 'web'
          ? [{ containerPort: WEB_PORT, name: 'web', appProtocol: ecs.AppProtocol.http }]
          : []),
      ],
    }),
  });
  container.addMountPoints(
    { sourceVolume: 'own', containerPath: DATA_DIR, readOnly: false },
    { sourceVolume: 'models', containerPath: `${DATA_DIR}/bundles`, readOnly: true },
    { sourceVolume: 'certificates', containerPath: RDS_CERTIFICATES, readOnly: true },
  );
  accept(executionRole, {
    'IAM5[Resource::*]': 'ecr:GetAuthorizationToken knows no resource; it only reads.',
  });
  accept(task, {
    ECS2: 'Nothing of it is secret: addresses, ports, folders. Secrets come from Secrets Manager.',
  });
  return { task, role };
}

/** Said here, whatever the images begin with by themselves. */
function programOf(name: Service | 'migrate'): { entryPoint: string[]; command: string[] } {
  if (name !== 'migrate') return { entryPoint: [...NODE, 'src/main.ts'], command: [name] };
  const program = `const { migrate } = await import('${ROOT}/src/doors/migrate.ts');
console.log(await migrate(process.env.DATABASE_URL));`;
  return { entryPoint: NODE, command: ['--input-type=module', '--eval', program] };
}

/** Asked inside the container: the web service whether it answers, the others where they tell their metrics. */
function healthCheck(name: Service): ecs.HealthCheck {
  const url = `http://127.0.0.1:${name === 'web' ? WEB_PORT : METRICS_PORT}/healthz`;
  return {
    command: [
      'CMD',
      'node',
      '--eval',
      `fetch('${url}').then((r) => process.exit(r.ok ? 0 : 1), () => process.exit(1))`,
    ],
    interval: Duration.seconds(name === 'web' ? 5 : 30),
    timeout: Duration.seconds(5),
    retries: 3,
    // Bundles come from S3 the first time.
    startPeriod: Duration.seconds(name === 'worker' ? 300 : 60),
  };
}

/** Folder by folder; each statement says all of it. */
function grantFiles(role: iam.Role, name: Service, bucketArn: string): void {
  const { read, write, remove } = foldersOf[name];
  const below = (folders: readonly string[]) => folders.map((folder) => `${bucketArn}/${folder}/*`);
  role.addToPolicy(new iam.PolicyStatement({ actions: ['s3:ListBucket'], resources: [bucketArn] }));
  for (const [folders, actions] of [
    [read, ['s3:GetObject']],
    [write, ['s3:PutObject', 's3:AbortMultipartUpload']],
    [remove, ['s3:DeleteObject']],
  ] as const)
    if (folders.length)
      role.addToPolicy(new iam.PolicyStatement({ actions: [...actions], resources: below(folders) }));
  for (const arn of below([...new Set([...read, ...write, ...remove])]))
    accept(role, {
      [`IAM5[Resource::${finding(arn)}]`]: 'Files in a folder have the names that rows give them.',
    });
}
