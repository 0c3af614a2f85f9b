-- A balance is read with the person's row, and can't fall below 0.
ALTER TABLE "User" ADD COLUMN "tokens" INTEGER NOT NULL DEFAULT 0;
UPDATE "User" u SET "tokens" = coalesce((SELECT sum(e.amount) FROM "TokenEntry" e WHERE e."userId" = u.id), 0);
ALTER TABLE "User" ADD CONSTRAINT "User_tokens_check" CHECK ("tokens" >= 0);
