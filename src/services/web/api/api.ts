/**
 * The API, for programs: what people do on the web pages, in JSON.
 *
 *   /api                     what there is, with examples: page.ts
 *   /api/v1/openapi.json     the same for programs, made of the schemas that requests and answers are checked by
 *   /api/v1/…                a file for each resource: batches, pictures, faces, parameters, bundles, balance
 *   /api/atelier.ts          a typed client, made of the description: client.ts
 *
 * Whoever calls has a key (`Authorization: Bearer …`), a session's cookie, or neither: caller.ts. What is refused is told as RFC 9457 has
 * it: problem.ts. A webhook is sent when a batch has ended: webhooks.ts.
 */
import cookie from '@fastify/cookie';
import rateLimit from '@fastify/rate-limit';
import swagger from '@fastify/swagger';
import {
  jsonSchemaTransform,
  jsonSchemaTransformObject,
  serializerCompiler,
  validatorCompiler,
  type ZodTypeProvider,
} from 'fastify-type-provider-zod';
import type { Area } from '../area.ts';
import { POLICY, site } from '../layout.ts';
import { send } from '../send.ts';
import { balance } from './balance.ts';
import { batches } from './batches.ts';
import { bundles } from './bundles.ts';
import { allowOthers, BASE, knowCallers } from './caller.ts';
import { clientOf } from './client.ts';
import { type Document, tidy } from './document.ts';
import { faces } from './faces.ts';
import { apiPage } from './page.ts';
import { parameters } from './parameters.ts';
import { pictures } from './pictures.ts';
import { answerProblem, notFound } from './problem.ts';
import { startWebhooks } from './webhooks.ts';

/** Of a browser's leave to ask from another site's page. s */
const PREFLIGHT_FOR_S = 7_200;

export const api: Area = async (app, web) => {
  let document: Document | undefined;
  let describe = (): Document => {
    throw new Error('The API is not there yet');
  };
  /** Made once: it says no more than what there is, and where. */
  const described = () => {
    document ??= describe();
    return document;
  };

  await app.register(
    async (area) => {
      area.setErrorHandler(answerProblem);
      area.setNotFoundHandler(notFound);
      area.setValidatorCompiler(validatorCompiler);
      area.setSerializerCompiler(serializerCompiler);
      area.removeContentTypeParser('text/plain');
      area.addHook('onRequest', async (_, reply) => {
        reply.header('content-security-policy', POLICY);
      });

      // A browser asks whether another site's page may: with a key it may, with a cookie or as nobody it may not.
      area.options('/*', async (request, reply) => {
        const wanted = String(request.headers['access-control-request-headers'] ?? '').toLowerCase();
        if (wanted.split(',').some((name) => name.trim() === 'authorization')) {
          allowOthers(reply);
          reply.headers({
            'access-control-allow-methods': 'GET, POST, PATCH, DELETE',
            'access-control-allow-headers': 'authorization, content-type, idempotency-key',
            'access-control-max-age': String(PREFLIGHT_FOR_S),
          });
        }
        return reply.header('vary', 'access-control-request-headers').code(204).send();
      });
      area.get('/openapi.json', async (_, reply) => {
        allowOthers(reply);
        return reply
          .headers({ 'cache-control': 'no-cache' })
          .type('application/json; charset=utf-8')
          .send(JSON.stringify(described()));
      });

      await area.register(async (described) => {
        await described.register(cookie);
        await described.register(rateLimit, { global: false });
        await described.register(swagger, {
          openapi: {
            openapi: '3.1.0',
            info: INFO,
            components: { securitySchemes: SECURITY },
            tags: TAGS,
            webhooks: WEBHOOKS,
          },
          convertConstToEnum: false,
          transform: jsonSchemaTransform,
          transformObject: jsonSchemaTransformObject,
        });
        knowCallers(described);
        const routes = described.withTypeProvider<ZodTypeProvider>();
        batches(routes, web);
        pictures(routes);
        await described.register(async (own) => faces(own.withTypeProvider<ZodTypeProvider>()));
        parameters(routes);
        bundles(routes);
        balance(routes);
        describe = () => tidy(described.swagger(), site.origin);
      });
    },
    { prefix: BASE },
  );

  app.get('/api', async (request, reply) => send(request, reply, apiPage(described())));
  app.get('/api/atelier.ts', async (_, reply) =>
    reply
      .header('cache-control', 'no-cache')
      .type('application/typescript; charset=utf-8')
      .send(clientOf(described())),
  );

  let stopWebhooks = async () => {};
  app.addHook('onListen', async () => {
    stopWebhooks = startWebhooks();
  });
  app.addHook('onClose', () => stopWebhooks());
};

const INFO = {
  title: 'Atelier',
  version: '1',
  description: 'AI portraits, drawn by the same rules, limits and tokens as in Discord.',
};

const SECURITY = {
  key: {
    type: 'http',
    scheme: 'bearer',
    description: 'A key from the account page: `atelier_…`. Its scopes say how far it goes.',
  },
  session: {
    type: 'apiKey',
    in: 'cookie',
    name: 'session',
    description:
      'Of a browser that signed in, or of a guest’s; by https it is named `__Host-session`. From our own pages alone.',
  },
} as const;

/** What is sent to a key's webhook: webhooks.ts. */
const WEBHOOKS = {
  'batch.ended': {
    post: {
      operationId: 'batchEnded',
      summary: 'A batch has ended',
      description:
        'Signed as Standard Webhooks has it. Answer with 2xx within 10 seconds; otherwise it comes again, eight times in all.',
      requestBody: {
        required: true,
        content: {
          'application/json': {
            schema: {
              type: 'object' as const,
              properties: {
                type: { type: 'string' as const, enum: ['batch.ended'] },
                timestamp: { type: 'string' as const, format: 'date-time' },
                data: { $ref: '#/components/schemas/Batch' },
              },
              required: ['type', 'timestamp', 'data'],
            },
          },
        },
      },
      responses: { '2XX': { description: 'Taken' } },
    },
  },
};

const TAGS = [
  { name: 'Batches', description: 'Ask for pictures, watch them being drawn, cancel them.' },
  { name: 'Pictures', description: 'Yours, and those that are published.' },
  { name: 'Faces', description: 'Photos of one person who agreed. For people, not guests; scope `faces`.' },
  { name: 'Parameters', description: 'What pictures are drawn with.' },
  { name: 'Bundles', description: 'Models that pictures can be drawn with.' },
  { name: 'Balance', description: 'Tokens.' },
];
