/**
 * The signed part of a picture's marks: a manifest as C2PA 2.2 has it, with nothing in it of who asked, or for what.
 *
 *   c2pa                          JUMBF boxes, ISO 19566-5, each of them a description and what it holds
 *   └ urn:c2pa:<uuid>
 *     ├ c2pa.assertions           what is said: how it came to be, the bits of its watermark, the hash of the file
 *     ├ c2pa.claim.v2             the hashes of all that
 *     └ c2pa.signature            COSE_Sign1 of the claim, RFC 9052: ES256
 *
 * Written by hand, as the whole of it is fixed: the one library that writes it is 9 MB of WebAssembly, which takes 50 MB of each process
 * and a second file in memory for each that is signed.
 */
import { createHash, type KeyObject, randomUUID, sign } from 'node:crypto';
import { type Cbor, cbor, Tagged } from './cbor.ts';

/** Who signs. */
export interface Signer {
  /** of P-256 */
  readonly key: KeyObject;
  /** DER, its own first; those that it is signed by after it */
  readonly certificates: readonly Uint8Array[];
}

/** What is said of a picture, all of it public. */
export interface Statement {
  /** IPTC's word for how it came to be, with its address */
  readonly source: string;
  /** when the file was made */
  readonly at: Date;
  /** what its watermark says; null: it was not given one */
  readonly mark: Uint8Array | null;
}

/** An assertion that binds the manifest to the file. */
export interface Binding {
  readonly label: 'c2pa.hash.data' | 'c2pa.hash.bmff.v3';
  readonly says: { readonly [name: string]: Cbor };
}

const AGENT = { name: 'Atelier' } as const;
/** Ours: no list has it. */
const WATERMARK = 'atelier.watermark.1';

/** C2PA's kinds of boxes: four letters, and what makes a UUID of them. */
const KIND_REST = Buffer.from('00110010800000aa00389b71', 'hex');
/** of a description: it can be asked for, and has a label */
const LABELLED = 0x03;

/** @returns boxes to be put into the file, of an even length */
export function manifest(signer: Signer, { source, at, mark }: Statement, binding: Binding): Buffer {
  const label = `urn:c2pa:${randomUUID()}`;
  const created = {
    action: 'c2pa.created',
    when: new Tagged(0, at.toISOString()),
    softwareAgent: AGENT,
    digitalSourceType: source,
  };
  const assertions = [
    assertion('c2pa.actions.v2', { actions: [created] }),
    ...(mark ? [assertion('c2pa.soft-binding', softBinding(mark))] : []),
    assertion(binding.label, binding.says),
  ];
  const claim = cbor({
    instanceID: `xmp:iid:${randomUUID()}`,
    claim_generator_info: AGENT,
    signature: `self#jumbf=/c2pa/${label}/c2pa.signature`,
    created_assertions: assertions.map(({ url, hash }) => ({ url, hash })),
    alg: 'sha256',
  });
  const signature = signatureOf(signer, claim);
  const whole = (header: Cbor) =>
    superbox('c2pa', 'c2pa', [
      superbox('c2ma', label, [
        superbox(
          'c2as',
          'c2pa.assertions',
          assertions.map((one) => one.box),
        ),
        superbox('c2cl', 'c2pa.claim.v2', [box('cbor', claim)]),
        superbox('c2cs', 'c2pa.signature', [box('cbor', signature(header))]),
      ]),
    ]);
  const store = whole({});
  // RIFF adds a byte to what is odd, and readers differ in whose that is.
  return store.length % 2 ? whole({ pad: new Uint8Array() }) : store;
}

/** What finds the manifest again where a file has lost it. */
const softBinding = (mark: Uint8Array): Cbor => ({
  alg: WATERMARK,
  blocks: [{ scope: {}, value: Buffer.from(mark).toString('base64') }],
});

function assertion(label: string, says: Cbor) {
  const body = superbox('cbor', label, [box('cbor', cbor(says))]);
  // A claim names what the box holds, without the box's own head.
  const hash = createHash('sha256').update(body.subarray(8)).digest();
  return { box: body, url: `self#jumbf=c2pa.assertions/${label}`, hash };
}

/** A COSE_Sign1 that leaves the claim out: it stands beside it. @returns it with what else its head is to have, unsigned */
function signatureOf({ key, certificates }: Signer, claim: Buffer): (header: Cbor) => Buffer {
  const protectedHeader = cbor(
    new Map<number, Cbor>([
      [1, -7], // alg: ES256
      [33, certificates], // x5chain
    ]),
  );
  const toSign = cbor(['Signature1', protectedHeader, new Uint8Array(), claim]);
  const signature = sign('sha256', toSign, { key, dsaEncoding: 'ieee-p1363' });
  return (header) => cbor(new Tagged(18, [protectedHeader, header, null, signature]));
}

function superbox(kind: string, label: string, content: readonly Buffer[]): Buffer {
  const description = [Buffer.from(kind), KIND_REST, Buffer.from([LABELLED]), Buffer.from(`${label}\0`)];
  return box('jumb', box('jumd', ...description), ...content);
}

/** Length, kind, content: as in ISO's other boxes. */
export function box(kind: string, ...content: readonly Uint8Array[]): Buffer {
  const head = Buffer.alloc(8);
  head.writeUInt32BE(content.reduce((bytes, { length }) => bytes + length, 8));
  head.write(kind, 4, 'latin1');
  return Buffer.concat([head, ...content]);
}
