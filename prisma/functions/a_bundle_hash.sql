-- The hash of the weights that workers draw with now, or drew with last. null: none was ever seen to have loaded the bundle.
CREATE OR REPLACE FUNCTION bundle_hash(name text) RETURNS text LANGUAGE sql STABLE AS $$
  SELECT coalesce(w.bundles->name->>'hash', w."bundleHash") FROM "Worker" w
  WHERE w.bundles->name->>'hash' IS NOT NULL OR (w.bundle = name AND NOT jsonb_exists(w.bundles, name))
  ORDER BY w."seenAt" DESC LIMIT 1
$$;
