/**
 * What the invisible watermark of a picture says, in 64 bits:
 *
 *   16  installation   which Atelier drew it
 *   36  generation     the last nine hex digits of the generation's id
 *   12  checksum       over the other 52
 *
 * The digits are of the random part of a UUID of version 7, so a generation is found by `right(id, 9)`, which an index can hold, and no
 * column is needed. Of 10⁸ pictures of an installation, one in 687 shares its digits with another: those who look get all of them, and
 * tell them apart by their eyes. Nothing is counted up: the mark tells nobody how many pictures there are.
 *
 * Two installations have the same number in one case of 65,536. A mark that is read wrongly passes for a right one in one of 4,096.
 */
import { createHash } from 'node:crypto';
import { z } from 'zod';

export interface Mark {
  /** 0…65,535 */
  readonly installation: number;
  /** nine hex digits, small letters */
  readonly generation: string;
}

export const MARK_BYTES = 8;
/** hex digits of each part */
const [INSTALLATION, GENERATION, CHECKSUM] = [4, 9, 3] as const;

const Parts = z.object({
  installation: z
    .int()
    .min(0)
    .max(16 ** INSTALLATION - 1),
  generation: z.string().regex(/^[0-9a-f]{9}$/),
});

/** The part of a generation's id that its pictures carry. */
export const generationDigits = (id: string) => id.slice(-GENERATION);

/**
 * @returns [8]
 * @throws {Error} when a number or digits are out of their range: they are ours, so that is a fault
 */
export function encodeMark(mark: Mark): Uint8Array {
  const { installation, generation } = Parts.parse(mark);
  const said = installation.toString(16).padStart(INSTALLATION, '0') + generation;
  return Uint8Array.from(Buffer.from(said + checksumOf(said), 'hex'));
}

/** null: the checksum is wrong, so no Atelier wrote this, or it was read wrongly. @param bytes [8] */
export function decodeMark(bytes: Uint8Array): Mark | null {
  const hex = Buffer.from(bytes).toString('hex');
  const said = hex.slice(0, INSTALLATION + GENERATION);
  if (hex.slice(said.length) !== checksumOf(said)) return null;
  return {
    installation: Number.parseInt(said.slice(0, INSTALLATION), 16),
    generation: said.slice(INSTALLATION),
  };
}

/** The first three hex digits of a SHA-256, for these bits and no other use. */
const checksumOf = (said: string) =>
  createHash('sha256').update(`atelier mark ${said}`).digest('hex').slice(0, CHECKSUM);
