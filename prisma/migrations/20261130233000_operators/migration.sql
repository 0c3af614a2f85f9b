-- CreateIndex
CREATE INDEX "Generation_ended_idx" ON "Generation"("endedAt") WHERE ("endedAt" IS NOT NULL);
