/**
 * Reads the operators' YAML files. A bad one stops the process with the file, the line and what was expected.
 */
import { readFileSync } from 'node:fs';
import { basename } from 'node:path';
import { type Document, isMap, isNode, isScalar, isSeq, LineCounter, parseDocument, visit } from 'yaml';
import type { z } from 'zod';

/** @param file absolute path or URL of a YAML file. @throws {Error} `parameters.yaml:12: guidance_scale.max: expected number` */
export function loadYaml<T extends z.ZodType>(file: string | URL, schema: T): z.output<T> {
  const name = basename(file instanceof URL ? file.pathname : file);
  return parseYaml(readFileSync(file, 'utf8'), schema, name);
}

export function parseYaml<T extends z.ZodType>(text: string, schema: T, name: string): z.output<T> {
  const lineCounter = new LineCounter();
  const document = parseDocument(text, { lineCounter });
  const [broken] = document.errors;
  if (broken) throw new Error(`${name}:${broken.linePos?.[0].line ?? 1}: ${broken.message.split('\n')[0]}`);

  visit(document, {
    Alias(_, { range }) {
      const { line } = lineCounter.linePos(range?.[0] ?? 0);
      throw new Error(`${name}:${line}: aliases are not allowed: write the value out`);
    },
  });

  const parsed = schema.safeParse(document.toJS());
  if (parsed.success) return parsed.data;

  const faults = parsed.error.issues.map((issue) => {
    const [unknown] = issue.code === 'unrecognized_keys' ? issue.keys : [];
    const path = unknown === undefined ? issue.path : [...issue.path, unknown];
    const { line } = lineCounter.linePos(positionOf(document, path));
    return `${name}:${line}: ${issue.path.join('.') || '(file)'}: ${issue.message}`;
  });
  throw new Error(faults.join('\n'));
}

/** Where the value at a path begins; when a key is missing, where its nearest parent begins. */
function positionOf(document: Document, path: readonly PropertyKey[]): number {
  let node: unknown = document.contents;
  let position = 0;
  for (const part of path) {
    if (isMap(node)) {
      const pair = node.items.find(({ key }) => isScalar(key) && String(key.value) === String(part));
      if (!pair) break;
      position = (isScalar(pair.key) && pair.key.range?.[0]) || position;
      node = pair.value;
    } else if (isSeq(node)) {
      node = node.items[Number(part)];
      position = (isNode(node) && node.range?.[0]) || position;
    } else break;
  }
  return position;
}
