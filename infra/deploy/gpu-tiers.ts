/**
 * The three tiers of GPUs that pictures are drawn on, in AWS's words: so many workers on the first, and of all others each tier gets its
 * part by weight.
 */
export interface GpuTier {
  readonly name: 'g6' | 'g5' | 'g4dn';
  readonly type: string;
  /** AWS may take a spot instance back, with two minutes' notice */
  readonly spot: boolean;
  /** workers that are placed here before weights count */
  readonly base: number;
  readonly weight: number;
}

export const gpuTiers: readonly GpuTier[] = [
  { name: 'g6', type: 'g6.xlarge', spot: false, base: 1, weight: 3 },
  { name: 'g5', type: 'g5.xlarge', spot: true, base: 0, weight: 2 },
  { name: 'g4dn', type: 'g4dn.xlarge', spot: true, base: 0, weight: 1 },
];
