-- How far from what people were told first batches end.
CREATE TABLE "Range" (
    "tier" TEXT NOT NULL,
    "horizon" INTEGER NOT NULL,
    "low" DOUBLE PRECISION NOT NULL,
    "high" DOUBLE PRECISION NOT NULL,
    "count" INTEGER NOT NULL,

    CONSTRAINT "Range_pkey" PRIMARY KEY ("tier","horizon")
);

-- What was known when people were told first, to tell why it is later.
ALTER TABLE "Batch" ADD COLUMN "told" JSONB;
