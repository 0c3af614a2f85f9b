-- CreateSchema
CREATE SCHEMA IF NOT EXISTS "public";

-- CreateEnum
CREATE TYPE "Role" AS ENUM ('member', 'operator', 'moderator');

-- CreateEnum
CREATE TYPE "TokenReason" AS ENUM ('grant', 'charge', 'refund');

-- CreateEnum
CREATE TYPE "BatchKind" AS ENUM ('imagine', 'face_test', 'sweep');

-- CreateEnum
CREATE TYPE "BatchState" AS ENUM ('planned', 'open', 'stopped', 'cancelled', 'finished', 'discarded');

-- CreateEnum
CREATE TYPE "GenerationState" AS ENUM ('queued', 'running', 'done', 'failed', 'cancelled');

-- CreateEnum
CREATE TYPE "Verdict" AS ENUM ('clear', 'flagged', 'blocked');

-- CreateEnum
CREATE TYPE "Visibility" AS ENUM ('private', 'published');

-- CreateEnum
CREATE TYPE "ReviewState" AS ENUM ('pending', 'approved', 'rejected');

-- CreateEnum
CREATE TYPE "FacePhotoState" AS ENUM ('checking', 'checked', 'accepted', 'rejected');

-- CreateEnum
CREATE TYPE "IdeaState" AS ENUM ('waiting', 'ready', 'failed');

-- CreateEnum
CREATE TYPE "DeliveryKind" AS ENUM ('card', 'status', 'pictures', 'manifest', 'review', 'notice');

-- CreateEnum
CREATE TYPE "DeliveryState" AS ENUM ('active', 'undelivered', 'closed');

-- CreateTable
CREATE TABLE "User" (
    "id" TEXT NOT NULL,
    "role" "Role" NOT NULL DEFAULT 'member',
    "strikes" INTEGER NOT NULL DEFAULT 0,
    "blockedUntil" TIMESTAMPTZ(3),
    "locale" TEXT,
    "createdAt" TIMESTAMPTZ(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,

    CONSTRAINT "User_pkey" PRIMARY KEY ("id")
);

-- CreateTable
CREATE TABLE "ParameterValue" (
    "userId" TEXT NOT NULL,
    "name" TEXT NOT NULL,
    "value" JSONB NOT NULL,
    "updatedAt" TIMESTAMPTZ(3) NOT NULL,

    CONSTRAINT "ParameterValue_pkey" PRIMARY KEY ("userId","name")
);

-- CreateTable
CREATE TABLE "TokenEntry" (
    "id" TEXT NOT NULL,
    "userId" TEXT NOT NULL,
    "amount" INTEGER NOT NULL,
    "reason" "TokenReason" NOT NULL,
    "batchId" TEXT,
    "generationId" TEXT,
    "once" TEXT NOT NULL,
    "createdAt" TIMESTAMPTZ(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,

    CONSTRAINT "TokenEntry_pkey" PRIMARY KEY ("id")
);

-- CreateTable
CREATE TABLE "Batch" (
    "id" TEXT NOT NULL,
    "kind" "BatchKind" NOT NULL,
    "state" "BatchState" NOT NULL DEFAULT 'open',
    "ownerId" TEXT NOT NULL,
    "guildId" TEXT,
    "channelId" TEXT NOT NULL,
    "interactionId" TEXT,
    "messageId" TEXT,
    "threadId" TEXT,
    "botInside" BOOLEAN NOT NULL DEFAULT true,
    "tier" TEXT NOT NULL,
    "production" BOOLEAN NOT NULL DEFAULT false,
    "title" TEXT NOT NULL,
    "config" JSONB NOT NULL,
    "planHash" TEXT,
    "charged" INTEGER NOT NULL DEFAULT 0,
    "createdAt" TIMESTAMPTZ(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,
    "openedAt" TIMESTAMPTZ(3),
    "endedAt" TIMESTAMPTZ(3),

    CONSTRAINT "Batch_pkey" PRIMARY KEY ("id")
);

-- CreateTable
CREATE TABLE "Generation" (
    "id" TEXT NOT NULL,
    "batchId" TEXT NOT NULL,
    "index" INTEGER NOT NULL,
    "state" "GenerationState" NOT NULL DEFAULT 'queued',
    "userId" TEXT NOT NULL,
    "tier" TEXT NOT NULL,
    "bundle" TEXT NOT NULL,
    "prompt" TEXT NOT NULL,
    "parameters" JSONB NOT NULL,
    "seed" BIGINT NOT NULL,
    "width" INTEGER NOT NULL,
    "height" INTEGER NOT NULL,
    "faceFolderId" TEXT,
    "ideaId" TEXT,
    "coordinates" JSONB NOT NULL DEFAULT '{}',
    "key" TEXT NOT NULL,
    "bundleHash" TEXT,
    "attempts" INTEGER NOT NULL DEFAULT 0,
    "admittedAt" TIMESTAMPTZ(3),
    "workerId" TEXT,
    "progress" DOUBLE PRECISION NOT NULL DEFAULT 0,
    "failure" TEXT,
    "timings" JSONB NOT NULL DEFAULT '{}',
    "reused" BOOLEAN NOT NULL DEFAULT false,
    "price" INTEGER NOT NULL DEFAULT 0,
    "queuedAt" TIMESTAMPTZ(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,
    "startedAt" TIMESTAMPTZ(3),
    "endedAt" TIMESTAMPTZ(3),

    CONSTRAINT "Generation_pkey" PRIMARY KEY ("id")
);

-- CreateTable
CREATE TABLE "Image" (
    "id" TEXT NOT NULL,
    "generationId" TEXT NOT NULL,
    "key" TEXT NOT NULL,
    "bundleHash" TEXT NOT NULL,
    "storageKey" TEXT NOT NULL,
    "sha256" TEXT NOT NULL,
    "width" INTEGER NOT NULL,
    "height" INTEGER NOT NULL,
    "bytes" INTEGER NOT NULL,
    "thumbhash" BYTEA NOT NULL,
    "verdict" "Verdict" NOT NULL,
    "scores" JSONB NOT NULL DEFAULT '{}',
    "rule" TEXT,
    "likeness" DOUBLE PRECISION,
    "visibility" "Visibility" NOT NULL DEFAULT 'private',
    "collection" TEXT,
    "publishedAt" TIMESTAMPTZ(3),
    "publishedBy" TEXT,
    "deletedAt" TIMESTAMPTZ(3),
    "createdAt" TIMESTAMPTZ(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,

    CONSTRAINT "Image_pkey" PRIMARY KEY ("id")
);

-- CreateTable
CREATE TABLE "Review" (
    "id" TEXT NOT NULL,
    "imageId" TEXT NOT NULL,
    "state" "ReviewState" NOT NULL DEFAULT 'pending',
    "cause" TEXT NOT NULL,
    "guildId" TEXT,
    "reportedBy" TEXT,
    "moderatorId" TEXT,
    "reason" TEXT,
    "createdAt" TIMESTAMPTZ(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,
    "decidedAt" TIMESTAMPTZ(3),

    CONSTRAINT "Review_pkey" PRIMARY KEY ("id")
);

-- CreateTable
CREATE TABLE "AuditEvent" (
    "id" TEXT NOT NULL,
    "actorId" TEXT NOT NULL,
    "action" TEXT NOT NULL,
    "subject" TEXT NOT NULL,
    "guildId" TEXT,
    "before" JSONB,
    "after" JSONB,
    "createdAt" TIMESTAMPTZ(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,

    CONSTRAINT "AuditEvent_pkey" PRIMARY KEY ("id")
);

-- CreateTable
CREATE TABLE "GuildSettings" (
    "id" TEXT NOT NULL,
    "reviewChannelId" TEXT,
    "operatorRoleIds" TEXT[],
    "moderatorRoleIds" TEXT[],
    "updatedAt" TIMESTAMPTZ(3) NOT NULL,

    CONSTRAINT "GuildSettings_pkey" PRIMARY KEY ("id")
);

-- CreateTable
CREATE TABLE "FaceFolder" (
    "id" TEXT NOT NULL,
    "ownerId" TEXT NOT NULL,
    "name" TEXT NOT NULL,
    "createdAt" TIMESTAMPTZ(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,

    CONSTRAINT "FaceFolder_pkey" PRIMARY KEY ("id")
);

-- CreateTable
CREATE TABLE "FacePhoto" (
    "id" TEXT NOT NULL,
    "folderId" TEXT NOT NULL,
    "state" "FacePhotoState" NOT NULL DEFAULT 'checking',
    "reason" TEXT,
    "storageKey" TEXT NOT NULL,
    "sha256" TEXT NOT NULL,
    "width" INTEGER NOT NULL,
    "height" INTEGER NOT NULL,
    "consentBy" TEXT,
    "consentAt" TIMESTAMPTZ(3),
    "consentVersion" INTEGER,
    "createdAt" TIMESTAMPTZ(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,

    CONSTRAINT "FacePhoto_pkey" PRIMARY KEY ("id")
);

-- CreateTable
CREATE TABLE "Idea" (
    "id" TEXT NOT NULL,
    "userId" TEXT NOT NULL,
    "state" "IdeaState" NOT NULL DEFAULT 'waiting',
    "words" TEXT NOT NULL,
    "seed" BIGINT NOT NULL,
    "idea" TEXT,
    "categories" JSONB,
    "keywords" TEXT[],
    "prompt" TEXT,
    "source" TEXT,
    "fallback" BOOLEAN NOT NULL DEFAULT false,
    "failure" TEXT,
    "createdAt" TIMESTAMPTZ(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,

    CONSTRAINT "Idea_pkey" PRIMARY KEY ("id")
);

-- CreateTable
CREATE TABLE "Delivery" (
    "id" TEXT NOT NULL,
    "kind" "DeliveryKind" NOT NULL,
    "state" "DeliveryState" NOT NULL DEFAULT 'active',
    "batchId" TEXT,
    "reviewId" TEXT,
    "userId" TEXT NOT NULL,
    "guildId" TEXT,
    "channelId" TEXT,
    "messageId" TEXT,
    "page" INTEGER NOT NULL DEFAULT 0,
    "wanted" INTEGER NOT NULL DEFAULT 1,
    "posted" INTEGER NOT NULL DEFAULT 0,
    "nonce" TEXT NOT NULL,
    "notBefore" TIMESTAMPTZ(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,
    "attempts" INTEGER NOT NULL DEFAULT 0,
    "lastError" TEXT,
    "token" TEXT,
    "tokenExpiresAt" TIMESTAMPTZ(3),
    "createdAt" TIMESTAMPTZ(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,
    "postedAt" TIMESTAMPTZ(3),

    CONSTRAINT "Delivery_pkey" PRIMARY KEY ("id")
);

-- CreateTable
CREATE TABLE "Worker" (
    "id" TEXT NOT NULL,
    "bundle" TEXT NOT NULL,
    "bundleHash" TEXT NOT NULL,
    "startedAt" TIMESTAMPTZ(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,
    "seenAt" TIMESTAMPTZ(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,

    CONSTRAINT "Worker_pkey" PRIMARY KEY ("id")
);

-- CreateIndex
CREATE INDEX "TokenEntry_batchId_idx" ON "TokenEntry"("batchId");

-- CreateIndex
CREATE UNIQUE INDEX "TokenEntry_userId_once_key" ON "TokenEntry"("userId", "once");

-- CreateIndex
CREATE UNIQUE INDEX "Batch_interactionId_key" ON "Batch"("interactionId");

-- CreateIndex
CREATE INDEX "Batch_ownerId_createdAt_idx" ON "Batch"("ownerId", "createdAt");

-- CreateIndex
CREATE INDEX "Batch_state_idx" ON "Batch"("state");

-- CreateIndex
CREATE INDEX "Generation_state_tier_userId_queuedAt_idx" ON "Generation"("state", "tier", "userId", "queuedAt");

-- CreateIndex
CREATE INDEX "Generation_key_idx" ON "Generation"("key");

-- CreateIndex
CREATE INDEX "Generation_workerId_idx" ON "Generation"("workerId");

-- CreateIndex
CREATE UNIQUE INDEX "Generation_batchId_index_key" ON "Generation"("batchId", "index");

-- CreateIndex
CREATE UNIQUE INDEX "Image_generationId_key" ON "Image"("generationId");

-- CreateIndex
CREATE INDEX "Image_key_bundleHash_idx" ON "Image"("key", "bundleHash");

-- CreateIndex
CREATE INDEX "Image_visibility_publishedAt_idx" ON "Image"("visibility", "publishedAt");

-- CreateIndex
CREATE UNIQUE INDEX "Review_imageId_key" ON "Review"("imageId");

-- CreateIndex
CREATE INDEX "Review_state_idx" ON "Review"("state");

-- CreateIndex
CREATE INDEX "AuditEvent_subject_idx" ON "AuditEvent"("subject");

-- CreateIndex
CREATE INDEX "AuditEvent_action_createdAt_idx" ON "AuditEvent"("action", "createdAt");

-- CreateIndex
CREATE UNIQUE INDEX "FaceFolder_ownerId_name_key" ON "FaceFolder"("ownerId", "name");

-- CreateIndex
CREATE INDEX "FacePhoto_folderId_state_idx" ON "FacePhoto"("folderId", "state");

-- CreateIndex
CREATE INDEX "Idea_state_createdAt_idx" ON "Idea"("state", "createdAt");

-- CreateIndex
CREATE UNIQUE INDEX "Delivery_nonce_key" ON "Delivery"("nonce");

-- CreateIndex
CREATE INDEX "Delivery_state_notBefore_idx" ON "Delivery"("state", "notBefore");

-- CreateIndex
CREATE INDEX "Delivery_batchId_idx" ON "Delivery"("batchId");

-- CreateIndex
CREATE INDEX "Delivery_messageId_idx" ON "Delivery"("messageId");

-- CreateIndex
CREATE INDEX "Worker_bundle_seenAt_idx" ON "Worker"("bundle", "seenAt");

-- AddForeignKey
ALTER TABLE "ParameterValue" ADD CONSTRAINT "ParameterValue_userId_fkey" FOREIGN KEY ("userId") REFERENCES "User"("id") ON DELETE CASCADE ON UPDATE CASCADE;

-- AddForeignKey
ALTER TABLE "TokenEntry" ADD CONSTRAINT "TokenEntry_userId_fkey" FOREIGN KEY ("userId") REFERENCES "User"("id") ON DELETE CASCADE ON UPDATE CASCADE;

-- AddForeignKey
ALTER TABLE "Batch" ADD CONSTRAINT "Batch_ownerId_fkey" FOREIGN KEY ("ownerId") REFERENCES "User"("id") ON DELETE RESTRICT ON UPDATE CASCADE;

-- AddForeignKey
ALTER TABLE "Generation" ADD CONSTRAINT "Generation_batchId_fkey" FOREIGN KEY ("batchId") REFERENCES "Batch"("id") ON DELETE CASCADE ON UPDATE CASCADE;

-- AddForeignKey
ALTER TABLE "Generation" ADD CONSTRAINT "Generation_faceFolderId_fkey" FOREIGN KEY ("faceFolderId") REFERENCES "FaceFolder"("id") ON DELETE SET NULL ON UPDATE CASCADE;

-- AddForeignKey
ALTER TABLE "Generation" ADD CONSTRAINT "Generation_ideaId_fkey" FOREIGN KEY ("ideaId") REFERENCES "Idea"("id") ON DELETE SET NULL ON UPDATE CASCADE;

-- AddForeignKey
ALTER TABLE "Image" ADD CONSTRAINT "Image_generationId_fkey" FOREIGN KEY ("generationId") REFERENCES "Generation"("id") ON DELETE CASCADE ON UPDATE CASCADE;

-- AddForeignKey
ALTER TABLE "Review" ADD CONSTRAINT "Review_imageId_fkey" FOREIGN KEY ("imageId") REFERENCES "Image"("id") ON DELETE RESTRICT ON UPDATE CASCADE;

-- AddForeignKey
ALTER TABLE "FaceFolder" ADD CONSTRAINT "FaceFolder_ownerId_fkey" FOREIGN KEY ("ownerId") REFERENCES "User"("id") ON DELETE CASCADE ON UPDATE CASCADE;

-- AddForeignKey
ALTER TABLE "FacePhoto" ADD CONSTRAINT "FacePhoto_folderId_fkey" FOREIGN KEY ("folderId") REFERENCES "FaceFolder"("id") ON DELETE CASCADE ON UPDATE CASCADE;

-- AddForeignKey
ALTER TABLE "Idea" ADD CONSTRAINT "Idea_userId_fkey" FOREIGN KEY ("userId") REFERENCES "User"("id") ON DELETE CASCADE ON UPDATE CASCADE;

-- AddForeignKey
ALTER TABLE "Delivery" ADD CONSTRAINT "Delivery_batchId_fkey" FOREIGN KEY ("batchId") REFERENCES "Batch"("id") ON DELETE CASCADE ON UPDATE CASCADE;

-- AddForeignKey
ALTER TABLE "Delivery" ADD CONSTRAINT "Delivery_reviewId_fkey" FOREIGN KEY ("reviewId") REFERENCES "Review"("id") ON DELETE CASCADE ON UPDATE CASCADE;


