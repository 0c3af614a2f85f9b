/** The machines: three tiers of GPUs, instances for everything else, and what happens when AWS takes a spot instance away. */
import { Aws, Duration, Stack, type StackProps } from 'aws-cdk-lib';
import * as autoscaling from 'aws-cdk-lib/aws-autoscaling';
import * as ec2 from 'aws-cdk-lib/aws-ec2';
import * as ecs from 'aws-cdk-lib/aws-ecs';
import * as events from 'aws-cdk-lib/aws-events';
import * as targets from 'aws-cdk-lib/aws-events-targets';
import * as iam from 'aws-cdk-lib/aws-iam';
import type * as logs from 'aws-cdk-lib/aws-logs';
import { NamespaceType } from 'aws-cdk-lib/aws-servicediscovery';
import * as sns from 'aws-cdk-lib/aws-sns';
import { EmailSubscription } from 'aws-cdk-lib/aws-sns-subscriptions';
import type { Construct } from 'constructs';
import { type GpuTier, gpuTiers } from '../gpu-tiers.ts';
import { accept, finding } from './accept.ts';
import { bucketName, RDS_CERTIFICATES } from './environment.ts';
import type { Network } from './network.ts';
import type { Settings } from './settings.ts';
import { smallFunction } from './small-function.ts';

/** On each instance. Containers run as 1000, as the image's `node` does. */
const OWN = '/var/lib/atelier';
export const hostPaths = { own: OWN, models: '/mnt/models', certificates: RDS_CERTIFICATES } as const;
/** The system and images, GiB; and what Mountpoint keeps of models, MiB: near the GPU all that is drawn with, elsewhere a few pages. */
const DISKS = { light: { disk: 50, cache: 1_000 }, gpu: { disk: 200, cache: 100_000 } } as const;

export interface FleetProps extends StackProps {
  readonly stage: string;
  readonly settings: Settings;
  readonly network: Network;
  readonly retention: logs.RetentionDays;
}

export class Fleet extends Stack {
  readonly cluster: ecs.Cluster;
  /** of the light services */
  readonly light: ecs.AsgCapacityProvider;
  /** of the worker, in the order of `gpuTiers` */
  readonly gpus: readonly { readonly tier: GpuTier; readonly provider: ecs.AsgCapacityProvider }[];
  /** who hears of alarms */
  readonly alarms: sns.Topic;

  constructor(scope: Construct, id: string, props: FleetProps) {
    super(scope, id, props);
    const { stage, settings, network } = props;
    this.cluster = new ecs.Cluster(this, 'Cluster', {
      vpc: network.vpc,
      clusterName: `atelier-${stage}`,
      containerInsightsV2: ecs.ContainerInsights.ENABLED,
      defaultCloudMapNamespace: {
        name: `atelier-${stage}`,
        type: NamespaceType.HTTP,
        useForServiceConnect: true,
      },
    });
    this.alarms = new sns.Topic(this, 'Alarms', { enforceSSL: true });
    this.alarms.addSubscription(new EmailSubscription(settings.alarms));

    this.light = this.#provider(props, {
      name: 'light',
      type: settings.light.type,
      image: ecs.AmiHardwareType.STANDARD,
      ...DISKS.light,
      // The web service comes and goes with its visitors, and each deployment has a second set of it: these follow in any case.
      managed: true,
      first: settings.light.min,
      min: settings.light.min,
      max: settings.light.max,
    });
    const { gpus } = settings;
    this.gpus = gpuTiers.map((tier) => ({
      tier,
      provider: this.#provider(props, {
        name: tier.name,
        type: tier.type,
        image: ecs.AmiHardwareType.GPU,
        ...DISKS.gpu,
        spot: tier.spot,
        managed: gpus.managed,
        first: gpus[tier.name],
        min: Math.min(tier.base, gpus[tier.name]),
        max: Math.max(gpus.max, gpus[tier.name]),
      }),
    }));
    if (!gpus.managed) this.#atNight(settings);
    this.#watchNotices(props);
  }

  #provider(
    { stage, network: { vpc } }: FleetProps,
    one: {
      readonly name: string;
      readonly type: string;
      readonly image: ecs.AmiHardwareType;
      /** GiB */
      readonly disk: number;
      /** MiB */
      readonly cache: number;
      readonly spot?: boolean;
      readonly managed: boolean;
      readonly first: number;
      readonly min: number;
      readonly max: number;
    },
  ): ecs.AsgCapacityProvider {
    const { name } = one;
    const role = new iam.Role(this, `Role-${name}`, {
      assumedBy: new iam.ServicePrincipal('ec2.amazonaws.com'),
    });
    for (const statement of agentMay(stage, Stack.of(this)))
      role.addToPolicy(new iam.PolicyStatement(statement));
    const models = `arn:${Aws.PARTITION}:s3:::${bucketName(stage, 'models')}`;
    role.addToPolicy(new iam.PolicyStatement({ actions: ['s3:ListBucket'], resources: [models] }));
    role.addToPolicy(new iam.PolicyStatement({ actions: ['s3:GetObject'], resources: [`${models}/*`] }));
    accept(role, {
      [`IAM5[Resource::${finding(models)}/*]`]: 'An instance reads all of the models, and nothing else.',
      [ofCluster(stage, 'container-instance')]:
        'An instance gets its number from ECS. All of them are of this cluster.',
      'IAM5[Action::ecs:Submit*]': 'ECS’s agent tells its own cluster what became of containers.',
      'IAM5[Resource::*]': 'ecs:DiscoverPollEndpoint knows no resource; it only reads.',
    });
    const template = new ec2.LaunchTemplate(this, `Template-${name}`, {
      instanceType: new ec2.InstanceType(one.type),
      machineImage: ecs.EcsOptimizedImage.amazonLinux2023(one.image),
      // CDK would let it write to every log there is.
      role: role.withoutPolicyUpdates(),
      securityGroup: new ec2.SecurityGroup(this, `Group-${name}`, {
        vpc,
        description: `Atelier: instances, ${name}`,
      }),
      userData: userData(bucketName(stage, 'models'), this.region, one),
      // Containers have their own network, two hops away: they do not get at the instance's role.
      requireImdsv2: true,
      httpPutResponseHopLimit: 1,
      blockDevices: [
        {
          deviceName: '/dev/xvda',
          volume: ec2.BlockDeviceVolume.ebs(one.disk, {
            encrypted: true,
            volumeType: ec2.EbsDeviceVolumeType.GP3,
          }),
        },
      ],
      ...(one.spot && { spotOptions: { requestType: ec2.SpotRequestType.ONE_TIME } }),
    });
    const group = new autoscaling.AutoScalingGroup(this, `Instances-${name}`, {
      vpc,
      vpcSubnets: { subnetType: ec2.SubnetType.PRIVATE_WITH_EGRESS },
      launchTemplate: template,
      minCapacity: one.min,
      maxCapacity: one.max,
      // Only where nobody else moves it: a deployment would set it back.
      ...(!one.managed && { desiredCapacity: one.first }),
      // Instances that AWS would rather have back get no notice when the group itself lets them go first.
      capacityRebalance: false,
      notifications: [{ topic: this.alarms, scalingEvents: autoscaling.ScalingEvents.ERRORS }],
      updatePolicy: autoscaling.UpdatePolicy.rollingUpdate(),
      groupMetrics: [autoscaling.GroupMetrics.all()],
    });
    accept(group, {
      AS3: 'What fails is told. That instances come and go is their daily work, and in their metrics.',
      'Annotation::@aws-cdk/aws-autoscaling:desiredCapacitySet':
        'Without managed scaling nobody else says how many there are, and a deployment shall set it back.',
    });
    const provider = new ecs.AsgCapacityProvider(this, `Provider-${name}`, {
      autoScalingGroup: group,
      enableManagedScaling: one.managed,
      enableManagedTerminationProtection: one.managed,
      enableManagedDraining: true,
    });
    this.cluster.addAsgCapacityProvider(provider);
    return provider;
  }

  /** Spot instances go home, and the one that is always there stays. With managed scaling they follow the workers. */
  #atNight({ night, gpus }: Settings): void {
    if (!night) return;
    for (const { tier, provider } of this.gpus) {
      if (!tier.spot) continue;
      const at = (time: string) => {
        const [hour = '', minute = ''] = time.split(':');
        return autoscaling.Schedule.cron({ hour: String(Number(hour)), minute: String(Number(minute)) });
      };
      const group = provider.autoScalingGroup as autoscaling.AutoScalingGroup;
      const { timeZone } = night;
      group.scaleOnSchedule('Night', { schedule: at(night.from), timeZone, desiredCapacity: 0 });
      group.scaleOnSchedule('Day', { schedule: at(night.to), timeZone, desiredCapacity: gpus[tier.name] });
    }
  }

  /**
   * ECS's agent drains an instance that has its notice, but a service may wait with stopping a task until another runs in its place. This
   * one asks the worker to stop at once (SIGTERM): it ends what it can in 18 s and hands the rest back, long before the two minutes end.
   */
  #watchNotices({ stage, retention }: FleetProps): void {
    const drain = smallFunction(this, 'Drain', {
      file: 'drain.cjs',
      environment: { CLUSTER: this.cluster.clusterArn },
      retention,
    });
    const here = (kind: string) =>
      Stack.of(this).formatArn({
        service: 'ecs',
        resource: kind,
        resourceName: `atelier-${stage}/*`,
      });
    const condition = { ArnEquals: { 'ecs:cluster': this.cluster.clusterArn } };
    for (const statement of [
      { actions: ['ecs:ListContainerInstances'], resources: [this.cluster.clusterArn] },
      {
        actions: ['ecs:ListTasks', 'ecs:UpdateContainerInstancesState'],
        resources: [here('container-instance')],
        conditions: condition,
      },
      { actions: ['ecs:StopTask'], resources: [here('task')], conditions: condition },
    ])
      drain.addToRolePolicy(new iam.PolicyStatement(statement));
    accept(drain.role!, {
      [ofCluster(stage, 'container-instance')]:
        'Which instance is known when the notice comes. All are of this cluster.',
      [ofCluster(stage, 'task')]: 'Which tasks is known when the notice comes. All are of this cluster.',
    });
    new events.Rule(this, 'SpotNotice', {
      description: 'AWS takes a spot instance back in two minutes',
      eventPattern: { source: ['aws.ec2'], detailType: ['EC2 Spot Instance Interruption Warning'] },
      targets: [new targets.LambdaFunction(drain, { retryAttempts: 2, maxEventAge: Duration.minutes(2) })],
    });
  }
}

/** As cdk-nag names it. */
const ofCluster = (stage: string, kind: string) =>
  `IAM5[Resource::arn:<AWS::Partition>:ecs:<AWS::Region>:<AWS::AccountId>:${kind}/atelier-${stage}/*]`;

/** What ECS's agent needs on an instance; images and logs are the affair of each task's own role. */
function agentMay(stage: string, stack: Stack): iam.PolicyStatementProps[] {
  const arn = (resource: string, resourceName: string) =>
    stack.formatArn({ service: 'ecs', resource, resourceName });
  const cluster = arn('cluster', `atelier-${stage}`);
  return [
    {
      actions: ['ecs:RegisterContainerInstance', 'ecs:DeregisterContainerInstance', 'ecs:Submit*'],
      resources: [cluster],
    },
    {
      // The last one is how it drains itself when it has its notice.
      actions: ['ecs:Poll', 'ecs:StartTelemetrySession', 'ecs:UpdateContainerInstancesState'],
      resources: [arn('container-instance', `atelier-${stage}/*`)],
      conditions: { ArnEquals: { 'ecs:cluster': cluster } },
    },
    { actions: ['ecs:DiscoverPollEndpoint'], resources: ['*'] },
  ];
}

/** What an instance does before ECS's agent gives it work. */
function userData(
  models: string,
  region: string,
  { spot = false, cache }: { readonly spot?: boolean; readonly cache: number },
): ec2.UserData {
  const script = ec2.UserData.forLinux();
  const { own, models: mount, certificates } = hostPaths;
  script.addCommands(
    'set -euo pipefail',
    // Tasks have the role of their service, and not the instance's.
    'echo ECS_AWSVPC_BLOCK_IMDS=true >> /etc/ecs/ecs.config',
    // 30 s are not enough for a worker that ends its picture.
    'echo ECS_CONTAINER_STOP_TIMEOUT=60s >> /etc/ecs/ecs.config',
    // With its notice, an instance gets no more work and what runs on it is asked to stop. Not so unless it is said.
    ...(spot ? ['echo ECS_ENABLE_SPOT_INSTANCE_DRAINING=true >> /etc/ecs/ecs.config'] : []),
    `mkdir -p ${own} ${mount} "$(dirname ${certificates})" /var/cache/models`,
    `chown 1000:1000 ${own}`,
    `curl --fail --silent --show-error --retry 5 --output ${certificates} https://truststore.pki.rds.amazonaws.com/global/global-bundle.pem`,
    'dnf install --assumeyes mount-s3',
    'cat > /etc/systemd/system/models.service <<"UNIT"',
    '[Unit]',
    'Description=Models, from S3',
    'Wants=network-online.target',
    'After=network-online.target',
    'Before=ecs.service',
    '[Service]',
    'Type=forking',
    `ExecStart=/usr/bin/mount-s3 ${models} ${mount} --read-only --allow-other --region ${region} --cache /var/cache/models --max-cache-size ${cache}`,
    `ExecStop=/usr/bin/umount ${mount}`,
    'Restart=on-failure',
    '[Install]',
    'WantedBy=multi-user.target',
    'UNIT',
    'systemctl daemon-reload',
    'systemctl enable --now models.service',
  );
  return script;
}
