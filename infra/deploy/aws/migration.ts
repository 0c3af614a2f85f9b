/** What brings the tables up to date. A deployment runs it before the services change: see README.md. */
import { CfnOutput, Stack, type StackProps } from 'aws-cdk-lib';
import * as ec2 from 'aws-cdk-lib/aws-ec2';
import type { Construct } from 'constructs';
import type { Fleet } from './fleet.ts';
import type { Network } from './network.ts';
import { defineTask, type TaskProps } from './task.ts';

export interface MigrationProps extends StackProps, TaskProps {
  readonly network: Network;
  readonly fleet: Fleet;
}

export class Migration extends Stack {
  constructor(scope: Construct, id: string, props: MigrationProps) {
    super(scope, id, props);
    const { network, fleet } = props;
    const { task } = defineTask(this, props, 'migrate');
    const subnets = network.vpc.selectSubnets({ subnetType: ec2.SubnetType.PRIVATE_WITH_EGRESS }).subnetIds;
    const group = network.groups.migrate.securityGroupId;
    new CfnOutput(this, 'Run', {
      description: 'Arguments of `aws ecs run-task`',
      value: [
        `--cluster ${fleet.cluster.clusterName}`,
        `--task-definition ${task.taskDefinitionArn}`,
        `--capacity-provider-strategy capacityProvider=${fleet.light.capacityProviderName}`,
        // In quotes: a shell would take the braces for its own.
        `--network-configuration 'awsvpcConfiguration={subnets=[${subnets.join()}],securityGroups=[${group}]}'`,
      ].join(' '),
    });
  }
}
