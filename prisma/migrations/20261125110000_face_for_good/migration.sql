-- A picture asked with a face is known as one when the face folder is gone: "faceFolderId" is null then, and the picture was drawn
-- without the face. An id is kept rather than a flag, so that all that was drawn of one face can be found after its folder is gone.
ALTER TABLE "Generation" ADD COLUMN "faceId" TEXT;
UPDATE "Generation" SET "faceId" = "faceFolderId" WHERE "faceFolderId" IS NOT NULL;
-- Of folders that are gone already no id is left, but it shows: a face takes the steps of its own stage too, and leaves a likeness.
UPDATE "Generation" g SET "faceId" = 'gone' WHERE g."faceFolderId" IS NULL AND (g.steps > (g.parameters->>'steps')::int
  OR EXISTS (SELECT 1 FROM "Image" i WHERE i."generationId" = g.id AND i.likeness IS NOT NULL));
CREATE INDEX "Generation_faceId_idx" ON "Generation"("faceId");
