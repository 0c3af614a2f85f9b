/** One file of functions/ as a Lambda function: it has what the AWS SDK offers, its own log, and a role with that log alone. */
import { readFileSync } from 'node:fs';
import { Duration } from 'aws-cdk-lib';
import * as iam from 'aws-cdk-lib/aws-iam';
import * as lambda from 'aws-cdk-lib/aws-lambda';
import * as logs from 'aws-cdk-lib/aws-logs';
import type { Construct } from 'constructs';

export function smallFunction(
  scope: Construct,
  id: string,
  options: {
    readonly file: string;
    readonly environment: Record<string, string>;
    readonly retention: logs.RetentionDays;
  },
): lambda.Function {
  const logGroup = new logs.LogGroup(scope, `${id}-Log`, { retention: options.retention });
  const role = new iam.Role(scope, `${id}-Role`, {
    assumedBy: new iam.ServicePrincipal('lambda.amazonaws.com'),
  });
  logGroup.grantWrite(role);
  const text = readFileSync(new URL(`./functions/${options.file}`, import.meta.url), 'utf8');
  return new lambda.Function(scope, id, {
    runtime: lambda.Runtime.NODEJS_24_X,
    architecture: lambda.Architecture.ARM_64,
    handler: 'index.handler',
    // In the template itself: nothing to upload, and what runs is there to be read.
    code: lambda.Code.fromInline(text),
    environment: options.environment,
    timeout: Duration.seconds(30),
    role,
    logGroup,
  });
}
