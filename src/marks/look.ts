/** Looks for the marks of a stranger's file, and for what it says of how it was drawn. Called in a process of its own (look-process.ts), and in tests. */
import { z } from 'zod';
import { SIDE_MIN } from '#pipelines/watermark/embed.ts';
import { findWatermark } from '#pipelines/watermark/find.ts';
import { openPicture, Refusal, upright } from '#src/uploads/decode.ts';
import { textsOf } from '#src/uploads/texts.ts';
import { Written, writtenIn } from '#src/uploads/written.ts';
import { decodeMark } from './payload.ts';
import { Claim, readClaim } from './reader.ts';

/** What was seen of a file. */
export const Seen = z.object({
  claim: Claim.nullable(),
  /** what its watermark says */
  mark: z.object({ installation: z.int(), generation: z.string() }).nullable(),
  /** its shorter side is less than a watermark takes, px; null: it is large enough */
  below: z.number().nullable(),
  /** what the program that drew it wrote down; null: none did that we can read */
  written: Written.nullable(),
});
export type Seen = z.output<typeof Seen>;
export const Look = z.union([Seen, Refusal]);

/** px: what is larger is made smaller first. The watermark is found at a third of its size and at thrice. */
const SIDE_MAX = 2_048;

/** @param authorities PEM, of certificates whose signatures are known */
export async function look(bytes: Buffer, authorities: readonly string[]): Promise<Seen | Refusal> {
  const opened = await openPicture(bytes);
  if ('why' in opened) return opened;
  const { header, picture } = opened;
  const claim = await readClaim(bytes, header.format, authorities);
  const decoded = await upright(picture, SIDE_MAX)
    .raw()
    .toBuffer({ resolveWithObject: true })
    .catch(() => null);
  if (!decoded) return { why: 'no picture' };
  const { data, info } = decoded;
  const found = findWatermark({ rgb: new Uint8Array(data), width: info.width, height: info.height });
  const written = writtenIn(textsOf(header));
  const isSmall = Math.min(header.width, header.height) < SIDE_MIN;
  return { claim, mark: found && decodeMark(found), below: isSmall ? SIDE_MIN : null, written };
}
