/**
 * `npm run bundle -- check DIR [--quick]`: a table of every file of a bundle, then everything that is wrong with it.
 *
 * Each network is opened as a worker would, one at a time; `--quick` reads headers alone. Ends with 0 when the bundle can be
 * used, with 1 when it can't, with 2 when the arguments are wrong.
 */
import { readdir, readFile, stat } from 'node:fs/promises';
import { basename, dirname, join, resolve } from 'node:path';
import { stringify } from 'yaml';
import { config } from '#config/env.ts';
import type { OnnxValue } from '#pipelines/onnx-reader.ts';
import { classify } from '#pipelines/safety/classify.ts';
import { testCard } from '#pipelines/safety/test-card.ts';
import { openClassifiers } from '#src/bundles/classifiers.ts';
import { type Inspection, inspectBundle, unusedFiles } from '#src/bundles/inspect.ts';
import { type ClassifierEntry, classifierRole, isClassifierRole } from '#src/bundles/manifest.ts';
import { type NetworkFile, readNetworks } from '#src/bundles/networks.ts';
import { type Openable, openNetwork } from '#src/bundles/open-network.ts';
import { log, messageOf } from '#src/doors/log.ts';
import { type Provider, reasonOf, type SessionReport, surveyProviders } from '#src/doors/onnx.ts';
import type { Command } from './command.ts';

const check: Command = async (args) => {
  const [dir, ...more] = args.filter((arg) => arg !== '--quick');
  if (!dir || more.length || dir.startsWith('-'))
    return misused('Usage: npm run bundle -- check DIR [--quick]');
  const root = resolve(dir);
  if (!(await stat(root).catch(() => null))?.isDirectory()) return misused(`There is no folder ${root}.`);
  if (!(await stat(join(root, 'bundle.yaml')).catch(() => null))) return suggest(root);

  let found: Inspection;
  try {
    found = await inspectBundle(root);
  } catch (error) {
    return verdict([messageOf(error)]);
  }
  const { manifest, networks } = found;
  say(`${manifest.name}: ${manifest.title}. Licence: ${manifest.licence}`);
  describeAges(manifest);
  describeConcepts(manifest);
  await describeOlder(root, manifest);
  const faults = [...found.faults];
  const open = args.includes('--quick') ? [] : await providersHere(faults);
  for (const network of networks) {
    say('');
    describeNetwork(network);
    if (!open.length || network.faults.length) continue;
    const problem = await tryOpening(root, network, open);
    if (problem) faults.push(`${network.path} does not load: ${problem}`);
    else if (isClassifierRole(network.role)) faults.push(...(await tryLooking(root, found, network, open)));
  }
  say('');
  await describeRest(found);
  return verdict(faults);
};
export default check;

function describeAges({ ageError }: Inspection['manifest']): void {
  say(
    ageError === undefined
      ? 'Nobody measured its age network, so every face counts as one that may be under 18: npm run bundle -- ages DIR PHOTOS'
      : `Its age network reads up to ${ageError} years too many: a face counts as of age from ${18 + ageError} on.`,
  );
}

function describeConcepts({ concepts }: Inspection['manifest']): void {
  const asked = Object.entries(concepts);
  say(
    asked.length
      ? 'Prompts that come near to one of these concepts have their pictures held for review, from:'
      : 'Nobody measured its text encoder, so it asks about no concept: npm run bundle -- concepts DIR',
  );
  for (const [name, threshold] of asked) say(`  ${name.padEnd(NAME)} ${threshold}`);
}

/** Bundles from before there were several classifiers go on working; what they are taken for is said. */
async function describeOlder(dir: string, { classifiers }: Inspection['manifest']): Promise<void> {
  if (!/^ +safety:/m.test(await readFile(join(dir, 'bundle.yaml'), 'utf8'))) return;
  say(
    'Its bundle.yaml has files.safety, as older ones do. It is read as this, which can stand in its place:',
  );
  for (const line of stringify({ classifiers: classifiers.slice(0, 1) })
    .trimEnd()
    .split('\n'))
    say(`  ${line}`);
}

const say = (line: string) => process.stdout.write(`${line.trimEnd()}\n`);

function misused(line: string): number {
  process.stderr.write(`${line}\n`);
  return 2;
}

function verdict(faults: readonly string[]): number {
  say('');
  if (!faults.length) {
    say('This bundle can be used.');
    return 0;
  }
  say(`This bundle can't be used: ${faults.length === 1 ? 'one fault' : `${faults.length} faults`}.`);
  for (const fault of faults) for (const line of fault.split('\n')) say(`  ${line}`);
  return 1;
}

/** Columns of the table; the last one is as wide as it needs. */
const ROLE = 16;
const NAME = 30;
const TYPE = 9;

function describeNetwork({ role, path, size, data, model, weights }: NetworkFile): void {
  const bytes = (size ?? 0) + data.reduce((sum, one) => sum + (one.size ?? 0), 0);
  const facts =
    size === null ? 'missing' : [sizeText(bytes), precisionOf(weights)].filter(Boolean).join(', ');
  say(`${`${role} `.padEnd(ROLE)}${path}   ${facts}`);
  for (const one of data)
    say(
      `${' '.repeat(ROLE)}${one.path}   ${one.size === null ? 'missing' : sizeText(one.size)}, its weights`,
    );
  for (const input of model?.inputs ?? []) say(`  in   ${portText(input)}`);
  for (const [first, ...others] of alike(model?.outputs ?? [])) {
    const last = others.at(-1);
    say(
      `  out  ${portText(last ? { ...first, name: `${first.name} … ${last.name.split('.').at(-1)}` } : first)}`,
    );
  }
}

/** Groups outputs that differ in a last number alone, as hidden states do. */
function alike(values: readonly OnnxValue[]): [OnnxValue, ...OnnxValue[]][] {
  const groups: [OnnxValue, ...OnnxValue[]][] = [];
  const stem = ({ name, type, shape }: OnnxValue) => `${name.replace(/\.\d+$/, '.')} ${type} ${shape}`;
  for (const value of values) {
    const before = groups.at(-1);
    if (before && /\.\d+$/.test(value.name) && stem(before[0]) === stem(value)) before.push(value);
    else groups.push([value]);
  }
  return groups;
}

function portText({ name, type, shape }: OnnxValue): string {
  const axes = shape?.map((side) => (String(side).length > 20 ? '?' : side)).join(', ');
  return `${name.padEnd(NAME)} ${type.padEnd(TYPE)} ${shape ? `[${axes}]` : 'of no stated shape'}`;
}

/** The types that weights are stored in, by their share of the bytes: `float16`, or `float16 97 %, float32 3 %`. */
function precisionOf(weights: Readonly<Record<string, number>>): string {
  const all = Object.values(weights).reduce((sum, bytes) => sum + bytes, 0);
  const shares = Object.entries(weights)
    .map(([type, bytes]) => ({ type, percent: Math.round((100 * bytes) / all) }))
    .filter(({ percent }) => percent > 0)
    .sort((a, b) => b.percent - a.percent);
  if (shares.length < 2) return shares[0]?.type ?? '';
  return shares.map(({ type, percent }) => `${type} ${percent} %`).join(', ');
}

function sizeText(bytes: number): string {
  const units = ['bytes', 'KiB', 'MiB', 'GiB'];
  const power = Math.min(units.length - 1, Math.floor(Math.log2(Math.max(1, bytes)) / 10));
  const value = bytes / 1024 ** power;
  return `${value.toFixed(power && value < 10 ? 1 : 0)} ${units[power]}`;
}

/** Those of ONNX_PROVIDERS that this machine has. Each that it lacks is told. */
async function providersHere(faults: string[]): Promise<readonly Provider[]> {
  log.level = 'silent'; // the table says it in words
  const { found, missing } = await surveyProviders(config.onnxProviders);
  for (const { provider, reason } of missing)
    say(`Execution provider ${provider} is not available here: ${reason}`);
  if (!found.length) faults.push('ONNX_PROVIDERS names no execution provider that is available here');
  return found;
}

/** @returns what went wrong; undefined when nothing did */
async function tryOpening(
  dir: string,
  network: NetworkFile,
  providers: readonly Provider[],
): Promise<string | undefined> {
  let report: SessionReport | undefined;
  try {
    const session = await openNetwork(dir, network, {
      threads: config.onnxThreads,
      providers,
      onReport: (one) => {
        report = one;
      },
    });
    await session.close();
  } catch (error) {
    return reasonOf(error);
  }
  if (report) say(`  loads in ${report.loadSeconds.toFixed(2)} s, for ${report.providers.join(', ')}`);
  return undefined;
}

/** A classifier may take this long for a picture, ms. */
const LOOK_LIMIT_MS = 60_000;

/** What a classifier says of the test card, as a worker asks it before the first picture. @returns what is wrong */
async function tryLooking(
  dir: string,
  { manifest }: Inspection,
  network: NetworkFile,
  providers: readonly Provider[],
): Promise<readonly string[]> {
  const classifiers = manifest.classifiers.filter((one) => classifierRole(one) === network.role);
  const openable: Openable = { ...network, bytes: network.size ?? 0 };
  const options = { threads: config.onnxThreads, providers, classifierLimitMs: LOOK_LIMIT_MS };
  const opened = await openClassifiers(dir, { classifiers }, [openable], options);
  for (const classifier of opened.faults.length ? [] : opened.classifiers) {
    const startedAt = performance.now();
    const scores = await classify(classifier, testCard());
    const ms = performance.now() - startedAt;
    const said = Object.entries(scores).map(([label, score]) => `${label} ${score.toFixed(4)}`);
    say(`  looks in ${ms.toFixed(0)} ms; of the test card it says ${said.join(', ')}`);
  }
  await opened.close();
  return opened.faults;
}

async function describeRest(found: Inspection): Promise<void> {
  const { files } = found.manifest;
  const fact = (name: string, path: string, what: string) => say(`${name.padEnd(ROLE)}${path}   ${what}`);
  const { tokenizers, settings } = found;
  const words = ({ padId, endId }: { padId: number; endId: number }) =>
    `${(endId + 1).toLocaleString('en')} tokens, the end is ${endId}, padding is ${padId}`;
  fact('tokenizer', `${files.tokenizer}/`, tokenizers ? words(tokenizers[0]) : 'not read');
  fact('tokenizer2', `${files.tokenizer2}/`, tokenizers ? words(tokenizers[1]) : 'not read');
  fact('scheduler', files.scheduler, settings ? `the UNet predicts ${settings.predictionType}` : 'not read');
  fact(
    'VAE',
    join(dirname(files.vaeEncoder), 'config.json'),
    settings ? `latents are scaled by ${settings.vaeScalingFactor}` : 'not read',
  );

  const sizes = await Promise.all(
    found.files.map(async (file) => (await stat(join(found.dir, file)).catch(() => null))?.size ?? 0),
  );
  const all = sizes.reduce((sum, one) => sum + one, 0);
  say('');
  say(
    `${found.files.length} files, ${sizeText(all)}; bundle.yaml asks for ${found.manifest.memoryGib} GiB of memory.`,
  );
  const unused = await unusedFiles(found);
  if (unused.length) say('Not named in bundle.yaml, and not used:');
  for (const file of unused) say(`  ${file}`);
}

/** Where exports and packs have their files: what the path of each role ends with. */
const USUAL: readonly (readonly [role: string, end: RegExp])[] = [
  ['textEncoder', /^text_encoder\/model\.onnx$/],
  ['textEncoder2', /^text_encoder_2\/model\.onnx$/],
  ['unet', /^unet\/model\.onnx$/],
  ['vaeEncoder', /^vae_encoder\/model\.onnx$/],
  ['vaeDecoder', /^vae_decoder\/model\.onnx$/],
  ['tokenizer', /^tokenizer\/(vocab|tokenizer)\.json$/],
  ['tokenizer2', /^tokenizer_2\/(vocab|tokenizer)\.json$/],
  ['scheduler', /^scheduler\/scheduler_config\.json$/],
  ['faceDetector', /(det_10g|scrfd_10g_bnkps)\.onnx$/],
  ['faceRecognizer', /(w600k_r50|glintr100)\.onnx$/],
  ['faceLandmarks', /2d106det\.onnx$/],
  ['faceGenderAge', /genderage\.onnx$/],
  ['idTokens', /id_tokens\.onnx$/],
  ['idFuse', /fuse\.onnx$/],
  ['idEncoder', /id_encoder(\/model)?\.onnx$/],
  ['upscaler', /(upscal|esrgan)[^/]*(\/model)?\.onnx$/i],
];
const OPTIONAL = new Set(['idTokens', 'idFuse', 'idEncoder', 'upscaler']);

const CLASSIFIER = /(safety|nsfw)[^/]*(\/model)?\.onnx$/i;

/** As a ViT of Hugging Face's is fed. */
const suggested = (path: string, i: number): ClassifierEntry => ({
  name: i ? `safety-${i + 1}` : 'safety',
  file: path,
  input: { side: 224, resize: 'antialias', mean: [0.5, 0.5, 0.5], std: [0.5, 0.5, 0.5] },
  labels: ['normal', 'nsfw'],
});

/** Suggests a manifest for a folder that has none. */
async function suggest(dir: string): Promise<number> {
  const paths = (await readdir(dir, { recursive: true })).sort();
  const files: Record<string, string> = {};
  for (const [role, end] of USUAL) {
    const path = paths.find((one) => end.test(one));
    if (path) files[role] = role.startsWith('tokenizer') ? path.replace(/\/[^/]+$/, '') : path;
  }
  // Two graphs are preferred to one: their ID tokens can be kept for a person.
  const { idTokens, idFuse, idEncoder } = files;
  if (idTokens && idFuse) delete files.idEncoder;
  else for (const role of ['idTokens', 'idFuse']) delete files[role];
  const sizes = await Promise.all(paths.map(async (path) => (await stat(join(dir, path))).size));
  const gib = sizes.reduce((sum, one) => sum + one, 0) / 1024 ** 3;
  const name =
    basename(dir)
      .toLowerCase()
      .replace(/[^a-z0-9]+/g, '-')
      .replace(/^-|-$/g, '') || 'mine';
  const manifest = {
    version: 1,
    name,
    title: name,
    family: 'sdxl',
    licence: 'write the licence of its weights here',
    triggerWord: 'img',
    memoryGib: Math.max(0.1, Math.ceil(gib * 15) / 10),
    files,
    classifiers: paths.filter((path) => CLASSIFIER.test(path)).map(suggested),
    detector: { size: 640, threshold: 0.5 },
    detailSide: 1024,
  };
  const networks = await readNetworks(dir, manifest);
  for (const network of networks) {
    describeNetwork(network);
    say('');
  }
  const missing = USUAL.map(([role]) => role).filter((role) => !(role in files) && !OPTIONAL.has(role));
  if (!manifest.classifiers.length) missing.push('classifiers');
  if (!(idTokens && idFuse) && !idEncoder) missing.push('idTokens and idFuse, or idEncoder');
  say(`There is no bundle.yaml in ${dir}. ${missing.length ? 'Begin with this one' : 'This one fits'}:`);
  say('');
  say(stringify(manifest));
  if (missing.length) say(`Nothing was found for: ${missing.join('; ')}.`);
  return verdict(['bundle.yaml is missing', ...networks.flatMap(({ faults }) => faults)]);
}
