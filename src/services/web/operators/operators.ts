/** `/operators`: how all of it does, for the platform's own operators. Who may is asked of Discord and Postgres at every request. */
import { decidesOnReviews, operatesPlatform } from '#src/people/rights.ts';
import { guard } from '../account/guard.ts';
import { pageVisitor } from '../account/visitor.ts';
import type { Area } from '../area.ts';
import { send } from '../send.ts';
import { actorAtHome, refuse } from './staff.ts';
import { systemState } from './state.ts';
import { systemPage } from './system-page.ts';

export const operators: Area = async (app) => {
  await app.register(async (area) => {
    await guard(area);

    area.get('/operators', async (request, reply) => {
      const visitor = await pageVisitor(request, reply);
      const actor = visitor && (await actorAtHome(visitor));
      if (!actor || !(await operatesPlatform(actor))) return refuse(request, reply, visitor);
      const [state, moderates] = await Promise.all([systemState(), decidesOnReviews(actor, null)]);
      return send(request, reply, systemPage(state, { moderates }), { own: true });
    });
  });
};
