/**
 * This Atelier, as its pictures name it: the number in their watermarks, and the key that signs them. It is one row, installation-row.ts.
 */
import { certificatesIn } from '#config/signing.ts';

/** What pictures are marked with. It can be sent to a thread. */
export interface Identity {
  /** 0…65,535 */
  readonly installation: number;
  /** PEM */
  readonly key: string;
  /** PEM, its own first */
  readonly certificates: string;
}

/** Whose certificates have signed our pictures, PEM: of the key in use, and of the one that was made here. */
export interface Installation {
  readonly identity: Identity;
  readonly authorities: readonly string[];
}

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
