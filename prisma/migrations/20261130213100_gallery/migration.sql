-- What every web process asks for, to show the gallery as it is.
CREATE TABLE "GalleryChange" (
  "id" BIGSERIAL NOT NULL,
  "imageId" TEXT NOT NULL,
  "at" TIMESTAMPTZ(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,
  CONSTRAINT "GalleryChange_pkey" PRIMARY KEY ("id")
);

-- Words of the prompts of published pictures.
ALTER TABLE "Image" ADD COLUMN "words" tsvector;
CREATE INDEX "Image_words_idx" ON "Image" USING GIN ("words");
UPDATE "Image" SET "words" = to_tsvector('english', g.prompt) FROM "Generation" g
  WHERE g.id = "Image"."generationId" AND "Image".visibility = 'published';

-- No two people have one name in the gallery.
CREATE UNIQUE INDEX "ParameterValue_maker_idx" ON "ParameterValue"("value") WHERE (name = 'maker_name' AND value <> 'null'::jsonb);
