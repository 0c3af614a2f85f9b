/** What is wrong with a sweep, gathered so that all of it is told at once, each fault with its line. */
import type { z } from 'zod';
import { UserError } from '#src/errors.ts';
import { type Say, sayIn } from '#src/say.ts';
import { quote } from '#src/text.ts';
import { reasonOf, Sweep } from './schema.ts';
import type { Lines } from './yaml.ts';

const FAULTS_MAX = 12;

/** Keys and indexes, from the outermost inwards. */
export type Path = readonly PropertyKey[];

/** A fault of one axis or setting, to be told beside others. */
export class AxisFault extends Error {
  readonly in: (say: Say) => string;

  constructor(sentence: (say: Say) => string) {
    super(sentence(sayIn('en')));
    this.in = sentence;
  }
}

/** What is wrong with a sweep, one sentence a fault, to be told all at once. */
export class Faults {
  readonly #lines: Lines;
  readonly #say: Say;
  readonly #found = new Set<string>();

  constructor(lines: Lines, say: Say) {
    this.#lines = lines;
    this.#say = say;
  }

  add(path: Path, fault: string): void {
    const say = this.#say;
    const line = lineOf(path, this.#lines);
    this.#found.add(line ? say('Line {line}: {fault}', { line, fault }) : fault);
  }

  /** What zod found. */
  issue(issue: z.core.$ZodIssue): void {
    const say = this.#say;
    const { path } = issue;
    if (issue.code !== 'unrecognized_keys') {
      const where = path.length ? quote(path.join('.')) : say('A sweep');
      this.add(path, `${where}: ${reasonOf(say, issue)}.`);
      return;
    }
    const known = (path.length ? ['from', 'to', 'step'] : Object.keys(Sweep.shape)).map(
      (key) => `\`${key}\``,
    );
    for (const key of issue.keys) {
      const names = { name: quote(key), known: known.join(', ') };
      this.add([...path, key], say('{name} is not known here. There are {known}.', names));
    }
  }

  /** Gives `otherwise` where `work` throws an error for people, and where more is wrong than would be told. */
  try<T>(path: Path, work: () => T, otherwise: T): T {
    if (this.#found.size >= FAULTS_MAX) return otherwise;
    try {
      return work();
    } catch (error) {
      this.#note(path, error);
      return otherwise;
    }
  }

  #note(path: Path, error: unknown): void {
    if (!(error instanceof AxisFault || error instanceof UserError)) throw error;
    this.add(path, error.in(this.#say));
  }

  /** A dozen of them, and how many more there are; empty: nothing is wrong. */
  told(): string[] {
    const say = this.#say;
    const faults = [...this.#found];
    const more = faults.length - FAULTS_MAX;
    if (more > 0) faults.splice(FAULTS_MAX, more, say('… and {more} more.', { more }));
    return faults;
  }
}

/** The line of the deepest part of a path that has one. */
function lineOf(path: Path, lines: Lines): number | undefined {
  if (!path.length) return undefined;
  const place = lines.get(String(path[0]));
  return place && (lineOf(path.slice(1), place.inner) ?? place.line);
}
