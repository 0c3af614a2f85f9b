-- AlterTable
ALTER TABLE "GuildSettings" ADD COLUMN     "locale" TEXT NOT NULL DEFAULT 'en-US';
