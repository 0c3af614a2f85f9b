import { createServer } from 'node:net';

/** A port that was free a moment ago: `first` or the next that is, or without it any. */
export async function freePort(first = 0, host = '127.0.0.1'): Promise<number> {
  for (let port = first; ; port++) {
    const free = await tryPort(port, host);
    if (free !== null) return free;
  }
}

/** null: taken */
function tryPort(port: number, host: string): Promise<number | null> {
  return new Promise((found, fail) => {
    const server = createServer();
    server.once('error', (error: NodeJS.ErrnoException) => {
      if (error.code === 'EADDRINUSE') found(null);
      else fail(error);
    });
    server.listen(port, host, () => {
      const address = server.address();
      server.close(() => found(typeof address === 'object' && address ? address.port : null));
    });
  });
}
