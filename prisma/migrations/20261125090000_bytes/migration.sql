-- No two rows name the same bytes.
CREATE UNIQUE INDEX "Image_storageKey_key" ON "Image"("storageKey");

-- Rows whose bytes storage does not have, for operators.
ALTER TABLE "Image" ADD COLUMN "missingAt" TIMESTAMPTZ(3);
CREATE INDEX "Image_missingAt_idx" ON "Image"("missingAt");
