/** A collector of OpenTelemetry's: takes spans as OTLP/JSON and keeps them. */
import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { json } from 'node:stream/consumers';
import { z } from 'zod';

const Value = z.union([
  z.object({ stringValue: z.string() }).transform(({ stringValue }) => stringValue),
  z.object({ intValue: z.coerce.number() }).transform(({ intValue }) => intValue),
  z.object({ doubleValue: z.number() }).transform(({ doubleValue }) => doubleValue),
  z.object({ boolValue: z.boolean() }).transform(({ boolValue }) => boolValue),
]);
const Attributes = z
  .array(z.object({ key: z.string(), value: Value.catch('(a list)') }))
  .default([])
  .transform((list) => Object.fromEntries(list.map(({ key, value }) => [key, value])));
const id = (bytes: number) => z.string().regex(new RegExp(`^[0-9a-f]{${2 * bytes}}$`));
const nanos = z.string().regex(/^\d+$/);
const Traces = z.object({
  resourceSpans: z.array(
    z.object({
      resource: z.object({ attributes: Attributes }),
      scopeSpans: z.array(
        z.object({
          spans: z.array(
            z.object({
              traceId: id(16),
              spanId: id(8),
              parentSpanId: id(8).optional(),
              name: z.string(),
              startTimeUnixNano: nanos,
              endTimeUnixNano: nanos,
              attributes: Attributes,
              status: z.object({ code: z.number().default(0), message: z.string().optional() }),
            }),
          ),
        }),
      ),
    }),
  ),
});

export interface CollectedSpan {
  readonly service: string;
  readonly name: string;
  readonly traceId: string;
  readonly spanId: string;
  readonly parentSpanId: string | undefined;
  /** ms since the epoch */
  readonly from: number;
  readonly to: number;
  readonly facts: Readonly<Record<string, unknown>>;
  /** what it failed with */
  readonly error: string | undefined;
}

export interface Collector {
  readonly url: string;
  readonly spans: readonly CollectedSpan[];
  /** as they came */
  readonly bodies: readonly string[];
  close(): Promise<void>;
}

export async function startCollector(): Promise<Collector> {
  const spans: CollectedSpan[] = [];
  const bodies: string[] = [];
  const server = createServer(async (request, response) => {
    const isTraces = request.method === 'POST' && request.url === '/v1/traces';
    if (!isTraces || request.headers['content-type'] !== 'application/json')
      return void response.writeHead(404).end();
    const body = await json(request);
    bodies.push(JSON.stringify(body));
    for (const { resource, scopeSpans } of Traces.parse(body).resourceSpans)
      for (const span of scopeSpans.flatMap((scope) => scope.spans)) {
        const { name, traceId, spanId, parentSpanId, attributes: facts, status } = span;
        spans.push({
          ...{ name, traceId, spanId, parentSpanId, facts },
          service: String(resource.attributes['service.name']),
          from: Number(span.startTimeUnixNano) / 1e6,
          to: Number(span.endTimeUnixNano) / 1e6,
          error: status.code === 2 ? (status.message ?? '') : undefined,
        });
      }
    response.writeHead(200, { 'content-type': 'application/json' }).end('{}');
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    spans,
    bodies,
    async close() {
      server.closeAllConnections();
      await new Promise((closed) => server.close(closed));
    },
  };
}
