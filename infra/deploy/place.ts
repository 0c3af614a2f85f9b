/** What the kinds of stages have in common: somewhere that versions are brought to. A version is named by its tag, as `3f2a9c1`. */
import { existsSync, readFileSync } from 'node:fs';
import { resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseEnv } from 'node:util';
import type { Held } from './shell.ts';

export interface Place {
  /** What is missing or wrong, a sentence each; changes nothing. */
  faults(): Promise<readonly string[]>;
  build(tag: string): Promise<void>;
  push(tag: string): Promise<void>;
  /** @throws {Error} in words, when another deploy has it */
  lock(tag: string): Promise<Held>;
  /** What runs now: what `rollBack` is given. */
  running(): Promise<Running>;
  migrate(tag: string): Promise<void>;
  update(tag: string): Promise<void>;
  /** Services that are not healthy yet, with what they say. @throws {Error} when waiting is of no use */
  unhealthy(): Promise<readonly string[]>;
  /** Back to that; without any, nothing of ours is left running. */
  rollBack(to: Running): Promise<void>;
}

/** service → what it runs, as the place names it; empty on the first deploy */
export type Running = ReadonlyMap<string, string>;

export const ROOT = fileURLToPath(new URL('../..', import.meta.url));
/** What a command may take that only asks, or says what shall be. ms */
export const SHORT_MS = 60_000;
/** Without a cache; a registry far away. ms */
export const LONG_MS = 1_800_000;

/** @returns undefined where there is no such file. */
export function readEnv(path: string): Readonly<Record<string, string>> | undefined {
  const file = resolve(ROOT, path);
  if (!existsSync(file)) return undefined;
  const all = parseEnv(readFileSync(file, 'utf8'));
  return Object.fromEntries(Object.entries(all).flatMap(([name, value]) => (value ? [[name, value]] : [])));
}

/** Of names of values, those that are not there, and of images those that are not by digest. */
export function envFaults(
  path: string,
  env: Readonly<Record<string, string>> | undefined,
  names: readonly string[],
  images: readonly string[],
): string[] {
  if (!env) return [`${path} is missing: infra/deploy/README.md says what must be in it.`];
  const missing = [...names, ...images].filter((name) => !env[name]);
  const loose = images.filter((name) => env[name] && !/@sha256:[0-9a-f]{64}$/.test(env[name]));
  return [
    ...(missing.length ? [`${path} lacks ${missing.join(', ')}.`] : []),
    ...loose.map((name) => `${path}: ${name} must name an image by digest, as name@sha256:…`),
  ];
}
