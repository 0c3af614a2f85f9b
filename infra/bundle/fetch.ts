/**
 * `npm run bundle -- fetch safety DIR [mobilenet|inception]`: a trained image classifier into a bundle, beside what it has.
 *
 * It comes from npm, pinned by its hash, and is converted here: the network in `safety/nsfw.onnx`, its licence beside it, and an entry in
 * `bundle.yaml`, last, so that a bundle that this is ended in is as it was. Asked again it does the same again. Infra decision 32 says
 * which of the two is for what.
 *
 * Ends with 0, with 1 when something is missing or another file than the pinned one, with 2 when the arguments are wrong.
 */
import { mkdir, readFile, rename, writeFile } from 'node:fs/promises';
import { dirname, join, resolve } from 'node:path';
import { parseDocument } from 'yaml';
import { inspectBundle } from '#src/bundles/inspect.ts';
import { messageOf } from '#src/doors/log.ts';
import type { Command } from './command.ts';
import { fetchPackage } from './npm-package.ts';
import { convert, LABELS, NETWORKS, type NetworkName, NSFWJS } from './nsfwjs.ts';

const USAGE = 'Usage: npm run bundle -- fetch safety DIR [mobilenet|inception]';
const NAME = 'nsfw';
const FILE = 'safety/nsfw.onnx';
const LICENCE = 'safety/nsfw-LICENSE';
const SAID = `${NSFWJS.spec} (image classifier): MIT`;

const fetchInto: Command = async (args) => {
  const [what, dir, network = 'mobilenet', ...more] = args;
  if (what !== 'safety' || !dir || more.length || !Object.hasOwn(NETWORKS, network)) {
    process.stderr.write(`${USAGE}\n`);
    return 2;
  }
  try {
    await fetchSafety(resolve(dir), network as NetworkName);
    return 0;
  } catch (error) {
    process.stderr.write(`${messageOf(error)}\n`);
    return 1;
  }
};
export default fetchInto;

/** @throws {Error} when the folder is no bundle, and when the package can't be had */
export async function fetchSafety(dir: string, network: NetworkName): Promise<void> {
  await inspectBundle(dir);
  const say = (line: string) => process.stdout.write(`${line}\n`);
  say(`Fetching ${NSFWJS.spec} …`);
  const files = await fetchPackage(NSFWJS);
  const onnx = convert(files, network);
  const licence = files.get('LICENSE');
  if (!licence) throw new Error(`${NSFWJS.spec} has no LICENSE.`);

  await put(join(dir, FILE), onnx);
  await put(join(dir, LICENCE), licence);
  await put(join(dir, 'bundle.yaml'), withEntry(await readFile(join(dir, 'bundle.yaml'), 'utf8'), network));
  say(
    `${FILE}   ${(onnx.length / 2 ** 20).toFixed(1)} MiB, ${network} of ${NSFWJS.spec}; its licence is ${LICENCE}.`,
  );
  say(
    'bundle.yaml names it. Pictures drawn with other weights before are drawn anew when they are asked for.',
  );
}

/** The manifest with it, everything else as it was written. */
function withEntry(yaml: string, network: NetworkName): string {
  const { side, testCard } = NETWORKS[network];
  const entry = {
    name: NAME,
    file: FILE,
    input: { side, resize: 'corners', mean: 0, std: 1 },
    labels: LABELS,
    testCard,
  };
  const manifest = parseDocument(yaml);
  const { classifiers = [], licence } = manifest.toJS() as {
    classifiers?: readonly { readonly name: string }[];
    licence: string;
  };
  const at = classifiers.findIndex(({ name }) => name === NAME);
  manifest.setIn(['classifiers', at < 0 ? classifiers.length : at], manifest.createNode(entry));
  if (!licence.includes(SAID)) manifest.set('licence', `${licence}; ${SAID}`);
  return manifest.toString({ lineWidth: 0 });
}

/** Whole or not at all. */
async function put(path: string, bytes: string | Uint8Array): Promise<void> {
  await mkdir(dirname(path), { recursive: true });
  const making = `${path}.${process.pid}.making`;
  await writeFile(making, bytes);
  await rename(making, path);
}
