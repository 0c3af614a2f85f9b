/**
 * Reads the operators' YAML files. A bad one stops the process with the file, the line and what was expected.
 */
import { readFileSync } from 'node:fs';
import { basename } from 'node:path';
import { LineCounter, parseDocument } from 'yaml';
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

  const parsed = schema.safeParse(document.toJS({ maxAliasCount: 0 }));
  if (parsed.success) return parsed.data;

  const faults = parsed.error.issues.map((issue) => {
    // The deepest node that exists: a missing key is reported where its parent stands.
    let line = 1;
    for (let depth = issue.path.length; depth >= 0; depth--) {
      const node: unknown = document.getIn(issue.path.slice(0, depth), true);
      if (hasRange(node)) {
        line = lineCounter.linePos(node.range[0]).line;
        break;
      }
    }
    return `${name}:${line}: ${issue.path.join('.') || '(file)'}: ${issue.message}`;
  });
  throw new Error(faults.join('\n'));
}

function hasRange(node: unknown): node is { range: [number, number, number] } {
  return typeof node === 'object' && node !== null && 'range' in node && Array.isArray(node.range);
}
