-- A worker draws with several bundles, and says of each what it has of it.
ALTER TABLE "Worker" ADD COLUMN "bundles" JSONB NOT NULL DEFAULT '{}';
ALTER TABLE "Worker" ADD COLUMN "warm" TEXT[] DEFAULT ARRAY[]::TEXT[];
ALTER TABLE "Worker" ADD COLUMN "memory" DOUBLE PRECISION NOT NULL DEFAULT 0;
ALTER TABLE "Worker" ADD COLUMN "budget" DOUBLE PRECISION;
DROP INDEX "Worker_bundle_seenAt_idx";
CREATE INDEX "Worker_seenAt_idx" ON "Worker"("seenAt");
