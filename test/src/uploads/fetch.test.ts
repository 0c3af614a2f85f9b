import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { config } from '#config/env.ts';
import { fetchUpload } from '#src/uploads/fetch.ts';

const code = (code: string) => expect.objectContaining({ code });

describe('fetchUpload', () => {
  let server: Server;
  let origin: string;
  let answer: (request: IncomingMessage, response: ServerResponse) => void;
  let asked = 0;
  beforeAll(async () => {
    server = createServer((request, response) => {
      asked++;
      answer(request, response);
    }).listen(0, '127.0.0.1');
    await new Promise((listening) => server.once('listening', listening));
    const host = `127.0.0.1:${(server.address() as AddressInfo).port}`;
    origin = `http://${host}`;
    vi.spyOn(config.discord.cdnHosts, 'includes').mockImplementation((asked) =>
      ['cdn.discordapp.com', host].includes(asked),
    );
  });
  afterAll(() => {
    server.closeAllConnections();
    server.close();
  });
  const upload = (url: string, size = 10) => ({ url, name: 'face.png', size });

  it('gives the bytes', async () => {
    answer = (_, response) => response.end('the bytes');
    expect(String(await fetchUpload(upload(`${origin}/a/b.png?ex=1`), 100))).toBe('the bytes');
  });

  it('stops at the limit, whatever size was said', async () => {
    answer = (_, response) => {
      const more = () => response.write(Buffer.alloc(64_000), (error) => error || more());
      more();
    };
    await expect(fetchUpload(upload(origin), 100_000)).rejects.toEqual(code('file_large'));
    const before = asked;
    await expect(fetchUpload(upload(origin, 101), 100)).rejects.toEqual(code('file_large'));
    expect(asked).toBe(before);
  });

  it('follows no redirect, and takes no error page for a file', async () => {
    answer = (request, response) =>
      request.url === '/away' ? response.end('inside') : response.writeHead(302, { location: '/away' }).end();
    await expect(fetchUpload(upload(`${origin}/`), 100)).rejects.toEqual(code('upload_gone'));
    answer = (_, response) => response.writeHead(404).end('not here');
    await expect(fetchUpload(upload(`${origin}/`), 100)).rejects.toEqual(code('upload_gone'));
  });

  it.each([
    'http://cdn.discordapp.com/a.png',
    'https://cdn.discordapp.com:8443/a.png',
    'https://cdn.discordapp.com@127.0.0.1/a.png',
    'https://user:pass@cdn.discordapp.com/a.png',
    'https://cdn.discordapp.com.evil.example/a.png',
    'https://evil.example/cdn.discordapp.com',
    'https://evil.example#@cdn.discordapp.com',
    'https://cdn.discordapp.com./a.png',
    'https://xn--cdn-.discordapp.com/',
    'http://localhost/',
    'http://127.0.0.1/',
    'http://2130706433/',
    'http://0x7f.1/',
    'http://[::ffff:127.0.0.1]/',
    'http://169.254.169.254/latest/meta-data',
    'file:///etc/passwd',
    'data:image/png;base64,AAAA',
    'ftp://cdn.discordapp.com/a.png',
    '//cdn.discordapp.com/a.png',
    'not a url',
    '',
  ])('asks nobody for %s', async (url) => {
    const fetching = vi.spyOn(globalThis, 'fetch');
    await expect(fetchUpload(upload(url), 100)).rejects.toEqual(code('upload_gone'));
    expect(fetching).not.toHaveBeenCalled();
    fetching.mockRestore();
  });
});
