/** What the files of the API's resources share. */
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { FastifyBaseLogger, FastifyInstance, RawServerDefault } from 'fastify';
import type { ZodTypeProvider } from 'fastify-type-provider-zod';
import { z } from 'zod';
import type { KeyScope } from '#src/doors/db.ts';
import { UserError } from '#src/errors.ts';

/** Where a resource adds its operations: requests and answers are checked by their schemas. */
export type Routes = FastifyInstance<
  RawServerDefault,
  IncomingMessage,
  ServerResponse,
  FastifyBaseLogger,
  ZodTypeProvider
>;

/** Who may call, for the description: with a key of that scope, or with the cookie of a browser. */
export const known = (scope: KeyScope): Record<string, string[]>[] => [{ key: [scope] }, { session: [] }];
/** The same, and everybody else. */
export const anyone = (scope: KeyScope): Record<string, string[]>[] => [...known(scope), {}];

export const time = (what: string) => z.iso.datetime().describe(what);
export const byId = (what: string) => z.object({ id: z.string().max(64).describe(what) });
/** An address of ours, from its root. */
export const path = (what: string) => z.string().regex(/^\//).describe(what);

const Id = z.uuid();

/** @throws {UserError} `gone`: nothing has such an id */
export function knownId(id: string): string {
  if (!Id.safeParse(id).success) throw new UserError('gone', {});
  return id;
}

/** A list's page, and where the next begins. */
export const pageOf = <T extends z.ZodType>(item: T, id: string) =>
  z
    .object({
      items: z.array(item),
      next: z
        .string()
        .nullable()
        .describe('Give it as `cursor` for what comes after; null: these were the last.'),
    })
    .meta({ id });

export const Paging = z.object({
  cursor: z.string().max(200).optional().describe('`next` of the page before.'),
  limit: z.coerce.number().int().min(1).max(100).default(20).describe('Items of a page.'),
});
