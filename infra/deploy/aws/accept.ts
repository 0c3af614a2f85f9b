/** Rules of cdk-nag that we break knowingly, and warnings of CDK's, each with its reason beside the construct. */
import { Aws, Validations } from 'aws-cdk-lib';
import type { IConstruct } from 'constructs';

/** @param reasons rule, with the finding where it has several (`IAM5[Resource::*]`) → why */
export function accept(construct: IConstruct, reasons: Readonly<Record<string, string>>): void {
  for (const [rule, reason] of Object.entries(reasons)) {
    const id = rule.startsWith('Annotation::') ? rule : `AwsSolutions-${rule}`;
    Validations.of(construct).acknowledge({ id, reason });
  }
}

/** How cdk-nag writes what is known only where it is deployed. */
export function finding(text: string): string {
  const names = { [Aws.ACCOUNT_ID]: 'AccountId', [Aws.REGION]: 'Region', [Aws.PARTITION]: 'Partition' };
  return Object.entries(names).reduce((all, [token, name]) => all.replaceAll(token, `<AWS::${name}>`), text);
}
