/** Misbehaviour that is in force. */
import type { Misbehaviour } from './protocol.ts';

/** Faults that meet so many requests, and are over then. */
const COUNTED = ['rateLimit', 'serverError', 'wall', 'refuseToken', 'slowUpload'] as const;
type Counted = (typeof COUNTED)[number];
type Fault<K extends Counted> = NonNullable<Misbehaviour[K]>;

export class Troubles {
  answerAfterMs = 0;
  deliverAfterMs = 0;
  /** bytes; 0: as Discord */
  fileMax = 0;
  deliverTwice = 0;
  refuseDms = false;
  readonly #counted: { [K in Counted]?: Fault<K> | null } = {};

  set(how: Misbehaviour): void {
    const { answerAfterMs, deliverAfterMs, deliverTwice, fileMax, refuseDms } = how;
    this.answerAfterMs = answerAfterMs ?? this.answerAfterMs;
    this.deliverAfterMs = deliverAfterMs ?? this.deliverAfterMs;
    this.deliverTwice = deliverTwice ?? this.deliverTwice;
    this.fileMax = fileMax ?? this.fileMax;
    this.refuseDms = refuseDms ?? this.refuseDms;
    for (const kind of COUNTED) {
      if (how[kind] !== undefined) Object.assign(this.#counted, { [kind]: how[kind] });
    }
  }

  get inForce(): Misbehaviour {
    const { answerAfterMs, deliverAfterMs, deliverTwice, fileMax, refuseDms } = this;
    return { answerAfterMs, deliverAfterMs, deliverTwice, fileMax, refuseDms, ...this.#counted };
  }

  /** How often the bot is given the next interaction. */
  takeDeliveries(): number {
    if (this.deliverTwice <= 0) return 1;
    this.deliverTwice--;
    return 2;
  }

  /** The fault that this request meets, if one was asked for; the next requests meet it once less. */
  take<K extends Counted>(kind: K, route: string): Fault<K> | null {
    const fault: (Fault<K> & { readonly route?: string }) | null | undefined = this.#counted[kind];
    if (!fault || fault.next <= 0 || !route.includes(fault.route ?? '')) return null;
    Object.assign(this.#counted, { [kind]: { ...fault, next: fault.next - 1 } });
    return fault;
  }

  /** The status that this request meets, if a server error was asked for before or after the work. */
  takeServerError(route: string, when: 'before' | 'after'): number | null {
    if (this.#counted.serverError?.when !== when) return null;
    const fault = this.take('serverError', route);
    return fault && (fault.status ?? 500);
  }
}
