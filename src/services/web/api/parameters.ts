/** Parameters: what there is, and what somebody set. */
import { z } from 'zod';
import { parameterGroups } from '#config/parameters.ts';
import { UserError } from '#src/errors.ts';
import {
  parameters as all,
  definition,
  parseParameter,
  type ResolvedParameters,
} from '#src/parameters/definitions.ts';
import { adoptParameters, resolveParameters } from '#src/parameters/values.ts';
import { actorOf, originOf, type Visitor } from '#src/people/sessions.ts';
import { NOBODY } from '../account/visitor.ts';
import { plain } from '../account/words.ts';
import { callerFor, visitorFor } from './caller.ts';
import { refusals } from './problem.ts';
import { anyone, known, type Routes } from './routes.ts';

const Value = z.union([z.string(), z.number(), z.boolean(), z.null()]).describe('null: not set');

const Parameter = z
  .object({
    name: z.string(),
    type: z.enum(['number', 'integer', 'boolean', 'choice', 'text', 'loras']),
    title: z.string(),
    description: z.string(),
    group: z.enum(parameterGroups),
    operators: z.boolean().describe('Only operators may set it.'),
    value: Value.describe('As it is for you.'),
    default: Value,
    min: z.number().optional(),
    max: z.number().optional(),
    step: z.number().optional().describe('Values are rounded to multiples of it.'),
    choices: z.array(z.string()).optional(),
    maxLength: z.int().optional().describe('Characters.'),
  })
  .meta({ id: 'Parameter', description: 'A named, typed, bounded setting.' });

const ParameterList = z.object({ items: z.array(Parameter) }).meta({ id: 'ParameterList' });

async function listed(visitor: Visitor): Promise<z.output<typeof ParameterList>> {
  const values = await resolveParameters(originOf(visitor, ''));
  const items = [...all].map(([name, parameter]): z.output<typeof Parameter> => {
    const { type, title, description, group, operators, default: byDefault } = parameter;
    const common = { name, type, title, group, operators, default: byDefault, value: values[name] ?? null };
    return {
      ...common,
      description: plain(description),
      ...('min' in parameter && { min: parameter.min, max: parameter.max }),
      ...('step' in parameter && parameter.step !== undefined && { step: parameter.step }),
      ...('choices' in parameter && { choices: [...parameter.choices] }),
      ...('maxLength' in parameter && { maxLength: parameter.maxLength }),
    };
  });
  return { items };
}

export function parameters(area: Routes): void {
  area.get(
    '/parameters',
    {
      schema: {
        operationId: 'listParameters',
        tags: ['Parameters'],
        summary: 'List parameters',
        description:
          'With what they are set to for you: what pictures are drawn with unless a batch says otherwise.',
        security: anyone('read'),
        response: { 200: ParameterList, default: refusals },
      },
    },
    async (request) => listed(callerFor(request).visitor ?? NOBODY),
  );

  area.patch(
    '/parameters',
    {
      schema: {
        operationId: 'setParameters',
        tags: ['Parameters'],
        summary: 'Set parameters',
        description:
          'All or none; also for what you ask for in Discord. null takes a value away, so that the default counts.',
        security: known('draw'),
        body: z
          .record(z.string().max(64), Value)
          .meta({ id: 'NewValues', description: 'Name → value.', examples: [{ steps: 20, shape: null }] }),
        response: { 200: ParameterList, default: refusals },
      },
    },
    async (request) => {
      const visitor = visitorFor(request);
      const values: ResolvedParameters = {};
      for (const [name, value] of Object.entries(request.body)) {
        values[name] = parseParameter(name, value);
        if (definition(name).operators) throw new UserError('parameter_operators', { name });
      }
      await adoptParameters(actorOf(visitor), values);
      return listed(visitor);
    },
  );
}
