import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { expect, it, vi } from 'vitest';
import { isPublic, postWebhook, webhookUrl } from '#src/doors/webhook.ts';

/** What every name leads to. */
const resolved = vi.hoisted(() => ({ addresses: [] as string[] }));
vi.mock('node:dns', async (original) => ({
  ...(await original<typeof import('node:dns')>()),
  lookup: (
    _: string,
    __: object,
    done: (error: null, found: { address: string; family: number }[]) => void,
  ) =>
    done(
      null,
      resolved.addresses.map((address) => ({ address, family: address.includes(':') ? 6 : 4 })),
    ),
}));

it.each([
  ...[
    '127.0.0.1',
    '127.255.0.1',
    '0.0.0.0',
    '10.1.2.3',
    '172.16.0.1',
    '172.31.255.255',
    '192.168.1.1',
    '169.254.169.254',
  ],
  ...[
    '100.64.0.1',
    '192.0.0.8',
    '192.0.2.1',
    '198.18.0.1',
    '198.51.100.1',
    '203.0.113.1',
    '224.0.0.1',
    '255.255.255.255',
  ],
  ...[
    '::',
    '::1',
    '::ffff:127.0.0.1',
    '::ffff:8.8.8.8',
    'fe80::1',
    'fc00::1',
    'fd12::1',
    'ff02::1',
    '64:ff9b::7f00:1',
  ],
  ...['2001:db8::1', '2002:7f00:1::', '2001::1', '3fff::1', '100::1', 'localhost', ''],
])('%s is no public address', (address) => expect(isPublic(address)).toBe(false));

it.each(['1.1.1.1', '172.15.255.255', '172.32.0.1', '223.255.255.255', '2606:4700::1111', '2a00:1450::1'])(
  '%s is one',
  (address) => expect(isPublic(address)).toBe(true),
);

it.each([
  ...[
    'http://example.com/',
    'ftp://example.com/',
    'https://',
    'example.com',
    'https://user:secret@example.com/',
    'https://example.com/#a',
  ],
  // However they are written.
  ...[
    'https://127.0.0.1/',
    'https://2130706433/',
    'https://0x7f.1/',
    'https://0177.0.0.1/',
    'https://[::1]/',
    'https://[::ffff:7f00:1]/',
  ],
  ...[
    'https://localhost/',
    'https://intranet/',
    'https://169.254.169.254/latest/meta-data/',
    `https://example.com/${'x'.repeat(500)}`,
  ],
])('nothing is sent to %s', async (address) => {
  expect(webhookUrl(address)).toBeNull();
  await expect(postWebhook(address, {}, '{}', new AbortController().signal)).rejects.toThrow(
    'not an address',
  );
});

it('nothing is sent to a name that leads to this machine: it is looked at when the connection is made', async () => {
  let connections = 0;
  const server = createServer().on('connection', () => connections++);
  await new Promise<void>((done) => server.listen(0, '127.0.0.1', done));
  const { port } = server.address() as AddressInfo;
  const send = () => postWebhook(`https://rebound.example:${port}/`, {}, '{}', new AbortController().signal);
  // One of several is enough, as any may be taken.
  for (const addresses of [['127.0.0.1'], ['1.1.1.1', '127.0.0.1'], ['::1'], []]) {
    resolved.addresses = addresses;
    await expect(send()).rejects.toThrow('not a public address');
  }
  expect(connections).toBe(0);
  server.close();
});
