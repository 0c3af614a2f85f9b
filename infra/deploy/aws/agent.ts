/**
 * What of `/metrics` CloudWatch hears: what the alerts of infra/watch and the workers' scaling need, and no more, as each is paid for.
 *
 * Beside each service an agent reads its metrics every 15 s and writes them to a log in CloudWatch's embedded metric format, which makes
 * metrics of them, with the labels that are named here. Of counters it writes what they rose by.
 */
import * as ecs from 'aws-cdk-lib/aws-ecs';
import type * as iam from 'aws-cdk-lib/aws-iam';
import type * as logs from 'aws-cdk-lib/aws-logs';
import { type CloudWatch, cloudWatch } from '../../watch/cloudwatch.ts';
import { METRICS_PORT, type Service } from './environment.ts';

/** Of CloudWatch, a stage's own. */
export const namespaceOf = (stage: string) => `Atelier/${stage}`;
/** s */
const SCRAPE_EVERY = 15;

export interface AgentProps {
  readonly stage: string;
  readonly region: string;
  /** where it writes */
  readonly told: logs.LogGroup;
  readonly image: string;
}

/** @param role of the task: it may write to that log */
export function addAgent(
  task: ecs.Ec2TaskDefinition,
  role: iam.IRole,
  service: Service,
  { stage, region, told, image }: AgentProps,
): void {
  told.grantWrite(role);
  task.addContainer('agent', {
    image: ecs.ContainerImage.fromRegistry(image),
    essential: false,
    // No CPU is kept for it: on a GPU's instance the worker has all of it.
    memoryReservationMiB: 64,
    memoryLimitMiB: 256,
    environment: agentSettings({ stage, region, service, log: told.logGroupName }),
    logging: ecs.LogDrivers.awsLogs({ logGroup: told, streamPrefix: `agent-${service}` }),
  });
}

function agentSettings({
  stage,
  region,
  service,
  log,
}: {
  readonly stage: string;
  readonly region: string;
  readonly service: Service;
  readonly log: string;
}): Record<string, string> {
  const { collected } = cloudWatch();
  const scrape = {
    global: { scrape_interval: `${SCRAPE_EVERY}s` },
    scrape_configs: [
      {
        job_name: service,
        static_configs: [{ targets: [`127.0.0.1:${METRICS_PORT}`] }],
        metric_relabel_configs: [
          {
            source_labels: ['__name__'],
            regex: collected.map(({ metric }) => metric).join('|'),
            action: 'keep',
          },
        ],
      },
    ],
  };
  const agent = {
    // It would ask the instance, which tells tasks nothing.
    agent: { region },
    logs: {
      metrics_collected: {
        prometheus: {
          prometheus_config_path: 'env:PROMETHEUS_CONFIG_CONTENT',
          cluster_name: `atelier-${stage}`,
          log_group_name: log,
          emf_processor: {
            metric_namespace: namespaceOf(stage),
            metric_declaration: declared(collected, service),
          },
        },
      },
      force_flush_interval: 5,
    },
  };
  return { PROMETHEUS_CONFIG_CONTENT: JSON.stringify(scrape), CW_CONFIG_CONTENT: JSON.stringify(agent) };
}

const declared = (collected: CloudWatch['collected'], service: Service) =>
  collected.map(({ metric, dimensions }) => ({
    source_labels: ['job'],
    label_matcher: `^${service}$`,
    dimensions,
    metric_selectors: [`^${metric}$`],
  }));
