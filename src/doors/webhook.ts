/**
 * The door to people's own servers, for webhooks. They name the address, so it may lead nowhere but to the public internet: whatever a
 * name resolves to is looked at when the connection is made, and that very address is connected to. Redirects are not followed, and of
 * the answer only its status is read.
 */
import { lookup as resolve } from 'node:dns';
import { request as requestHttp } from 'node:http';
import { request as requestHttps } from 'node:https';
import { BlockList, isIP, type LookupFunction } from 'node:net';
import { config } from '#config/env.ts';

const ANSWERS_WITHIN_MS = 10_000;
const URL_MAX = 500;

/** Of IPv4, all that is not the public internet: RFC 6890 and what came after it. */
const special = new BlockList();
for (const network of [
  ...[
    '0.0.0.0/8',
    '10.0.0.0/8',
    '100.64.0.0/10',
    '127.0.0.0/8',
    '169.254.0.0/16',
    '172.16.0.0/12',
    '192.0.0.0/24',
  ],
  ...[
    '192.0.2.0/24',
    '192.88.99.0/24',
    '192.168.0.0/16',
    '198.18.0.0/15',
    '198.51.100.0/24',
    '203.0.113.0/24',
    '224.0.0.0/3',
  ],
]) {
  const [start = '', bits] = network.split('/');
  special.addSubnet(start, Number(bits));
}
/** Of IPv6, only global unicast is public; and of that not what stands for an IPv4 address, or for no host. */
const global = new BlockList();
global.addSubnet('2000::', 3, 'ipv6');
for (const [network, bits] of [
  ['2001::', 23],
  ['2001:db8::', 32],
  ['2002::', 16],
  ['3fff::', 20],
] as const)
  special.addSubnet(network, bits, 'ipv6');

/** Whether an address is one of the public internet. */
export function isPublic(address: string): boolean {
  const family = isIP(address);
  if (family === 4) return !special.check(address);
  return family === 6 && global.check(address, 'ipv6') && !special.check(address, 'ipv6');
}

/** The address, if a webhook may be sent there as far as can be seen of it; null: not. */
export function webhookUrl(text: string): URL | null {
  const url = text.length <= URL_MAX ? URL.parse(text) : null;
  if (!url || url.username || url.password || url.hash) return null;
  if (config.web.privateWebhooks) return /^https?:$/.test(url.protocol) ? url : null;
  const host = url.hostname.replace(/^\[|\]$/g, '');
  if (url.protocol !== 'https:' || (isIP(host) && !isPublic(host))) return null;
  // A name of one label is one of a private network.
  return isIP(host) || host.includes('.') ? url : null;
}

const lookup: LookupFunction = (hostname, options, done) => {
  resolve(hostname, { ...options, all: true }, (error, addresses) => {
    if (error) return done(error, '');
    const [first] = addresses;
    if (!first || !addresses.every(({ address }) => isPublic(address)))
      return done(new Error('not a public address'), '');
    if (options.all) done(null, addresses);
    else done(null, first.address, first.family);
  });
};

/**
 * Posts JSON.
 *
 * @returns the answer's status. @throws {Error} where there is none, or the address may not be reached
 */
export async function postWebhook(
  address: string,
  headers: Readonly<Record<string, string>>,
  body: string,
  signal: AbortSignal,
): Promise<number> {
  const url = webhookUrl(address);
  if (!url) throw new Error('not an address for webhooks');
  const request = url.protocol === 'https:' ? requestHttps : requestHttp;
  return new Promise((done, fail) => {
    const sent = request(
      url,
      {
        method: 'POST',
        agent: false,
        headers: {
          ...headers,
          'content-type': 'application/json',
          'content-length': Buffer.byteLength(body),
        },
        signal: AbortSignal.any([signal, AbortSignal.timeout(ANSWERS_WITHIN_MS)]),
        ...(!config.web.privateWebhooks && { lookup }),
      },
      (response) => {
        done(response.statusCode ?? 0);
        response.destroy();
      },
    );
    sent.on('error', fail);
    sent.end(body);
  });
}
