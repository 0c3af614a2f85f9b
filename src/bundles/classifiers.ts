/**
 * Opens a bundle's classifiers, and tries each on the test card: what can't run, or is fed otherwise than it was trained, is told before
 * the first picture.
 *
 * onnxruntime can't interrupt a run, and a thread inside one can't be ended; a process can. So a worker has them in a process of their own:
 *
 *   running ──a run takes longer than its limit, or the process ends──▶ ended ──at once, later each time it fails──▶ running
 *
 * Whoever waits for it then, and whoever asks while it is not there, is told at once that it failed, which means flagged; the worker goes
 * on. There is one such process at a time.
 */
import { type ChildProcess, fork } from 'node:child_process';
import { type Classifier, classify } from '#pipelines/safety/classify.ts';
import { testCard } from '#pipelines/safety/test-card.ts';
import type { Session, Tensor, TensorInfo } from '#pipelines/session.ts';
import { log, messageOf } from '#src/doors/log.ts';
import { reasonOf, type SessionOptions } from '#src/doors/onnx.ts';
import type { ClassifierProcessData, RunAsk, RunTold } from './classifier-process.ts';
import { type BundleManifest, type ClassifierEntry, classifierRole, isClassifierRole } from './manifest.ts';
import { type Openable, openNetwork } from './open-network.ts';

/** Opening them, and their first run: a provider may build what it runs. ms */
const START_LIMIT_MS = 120_000;
/** Pause before a process that failed so often in a row is begun again. ms */
const pauseMs = (failures: number) => (failures < 2 ? 0 : Math.min(60_000, 500 * 2 ** failures));
/** Scores of the test card may differ by this: providers round otherwise. */
const CARD_TOLERANCE = 0.05;

export interface OpenClassifiers {
  readonly classifiers: readonly Classifier[];
  /** one sentence each; empty: they can be used */
  readonly faults: readonly string[];
  close(): Promise<void>;
}

export async function openClassifiers(
  dir: string,
  { classifiers: entries }: Pick<BundleManifest, 'classifiers'>,
  networks: readonly Openable[],
  { classifierLimitMs, ...options }: SessionOptions & { readonly classifierLimitMs?: number },
): Promise<OpenClassifiers> {
  const mine = networks.filter(({ role }) => isClassifierRole(role));
  const faults: string[] = [];
  const open = classifierLimitMs === undefined ? openHere : openApart(classifierLimitMs);
  const opened = await open(dir, mine, options).catch((error: unknown) => {
    faults.push(reasonOf(error));
    return null;
  });
  if (!opened) return { classifiers: [], faults, close: async () => {} };
  const classifiers = entries.map((entry): Classifier => {
    const session = opened.sessions.get(classifierRole(entry));
    if (!session) throw new Error(`${entry.file} was not opened`);
    return { ...entry, session };
  });
  for (const [i, entry] of entries.entries()) {
    const fault = await faultOnCard(classifiers[i]!, entry);
    if (fault) faults.push(`${entry.file}: ${fault}`);
  }
  opened.begin();
  return { classifiers, faults, close: () => opened.close() };
}

/** What is wrong with what it says of the test card; null: nothing is. */
async function faultOnCard(
  classifier: Classifier,
  { testCard: expected }: ClassifierEntry,
): Promise<string | null> {
  let scores: Readonly<Record<string, number>>;
  try {
    scores = await classify(classifier, testCard());
  } catch (error) {
    return `it fails on the test card: ${messageOf(error)}`;
  }
  if (!expected) return null;
  const off = Object.entries(expected).find(([label, score]) => {
    const found = scores[label];
    return found === undefined || Math.abs(found - score) > CARD_TOLERANCE;
  });
  if (!off) return null;
  const [label, score] = off;
  const found = scores[label];
  if (found === undefined)
    return `bundle.yaml expects the label ${label} of it on the test card; its labels are ${Object.keys(scores).join(', ')}`;
  return `it gives ${label} ${found.toFixed(2)} on the test card, and ${score.toFixed(2)} is expected: are side, resize, mean, std and the order of labels in bundle.yaml those that it was trained with?`;
}

interface Opened {
  readonly sessions: ReadonlyMap<string, Session>;
  /** From now on each run has its limit. */
  begin(): void;
  close(): Promise<void>;
}

/** @throws {Error} naming the file */
async function openHere(
  dir: string,
  networks: readonly Openable[],
  options: SessionOptions,
): Promise<Opened> {
  const sessions = new Map<string, Awaited<ReturnType<typeof openNetwork>>>();
  for (const network of networks) {
    const session = await openNetwork(dir, network, options).catch((error: unknown) => {
      throw new Error(`${network.path} does not load: ${reasonOf(error)}`);
    });
    sessions.set(network.role, session);
  }
  return {
    sessions,
    begin() {},
    async close() {
      for (const session of sessions.values()) await session.close();
    },
  };
}

interface Running {
  readonly child: ChildProcess;
  readonly ports: ReadonlyMap<
    string,
    { readonly inputs: readonly TensorInfo[]; readonly outputs: readonly TensorInfo[] }
  >;
  ask(question: Omit<RunAsk, 'id'>): Promise<Record<string, Tensor>>;
}

const openApart =
  (limitMs: number) =>
  async (
    dir: string,
    networks: readonly Openable[],
    { onReport, ...options }: SessionOptions,
  ): Promise<Opened> => {
    const data: ClassifierProcessData = { dir, networks, options };
    let closed = false;
    /** in a row */
    let failures = 0;
    let limit = START_LIMIT_MS;
    let running: Promise<Running>;

    const start = () => startProcess(data, (report) => onReport?.(report), restart);
    function restart(reason: Error): void {
      if (closed) return;
      failures++;
      const pause = pauseMs(failures);
      log.error(
        { err: reason, failures, pause },
        'classifiers are begun again: what they did not clear is held',
      );
      running = Promise.reject(reason);
      running.catch(() => {});
      setTimeout(() => {
        if (closed) return;
        running = start();
        running.catch(restart);
      }, pause).unref();
    }

    running = start();
    const { ports } = await running;
    const sessions = new Map<string, Session>();
    for (const [role, { inputs, outputs }] of ports) {
      sessions.set(role, {
        inputs,
        outputs,
        async run(feeds, fetches) {
          const late = Promise.withResolvers<never>();
          let at: Running | null = null;
          const timer = setTimeout(() => {
            late.reject(new Error(`No answer of the ${role} within ${limit} ms`));
            // Its exit begins the next.
            at?.child.kill('SIGKILL');
          }, limit);
          try {
            const answer = running.then((process) => {
              at = process;
              return process.ask({ role, feeds, fetches });
            });
            const results = await Promise.race([answer, late.promise]);
            failures = 0;
            return results;
          } finally {
            clearTimeout(timer);
            late.promise.catch(() => {});
          }
        },
      });
    }
    return {
      sessions,
      begin() {
        limit = limitMs;
      },
      async close() {
        closed = true;
        const last = await running.catch(() => null);
        last?.child.kill('SIGKILL');
      },
    };
  };

/**
 * @param ended told once when it has ended after it was ready
 * @throws {Error} why it can't be used
 */
async function startProcess(
  data: ClassifierProcessData,
  onReport: NonNullable<SessionOptions['onReport']>,
  ended: (reason: Error) => void,
): Promise<Running> {
  const child = fork(new URL('./classifier-process.ts', import.meta.url), { serialization: 'advanced' });
  const waiting = new Map<number, PromiseWithResolvers<Record<string, Tensor>>>();
  const { promise: ready, resolve, reject } = Promise.withResolvers<Running['ports']>();
  let last = 0;
  let isReady = false;
  const end = (reason: Error) => {
    reject(reason);
    for (const { reject: fail } of waiting.values()) fail(reason);
    waiting.clear();
    if (isReady) ended(reason);
    isReady = false;
  };
  child.on('error', end);
  child.on('exit', (code, signal) =>
    end(new Error(`The process of the classifiers ended with ${signal ?? code}`)),
  );
  child.on('message', (told: RunTold) => {
    switch (told.kind) {
      case 'session':
        return onReport(told.report);
      case 'ready':
        return resolve(new Map(told.sessions.map(({ role, ...ports }) => [role, ports])));
      case 'done':
        waiting.get(told.id)?.resolve({ ...told.results });
        return void waiting.delete(told.id);
      case 'failed': {
        if (told.id === null) return reject(new Error(told.error));
        waiting.get(told.id)?.reject(new Error(told.error));
        return void waiting.delete(told.id);
      }
    }
  });
  child.send(data);
  const timer = setTimeout(
    () => reject(new Error(`The classifiers were not open within ${START_LIMIT_MS} ms`)),
    START_LIMIT_MS,
  );
  try {
    const ports = await ready;
    isReady = true;
    // Whoever has them open is not kept from ending.
    child.unref();
    child.channel?.unref();
    return {
      child,
      ports,
      ask(question) {
        const id = ++last;
        const answer = Promise.withResolvers<Record<string, Tensor>>();
        waiting.set(id, answer);
        child.send({ ...question, id } satisfies RunAsk, (error) => error && answer.reject(error));
        return answer.promise;
      },
    };
  } catch (error) {
    child.kill('SIGKILL');
    throw error;
  } finally {
    clearTimeout(timer);
  }
}
