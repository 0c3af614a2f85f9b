/**
 * Amazon's ECS, as infra/deploy/aws makes it: cluster `atelier-<stage>`, tasks `atelier-<stage>-<service>`, images
 * `atelier/<stage>/app` and `…/worker`, secrets `atelier/<stage>/<NAME>`. A deploy gives each service's task the new images; all else of
 * it stays as CDK made it.
 */
import { z } from 'zod';
import { envFaults, LONG_MS, type Place, ROOT, type Running, readEnv, SHORT_MS } from './place.ts';
import { hold, run } from './shell.ts';
import type { EcsStage } from './stages.ts';

/** What a new revision of a task takes over. */
const Task = z.looseObject({
  family: z.string(),
  containerDefinitions: z.array(z.looseObject({ image: z.string() })),
});
/** What ECS says of a task and does not take. */
const TOLD_ALONE = [
  ...['taskDefinitionArn', 'revision', 'status', 'requiresAttributes', 'compatibilities'],
  ...['registeredAt', 'registeredBy', 'deregisteredAt'],
];
const Arn = z.object({ taskDefinitionArn: z.string() });
const Services = z.array(
  z.object({
    serviceName: z.string(),
    taskDefinition: z.string(),
    desiredCount: z.number(),
    runningCount: z.number(),
    deployments: z
      .array(z.object({ status: z.string(), rolloutState: z.string().default('COMPLETED') }))
      .default([]),
  }),
);
const Exit = z.object({ exitCode: z.number().nullish() });

export function ecsPlace(stage: string, { env: path, secrets, region, services }: EcsStage): Place {
  const env = readEnv(path);
  const cluster = `atelier-${stage}`;
  const aws = (args: readonly string[], limitMs = SHORT_MS) =>
    run({ program: 'aws', args: [...args, '--region', region, '--output', 'json'], cwd: ROOT }, limitMs);
  const asked = async <T extends z.ZodType>(args: readonly string[], schema: T): Promise<z.output<T>> =>
    schema.parse(JSON.parse(await aws(args)));
  const docker = (args: readonly string[], limitMs: number, input?: string) =>
    run({ program: 'docker', args, cwd: ROOT, input }, limitMs);

  let account: string | undefined;
  const registry = async () => {
    account ??= await asked(['sts', 'get-caller-identity', '--query', 'Account'], z.string());
    return `${account}.dkr.ecr.${region}.amazonaws.com`;
  };
  const imageOf = async (target: string, tag: string) =>
    `${await registry()}/atelier/${stage}/${target}:${tag}`;

  const described = () =>
    asked(
      ['ecs', 'describe-services', '--cluster', cluster, '--services', ...services, '--query', 'services'],
      Services,
    );

  /** @returns the ARN of a revision of that task with the images of this tag */
  async function withTag(task: string, tag: string): Promise<string> {
    const old = await asked(
      ['ecs', 'describe-task-definition', '--task-definition', task, '--query', 'taskDefinition'],
      Task,
    );
    const kept = Object.fromEntries(Object.entries(old).filter(([name]) => !TOLD_ALONE.includes(name)));
    const ours = `${await registry()}/atelier/${stage}/`;
    const containerDefinitions = old.containerDefinitions.map((container) =>
      // Others beside them, as collectors of metrics, stay what they are.
      container.image.startsWith(ours)
        ? { ...container, image: container.image.replace(/(@sha256)?:[^:/]+$/, `:${tag}`) }
        : container,
    );
    const json = JSON.stringify({ ...kept, containerDefinitions });
    const { taskDefinitionArn } = await asked(
      ['ecs', 'register-task-definition', '--cli-input-json', json, '--query', 'taskDefinition'],
      Arn,
    );
    return taskDefinitionArn;
  }
  const setTask = (service: string, task: string) =>
    aws(['ecs', 'update-service', '--cluster', cluster, '--service', service, '--task-definition', task]);

  return {
    async faults() {
      const faults = envFaults(path, env, ['DATABASE_URL'], ['NODE_IMAGE', 'CUDA_IMAGE']);
      await registry();
      for (const secret of secrets) {
        const id = `atelier/${stage}/${secret}`;
        await aws(['secretsmanager', 'describe-secret', '--secret-id', id]).catch((error: unknown) => {
          if (!String(error).includes('ResourceNotFound')) throw error;
          faults.push(`Secrets Manager has no ${id}.`);
        });
      }
      return faults;
    },
    async build(tag) {
      for (const target of ['app', 'worker']) {
        const bases = ['NODE_IMAGE', 'CUDA_IMAGE'].flatMap((name) => [
          '--build-arg',
          `${name}=${env?.[name] ?? ''}`,
        ]);
        const how = [
          '--file',
          'infra/deploy/Dockerfile',
          '--target',
          target,
          '--tag',
          await imageOf(target, tag),
        ];
        await docker(['build', ...how, ...bases, '.'], LONG_MS);
      }
    },
    async push(tag) {
      const password = await run(
        { program: 'aws', args: ['ecr', 'get-login-password', '--region', region], cwd: ROOT },
        SHORT_MS,
      );
      await docker(
        ['login', '--username', 'AWS', '--password-stdin', await registry()],
        SHORT_MS,
        password.trim(),
      );
      for (const target of ['app', 'worker']) await docker(['push', await imageOf(target, tag)], LONG_MS);
    },
    lock: (tag) =>
      hold(
        {
          program: process.execPath,
          args: ['infra/deploy/inside/hold.ts', tag],
          cwd: ROOT,
          env: { DATABASE_URL: env?.DATABASE_URL ?? '' },
        },
        SHORT_MS,
      ),
    async running(): Promise<Running> {
      return new Map(
        (await described()).map(({ serviceName, taskDefinition }) => [serviceName, taskDefinition]),
      );
    },
    async migrate(tag) {
      const stack = `Atelier-${stage}-Migration`;
      const query = `Stacks[0].Outputs[?OutputKey=='Run'].OutputValue | [0]`;
      const line = await asked(
        ['cloudformation', 'describe-stacks', '--stack-name', stack, '--query', query],
        z.string(),
      );
      const task = await withTag(`atelier-${stage}-migrate`, tag);
      const how = wordsOf(line).map((word, i, all) => (all[i - 1] === '--task-definition' ? task : word));
      const arn = await asked(['ecs', 'run-task', ...how, '--query', 'tasks[0].taskArn'], z.string());
      await aws(['ecs', 'wait', 'tasks-stopped', '--cluster', cluster, '--tasks', arn], 10 * SHORT_MS);
      const { exitCode } = await asked(
        ['ecs', 'describe-tasks', '--cluster', cluster, '--tasks', arn, '--query', 'tasks[0].containers[0]'],
        Exit,
      );
      if (exitCode !== 0)
        throw new Error(
          `The migration ended with ${exitCode ?? 'nothing'}: its log is /atelier/${stage}/migrate in CloudWatch.`,
        );
    },
    async update(tag) {
      for (const { serviceName, taskDefinition } of await described())
        await setTask(serviceName, await withTag(taskDefinition, tag));
    },
    async unhealthy() {
      const all = await described();
      return services.flatMap((name) => {
        const found = all.find(({ serviceName }) => serviceName === name);
        if (!found) throw new Error(`The cluster ${cluster} has no service ${name}.`);
        const states = found.deployments.map(({ rolloutState }) => rolloutState);
        if (states.includes('FAILED')) throw new Error(`ECS gave ${name} up: see its events.`);
        const isDone =
          found.runningCount === found.desiredCount && states.every((state) => state === 'COMPLETED');
        return isDone
          ? []
          : [`${name} ${found.runningCount} of ${found.desiredCount}, ${states.join(' ').toLowerCase()}`];
      });
    },
    async rollBack(to) {
      for (const [service, task] of to) await setTask(service, task);
    },
  };
}

/** Words of a shell's line: apart by spaces, but not between single quotes. */
function wordsOf(line: string): string[] {
  return [...line.matchAll(/'([^']*)'|(\S+)/g)].map(([, quoted, plain]) => quoted ?? plain ?? '');
}
