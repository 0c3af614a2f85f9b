// `npm run` starts a shell that starts us, and a signal ends those two alone: we would go on with nobody who knows of us. Imported
// with `?pid=…&parent=…` by Node's --import, it ends the process of that pid by a SIGTERM once its parent is another.
import { isMainThread } from 'node:worker_threads';

const LOOK_EVERY_MS = 500;

export function endWithParent(parent) {
  const timer = setInterval(() => {
    if (process.ppid === parent) return;
    clearInterval(timer);
    process.kill(process.pid, 'SIGTERM');
  }, LOOK_EVERY_MS);
  timer.unref();
}

const { searchParams } = new URL(import.meta.url);
// What this process starts inherits the option.
if (isMainThread && Number(searchParams.get('pid')) === process.pid)
  endWithParent(Number(searchParams.get('parent')));
