/**
 * LoRAs into weights: W' = W + Σ scale · alpha / rank · up · down.
 *
 * Source: Hu et al. 2021 (arXiv:2106.09685) eq. 3; of convolutions kohya-ss/sd-scripts@48d368f `networks/lora.py`:
 * Δ[o, i, y, x] = Σᵣ up[o, r] · down[r, i, y, x], which is the same product with a kernel's numbers as further columns.
 * Checked by: test/golden-runs/lora.ts.
 */
import { elementCount } from '../tensor.ts';
import type { LoraPart, LoraTarget } from './file.ts';
import type { Modules, ModuleWeight } from './modules.ts';

/** One LoRA and how much of it. */
export interface LoraShare {
  /** for messages */
  readonly name: string;
  readonly parts: readonly LoraPart[];
  /** 1 is as it was trained */
  readonly scale: number;
}

/** What is added to one weight. */
export interface WeightChange {
  readonly weight: ModuleWeight;
  readonly parts: readonly { readonly part: LoraPart; readonly scale: number }[];
}

/**
 * Changes of one network's weights, each weight once, whatever number of LoRAs and modules share it.
 *
 * @throws {RangeError} naming modules that the network has not, or whose shapes do not fit
 */
export function changesOf(target: LoraTarget, modules: Modules, loras: readonly LoraShare[]): WeightChange[] {
  const changes = new Map<string, WeightChange & { parts: { part: LoraPart; scale: number }[] }>();
  for (const { name, parts, scale } of loras) {
    const mine = parts.filter((part) => part.target === target);
    const strangers = mine.filter(({ module }) => !modules.has(module)).map(({ module }) => module);
    if (strangers.length) {
      const some = `${strangers.slice(0, 3).join(', ')}${strangers.length > 3 ? ', …' : ''}`;
      throw new RangeError(
        `LoRA ${name} is for another network: ${strangers.length} of its ${mine.length} modules are not in the ${target}: ${some}`,
      );
    }
    for (const part of mine) {
      const weight = modules.get(part.module)!;
      const misfit = misfitOf(part, weight);
      if (misfit) throw new RangeError(`LoRA ${name}: ${part.module} ${misfit}`);
      const change = changes.get(weight.tensor.name) ?? { weight, parts: [] };
      changes.set(weight.tensor.name, change);
      change.parts.push({ part, scale });
    }
  }
  return [...changes.values()];
}

function misfitOf({ down, up }: LoraPart, { tensor, transposed }: ModuleWeight): string | null {
  const [rows, columns] = [up.shape[0] ?? 0, elementCount(down.shape.slice(1))];
  const [first = 0, ...rest] = tensor.dims;
  const [wantedRows, wantedColumns] = transposed ? [elementCount(rest), first] : [first, elementCount(rest)];
  if (rows !== wantedRows || columns !== wantedColumns)
    return `changes ${rows} × ${columns} numbers, and the weight has ${wantedRows} × ${wantedColumns}`;
  if (!['float32', 'float16'].includes(tensor.type))
    return `is a weight of ${tensor.type}, which can't be merged into`;
  return null;
}

/** Adds a change to its weight's numbers, as they are stored. Sums are double, rounded once. */
export function applyChange(numbers: Float32Array, { weight, parts }: WeightChange): void {
  const { tensor, transposed } = weight;
  const rows = transposed ? numbers.length / (tensor.dims[0] ?? 1) : (tensor.dims[0] ?? 1);
  const columns = numbers.length / rows;
  const factors = parts.map(({ part, scale }) => ({
    up: part.up.floats(),
    down: part.down.floats(),
    rank: part.rank,
    scale: scale * part.scale,
  }));
  const sums = new Float64Array(columns);
  for (let row = 0; row < rows; row++) {
    sums.fill(0);
    for (const { up, down, rank, scale } of factors) {
      for (let r = 0; r < rank; r++) {
        const factor = scale * up[row * rank + r]!;
        const from = r * columns;
        for (let column = 0; column < columns; column++) sums[column]! += factor * down[from + column]!;
      }
    }
    if (transposed) {
      for (let column = 0, at = row; column < columns; column++, at += rows)
        numbers[at] = numbers[at]! + sums[column]!;
    } else {
      for (let column = 0, at = row * columns; column < columns; column++, at++)
        numbers[at] = numbers[at]! + sums[column]!;
    }
  }
}
