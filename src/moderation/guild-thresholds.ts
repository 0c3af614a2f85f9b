import { db } from '#src/doors/db.ts';
import { GuildThresholds } from './verdicts.ts';

/** From which scores on a guild wants pictures held that the platform would not hold. @param id null: no guild */
export async function thresholdsIn(id: string | null): Promise<GuildThresholds> {
  const settings = id
    ? await db.guildSettings.findUnique({ where: { id }, select: { thresholds: true } })
    : null;
  return settings ? GuildThresholds.parse(settings.thresholds) : {};
}
