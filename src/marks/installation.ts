/**
 * This Atelier, as its pictures name it: the number in their watermarks, and the key that signs them. It is one row, installation-row.ts.
 */
import { certificatesIn } from '#config/signing.ts';
import type { Identity, Installation } from './installation-row.ts';

export type { Identity };

let known: Promise<Installation> | undefined;

/** In a thread, which asks Postgres nothing: from now on this is the identity. */
export function takeIdentity(given: Identity): void {
  known = Promise.resolve({ identity: given, authorities: certificatesIn(given.certificates).slice(-1) });
}

/** @throws what `isAway` knows */
export async function identity(): Promise<Identity> {
  return (await load()).identity;
}

/** @throws as `identity` */
export async function ourAuthorities(): Promise<readonly string[]> {
  return (await load()).authorities;
}

async function load(): Promise<Installation> {
  // With it comes Postgres, which a thread that was given its identity has no use for: 0.2 s of each worker's start.
  known ??= import('./installation-row.ts').then(({ readInstallation }) => readInstallation());
  try {
    return await known;
  } catch (error) {
    known = undefined;
    throw error;
  }
}
