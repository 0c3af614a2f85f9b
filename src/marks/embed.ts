/** Where a manifest stands in a file, by what C2PA 2.2 says of each format (its appendix A), and what of the file it vouches for. */
import { createHash } from 'node:crypto';
import { crc32 } from 'node:zlib';
import { type Binding, box, manifest, type Signer, type Statement } from './manifest.ts';

/** A file with a place for the manifest. */
interface Opened {
  readonly before: Buffer;
  /** the manifest as it stands in the file */
  wrap(store: Buffer): Buffer;
  readonly after: Buffer;
}

interface Format {
  /** @param room bytes that the manifest takes as it stands in the file */
  open(file: Buffer, room: number): Opened;
  /** of what the manifest vouches for */
  hash(opened: Opened, room: number): Buffer;
  bind(opened: Opened, room: number, hash: Buffer): Binding;
}

const NO_HASH = Buffer.alloc(32);
/** How often its size is looked at: the second time it has the numbers that it is to have. */
const TRIES = 4;

/**
 * Signs a finished file: every byte of it but the manifest's own. 1 ms, and 2 for each MB.
 *
 * @param file PNG, JPEG, WebP or AVIF, as our encoders write them: with XMP, and without a manifest
 * @throws {Error} of another file, or one that is broken
 */
export function signFile(file: Uint8Array, signer: Signer, statement: Statement): Buffer<ArrayBuffer> {
  const bytes = Buffer.from(file.buffer, file.byteOffset, file.length);
  const format = formatOf(bytes);
  // What the manifest says of the file hangs on how long it is itself, and that on what it says.
  for (let room = 0, tried = 0; tried < TRIES; tried++) {
    const opened = format.open(bytes, room);
    const carried = (hash: Buffer) =>
      opened.wrap(manifest(signer, statement, format.bind(opened, room, hash)));
    const { length } = carried(NO_HASH);
    if (length === room)
      return Buffer.concat([opened.before, carried(format.hash(opened, room)), opened.after]);
    room = length;
  }
  throw new Error('A manifest does not come to its size');
}

function formatOf(bytes: Buffer): Format {
  const ascii = (from: number, to: number) => bytes.toString('latin1', from, to);
  if (ascii(1, 4) === 'PNG') return png;
  if (ascii(0, 3) === '\xff\xd8\xff') return jpeg;
  if (ascii(0, 4) === 'RIFF' && ascii(8, 12) === 'WEBP') return webp;
  if (ascii(4, 12) === 'ftypavif') return avif;
  throw new Error('Only PNG, JPEG, WebP and AVIF are signed');
}

/** All bytes but those of the manifest. */
const allElse: Pick<Format, 'hash' | 'bind'> = {
  hash: ({ before, after }) => createHash('sha256').update(before).update(after).digest(),
  bind: ({ before }, room, hash) => ({
    label: 'c2pa.hash.data',
    says: {
      exclusions: [{ start: before.length, length: room }],
      name: 'jumbf manifest',
      alg: 'sha256',
      hash,
      pad: new Uint8Array(),
    },
  }),
};

/** A chunk `caBX` after the first, which is IHDR. */
const png: Format = {
  open: (file) => ({
    before: file.subarray(0, 33),
    wrap(store) {
      const chunk = Buffer.alloc(store.length + 12);
      chunk.writeUInt32BE(store.length);
      chunk.write('caBX', 4, 'latin1');
      store.copy(chunk, 8);
      chunk.writeUInt32BE(crc32(chunk.subarray(4, -4)), chunk.length - 4);
      return chunk;
    },
    after: file.subarray(33),
  }),
  ...allElse,
};

/** bytes of a JPEG segment, with the two that say so */
const SEGMENT_MAX = 0xffff;

/** Segments APP11 at the beginning: each repeats the head of the box that it goes on with. */
const jpeg: Format = {
  open: (file) => ({
    before: file.subarray(0, 2),
    wrap(store) {
      const head = store.subarray(0, 8);
      const most = SEGMENT_MAX - 10 - head.length;
      const count = Math.ceil((store.length - head.length) / most);
      const segments = Array.from({ length: count }, (_, i) => {
        const part = store.subarray(head.length + i * most, head.length + (i + 1) * most);
        const start = Buffer.alloc(12);
        start.writeUInt16BE(0xffeb);
        start.writeUInt16BE(10 + head.length + part.length, 2);
        start.write('JP', 4, 'latin1');
        start.writeUInt16BE(1, 6); // the first box of the file
        start.writeUInt32BE(i + 1, 8);
        return Buffer.concat([start, head, part]);
      });
      return Buffer.concat(segments);
    },
    after: file.subarray(2),
  }),
  ...allElse,
};

/** A chunk `C2PA` at the end. */
const webp: Format = {
  open(file, room) {
    // Without the longer head, which XMP brings, a file has one chunk and no place for others.
    if (file.toString('latin1', 12, 16) !== 'VP8X') throw new Error('A WebP is signed with its XMP alone');
    const before = Buffer.from(file);
    before.writeUInt32LE(file.length + room - 8, 4);
    const wrap = (store: Buffer) => {
      const chunk = Buffer.alloc(8 + store.length);
      chunk.write('C2PA', 'latin1');
      chunk.writeUInt32LE(store.length, 4);
      store.copy(chunk, 8);
      return chunk;
    };
    return { before, wrap, after: Buffer.alloc(0) };
  },
  ...allElse,
};

const C2PA_UUID = Buffer.from('d8fec3d61b0e483c92975828877ec481', 'hex');

/** A box `uuid` after the first, which is `ftyp`. What comes behind it moves, and `meta` says where everything is. */
const avif: Format = {
  open(file, room) {
    const at = file.readUInt32BE(0);
    const after = Buffer.from(file.subarray(at));
    moveItems(after, room);
    const head = Buffer.concat([Buffer.alloc(4), Buffer.from('manifest\0'), Buffer.alloc(8)]);
    return {
      before: file.subarray(0, at),
      wrap: (store) => box('uuid', C2PA_UUID, head, store),
      after,
    };
  },
  /** All boxes but the first and the manifest's own, each with where it stands: hashing of ISO files, version 3. */
  hash({ before, after }, room) {
    const hash = createHash('sha256');
    for (const { at, body } of boxesOf(after)) {
      const offset = Buffer.alloc(8);
      offset.writeBigUInt64BE(BigInt(before.length + room + at));
      hash.update(offset).update(body);
    }
    return hash.digest();
  },
  bind: (_opened, _room, hash) => ({
    label: 'c2pa.hash.bmff.v3',
    says: {
      exclusions: [
        { xpath: '/uuid', data: [{ offset: 8, value: C2PA_UUID }] },
        { xpath: '/ftyp' },
        { xpath: '/mfra' },
      ],
      alg: 'sha256',
      hash,
      name: 'jumbf manifest',
    },
  }),
};

function* boxesOf(bytes: Buffer, from = 0): Generator<{ kind: string; at: number; body: Buffer }> {
  for (let at = from; at < bytes.length; ) {
    const length = bytes.readUInt32BE(at);
    if (length < 8 || at + length > bytes.length) throw new Error('A box of an AVIF is broken');
    yield { kind: bytes.toString('latin1', at + 4, at + 8), at, body: bytes.subarray(at, at + length) };
    at += length;
  }
}

/** Where a box of its own version ends its head. */
const FULL_HEAD = 12;

/** Says in `iloc` that what it points at is so many bytes further on (ISO 14496-12, 8.11.3). In place. */
function moveItems(boxes: Buffer, by: number): void {
  const meta = [...boxesOf(boxes)].find(({ kind }) => kind === 'meta')?.body;
  const iloc = meta && [...boxesOf(meta, FULL_HEAD)].find(({ kind }) => kind === 'iloc')?.body;
  if (!iloc) throw new Error('An AVIF does not say where its picture is');
  let at = FULL_HEAD;
  const read = (size: number) => {
    const value = size ? iloc.readUIntBE(at, size) : 0;
    at += size;
    return value;
  };
  const version = iloc.readUInt8(8);
  const [sizes, more] = [read(1), read(1)];
  const [offsetSize, lengthSize, baseSize] = [sizes >> 4, sizes & 15, more >> 4];
  const indexSize = version ? more & 15 : 0;
  const idSize = version < 2 ? 2 : 4;
  const items = read(idSize);
  for (let item = 0; item < items; item++) {
    read(idSize);
    const isInFile = !version || (read(2) & 15) === 0;
    read(2);
    if (baseSize && isInFile) {
      iloc.writeUIntBE(read(baseSize) + by, at - baseSize, baseSize);
    } else read(baseSize);
    const extents = read(2);
    for (let extent = 0; extent < extents; extent++) {
      read(indexSize);
      const offset = read(offsetSize);
      if (!baseSize && isInFile) iloc.writeUIntBE(offset + by, at - offsetSize, offsetSize);
      read(lengthSize);
    }
  }
}
