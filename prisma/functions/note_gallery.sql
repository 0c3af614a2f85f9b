-- Notes that a picture of the gallery came, went or changed, for whoever shows it from memory (src/gallery.ts): nobody can forget to
-- say. At the end of the transaction and one after the other, so that the numbers are in the order in which they are seen: whoever
-- has read up to one has missed none before it.
CREATE OR REPLACE FUNCTION note_gallery() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  PERFORM pg_advisory_xact_lock(7203119);
  IF TG_TABLE_NAME = 'Image' THEN
    INSERT INTO "GalleryChange" ("imageId") VALUES (CASE WHEN TG_OP = 'DELETE' THEN OLD.id ELSE NEW.id END);
  ELSIF TG_TABLE_NAME = 'Review' THEN
    INSERT INTO "GalleryChange" ("imageId") VALUES (NEW."imageId");
  ELSE
    INSERT INTO "GalleryChange" ("imageId")
      SELECT i.id FROM "Image" i JOIN "Generation" g ON g.id = i."generationId"
        WHERE i.visibility = 'published' AND g."userId" = CASE WHEN TG_OP = 'DELETE' THEN OLD."userId" ELSE NEW."userId" END;
  END IF;
  RETURN NULL;
END $$;

DROP TRIGGER IF EXISTS "Image_gallery_new" ON "Image";
CREATE CONSTRAINT TRIGGER "Image_gallery_new" AFTER INSERT ON "Image" DEFERRABLE INITIALLY DEFERRED
  FOR EACH ROW WHEN (NEW.visibility = 'published') EXECUTE FUNCTION note_gallery();
DROP TRIGGER IF EXISTS "Image_gallery" ON "Image";
CREATE CONSTRAINT TRIGGER "Image_gallery" AFTER UPDATE ON "Image" DEFERRABLE INITIALLY DEFERRED
  FOR EACH ROW WHEN (OLD.visibility = 'published' OR NEW.visibility = 'published') EXECUTE FUNCTION note_gallery();
DROP TRIGGER IF EXISTS "Image_gallery_gone" ON "Image";
CREATE CONSTRAINT TRIGGER "Image_gallery_gone" AFTER DELETE ON "Image" DEFERRABLE INITIALLY DEFERRED
  FOR EACH ROW WHEN (OLD.visibility = 'published') EXECUTE FUNCTION note_gallery();
DROP TRIGGER IF EXISTS "Review_gallery" ON "Review";
CREATE CONSTRAINT TRIGGER "Review_gallery" AFTER INSERT OR UPDATE ON "Review" DEFERRABLE INITIALLY DEFERRED
  FOR EACH ROW EXECUTE FUNCTION note_gallery();
DROP TRIGGER IF EXISTS "ParameterValue_gallery" ON "ParameterValue";
CREATE CONSTRAINT TRIGGER "ParameterValue_gallery" AFTER INSERT OR UPDATE ON "ParameterValue" DEFERRABLE INITIALLY DEFERRED
  FOR EACH ROW WHEN (NEW.name IN ('share_prompts', 'maker_name')) EXECUTE FUNCTION note_gallery();
DROP TRIGGER IF EXISTS "ParameterValue_gallery_gone" ON "ParameterValue";
CREATE CONSTRAINT TRIGGER "ParameterValue_gallery_gone" AFTER DELETE ON "ParameterValue" DEFERRABLE INITIALLY DEFERRED
  FOR EACH ROW WHEN (OLD.name IN ('share_prompts', 'maker_name')) EXECUTE FUNCTION note_gallery();
