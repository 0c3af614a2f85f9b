-- A watermark has the last nine digits of the generation's id: by them its picture is found.
CREATE INDEX CONCURRENTLY "Image_mark_idx" ON "Image" (right("generationId", 9));
