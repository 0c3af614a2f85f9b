/** Loaded before a worker: its networks sleep. */
import { registerHooks } from 'node:module';

const asleep = new URL('./sleeping-onnx.ts', import.meta.url).href;

registerHooks({
  resolve(specifier, context, next) {
    const wanted = specifier === '#src/doors/onnx.ts' && context.parentURL !== asleep ? asleep : specifier;
    return next(wanted, context);
  },
});
