-- From when a message is late (`Delivery.wantedAt`), whoever changed what it shows: nobody can forget to say.
CREATE OR REPLACE FUNCTION note_wanted() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  NEW."wantedAt" := now();
  RETURN NEW;
END $$;
CREATE OR REPLACE TRIGGER "Delivery_wanted" BEFORE UPDATE OF wanted ON "Delivery"
  FOR EACH ROW WHEN (NEW.wanted > OLD.wanted) EXECUTE FUNCTION note_wanted();
