-- What a published picture is found by. Of others nothing is kept: whatever waits or is drawn does not pay for it.
CREATE OR REPLACE FUNCTION keep_words() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  NEW.words := CASE WHEN NEW.visibility = 'published'
    THEN (SELECT to_tsvector('english', prompt) FROM "Generation" WHERE id = NEW."generationId") END;
  RETURN NEW;
END $$;
CREATE OR REPLACE TRIGGER "Image_words_new" BEFORE INSERT ON "Image"
  FOR EACH ROW WHEN (NEW.visibility = 'published') EXECUTE FUNCTION keep_words();
CREATE OR REPLACE TRIGGER "Image_words" BEFORE UPDATE OF visibility ON "Image"
  FOR EACH ROW WHEN (OLD.visibility IS DISTINCT FROM NEW.visibility) EXECUTE FUNCTION keep_words();
