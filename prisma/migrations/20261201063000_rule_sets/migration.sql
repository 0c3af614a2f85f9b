-- CreateEnum
CREATE TYPE "RuleSetState" AS ENUM ('shadow', 'inForce', 'dropped');

-- CreateTable
CREATE TABLE "RuleSet" (
    "hash" TEXT NOT NULL,
    "state" "RuleSetState" NOT NULL DEFAULT 'shadow',
    "decidedBy" TEXT,
    "changedAt" TIMESTAMPTZ(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,

    CONSTRAINT "RuleSet_pkey" PRIMARY KEY ("hash")
);

-- CreateTable
CREATE TABLE "RuleCount" (
    "day" DATE NOT NULL,
    "hash" TEXT NOT NULL,
    "rule" TEXT NOT NULL,
    "shadow" TEXT NOT NULL,
    "shadowRule" TEXT NOT NULL,
    "count" INTEGER NOT NULL,

    CONSTRAINT "RuleCount_pkey" PRIMARY KEY ("day","hash","rule","shadow","shadowRule")
);

-- CreateIndex
CREATE INDEX "Review_createdAt_idx" ON "Review"("createdAt");
