-- These wait from now on: src/backlog/flows.ts tells what a flow is. Who waited for nothing takes up with what they were given before.
-- Not in plain SQL: that is made ready anew at each call, which costs as much as the statement.
CREATE OR REPLACE FUNCTION join_flows(ids text[]) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
  INSERT INTO "Flow" AS f (bundle, tier, "userId", loras, "faceId", waiting, "waitingMs", "givenMs", since)
  SELECT c.bundle, c.tier, c."userId", c.loras, c."faceId", c.count, c.ms, coalesce(own.given, 0), coalesce(own.since, now())
  FROM (SELECT bundle, tier, "userId", loras, coalesce("faceId", '') AS "faceId", count(*)::int AS count, sum("costMs") AS ms
      FROM "Generation" WHERE id = ANY(ids) GROUP BY 1, 2, 3, 4, 5 ORDER BY 1, 2, 3, 4, 5) c,
    LATERAL (SELECT max("givenMs") AS given, min(since) FILTER (WHERE o.waiting > 0) AS since FROM "Flow" o
      WHERE o.bundle = c.bundle AND o.tier = c.tier AND o."userId" = c."userId") own
  ON CONFLICT (bundle, tier, "userId", loras, "faceId") DO UPDATE SET
    waiting = f.waiting + excluded.waiting, "waitingMs" = f."waitingMs" + excluded."waitingMs",
    since = CASE WHEN f.waiting > 0 THEN f.since ELSE excluded.since END;
END $$;
