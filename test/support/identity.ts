/** What pictures are marked with where no installation is. */
import { makeCertificate } from '#src/marks/certificate.ts';
import type { Identity } from '#src/marks/installation.ts';

export const testIdentity: Identity = { installation: 0x2a51, ...makeCertificate('Atelier 2a51') };
/** Of a generation that there is not. */
export const GENERATION = '01990000-0000-7000-8000-0123456789ab';
