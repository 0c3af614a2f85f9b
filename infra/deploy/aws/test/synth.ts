/** Stacks as they would be deployed, synthesised once for a test file. */
import { Template } from 'aws-cdk-lib/assertions';
import { readStage, Settings } from '../settings.ts';
import { newApp, stacksOf } from '../stacks.ts';

export const STAGE = 'example';
export const example = readStage(STAGE);

type Stacks = ReturnType<typeof stacksOf>;
type Templates = { readonly [name in keyof Stacks]: Template };

/** @param changes of stages/example.yaml @throws what cdk-nag or CloudFormation's schemas find */
export function synth(changes: Partial<Settings> = {}): Templates & { readonly directory: string } {
  const app = newApp();
  const stacks = stacksOf(app, STAGE, Settings.parse({ ...example, ...changes }));
  const { directory } = app.synth();
  const templates = Object.entries(stacks).map(([name, stack]) => [name, Template.fromStack(stack)]);
  return { ...(Object.fromEntries(templates) as Templates), directory };
}

export interface Resource {
  readonly Type: string;
  /** CloudFormation's own, of whatever kind: as CDK types them. */
  readonly Properties: ReturnType<Template['toJSON']>[string];
  readonly UpdatePolicy?: unknown;
  readonly DeletionPolicy?: string;
}

export const resourcesOf = (template: Template): [string, Resource][] =>
  Object.entries(template.toJSON().Resources as Record<string, Resource>);

export const ofType = (template: Template, type: string): Resource[] =>
  resourcesOf(template)
    .map(([, resource]) => resource)
    .filter(({ Type }) => Type === type);

/** What CloudFormation puts together, with `<name>` for what it knows only then. */
export function flat(value: unknown): string {
  if (typeof value === 'string') return value;
  if (Array.isArray(value)) return value.map(flat).join(',');
  const [[how, what] = ['', '']] = Object.entries(value as Record<string, unknown>);
  if (how === 'Fn::Join') {
    const [between, parts] = what as [string, unknown[]];
    return parts.map(flat).join(between);
  }
  return `<${Array.isArray(what) ? what.join('.') : String(what)}>`;
}
