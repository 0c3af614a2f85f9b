/** A server that does nothing but send what it was given, and 304 to who has it: what Node itself takes. */
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { z } from 'zod';
import { Answer } from './protocol.ts';

let answers = new Map<string, Answer>();

const server = createServer((request, response) => {
  const found = answers.get(request.url ?? '');
  if (!found) response.writeHead(404).end();
  else if (request.headers['if-none-match'] === found.etag) response.writeHead(304, found.short).end();
  else response.writeHead(200, found.headers).end(found.body);
});
server.listen(0, '127.0.0.1');

process.on('message', (message) => {
  answers = new Map(
    z
      .array(Answer)
      .parse(message)
      .map((one) => [one.path, one]),
  );
  const tell = () => process.send?.(`http://127.0.0.1:${(server.address() as AddressInfo).port}`);
  if (server.listening) tell();
  else server.once('listening', tell);
});
process.on('disconnect', () => process.exit());
