/**
 * `npm run bundle -- lora …`: a bundle's LoRAs.
 *
 *   lora list DIR                            names, with what each changes
 *   lora add DIR FILE [--name NAME]          checks that it fits, and copies it in
 *   lora remove DIR NAME
 *   lora merge DIR NAME[:SCALE],… OUT        a new bundle with these in its weights
 *
 * Ends with 0, with 1 when something does not fit or is missing, with 2 when the arguments are wrong.
 */
import { copyFile, mkdir, rename, rm, stat } from 'node:fs/promises';
import { basename, dirname, join, resolve } from 'node:path';
import type { LoraPart } from '#pipelines/lora/file.ts';
import { inspectBundle } from '#src/bundles/inspect.ts';
import { LORA_NAME, parseLoras, sayLoras } from '#src/bundles/lora-choice.ts';
import { checkLora, listLoras, loraFile, readLoraFile, requirePresent } from '#src/bundles/loras.ts';
import { mergeBundle } from '#src/bundles/merged-networks.ts';
import { messageOf } from '#src/doors/log.ts';
import { UserError } from '#src/errors.ts';
import type { Command } from './command.ts';

class Misused extends Error {}

const USAGE = `Usage:
  npm run bundle -- lora list DIR
  npm run bundle -- lora add DIR FILE [--name NAME]
  npm run bundle -- lora remove DIR NAME
  npm run bundle -- lora merge DIR NAME[:SCALE],… OUT`;

const lora: Command = async ([action, dir, ...args]) => {
  try {
    const work = action && Object.hasOwn(actions, action) ? actions[action] : undefined;
    if (!work || !dir) throw new Misused(USAGE);
    const root = resolve(dir);
    if (!(await stat(join(root, 'bundle.yaml')).catch(() => null)))
      throw new Misused(`There is no bundle.yaml in ${root}.`);
    await work(root, args);
    return 0;
  } catch (error) {
    process.stderr.write(`${messageOf(error)}\n`);
    return error instanceof Misused ? 2 : 1;
  }
};
export default lora;

const say = (line: string) => process.stdout.write(`${line}\n`);

const actions: Readonly<Record<string, (root: string, args: readonly string[]) => Promise<void>>> = {
  async list(root, args) {
    if (args.length) throw new Misused(USAGE);
    const names = await listLoras(root);
    if (!names.length) say('This bundle has no LoRAs. Add one with: npm run bundle -- lora add DIR FILE');
    for (const name of names) say(describe(name, await readLoraFile(loraFile(root, name))));
  },

  async add(root, args) {
    const at = args.indexOf('--name');
    const given = at < 0 ? undefined : args[at + 1];
    const [file, ...more] = at < 0 ? args : args.filter((_, i) => i !== at && i !== at + 1);
    if (!file || more.length || (at >= 0 && !given)) throw new Misused(USAGE);
    const name =
      given ??
      basename(file)
        .replace(/\.safetensors$/u, '')
        .toLowerCase();
    if (!LORA_NAME.test(name)) {
      throw new Misused(
        `${JSON.stringify(name)} can't be a LoRA's name: 1 to 40 of a–z, 0–9, - and _. Give one with --name.`,
      );
    }
    const target = loraFile(root, name);
    if (await stat(target).catch(() => null))
      throw new Error(`There is a LoRA ${name} already; remove it first.`);
    const parts = await checkLora(root, resolve(file));
    await mkdir(dirname(target), { recursive: true });
    // Whole or not at all: a worker may look at any moment.
    const making = `${target}.${process.pid}.making`;
    try {
      await copyFile(resolve(file), making);
      await rename(making, target);
    } finally {
      await rm(making, { force: true });
    }
    say(`Added ${describe(name, parts)}`);
    say('Workers offer it within a minute: /set lora');
  },

  async remove(root, [name, ...more]) {
    if (!name || more.length) throw new Misused(USAGE);
    await requirePresent(root, [name]);
    await rm(loraFile(root, name));
    say(`Removed ${name}.`);
  },

  async merge(root, [text, out, ...more]) {
    if (!text || !out || more.length) throw new Misused(USAGE);
    let choices: ReturnType<typeof parseLoras>;
    try {
      choices = parseLoras(text);
    } catch (error) {
      if (!(error instanceof UserError)) throw error;
      throw new Misused(error.userMessage);
    }
    if (!choices.length) throw new Misused('No LoRA is left to merge: scale 0 is none.');
    await requirePresent(
      root,
      choices.map(({ name }) => name),
    );
    const { files, faults } = await inspectBundle(root);
    if (faults.length) throw new Error(`The bundle itself can't be used: ${faults[0]}`);
    await mergeBundle(root, choices, resolve(out), files);
    say(`${resolve(out)} is the bundle with ${sayLoras(choices)} in its weights.`);
  },
};

/** `film: 722 modules of the unet, rank 32` */
function describe(name: string, parts: readonly LoraPart[]): string {
  const targets = [...new Set(parts.map(({ target }) => target))];
  const modules = targets.map(
    (target) => `${parts.filter((part) => part.target === target).length} of the ${target}`,
  );
  const ranks = [...new Set(parts.map(({ rank }) => rank))].sort((a, b) => a - b);
  return `${name}: ${parts.length} modules (${modules.join(', ')}), rank ${ranks.join(', ')}`;
}
