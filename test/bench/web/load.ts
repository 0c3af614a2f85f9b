/** Those who ask: a process of their own, so that what they take is nobody's. */
import autocannon from 'autocannon';
import { Load, type Loaded } from './protocol.ts';

process.on('message', async (message) => {
  const { url, asked, connections, seconds, rate } = Load.parse(message);
  const startedAt = performance.now();
  const { statusCodeStats = {}, errors } = await autocannon({
    url,
    connections,
    duration: seconds,
    requests: asked.map(({ path, headers }) => ({ method: 'GET' as const, path, headers })),
    ...(rate !== undefined && { overallRate: rate }),
  });
  const loaded: Loaded = {
    statuses: Object.fromEntries(
      Object.entries(statusCodeStats).map(([status, { count = 0 }]) => [status, count]),
    ),
    errors,
    seconds: (performance.now() - startedAt) / 1_000,
  };
  process.send?.(loaded);
});
process.on('disconnect', () => process.exit());
