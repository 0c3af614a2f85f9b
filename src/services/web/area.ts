/** What a part of the web service is: see web.ts. */
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { FastifyInstance } from 'fastify';

/** Adds its addresses. What it opens it closes by `app.addHook('onClose', …)`. */
export type Area = (app: FastifyInstance, web: Web) => void | Promise<void>;

/** @returns false where it has no answer */
export type Answer = (request: IncomingMessage, response: ServerResponse) => boolean;

export interface Web {
  /** true once it is told to end: it takes nobody new */
  isEnding(): boolean;
  /** Whoever sends visitors has asked whether to, and hears that they may not once it ends. */
  asked(): void;
  /** Has requests come here before anything else looks at them. */
  answerFirst(answer: Answer): void;
}

/** Another site sent something that would change what is somebody's. */
export class Foreign extends Error {
  readonly statusCode = 403;
}
