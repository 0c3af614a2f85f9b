/**
 * What must outlive every service: rows, queue, files, models, images, secrets and parameters. Nothing here goes with its stack.
 */
import { Duration, RemovalPolicy, SecretValue, Stack, type StackProps } from 'aws-cdk-lib';
import * as ec2 from 'aws-cdk-lib/aws-ec2';
import * as ecr from 'aws-cdk-lib/aws-ecr';
import * as elasticache from 'aws-cdk-lib/aws-elasticache';
import * as iam from 'aws-cdk-lib/aws-iam';
import * as rds from 'aws-cdk-lib/aws-rds';
import * as s3 from 'aws-cdk-lib/aws-s3';
import * as secretsmanager from 'aws-cdk-lib/aws-secretsmanager';
import * as ssm from 'aws-cdk-lib/aws-ssm';
import type { Construct } from 'constructs';
import { rules } from '../../storage/lifecycle.ts';
import { accept } from './accept.ts';
import {
  bucketName,
  parameterValues,
  RDS_CERTIFICATES,
  SERVICES,
  SIGNING,
  secretsOf,
} from './environment.ts';
import type { Network } from './network.ts';
import type { Settings } from './settings.ts';

/** Not the usual ones: whoever scans for those finds nothing. */
const POSTGRES_PORT = 5433;
const REDIS_PORT = 6380;
const BACKUP_DAYS = 14;
const IMAGES_KEPT = 30;

/** Where in the bucket of access logs. */
export const BALANCER_LOGS = 'balancer';

const NO_ROTATION =
  'Discord, or this stage’s operator, gives it anew. A rotation by itself would cut the services off until they are restarted.';

export interface DataProps extends StackProps {
  readonly stage: string;
  readonly settings: Settings;
  readonly network: Network;
}

export class Data extends Stack {
  readonly files: s3.Bucket;
  readonly models: s3.Bucket;
  /** what others write about who came: S3, the load balancer, CloudFront */
  readonly accessLogs: s3.Bucket;
  readonly database: rds.DatabaseInstance;
  readonly redis: elasticache.CfnReplicationGroup;
  readonly secrets: Readonly<Record<string, secretsmanager.Secret>>;
  readonly parameters: Readonly<Record<string, ssm.StringParameter>>;
  readonly images: Readonly<Record<'app' | 'worker', ecr.Repository>>;
  /** by it the load balancer knows that a request came by CloudFront */
  readonly originSecret: secretsmanager.Secret;

  constructor(scope: Construct, id: string, props: DataProps) {
    super(scope, id, props);
    const { stage, settings } = props;
    this.accessLogs = this.#bucket('AccessLogs', {
      objectOwnership: s3.ObjectOwnership.OBJECT_WRITER,
      lifecycleRules: [{ expiration: Duration.days(settings.keepLogs) }],
    });
    this.accessLogs.addToResourcePolicy(
      new iam.PolicyStatement({
        principals: [new iam.ServicePrincipal('logdelivery.elasticloadbalancing.amazonaws.com')],
        actions: ['s3:PutObject'],
        resources: [this.accessLogs.arnForObjects(`${BALANCER_LOGS}/AWSLogs/*`)],
      }),
    );
    accept(this.accessLogs, { S1: 'It is where the others’ access logs go.' });
    this.files = this.#files(stage);
    this.models = this.#bucket('Models', {
      bucketName: bucketName(stage, 'models'),
      versioned: true,
      serverAccessLogsBucket: this.accessLogs,
      serverAccessLogsPrefix: 's3/models/',
    });
    this.images = { app: this.#repository(stage, 'app'), worker: this.#repository(stage, 'worker') };

    this.database = this.#postgres(props);
    const { redis, token } = this.#redis(props);
    this.redis = redis;

    const password = this.database.secret?.secretValueFromJson('password').unsafeUnwrap();
    const { dbInstanceEndpointAddress: host, dbInstanceEndpointPort: port } = this.database;
    const values: Record<string, SecretValue | undefined> = {
      DATABASE_URL: SecretValue.unsafePlainText(
        `postgresql://atelier:${password}@${host}:${port}/atelier?sslmode=verify-full&sslrootcert=${RDS_CERTIFICATES}`,
      ),
      REDIS_URL: SecretValue.unsafePlainText(
        `rediss://:${token.secretValue.unsafeUnwrap()}@${redis.attrPrimaryEndPointAddress}:${redis.attrPrimaryEndPointPort}`,
      ),
    };
    const names = [...new Set(SERVICES.flatMap((service) => secretsOf[service]))].filter(
      // The composer asks nobody.
      (name) =>
        (name !== 'MECENE_API_KEY' || settings.mecene.model === 'openai') &&
        (!SIGNING.includes(name) || settings.signing),
    );
    this.secrets = Object.fromEntries(names.map((name) => [name, this.#secret(stage, name, values[name])]));
    this.originSecret = this.#secret(stage, 'ORIGIN_SECRET');
    this.parameters = Object.fromEntries(
      Object.entries(parameterValues(settings)).map(([name, stringValue]) => [
        name,
        new ssm.StringParameter(this, `Parameter-${name}`, {
          parameterName: `/atelier/${stage}/${name}`,
          stringValue,
        }),
      ]),
    );
  }

  #bucket(id: string, props: s3.BucketProps): s3.Bucket {
    return new s3.Bucket(this, id, {
      blockPublicAccess: s3.BlockPublicAccess.BLOCK_ALL,
      encryption: s3.BucketEncryption.S3_MANAGED,
      enforceSSL: true,
      removalPolicy: RemovalPolicy.RETAIN,
      ...props,
    });
  }

  /** What it does by itself, prefix by prefix, is said in infra/storage/lifecycle.ts, for every S3 there is. */
  #files(stage: string): s3.Bucket {
    const files = this.#bucket('Files', {
      bucketName: bucketName(stage, 'files'),
      versioned: true,
      serverAccessLogsBucket: this.accessLogs,
      serverAccessLogsPrefix: 's3/files/',
      lifecycleRules: rules.map(
        ({ ID, Filter, Expiration, NoncurrentVersionExpiration, AbortIncompleteMultipartUpload }) => {
          const days = (count: number | undefined) =>
            count === undefined ? undefined : Duration.days(count);
          const [expiration, noncurrentVersionExpiration, abortIncompleteMultipartUploadAfter] = [
            days(Expiration?.Days),
            days(NoncurrentVersionExpiration?.NoncurrentDays),
            days(AbortIncompleteMultipartUpload?.DaysAfterInitiation),
          ];
          return {
            ...(ID && { id: ID }),
            ...(Filter?.Prefix && { prefix: Filter.Prefix }),
            ...(expiration && { expiration }),
            ...(noncurrentVersionExpiration && { noncurrentVersionExpiration }),
            ...(abortIncompleteMultipartUploadAfter && { abortIncompleteMultipartUploadAfter }),
          };
        },
      ),
    });
    // Whoever shows the gallery hears of what went out of it. In CloudFormation's own words: CDK's would be a function of its own.
    const cfn = files.node.defaultChild as s3.CfnBucket;
    cfn.notificationConfiguration = { eventBridgeConfiguration: { eventBridgeEnabled: true } };
    return files;
  }

  #repository(stage: string, name: string): ecr.Repository {
    return new ecr.Repository(this, `Images-${name}`, {
      repositoryName: `atelier/${stage}/${name}`,
      imageScanOnPush: true,
      removalPolicy: RemovalPolicy.RETAIN,
      lifecycleRules: [{ maxImageCount: IMAGES_KEPT }],
    });
  }

  #secret(stage: string, name: string, value?: SecretValue): secretsmanager.Secret {
    const secret = new secretsmanager.Secret(this, `Secret-${name}`, {
      secretName: `atelier/${stage}/${name}`,
      ...(value
        ? { secretStringValue: value }
        : // Long enough to be taken for one; who deploys puts the true one in its place.
          { generateSecretString: { excludePunctuation: true, passwordLength: 64 } }),
    });
    accept(secret, { SMG4: NO_ROTATION });
    return secret;
  }

  #postgres({ settings, network: { vpc, groups } }: DataProps): rds.DatabaseInstance {
    const group = new ec2.SecurityGroup(this, 'Postgres-Group', { vpc, allowAllOutbound: false });
    for (const [name, from] of Object.entries(groups))
      group.addIngressRule(from, ec2.Port.tcp(POSTGRES_PORT), `from ${name}`);
    const engine = rds.DatabaseInstanceEngine.postgres({ version: rds.PostgresEngineVersion.VER_18_3 });
    const database = new rds.DatabaseInstance(this, 'Postgres', {
      vpc,
      vpcSubnets: { subnetType: ec2.SubnetType.PRIVATE_ISOLATED },
      securityGroups: [group],
      engine,
      parameterGroup: new rds.ParameterGroup(this, 'Postgres-Parameters', {
        engine,
        parameters: { 'rds.force_ssl': '1' },
      }),
      instanceType: new ec2.InstanceType(settings.database.type),
      multiAz: true,
      port: POSTGRES_PORT,
      databaseName: 'atelier',
      // Letters and digits: it stands in an address.
      credentials: rds.Credentials.fromGeneratedSecret('atelier', {
        excludeCharacters: ' !"#$%&\'()*+,-./:;<=>?@[\\]^_`{|}~',
      }),
      storageType: rds.StorageType.GP3,
      allocatedStorage: settings.database.gib,
      maxAllocatedStorage: settings.database.gib * 10,
      storageEncrypted: true,
      backupRetention: Duration.days(BACKUP_DAYS),
      copyTagsToSnapshot: true,
      deletionProtection: true,
      removalPolicy: RemovalPolicy.RETAIN,
      monitoringInterval: Duration.minutes(1),
      cloudwatchLogsExports: ['postgresql'],
      autoMinorVersionUpgrade: true,
    });
    accept(database, {
      SMG4: NO_ROTATION,
      'IAM4[Policy::arn:<AWS::Partition>:iam::aws:policy/service-role/AmazonRDSEnhancedMonitoringRole]':
        'AWS’s own, for RDS to write its measurements and nothing else.',
    });
    return database;
  }

  #redis({ settings, stage, network: { vpc, groups } }: DataProps) {
    const group = new ec2.SecurityGroup(this, 'Redis-Group', { vpc, allowAllOutbound: false });
    for (const name of SERVICES) group.addIngressRule(groups[name], ec2.Port.tcp(REDIS_PORT), `from ${name}`);
    const token = this.#secret(stage, 'REDIS_TOKEN');
    const subnets = new elasticache.CfnSubnetGroup(this, 'Redis-Subnets', {
      description: 'Atelier: data',
      subnetIds: vpc.selectSubnets({ subnetType: ec2.SubnetType.PRIVATE_ISOLATED }).subnetIds,
    });
    const parameters = new elasticache.CfnParameterGroup(this, 'Redis-Parameters', {
      cacheParameterGroupFamily: 'redis7',
      description: 'Atelier: the queue',
      // A queue that forgets jobs to make room is none. BullMQ refuses anything else.
      properties: { 'maxmemory-policy': 'noeviction' },
    });
    const redis = new elasticache.CfnReplicationGroup(this, 'Redis', {
      replicationGroupDescription: 'Atelier: the queue',
      engine: 'redis',
      engineVersion: '7.1',
      cacheNodeType: settings.redis.type,
      numCacheClusters: 2,
      automaticFailoverEnabled: true,
      multiAzEnabled: true,
      port: REDIS_PORT,
      cacheParameterGroupName: parameters.ref,
      cacheSubnetGroupName: subnets.ref,
      securityGroupIds: [group.securityGroupId],
      atRestEncryptionEnabled: true,
      transitEncryptionEnabled: true,
      authToken: token.secretValue.unsafeUnwrap(),
      snapshotRetentionLimit: 1,
    });
    return { redis, token };
  }
}
