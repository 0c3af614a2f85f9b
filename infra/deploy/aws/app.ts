/** `cdk deploy -c stage=<stage>`: the stacks of a stage, as `stages/<stage>.yaml` wants them. */
import { readStage } from './settings.ts';
import { newApp, stacksOf } from './stacks.ts';

const app = newApp();
const text = (name: string): string | undefined => {
  const value: unknown = app.node.tryGetContext(name);
  return typeof value === 'string' ? value : undefined;
};
const stage = text('stage') ?? 'example';
try {
  stacksOf(app, stage, readStage(stage), text('tag'));
  app.synth();
} catch (error) {
  process.stderr.write(`${error instanceof Error ? error.message : String(error)}\n`);
  process.exitCode = 1;
}
