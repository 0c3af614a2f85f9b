-- AlterTable
ALTER TABLE "Batch" ADD COLUMN     "ageRestricted" BOOLEAN NOT NULL DEFAULT false;

-- AlterTable
ALTER TABLE "GuildSettings" ADD COLUMN     "thresholds" JSONB NOT NULL DEFAULT '{}';

-- AlterTable
ALTER TABLE "Image" ADD COLUMN     "judged" JSONB NOT NULL DEFAULT '{}';
