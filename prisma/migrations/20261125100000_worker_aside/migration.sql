-- A worker whose storage is full takes no pictures, and says so.
ALTER TABLE "Worker" ADD COLUMN "aside" TEXT;
