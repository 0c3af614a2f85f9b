-- What is measured and traced across services. All of it may be missing: a version before writes none of it.
ALTER TABLE "Batch" ADD COLUMN "traceparent" TEXT, ADD COLUMN "promisedAt" TIMESTAMPTZ(3);

-- From when a message is late, whoever changed what it shows.
ALTER TABLE "Delivery" ADD COLUMN "wantedAt" TIMESTAMPTZ(3) NOT NULL DEFAULT CURRENT_TIMESTAMP;
CREATE FUNCTION note_wanted() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  NEW."wantedAt" := now();
  RETURN NEW;
END
$$;
CREATE TRIGGER note_wanted BEFORE UPDATE OF wanted ON "Delivery"
  FOR EACH ROW WHEN (NEW.wanted > OLD.wanted) EXECUTE FUNCTION note_wanted();
