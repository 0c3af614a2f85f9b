/** Which LoRAs a picture is drawn with, as people write it: `film`, `film:0.6`, `film:0.6, ink`. */

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
 * @throws  {RangeError} saying what is wrong with which
 */
export function parseLoras(text: string): LoraChoice[] {
  const choices: LoraChoice[] = [];
  for (const part of text.split(',').map((one) => one.trim())) {
    if (!part) continue;
    const [name = '', number = '1', ...more] = part.split(':').map((one) => one.trim());
    const scale = Number(number);
    if (more.length || !LORA_NAME.test(name))
      throw new RangeError(`${JSON.stringify(part)} is no LoRA: write its name, or name:scale, as film:0.8`);
    if (number === '' || !Number.isFinite(scale) || Math.abs(scale) > SCALE_MAX)
      throw new RangeError(`the scale of ${name} is from −${SCALE_MAX} to ${SCALE_MAX}, as film:0.8`);
    if (choices.some((one) => one.name === name)) throw new RangeError(`${name} is named twice`);
    choices.push({ name, scale });
  }
  if (choices.length > MOST) throw new RangeError(`at most ${MOST} LoRAs at once`);
  return choices.filter(({ scale }) => scale !== 0).sort((a, b) => (a.name < b.name ? -1 : 1));
}

/** As people write it: equal choices are equal texts. */
export function sayLoras(choices: readonly LoraChoice[]): string {
  return choices.map(({ name, scale }) => (scale === 1 ? name : `${name}:${scale}`)).join(', ');
}
