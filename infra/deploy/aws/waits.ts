/**
 * How long people wait, as CloudWatch knows it: for the workers' scaling and for the dashboard. The web service reads it from rows
 * (src/services/web/gauges.ts) and tells it at `/metrics`; agent.ts hands it on. All web processes tell the same, so the largest counts.
 * Where nothing waits, nothing is told.
 */
import { Duration } from 'aws-cdk-lib';
import * as cloudwatch from 'aws-cdk-lib/aws-cloudwatch';
import { tierRules } from '../../../config/tiers.ts';
import { namespaceOf } from './agent.ts';

/** As src/doors/metrics.ts declares it. */
export const WAIT = 'atelier_longest_wait_seconds';
/** The agent's clock and CloudWatch's: shorter than a minute costs more, and a worker takes longer to come. */
const PERIOD = Duration.minutes(1);

/** How long people of a tier have waited at most. s */
export function longestWait(stage: string, tier: string): cloudwatch.Metric {
  return new cloudwatch.Metric({
    namespace: namespaceOf(stage),
    metricName: WAIT,
    dimensionsMap: { tier },
    statistic: cloudwatch.Stats.MAXIMUM,
    period: PERIOD,
    label: tier,
  });
}

/**
 * The worst of the tiers, as a share of its target in config/tiers.yaml: 1 where people wait just as long as they should at the most,
 * 0 where nobody waits.
 */
export function worstWait(stage: string): cloudwatch.MathExpression {
  const shares = tierRules.map(({ name, targetMs }) => `FILL(${name}, 0) / ${targetMs / 1_000}`);
  return new cloudwatch.MathExpression({
    expression: `MAX([${shares.join(', ')}])`,
    usingMetrics: Object.fromEntries(tierRules.map(({ name }) => [name, longestWait(stage, name)])),
    period: PERIOD,
    label: 'longest wait, as a share of its tier’s target',
  });
}
