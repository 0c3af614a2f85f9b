-- AlterTable
ALTER TABLE "User" ADD COLUMN "locale" TEXT NOT NULL DEFAULT 'en-US';

-- AlterTable
ALTER TABLE "Batch" ADD COLUMN "locale" TEXT NOT NULL DEFAULT 'en-US';
