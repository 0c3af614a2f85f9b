/**
 * The marks of a picture: what says, to machines and in its own file, that a machine made it.
 *
 * Every picture of ours that leaves is encoded by `markPicture`, so that each file has them, however small it was made:
 *
 *   XMP         IPTC's digital source type, for whoever reads nothing else
 *   C2PA        the same, signed, with the time and the bits of the watermark: manifest.ts
 *   watermark   in the pixels, where the first two were taken off: written once, when a picture is finished (services/worker)
 */
import { createPrivateKey, X509Certificate } from 'node:crypto';
import type { Sharp } from 'sharp';
import { certificatesIn } from '#config/signing.ts';
import { signFile } from './embed.ts';
import { type Identity, identity } from './installation.ts';
import type { Signer } from './manifest.ts';
import { encodeMark, generationDigits } from './payload.ts';

/** IPTC's words for how a picture came to be (cv.iptc.org/newscodes/digitalsourcetype). */
const SOURCES = {
  /** a model drew it */
  drawn: 'trainedAlgorithmicMedia',
  /** of pictures that a model drew, and of other things, as lettering */
  composed: 'compositeWithTrainedAlgorithmicMedia',
} as const;
const VOCABULARY = 'http://cv.iptc.org/newscodes/digitalsourcetype/';

export type Source = keyof typeof SOURCES;

export interface MarkedFile {
  readonly bytes: Buffer<ArrayBuffer>;
  /** px */
  readonly width: number;
  /** px */
  readonly height: number;
}

/**
 * Encodes a picture with what marks its file: a millisecond more than sharp alone and two for each MB, on this thread, and 3 kB.
 *
 * @param image with the format that it is to have: PNG, JPEG, WebP or AVIF
 * @param mark  what its watermark says; null: it was given none, or by another
 * @throws what sharp throws, and what `isAway` knows
 */
export async function markPicture(
  image: Sharp,
  source: Source,
  mark: Uint8Array | null = null,
): Promise<MarkedFile> {
  const type = VOCABULARY + SOURCES[source];
  const [signer, { data, info }] = await Promise.all([
    signerOf(),
    image.withXmp(xmpOf(type)).toBuffer({ resolveWithObject: true }),
  ]);
  const bytes = signFile(data, signer, { source: type, at: new Date(), mark });
  return { bytes, width: info.width, height: info.height };
}

/** What the watermark of a generation's picture says. @throws what `isAway` knows */
export async function watermarkOf(generationId: string): Promise<Uint8Array> {
  const { installation } = await identity();
  return encodeMark({ installation, generation: generationDigits(generationId) });
}

let parsed: { readonly from: Identity; readonly signer: Signer } | undefined;

async function signerOf(): Promise<Signer> {
  const from = await identity();
  if (parsed?.from !== from) {
    const certificates = certificatesIn(from.certificates).map((one) => new X509Certificate(one).raw);
    parsed = { from, signer: { key: createPrivateKey(from.key), certificates } };
  }
  return parsed.signer;
}

const xmpOf = (source: string) =>
  `<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">\
<rdf:Description rdf:about="" xmlns:Iptc4xmpExt="http://iptc.org/std/Iptc4xmpExt/2008-02-29/">\
<Iptc4xmpExt:DigitalSourceType>${source}</Iptc4xmpExt:DigitalSourceType></rdf:Description></rdf:RDF></x:xmpmeta>`;
