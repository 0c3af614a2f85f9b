/**
 * OpenTelemetry itself, for traces.ts; loaded only where there is a collector. Spans go out in batches, every few seconds; what is not
 * taken is dropped and said in the log, and nobody waits for it.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { type Attributes, DiagLogLevel, diag, ROOT_CONTEXT, SpanStatusCode, trace } from '@opentelemetry/api';
import { OTLPTraceExporter } from '@opentelemetry/exporter-trace-otlp-http';
import {
  defaultResource,
  detectResources,
  resourceAttributesEnvDetector,
  resourceFromAttributes,
  serviceNameEnvDetector,
} from '@opentelemetry/resources';
import { BatchSpanProcessor, TracerProvider } from '@opentelemetry/sdk-trace';
import { log } from './log.ts';

export type Facts = Readonly<Record<string, string | number | boolean>>;

export interface Tracing {
  /** @param at ms since the epoch; now when left out */
  begin(name: string, parent: string | null, facts: Facts, at?: number): Begun;
  /** Sends what is left, if it is taken within seconds. */
  close(): Promise<void>;
}

export interface Begun {
  readonly traceparent: string;
  note(facts: Facts): void;
  /** @param error what it failed with, if it did */
  end(error?: unknown, at?: number): void;
}

const CLOSE_WITHIN_MS = 2_000;
/** Characters of what the library says is wrong. */
const REASON_MAX = 300;
const TRACEPARENT = /^00-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})$/;

/** @param endpoint a collector's base */
export function startTracing(endpoint: string, service: string): Tracing {
  const say = (reason: string) => log.warn({ reason: reason.slice(0, REASON_MAX) }, 'traces are not taken');
  const none = () => {};
  diag.setLogger({ error: say, warn: say, info: none, debug: none, verbose: none }, DiagLogLevel.WARN);

  const ours = { 'service.name': service, 'service.namespace': 'atelier' };
  // OTEL_SERVICE_NAME and OTEL_RESOURCE_ATTRIBUTES have the last word, as everywhere.
  const theirs = detectResources({ detectors: [resourceAttributesEnvDetector, serviceNameEnvDetector] });
  const exporter = new OTLPTraceExporter({ url: `${endpoint.replace(/\/$/, '')}/v1/traces` });
  const provider = new TracerProvider({
    resource: defaultResource().merge(resourceFromAttributes(ours)).merge(theirs),
    spanProcessors: [new BatchSpanProcessor({ exporter })],
  });
  const tracer = provider.getTracer('atelier');

  return {
    begin(name, parent, facts, at) {
      const options = { attributes: named(facts), ...(at !== undefined && { startTime: new Date(at) }) };
      const span = tracer.startSpan(name, options, contextOf(parent));
      const { traceId, spanId, traceFlags } = span.spanContext();
      return {
        traceparent: `00-${traceId}-${spanId}-${traceFlags.toString(16).padStart(2, '0')}`,
        note: (more) => void span.setAttributes(named(more)),
        end(error, until) {
          // What an error says may be a person's words.
          if (error !== undefined) span.setStatus({ code: SpanStatusCode.ERROR, message: kindOf(error) });
          span.end(until === undefined ? undefined : new Date(until));
        },
      };
    },
    async close() {
      const sent = provider.shutdown().catch((error: unknown) => say(String(error)));
      await Promise.race([sent, sleep(CLOSE_WITHIN_MS, undefined, { ref: false })]);
    },
  };
}

function contextOf(traceparent: string | null) {
  const [, traceId, spanId, flags] = TRACEPARENT.exec(traceparent ?? '') ?? [];
  if (!traceId || !spanId || !flags) return ROOT_CONTEXT;
  const traceFlags = Number.parseInt(flags, 16);
  return trace.setSpanContext(ROOT_CONTEXT, { traceId, spanId, traceFlags, isRemote: true });
}

function named(facts: Facts): Attributes {
  return Object.fromEntries(Object.entries(facts).map(([name, value]) => [`atelier.${name}`, value]));
}

function kindOf(error: unknown): string {
  if (!(error instanceof Error)) return 'unknown';
  return 'code' in error ? String(error.code) : error.name;
}
