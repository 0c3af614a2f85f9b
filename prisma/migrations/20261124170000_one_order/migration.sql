-- Waits are told from steps left and the measured speed of the fleet.
ALTER TABLE "Generation" ADD COLUMN "steps" INTEGER;
UPDATE "Generation" SET "steps" = coalesce((parameters->>'steps')::int, 20)
  + CASE WHEN "faceFolderId" IS NULL THEN 0 ELSE coalesce((parameters->>'detail_steps')::int, 20) END;
ALTER TABLE "Generation" ALTER COLUMN "steps" SET NOT NULL;
ALTER TABLE "Worker" ADD COLUMN "msPerStep" DOUBLE PRECISION;

-- Who was served lately, without a look at all history.
CREATE INDEX "Generation_bundle_admittedAt_idx" ON "Generation"("bundle", "admittedAt");

-- Written and never read.
ALTER TABLE "User" DROP COLUMN "locale";

-- No image ever had it: a blocked prompt is never drawn.
ALTER TYPE "Verdict" RENAME TO "Verdict_old";
CREATE TYPE "Verdict" AS ENUM ('clear', 'flagged');
ALTER TABLE "Image" ALTER COLUMN "verdict" TYPE "Verdict" USING ("verdict"::text::"Verdict");
DROP TYPE "Verdict_old";
