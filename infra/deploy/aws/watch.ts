/**
 * Alarms for what AWS runs for us, those of infra/watch for what people were promised and for the program itself, and a page that shows
 * it.
 */
import { CfnResource, Duration, Stack, type StackProps } from 'aws-cdk-lib';
import * as cloudwatch from 'aws-cdk-lib/aws-cloudwatch';
import { SnsAction } from 'aws-cdk-lib/aws-cloudwatch-actions';
import * as elb from 'aws-cdk-lib/aws-elasticloadbalancingv2';
import type { Construct } from 'constructs';
import { tierRules } from '../../../config/tiers.ts';
import { cloudWatch } from '../../watch/cloudwatch.ts';
import { namespaceOf } from './agent.ts';
import type { Data } from './data.ts';
import type { Fleet } from './fleet.ts';
import type { Services } from './services.ts';
import { longestWait, worstWait } from './waits.ts';

const GIB = 2 ** 30;
const { GREATER_THAN_THRESHOLD: ABOVE, LESS_THAN_THRESHOLD: BELOW } = cloudwatch.ComparisonOperator;

export interface WatchProps extends StackProps {
  readonly stage: string;
  readonly data: Data;
  readonly fleet: Fleet;
  readonly services: Services;
}

export class Watch extends Stack {
  constructor(scope: Construct, id: string, props: WatchProps) {
    super(scope, id, props);
    const { stage, data, fleet, services } = props;
    const { database } = data;
    const redis = (metricName: string) =>
      new cloudwatch.Metric({
        namespace: 'AWS/ElastiCache',
        metricName,
        dimensionsMap: { ReplicationGroupId: data.redis.ref },
        statistic: cloudwatch.Stats.MAXIMUM,
      });
    const running = (service: string) =>
      new cloudwatch.Metric({
        namespace: 'ECS/ContainerInsights',
        metricName: 'RunningTaskCount',
        dimensionsMap: { ClusterName: fleet.cluster.clusterName, ServiceName: service },
        statistic: cloudwatch.Stats.MINIMUM,
        period: Duration.minutes(1),
      });
    const unhealthy = new cloudwatch.MathExpression({
      expression: 'FILL(blue, 0) + FILL(green, 0)',
      usingMetrics: {
        blue: services.bluegreen[0].metrics.unhealthyHostCount(),
        green: services.bluegreen[1].metrics.unhealthyHostCount(),
      },
      label: 'unhealthy web processes',
    });
    const unanswered = services.balancer.metrics.httpCodeElb(elb.HttpCodeElb.ELB_5XX_COUNT);
    const answered5xx = services.balancer.metrics.httpCodeTarget(elb.HttpCodeTarget.TARGET_5XX_COUNT);

    const alarms: readonly (readonly [
      name: string,
      does: string,
      metric: cloudwatch.IMetric,
      than: cloudwatch.ComparisonOperator,
      threshold: number,
      minutes: number,
      missing?: cloudwatch.TreatMissingData,
    ])[] = [
      [
        'postgres-cpu',
        'Postgres has been busy for a quarter of an hour: a larger instance, or a statement that got slow.',
        database.metricCPUUtilization(),
        ABOVE,
        85,
        15,
      ],
      [
        'postgres-storage',
        'Postgres has less than 10 GiB left. It grows by itself up to ten times what it began with.',
        database.metricFreeStorageSpace(),
        BELOW,
        10 * GIB,
        5,
      ],
      [
        'postgres-connections',
        'Postgres has most of the connections that it has room for: fewer processes, or a larger instance.',
        database.metricDatabaseConnections(),
        ABOVE,
        300,
        5,
      ],
      [
        'redis-memory',
        'Redis is nearly full, and refuses jobs when it is: what waits is in Postgres and safe, but nobody is woken.',
        redis('DatabaseMemoryUsagePercentage'),
        ABOVE,
        80,
        5,
      ],
      ['redis-cpu', 'Redis has no CPU left.', redis('EngineCPUUtilization'), ABOVE, 85, 15],
      ['balancer-5xx', 'The load balancer answers itself, as no web process does.', unanswered, ABOVE, 20, 5],
      ['web-unhealthy', 'A web process does not answer /healthz.', unhealthy, ABOVE, 0, 5],
      ...services.names.map(
        (name) =>
          [
            `${name}-gone`,
            `No ${name} runs.`,
            running(name),
            BELOW,
            1,
            5,
            cloudwatch.TreatMissingData.BREACHING,
          ] as const,
      ),
    ];
    for (const [name, alarmDescription, metric, comparisonOperator, threshold, minutes, missing] of alarms) {
      const alarm = new cloudwatch.Alarm(this, name, {
        alarmName: `atelier-${stage}-${name}`,
        alarmDescription,
        metric: withPeriod(metric),
        comparisonOperator,
        threshold,
        evaluationPeriods: minutes,
        treatMissingData: missing ?? cloudwatch.TreatMissingData.NOT_BREACHING,
      });
      alarm.addAlarmAction(new SnsAction(fleet.alarms));
      alarm.addOkAction(new SnsAction(fleet.alarms));
    }

    this.#alerts(stage, fleet);

    const graph = (title: string, left: cloudwatch.IMetric[], right: cloudwatch.IMetric[] = []) =>
      new cloudwatch.GraphWidget({ title, left, right, width: 12, liveData: true });
    new cloudwatch.Dashboard(this, 'Dashboard', {
      dashboardName: `atelier-${stage}`,
      defaultInterval: Duration.hours(3),
      widgets: [
        [
          graph(
            'Longest wait, s',
            tierRules.map(({ name }) => longestWait(stage, name)),
          ),
          graph('Workers, and the wait that moves them', [running('worker')], [worstWait(stage)]),
        ],
        [
          graph(
            'Requests, and answers of 5xx',
            [services.balancer.metrics.requestCount()],
            [answered5xx, unanswered],
          ),
          graph('Time until the web service answers', [
            services.balancer.metrics.targetResponseTime({ statistic: 'p50' }),
            services.balancer.metrics.targetResponseTime({ statistic: 'p99' }),
          ]),
        ],
        [
          graph(
            'Services, CPU %',
            Object.values(services.services).map((service) => service.metricCpuUtilization()),
          ),
          graph(
            'Services, memory % of what is kept free',
            Object.values(services.services).map((service) => service.metricMemoryUtilization()),
          ),
        ],
        [
          graph(
            'Postgres: CPU %, connections',
            [database.metricCPUUtilization()],
            [database.metricDatabaseConnections()],
          ),
          graph(
            'Redis: memory %, CPU %',
            [redis('DatabaseMemoryUsagePercentage')],
            [redis('EngineCPUUtilization')],
          ),
        ],
      ],
    });
  }

  /** In the words of infra/watch, with the stage in their names and in their metrics' namespace: an account may have two. */
  #alerts(stage: string, { alarms }: Fleet): void {
    const own = JSON.stringify(cloudWatch().Resources)
      .replaceAll('"Namespace":"Atelier"', `"Namespace":"${namespaceOf(stage)}"`)
      .replaceAll(/(?<=")atelier-(?=[A-Z])/g, `atelier-${stage}-`);
    const parts: CfnResource[] = [];
    for (const [id, { Type, Properties, Metadata }] of Object.entries(JSON.parse(own) as Alerts)) {
      const actions =
        Metadata.Severity === null ? {} : { AlarmActions: [alarms.topicArn], OKActions: [alarms.topicArn] };
      const alarm = new CfnResource(this, id, { type: Type, properties: { ...Properties, ...actions } });
      if (Type === 'AWS::CloudWatch::CompositeAlarm')
        for (const part of parts) alarm.addResourceDependency(part);
      else parts.push(alarm);
    }
  }
}

type Alerts = ReturnType<typeof cloudWatch>['Resources'];

/** A minute each: how many of them is how long it has been so. */
function withPeriod(metric: cloudwatch.IMetric): cloudwatch.IMetric {
  const period = Duration.minutes(1);
  return metric instanceof cloudwatch.Metric || metric instanceof cloudwatch.MathExpression
    ? metric.with({ period })
    : metric;
}
