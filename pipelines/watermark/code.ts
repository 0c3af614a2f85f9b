/**
 * The error-correcting code of the watermark: 64 bits become 448, and come back from what noise has left of these.
 *
 * Source: a convolutional code of 9 bits' memory and rate 1/7, tail-biting: it ends in the state that it began in, so that no bit
 * is worse protected than another. Its generators are the best ones of rate 1/4 and of rate 1/3 side by side (Larsen 1973;
 * Lin & Costello, Error Control Coding, table 12.1). Decoding: Viterbi 1967, going round until the state is settled.
 */
export const BYTES = 8;
const BITS = BYTES * 8;
const MEMORY = 8;
const STATES = 1 << MEMORY;
const GENERATORS = [0o463, 0o535, 0o733, 0o745, 0o557, 0o663, 0o711] as const;
const RATE = GENERATORS.length;
/** Of a codeword. */
export const CODE_BITS = BITS * RATE;

/** What a register of 9 bits says: [2 · STATES], a bit a generator. */
const says = Uint8Array.from({ length: 2 * STATES }, (_, register) => {
  let out = 0;
  for (const [g, generator] of GENERATORS.entries()) out |= parity(register & generator) << g;
  return out;
});

function parity(word: number): number {
  let odd = 0;
  for (let rest = word; rest; rest >>= 1) odd ^= rest & 1;
  return odd;
}

const bitOf = (bytes: Uint8Array, index: number) => (bytes[index >> 3]! >> (7 - (index & 7))) & 1;

/** @param bytes [8]; @returns [448] of −1 and 1 */
export function encode(bytes: Uint8Array): Int8Array {
  const out = new Int8Array(CODE_BITS);
  // The bits before the first one are the last ones.
  let register = 0;
  for (let i = BITS - MEMORY; i < BITS; i++) register = (register << 1) | bitOf(bytes, i);
  for (let i = 0; i < BITS; i++) {
    register = ((register << 1) | bitOf(bytes, i)) & (2 * STATES - 1);
    for (let g = 0; g < RATE; g++) out[i * RATE + g] = (says[register]! >> g) & 1 ? 1 : -1;
  }
  return out;
}

/**
 * How often the bits are gone round. The first round finds the state to begin in, the last one what comes of those at the end: what is
 * read in between is as sure at its ends as in its middle. Read from the last round, one mark in ten was wrong that is not now.
 */
const ROUNDS = 3;

/** The bytes whose codeword is most like what was received. @param soft [448], of any scale; 0 says nothing */
export function decode(soft: Float64Array): Uint8Array {
  let scores = new Float64Array(STATES);
  let next = new Float64Array(STATES);
  const from = Array.from({ length: BITS * ROUNDS }, () => new Uint8Array(STATES));
  const gains = new Float64Array(1 << RATE);
  for (const [step, came] of from.entries()) {
    const i = step % BITS;
    for (let g = 0, known = 1; g < RATE; g++, known *= 2) {
      const value = soft[i * RATE + g]!;
      for (let word = 0; word < known; word++) {
        const gain = g ? gains[word]! : 0;
        gains[word + known] = gain + value;
        gains[word] = gain - value;
      }
    }
    for (let state = 0; state < STATES; state++) {
      // Two states lead here: they differ in the bit that leaves.
      const low = state >> 1;
      const high = low | (STATES >> 1);
      const a = scores[low]! + gains[says[state]!]!;
      const b = scores[high]! + gains[says[state | STATES]!]!;
      const isHigh = b > a;
      next[state] = isHigh ? b : a;
      came[state] = isHigh ? 1 : 0;
    }
    [scores, next] = [next, scores];
  }
  let state = 0;
  for (let other = 1; other < STATES; other++) if (scores[other]! > scores[state]!) state = other;
  const bytes = new Uint8Array(BYTES);
  for (let step = BITS * ROUNDS - 1; step >= BITS; step--) {
    const i = step % BITS;
    if (step < 2 * BITS) bytes[i >> 3]! |= (state & 1) << (7 - (i & 7));
    state = (state >> 1) | (from[step]![state]! ? STATES >> 1 : 0);
  }
  return bytes;
}
