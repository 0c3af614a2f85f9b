/**
 * The same alerts for CloudWatch, as resources of CloudFormation's: a stack adds each as it is, with what is to be told. Metrics of
 * Atelier's own come by a collector that reads /metrics (the CloudWatch agent or the OpenTelemetry one); `collected` says which, and by
 * which dimensions. Counters come as what they rose by, gauges as they are.
 */
import { alerts, BAD_MIN, BUDGET, type Duration, FAST, SLOW, type Slo, slos, type Twin } from './source.ts';

const NAMESPACE = 'Atelier';
const RUNBOOKS = 'infra/watch/runbooks';

interface Resource {
  readonly Type: 'AWS::CloudWatch::Alarm' | 'AWS::CloudWatch::CompositeAlarm';
  readonly Properties: Readonly<Record<string, unknown>>;
  /** `page` or `ticket`: whom the stack has it tell; null: it is a part of a composite one and tells nobody */
  readonly Metadata: { readonly Severity: string | null };
}

export interface CloudWatch {
  readonly collected: readonly {
    readonly metric: string;
    readonly dimensions: readonly (readonly string[])[];
  }[];
  readonly Resources: Readonly<Record<string, Resource>>;
  /** alert → why CloudWatch cannot say it */
  readonly notSaid: Readonly<Record<string, string>>;
}

export function cloudWatch(): CloudWatch {
  const Resources: Record<string, Resource> = {};
  const notSaid: Record<string, string> = {};
  for (const slo of slos) Object.assign(Resources, burnAlarms(slo));
  for (const { name, severity, summary, cloudWatch: twins } of alerts()) {
    if (typeof twins === 'string') notSaid[name] = twins;
    else
      for (const twin of twins) {
        const own = [name, ...Object.values(twin.dimensions ?? {}).map(capital)].join('');
        // Templates of Prometheus' are none of CloudWatch's.
        const description = `${summary.replaceAll(/ ?\{\{.*?\}\}/g, '')} ${RUNBOOKS}/${name}.md`;
        Resources[own] = {
          Type: 'AWS::CloudWatch::Alarm',
          Properties: alarm(own, description, twin),
          Metadata: { Severity: severity },
        };
      }
  }
  return { collected: collected(Resources), Resources, notSaid };
}

function alarm(name: string, description: string, twin: Twin): Resource['Properties'] {
  return {
    AlarmName: `atelier-${name}`,
    AlarmDescription: description,
    Namespace: NAMESPACE,
    MetricName: twin.metric,
    Dimensions: dimensionsOf(twin.dimensions ?? {}),
    Statistic: twin.statistic,
    Period: twin.period,
    EvaluationPeriods: twin.periods,
    DatapointsToAlarm: twin.periods,
    Threshold: twin.above ?? twin.below,
    ComparisonOperator: twin.above === undefined ? 'LessThanThreshold' : 'GreaterThanThreshold',
    TreatMissingData: twin.missingIsBad ? 'breaching' : 'notBreaching',
  };
}

/**
 * One alarm a window, which tell nobody, and of each pair of them one that does. A counter's bad and all are sums over labels that the
 * selectors of `source.ts` name, so they are said in those words here too.
 */
function burnAlarms(slo: Slo): Record<string, Resource> {
  const own: Record<string, Resource> = {};
  const capitalised = capital(slo.name);
  const window = (factor: number, over: Duration, badMin: number) => {
    const name = `Budget${capitalised}${Math.round(factor)}x${over}`;
    const { Period, EvaluationPeriods } = windows[over] ?? windows['1h']!;
    const part = (id: 'bad' | 'all') =>
      countersOf(slo[id]).map((counter, i) => ({
        Id: `${id}${i}`,
        ReturnData: false,
        MetricStat: { Metric: { Namespace: NAMESPACE, ...counter }, Period, Stat: 'Sum' },
      }));
    const sum = (metrics: readonly { readonly Id: string }[]) =>
      metrics.map(({ Id }) => `FILL(${Id}, 0)`).join(' + ');
    const [bad, all] = [part('bad'), part('all')];
    own[name] = {
      Type: 'AWS::CloudWatch::Alarm',
      Properties: {
        AlarmName: `atelier-${name}`,
        AlarmDescription: `More than ${Number((factor * BUDGET * 100).toFixed(4))} % of ${slo.name} in ${over}, and ${badMin} or more.`,
        Metrics: [
          ...bad,
          ...all,
          { Id: 'wrong', ReturnData: false, Expression: sum(bad) },
          { Id: 'asked', ReturnData: false, Expression: sum(all) },
          {
            Id: 'share',
            ReturnData: true,
            Expression: `IF(asked > 0 AND wrong >= ${badMin}, wrong / asked, 0)`,
          },
        ],
        EvaluationPeriods,
        DatapointsToAlarm: EvaluationPeriods,
        Threshold: Number((factor * BUDGET).toFixed(6)),
        ComparisonOperator: 'GreaterThanThreshold',
        TreatMissingData: 'notBreaching',
      },
      Metadata: { Severity: null },
    };
    return `ALARM("atelier-${name}")`;
  };
  // The short window only says that it still goes on.
  const pair = ({ factor, long, short }: (typeof FAST)[number]) =>
    `(${window(factor, long, BAD_MIN)} AND ${window(factor, short, 1)})`;
  const both = (name: 'BudgetBurnsFast' | 'BudgetBurnsSlow', Severity: string, AlarmRule: string) => {
    own[`${name}${capitalised}`] = {
      Type: 'AWS::CloudWatch::CompositeAlarm',
      Properties: {
        AlarmName: `atelier-${name}${capitalised}`,
        AlarmDescription: `Promised: ${slo.promise}. ${RUNBOOKS}/${name}.md`,
        AlarmRule,
      },
      Metadata: { Severity },
    };
  };
  both('BudgetBurnsFast', 'page', FAST.map(pair).join(' OR '));
  both('BudgetBurnsSlow', 'ticket', pair(SLOW));
  return own;
}

/** An alarm looks at a day at the most, in one period: three days are three of them, each too bad by itself. */
const windows: Readonly<Record<string, { readonly Period: number; readonly EvaluationPeriods: number }>> = {
  '5m': { Period: 300, EvaluationPeriods: 1 },
  '30m': { Period: 1_800, EvaluationPeriods: 1 },
  '1h': { Period: 3_600, EvaluationPeriods: 1 },
  '6h': { Period: 21_600, EvaluationPeriods: 1 },
  '3d': { Period: 86_400, EvaluationPeriods: 3 },
};

/** `name{a="x", b=~"y|z"}` → a metric with each set of dimensions that it means; `name` alone is a metric without any. */
function countersOf(
  selector: string,
): { MetricName: string; Dimensions: { Name: string; Value: string }[] }[] {
  const [, MetricName = '', inside = ''] = /^(\w+)(?:\{(.*)\})?$/.exec(selector) ?? [];
  const labels = [...inside.matchAll(/(\w+)=~?"([^"]*)"/g)].map(([, name = '', values = '']) => ({
    name,
    values: values.split('|'),
  }));
  const sets = labels.reduce<Record<string, string>[]>(
    (known, { name, values }) => known.flatMap((set) => values.map((value) => ({ ...set, [name]: value }))),
    [{}],
  );
  return sets.map((set) => ({ MetricName, Dimensions: dimensionsOf(set) }));
}

function dimensionsOf(labels: Readonly<Record<string, string>>): { Name: string; Value: string }[] {
  return Object.entries(labels).map(([Name, Value]) => ({ Name, Value }));
}

interface Named {
  readonly MetricName: string;
  readonly Dimensions: readonly { readonly Name: string }[];
}

/** Read off the alarms. */
function collected(resources: Readonly<Record<string, Resource>>): CloudWatch['collected'] {
  const named = Object.values(resources).flatMap(({ Properties }): Named[] => {
    if (Properties.Namespace === NAMESPACE) return [Properties as unknown as Named];
    const metrics = (Properties.Metrics ?? []) as readonly {
      readonly MetricStat?: { readonly Metric: Named };
    }[];
    return metrics.flatMap(({ MetricStat }) => (MetricStat ? [MetricStat.Metric] : []));
  });
  const sets = new Map<string, Set<string>>();
  for (const { MetricName, Dimensions } of named) {
    const known = sets.get(MetricName) ?? new Set();
    known.add(JSON.stringify(Dimensions.map(({ Name }) => Name).sort()));
    sets.set(MetricName, known);
  }
  return [...sets]
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([metric, known]) => ({
      metric,
      dimensions: [...known].sort().map((one) => JSON.parse(one) as string[]),
    }));
}

const capital = (word: string) =>
  word
    .split(/[_-]/)
    .map((part) => part.charAt(0).toUpperCase() + part.slice(1))
    .join('');
