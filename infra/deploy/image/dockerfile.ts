/**
 * Reads a Dockerfile, as far as infra/deploy/Dockerfile goes: FROM, ARG before the first FROM, WORKDIR, COPY, RUN, ENV, USER, EXPOSE,
 * STOPSIGNAL, HEALTHCHECK, ENTRYPOINT and CMD. What it does not know it refuses: a step left out would be another image.
 * Source: https://docs.docker.com/reference/dockerfile/
 */
import { z } from 'zod';

export type Step =
  | {
      readonly kind: 'copy';
      readonly from: string | undefined;
      readonly sources: readonly string[];
      readonly to: string;
    }
  | { readonly kind: 'run'; readonly caches: readonly string[]; readonly script: string };

/** A step, and what the instructions before it have set. */
export interface Placed {
  readonly line: number;
  readonly text: string;
  readonly step: Step;
  readonly workdir: string;
  readonly env: Readonly<Record<string, string>>;
}

export interface Stage {
  readonly name: string;
  /** another stage, `scratch`, or an image */
  readonly base: string;
  readonly steps: readonly Placed[];
  readonly workdir: string;
  readonly env: Readonly<Record<string, string>>;
  /** of user and group; '' is root */
  readonly user: string;
  readonly entrypoint: readonly string[];
  readonly command: readonly string[];
  readonly healthcheck: readonly string[];
}

const Words = z.array(z.string()).min(1);

/**
 * @param images what ARGs before the first FROM are given
 * @throws {Error} with the line, for what is wrong or not known here
 */
export function parseDockerfile(text: string, images: Readonly<Record<string, string>>): Map<string, Stage> {
  const stages = new Map<string, Stage>();
  const args = new Set<string>();
  let stage: Stage | undefined;

  for (const { line, text: instruction } of instructionsOf(text)) {
    const refuse = (why: string): never => {
      throw new Error(`Dockerfile:${line}: ${why}`);
    };
    const [, keyword = '', rest = ''] =
      /^([A-Z]+)\s+([\s\S]+)$/.exec(instruction) ?? refuse(`cannot be read: ${instruction}`);
    if (keyword === 'ARG') {
      if (stage || !/^\w+$/.test(rest))
        refuse('ARG is known before the first FROM alone, and without a default');
      args.add(rest);
      continue;
    }
    if (keyword === 'FROM') {
      const [, image = '', name = ''] =
        /^(\S+) AS ([a-z-]+)$/.exec(rest) ?? refuse('FROM needs a name: FROM … AS name');
      const base = image.replace(/^\$\{(\w+)\}$/, (_, arg: string) =>
        args.has(arg) ? (images[arg] ?? `\${${arg}}`) : refuse(`${arg} is no ARG above`),
      );
      const under = stages.get(base);
      stage = {
        ...(under ?? { workdir: '/', env: {}, user: '', entrypoint: [], command: [], healthcheck: [] }),
        name,
        base,
        steps: [],
      };
      stages.set(name, stage);
      continue;
    }
    if (!stage) return refuse('the first instruction after ARGs is FROM');
    stage = changed(stage, keyword, rest, line, instruction, refuse);
    stages.set(stage.name, stage);
  }
  return stages;
}

function changed(
  stage: Stage,
  keyword: string,
  rest: string,
  line: number,
  text: string,
  refuse: (why: string) => never,
): Stage {
  const { workdir, env } = stage;
  const withStep = (step: Step): Stage => ({
    ...stage,
    steps: [...stage.steps, { line, text, step, workdir, env }],
  });
  switch (keyword) {
    case 'COPY':
      return withStep(copyOf(rest, refuse));
    case 'RUN':
      return withStep(runOf(rest, refuse));
    case 'WORKDIR':
      return rest.startsWith('/') ? { ...stage, workdir: rest } : refuse('WORKDIR must begin with /');
    case 'ENV':
      return { ...stage, env: { ...env, ...pairsOf(rest, refuse) } };
    case 'USER':
      return /^\d+:\d+$/.test(rest)
        ? { ...stage, user: rest }
        : refuse('USER must be two numbers, as 10001:10001');
    case 'ENTRYPOINT':
      return { ...stage, entrypoint: wordsOf(rest, refuse) };
    case 'CMD':
      return { ...stage, command: wordsOf(rest, refuse) };
    case 'HEALTHCHECK':
      return { ...stage, healthcheck: wordsOf(rest.replace(/^(--[a-z-]+=\S+ )*CMD /, ''), refuse) };
    case 'EXPOSE':
    case 'STOPSIGNAL':
      return stage; // nothing that is built
    default:
      return refuse(`${keyword} is not known here`);
  }
}

function copyOf(rest: string, refuse: (why: string) => never): Step {
  const words = rest.split(/\s+/);
  const [, from] = /^--from=([a-z-]+)$/.exec(words[0] ?? '') ?? [];
  const paths = from === undefined ? words : words.slice(1);
  const to = paths.at(-1) ?? '';
  const sources = paths.slice(0, -1);
  if (!sources.length || paths.some((path) => /^--|[*?["]/.test(path)))
    return refuse('this kind of COPY is not known here');
  if (sources.length > 1 && !to.endsWith('/')) return refuse('COPY of several must end in a folder, with /');
  return { kind: 'copy', from, sources, to };
}

function runOf(rest: string, refuse: (why: string) => never): Step {
  const caches: string[] = [];
  const script = rest.replace(/^(?:--mount=type=cache,target=(\S+)\s+)+/, (options) => {
    for (const [, target = ''] of options.matchAll(/target=(\S+)/g)) caches.push(target);
    return '';
  });
  if (/^(--|\[)/.test(script)) return refuse('this kind of RUN is not known here');
  return { kind: 'run', caches, script };
}

function pairsOf(rest: string, refuse: (why: string) => never): Record<string, string> {
  const pairs = rest
    .split(/\s+/)
    .map((pair) => /^(\w+)=([^"'$\\]*)$/.exec(pair) ?? refuse(`ENV ${pair} is not NAME=value`));
  return Object.fromEntries(pairs.map(([, name = '', value = '']) => [name, value]));
}

/** The form without a shell, as there is none in the image. */
function wordsOf(rest: string, refuse: (why: string) => never): string[] {
  if (!rest.startsWith('[')) return refuse('needs the form ["program", "argument"]');
  return Words.parse(JSON.parse(rest));
}

/** Comments out, continued lines in one. */
function instructionsOf(text: string): { line: number; text: string }[] {
  const found: { line: number; text: string }[] = [];
  let begun: { line: number; text: string } | undefined;
  for (const [i, line] of text.split('\n').entries()) {
    if (/^\s*(#|$)/.test(line)) continue;
    begun = {
      line: begun?.line ?? i + 1,
      text: `${begun ? `${begun.text} ` : ''}${line.replace(/\\$/, '').trim()}`,
    };
    if (line.endsWith('\\')) continue;
    found.push(begun);
    begun = undefined;
  }
  if (begun) throw new Error(`Dockerfile:${begun.line}: ends in the middle of an instruction`);
  return found;
}
