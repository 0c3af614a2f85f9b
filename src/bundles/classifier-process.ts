/**
 * The process that a bundle's classifiers run in, see classifiers.ts. A run blocks it: whoever asked ends it when that takes too long, and
 * where nobody is left to do so, it ends itself.
 */
import { Worker } from 'node:worker_threads';
import type { Tensor, TensorInfo } from '#pipelines/session.ts';
import { messageOf } from '#src/doors/log.ts';
import type { OpenSession, SessionOptions, SessionReport } from '#src/doors/onnx.ts';
import { type Openable, openNetwork } from './open-network.ts';

export interface ClassifierProcessData {
  readonly dir: string;
  readonly networks: readonly Openable[];
  readonly options: Omit<SessionOptions, 'onReport'>;
}

/** to it; the first message is its data */
export interface RunAsk {
  readonly id: number;
  readonly role: string;
  readonly feeds: Readonly<Record<string, Tensor>>;
  readonly fetches: readonly string[] | undefined;
}

/** from it */
export type RunTold =
  | { readonly kind: 'session'; readonly report: SessionReport }
  | {
      readonly kind: 'ready';
      readonly sessions: readonly {
        readonly role: string;
        readonly inputs: readonly TensorInfo[];
        readonly outputs: readonly TensorInfo[];
      }[];
    }
  | { readonly kind: 'done'; readonly id: number; readonly results: Readonly<Record<string, Tensor>> }
  /** `id` null: it can't be used at all */
  | { readonly kind: 'failed'; readonly id: number | null; readonly error: string };

const say = (told: RunTold) => process.send?.(told);

process.on('disconnect', () => process.kill(process.pid, 'SIGKILL'));
// Blocked, this thread does not hear that its parent is gone.
new Worker(
  `setInterval(() => process.ppid === ${process.ppid} || process.kill(process.pid, 'SIGKILL'), 1000)`,
  { eval: true },
).unref();

process.once('message', async ({ dir, networks, options }: ClassifierProcessData) => {
  const sessions = new Map<string, OpenSession>();
  try {
    for (const network of networks) {
      const onReport = (report: SessionReport) => say({ kind: 'session', report });
      sessions.set(network.role, await openNetwork(dir, network, { ...options, onReport }));
    }
  } catch (error) {
    say({ kind: 'failed', id: null, error: messageOf(error) });
    return;
  }
  process.on('message', async ({ id, role, feeds, fetches }: RunAsk) => {
    try {
      const session = sessions.get(role);
      if (!session) throw new Error(`There is no ${role}`);
      say({ kind: 'done', id, results: await session.run(feeds, fetches) });
    } catch (error) {
      say({ kind: 'failed', id, error: messageOf(error) });
    }
  });
  say({
    kind: 'ready',
    sessions: [...sessions].map(([role, { inputs, outputs }]) => ({ role, inputs, outputs })),
  });
});
