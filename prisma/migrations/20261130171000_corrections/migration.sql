-- What pictures took beside what was said when their turn was given: noted where they end, counted in with the next turn.
CREATE TABLE "Correction" (
    "id" BIGSERIAL NOT NULL,
    "bundle" TEXT NOT NULL,
    "tier" TEXT NOT NULL,
    "userId" TEXT NOT NULL,
    "ms" DOUBLE PRECISION NOT NULL,

    CONSTRAINT "Correction_pkey" PRIMARY KEY ("id")
);
