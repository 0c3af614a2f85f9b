/**
 * A container's health check, inside of it: `node infra/deploy/inside/healthy.ts bot|courier|mecene|web|worker`. Ends with 0 once that
 * service has started and its event loop answers; otherwise with 1 and a sentence.
 */
import { config } from '#config/env.ts';

const ANSWERS_WITHIN_MS = 4_000;
/** src/services/metrics.ts takes it where METRICS_PORT does not say. */
const METRICS_PORT = 9464;

const [service = ''] = process.argv.slice(2);
const urls = [`http://127.0.0.1:${config.metrics.port ?? METRICS_PORT}/readyz`];
if (service === 'web') urls.push(`http://127.0.0.1:${config.web.port}/healthz`);

for (const url of urls) {
  const said = await fetch(url, { signal: AbortSignal.timeout(ANSWERS_WITHIN_MS) }).then(
    ({ ok, status }) => (ok ? '' : `answers ${status}`),
    (error: unknown) => `does not answer: ${String(error)}`,
  );
  if (!said) continue;
  process.stderr.write(`${service} is not healthy: ${url} ${said}\n`);
  process.exit(1);
}
