-- Whoever adds an entry changes the balance (`User.tokens`): nobody can forget to.
CREATE OR REPLACE FUNCTION add_to_balance() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  UPDATE "User" u SET tokens = u.tokens + e.amount
  FROM (SELECT "userId", sum(amount) AS amount FROM added GROUP BY "userId" ORDER BY "userId") e WHERE u.id = e."userId";
  RETURN NULL;
END $$;
CREATE OR REPLACE TRIGGER "TokenEntry_balance" AFTER INSERT ON "TokenEntry" REFERENCING NEW TABLE AS added
  FOR EACH STATEMENT EXECUTE FUNCTION add_to_balance();
