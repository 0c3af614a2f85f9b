/** The OpenAPI 3.1 document, as far as our own page and client read it. */
import { z } from 'zod';

export interface Schema {
  readonly $ref?: string;
  readonly type?: string | readonly string[];
  readonly description?: string;
  readonly enum?: readonly unknown[];
  readonly const?: unknown;
  readonly anyOf?: readonly Schema[];
  readonly oneOf?: readonly Schema[];
  readonly allOf?: readonly Schema[];
  readonly properties?: Readonly<Record<string, Schema>>;
  readonly required?: readonly string[];
  readonly items?: Schema;
  readonly additionalProperties?: boolean | Schema;
  readonly format?: string;
  readonly default?: unknown;
  readonly examples?: readonly unknown[];
  readonly minimum?: number;
  readonly maximum?: number;
}
const Schema: z.ZodType<Schema> = z.looseObject({}) as z.ZodType<Schema>;

const Media = z.record(z.string(), z.looseObject({ schema: Schema }));
const Answer = z.looseObject({ description: z.string(), content: Media.optional() });
type Answer = z.output<typeof Answer>;
const Operation = z.looseObject({
  operationId: z.string(),
  summary: z.string(),
  description: z.string().optional(),
  tags: z.array(z.string()).min(1),
  security: z.array(z.record(z.string(), z.array(z.string()))),
  parameters: z
    .array(
      z.looseObject({
        name: z.string(),
        in: z.enum(['path', 'query', 'header']),
        required: z.boolean().default(false),
        description: z.string().optional(),
        schema: Schema,
      }),
    )
    .default([]),
  requestBody: z.looseObject({ content: Media }).optional(),
  responses: z.record(z.string(), Answer),
});
export type Operation = z.output<typeof Operation>;

const METHODS = ['post', 'get', 'put', 'patch', 'delete'] as const;
const Document = z.looseObject({
  openapi: z.literal('3.1.0'),
  info: z.object({ title: z.string(), version: z.string(), description: z.string() }),
  servers: z.array(z.object({ url: z.string() })),
  tags: z.array(z.object({ name: z.string(), description: z.string() })),
  paths: z.record(z.string(), z.partialRecord(z.enum(METHODS), Operation)),
  components: z.looseObject({ schemas: z.record(z.string(), Schema) }),
});
export type Document = z.output<typeof Document>;

export interface Described extends Operation {
  readonly method: (typeof METHODS)[number];
  readonly path: string;
}

/** In the document's order. */
export function operationsOf({ paths }: Document): Described[] {
  return Object.entries(paths).flatMap(([path, methods]) =>
    METHODS.flatMap((method) => {
      const operation = methods[method];
      return operation ? [{ ...operation, method, path }] : [];
    }),
  );
}

const REF = /#\/components\/schemas\/(\w+)/g;

/**
 * Leaves the schemas that are used, each under its own name: those of what is sent come as `<name>Input`, whether or not an answer has it.
 *
 * @param origin where people find it
 */
export function tidy(made: unknown, origin: string): Document {
  const all = Document.parse({ ...(made as object), servers: [{ url: origin }] });
  const used = new Set<string>();
  const use = (of: unknown) => {
    for (const [, name = ''] of JSON.stringify(of).matchAll(REF)) {
      if (used.has(name)) continue;
      used.add(name);
      use(all.components.schemas[name]);
    }
  };
  use(all.paths);
  const schemas = Object.entries(all.components.schemas).filter(([name]) => used.has(name));
  for (const { responses } of operationsOf(all))
    for (const response of Object.values(responses))
      if (response.description === 'Default Response')
        response.description = describedBy(all, response.content);
  const text = JSON.stringify({
    ...all,
    components: { ...all.components, schemas: Object.fromEntries(schemas) },
  });
  const renamed = [...used].filter((name) => name.endsWith('Input') && !used.has(name.slice(0, -5)));
  return Document.parse(
    JSON.parse(
      renamed.reduce(
        (left, name) => left.replaceAll(new RegExp(`(["/])${name}"`, 'g'), `$1${name.slice(0, -5)}"`),
        text,
      ),
    ),
  );
}

/** What is answered, as the schema of the answer says. */
function describedBy({ components }: Document, content: Answer['content']): string {
  const [, name = ''] = /(\w+)$/.exec(content?.['application/json']?.schema.$ref ?? '') ?? [];
  return components.schemas[name]?.description ?? 'Done';
}
