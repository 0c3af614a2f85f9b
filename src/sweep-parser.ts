/** The thread that parses a person's YAML; see src/sweeps.ts. It may be ended at any moment. */
import { parentPort, workerData } from 'node:worker_threads';
import { LineCounter, parseDocument } from 'yaml';

const text = String(workerData);
const lineCounter = new LineCounter();
try {
  // `uniqueKeys` compares every key with every other: 20,000 keys took it 5 s. The schema knows all keys we take.
  const document = parseDocument(text, { lineCounter, uniqueKeys: false, version: '1.2', schema: 'core' });
  const [fault] = document.errors;
  if (fault) {
    const at = fault.linePos?.[0] ?? { line: 1, col: 1 };
    parentPort?.postMessage({
      line: at.line,
      column: at.col,
      reason: fault.message.split('\n')[0]?.split(' at line')[0],
    });
  } else {
    // 0: an alias is an error. Nothing here needs one, and nested ones grow without end.
    parentPort?.postMessage({ value: document.toJS({ maxAliasCount: 0 }) });
  }
} catch (error) {
  const alias = error instanceof ReferenceError;
  const at = alias ? lineCounter.linePos(Math.max(0, text.search(/\*[\w-]/))) : { line: 1, col: 1 };
  const reason = alias ? 'aliases (`*name`) are not allowed. Write the value out.' : 'it is nested too deep.';
  parentPort?.postMessage({ line: at.line, column: at.col, reason });
}
