/** Three zones. In each: a subnet that the world reaches, one from which the world can be reached, and one for data, which has neither. */
import { Fn, Stack, type StackProps } from 'aws-cdk-lib';
import * as ec2 from 'aws-cdk-lib/aws-ec2';
import * as iam from 'aws-cdk-lib/aws-iam';
import * as logs from 'aws-cdk-lib/aws-logs';
import type { Construct } from 'constructs';
import { METRICS_PORT, SERVICES, type Service, WEB_PORT } from './environment.ts';
import type { Settings } from './settings.ts';

const ZONES = 3;

export class Network extends Stack {
  readonly vpc: ec2.Vpc;
  /** of each service: who may reach what is said by group, not by address */
  readonly groups: Readonly<Record<Service | 'migrate', ec2.SecurityGroup>>;
  readonly balancer: ec2.SecurityGroup;

  constructor(
    scope: Construct,
    id: string,
    props: StackProps & { readonly settings: Settings; readonly retention: logs.RetentionDays },
  ) {
    super(scope, id, props);
    const { natGateways, cloudfrontPrefixList } = props.settings;
    this.vpc = new ec2.Vpc(this, 'Vpc', {
      // By number: which zones a region has is known where this is deployed, not where it is written.
      availabilityZones: Array.from({ length: ZONES }, (_, zone) => Fn.select(zone, Fn.getAzs())),
      natGateways,
      subnetConfiguration: [
        { name: 'public', subnetType: ec2.SubnetType.PUBLIC, cidrMask: 24, mapPublicIpOnLaunch: false },
        { name: 'services', subnetType: ec2.SubnetType.PRIVATE_WITH_EGRESS, cidrMask: 20 },
        { name: 'data', subnetType: ec2.SubnetType.PRIVATE_ISOLATED, cidrMask: 24 },
      ],
      // Pictures and models come and go by it: past the NAT, and so for nothing.
      gatewayEndpoints: { s3: { service: ec2.GatewayVpcEndpointAwsService.S3 } },
    });
    const flows = new logs.LogGroup(this, 'Flows', { retention: props.retention });
    const flowRole = new iam.Role(this, 'FlowRole', {
      assumedBy: new iam.ServicePrincipal('vpc-flow-logs.amazonaws.com'),
    });
    this.vpc.addFlowLog('Flow', {
      destination: ec2.FlowLogDestination.toCloudWatchLogs(flows, flowRole),
      trafficType: ec2.FlowLogTrafficType.REJECT,
    });

    const group = (name: string, allowAllOutbound = true) =>
      new ec2.SecurityGroup(this, `Group-${name}`, {
        vpc: this.vpc,
        description: `Atelier: ${name}`,
        allowAllOutbound,
      });
    const named = [...SERVICES, 'migrate' as const].map((name) => [name, group(name)] as const);
    this.groups = Object.fromEntries(named) as Record<Service | 'migrate', ec2.SecurityGroup>;
    this.balancer = group('balancer', false);
    const https = ec2.Port.tcp(443);
    this.balancer.addIngressRule(ec2.Peer.prefixList(cloudfrontPrefixList), https, 'from CloudFront');
    const port = ec2.Port.tcp(WEB_PORT);
    this.balancer.addEgressRule(this.groups.web, port, 'to the web service');
    this.groups.web.addIngressRule(this.balancer, port, 'from the load balancer');
    // A Prometheus among the services may read what each of them tells; nobody else can.
    for (const to of SERVICES)
      for (const from of SERVICES)
        this.groups[to].addIngressRule(this.groups[from], ec2.Port.tcp(METRICS_PORT), `metrics, to ${from}`);
  }
}
