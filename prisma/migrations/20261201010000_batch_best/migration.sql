-- AlterTable
ALTER TABLE "Batch" ADD COLUMN     "best" INTEGER;
