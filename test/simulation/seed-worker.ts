// Owns the worker thread that runs seeds, one after the other: orders come in, outcomes go out. With patches it plants a
// mistake in the product's source while it loads it; the source on disk stays as it is.

import { registerHooks } from 'node:module';
import { parentPort, workerData } from 'node:worker_threads';
import { type Patch, plant } from '#test/simulation/planting.ts';
import type { SeedOrder, SeedOutcome } from '#test/simulation/seed-attempt.ts';

const ROOT = new URL('../../', import.meta.url).href;

const { patches } = workerData as { readonly patches: readonly Patch[] };
const unused = new Set(patches);
if (patches.length > 0) {
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
}
const { attemptSeed } = await import('#test/simulation/seed-attempt.ts');
if (unused.size > 0) throw new Error(`never loaded: ${[...unused].map(({ file }) => file).join(', ')}`);

parentPort?.on('message', async (order: SeedOrder) => {
  const outcome: SeedOutcome = await attemptSeed(order);
  parentPort?.postMessage(outcome);
});
