// Owns planting mistakes into the product's source while it is loaded, in a process of its own.

import { registerHooks } from 'node:module';
import { type Patch, plant } from '#test/simulation/planting.ts';

const ROOT = new URL('../../', import.meta.url).href;

/** Of everything loaded from now on. Gives the files that were never loaded, to be asked when all should be. */
export function plantAtLoad(patches: readonly Patch[]): () => string[] {
  const unused = new Set(patches);
  registerHooks({
    load(url, context, nextLoad) {
      const result = nextLoad(url, context);
      const own = patches.filter(({ file }) => url === ROOT + file);
      if (own.length === 0) return result;
      let source = String(result.source);
      for (const patch of own) {
        source = plant(source, patch);
        unused.delete(patch);
      }
      return { ...result, source };
    },
  });
  return () => Array.from(unused, ({ file }) => file);
}
