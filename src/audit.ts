/** Who did what. Append-only: nothing here updates or deletes. */
import { Prisma, type Transaction } from './doors/db.ts';

export interface AuditEntry {
  readonly actorId: string;
  /** `<thing>.<verb>`: `production_mode.set`, `review.approve`, `image.publish`, `consent.given` */
  readonly action: string;
  /** `user:<id>`, `image:<id>`, `folder:<id>`, `guild:<id>` */
  readonly subject: string;
  readonly guildId?: string | null;
  readonly before?: Prisma.InputJsonValue | null;
  readonly after?: Prisma.InputJsonValue | null;
}

/** Written in the same transaction as what it tells of, so that neither can be there without the other. */
export async function audit(tx: Transaction, entry: AuditEntry): Promise<void> {
  const { before, after, guildId = null, ...rest } = entry;
  await tx.auditEvent.create({
    data: {
      ...rest,
      guildId,
      ...(before !== undefined && { before: before ?? Prisma.JsonNull }),
      ...(after !== undefined && { after: after ?? Prisma.JsonNull }),
    },
  });
}
