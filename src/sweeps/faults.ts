/** What is wrong with a sweep, gathered so that all of it is told at once, each fault with its line. */
import type { z } from 'zod';
import { UserError } from '#src/errors.ts';
import { quote } from '#src/text.ts';
import { Sweep } from './schema.ts';
import type { Lines } from './yaml.ts';

const FAULTS_MAX = 12;

/** Keys and indexes, from the outermost inwards. */
export type Path = readonly PropertyKey[];

/** A fault of one axis or setting. Its message is a sentence that is told beside others. */
export class AxisFault extends Error {
  constructor(name: string, says: string) {
    super(`\`${name}\` ${says}`);
  }
}

/** What is wrong with a sweep, one sentence a fault, to be told all at once. */
export class Faults {
  readonly #lines: Lines;
  readonly #found = new Set<string>();

  constructor(lines: Lines) {
    this.#lines = lines;
  }

  add(path: Path, says: string): void {
    const line = lineOf(path, this.#lines);
    this.#found.add(line ? `Line ${line}: ${says}` : says);
  }

  /** What zod found. */
  issue(issue: z.core.$ZodIssue): void {
    const { path } = issue;
    if (issue.code !== 'unrecognized_keys') {
      this.add(path, `${path.length ? quote(path.join('.')) : 'A sweep'}: ${issue.message}.`);
      return;
    }
    const known = (path.length ? ['from', 'to', 'step'] : Object.keys(Sweep.shape)).map(
      (key) => `\`${key}\``,
    );
    for (const key of issue.keys) {
      const says = `${quote(key)} is not known here. There are ${known.join(', ')}.`;
      this.add([...path, key], says);
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
    if (error instanceof AxisFault) this.add(path, error.message);
    else if (error instanceof UserError) this.add(path, error.userMessage);
    else throw error;
  }

  /** A dozen of them, and how many more there are; empty: nothing is wrong. */
  told(): string[] {
    const faults = [...this.#found];
    const more = faults.length - FAULTS_MAX;
    if (more > 0) faults.splice(FAULTS_MAX, more, `… and ${more} more.`);
    return faults;
  }
}

/** The line of the deepest part of a path that has one. */
function lineOf(path: Path, lines: Lines): number | undefined {
  if (!path.length) return undefined;
  const place = lines.get(String(path[0]));
  return place && (lineOf(path.slice(1), place.inner) ?? place.line);
}
