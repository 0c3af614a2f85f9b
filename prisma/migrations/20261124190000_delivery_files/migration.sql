-- AlterTable
ALTER TABLE "Delivery" ADD COLUMN     "files" JSONB NOT NULL DEFAULT '[]';
