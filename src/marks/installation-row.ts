/** The row of an installation, made by whichever process needs it first; the others find it. A key from the environment signs instead of it. */
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

/** Whose certificates have signed our pictures, PEM: of the key in use, and of the one that was made here. */
export interface Installation {
  readonly identity: Identity;
  readonly authorities: readonly string[];
}

const ONLY = 1;

export async function readInstallation(): Promise<Installation> {
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
