/**
 * The door to OpenTelemetry: what becomes of an interaction, as spans of one trace across the services, where a collector is set
 * (OTEL_EXPORTER_OTLP_ENDPOINT). Without one nothing of OpenTelemetry is loaded, and all here does next to nothing.
 *
 *   interaction ── accept ──┬── wait ── draw (base, detail, …) ── store      a picture
 *   bot                     └── post                                         a message: when it is new, and when all is drawn
 *
 * The way from one service to the next leads by a row: a batch keeps the span that accepted it, as a W3C `traceparent`. In a process it
 * is in the log's context, so that lines tell which trace they belong to.
 *
 * Facts of a span are ids of ours, numbers, and words of the program: never a prompt, a name, a token, or anything of a face.
 */
import { config } from '#config/env.ts';
import { contextNow, withContext } from './log.ts';
import type { Begun, Facts, Tracing } from './otel.ts';

let tracing: Tracing | null = null;
/** spans that go on in this process, by their `traceparent` */
const going = new Map<string, Begun>();

/** @returns to be called when the process ends */
export async function openTraces(services: readonly string[]): Promise<() => Promise<void>> {
  const { endpoint } = config.traces;
  if (!endpoint) return async () => {};
  const { startTracing } = await import('./otel.ts');
  const opened = startTracing(endpoint, services.join(' '));
  tracing = opened;
  return async () => {
    tracing = null;
    await opened.close();
  };
}

/** Of the span that we are in: for a row. null: nothing is traced. */
export function traceparent(): string | null {
  const { traceparent: known } = contextNow();
  return tracing && typeof known === 'string' ? known : null;
}

/** Begins a trace. */
export function trace<T>(name: string, facts: Facts, work: () => Promise<T>): Promise<T> {
  return tracing ? within(tracing.begin(name, null, facts), work) : work();
}

/** A part of the trace that we are in; outside of one it is only done. */
export function span<T>(name: string, facts: Facts, work: () => Promise<T>): Promise<T> {
  const parent = traceparent();
  return tracing && parent ? within(tracing.begin(name, parent, facts), work) : work();
}

/** A part of the trace that we are in which is over. @param from, to ms since the epoch */
export function pastSpan(name: string, from: number, to: number, facts: Facts = {}): void {
  const parent = traceparent();
  if (tracing && parent) tracing.begin(name, parent, facts, from).end(undefined, Math.max(from, to));
}

/** Says more of the span that we are in. */
export function note(facts: Facts): void {
  going.get(traceparent() ?? '')?.note(facts);
}

/** Goes on with a trace that a row tells of. */
export function inTrace<T>(parent: string | null | undefined, work: () => T): T {
  return tracing && parent ? withContext({ traceparent: parent }, work) : work();
}

async function within<T>(begun: Begun, work: () => Promise<T>): Promise<T> {
  going.set(begun.traceparent, begun);
  try {
    const result = await withContext({ traceparent: begun.traceparent }, work);
    begun.end();
    return result;
  } catch (error) {
    begun.end(error);
    throw error;
  } finally {
    going.delete(begun.traceparent);
  }
}
