-- Who is next is chosen by an index over what each person waits for, and not by sorting the backlog.
DROP INDEX "Generation_state_tier_userId_queuedAt_idx";
DROP INDEX "Generation_bundle_admittedAt_idx";
ALTER TABLE "Generation" DROP COLUMN "admittedAt",
  ADD COLUMN "costMs" DOUBLE PRECISION NOT NULL DEFAULT 0,
  ADD COLUMN "loras" TEXT NOT NULL DEFAULT '',
  ADD COLUMN "shape" TEXT NOT NULL DEFAULT '',
  ADD COLUMN "twinId" TEXT;
CREATE INDEX "Generation_waiting_idx" ON "Generation"("bundle", "tier", "userId", "loras", "queuedAt", "batchId", "index")
  WHERE state = 'queued' AND "twinId" IS NULL;
CREATE INDEX "Generation_going_idx" ON "Generation"("userId") WHERE "endedAt" IS NULL;
CREATE INDEX "Generation_running_idx" ON "Generation"("bundle") WHERE state = 'running';
CREATE INDEX "Generation_twin_idx" ON "Generation"("twinId") WHERE "twinId" IS NOT NULL;

CREATE TABLE "Flow" (
  "bundle" TEXT NOT NULL,
  "tier" TEXT NOT NULL,
  "userId" TEXT NOT NULL,
  "loras" TEXT NOT NULL,
  "faceId" TEXT NOT NULL,
  "waiting" INTEGER NOT NULL,
  "waitingMs" DOUBLE PRECISION NOT NULL,
  "givenMs" DOUBLE PRECISION NOT NULL,
  "since" TIMESTAMPTZ(3) NOT NULL,
  CONSTRAINT "Flow_pkey" PRIMARY KEY ("bundle", "tier", "userId", "loras", "faceId")
);
CREATE INDEX "Flow_given_idx" ON "Flow"("bundle", "tier", "givenMs", "since") WHERE waiting > 0;
CREATE INDEX "Flow_warm_given_idx" ON "Flow"("bundle", "tier", "loras", "givenMs", "since") WHERE waiting > 0;
CREATE INDEX "Flow_since_idx" ON "Flow"("bundle", "tier", "since") WHERE waiting > 0;
CREATE INDEX "Flow_warm_since_idx" ON "Flow"("bundle", "tier", "loras", "since") WHERE waiting > 0;

CREATE TABLE "Clock" (
  "bundle" TEXT NOT NULL,
  "version" INTEGER NOT NULL,
  "now" DOUBLE PRECISION NOT NULL,
  "largestMs" DOUBLE PRECISION NOT NULL,
  "tiers" JSONB NOT NULL,
  CONSTRAINT "Clock_pkey" PRIMARY KEY ("bundle")
);

CREATE TABLE "Cost" (
  "bundle" TEXT NOT NULL,
  "width" INTEGER NOT NULL,
  "height" INTEGER NOT NULL,
  "face" BOOLEAN NOT NULL,
  "batch" INTEGER NOT NULL,
  "msPerStep" DOUBLE PRECISION NOT NULL,
  CONSTRAINT "Cost_pkey" PRIMARY KEY ("bundle", "width", "height", "face", "batch")
);

-- Speeds are in Cost.
ALTER TABLE "Worker" DROP COLUMN "msPerStep";

-- What waits while it is migrated goes on: one flow for each person and tier.
UPDATE "Generation" SET "costMs" = steps * 150 WHERE state IN ('queued', 'running');
INSERT INTO "Flow"
SELECT bundle, tier, "userId", '', coalesce("faceId", ''), count(*), sum("costMs"), 0, min("queuedAt")
FROM "Generation" WHERE state = 'queued' GROUP BY bundle, tier, "userId", coalesce("faceId", '');
