/** A worker that draws on for as many ms as it is told when it is to stop. */
import { run } from '#src/services/run.ts';
import { startWorker } from '#src/services/worker/worker.ts';

await run('worker', () => startWorker({ drainMs: Number(process.argv[2]) }));
