/** The worker's thread that finishes pictures, without one that draws. */
import { MessageChannel, Worker } from 'node:worker_threads';
import type { Bitmap } from '#pipelines/bitmap.ts';
import type { Identity } from '#src/marks/installation.ts';
import type { FinishThreadData } from '#src/services/worker/finish-thread.ts';
import type { DrawnTogether, Pixels, ThreadMessage } from '#src/services/worker/protocol.ts';

export interface Finisher {
  picture(picture: Bitmap, generationId: string): Promise<DrawnTogether>;
  /** @param picture at most 96 px a side */
  preview(picture: Bitmap): Promise<Uint8Array<ArrayBuffer>>;
  close(): Promise<unknown>;
}

export function openFinisher(identity: Identity): Finisher {
  const { port1: hand, port2: drawer } = new MessageChannel();
  const workerData: FinishThreadData = { drawer, identity };
  const thread = new Worker(new URL('../../src/services/worker/finish-thread.ts', import.meta.url), {
    workerData,
    transferList: [drawer],
  });
  const waiting = new Map<number, PromiseWithResolvers<ThreadMessage>>();
  let last = 0;
  thread.on('message', (message: ThreadMessage) => {
    if ('id' in message) waiting.get(message.id)?.resolve(message);
  });
  async function finish(pixels: Pixels): Promise<ThreadMessage> {
    const answer = Promise.withResolvers<ThreadMessage>();
    waiting.set(pixels.id, answer);
    hand.postMessage(pixels);
    return answer.promise;
  }
  return {
    async picture(picture, generationId) {
      const facts = { scores: {}, ages: null, concepts: {}, likeness: null, timings: {}, batch: 1 };
      const message = await finish({ kind: 'picture', id: ++last, generationId, picture, facts });
      if (message.kind !== 'drawn') throw new Error(`A finish thread said ${message.kind}`);
      return message.result;
    },
    async preview(picture) {
      const message = await finish({ kind: 'preview', id: ++last, picture });
      if (message.kind !== 'preview' || !message.webp) throw new Error('A finish thread gave no preview');
      return message.webp;
    },
    async close() {
      hand.close();
      return thread.terminate();
    },
  };
}
