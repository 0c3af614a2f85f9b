/**
 * When a batch will be ready: steps left × measured speed, on as many workers as there are. Each worker ends what it has in
 * hand, then takes the next picture of the order.
 *
 * A picture that is being drawn is taken to go on as fast as it went so far. So the moment that is told for its end stays the
 * same while the clock goes on, whatever speed was guessed before.
 */

/** A picture that a worker has in hand. */
export interface Running {
  readonly batchId: string;
  readonly steps: number;
  /** 0…1 */
  readonly progress: number;
  /** since it was begun */
  readonly elapsedMs: number;
}

/** A picture that is still to be begun. */
export interface Waiting {
  readonly batchId: string;
  readonly steps: number;
}

/** Progress below this says nothing of a picture's own speed. */
const TELLING = 0.05;

/**
 * @param waiting in their order
 * @returns ms until the last picture of the batch is ready; 0 when it has none here
 */
export function readyInMs(
  batchId: string,
  {
    running,
    waiting,
    workers,
    msPerStep,
  }: {
    readonly running: readonly Running[];
    readonly waiting: Iterable<Waiting>;
    readonly workers: number;
    readonly msPerStep: number;
  },
): number {
  let ready = 0;
  let left = 0;
  const free: number[] = [];
  for (const picture of running) {
    const ms = msLeft(picture, msPerStep);
    free.push(ms);
    if (picture.batchId === batchId) ready = Math.max(ready, ms);
  }
  // A worker without a picture is free. More pictures than workers: one was lost, and its picture counts as another's.
  while (free.length < Math.max(1, workers)) free.push(0);

  const queue = [...waiting];
  for (const picture of queue) if (picture.batchId === batchId) left++;
  for (const picture of queue) {
    if (!left) break;
    const first = free.indexOf(Math.min(...free));
    free[first] = free[first]! + picture.steps * msPerStep;
    if (picture.batchId !== batchId) continue;
    ready = Math.max(ready, free[first]!);
    left--;
  }
  return ready;
}

function msLeft({ steps, progress, elapsedMs }: Running, msPerStep: number): number {
  if (progress < TELLING) return steps * msPerStep;
  return (elapsedMs / progress) * (1 - progress);
}
