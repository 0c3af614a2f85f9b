-- Staff are named in STAFF_IDS. Nothing ever gave anybody a role by this column.
ALTER TABLE "User" DROP COLUMN "role";
DROP TYPE "Role";

ALTER TYPE "DeliveryKind" ADD VALUE 'request';
ALTER TYPE "DeliveryKind" ADD VALUE 'greeting';
ALTER TYPE "DeliveryKind" ADD VALUE 'warning';

ALTER TABLE "Image" ADD COLUMN "publishAskedBy" TEXT,
ADD COLUMN "publishDeclinedBy" TEXT;

ALTER TABLE "GuildSettings" ADD COLUMN "reviewSeenBy" TEXT[];

CREATE TABLE "ProductionSwitch" (
    "guildId" TEXT NOT NULL,
    "place" TEXT NOT NULL,
    "on" BOOLEAN NOT NULL,
    "updatedAt" TIMESTAMPTZ(3) NOT NULL,

    CONSTRAINT "ProductionSwitch_pkey" PRIMARY KEY ("guildId","place")
);

ALTER TABLE "Delivery" ADD COLUMN "imageId" TEXT;
CREATE INDEX "Delivery_imageId_idx" ON "Delivery"("imageId");
ALTER TABLE "Delivery" ADD CONSTRAINT "Delivery_imageId_fkey" FOREIGN KEY ("imageId") REFERENCES "Image"("id") ON DELETE CASCADE ON UPDATE CASCADE;

-- Where the bot is no member nobody would ever have seen them: they come to the platform's own moderators.
UPDATE "Review" r SET "guildId" = NULL
FROM "Image" i, "Generation" g, "Batch" b
WHERE r.state = 'pending' AND i.id = r."imageId" AND g.id = i."generationId" AND b.id = g."batchId" AND NOT b."botInside";
UPDATE "Delivery" d SET "guildId" = NULL
FROM "Review" r
WHERE d.kind = 'review' AND r.id = d."reviewId" AND r."guildId" IS NULL;
