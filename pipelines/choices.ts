/** What a request chooses from by name. Named here once: config/parameters.yaml refers to these lists, and each has its code beside its use. */

/** see `schedulers.ts` */
export const schedulerNames = [
  'ddim',
  'euler',
  'euler_a',
  'dpmpp_2m',
  'dpmpp_2m_karras',
  'unipc',
  'lcm',
] as const;
export type SchedulerName = (typeof schedulerNames)[number];

/** `ays`: Align Your Steps, log-linear between its 11 noise levels. The others are diffusers' `timestep_spacing`. */
export const spacings = ['ays', 'leading', 'trailing', 'linspace'] as const;
export type Spacing = (typeof spacings)[number];

/** What the last fifth of the steps follow alone, see `sdxl/denoise.ts`. */
export const guidanceCutoffs = ['conditional', 'unconditional', 'none'] as const;
export type GuidanceCutoff = (typeof guidanceCutoffs)[number];

/** The word for a person that stands before the trigger word, see `photomaker/photomaker.ts`. */
export const genders = ['auto', 'man', 'woman', 'person', 'none'] as const;
export type GenderChoice = (typeof genders)[number];
