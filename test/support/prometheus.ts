/** Reads what Prometheus reads. */

export interface Sample {
  readonly name: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly value: number;
}

export interface Scrape {
  readonly samples: readonly Sample[];
  /** family → `counter`, `gauge` or `histogram` */
  readonly types: ReadonlyMap<string, string>;
  readonly help: ReadonlyMap<string, string>;
  /** Values of one series, which has these labels and perhaps others; none: it is not told. */
  values(name: string, labels?: Readonly<Record<string, string>>): number[];
}

/** Version 0.0.4 of the text format. @throws {Error} at a line that is none of it */
export function readScrape(text: string): Scrape {
  const types = new Map<string, string>();
  const help = new Map<string, string>();
  const samples: Sample[] = [];
  for (const line of text.split('\n')) {
    if (!line) continue;
    const about = /^# (HELP|TYPE) (\S+) (.+)$/.exec(line);
    if (about) {
      (about[1] === 'HELP' ? help : types).set(about[2]!, about[3]!);
      continue;
    }
    const [, name = '', list = '', value = ''] = /^([a-zA-Z_:][\w:]*)(?:\{(.*)\})? (\S+)$/.exec(line) ?? [];
    if (!name) throw new Error(`Prometheus does not read: ${line}`);
    const labels = [...list.matchAll(/(\w+)="((?:[^"\\]|\\.)*)"/g)].map(([, key = '', text = '']) => [
      key,
      text,
    ]);
    samples.push({ name, labels: Object.fromEntries(labels), value: Number(value) });
  }
  const has = (sample: Sample, labels: Readonly<Record<string, string>>) =>
    Object.entries(labels).every(([key, wanted]) => sample.labels[key] === wanted);
  return {
    samples,
    types,
    help,
    values: (name, labels = {}) =>
      samples.filter((sample) => sample.name === name && has(sample, labels)).map(({ value }) => value),
  };
}

export async function scrape(port: number): Promise<Scrape> {
  const response = await fetch(`http://127.0.0.1:${port}/metrics`);
  if (!response.ok) throw new Error(`/metrics answered ${response.status}`);
  return readScrape(await response.text());
}
