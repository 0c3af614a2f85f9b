/** Misbehaviour that is in force. */
import type { Misbehaviour } from './protocol.ts';

export class Troubles {
  answerAfterMs = 0;
  deliverAfterMs = 0;
  refuseDms = false;
  #rateLimit: { next: number; retryAfterS: number; global: boolean; route: string } | null = null;
  #serverError: { next: number; when: 'before' | 'after'; status: number; route: string } | null = null;

  set({ answerAfterMs, deliverAfterMs, refuseDms, rateLimit, serverError }: Misbehaviour): void {
    this.answerAfterMs = answerAfterMs ?? this.answerAfterMs;
    this.deliverAfterMs = deliverAfterMs ?? this.deliverAfterMs;
    this.refuseDms = refuseDms ?? this.refuseDms;
    if (rateLimit !== undefined) {
      this.#rateLimit = rateLimit && { retryAfterS: 1, global: false, route: '', ...rateLimit };
    }
    if (serverError !== undefined)
      this.#serverError = serverError && { status: 500, route: '', ...serverError };
  }

  get inForce(): Misbehaviour {
    const { answerAfterMs, deliverAfterMs, refuseDms } = this;
    return {
      answerAfterMs,
      deliverAfterMs,
      refuseDms,
      rateLimit: this.#rateLimit,
      serverError: this.#serverError as NonNullable<Misbehaviour['serverError']> | null,
    };
  }

  /** The 429 that this request meets, if one was asked for. */
  takeRateLimit(route: string): { retryAfterS: number; global: boolean } | null {
    const limit = this.#rateLimit;
    if (!limit || limit.next <= 0 || !route.includes(limit.route)) return null;
    limit.next--;
    return limit;
  }

  /** The status that this request meets, if a server error of this kind was asked for. */
  takeServerError(route: string, when: 'before' | 'after'): number | null {
    const fault = this.#serverError;
    if (!fault || fault.when !== when || fault.next <= 0 || !route.includes(fault.route)) return null;
    fault.next--;
    return fault.status;
  }
}
