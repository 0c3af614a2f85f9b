-- Ends a generation with a picture that is clear: its rows, what it means for those that wait for it, for its batch and for the
-- messages that show it. Called by src/batches/ending.ts, which says what `done` has and what else can end a generation.
CREATE OR REPLACE FUNCTION finish_generation(done jsonb) RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE
  g "Generation";
  b "Batch";
  kept jsonb;
  late boolean;
  released text[];
  woken text[];
BEGIN
  IF (SELECT count(*) FROM (SELECT 1 FROM "FacePhoto" WHERE state = 'accepted'
      AND id = ANY(ARRAY(SELECT jsonb_array_elements_text(done->'photoIds'))) FOR SHARE) usable)
      < jsonb_array_length(done->'photoIds') THEN
    RETURN jsonb_build_object('refused', 'consent_withdrawn');
  END IF;
  -- Reported or deleted since it was read: drawn anew instead.
  IF done->>'copiedFrom' IS NOT NULL THEN
    PERFORM 1 FROM "Image" WHERE id = done->>'copiedFrom' AND "deletedAt" IS NULL AND verdict = 'clear' FOR SHARE;
    IF NOT FOUND THEN RETURN NULL; END IF;
  END IF;

  UPDATE "Generation" SET state = 'done', "endedAt" = now(), progress = 1, "bundleHash" = done->>'bundleHash',
      timings = done->'timings', reused = done->>'copiedFrom' IS NOT NULL
    WHERE id = done->>'id' AND state = 'running' AND "workerId" = done->>'workerId' RETURNING * INTO g;
  IF NOT FOUND THEN RETURN NULL; END IF;
  INSERT INTO "Image" (id, "generationId", key, "bundleHash", "storageKey", sha256, width, height, bytes, thumbhash, verdict, scores, rule,
      judged, likeness)
    SELECT i.id, g.id, i.key, g."bundleHash", i."storageKey", i.sha256, i.width, i.height, i.bytes, decode(i.thumbhash, 'base64'), 'clear',
      i.scores, i.rule, coalesce(i.judged, '{}'), i.likeness
    FROM jsonb_to_record(done->'image') AS i(id text, key text, "storageKey" text, sha256 text, width int, height int, bytes int,
      thumbhash text, scores jsonb, rule text, judged jsonb, likeness float8);
  -- What it took of the GPU, beside what its person was charged when it was taken. The next turn counts it in.
  IF (done->>'gpuMs')::float8 <> g."costMs" THEN
    INSERT INTO "Correction" (bundle, tier, "userId", ms)
      VALUES (g.bundle, g.tier, g."userId", (done->>'gpuMs')::float8 - g."costMs");
  END IF;
  -- A copied picture is free: what was paid for it comes back.
  IF g.reused AND g.price > 0 THEN
    INSERT INTO "TokenEntry" (id, "userId", amount, reason, "batchId", "generationId", once)
      VALUES (gen_random_uuid(), g."userId", g.price, 'refund', g."batchId", g.id, 'refund:' || g.id) ON CONFLICT DO NOTHING;
  END IF;

  -- What waited for it is in the backlog from now on.
  WITH freed AS (UPDATE "Generation" SET "twinId" = NULL WHERE "twinId" = g.id AND state = 'queued' RETURNING id)
  SELECT array_agg(id) INTO released FROM freed;
  IF released IS NOT NULL THEN PERFORM join_flows(released); END IF;

  -- Two that end together see each other by the batch's lock.
  SELECT * INTO b FROM "Batch" WHERE id = g."batchId" FOR UPDATE;
  IF b."endedAt" IS NULL AND NOT EXISTS (SELECT 1 FROM "Generation" WHERE "batchId" = b.id AND "endedAt" IS NULL) THEN
    UPDATE "Batch" SET "endedAt" = now(), state = CASE WHEN state = 'open' THEN 'finished' ELSE state END WHERE id = b.id;
    -- Its pictures and its manifest, where they have messages of their own; and a note to whoever has waited for long.
    late := b.state = 'open' AND now() - b."openedAt" > (done->>'noteAfterS')::float8 * interval '1 second';
    IF b.kind <> 'imagine' OR late THEN
      INSERT INTO "Delivery" (id, kind, "batchId", "userId", "guildId", "channelId", nonce, token, "tokenExpiresAt")
        SELECT d.id, d.kind, b.id, b."ownerId", b."guildId", CASE WHEN d.kind = 'notice' THEN shown."channelId" END, d.nonce, shown.token,
          shown."tokenExpiresAt"
        FROM jsonb_to_recordset(done->'deliveries') AS d(id text, kind "DeliveryKind", nonce text)
        LEFT JOIN LATERAL (SELECT id, "channelId", token, "tokenExpiresAt" FROM "Delivery" WHERE "batchId" = b.id AND state = 'active'
          AND kind = CASE WHEN b.kind = 'imagine' THEN 'card' ELSE 'status' END::"DeliveryKind" LIMIT 1) shown ON true
        WHERE CASE WHEN d.kind = 'notice' THEN late AND shown.id IS NOT NULL ELSE b.kind <> 'imagine' END;
    END IF;
    b."endedAt" := now();
    -- What people were told first, and what it took, ms; one that was stopped was not meant.
    IF b.state = 'open' AND b."promisedAt" > b."openedAt" THEN
      kept := jsonb_build_object('toldMs', extract(epoch FROM b."promisedAt" - b."openedAt") * 1000,
        'tookMs', extract(epoch FROM now() - b."openedAt") * 1000);
    END IF;
  END IF;
  -- A card shows its finished picture at once, unless the courier has it with an attempt in hand.
  WITH changed AS (
    UPDATE "Delivery" SET wanted = wanted + 1,
      "notBefore" = CASE WHEN b."endedAt" IS NOT NULL AND b.kind = 'imagine' AND kind = 'card' AND attempts = 0 THEN now() ELSE "notBefore" END
    WHERE "batchId" = b.id AND state = 'active' RETURNING id)
  SELECT array_agg(id) INTO woken FROM changed;
  RETURN jsonb_build_object('deliveries', to_jsonb(coalesce(woken, '{}')), 'waiting',
    to_jsonb(coalesce(released, '{}')), 'refunded', CASE WHEN g.reused THEN g.price ELSE 0 END, 'kept', kept);
END $$;
