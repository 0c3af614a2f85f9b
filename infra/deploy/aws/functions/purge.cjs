// A picture went out of the gallery: its original was deleted from the gallery's folder in the bucket, by whatever service and for whatever
// reason. Every copy of it at CloudFront's edges goes too.
/** `photowall/<collection>/<image>/original.…` → where the web service shows it; null: it does not */
exports.pathOf = (key) => {
  const [, image] = /^(?:photowall|curated)\/[^/]+\/([0-9a-f-]{36})\/original(?:\.\w+)?$/.exec(key) ?? [];
  return image ? `/img/${image}/*` : null;
};

exports.handler = async (event) => {
  const path = exports.pathOf(event.detail.object.key);
  if (!path) return null;
  const cloudfront = require('@aws-sdk/client-cloudfront');
  const client = new cloudfront.CloudFrontClient();
  await client.send(
    new cloudfront.CreateInvalidationCommand({
      DistributionId: process.env.DISTRIBUTION,
      // The event's id: delivered again it is the same invalidation.
      InvalidationBatch: { CallerReference: event.id, Paths: { Quantity: 1, Items: [path] } },
    }),
  );
  return path;
};
