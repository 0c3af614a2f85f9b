/** All stacks of one stage. None is looked up anywhere: they are made without an account, and tested so. */
import { App, Tags, Validations } from 'aws-cdk-lib';
import * as logs from 'aws-cdk-lib/aws-logs';
import { AwsSolutionsChecks } from 'cdk-nag';
import { Data } from './data.ts';
import { Edge } from './edge.ts';
import { Fleet } from './fleet.ts';
import { Gallery } from './gallery.ts';
import { Migration } from './migration.ts';
import { Network } from './network.ts';
import { Services } from './services.ts';
import type { Settings } from './settings.ts';
import { Watch } from './watch.ts';

const RETENTION: Readonly<Record<Settings['keepLogs'], logs.RetentionDays>> = {
  7: logs.RetentionDays.ONE_WEEK,
  14: logs.RetentionDays.TWO_WEEKS,
  30: logs.RetentionDays.ONE_MONTH,
  60: logs.RetentionDays.TWO_MONTHS,
  90: logs.RetentionDays.THREE_MONTHS,
};

/** How today's CDK does things, where it would do them as before for old stacks' sake. */
const FLAGS = {
  '@aws-cdk/aws-iam:minimizePolicies': true,
  '@aws-cdk/core:checkSecretUsage': true,
  '@aws-cdk/aws-ecs:disableExplicitDeploymentControllerForCircuitBreaker': true,
  '@aws-cdk/aws-ecs:reduceEc2FargateCloudWatchPermissions': true,
  '@aws-cdk/aws-ec2:restrictDefaultSecurityGroup': false,
  '@aws-cdk/aws-autoscaling:generateLaunchTemplateInsteadOfLaunchConfig': true,
};

export const newApp = () => new App({ context: FLAGS });

export function stacksOf(app: App, stage: string, settings: Settings, tag = settings.tag) {
  const retention = RETENTION[settings.keepLogs];
  const name = (part: string) => `Atelier-${stage}-${part}`;
  const edge = new Edge(app, name('Edge'), { settings });
  const network = new Network(app, name('Network'), { settings, retention });
  const data = new Data(app, name('Data'), { stage, settings, network });
  const fleet = new Fleet(app, name('Fleet'), { stage, settings, network, retention });
  const task = { stage, tag, data, retention, network, fleet };
  const migration = new Migration(app, name('Migration'), task);
  const services = new Services(app, name('Services'), { ...task, settings });
  services.addStackDependency(migration);
  const gallery = new Gallery(app, name('Gallery'), { settings, data, services, retention });
  const watch = new Watch(app, name('Watch'), { stage, data, fleet, services });
  Tags.of(app).add('atelier:stage', stage);
  Validations.of(app).addPlugins(new AwsSolutionsChecks(app));
  return { edge, network, data, fleet, migration, services, gallery, watch };
}
