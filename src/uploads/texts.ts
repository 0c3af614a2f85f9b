/** The texts that a file carries beside its picture: those of a PNG, by their keywords, and EXIF's comment, which JPEG and WebP have. */
import exif from 'exif-reader';
import type { Metadata } from 'sharp';
import type { Text } from './written.ts';

/** Bytes that say how a comment is written (EXIF 2.32, 4.6.5, UserComment). */
const KIND = 8;
/** Of A1111's lines. */
const SIGN = 'Steps: ';

export function textsOf({
  comments = [],
  exif: block,
}: Pick<Metadata, 'comments' | 'exif'>): readonly Text[] {
  const comment = block ? commentIn(block) : null;
  return comment === null ? comments : [...comments, { keyword: 'comment', text: comment }];
}

function commentIn(block: Buffer): string | null {
  let comment: unknown;
  try {
    comment = exif(block).Photo?.UserComment;
  } catch {
    return null; // a stranger's block may be anything
  }
  if (!(comment instanceof Uint8Array)) return null;
  const kind = Buffer.from(comment.subarray(0, KIND)).toString('latin1');
  const text = Buffer.from(comment.subarray(KIND));
  if (kind !== 'UNICODE\0') return text.toString('utf8');
  // The standard leaves the order of its bytes open, and programs differ in it: what is looked for shows which it is.
  const whole = text.subarray(0, text.length & ~1);
  const [small, big] = [whole, Buffer.from(whole).swap16()].map((bytes) => bytes.toString('utf16le')) as [
    string,
    string,
  ];
  return big.includes(SIGN) ? big : small;
}
