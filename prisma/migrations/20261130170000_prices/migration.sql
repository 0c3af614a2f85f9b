-- Prices are in proportion to the GPU time that pictures take, as far as it is known for sure.
ALTER TABLE "Cost" ADD COLUMN "pictures" INTEGER NOT NULL DEFAULT 1, ADD COLUMN "steadyMsPerStep" DOUBLE PRECISION;

-- What came and went lately, for /balance.
CREATE INDEX "TokenEntry_userId_createdAt_idx" ON "TokenEntry"("userId", "createdAt");
