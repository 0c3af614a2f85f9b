/** Looks after bundles: `npm run bundle -- COMMAND …`. Each command is a file of its own, `infra/bundle/<command>.ts`. */
import type { Command } from './command.ts';

const commands: Readonly<Record<string, { usage: string; run(): Promise<{ default: Command }> }>> = {
  check: { usage: 'check DIR [--quick]', run: () => import('./check.ts') },
  fetch: { usage: 'fetch safety DIR [mobilenet|inception]', run: () => import('./fetch.ts') },
  ages: { usage: 'ages DIR [PHOTOS]', run: () => import('./ages.ts') },
  concepts: { usage: 'concepts DIR [--write]', run: () => import('./concepts.ts') },
  look: { usage: 'look DIR [PICTURES]', run: () => import('./look.ts') },
  reference: { usage: 'reference DIR', run: () => import('./reference.ts') },
  lora: { usage: 'lora list|add|remove|merge DIR …', run: () => import('./lora.ts') },
};

// A reader that has seen enough, such as `| head`, is no fault.
process.stdout.on('error', () => process.exit());

const [name = '', ...args] = process.argv.slice(2);
const command = Object.hasOwn(commands, name) ? commands[name] : undefined;
if (command) {
  process.exitCode = await (await command.run()).default(args);
} else {
  const usages = Object.values(commands).map(({ usage }) => `  npm run bundle -- ${usage}`);
  process.stderr.write(`Usage:\n${usages.join('\n')}\n`);
  process.exitCode = 2;
}
