/** Which LoRAs a picture is drawn with, as people write it: `film`, `film:0.6`, `film:0.6, ink`. */
import { UserError } from '#src/errors.ts';

export interface LoraChoice {
  readonly name: string;
  /** −4…4; 1 is as it was trained */
  readonly scale: number;
}

const MOST = 4;
const SCALE_MAX = 4;
export const LORA_NAME = /^[a-z0-9][a-z0-9_-]{0,39}$/u;

/**
 * @returns in the order of their names; those of scale 0 are left out
 * @throws  {UserError} `lora_form`, `lora_scale`, `lora_twice`, `lora_many`
 */
export function parseLoras(text: string): LoraChoice[] {
  const choices: LoraChoice[] = [];
  for (const part of text.split(',').map((one) => one.trim())) {
    if (!part) continue;
    const [name = '', number = '1', ...more] = part.split(':').map((one) => one.trim());
    const scale = Number(number);
    if (more.length || !LORA_NAME.test(name)) throw new UserError('lora_form', { part });
    if (number === '' || !Number.isFinite(scale) || Math.abs(scale) > SCALE_MAX)
      throw new UserError('lora_scale', { name, max: SCALE_MAX });
    if (choices.some((one) => one.name === name)) throw new UserError('lora_twice', { name });
    choices.push({ name, scale });
  }
  if (choices.length > MOST) throw new UserError('lora_many', { max: MOST });
  return choices.filter(({ scale }) => scale !== 0).sort((a, b) => (a.name < b.name ? -1 : 1));
}

/** As people write it: equal choices are equal texts. */
export function sayLoras(choices: readonly LoraChoice[]): string {
  return choices.map(({ name, scale }) => (scale === 1 ? name : `${name}:${scale}`)).join(', ');
}
