/** The gallery's certificate, where CloudFront looks for it: us-east-1. Made once, before the rest; the stage's file then names it. */
import { CfnOutput, Stack, type StackProps } from 'aws-cdk-lib';
import * as acm from 'aws-cdk-lib/aws-certificatemanager';
import * as route53 from 'aws-cdk-lib/aws-route53';
import type { Construct } from 'constructs';
import type { Settings } from './settings.ts';

export class Edge extends Stack {
  constructor(
    scope: Construct,
    id: string,
    { settings, ...props }: StackProps & { readonly settings: Settings },
  ) {
    super(scope, id, { ...props, env: { region: 'us-east-1' } });
    const zone = route53.HostedZone.fromHostedZoneAttributes(this, 'Zone', {
      hostedZoneId: settings.zone.id,
      zoneName: settings.zone.name,
    });
    const certificate = new acm.Certificate(this, 'Certificate', {
      domainName: settings.domain,
      validation: acm.CertificateValidation.fromDns(zone),
    });
    new CfnOutput(this, 'CertificateArn', { value: certificate.certificateArn });
  }
}
