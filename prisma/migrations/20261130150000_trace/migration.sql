-- What is measured and traced across services. All of it may be missing: a version before writes none of it.
ALTER TABLE "Batch" ADD COLUMN "traceparent" TEXT, ADD COLUMN "promisedAt" TIMESTAMPTZ(3);
ALTER TABLE "Delivery" ADD COLUMN "wantedAt" TIMESTAMPTZ(3) NOT NULL DEFAULT CURRENT_TIMESTAMP;
