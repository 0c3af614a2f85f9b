/** The five services and what stands before the web: each with its own role, its own security group and its own log. */
import { Duration, Stack, type StackProps, TimeZone } from 'aws-cdk-lib';
import * as appscaling from 'aws-cdk-lib/aws-applicationautoscaling';
import * as acm from 'aws-cdk-lib/aws-certificatemanager';
import * as cloudwatch from 'aws-cdk-lib/aws-cloudwatch';
import { ApplicationScalingAction, SnsAction } from 'aws-cdk-lib/aws-cloudwatch-actions';
import * as ec2 from 'aws-cdk-lib/aws-ec2';
import * as ecs from 'aws-cdk-lib/aws-ecs';
import * as elb from 'aws-cdk-lib/aws-elasticloadbalancingv2';
import * as events from 'aws-cdk-lib/aws-events';
import * as iam from 'aws-cdk-lib/aws-iam';
import * as logs from 'aws-cdk-lib/aws-logs';
import * as route53 from 'aws-cdk-lib/aws-route53';
import * as route53targets from 'aws-cdk-lib/aws-route53-targets';
import type { Construct } from 'constructs';
import { accept } from './accept.ts';
import { addAgent } from './agent.ts';
import { BALANCER_LOGS } from './data.ts';
import { METRICS_PORT, type Service, WEB_PORT } from './environment.ts';
import type { Fleet } from './fleet.ts';
import type { Network } from './network.ts';
import { botsOf, type Settings } from './settings.ts';
import { defineTask, type TaskProps } from './task.ts';
import { worstWait } from './waits.ts';
import { buildWall, ORIGIN_HEADER } from './wall.ts';

/** Shares of a tier's target: people wait longer than they should, three times as long, or nearly nobody waits. */
const LONG = 1;
const VERY_LONG = 3;
const SHORT = 0.2;
const REST_MINUTES = 15;
/** An instance takes three minutes to come, and a bundle one to load. */
const WORKER_COMES = Duration.minutes(4);

export interface ServicesProps extends StackProps, TaskProps {
  readonly settings: Settings;
  readonly network: Network;
  readonly fleet: Fleet;
}

const nameOfBot = (index: number) => (index === 0 ? 'bot' : `bot-${index + 1}`);

export class Services extends Stack {
  readonly balancer: elb.ApplicationLoadBalancer;
  /** what CloudFront asks */
  readonly originDomain: string;
  readonly services: Readonly<Record<Service, ecs.Ec2Service>>;
  /** as ECS knows them: a bot for each range of shards among them */
  readonly names: readonly string[];
  readonly bluegreen: readonly [elb.ApplicationTargetGroup, elb.ApplicationTargetGroup];
  readonly #props: ServicesProps;
  /** what agents write */
  readonly #told: logs.LogGroup;

  constructor(scope: Construct, id: string, props: ServicesProps) {
    super(scope, id, props);
    this.#props = props;
    this.#told = new logs.LogGroup(this, 'Metrics-Log', {
      logGroupName: `/atelier/${props.stage}/metrics`,
      retention: props.retention,
    });
    const { settings } = props;
    this.originDomain = `origin.${settings.domain}`;
    const bots = botsOf(settings).map((range, index, all) => this.#bot(range, index, all.length));
    const courier = this.#light('courier');
    const mecene = this.#light('mecene');
    const { balancer, web, groups } = this.#web();
    this.balancer = balancer;
    this.bluegreen = groups;
    const worker = this.#worker();
    this.services = { bot: bots[0]!, courier, mecene, web, worker };
    this.names = [...bots.map((_, index) => nameOfBot(index)), 'courier', 'mecene', 'web', 'worker'];
  }

  /** With the agent that hands its metrics on. */
  #task(
    name: Service,
    id: string = name,
    more: Readonly<Record<string, string>> = {},
  ): ecs.Ec2TaskDefinition {
    const { stage, settings } = this.#props;
    const { task, role } = defineTask(this, this.#props, name, id, more);
    addAgent(task, role, name, { stage, region: this.region, told: this.#told, image: settings.agent });
    return task;
  }

  #service(
    name: Service,
    task: ecs.Ec2TaskDefinition,
    props: Partial<ecs.Ec2ServiceProps>,
    id: string = name,
  ) {
    const { fleet, network } = this.#props;
    return new ecs.Ec2Service(this, `${id}-Service`, {
      serviceName: id,
      cluster: fleet.cluster,
      taskDefinition: task,
      vpcSubnets: { subnetType: ec2.SubnetType.PRIVATE_WITH_EGRESS },
      securityGroups: [network.groups[name]],
      capacityProviderStrategies: [{ capacityProvider: fleet.light.capacityProviderName, weight: 1 }],
      circuitBreaker: { enable: true, rollback: true },
      enableECSManagedTags: true,
      propagateTags: ecs.PropagatedTagSource.SERVICE,
      serviceConnectConfiguration: {
        services: [
          {
            portMappingName: 'metrics',
            discoveryName: `${id}-metrics`,
            dnsName: `${id}-metrics`,
            port: METRICS_PORT,
          },
          ...(name === 'web' ? [{ portMappingName: 'web', dnsName: 'web', port: WEB_PORT }] : []),
        ],
      },
      placementStrategies: [
        ecs.PlacementStrategy.spreadAcross('attribute:ecs.availability-zone'),
        ecs.PlacementStrategy.packedByCpu(),
      ],
      ...props,
    });
  }

  /** One service for each range of shards, and one task in it: two with the same shards would both answer what people type. */
  #bot(range: string, index: number, bots: number) {
    const id = nameOfBot(index);
    const task = this.#task('bot', id, bots > 1 ? { SHARD_IDS: range } : {});
    return this.#service('bot', task, { desiredCount: 1, minHealthyPercent: 0, maxHealthyPercent: 100 }, id);
  }

  #light(name: 'courier' | 'mecene') {
    const task = this.#task(name);
    const service = this.#service(name, task, { minHealthyPercent: 100, maxHealthyPercent: 200 });
    service
      .autoScaleTaskCount({ minCapacity: 1, maxCapacity: 2 })
      .scaleOnCpuUtilization('Cpu', { targetUtilizationPercent: 70 });
    return service;
  }

  #web() {
    const { stage, settings, network, data, fleet } = this.#props;
    const { vpc } = network;
    const zone = route53.HostedZone.fromHostedZoneAttributes(this, 'Zone', {
      hostedZoneId: settings.zone.id,
      zoneName: settings.zone.name,
    });
    const balancer = new elb.ApplicationLoadBalancer(this, 'Balancer', {
      vpc,
      internetFacing: true,
      securityGroup: network.balancer,
      dropInvalidHeaderFields: true,
      deletionProtection: true,
    });
    balancer.setAttribute('access_logs.s3.enabled', 'true');
    balancer.setAttribute('access_logs.s3.bucket', data.accessLogs.bucketName);
    balancer.setAttribute('access_logs.s3.prefix', BALANCER_LOGS);
    const listener = balancer.addListener('Https', {
      port: 443,
      open: false,
      certificates: [
        new acm.Certificate(this, 'Certificate', {
          // CloudFront asks for the gallery's name at this one's address.
          domainName: settings.domain,
          subjectAlternativeNames: [this.originDomain],
          validation: acm.CertificateValidation.fromDns(zone),
        }),
      ],
      sslPolicy: elb.SslPolicy.TLS13_12_RES_PQ,
      defaultAction: elb.ListenerAction.fixedResponse(403),
    });
    new route53.ARecord(this, 'Origin', {
      zone,
      recordName: this.originDomain,
      target: route53.RecordTarget.fromAlias(new route53targets.LoadBalancerTarget(balancer)),
    });

    const targetGroup = (colour: string) =>
      new elb.ApplicationTargetGroup(this, `Web-${colour}`, {
        vpc,
        port: WEB_PORT,
        protocol: elb.ApplicationProtocol.HTTP,
        targetType: elb.TargetType.IP,
        deregistrationDelay: Duration.seconds(0),
        healthCheck: {
          path: '/healthz',
          interval: Duration.seconds(5),
          timeout: Duration.seconds(3),
          healthyThresholdCount: 2,
          unhealthyThresholdCount: 2,
        },
      });
    const [blue, green] = [targetGroup('Blue'), targetGroup('Green')];
    const rule = new elb.ApplicationListenerRule(this, 'ByCloudFront', {
      listener,
      priority: 1,
      conditions: [
        elb.ListenerCondition.httpHeader(ORIGIN_HEADER, [data.originSecret.secretValue.unsafeUnwrap()]),
      ],
      // ECS moves the weight to the green one and back.
      action: elb.ListenerAction.weightedForward([
        { targetGroup: blue, weight: 100 },
        { targetGroup: green, weight: 0 },
      ]),
    });

    const task = this.#task('web');
    const alarms = [this.#failing(balancer, stage), this.#ending(stage)];
    const service = this.#service('web', task, {
      minHealthyPercent: 100,
      maxHealthyPercent: 200,
      healthCheckGracePeriod: Duration.seconds(60),
      // ECS's own: it takes capacity providers, Service Connect and scaling as they are, and CloudFormation waits for it.
      deploymentStrategy: ecs.DeploymentStrategy.BLUE_GREEN,
      // The old ones stay so long: CloudWatch knows of a minute's requests two minutes later.
      bakeTime: Duration.minutes(5),
      // The circuit breaker is for other kinds of deployments: these alarms go on from the first task to the last.
      circuitBreaker: undefined,
      deploymentAlarms: {
        alarmNames: alarms.map(({ alarmName }) => alarmName),
        behavior: ecs.AlarmBehavior.ROLLBACK_ON_ALARM,
      },
    });
    service.node.addDependency(rule, ...alarms);
    for (const alarm of alarms) alarm.addAlarmAction(new SnsAction(fleet.alarms));
    service
      .loadBalancerTarget({
        containerName: 'web',
        containerPort: WEB_PORT,
        alternateTarget: new ecs.AlternateTarget('Green', {
          alternateTargetGroup: green,
          productionListener: ecs.ListenerRuleConfiguration.applicationListenerRule(rule),
        }),
      })
      .attachToApplicationTargetGroup(blue);
    accept(service, {
      'IAM4[Policy::arn:<AWS::Partition>:iam::aws:policy/AmazonECSInfrastructureRolePolicyForLoadBalancers]':
        'AWS’s own, for ECS to move the load balancer from blue to green.',
    });
    service
      .autoScaleTaskCount({ minCapacity: settings.web.min, maxCapacity: settings.web.max })
      .scaleOnCpuUtilization('Cpu', {
        targetUtilizationPercent: 60,
        scaleInCooldown: Duration.minutes(5),
        scaleOutCooldown: Duration.seconds(30),
      });
    buildWall(this, this.#props, balancer);
    return { balancer, web: service, groups: [blue, green] as const };
  }

  /** What the web service answers with is what tells whether a new version is well. */
  #failing(balancer: elb.ApplicationLoadBalancer, stage: string): cloudwatch.Alarm {
    return new cloudwatch.Alarm(this, 'WebFails', {
      alarmName: `atelier-${stage}-web-fails`,
      alarmDescription:
        'More than 1 % of what people ask the web service is answered with 5xx. A deployment that does this is taken back.',
      metric: new cloudwatch.MathExpression({
        expression: 'IF(asked > 20, 100 * (FILL(failed, 0) + FILL(unanswered, 0)) / asked, 0)',
        usingMetrics: {
          asked: balancer.metrics.requestCount(),
          failed: balancer.metrics.httpCodeTarget(elb.HttpCodeTarget.TARGET_5XX_COUNT),
          unanswered: balancer.metrics.httpCodeElb(elb.HttpCodeElb.ELB_5XX_COUNT),
        },
        period: Duration.minutes(1),
        label: '5xx, %',
      }),
      threshold: 1,
      comparisonOperator: cloudwatch.ComparisonOperator.GREATER_THAN_THRESHOLD,
      evaluationPeriods: 1,
      treatMissingData: cloudwatch.TreatMissingData.NOT_BREACHING,
    });
  }

  /** Web processes that ended by themselves, never began or did not answer, as ECS tells: of a version that does not start, again and again. */
  #ending(stage: string): cloudwatch.Alarm {
    const { fleet, retention } = this.#props;
    const told = new logs.LogGroup(this, 'Ends-Log', {
      logGroupName: `/aws/events/atelier-${stage}-web-ends`,
      retention,
    });
    told.grantWrite(new iam.ServicePrincipal('events.amazonaws.com'));
    const rule = new events.Rule(this, 'Ends', {
      description: 'A web process ended, and nobody asked it to',
      eventPattern: {
        source: ['aws.ecs'],
        detailType: ['ECS Task State Change'],
        detail: {
          clusterArn: [fleet.cluster.clusterArn],
          group: ['service:web'],
          lastStatus: ['STOPPED'],
          $or: [
            { stopCode: ['EssentialContainerExited', 'TaskFailedToStart'] },
            // … container health checks, … ELB health checks
            { stoppedReason: [{ prefix: 'Task failed' }] },
          ],
        },
      },
      targets: [{ bind: () => ({ arn: told.logGroupArn }) }],
    });
    return new cloudwatch.Alarm(this, 'WebEnds', {
      alarmName: `atelier-${stage}-web-ends`,
      alarmDescription:
        'Web processes end by themselves. A deployment that does this is taken back; what ECS says of each is in the log of ends.',
      metric: new cloudwatch.Metric({
        namespace: 'AWS/Events',
        metricName: 'TriggeredRules',
        dimensionsMap: { RuleName: rule.ruleName },
        statistic: cloudwatch.Stats.SUM,
        period: Duration.minutes(5),
      }),
      threshold: 3,
      comparisonOperator: cloudwatch.ComparisonOperator.GREATER_THAN_OR_EQUAL_TO_THRESHOLD,
      evaluationPeriods: 1,
      treatMissingData: cloudwatch.TreatMissingData.NOT_BREACHING,
    });
  }

  #worker() {
    const { stage, settings, fleet } = this.#props;
    const { workers, night } = settings;
    const task = this.#task('worker');
    const service = this.#service('worker', task, {
      capacityProviderStrategies: fleet.gpus.map(({ tier: { base, weight }, provider }) => ({
        capacityProvider: provider.capacityProviderName,
        weight,
        ...(base > 0 && { base }),
      })),
      // There is no GPU to spare: the old one goes before the new one comes. What it draws it ends or hands back.
      minHealthyPercent: workers.min > 1 ? 50 : 0,
      maxHealthyPercent: 100,
      placementStrategies: [ecs.PlacementStrategy.spreadAcross('attribute:ecs.availability-zone')],
    });
    const count = new appscaling.ScalableTarget(this, 'Workers', {
      serviceNamespace: appscaling.ServiceNamespace.ECS,
      scalableDimension: 'ecs:service:DesiredCount',
      resourceId: `service/${fleet.cluster.clusterName}/${service.serviceName}`,
      // AWS makes it when it is first needed.
      role: iam.Role.fromRoleArn(
        this,
        'Workers-Role',
        this.formatArn({
          service: 'iam',
          region: '',
          resource: 'role/aws-service-role/ecs.application-autoscaling.amazonaws.com',
          resourceName: 'AWSServiceRoleForApplicationAutoScaling_ECSService',
        }),
      ),
      minCapacity: workers.min,
      maxCapacity: workers.max,
    });
    this.#followWaits(count, stage);
    if (night) {
      const at = (time: string) => {
        const [hour = '', minute = ''] = time.split(':');
        return appscaling.Schedule.cron({ hour: String(Number(hour)), minute: String(Number(minute)) });
      };
      const timeZone = TimeZone.of(night.timeZone);
      count.scaleOnSchedule('Night', {
        schedule: at(night.from),
        timeZone,
        minCapacity: Math.min(workers.min, night.workers),
        maxCapacity: night.workers,
      });
      count.scaleOnSchedule('Day', {
        schedule: at(night.to),
        timeZone,
        minCapacity: workers.min,
        maxCapacity: workers.max,
      });
    }
    return service;
  }

  /** More workers when two minutes of three were too long: CloudWatch hears of the latest last. Fewer after a quarter of an hour of rest. */
  #followWaits(scalingTarget: appscaling.ScalableTarget, stage: string): void {
    const metric = worstWait(stage);
    const change = (id: string, adjustments: readonly appscaling.AdjustmentTier[]) => {
      const action = new appscaling.StepScalingAction(this, `Workers-${id}`, {
        scalingTarget,
        adjustmentType: appscaling.AdjustmentType.CHANGE_IN_CAPACITY,
        cooldown: WORKER_COMES,
      });
      for (const adjustment of adjustments) action.addAdjustment(adjustment);
      return new ApplicationScalingAction(action);
    };
    new cloudwatch.Alarm(this, 'Waits-Long', {
      alarmDescription: 'People wait longer than their tier’s target: more workers.',
      metric,
      comparisonOperator: cloudwatch.ComparisonOperator.GREATER_THAN_OR_EQUAL_TO_THRESHOLD,
      threshold: LONG,
      evaluationPeriods: 3,
      datapointsToAlarm: 2,
    }).addAlarmAction(
      change('More', [
        { adjustment: 1, lowerBound: 0, upperBound: VERY_LONG - LONG },
        { adjustment: 2, lowerBound: VERY_LONG - LONG },
      ]),
    );
    new cloudwatch.Alarm(this, 'Waits-Short', {
      alarmDescription: 'Nearly nobody waits: fewer workers.',
      metric,
      comparisonOperator: cloudwatch.ComparisonOperator.LESS_THAN_OR_EQUAL_TO_THRESHOLD,
      threshold: SHORT,
      evaluationPeriods: REST_MINUTES,
    }).addAlarmAction(change('Fewer', [{ adjustment: -1, upperBound: 0 }]));
  }
}
