-- Accepts a batch, or says why not: in one statement, as half of its cost would be the way there and back. Called by
-- src/batches/accept.ts, which says what `ask` has.
--
-- Rows are locked in the order in which an ending generation locks them: generations, the person, flows.
CREATE OR REPLACE FUNCTION accept_batch(ask jsonb) RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE
  me CONSTANT text := ask->>'userId';
  price int;
  drawn text[];
  opened CONSTANT text := coalesce(ask->>'plannedId', ask->'batch'->>'id');
  before "Batch";
  wanted CONSTANT int := jsonb_array_length(ask->'generations');
  person "User";
  going int;
  has_twins boolean;
  allowance int;
  waiting text[];
BEGIN
  -- Equal pictures that wait or are drawn can't end before those that wait for them are there.
  PERFORM 1 FROM "Generation" WHERE key = ANY(ARRAY(SELECT g->>'key' FROM jsonb_array_elements(ask->'generations') g))
    AND state IN ('queued', 'running') AND "twinId" IS NULL ORDER BY id FOR SHARE;
  has_twins := FOUND;

  SELECT * INTO person FROM "User" WHERE id = me FOR NO KEY UPDATE;
  IF NOT FOUND OR person.locale <> ask->>'locale' THEN
    INSERT INTO "User" (id, locale) VALUES (me, ask->>'locale')
      ON CONFLICT (id) DO UPDATE SET locale = excluded.locale RETURNING * INTO person;
  END IF;
  IF person."blockedUntil" > now() THEN
    RETURN jsonb_build_object('refused', 'blocked_until', 'until', person."blockedUntil");
  END IF;

  -- One interaction delivered twice: the second waited for the person's row above.
  SELECT * INTO before FROM "Batch" WHERE "interactionId" = ask->'batch'->>'interactionId' AND ask->>'plannedId' IS NULL;
  IF FOUND THEN RETURN jsonb_build_object('id', before.id, 'charged', before.charged, 'waiting', '[]'::jsonb, 'again', true); END IF;

  SELECT count(*) INTO going FROM "Generation" WHERE "userId" = me AND "endedAt" IS NULL;
  IF going + wanted > (ask->>'waitingMax')::int THEN
    RETURN jsonb_build_object('refused', 'waiting_limit', 'waiting', going);
  END IF;

  IF jsonb_array_length(ask->'faceFolderIds') > 0
      AND (SELECT count(DISTINCT "folderId") FROM (SELECT "folderId" FROM "FacePhoto" WHERE state = 'accepted'
        AND "folderId" = ANY(ARRAY(SELECT jsonb_array_elements_text(ask->'faceFolderIds'))) FOR SHARE) usable)
        < jsonb_array_length(ask->'faceFolderIds') THEN
    RETURN jsonb_build_object('refused', 'gone');
  END IF;

  -- What was drawn before, with the weights that workers have now, is free.
  -- Key by key: Postgres knows not how few they are, and would rather read all pictures there are.
  drawn := ARRAY(SELECT i.key FROM jsonb_array_elements(ask->'generations') g, LATERAL (SELECT i.key FROM "Image" i
    WHERE i.key = g->>'key' AND i."bundleHash" = bundle_hash(g->>'bundle') AND i."deletedAt" IS NULL AND i.verdict = 'clear' LIMIT 1) i);
  SELECT coalesce(sum((g->>'price')::int), 0) INTO price FROM jsonb_array_elements(ask->'generations') g
    WHERE g->>'key' <> ALL(drawn);
  -- A picture that was free when the plan was shown may be gone since, and what others take may have been measured again.
  IF price > (ask->>'atMost')::int THEN
    RETURN jsonb_build_object('refused', 'plan_price', 'price', price, 'shown', (ask->>'atMost')::int);
  END IF;

  -- Tokens of a new person, and of a new day.
  IF NOT EXISTS (SELECT 1 FROM "TokenEntry" WHERE "userId" = me AND once = 'welcome') THEN
    INSERT INTO "TokenEntry" (id, "userId", amount, reason, once)
      VALUES (gen_random_uuid(), me, (ask->'grants'->>'welcome')::int, 'grant', 'welcome') ON CONFLICT DO NOTHING;
    SELECT tokens INTO person.tokens FROM "User" WHERE id = me;
  END IF;
  allowance := least((ask->'grants'->>'daily')::int, (ask->'grants'->>'max')::int - person.tokens);
  IF allowance > 0 THEN
    INSERT INTO "TokenEntry" (id, "userId", amount, reason, once)
      VALUES (gen_random_uuid(), me, allowance, 'grant', 'day:' || (ask->>'day')) ON CONFLICT DO NOTHING;
    SELECT tokens INTO person.tokens FROM "User" WHERE id = me;
  END IF;
  IF person.tokens < price THEN
    RETURN jsonb_build_object('refused', 'tokens_short', 'balance', person.tokens, 'price', price);
  END IF;

  IF ask->>'plannedId' IS NOT NULL THEN
    UPDATE "Batch" SET state = 'open', config = ask->'batch'->'config', charged = price, "openedAt" = now(),
        traceparent = ask->'batch'->>'traceparent'
      WHERE id = opened AND state = 'planned' AND "planHash" = ask->>'planHash';
    IF NOT FOUND THEN RETURN jsonb_build_object('refused', 'plan_changed'); END IF;
  END IF;

  -- All that is written, at once. Flows as in `join_flows`.
  WITH batch AS (
    INSERT INTO "Batch" (id, kind, state, "ownerId", "guildId", "channelId", "interactionId", "botInside", tier, production,
        "ageRestricted", title, locale, config, charged, "openedAt", traceparent)
      SELECT b.id, b.kind, 'open', me, b."guildId", b."channelId", b."interactionId", b."botInside", b.tier, b.production,
        coalesce(b."ageRestricted", false), b.title, b.locale, b.config, price, now(), b.traceparent
      FROM jsonb_to_record(ask->'batch') AS b(id text, kind "BatchKind", "guildId" text, "channelId" text, "interactionId" text,
        "botInside" boolean, tier text, production boolean, "ageRestricted" boolean, title text, locale text, config jsonb, traceparent text)
      WHERE ask->>'plannedId' IS NULL),
  charge AS (
    INSERT INTO "TokenEntry" (id, "userId", amount, reason, "batchId", once)
      SELECT gen_random_uuid(), me, -price, 'charge', opened, 'charge:' || opened WHERE price > 0),
  generations AS (
    INSERT INTO "Generation" (id, "batchId", index, "userId", tier, bundle, prompt, parameters, seed, width, height, steps, "costMs",
        loras, shape, "faceFolderId", "faceId", "ideaId", coordinates, key, price, "twinId")
      SELECT g.id, opened, g.index, me, ask->'batch'->>'tier', g.bundle, g.prompt, g.parameters, g.seed, g.width, g.height, g.steps,
        g."costMs", g.loras, g.shape, g."faceFolderId", g."faceFolderId", g."ideaId", g.coordinates, g.key,
        CASE WHEN g.key = ANY(drawn) THEN 0 ELSE g.price END,
        CASE WHEN has_twins THEN (SELECT twin.id FROM "Generation" twin WHERE twin.key = g.key AND twin.state IN ('queued', 'running')
          AND twin."twinId" IS NULL ORDER BY twin.id LIMIT 1) END
      FROM jsonb_to_recordset(ask->'generations') AS g(id text, index int, bundle text, prompt text, parameters jsonb, seed bigint,
        width int, height int, steps int, "costMs" float8, loras text, shape text, "faceFolderId" text, "ideaId" text,
        coordinates jsonb, key text, price int)
      RETURNING id, index, bundle, tier, loras, coalesce("faceId", '') AS "faceId", "costMs", "twinId"),
  flows AS (
    INSERT INTO "Flow" AS f (bundle, tier, "userId", loras, "faceId", waiting, "waitingMs", "givenMs", since)
      SELECT c.bundle, c.tier, me, c.loras, c."faceId", c.count, c.ms, coalesce(own.given, 0), coalesce(own.since, now())
      FROM (SELECT bundle, tier, loras, "faceId", count(*)::int AS count, sum("costMs") AS ms
          FROM generations WHERE "twinId" IS NULL GROUP BY 1, 2, 3, 4 ORDER BY 1, 2, 3, 4) c,
        LATERAL (SELECT max("givenMs") AS given, min(since) FILTER (WHERE o.waiting > 0) AS since FROM "Flow" o
          WHERE o.bundle = c.bundle AND o.tier = c.tier AND o."userId" = me) own
      ON CONFLICT (bundle, tier, "userId", loras, "faceId") DO UPDATE SET
        waiting = f.waiting + excluded.waiting, "waitingMs" = f."waitingMs" + excluded."waitingMs",
        since = CASE WHEN f.waiting > 0 THEN f.since ELSE excluded.since END),
  deliveries AS (
    INSERT INTO "Delivery" (id, kind, "batchId", "userId", "guildId", "channelId", nonce, token, "tokenExpiresAt")
      SELECT d.id, d.kind, opened, me, ask->'batch'->>'guildId', d."channelId", d.nonce, d.token, d."tokenExpiresAt"
      FROM jsonb_to_recordset(ask->'deliveries') AS d(id text, kind "DeliveryKind", "channelId" text, nonce text, token text,
        "tokenExpiresAt" timestamptz))
  SELECT array_agg(id ORDER BY index) FILTER (WHERE "twinId" IS NULL) INTO waiting FROM generations;
  RETURN jsonb_build_object('id', opened, 'charged', price, 'waiting', to_jsonb(coalesce(waiting, '{}')));
END $$;
