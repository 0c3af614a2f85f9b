/**
 * An S3 for tests, in this process: as much of the protocol as we speak, and strict. It takes no request whose signature (version 4,
 * in headers or in the address), payload hash or checksum is wrong, and what is not known to it is refused, not overlooked.
 *
 * It can be away: stopped, hung, overloaded, full. Sources: Amazon's API reference and "Signing AWS API requests".
 */
import { createHash, createHmac, randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import { crc32 } from 'node:zlib';

/** Frozen, as those of the environment are. */
export const S3_KEYS = Object.freeze({ accessKeyId: 'TESTS', secretAccessKey: 'only/for+tests' });

/** How it answers: as it should; never; with 503; that nothing more fits. */
type Mood = 'well' | 'hangs' | 'overloaded' | 'full';

interface Kept {
  readonly bytes: Buffer;
  readonly headers: Readonly<Record<string, string>>;
  readonly at: Date;
}

interface UploadInHand {
  readonly key: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly parts: Map<number, { readonly bytes: Buffer; readonly etag: string }>;
}

export interface TestS3 {
  readonly url: string;
  readonly port: number;
  readonly bucket: string;
  /** key → what is there; to be looked at, and spoiled */
  readonly objects: Map<string, Kept>;
  /** `PUT productions/…`, in their order */
  readonly requests: string[];
  mood: Mood;
  /** as PUT by `?lifecycle` */
  readonly lifecycle: string | null;
  /** parts of uploads that nobody has completed */
  readonly unfinished: number;
  /** Refuses connections from now on; what is there stays. */
  stop(): Promise<void>;
  /** On the port that it had. */
  start(): Promise<void>;
}

class Refusal extends Error {
  readonly status: number;
  readonly code: string;
  constructor(status: number, code: string, message: string = code) {
    super(message);
    this.status = status;
    this.code = code;
  }
}

/** @param pageSize keys of one page of a list */
export async function startS3({ bucket = 'pictures', pageSize = 1_000 } = {}): Promise<TestS3> {
  const objects = new Map<string, Kept>();
  const uploads = new Map<string, UploadInHand>();
  const requests: string[] = [];
  let lifecycle: string | null = null;
  let server: Server;
  let port = 0;

  const s3: TestS3 = {
    get url() {
      return `http://127.0.0.1:${port}`;
    },
    get port() {
      return port;
    },
    get lifecycle() {
      return lifecycle;
    },
    get unfinished() {
      return uploads.size;
    },
    bucket,
    objects,
    requests,
    mood: 'well',
    async stop() {
      server.close();
      server.closeAllConnections();
      await once(server, 'close').catch(() => {});
    },
    async start() {
      server = createServer((request, response) => {
        answer(request, response).catch((error: unknown) => {
          const { status, code, message } =
            error instanceof Refusal ? error : new Refusal(500, 'InternalError', String(error));
          request.resume();
          response.writeHead(status, { 'content-type': 'application/xml' });
          response.end(
            request.method === 'HEAD'
              ? undefined
              : `<?xml version="1.0"?><Error><Code>${code}</Code><Message>${escaped(message)}</Message></Error>`,
          );
        });
      });
      server.listen(port, '127.0.0.1');
      await once(server, 'listening');
      const address = server.address();
      if (typeof address === 'object' && address) port = address.port;
    },
  };

  async function answer(request: IncomingMessage, response: ServerResponse): Promise<unknown> {
    if (s3.mood === 'hangs') return null;
    const [rawPath = '', rawQuery = ''] = (request.url ?? '').split('?');
    const query = new URLSearchParams(rawQuery);
    const body = await bodyOf(request);
    if (s3.mood === 'overloaded') throw new Refusal(503, 'SlowDown');
    verifySignature(request, rawPath, rawQuery, body);
    const sums = verifyChecksums(request, body);

    const host = (request.headers.host ?? '').split(':')[0] ?? '';
    const inHost = host.startsWith(`${bucket}.`);
    const path = decodeURIComponent(rawPath).slice(1);
    const [named = '', ...rest] = inHost ? [bucket, ...path.split('/')] : path.split('/');
    if (named !== bucket) throw new Refusal(404, 'NoSuchBucket');
    const key = rest.join('/');
    const verb = `${request.method} ${[...query.keys()].find((name) => OPERATIONS.has(name)) ?? ''}`.trim();
    requests.push(`${verb} ${key}`.trim());
    const of = { request, response, query, body, key, sums };
    if (key === '') return answerForBucket(verb, of);
    const writes = verb.startsWith('PUT') || verb.startsWith('POST');
    if (writes && s3.mood === 'full') throw new Refusal(403, 'QuotaExceeded');
    return answerForKey(verb, of);
  }

  interface Asked {
    readonly request: IncomingMessage;
    readonly response: ServerResponse;
    readonly query: URLSearchParams;
    readonly body: Buffer;
    readonly key: string;
    readonly sums: Readonly<Record<string, string>>;
  }

  function answerForBucket(verb: string, { response, query, body }: Asked): ServerResponse {
    switch (verb) {
      case 'HEAD':
        return send(response, 200);
      case 'PUT lifecycle':
        lifecycle = String(body);
        return send(response, 200);
      case 'GET lifecycle':
        if (lifecycle === null) throw new Refusal(404, 'NoSuchLifecycleConfiguration');
        return send(response, 200, {}, lifecycle);
      case 'GET list-type': {
        const prefix = query.get('prefix') ?? '';
        const after = query.get('continuation-token') ?? '';
        const keys = [...objects.keys()].filter((key) => key.startsWith(prefix) && key > after).sort();
        const page = keys.slice(0, pageSize);
        const contents = page.map((key) => `<Contents><Key>${escaped(key)}</Key></Contents>`).join('');
        const more = keys.length > page.length;
        const token = more
          ? `<NextContinuationToken>${escaped(page.at(-1) ?? '')}</NextContinuationToken>`
          : '';
        return send(
          response,
          200,
          {},
          `<?xml version="1.0"?><ListBucketResult><IsTruncated>${more}</IsTruncated>${token}${contents}</ListBucketResult>`,
        );
      }
      default:
        throw new Refusal(501, 'NotImplemented', verb);
    }
  }

  function answerForKey(verb: string, { request, response, query, body, key, sums }: Asked): ServerResponse {
    const meta = () =>
      Object.fromEntries(
        Object.entries(request.headers).flatMap(([name, value]) =>
          name.startsWith('x-amz-meta-') && typeof value === 'string' ? [[name, value]] : [],
        ),
      );
    const keep = (bytes: Buffer, headers: Readonly<Record<string, string>>) => {
      objects.set(key, { bytes, headers, at: new Date() });
    };
    const found = () => {
      const kept = objects.get(key);
      if (!kept) throw new Refusal(404, 'NoSuchKey');
      return kept;
    };
    const uploadOf = () => {
      const upload = uploads.get(query.get('uploadId') ?? '');
      if (upload?.key !== key) throw new Refusal(404, 'NoSuchUpload');
      return upload;
    };
    switch (verb) {
      case 'PUT': {
        const from = request.headers['x-amz-copy-source'];
        if (from === undefined) {
          keep(body, { ...meta(), ...sums });
          return send(response, 200, { etag: etagOf(body) });
        }
        const [fromBucket, ...fromKey] = decodeURIComponent(String(from)).replace(/^\//, '').split('/');
        const source = fromBucket === bucket ? objects.get(fromKey.join('/')) : undefined;
        if (!source) throw new Refusal(404, 'NoSuchKey');
        keep(source.bytes, source.headers);
        return send(
          response,
          200,
          {},
          `<CopyObjectResult><ETag>${etagOf(source.bytes)}</ETag></CopyObjectResult>`,
        );
      }
      case 'GET':
      case 'HEAD': {
        const { bytes, headers, at } = found();
        const wanted = request.headers['x-amz-checksum-mode'] === 'ENABLED';
        const shown = Object.entries(headers).filter(
          ([name]) => wanted || !name.startsWith('x-amz-checksum'),
        );
        const all = { ...Object.fromEntries(shown), etag: etagOf(bytes), 'last-modified': at.toUTCString() };
        response.writeHead(200, { ...all, 'content-length': bytes.length });
        return response.end(verb === 'HEAD' ? undefined : bytes);
      }
      case 'DELETE':
        objects.delete(key);
        return send(response, 204);
      case 'POST uploads': {
        const id = randomUUID();
        uploads.set(id, { key, headers: meta(), parts: new Map() });
        return send(
          response,
          200,
          {},
          `<InitiateMultipartUploadResult><UploadId>${id}</UploadId></InitiateMultipartUploadResult>`,
        );
      }
      case 'PUT uploadId': {
        uploadOf().parts.set(Number(query.get('partNumber')), { bytes: body, etag: etagOf(body) });
        return send(response, 200, { etag: etagOf(body), ...sums });
      }
      case 'DELETE uploadId':
        uploadOf();
        uploads.delete(query.get('uploadId') ?? '');
        return send(response, 204);
      case 'POST uploadId': {
        const { parts, headers } = uploadOf();
        const named = [...String(body).matchAll(/<Part>.*?<\/Part>/gs)].map(([part]) => {
          const number = Number(/<PartNumber>(\d+)</.exec(part)?.[1]);
          const etag = /<ETag>(.*?)</.exec(part)?.[1]?.replaceAll('&quot;', '"');
          const given = parts.get(number);
          if (!given || given.etag !== etag) throw new Refusal(400, 'InvalidPart');
          return given.bytes;
        });
        const small = named.slice(0, -1).some(({ length }) => length < 5 * 2 ** 20);
        if (!named.length || small) throw new Refusal(400, 'EntityTooSmall');
        keep(Buffer.concat(named), headers);
        uploads.delete(query.get('uploadId') ?? '');
        return send(
          response,
          200,
          {},
          '<CompleteMultipartUploadResult><ETag>"many-1"</ETag></CompleteMultipartUploadResult>',
        );
      }
      default:
        throw new Refusal(501, 'NotImplemented', verb);
    }
  }

  await s3.start();
  return s3;
}

/** What in an address says which operation is meant. */
const OPERATIONS = new Set(['lifecycle', 'list-type', 'uploads', 'uploadId']);

function send(
  response: ServerResponse,
  status: number,
  headers: Readonly<Record<string, string>> = {},
  xml?: string,
): ServerResponse {
  response.writeHead(status, { 'content-type': 'application/xml', ...headers });
  return response.end(xml);
}

const escaped = (text: string) => text.replaceAll('&', '&amp;').replaceAll('<', '&lt;');
const hex = (data: Buffer | string) => createHash('sha256').update(data).digest('hex');
const hmac = (key: string | Buffer, text: string) => createHmac('sha256', key).update(text).digest();
const etagOf = (bytes: Buffer) => `"${createHash('md5').update(bytes).digest('hex')}"`;

async function bodyOf(request: IncomingMessage): Promise<Buffer> {
  const chunks: Buffer[] = [];
  for await (const chunk of request) chunks.push(chunk as Buffer);
  return Buffer.concat(chunks);
}

/** @throws {Refusal} unless the request was signed with the keys of the tests, and says of its payload what is true */
function verifySignature(request: IncomingMessage, rawPath: string, rawQuery: string, body: Buffer): void {
  const query = rawQuery.split('&').filter(Boolean);
  const parameter = new URLSearchParams(rawQuery);
  const inAddress = parameter.has('X-Amz-Signature');
  const header =
    /^AWS4-HMAC-SHA256 Credential=(?<credential>\S+), SignedHeaders=(?<signed>\S+), Signature=(?<signature>\w+)$/.exec(
      request.headers.authorization ?? '',
    )?.groups;
  const credential = inAddress ? parameter.get('X-Amz-Credential') : header?.credential;
  const signed = inAddress ? parameter.get('X-Amz-SignedHeaders') : header?.signed;
  const signature = inAddress ? parameter.get('X-Amz-Signature') : header?.signature;
  if (!credential || !signed || !signature) throw new Refusal(403, 'AccessDenied', 'not signed');
  const [id, day = '', region = '', service = '', end = ''] = credential.split('/');
  if (id !== S3_KEYS.accessKeyId) throw new Refusal(403, 'InvalidAccessKeyId');
  const at = (inAddress ? parameter.get('X-Amz-Date') : request.headers['x-amz-date']) ?? '';
  const time = Date.parse(
    String(at).replace(/^(\d{4})(\d\d)(\d\d)T(\d\d)(\d\d)(\d\d)Z$/, '$1-$2-$3T$4:$5:$6Z'),
  );
  const ageMs = Date.now() - time;
  const lastsMs = inAddress ? Number(parameter.get('X-Amz-Expires')) * 1_000 : 15 * 60_000;
  if (!(ageMs < lastsMs && ageMs > -15 * 60_000))
    throw new Refusal(403, 'AccessDenied', 'Request has expired');

  const said = inAddress ? 'UNSIGNED-PAYLOAD' : String(request.headers['x-amz-content-sha256']);
  if (!inAddress && said !== hex(body)) throw new Refusal(400, 'XAmzContentSHA256Mismatch');
  const must = inAddress ? ['host'] : ['host', 'x-amz-content-sha256', 'x-amz-date'];
  const names = signed.split(';');
  const unsigned = Object.keys(request.headers).filter(
    (name) => name.startsWith('x-amz-') && !names.includes(name),
  );
  if (must.some((name) => !names.includes(name)) || (!inAddress && unsigned.length))
    throw new Refusal(403, 'AccessDenied', `not signed: ${unsigned}`);
  const canonical = [
    request.method,
    rawPath,
    query
      .filter((part) => !part.startsWith('X-Amz-Signature='))
      .map((part) => (part.includes('=') ? part : `${part}=`))
      .sort()
      .join('&'),
    ...names.map((name) => `${name}:${String(request.headers[name]).trim().replaceAll(/ +/g, ' ')}`),
    '',
    signed,
    said,
  ].join('\n');
  const toSign = ['AWS4-HMAC-SHA256', at, [day, region, service, end].join('/'), hex(canonical)].join('\n');
  const key = [day, region, service, end].reduce<string | Buffer>(hmac, `AWS4${S3_KEYS.secretAccessKey}`);
  if (hmac(key, toSign).toString('hex') !== signature) throw new Refusal(403, 'SignatureDoesNotMatch');
}

/** @returns the checksums that came with it. @throws {Refusal} when one is wrong */
function verifyChecksums(request: IncomingMessage, body: Buffer): Record<string, string> {
  const sums: Record<string, string> = {};
  for (const [name, value] of Object.entries(request.headers)) {
    const algorithm = /^x-amz-checksum-(?!mode|algorithm|type)(\w+)$/.exec(name)?.[1];
    if (!algorithm) continue;
    if (request.url?.includes('uploadId') && request.method === 'POST') continue; // of the parts together
    const is = sumOf(algorithm, body);
    if (is !== value) throw new Refusal(400, 'BadDigest', `${algorithm}: said ${value}, is ${is}`);
    sums[name] = is;
  }
  return sums;
}

function sumOf(algorithm: string, body: Buffer): string {
  switch (algorithm) {
    case 'sha256':
      return createHash('sha256').update(body).digest('base64');
    case 'crc32': {
      const sum = Buffer.alloc(4);
      sum.writeUInt32BE(crc32(body));
      return sum.toString('base64');
    }
    default:
      throw new Refusal(501, 'NotImplemented', algorithm);
  }
}
