/**
 * This Atelier, as its pictures name it: the number in their watermarks, and the key that signs them. One row, made by whichever process
 * needs it first; the others find it. A key from the environment signs instead of it.
 */
import { randomInt } from 'node:crypto';
import { config } from '#config/env.ts';
import { certificatesIn } from '#config/signing.ts';
import { db } from '#src/doors/db.ts';
import { makeCertificate } from './certificate.ts';

/** What pictures are marked with. It can be sent to a thread. */
export interface Identity {
  /** 0…65,535 */
  readonly installation: number;
  /** PEM */
  readonly key: string;
  /** PEM, its own first */
  readonly certificates: string;
}

const ONLY = 1;

let known: Promise<{ identity: Identity; authorities: readonly string[] }> | undefined;

/** In a thread, which asks Postgres nothing: from now on this is the identity. */
export function takeIdentity(given: Identity): void {
  known = Promise.resolve({ identity: given, authorities: certificatesIn(given.certificates).slice(-1) });
}

/** @throws what `isAway` knows */
export async function identity(): Promise<Identity> {
  return (await load()).identity;
}

/** Whose certificates have signed our pictures, PEM: of the key in use, and of the one that was made here. @throws as `identity` */
export async function ourAuthorities(): Promise<readonly string[]> {
  return (await load()).authorities;
}

async function load(): NonNullable<typeof known> {
  known ??= read();
  try {
    return await known;
  } catch (error) {
    known = undefined;
    throw error;
  }
}

async function read(): NonNullable<typeof known> {
  const row = (await find()) ?? (await make());
  const { key, certificates } = config.signing ?? row;
  const last = (pem: string) => certificatesIn(pem).slice(-1);
  return {
    identity: { installation: row.number, key, certificates },
    authorities: [...new Set([...last(certificates), ...last(row.certificates)])],
  };
}

const find = () => db.installation.findUnique({ where: { id: ONLY } });

/** Of several that make it at once one is kept, and all have that one. */
async function make() {
  const number = randomInt(2 ** 16);
  const made = makeCertificate(`Atelier ${number.toString(16).padStart(4, '0')}`);
  await db.installation.createMany({ data: { id: ONLY, number, ...made }, skipDuplicates: true });
  return db.installation.findUniqueOrThrow({ where: { id: ONLY } });
}
