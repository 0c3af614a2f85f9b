/**
 * The key that an installation makes for itself, and certificates for it: an authority of its own, and what signs pictures. Node has no
 * writer of X.509 (RFC 5280); what C2PA asks of a certificate is fixed, and takes two dozen lines of DER.
 */
import { createHash, generateKeyPairSync, type KeyObject, randomBytes, sign } from 'node:crypto';

/** Longer than anybody looks at a picture: nothing renews it, and what it signed is judged by it for good. */
const YEARS = 25;
const HOUR_MS = 3_600_000;

const OID = {
  ecdsaWithSha256: '1.2.840.10045.4.3.2',
  organization: '2.5.4.10',
  commonName: '2.5.4.3',
  basicConstraints: '2.5.29.19',
  keyUsage: '2.5.29.15',
  extendedKeyUsage: '2.5.29.37',
  subjectKeyIdentifier: '2.5.29.14',
  authorityKeyIdentifier: '2.5.29.35',
  emailProtection: '1.3.6.1.5.5.7.3.4',
} as const;
/** How DER begins what it holds. */
const TAG = {
  boolean: 0x01,
  integer: 0x02,
  bits: 0x03,
  bytes: 0x04,
  oid: 0x06,
  text: 0x0c,
  utcTime: 0x17,
  generalizedTime: 0x18,
  sequence: 0x30,
  set: 0x31,
} as const;

/** PEM */
export interface Made {
  readonly key: string;
  /** its own, then its authority's */
  readonly certificates: string;
}

/**
 * The authority's key is thrown away: it signs this once.
 *
 * @param name of who signs, as others read it
 */
export function makeCertificate(name: string, now = new Date()): Made {
  const [authority, own] = [keyPair(), keyPair()];
  const from = new Date(now.getTime() - HOUR_MS); // clocks differ
  const to = new Date(from);
  to.setUTCFullYear(to.getUTCFullYear() + YEARS);
  const issuer = nameOf(`${name} authority`);
  const signed = (subject: Buffer, key: Buffer, extensions: readonly Buffer[]) =>
    pem('CERTIFICATE', certificate({ issuer, subject, key, from, to, extensions }, authority.privateKey));
  const identifies = [
    extension(OID.subjectKeyIdentifier, der(TAG.bytes, idOf(own.spki))),
    extension(OID.authorityKeyIdentifier, sequence(der(0x80, idOf(authority.spki)))),
  ];
  const leaf = signed(nameOf(name), own.spki, [
    extension(OID.basicConstraints, sequence(), true),
    extension(OID.keyUsage, der(TAG.bits, [7, 0x80]), true), // digitalSignature
    extension(OID.extendedKeyUsage, sequence(oid(OID.emailProtection))),
    ...identifies,
  ]);
  const root = signed(issuer, authority.spki, [
    extension(OID.basicConstraints, sequence(der(TAG.boolean, [0xff])), true),
    extension(OID.keyUsage, der(TAG.bits, [1, 0x06]), true), // keyCertSign, cRLSign
    extension(OID.subjectKeyIdentifier, der(TAG.bytes, idOf(authority.spki))),
  ]);
  return {
    key: own.privateKey.export({ type: 'pkcs8', format: 'pem' }).toString(),
    certificates: leaf + root,
  };
}

function keyPair(): { privateKey: KeyObject; spki: Buffer } {
  const { privateKey, publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  return { privateKey, spki: publicKey.export({ type: 'spki', format: 'der' }) };
}

interface Says {
  readonly issuer: Buffer;
  readonly subject: Buffer;
  /** SubjectPublicKeyInfo */
  readonly key: Buffer;
  readonly from: Date;
  readonly to: Date;
  readonly extensions: readonly Buffer[];
}

function certificate({ issuer, subject, key, from, to, extensions }: Says, by: KeyObject): Buffer {
  const algorithm = sequence(oid(OID.ecdsaWithSha256));
  const serial = randomBytes(16);
  serial[0] = 0x40 | (serial[0]! & 0x3f); // above 0, and of that length
  const said = sequence(
    der(0xa0, der(TAG.integer, [2])), // version 3
    der(TAG.integer, serial),
    algorithm,
    issuer,
    sequence(time(from), time(to)),
    subject,
    key,
    der(0xa3, sequence(...extensions)),
  );
  return sequence(said, algorithm, der(TAG.bits, [0], sign('sha256', said, by)));
}

const idOf = (spki: Buffer) => createHash('sha256').update(spki).digest().subarray(0, 20);

const nameOf = (name: string) =>
  sequence(
    ...[
      [OID.organization, 'Atelier'],
      [OID.commonName, name],
    ].map(([id = '', text = '']) => der(TAG.set, sequence(oid(id), der(TAG.text, Buffer.from(text))))),
  );

/** From 2050 on the year has four digits. */
function time(at: Date): Buffer {
  const text = `${at.toISOString().replace(/\D/g, '').slice(0, 14)}Z`;
  return at.getUTCFullYear() < 2050
    ? der(TAG.utcTime, Buffer.from(text.slice(2)))
    : der(TAG.generalizedTime, Buffer.from(text));
}

function extension(id: string, value: Buffer, critical = false): Buffer {
  return sequence(oid(id), ...(critical ? [der(TAG.boolean, [0xff])] : []), der(TAG.bytes, value));
}

const sequence = (...parts: readonly Buffer[]) => der(TAG.sequence, ...parts);

function oid(dotted: string): Buffer {
  const [first = 0, second = 0, ...rest] = dotted.split('.').map(Number);
  const bytes = rest.flatMap((number) => {
    const digits = [number & 0x7f];
    for (let left = number >> 7; left; left >>= 7) digits.unshift((left & 0x7f) | 0x80);
    return digits;
  });
  return der(TAG.oid, [40 * first + second, ...bytes]);
}

/** Tag, length, content (X.690); below 64 KiB. */
function der(tag: number, ...parts: readonly (Uint8Array | readonly number[])[]): Buffer {
  const content = Buffer.concat(parts.map((part) => Uint8Array.from(part)));
  const { length } = content;
  const long = length < 0x80 ? [] : length < 0x100 ? [0x81] : [0x82, length >> 8];
  return Buffer.concat([Uint8Array.of(tag, ...long, length & 0xff), content]);
}

function pem(what: string, bytes: Buffer): string {
  const lines = bytes.toString('base64').match(/.{1,64}/g) ?? [];
  return `-----BEGIN ${what}-----\n${lines.join('\n')}\n-----END ${what}-----\n`;
}
