/** Looks at Prometheus' alerts all the time, and remembers when each fired and for how long. */
import { setTimeout as sleep } from 'node:timers/promises';
import type { Prometheus } from './prometheus.ts';

const LOOK_EVERY_MS = 500;
const SEEN_WITHIN_MS = 100_000;

type Labels = Readonly<Record<string, string>>;

/** An alert that fired once. Times are ms since the epoch. */
export interface Firing {
  readonly alert: string;
  readonly labels: Labels;
  readonly firedAt: number;
  /** null: it fires */
  readonly endedAt: number | null;
}

export interface Observer {
  /** what fires now, or will if it goes on, as `Name label=value` */
  active(): readonly string[];
  /** Waits until it fires anew; null: it does not. @param since ms since the epoch */
  see(since: number, alert: string, labels?: Labels): Promise<Firing | null>;
  /** everything that ever fired */
  all(): readonly Firing[];
  stop(): Promise<void>;
}

/** @param until nobody waits for an alert for longer, ms since the epoch */
export function observe(prometheus: Prometheus, until: number): Observer {
  const all: { -readonly [K in keyof Firing]: Firing[K] }[] = [];
  /** an alert's labels, as JSON → it */
  const firing = new Map<string, (typeof all)[number]>();
  let active: readonly string[] = [];
  const stopping = new AbortController();

  async function look(): Promise<void> {
    const found = await prometheus.alerts().catch(() => null);
    if (!found) return;
    const now = Date.now();
    const told = found.map(({ labels: { alertname = '', severity: _, ...labels }, state }) => ({
      ...{ alert: alertname, labels, state },
      key: JSON.stringify([alertname, labels]),
    }));
    active = told.map(nameOf);
    const still = told.filter(({ state }) => state === 'firing');
    for (const { key, alert, labels } of still) {
      if (firing.has(key)) continue;
      const one = { alert, labels, firedAt: now, endedAt: null };
      all.push(one);
      firing.set(key, one);
    }
    for (const [key, one] of firing) {
      if (still.some((other) => other.key === key)) continue;
      one.endedAt = now;
      firing.delete(key);
    }
  }
  const looking = (async () => {
    while (!stopping.signal.aborted) {
      await look();
      await sleep(LOOK_EVERY_MS, undefined, { signal: stopping.signal }).catch(() => {});
    }
  })();

  return {
    active: () => active,
    all: () => all,
    async see(since, alert, labels = {}) {
      const isIt = (one: Firing) =>
        one.alert === alert &&
        one.firedAt >= since &&
        Object.entries(labels).every(([name, value]) => one.labels[name] === value);
      const deadline = Math.min(until, Date.now() + SEEN_WITHIN_MS);
      for (; Date.now() < deadline; await sleep(200)) {
        const found = all.find(isIt);
        if (found) return found;
      }
      return null;
    },
    async stop() {
      stopping.abort();
      await looking;
    },
  };
}

export function nameOf({ alert, labels }: Pick<Firing, 'alert' | 'labels'>): string {
  return [alert, ...Object.entries(labels).map(([name, value]) => `${name}=${value}`)].join(' ');
}
