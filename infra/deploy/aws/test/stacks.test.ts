/** What the stacks promise, one thing after the other; and the whole of each, so that no change comes unseen. */
import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { runInNewContext } from 'node:vm';
import { Match } from 'aws-cdk-lib/assertions';
import { describe, expect, it } from 'vitest';
import { parseConfig } from '../../../../config/env.ts';
import { tierRules } from '../../../../config/tiers.ts';
import { rules } from '../../../storage/lifecycle.ts';
import { cloudWatch } from '../../../watch/cloudwatch.ts';
import { gpuTiers } from '../../gpu-tiers.ts';
import { SERVICES } from '../environment.ts';
import { example, flat, ofType, type Resource, resourcesOf, STAGE, synth } from './synth.ts';

const stacks = synth();
const names = ['edge', 'network', 'data', 'fleet', 'migration', 'services', 'gallery', 'watch'] as const;

const services = ofType(stacks.services, 'AWS::ECS::Service');
const serviceOf = (name: string) => services.find(({ Properties }) => Properties.ServiceName === name)!;
const tasks = [stacks.services, stacks.migration].flatMap((stack) =>
  ofType(stack, 'AWS::ECS::TaskDefinition'),
);
const containerOf = (name: string, container = name) =>
  tasks
    .find(({ Properties }) => Properties.Family === `atelier-${STAGE}-${name}`)!
    .Properties.ContainerDefinitions.find((one: { Name: string }) => one.Name === container);

describe('all of them', () => {
  it.each(names)('%s is as it was', (name) => {
    expect(stacks[name].toJSON()).toMatchSnapshot();
  });

  it('breaks no rule of cdk-nag and of CloudFormation, but those with a reason', () => {
    const report = JSON.parse(readFileSync(join(stacks.directory, 'validation-report.json'), 'utf8')) as {
      pluginReports: { pluginName: string; violations: unknown[] }[];
    };
    expect(report.pluginReports.flatMap(({ violations }) => violations)).toEqual([]);
  });

  it('is made without an account and without looking anything up', () => {
    const manifest = JSON.parse(readFileSync(join(stacks.directory, 'manifest.json'), 'utf8')) as {
      missing?: unknown;
      artifacts: Record<string, { type: string; environment?: string }>;
    };
    expect(manifest.missing).toBeUndefined();
    const places = Object.values(manifest.artifacts)
      .filter(({ type }) => type === 'aws:cloudformation:stack')
      .map(({ environment }) => environment);
    expect(new Set(places)).toEqual(
      new Set(['aws://unknown-account/unknown-region', 'aws://unknown-account/us-east-1']),
    );
  });

  it('lets nobody write just anywhere: Resource * comes with reading alone', () => {
    const reads = /^(ecr:GetAuthorizationToken|ecs:DiscoverPollEndpoint|cloudwatch:Describe\w+)$/;
    const statements = names.flatMap((name) =>
      resourcesOf(stacks[name]).flatMap(([id, { Properties }]) =>
        [
          Properties?.PolicyDocument,
          ...(Properties?.Policies ?? []).map((one: Resource['Properties']) => one.PolicyDocument),
        ]
          .filter((document) => document !== undefined)
          .flatMap((document) => document.Statement)
          .map(
            (statement: {
              Action: string | string[];
              Effect: string;
              Resource: unknown;
              Principal?: unknown;
            }) => ({ id, ...statement }),
          ),
      ),
    );
    const anywhere = statements.filter(
      ({ Effect, Resource, Principal }) =>
        Effect === 'Allow' && Principal === undefined && [Resource].flat().includes('*'),
    );
    expect(statements.length).toBeGreaterThan(30);
    expect(anywhere.flatMap(({ Action }) => Action).filter((action) => !reads.test(action))).toEqual([]);
  });

  it('keeps each log for as long as the stage says', () => {
    const logs = names.flatMap((name) => ofType(stacks[name], 'AWS::Logs::LogGroup'));
    expect(logs.length).toBeGreaterThanOrEqual(10);
    expect(new Set(logs.map(({ Properties }) => Properties.RetentionInDays))).toEqual(new Set([30]));
  });
});

describe('network', () => {
  it('has three zones, and in each a subnet for the world, for services and for data', () => {
    const subnets = ofType(stacks.network, 'AWS::EC2::Subnet').map(({ Properties }) => ({
      zone: Properties.AvailabilityZone['Fn::Select'][0],
      open: Properties.MapPublicIpOnLaunch,
      kind: Properties.Tags.find((tag: { Key: string }) => tag.Key === 'aws-cdk:subnet-name').Value,
    }));
    for (const kind of ['public', 'services', 'data'])
      expect(subnets.filter((one) => one.kind === kind).map(({ zone }) => zone)).toEqual([0, 1, 2]);
    expect(subnets.some(({ open }) => open)).toBe(false);
    stacks.network.resourceCountIs('AWS::EC2::NatGateway', 3);
  });

  it('lets CloudFront alone to the load balancer, and the load balancer alone to the web service', () => {
    const ingress = resourcesOf(stacks.network).flatMap(([, { Type, Properties }]) =>
      Type === 'AWS::EC2::SecurityGroupIngress' ? [Properties] : (Properties?.SecurityGroupIngress ?? []),
    );
    expect(ingress.filter(({ CidrIp, CidrIpv6 }) => CidrIp ?? CidrIpv6)).toEqual([]);
    const at = (port: number) => ingress.filter(({ ToPort }) => ToPort === port);
    expect(at(443).map(({ SourcePrefixListId }) => SourcePrefixListId)).toEqual(['pl-0123456789abcdef0']);
    expect(at(8080)).toHaveLength(1);
  });
});

describe('data', () => {
  it('has Postgres in two zones, encrypted, kept, backed up, and by TLS alone', () => {
    stacks.data.hasResource('AWS::RDS::DBInstance', {
      DeletionPolicy: 'Retain',
      Properties: {
        Engine: 'postgres',
        MultiAZ: true,
        StorageEncrypted: true,
        DeletionProtection: true,
        BackupRetentionPeriod: 14,
        PubliclyAccessible: false,
      },
    });
    stacks.data.hasResourceProperties('AWS::RDS::DBParameterGroup', { Parameters: { 'rds.force_ssl': '1' } });
  });

  it('has a Redis that drops no job, in two zones, encrypted both ways', () => {
    stacks.data.hasResourceProperties('AWS::ElastiCache::ParameterGroup', {
      Properties: { 'maxmemory-policy': 'noeviction' },
    });
    stacks.data.hasResourceProperties('AWS::ElastiCache::ReplicationGroup', {
      MultiAZEnabled: true,
      AutomaticFailoverEnabled: true,
      NumCacheClusters: 2,
      TransitEncryptionEnabled: true,
      AtRestEncryptionEnabled: true,
      AuthToken: Match.anyValue(),
    });
  });

  it('keeps files prefix by prefix as infra/storage says for every S3', () => {
    const [files] = ofType(stacks.data, 'AWS::S3::Bucket').filter(({ Properties }) =>
      flat(Properties.BucketName ?? '').includes('files'),
    );
    const set = files!.Properties.LifecycleConfiguration.Rules as Resource['Properties'][];
    expect(set.map(({ Prefix }) => Prefix)).toEqual(rules.map(({ Filter }) => Filter?.Prefix));
    for (const prefix of ['faces/', 'productions/', 'tests/', 'photowall/', 'curated/', 'quarantine/'])
      expect(set.find(({ Prefix }) => Prefix === prefix)).toMatchObject({
        NoncurrentVersionExpiration: { NoncurrentDays: 1 },
        AbortIncompleteMultipartUpload: { DaysAfterInitiation: 1 },
      });
    // Rows decide what goes: the bucket alone only what a killed worker left.
    expect(set.filter(({ ExpirationInDays }) => ExpirationInDays).map(({ Prefix }) => Prefix)).toEqual([
      'tests/room/',
    ]);
    expect(files!.Properties.VersioningConfiguration).toEqual({ Status: 'Enabled' });
  });

  it('shows no bucket to the world, and answers by TLS alone', () => {
    const buckets = ofType(stacks.data, 'AWS::S3::Bucket');
    expect(buckets).toHaveLength(3);
    for (const { Properties, DeletionPolicy } of buckets) {
      expect(Object.values(Properties.PublicAccessBlockConfiguration)).toEqual([true, true, true, true]);
      expect(DeletionPolicy).toBe('Retain');
    }
    stacks.data.resourcePropertiesCountIs(
      'AWS::S3::BucketPolicy',
      {
        PolicyDocument: {
          Statement: Match.arrayWith([
            Match.objectLike({ Effect: 'Deny', Condition: { Bool: { 'aws:SecureTransport': 'false' } } }),
          ]),
        },
      },
      3,
    );
  });

  it('has secrets in Secrets Manager, and what is none in Parameter Store', () => {
    const secrets = ofType(stacks.data, 'AWS::SecretsManager::Secret').map(({ Properties }) =>
      flat(Properties.Name ?? ''),
    );
    for (const name of ['DATABASE_URL', 'REDIS_URL', 'DISCORD_TOKEN', 'DISCORD_CLIENT_SECRET', 'WEB_SECRET'])
      expect(secrets).toContain(`atelier/${STAGE}/${name}`);
    stacks.data.hasResourceProperties('AWS::SSM::Parameter', {
      Name: `/atelier/${STAGE}/PUBLIC_URL`,
      Value: 'https://atelier.example.org',
    });
    const parameters = ofType(stacks.data, 'AWS::SSM::Parameter').map(({ Properties }) => Properties.Name);
    expect(parameters.filter((name: string) => /TOKEN|SECRET|KEY|_URL$/.test(name))).toEqual([
      `/atelier/${STAGE}/PUBLIC_URL`,
    ]);
  });
});

describe('fleet', () => {
  const templates = ofType(stacks.fleet, 'AWS::EC2::LaunchTemplate').map(
    ({ Properties }) => Properties.LaunchTemplateData,
  );
  const groups = ofType(stacks.fleet, 'AWS::AutoScaling::AutoScalingGroup');
  const providers = ofType(stacks.fleet, 'AWS::ECS::CapacityProvider');

  it('has three tiers of GPUs, of which the first is on demand and the others spot', () => {
    const kinds = templates.map(({ InstanceType, InstanceMarketOptions }) => [
      InstanceType,
      InstanceMarketOptions?.MarketType,
    ]);
    expect(kinds).toEqual([
      ['m6i.large', undefined],
      ['g6.xlarge', undefined],
      ['g5.xlarge', 'spot'],
      ['g4dn.xlarge', 'spot'],
    ]);
    expect(gpuTiers.map(({ base, weight }) => [base, weight])).toEqual([
      [1, 3],
      [0, 2],
      [0, 1],
    ]);
  });

  it('moves no GPU by itself, as long as the operator does not say so', () => {
    expect(
      providers.map(({ Properties }) => Properties.AutoScalingGroupProvider.ManagedScaling?.Status),
    ).toEqual(['ENABLED', undefined, undefined, undefined]);
    expect(groups.map(({ Properties }) => Properties.DesiredCapacity)).toEqual([undefined, '1', '1', '1']);
    const managed = synth({ gpus: { managed: true, g6: 1, g5: 1, g4dn: 1, max: 5 } });
    for (const { Properties } of ofType(managed.fleet, 'AWS::ECS::CapacityProvider'))
      expect(Properties.AutoScalingGroupProvider).toMatchObject({
        ManagedScaling: { Status: 'ENABLED' },
        ManagedTerminationProtection: 'ENABLED',
      });
    managed.fleet.resourceCountIs('AWS::AutoScaling::ScheduledAction', 0);
  });

  it('drains a spot instance that has its notice, and lets none go without one', () => {
    const scripts = templates.map(({ UserData }) => flat(UserData['Fn::Base64']));
    expect(scripts.map((script) => script.includes('ECS_ENABLE_SPOT_INSTANCE_DRAINING=true'))).toEqual([
      false,
      false,
      true,
      true,
    ]);
    expect(groups.map(({ Properties }) => Properties.CapacityRebalance)).toEqual([
      false,
      false,
      false,
      false,
    ]);
  });

  it('hears of the notice itself, too, and stops what runs there at once', () => {
    stacks.fleet.hasResourceProperties('AWS::Events::Rule', {
      EventPattern: { source: ['aws.ec2'], 'detail-type': ['EC2 Spot Instance Interruption Warning'] },
      Targets: [Match.objectLike({ Arn: { 'Fn::GetAtt': [Match.stringLikeRegexp('^Drain'), 'Arn'] } })],
    });
    // ECS waits so long, and a worker needs 25 s (src/services/run.ts): both end before the two minutes do.
    expect(containerOf('worker').StopTimeout).toBe(60);
  });

  it('mounts models from S3 before there is work, to be read alone', () => {
    for (const { UserData } of templates) {
      const script = flat(UserData['Fn::Base64']);
      expect(script).toMatch(
        /mount-s3 atelier-example-models-<AWS::AccountId>-<AWS::Region> \/mnt\/models --read-only --allow-other/,
      );
      expect(script).toContain('Before=ecs.service');
    }
    const reads = ofType(stacks.fleet, 'AWS::IAM::Policy')
      .flatMap(({ Properties }) => Properties.PolicyDocument.Statement)
      .filter(({ Action }) => String(Action).startsWith('s3:'));
    expect(new Set(reads.map(({ Action }) => Action))).toEqual(new Set(['s3:ListBucket', 's3:GetObject']));
  });

  it('begins with a script that a shell can read', () => {
    for (const { UserData } of templates) {
      const input = flat(UserData['Fn::Base64']).replaceAll(/<[\w.:]+>/g, 'known');
      expect(() => execFileSync('bash', ['-n'], { input, stdio: 'pipe' })).not.toThrow();
    }
  });

  it('gives tasks no way to their instance’s role', () => {
    for (const { MetadataOptions, UserData } of templates) {
      expect(MetadataOptions).toEqual({ HttpTokens: 'required', HttpPutResponseHopLimit: 1 });
      expect(flat(UserData['Fn::Base64'])).toContain('ECS_AWSVPC_BLOCK_IMDS=true');
    }
  });

  it('sends spot instances home at night, and has them back in the morning', () => {
    const actions = ofType(stacks.fleet, 'AWS::AutoScaling::ScheduledAction').map(({ Properties }) => [
      Properties.Recurrence,
      Properties.DesiredCapacity,
    ]);
    expect(actions).toEqual([
      ['0 23 * * *', 0],
      ['0 6 * * *', 1],
      ['0 23 * * *', 0],
      ['0 6 * * *', 1],
    ]);
    synth({ night: null }).fleet.resourceCountIs('AWS::AutoScaling::ScheduledAction', 0);
  });
});

describe('services', () => {
  it('runs all five, and each finds the others by name', () => {
    expect(services.map(({ Properties }) => Properties.ServiceName).sort()).toEqual([...SERVICES].sort());
    for (const name of SERVICES) {
      const { ServiceConnectConfiguration } = serviceOf(name).Properties;
      const found = ServiceConnectConfiguration.Services.flatMap(
        (one: Resource['Properties']) => one.ClientAliases,
      ).map((alias: { DnsName: string; Port: number }) => `${alias.DnsName}:${alias.Port}`);
      expect(found).toEqual([`${name}-metrics:9464`, ...(name === 'web' ? ['web:8080'] : [])]);
    }
  });

  it.each([
    ['bot', 174, 159],
    ['courier', 174, 159],
    ['mecene', 174, 159],
    ['web', 1_024, 1_024],
    ['worker', 4_096, 13_926],
  ])('keeps for %s %d units of CPU and %d MiB', (name, cpu, memory) => {
    expect(containerOf(name)).toMatchObject({ Cpu: cpu, MemoryReservation: memory });
  });

  it('runs the program, and the migration before it', () => {
    for (const name of SERVICES)
      expect(containerOf(name)).toMatchObject({
        WorkingDirectory: '/app',
        EntryPoint: ['node', '--max-semi-space-size=4', 'src/main.ts'],
        Command: [name],
      });
    expect(containerOf('migrate').Command.at(-1)).toContain("import('/app/src/doors/migrate.ts')");
    expect(containerOf('migrate').Secrets.map(({ Name }: { Name: string }) => Name)).toEqual([
      'DATABASE_URL',
    ]);
    const [run] = Object.values(stacks.migration.findOutputs('Run'));
    expect(flat(run!.Value)).toMatch(
      /^--cluster .* --task-definition .* --network-configuration 'awsvpcConfiguration=\{subnets=\[/,
    );
  });

  it('gives a worker one GPU, and places it by the three tiers', () => {
    expect(containerOf('worker').ResourceRequirements).toEqual([{ Type: 'GPU', Value: '1' }]);
    const strategy = serviceOf('worker').Properties.CapacityProviderStrategy.map(
      (one: Resource['Properties']) => [
        flat(one.CapacityProvider)
          .match(/Provider(g\d[a-z]*)/)?.[1]
          ?.slice(0, 2),
        one.Base,
        one.Weight,
      ],
    );
    expect(strategy).toEqual([
      ['g6', 1, 3],
      ['g5', undefined, 2],
      ['g4', undefined, 1],
    ]);
  });

  it('runs nothing as root, with capabilities or on a disk of its own', () => {
    for (const name of [...SERVICES, 'migrate']) {
      const container = containerOf(name);
      expect(container).toMatchObject({ User: '1000:1000', ReadonlyRootFilesystem: true });
      expect(container.LinuxParameters.Capabilities.Drop).toEqual(['ALL']);
      expect(container.Privileged).toBeUndefined();
      const models = container.MountPoints.find(
        (one: { SourceVolume: string }) => one.SourceVolume === 'models',
      );
      expect(models).toEqual({ SourceVolume: 'models', ContainerPath: '/data/bundles', ReadOnly: true });
    }
  });

  it('gives each service roles of its own, and its files folder by folder', () => {
    const roles = tasks.flatMap(({ Properties }) => [
      flat(Properties.TaskRoleArn),
      flat(Properties.ExecutionRoleArn),
    ]);
    expect(new Set(roles).size).toBe(tasks.length * 2);
    const may = (service: string) =>
      ofType(stacks.services, 'AWS::IAM::Policy')
        .filter(({ Properties }) => Properties.PolicyName.startsWith(`${service}Role`))
        .flatMap(({ Properties }) => Properties.PolicyDocument.Statement)
        .filter(({ Action }) => String(Action).includes('s3:'))
        .flatMap(({ Action, Resource }) =>
          [Resource]
            .flat()
            .flatMap((one) => [Action].flat().map((action) => `${action} ${flat(one).split('>').at(-1)}`)),
        );
    expect(may('mecene')).toEqual(['s3:ListBucket ']);
    expect(may('courier').filter((one) => /Put|Delete/.test(one))).toEqual([]);
    expect(
      may('worker')
        .filter((one) => one.startsWith('s3:PutObject'))
        .sort(),
    ).toEqual(['s3:PutObject /productions/*', 's3:PutObject /quarantine/*', 's3:PutObject /tests/*']);
    expect(may('worker')).toContain('s3:GetObject /faces/*');
    expect(may('web')).toContain('s3:PutObject /faces/*');
  });

  it('scales the web service by CPU from 2 to 20, the light ones to 2, and workers from 1 to 5', () => {
    const targets = ofType(stacks.services, 'AWS::ApplicationAutoScaling::ScalableTarget').map(
      ({ Properties }) => [
        flat(Properties.ResourceId).match(/\/<?([a-z]+)Service/)?.[1],
        Properties.MinCapacity,
        Properties.MaxCapacity,
      ],
    );
    expect(targets.sort()).toEqual([
      ['courier', 1, 2],
      ['mecene', 1, 2],
      ['web', 2, 20],
      ['worker', 1, 5],
    ]);
    stacks.services.resourcePropertiesCountIs(
      'AWS::ApplicationAutoScaling::ScalingPolicy',
      {
        TargetTrackingScalingPolicyConfiguration: {
          PredefinedMetricSpecification: { PredefinedMetricType: 'ECSServiceAverageCPUUtilization' },
        },
      },
      3,
    );
  });

  it('scales workers by the longest wait of each tier as a share of its target', () => {
    const expression = `MAX([${tierRules.map(({ name, targetMs }) => `FILL(${name}, 0) / ${targetMs / 1_000}`).join(', ')}])`;
    const alarms = ofType(stacks.services, 'AWS::CloudWatch::Alarm').filter(
      ({ Properties }) => Properties.Metrics?.[0].Expression === expression,
    );
    expect(
      alarms.map(({ Properties }) => [
        Properties.Threshold,
        Properties.EvaluationPeriods,
        flat(Properties.AlarmActions),
      ]),
    ).toEqual([
      [1, 3, expect.stringMatching(/^<WorkersMore/)],
      [0.2, 15, expect.stringMatching(/^<WorkersFewer/)],
    ]);
    for (const { name } of tierRules)
      expect(alarms[0]!.Properties.Metrics).toContainEqual(
        expect.objectContaining({
          Id: name,
          MetricStat: expect.objectContaining({
            Metric: {
              Namespace: `Atelier/${STAGE}`,
              MetricName: 'atelier_longest_wait_seconds',
              Dimensions: [{ Name: 'tier', Value: name }],
            },
          }),
        }),
      );
  });

  it.each(SERVICES)(
    'has an agent beside %s that hands on what alerts and scaling need, and no more',
    (service) => {
      const agent = containerOf(service, 'agent');
      const value = (name: string) =>
        JSON.parse(flat(agent.Environment.find((one: { Name: string }) => one.Name === name).Value));
      const [scrape] = value('PROMETHEUS_CONFIG_CONTENT').scrape_configs;
      expect(scrape.static_configs).toEqual([{ targets: ['127.0.0.1:9464'] }]);
      const { emf_processor } = value('CW_CONFIG_CONTENT').logs.metrics_collected.prometheus;
      expect(emf_processor.metric_namespace).toBe(`Atelier/${STAGE}`);
      const told = emf_processor.metric_declaration.map((one: Resource['Properties']) => ({
        metric: one.metric_selectors[0].slice(1, -1),
        dimensions: one.dimensions,
      }));
      expect(told).toEqual(cloudWatch().collected);
      expect(told).toContainEqual({
        metric: 'atelier_longest_wait_seconds',
        dimensions: expect.arrayContaining([['tier']]),
      });
      for (const { metric } of told)
        expect(metric).toMatch(new RegExp(`^(${scrape.metric_relabel_configs[0].regex})$`));
      // On a GPU's instance the worker has all of the CPU.
      expect(agent).toMatchObject({ Essential: false });
      expect(agent.Cpu).toBeUndefined();
    },
  );

  it('has fewer workers at night', () => {
    const workers = ofType(stacks.services, 'AWS::ApplicationAutoScaling::ScalableTarget').find(
      ({ Properties }) => Properties.ScheduledActions,
    );
    expect(workers!.Properties.ScheduledActions).toEqual([
      expect.objectContaining({
        Schedule: 'cron(0 23 * * ? *)',
        ScalableTargetAction: { MinCapacity: 1, MaxCapacity: 1 },
      }),
      expect.objectContaining({
        Schedule: 'cron(0 6 * * ? *)',
        ScalableTargetAction: { MinCapacity: 1, MaxCapacity: 5 },
      }),
    ]);
  });

  it('takes requests by TLS of today, and only those that came by CloudFront', () => {
    stacks.services.hasResourceProperties('AWS::ElasticLoadBalancingV2::Listener', {
      Port: 443,
      Protocol: 'HTTPS',
      SslPolicy: 'ELBSecurityPolicy-TLS13-1-2-Res-PQ-2025-09',
      DefaultActions: [
        Match.objectLike({ Type: 'fixed-response', FixedResponseConfig: { StatusCode: '403' } }),
      ],
    });
    stacks.services.resourceCountIs('AWS::ElasticLoadBalancingV2::Listener', 1);
    stacks.services.hasResourceProperties('AWS::ElasticLoadBalancingV2::ListenerRule', {
      Conditions: [
        Match.objectLike({
          Field: 'http-header',
          HttpHeaderConfig: Match.objectLike({ HttpHeaderName: 'x-origin' }),
        }),
      ],
    });
  });

  it('asks /healthz every 5 s, and takes a process out at once', () => {
    const groups = ofType(stacks.services, 'AWS::ElasticLoadBalancingV2::TargetGroup');
    expect(groups).toHaveLength(2);
    for (const { Properties } of groups) {
      expect(Properties).toMatchObject({ HealthCheckPath: '/healthz', HealthCheckIntervalSeconds: 5 });
      expect(Properties.TargetGroupAttributes).toContainEqual({
        Key: 'deregistration_delay.timeout_seconds',
        Value: '0',
      });
    }
    expect(containerOf('web').HealthCheck).toMatchObject({ Interval: 5 });
  });

  it('puts a new web service beside the old one, and takes it back by itself', () => {
    const { DeploymentConfiguration, LoadBalancers } = serviceOf('web').Properties;
    expect(DeploymentConfiguration).toMatchObject({
      Strategy: 'BLUE_GREEN',
      BakeTimeInMinutes: 5,
      Alarms: {
        Enable: true,
        Rollback: true,
        AlarmNames: [{ Ref: expect.stringMatching(/^WebFails/) }, { Ref: expect.stringMatching(/^WebEnds/) }],
      },
    });
    expect(LoadBalancers[0].AdvancedConfiguration).toMatchObject({
      AlternateTargetGroupArn: { Ref: expect.stringMatching(/^WebGreen/) },
      ProductionListenerRule: { Ref: expect.stringMatching(/^ByCloudFront/) },
    });
  });

  it('notices a web service that does not start, as ECS tells of each end', () => {
    stacks.services.hasResourceProperties('AWS::Events::Rule', {
      EventPattern: {
        source: ['aws.ecs'],
        detail: Match.objectLike({ group: ['service:web'], lastStatus: ['STOPPED'], $or: Match.anyValue() }),
      },
      Targets: [Match.objectLike({ Arn: { 'Fn::GetAtt': [Match.stringLikeRegexp('^EndsLog'), 'Arn'] } })],
    });
    stacks.services.hasResourceProperties('AWS::CloudWatch::Alarm', {
      AlarmName: `atelier-${STAGE}-web-ends`,
      MetricName: 'TriggeredRules',
      Dimensions: [{ Name: 'RuleName', Value: { Ref: Match.stringLikeRegexp('^Ends') } }],
      AlarmActions: Match.anyValue(),
    });
    // ECS refuses its circuit breaker here, and has it everywhere else.
    expect(
      services.filter(({ Properties }) => !Properties.DeploymentConfiguration.DeploymentCircuitBreaker),
    ).toEqual([serviceOf('web')]);
  });

  it('has never two bots with the same shards, and stops a worker before the next', () => {
    for (const name of ['bot', 'worker'])
      expect(serviceOf(name).Properties.DeploymentConfiguration).toMatchObject({
        MinimumHealthyPercent: 0,
        MaximumPercent: 100,
        DeploymentCircuitBreaker: { Rollback: true },
      });
  });

  it('has a bot for each sixteen shards, which knows its own, and an alarm for each', () => {
    const many = synth({ discord: { ...example.discord, shards: 40 } });
    const bots = ofType(many.services, 'AWS::ECS::TaskDefinition').filter(({ Properties }) =>
      Properties.Family.includes('-bot'),
    );
    const ranges = bots.map(
      ({ Properties }) =>
        Properties.ContainerDefinitions[0].Environment.find(
          ({ Name }: { Name: string }) => Name === 'SHARD_IDS',
        ).Value,
    );
    expect(ranges).toEqual(['0-12', '13-26', '27-39']);
    for (const SHARD_IDS of ranges)
      expect(parseConfig({ SHARDS: '40', SHARD_IDS }).discord.shardIds).not.toHaveLength(0);
    const alarms = ofType(many.watch, 'AWS::CloudWatch::Alarm').map(({ Properties }) => Properties.AlarmName);
    expect(alarms).toEqual(
      expect.arrayContaining(['bot', 'bot-2', 'bot-3'].map((bot) => `atelier-${STAGE}-${bot}-gone`)),
    );
    expect(containerOf('bot').Environment.map(({ Name }: { Name: string }) => Name)).not.toContain(
      'SHARD_IDS',
    );
  });

  it('stands behind a wall of managed rules, and of so many requests from one address', () => {
    stacks.services.hasResourceProperties('AWS::WAFv2::WebACL', {
      Scope: 'REGIONAL',
      Rules: [
        Match.objectLike({
          Statement: {
            RateBasedStatement: {
              Limit: 3_000,
              AggregateKeyType: 'FORWARDED_IP',
              ForwardedIPConfig: { HeaderName: 'x-viewer-address', FallbackBehavior: 'MATCH' },
              EvaluationWindowSec: 300,
            },
          },
          Action: { Block: Match.anyValue() },
        }),
        Match.objectLike({
          Statement: {
            ManagedRuleGroupStatement: Match.objectLike({ Name: 'AWSManagedRulesKnownBadInputsRuleSet' }),
          },
        }),
        Match.objectLike({
          Statement: {
            ManagedRuleGroupStatement: Match.objectLike({ Name: 'AWSManagedRulesCommonRuleSet' }),
          },
        }),
      ],
    });
    stacks.services.hasResourceProperties('AWS::WAFv2::WebACLAssociation', {
      ResourceArn: { Ref: Match.stringLikeRegexp('^Balancer') },
    });
  });
});

describe('gallery', () => {
  const [distribution] = ofType(stacks.gallery, 'AWS::CloudFront::Distribution');
  const { DistributionConfig } = distribution!.Properties;

  it('keeps pictures and scripts at the edges, and pages never', () => {
    const disabled = '4135ea2d-6df8-44a3-9df3-4b5a84be39ad';
    expect(DistributionConfig.DefaultCacheBehavior.CachePolicyId).toBe(disabled);
    expect(DistributionConfig.CacheBehaviors.map((one: Resource['Properties']) => one.PathPattern)).toEqual([
      '/img/*',
      '/assets/*',
    ]);
    stacks.gallery.hasResourceProperties('AWS::CloudFront::CachePolicy', {
      CachePolicyConfig: Match.objectLike({
        MinTTL: 60,
        ParametersInCacheKeyAndForwardedToOrigin: Match.objectLike({
          HeadersConfig: { HeaderBehavior: 'whitelist', Headers: ['Accept'] },
          CookiesConfig: { CookieBehavior: 'none' },
        }),
      }),
    });
  });

  it('says itself whose request it is, on every way', () => {
    for (const behaviour of [DistributionConfig.DefaultCacheBehavior, ...DistributionConfig.CacheBehaviors])
      expect(behaviour.FunctionAssociations).toEqual([
        expect.objectContaining({ EventType: 'viewer-request' }),
      ]);
    const [viewer] = ofType(stacks.gallery, 'AWS::CloudFront::Function');
    const event = {
      viewer: { ip: '192.0.2.7' },
      request: {
        uri: '/',
        headers: { 'x-viewer-address': { value: '198.51.100.1' }, accept: { value: '*/*' } },
      },
    };
    const passed: unknown = runInNewContext(`${viewer!.Properties.FunctionCode}; handler(event)`, { event });
    expect(passed).toEqual({
      uri: '/',
      headers: { 'x-viewer-address': { value: '192.0.2.7' }, accept: { value: '*/*' } },
    });
  });

  it('purges what leaves the gallery’s folders', () => {
    stacks.gallery.hasResourceProperties('AWS::Events::Rule', {
      EventPattern: {
        source: ['aws.s3'],
        'detail-type': ['Object Deleted'],
        detail: {
          object: { key: [{ wildcard: 'photowall/*/original*' }, { wildcard: 'curated/*/original*' }] },
          'deletion-type': ['Delete Marker Created'],
        },
      },
      Targets: [Match.objectLike({ Arn: { 'Fn::GetAtt': [Match.stringLikeRegexp('^Purge'), 'Arn'] } })],
    });
    const [files] = ofType(stacks.data, 'AWS::S3::Bucket').filter(({ Properties }) =>
      flat(Properties.BucketName ?? '').includes('files'),
    );
    expect(files!.Properties.NotificationConfiguration).toEqual({
      EventBridgeConfiguration: { EventBridgeEnabled: true },
    });
    stacks.gallery.hasResourceProperties('AWS::IAM::Policy', {
      PolicyDocument: {
        Statement: Match.arrayWith([
          Match.objectLike({
            Action: 'cloudfront:CreateInvalidation',
            Resource: Match.objectLike({ 'Fn::Join': Match.anyValue() }),
          }),
        ]),
      },
    });
  });

  it('has the gallery’s name in Route 53, by IPv4 and IPv6', () => {
    const records = ofType(stacks.gallery, 'AWS::Route53::RecordSet').map(({ Properties }) => [
      Properties.Name,
      Properties.Type,
    ]);
    expect(records).toEqual([
      ['atelier.example.org.', 'A'],
      ['atelier.example.org.', 'AAAA'],
    ]);
    stacks.services.hasResourceProperties('AWS::Route53::RecordSet', {
      Name: 'origin.atelier.example.org.',
      Type: 'A',
    });
  });
});

describe('watch', () => {
  it('writes to the operator when something that AWS runs goes wrong, and when it is well again', () => {
    const alarms = ofType(stacks.watch, 'AWS::CloudWatch::Alarm').filter(({ Properties }) =>
      /-[a-z0-9-]+$/.test(Properties.AlarmName),
    );
    const suffixes = alarms.map(({ Properties }) => Properties.AlarmName.replace(`atelier-${STAGE}-`, ''));
    expect(suffixes).toEqual(
      expect.arrayContaining([
        'postgres-cpu',
        'postgres-storage',
        'redis-memory',
        'balancer-5xx',
        'web-unhealthy',
        ...SERVICES.map((name) => `${name}-gone`),
      ]),
    );
    for (const { Properties } of alarms) {
      expect(Properties.AlarmActions).toHaveLength(1);
      expect(Properties.OKActions).toEqual(Properties.AlarmActions);
      expect(Properties.AlarmDescription).toMatch(/\.$/);
    }
    stacks.fleet.hasResourceProperties('AWS::SNS::Subscription', {
      Protocol: 'email',
      Endpoint: 'operators@example.org',
    });
  });

  it('has the alerts of infra/watch, in this stage’s name, by metrics of this stage, and each tells the operator', () => {
    const made = resourcesOf(stacks.watch).filter(([id]) => id in cloudWatch().Resources);
    expect(made.map(([id]) => id).sort()).toEqual(Object.keys(cloudWatch().Resources).sort());
    const text = JSON.stringify(made);
    expect(text).not.toMatch(/"Namespace":"Atelier"|atelier-[A-Z]/);
    const names = new Set(made.map(([, { Properties }]) => Properties.AlarmName));
    for (const [id, { Properties }] of made) {
      for (const [, name] of (Properties.AlarmRule ?? '').matchAll(/ALARM\("([^"]+)"\)/g))
        expect(names).toContain(name);
      expect(Properties.AlarmActions?.length ?? 0).toBe(
        cloudWatch().Resources[id]!.Metadata.Severity === null ? 0 : 1,
      );
    }
  });

  it('shows it on a page', () => {
    const [dashboard] = ofType(stacks.watch, 'AWS::CloudWatch::Dashboard');
    const body = flat(dashboard!.Properties.DashboardBody);
    for (const word of [
      'atelier_longest_wait_seconds',
      'RunningTaskCount',
      'RequestCount',
      'DatabaseConnections',
      'EngineCPUUtilization',
    ])
      expect(body).toContain(word);
  });
});
