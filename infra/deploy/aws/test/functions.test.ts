/** The two functions, as far as they go without AWS. */
import { createRequire } from 'node:module';
import { describe, expect, it } from 'vitest';

const load = createRequire(import.meta.url);
type Send = (name: string, input: Record<string, unknown>) => Promise<Record<string, unknown>>;
const { drain } = load('../functions/drain.cjs') as {
  drain: (event: unknown, send: Send, cluster: string) => Promise<{ instance: string; stopped: number }>;
};
const { pathOf } = load('../functions/purge.cjs') as { pathOf: (key: string) => string | null };

function ecs(instances: string[], running: string[]) {
  const asked: [string, Record<string, unknown>][] = [];
  const send: Send = async (name, input) => {
    asked.push([name, input]);
    if (name === 'ListContainerInstances') return { containerInstanceArns: instances };
    return name === 'ListTasks' ? { taskArns: running } : {};
  };
  return { asked, send };
}
const notice = { detail: { 'instance-id': 'i-1', 'instance-action': 'terminate' } };

describe('drain', () => {
  it('gives the instance no more work, and then stops what runs there', async () => {
    const { asked, send } = ecs(['instance'], ['worker-a', 'agent-b']);
    expect(await drain(notice, send, 'c')).toEqual({ instance: 'i-1', stopped: 2 });
    expect(asked).toEqual([
      ['ListContainerInstances', { cluster: 'c', filter: 'ec2InstanceId == i-1' }],
      [
        'UpdateContainerInstancesState',
        { cluster: 'c', containerInstances: ['instance'], status: 'DRAINING' },
      ],
      ['ListTasks', { cluster: 'c', containerInstance: 'instance' }],
      ['StopTask', { cluster: 'c', task: 'worker-a', reason: 'spot notice' }],
      ['StopTask', { cluster: 'c', task: 'agent-b', reason: 'spot notice' }],
    ]);
  });

  it('leaves instances of others alone', async () => {
    const { asked, send } = ecs([], []);
    expect(await drain(notice, send, 'c')).toEqual({ instance: 'i-1', stopped: 0 });
    expect(asked).toHaveLength(1);
  });
});

describe('purge', () => {
  const id = '0193f0a1-0000-7000-8000-000000000001';
  it.each([
    [`photowall/main/${id}/original.png`, `/img/${id}/*`],
    [`curated/main/${id}/original.png`, `/img/${id}/*`],
    [`photowall/main/${id}/640-v2.webp`, null],
    [`productions/2026-12-01/${id}/original.png`, null],
    [`photowall/main/../${id}/original.png`, null],
  ])('%s → %s', (key, path) => {
    expect(pathOf(key)).toBe(path);
  });
});
