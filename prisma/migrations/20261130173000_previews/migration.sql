-- What is seen of a picture while it is made. A preview lives for seconds: it is written to no log, and is in no backup. All of it may be
-- missing: a version before writes none of it.
ALTER TABLE "Generation" ADD COLUMN "stage" TEXT;
ALTER TABLE "GuildSettings" ADD COLUMN "previews" BOOLEAN NOT NULL DEFAULT true;
ALTER TABLE "Worker" ADD COLUMN "msPerStep" DOUBLE PRECISION, ADD COLUMN "memoryMib" INTEGER;
CREATE UNLOGGED TABLE "Preview" (
    "generationId" TEXT NOT NULL,
    "webp" BYTEA NOT NULL,
    "at" TIMESTAMPTZ(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,
    CONSTRAINT "Preview_pkey" PRIMARY KEY ("generationId")
);
ALTER TABLE "Preview" ADD CONSTRAINT "Preview_generationId_fkey" FOREIGN KEY ("generationId") REFERENCES "Generation"("id") ON DELETE CASCADE ON UPDATE CASCADE;
