/** What the shards have to tell Prometheus: their processes are asked by the supervisor, so that a bot has one port, however many they are. */
import type { ChildProcess } from 'node:child_process';
import { type Family, families, watchProcess } from '#src/doors/metrics.ts';
import { MetricsAnswer, MetricsAsk } from './protocol.ts';

/** One that is too busy to answer is left out this time. Prometheus waits for 10 s. */
const ANSWERS_WITHIN_MS = 2_000;

let asked = 0;

/** Of a process of shards; none when it does not answer. */
export async function metricsOf(child: ChildProcess | undefined): Promise<readonly Family[]> {
  if (!child?.connected) return [];
  const metricsAsked = ++asked;
  const { promise, resolve } = Promise.withResolvers<readonly Family[]>();
  const hear = (raw: unknown) => {
    const { success, data } = MetricsAnswer.safeParse(raw);
    if (success && data.metricsAsked === metricsAsked) resolve(data.families);
  };
  const late = setTimeout(resolve, ANSWERS_WITHIN_MS, []);
  child.on('message', hear);
  child.send({ metricsAsked }, (error) => error && resolve([]));
  return promise.finally(() => {
    clearTimeout(late);
    child.off('message', hear);
  });
}

/** In a process of shards: answers. What each process counts stays apart, as one that starts again begins with 0. */
export function tellSupervisor(shards: readonly number[]): void {
  watchProcess(['bot'], { shards: `${shards[0]}-${shards.at(-1)}` });
  process.on('message', (raw) => {
    const { success, data } = MetricsAsk.safeParse(raw);
    if (!success) return;
    const send = (told: readonly Family[]) => process.send?.({ ...data, families: told });
    void families().then(send);
  });
}
