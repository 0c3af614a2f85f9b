/** A classifier that never ends with a bright picture, and says that all others are normal; in native code, where nothing interrupts it. */
import { Graph } from '#pipelines/onnx-writer.ts';

/** Mean of what it is fed, −1…1, above which it hangs. */
const BRIGHT = 0.95;
/** Some weeks. */
const ENDLESS = 2 ** 50;

export function hangingClassifier(side = 224): Uint8Array {
  const g = new Graph('hanging');
  const pixels = g.input('pixel_values', 'float', ['batch_size', 3, side, side]);
  const mean = g.op('ReduceMean', [pixels, g.ints([0, 1, 2, 3])], { keepdims: 0 });
  const isBright = g.op('Cast', [g.op('Greater', [mean, g.scalar(BRIGHT)])], { to: 7 });
  const times = g.op('Add', [g.op('Mul', [isBright, g.ints([ENDLESS], [])]), g.ints([1], [])]);

  const body = new Graph('body');
  body.input('i', 'int64', []);
  const goOn = body.input('goOn', 'bool', []);
  const sum = body.input('sum', 'float', []);
  body.output('stillOn', goOn, 'bool', []);
  body.output('next', body.op('Cos', [sum]), 'float', []);

  const looped = g.op('Loop', [times, '', mean], { body: { graph: body } });
  const none = g.op('Mul', [looped, g.scalar(0)]);
  g.output('scores', g.op('Add', [none, g.floats([4, -4], [1, 2])]), 'float', ['batch_size', 2]);
  return g.bytes();
}
