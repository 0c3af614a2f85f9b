-- Whether a batch of /imagine has ended. A function, and volatile, as it looks anew: a statement that has waited for a row's lock sees
-- other tables as they were when it began, and a card would show its picture three seconds late.
CREATE OR REPLACE FUNCTION has_its_picture(batch_id text) RETURNS boolean LANGUAGE plpgsql AS $$
BEGIN
  RETURN EXISTS (SELECT 1 FROM "Batch" WHERE id = batch_id AND kind = 'imagine' AND "endedAt" IS NOT NULL);
END $$;
