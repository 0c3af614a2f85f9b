/**
 * Facts, in context, one JSON object a line on stderr. Never a prompt, a token, a face or a payload.
 *
 * `withContext({ generationId }, …)` puts its fields on every line logged inside, across awaits. What goes wrong again and again
 * is told once a second.
 */
import { AsyncLocalStorage } from 'node:async_hooks';
import { type LogFn, pino } from 'pino';
import { config } from '#config/env.ts';

const context = new AsyncLocalStorage<Record<string, unknown>>();

export const log = pino(
  {
    level: config.logLevel,
    base: { pid: process.pid },
    // A copy: pino writes what a line says into it, and the next line would say it again.
    mixin: () => ({ ...context.getStore() }),
    serializers: { err: facts },
    hooks: {
      logMethod(args, write, level) {
        const passed = limited(args, level);
        if (passed) write.apply(this, passed);
      },
    },
    // Belt and braces: nothing below may carry these, and if it does they stay out.
    redact: ['token', '*.token', 'prompt', '*.prompt', 'authorization', '*.authorization'],
  },
  pino.destination({ dest: 2, sync: true }),
);

/** Warnings and worse of one service that say the same come at most once in this time. ms */
const SAME_EVERY_MS = 1_000;
const WARN = 40;

/** service and message → the last that passed, and how many were held back since. There are as many as are written in the source. */
const latest = new Map<string, { passedAt: number; heldBack: number }>();

/**
 * What fails in a loop would fill a disk within an hour. The next line of its kind that passes says how many were held back. One with
 * an `errorId` always passes: somebody was told to quote it.
 *
 * @returns what to write, if anything
 */
function limited(args: Parameters<LogFn>, level: number): Parameters<LogFn> | null {
  if (level < WARN) return args;
  const [first, second] = args;
  const fields = typeof first === 'object' && first ? first : {};
  const message = typeof first === 'string' ? first : second;
  if ('errorId' in fields) return args;
  const { service } = { ...context.getStore(), ...fields };
  const key = `${String(service)} ${String(message)}`;

  const last = latest.get(key);
  const now = performance.now();
  if (last && now - last.passedAt < SAME_EVERY_MS) {
    last.heldBack++;
    return null;
  }
  latest.set(key, { passedAt: now, heldBack: 0 });
  return last?.heldBack ? [{ ...fields, heldBack: last.heldBack }, message] : args;
}

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

/** What every line says that is logged here. */
export const contextNow = (): Readonly<Record<string, unknown>> => context.getStore() ?? {};

export function withContext<T>(fields: Record<string, unknown>, run: () => T): T {
  return context.run({ ...context.getStore(), ...fields }, run);
}

/** What an error says, whatever was thrown. */
export const messageOf = (error: unknown) => (error instanceof Error ? error.message : String(error));
