/** `infra/deploy/stages.yaml`: where there is something to deploy to. */
import { z } from 'zod';
import { loadYaml } from '#config/load.ts';

const name = z.string().regex(/^[A-Z][A-Z0-9_]*$/, 'must be a name like DISCORD_TOKEN');
const shared = {
  /** NAME=value, relative to the repository; not in it */
  env: z.string().min(1),
  secrets: z.array(name),
  /** s */
  healthyWithin: z.number().int().min(1).max(3_600),
};

const ComposeStage = z.strictObject({
  ...shared,
  kind: z.literal('compose'),
  profiles: z.array(z.enum(['gpu', 'cpu'])).max(1),
  host: z
    .string()
    .regex(/^ssh:\/\/[^\s/]+$/, 'must be like ssh://user@host')
    .optional(),
  registry: z
    .string()
    .regex(/^\S+\/$/, 'must end in /')
    .optional(),
});

const EcsStage = z.strictObject({
  ...shared,
  kind: z.literal('ecs'),
  region: z.string().regex(/^[a-z]{2}(-[a-z]+)+-\d$/, 'must be a region like us-east-1'),
  services: z.array(z.string().regex(/^[a-z][a-z0-9-]*$/)).min(1),
});

export type ComposeStage = z.output<typeof ComposeStage>;
export type EcsStage = z.output<typeof EcsStage>;
export type Stage = ComposeStage | EcsStage;

const StagesFile = z.record(
  z.string().regex(/^[a-z][a-z0-9-]*$/, 'a stage is named with a-z, 0-9 and -'),
  z.discriminatedUnion('kind', [ComposeStage, EcsStage]),
);

/** @throws {Error} with file, line and what was expected; or with the stages there are */
export function readStage(
  wanted: string,
  file: string | URL = new URL('./stages.yaml', import.meta.url),
): Stage {
  const stages = loadYaml(file, StagesFile);
  const stage = Object.hasOwn(stages, wanted) ? stages[wanted] : undefined;
  if (!stage)
    throw new Error(
      `There is no stage ${wanted || '(none named)'}. infra/deploy/stages.yaml has: ${Object.keys(stages).join(', ')}.`,
    );
  return stage;
}
