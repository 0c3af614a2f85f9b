import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { type ByteSource, readOnnx } from '#pipelines/onnx-reader.ts';
import { Graph } from '#pipelines/onnx-writer.ts';
import { goldenDir } from '../support/golden.ts';

/** Bytes as a file, with a count of what was read of them. */
function source(bytes: Uint8Array): ByteSource & { readBytes(): number } {
  let count = 0;
  return {
    size: bytes.length,
    read(at, length) {
      count += length;
      return bytes.subarray(at, at + length);
    },
    readBytes: () => count,
  };
}

describe('an ONNX file', () => {
  it('of torch tells its inputs, outputs, nodes and weights', () => {
    const file = readFileSync(`${goldenDir('sdxl-tiny')}/unet/model.onnx`);
    const { producer, opset, inputs, outputs, nodes, initializers } = readOnnx(source(file));
    expect({ producer, opset }).toEqual({ producer: 'pytorch', opset: 18 });
    expect(inputs).toEqual([
      { name: 'sample', type: 'float32', shape: ['batch_size', 4, 'height', 'width'] },
      { name: 'timestep', type: 'float32', shape: [] },
      { name: 'encoder_hidden_states', type: 'float32', shape: ['batch_size', 'sequence_length', 80] },
      { name: 'text_embeds', type: 'float32', shape: ['batch_size', 40] },
      { name: 'time_ids', type: 'float32', shape: ['batch_size', 6] },
    ]);
    expect(outputs).toEqual([
      { name: 'out_sample', type: 'float32', shape: ['batch_size', 4, 'height', 'width'] },
    ]);
    const first = nodes.find(({ op }) => op === 'Conv')!;
    expect(first).toMatchObject({ name: '/conv_in/Conv', attributes: { kernel_shape: [3, 3], group: 1 } });
    const weight = initializers.find(({ name }) => name === first.inputs[1])!;
    expect(weight).toMatchObject({ dims: [16, 4, 3, 3], type: 'float32', bytes: 16 * 4 * 9 * 4 });
  });

  it('says where its numbers are', () => {
    const graph = new Graph('three');
    const y = graph.op('Add', [graph.input('x', 'float', [3]), graph.floats([1, 2.5, -3], [3])]);
    graph.output('y', y, 'float', [3]);
    const bytes = graph.bytes();
    const [three] = readOnnx(source(bytes)).initializers;
    if (three?.data.kind !== 'inside') throw new Error('they are in the file');
    const numbers = bytes.slice(three.data.at, three.data.at + three.bytes);
    expect([...new Float32Array(numbers.buffer)]).toEqual([1, 2.5, -3]);
  });

  it('is not read where its weights are', () => {
    const graph = new Graph('large');
    const x = graph.input('x', 'float', ['n', 1000]);
    graph.output('y', graph.op('MatMul', [x, graph.floats(new Float32Array(1e6), [1000, 1000])]), 'float', [
      'n',
      1000,
    ]);
    const file = source(graph.bytes());
    expect(file.size).toBeGreaterThan(4e6);
    expect(readOnnx(file).initializers[0]).toMatchObject({ dims: [1000, 1000], bytes: 4e6 });
    expect(file.readBytes()).toBeLessThan(200_000);
  });

  it('that is none, or is cut off, is refused', () => {
    const graph = new Graph('whole');
    graph.output('y', graph.op('Exp', [graph.input('x', 'float', ['n'])]), 'float', ['n']);
    const bytes = graph.bytes();
    expect(readOnnx(source(bytes)).nodes.map(({ op }) => op)).toEqual(['Exp', 'Identity']);
    for (const bad of [
      new TextEncoder().encode('not a network'),
      new Uint8Array(),
      new TextEncoder().encode('version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 5\n'),
      ...Array.from({ length: bytes.length - 1 }, (_, length) => bytes.subarray(0, length)),
    ]) {
      // A file cut after its graph lacks the operators' version at most.
      try {
        expect(readOnnx(source(bad)).opset).toBe(0);
      } catch (error) {
        expect(String(error)).toContain('this is no ONNX file');
      }
    }
  });
});
