/** Processes of shards, as their parent has them. */
import { type ChildProcess, fork } from 'node:child_process';
import inspector from 'node:inspector';
import { fileURLToPath } from 'node:url';
import type { ShardsToStart } from './protocol.ts';

const SHARD = fileURLToPath(new URL('./shard.ts', import.meta.url));
let prepared: ChildProcess | undefined;

/** Starts one that the first who asks for shards will have: it loads its libraries while we load ours. */
export function prepareShardProcess(): void {
  const child = forked(SHARD);
  const forget = () => {
    if (prepared === child) prepared = undefined;
  };
  child.once('error', forget); // it could not be started: the next try tells
  child.once('exit', forget);
  prepared = child;
}

/** @param file the module of such a process, where it is not ours */
export function shardProcess(shards: ShardsToStart, file = SHARD): ChildProcess {
  const child = file === SHARD && prepared ? prepared : forked(file);
  if (child === prepared) prepared = undefined;
  child.send(shards);
  return child;
}

function forked(file: string): ChildProcess {
  // `--inspect` means the shards, where people are answered. They inherit it, and take the port that is free then.
  if (inspector.url()) inspector.close();
  return fork(file);
}
