/** Who did what. Append-only: nothing here updates or deletes. */
import type { Prisma, Transaction } from './db.ts';

export interface AuditEntry {
  readonly actorId: string;
  /** `<thing>.<verb>`: `production_mode.set`, `review.approve`, `image.publish`, `consent.given` */
  readonly action: string;
  /** `user:<id>`, `image:<id>`, `folder:<id>`, `guild:<id>` */
  readonly subject: string;
  readonly guildId?: string | null;
  readonly before?: Prisma.InputJsonValue | undefined;
  readonly after?: Prisma.InputJsonValue | undefined;
}

/** Written in the transaction of what it tells of, so that neither can be there without the other. */
export async function audit(tx: Transaction, entry: AuditEntry): Promise<void> {
  const { before, after, guildId = null, ...rest } = entry;
  await tx.auditEvent.create({
    data: {
      ...rest,
      guildId,
      ...(before !== undefined && { before }),
      ...(after !== undefined && { after }),
    },
  });
}
