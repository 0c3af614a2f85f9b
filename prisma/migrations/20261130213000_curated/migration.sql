-- A picture of the gallery may be chosen as one of its best.
ALTER TABLE "Image" ADD COLUMN "curatedAt" TIMESTAMPTZ(3);
