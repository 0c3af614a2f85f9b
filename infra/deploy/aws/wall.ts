/** What WAF refuses before the load balancer takes it, and the headers by which both know CloudFront. */
import { ArnFormat, type Stack } from 'aws-cdk-lib';
import type * as elb from 'aws-cdk-lib/aws-elasticloadbalancingv2';
import * as logs from 'aws-cdk-lib/aws-logs';
import * as wafv2 from 'aws-cdk-lib/aws-wafv2';

/** The load balancer takes a request only with the secret in it: it came by CloudFront. */
export const ORIGIN_HEADER = 'x-origin';
/** Whose request it is, as CloudFront says: the load balancer sees CloudFront's own address. */
export const VIEWER_HEADER = 'x-viewer-address';
/** Requests of one address in five minutes. */
const REQUESTS_MAX = 3_000;

/** Before the load balancer. Who sends what is told by CloudFront, in a header that only CloudFront sets. */
export function buildWall(
  scope: Stack,
  { stage, retention }: { readonly stage: string; readonly retention: logs.RetentionDays },
  balancer: elb.ApplicationLoadBalancer,
): void {
  const visible = (metricName: string) => ({
    metricName,
    cloudWatchMetricsEnabled: true,
    sampledRequestsEnabled: false,
  });
  const managed = (
    name: string,
    priority: number,
    counted: readonly string[] = [],
  ): wafv2.CfnWebACL.RuleProperty => ({
    name,
    priority,
    statement: {
      managedRuleGroupStatement: {
        vendorName: 'AWS',
        name,
        ruleActionOverrides: counted.map((rule) => ({ name: rule, actionToUse: { count: {} } })),
      },
    },
    overrideAction: { none: {} },
    visibilityConfig: visible(name),
  });
  const acl = new wafv2.CfnWebACL(scope, 'Wall', {
    scope: 'REGIONAL',
    defaultAction: { allow: {} },
    visibilityConfig: visible('wall'),
    rules: [
      {
        name: 'rate',
        priority: 0,
        statement: {
          rateBasedStatement: {
            limit: REQUESTS_MAX,
            evaluationWindowSec: 300,
            aggregateKeyType: 'FORWARDED_IP',
            forwardedIpConfig: { headerName: VIEWER_HEADER, fallbackBehavior: 'MATCH' },
          },
        },
        action: { block: { customResponse: { responseCode: 429 } } },
        visibilityConfig: visible('rate'),
      },
      managed('AWSManagedRulesKnownBadInputsRuleSet', 1),
      managed('AWSManagedRulesCommonRuleSet', 2, [
        // Photos are larger than 8 KiB, and people may ask for a picture of anything: the program's own checks read bodies.
        'SizeRestrictions_BODY',
        'CrossSiteScripting_BODY',
        'GenericLFI_BODY',
        'GenericRFI_BODY',
        'EC2MetaDataSSRF_BODY',
      ]),
    ],
  });
  new wafv2.CfnWebACLAssociation(scope, 'Wall-Balancer', {
    resourceArn: balancer.loadBalancerArn,
    webAclArn: acl.attrArn,
  });
  const log = new logs.LogGroup(scope, 'Wall-Log', {
    // WAF writes to no other name.
    logGroupName: `aws-waf-logs-atelier-${stage}`,
    retention,
  });
  new wafv2.CfnLoggingConfiguration(scope, 'Wall-Logging', {
    resourceArn: acl.attrArn,
    logDestinationConfigs: [
      scope.formatArn({
        service: 'logs',
        resource: 'log-group',
        resourceName: log.logGroupName,
        arnFormat: ArnFormat.COLON_RESOURCE_NAME,
      }),
    ],
    redactedFields: ['authorization', 'cookie', ORIGIN_HEADER].map((name) => ({
      singleHeader: { Name: name },
    })),
  });
}
