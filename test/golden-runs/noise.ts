/** What `torch.randn` and its kin draw. */
import type { GoldenRunner } from '../support/golden.ts';

export const noise: GoldenRunner = () => () => [];
