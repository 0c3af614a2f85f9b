/**
 * Which file of rules counts in this process, and which only looks on. Told by rule-sets.ts; until it is, and in threads, safety.yaml counts.
 * Apart from what is made of the rules, which takes 14 MB: whoever only judges pictures is spared them.
 */
import { nextSafety, type SafetyFile, safety } from '#config/safety.ts';

/** What staff said of config/safety.next.yaml. */
export type Standing = 'shadow' | 'inForce' | 'dropped';
let standing: Standing = 'shadow';

export function setStanding(now: Standing): void {
  standing = now;
}

export const fileInForce = (): SafetyFile => (standing === 'inForce' && nextSafety) || safety;
/** null: there is none, or nobody asks it */
export const fileLookingOn = (): SafetyFile | null => (standing === 'shadow' ? nextSafety : null);
