-- A preview is of what is being drawn. Whoever ends that, or hands it back, takes the preview away: nobody can forget to.
CREATE OR REPLACE FUNCTION drop_preview() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  DELETE FROM "Preview" WHERE "generationId" = NEW.id;
  NEW.stage := NULL;
  RETURN NEW;
END $$;
CREATE OR REPLACE TRIGGER "Generation_preview" BEFORE UPDATE OF state ON "Generation"
  FOR EACH ROW WHEN (OLD.state = 'running' AND NEW.state <> 'running') EXECUTE FUNCTION drop_preview();
