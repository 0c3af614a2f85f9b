/**
 * Facts, in context, one JSON object a line on stderr. Never a prompt, a token, a face or a payload.
 *
 * `withContext({ generationId }, …)` puts its fields on every line logged inside, across awaits.
 */
import { AsyncLocalStorage } from 'node:async_hooks';
import { pino } from 'pino';
import { config } from '#config/env.ts';

const context = new AsyncLocalStorage<Record<string, unknown>>();

export const log = pino(
  {
    level: config.logLevel,
    base: { pid: process.pid },
    // A copy: pino writes what a line says into it, and the next line would say it again.
    mixin: () => ({ ...context.getStore() }),
    serializers: { err: facts },
    // Belt and braces: nothing below may carry these, and if it does they stay out.
    redact: ['token', '*.token', 'prompt', '*.prompt', 'authorization', '*.authorization'],
  },
  pino.destination({ dest: 2, sync: true }),
);

/**
 * What an error says and where it happened, and none of its other fields: those of Discord's client carry the request,
 * with a person's words in its body and an interaction's token in its address.
 */
function facts(error: unknown): unknown {
  if (!(error instanceof Error)) return error;
  const { name, message, stack, cause } = error;
  const known = { type: name, message, stack, ...('code' in error && { code: error.code }) };
  return cause === undefined ? known : { ...known, cause: facts(cause) };
}

export function withContext<T>(fields: Record<string, unknown>, run: () => T): T {
  return context.run({ ...context.getStore(), ...fields }, run);
}

/** What an error says, whatever was thrown. */
export const messageOf = (error: unknown) => (error instanceof Error ? error.message : String(error));
