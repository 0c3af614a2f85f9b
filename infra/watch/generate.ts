/**
 * Writes what Prometheus, Grafana and CloudWatch read, as `source.ts` says it: `node infra/watch/generate.ts`. A test says when what is
 * committed is older.
 */
import { writeFile } from 'node:fs/promises';
import { stringify } from 'yaml';
import { cloudWatch } from './cloudwatch.ts';
import { dashboard } from './dashboard.ts';
import { alerts, type Pace, recordings, USUAL } from './source.ts';

const NOTE = '# Made of infra/watch/source.ts by `node infra/watch/generate.ts`: change that.\n';

/** Prometheus' rules. */
export function rules(pace: Pace = USUAL): string {
  const told = alerts(pace).map(({ name, expr, for: after, severity, summary }) => ({
    alert: name,
    expr,
    for: pace.other(after),
    labels: { severity },
    annotations: { summary, runbook: `infra/watch/runbooks/${name}.md` },
  }));
  const groups = [
    { name: 'service levels', rules: recordings(pace) },
    { name: 'alerts', rules: told },
  ];
  return NOTE + stringify({ groups }, { lineWidth: 0, aliasDuplicateObjects: false });
}

const json = (value: unknown) => `${JSON.stringify(value, null, 2)}\n`;

/** file beside this one → what it shall hold */
export const made = (): ReadonlyMap<string, string> =>
  new Map([
    ['made/rules.yaml', rules()],
    ['made/dashboard.json', json(dashboard())],
    ['made/cloudwatch.json', json(cloudWatch())],
  ]);

if (import.meta.main)
  for (const [file, text] of made()) await writeFile(new URL(file, import.meta.url), text);
