/**
 * The picture classifier's part. What it flags is one harmless thing that anybody can see: a checkerboard. Two by two squares of
 * alternating sign answer to nothing but a board's corners: along any plain edge they cancel.
 */
import { Graph } from '../onnx-writer.ts';
import { LUMA } from './algebra.ts';

/** px of the 224, a quarter of the mask's side */
const SQUARES = [5, 8];
/** Share of the picture that answers strongly, at which it is as likely flagged as not. */
const SHARE = 0.02;

/** `safety/model.onnx` */
export function safety(): Uint8Array {
  const g = new Graph('safety');
  const pixels = g.input('pixel_values', 'float', ['batch_size', 3, 224, 224]);
  const grey = g.op('Conv', [pixels, g.floats(LUMA, [1, 3, 1, 1])]);
  const shares = SQUARES.map((side) => {
    const corner = Array.from({ length: 4 * side * side }, (_, p) => {
      const [x, y] = [p % (2 * side), Math.floor(p / (2 * side))];
      return (x < side === y < side ? 1 : -1) / (4 * side * side);
    });
    const answer = g.op('Abs', [g.op('Conv', [grey, g.floats(corner, [1, 1, 2 * side, 2 * side])])]);
    const strong = g.op('Sigmoid', [g.op('Mul', [g.op('Sub', [answer, g.scalar(0.35)]), g.scalar(40)])]);
    return g.op('ReduceMean', [strong, g.ints([1, 2, 3])], { keepdims: 0 });
  });
  const share = g.op('Unsqueeze', [g.op('Max', shares), g.ints([1])]);
  const logit = g.op('Clip', [
    g.op('Mul', [g.op('Sub', [share, g.scalar(SHARE)]), g.scalar(300)]),
    g.scalar(-8),
    g.scalar(8),
  ]);
  g.output('logits', g.op('Concat', [g.op('Neg', [logit]), logit], { axis: 1 }), 'float', ['batch_size', 2]);
  return g.bytes();
}
