-- CreateTable
CREATE TABLE "IdentifyTurn" (
    "key" INTEGER NOT NULL,
    "at" TIMESTAMPTZ(3) NOT NULL,

    CONSTRAINT "IdentifyTurn_pkey" PRIMARY KEY ("key")
);
