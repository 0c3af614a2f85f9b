/**
 * CloudFront before the gallery, its name in the world, and what takes a picture out of the edges when it leaves the gallery.
 *
 * Pictures alone are kept at the edges, and scripts, whose addresses change with them. Pages are asked of the web service each time: it
 * has them in memory, and they may be somebody's own.
 */
import { Duration, Stack, type StackProps } from 'aws-cdk-lib';
import * as acm from 'aws-cdk-lib/aws-certificatemanager';
import * as cloudfront from 'aws-cdk-lib/aws-cloudfront';
import * as origins from 'aws-cdk-lib/aws-cloudfront-origins';
import * as events from 'aws-cdk-lib/aws-events';
import * as targets from 'aws-cdk-lib/aws-events-targets';
import * as iam from 'aws-cdk-lib/aws-iam';
import type * as logs from 'aws-cdk-lib/aws-logs';
import * as route53 from 'aws-cdk-lib/aws-route53';
import * as route53targets from 'aws-cdk-lib/aws-route53-targets';
import type { Construct } from 'constructs';
import { accept } from './accept.ts';
import type { Data } from './data.ts';
import { publicFolders } from './environment.ts';
import type { Services } from './services.ts';
import type { Settings } from './settings.ts';
import { smallFunction } from './small-function.ts';
import { ORIGIN_HEADER, VIEWER_HEADER } from './wall.ts';

/**
 * The web service tells shared caches to ask each time (`s-maxage=0`). Edges answer this long by themselves all the same: a picture that
 * was taken down is purged in moments, and should a purge be lost it is gone after this.
 */
const EDGE_KEEPS = Duration.minutes(1);

export interface GalleryProps extends StackProps {
  readonly settings: Settings;
  readonly data: Data;
  readonly services: Services;
  readonly retention: logs.RetentionDays;
}

export class Gallery extends Stack {
  readonly distribution: cloudfront.Distribution;

  constructor(scope: Construct, id: string, props: GalleryProps) {
    super(scope, id, props);
    const { settings, data, services, retention } = props;
    const origin = new origins.HttpOrigin(services.originDomain, {
      protocolPolicy: cloudfront.OriginProtocolPolicy.HTTPS_ONLY,
      originSslProtocols: [cloudfront.OriginSslPolicy.TLS_V1_2],
      customHeaders: { [ORIGIN_HEADER]: data.originSecret.secretValue.unsafeUnwrap() },
      readTimeout: Duration.seconds(60),
      keepaliveTimeout: Duration.seconds(60),
    });
    const viewer = new cloudfront.Function(this, 'Viewer', {
      comment: 'Says whose request it is, whatever its sender says',
      runtime: cloudfront.FunctionRuntime.JS_2_0,
      code: cloudfront.FunctionCode.fromInline(
        `function handler(event) {
  event.request.headers['${VIEWER_HEADER}'] = { value: event.viewer.ip };
  return event.request;
}`,
      ),
    });
    const behaviour = {
      origin,
      viewerProtocolPolicy: cloudfront.ViewerProtocolPolicy.REDIRECT_TO_HTTPS,
      originRequestPolicy: cloudfront.OriginRequestPolicy.ALL_VIEWER,
      functionAssociations: [{ function: viewer, eventType: cloudfront.FunctionEventType.VIEWER_REQUEST }],
      // The web service has compressed it, or it is a picture.
      compress: false,
    };
    const pictures = new cloudfront.CachePolicy(this, 'Pictures', {
      comment: 'A picture, by its address and by what formats its viewer takes',
      headerBehavior: cloudfront.CacheHeaderBehavior.allowList('Accept'),
      cookieBehavior: cloudfront.CacheCookieBehavior.none(),
      queryStringBehavior: cloudfront.CacheQueryStringBehavior.none(),
      minTtl: EDGE_KEEPS,
      defaultTtl: EDGE_KEEPS,
      maxTtl: Duration.days(1),
    });
    this.distribution = new cloudfront.Distribution(this, 'Distribution', {
      domainNames: [settings.domain],
      certificate: acm.Certificate.fromCertificateArn(this, 'Certificate', settings.certificate),
      minimumProtocolVersion: cloudfront.SecurityPolicyProtocol.TLS_V1_2_2021,
      httpVersion: cloudfront.HttpVersion.HTTP2_AND_3,
      priceClass: cloudfront.PriceClass.PRICE_CLASS_100,
      enableLogging: true,
      logBucket: data.accessLogs,
      logFilePrefix: 'cloudfront/',
      logIncludesCookies: false,
      defaultBehavior: {
        ...behaviour,
        allowedMethods: cloudfront.AllowedMethods.ALLOW_ALL,
        cachePolicy: cloudfront.CachePolicy.CACHING_DISABLED,
      },
      additionalBehaviors: {
        '/img/*': { ...behaviour, cachePolicy: pictures },
        '/assets/*': {
          ...behaviour,
          cachePolicy: new cloudfront.CachePolicy(this, 'Scripts', {
            comment: 'As long as the web service says; by the coding that its viewer takes',
            enableAcceptEncodingBrotli: true,
            enableAcceptEncodingGzip: true,
            minTtl: Duration.seconds(0),
            defaultTtl: Duration.seconds(0),
            maxTtl: Duration.days(365),
          }),
        },
      },
    });
    accept(this.distribution, {
      CFR1: 'People may come from anywhere.',
      CFR2: 'The load balancer has the web ACL: its rules hold for whoever comes by whatever way.',
    });

    const zone = route53.HostedZone.fromHostedZoneAttributes(this, 'Zone', {
      hostedZoneId: settings.zone.id,
      zoneName: settings.zone.name,
    });
    const record = {
      zone,
      recordName: settings.domain,
      target: route53.RecordTarget.fromAlias(new route53targets.CloudFrontTarget(this.distribution)),
    };
    new route53.ARecord(this, 'Name', record);
    new route53.AaaaRecord(this, 'Name6', record);
    this.#purge(data, retention);
  }

  /**
   * Whoever takes a picture down, in Discord or on the web, deletes its files from the gallery's folders: the bucket tells, and its copies
   * at the edges go. So no service needs a right to CloudFront, and none can forget to ask.
   */
  #purge(data: Data, retention: logs.RetentionDays): void {
    const { distributionId } = this.distribution;
    const purge = smallFunction(this, 'Purge', {
      file: 'purge.cjs',
      environment: { DISTRIBUTION: distributionId },
      retention,
    });
    purge.addToRolePolicy(
      new iam.PolicyStatement({
        actions: ['cloudfront:CreateInvalidation'],
        resources: [
          Stack.of(this).formatArn({
            service: 'cloudfront',
            region: '',
            resource: 'distribution',
            resourceName: distributionId,
          }),
        ],
      }),
    );
    new events.Rule(this, 'Left', {
      description: 'A picture left the gallery',
      eventPattern: {
        source: ['aws.s3'],
        detailType: ['Object Deleted'],
        detail: {
          bucket: { name: [data.files.bucketName] },
          object: { key: publicFolders.map((folder) => ({ wildcard: `${folder}/*/original*` })) },
          // The bucket's lifecycle deletes for good a day later.
          'deletion-type': ['Delete Marker Created'],
        },
      },
      targets: [new targets.LambdaFunction(purge, { retryAttempts: 10, maxEventAge: Duration.hours(1) })],
    });
  }
}
