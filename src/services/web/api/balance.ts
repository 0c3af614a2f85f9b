/** Tokens that somebody has. */
import { z } from 'zod';
import { grantsOf } from '#src/people/people.ts';
import { actorOf } from '#src/people/sessions.ts';
import { tokensLeft } from '#src/people/tokens.ts';
import { visitorFor } from './caller.ts';
import { refusals } from './problem.ts';
import { known, type Routes } from './routes.ts';

const Balance = z
  .object({
    tokens: z.int().min(0).describe('That can be spent now.'),
    daily: z.int().min(0).describe('Come every day, until there are `max`.'),
    max: z.int().min(0),
    isGuest: z.boolean().describe('Whether they are a guest’s, who gets no more.'),
  })
  .meta({ id: 'Balance', description: 'Tokens, the same in Discord and here.' });

export function balance(area: Routes): void {
  area.get(
    '/balance',
    {
      schema: {
        operationId: 'getBalance',
        tags: ['Balance'],
        summary: 'Get your balance',
        security: known('read'),
        response: { 200: Balance, default: refusals },
      },
    },
    async (request) => {
      const visitor = visitorFor(request);
      const { daily, max } = grantsOf(visitor.userId);
      return { tokens: await tokensLeft(actorOf(visitor)), daily, max, isGuest: visitor.isGuest };
    },
  );
}
