/** The thread that reads a person's YAML: it says `ready`, is sent one text, and answers once. See parse-in-thread.ts. */
import { parentPort } from 'node:worker_threads';
import { readYaml } from './yaml.ts';

parentPort?.once('message', (text: string) => parentPort?.postMessage(readYaml(text)));
parentPort?.postMessage('ready');
