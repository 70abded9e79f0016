// Owns where the bundles of a job lie: in the checkpoint store, under their hashes, for every process that runs the job
// and for as long as a checkpoint may need them.

import { gunzipSync, gzipSync } from 'node:zlib';
import type { CheckpointStore, TaskIdentity } from '#checkpoint/contract.ts';
import { damaged } from '#checkpoint/manifest.ts';
import { BUNDLE_LENGTH_MAX, type Bundle, bundleHash, readBundle } from '#jobs/bundle.ts';
import { canonicalJson } from '#jobs/version.ts';

/** Of a text of 4 Mi characters in UTF-8, and what JSON adds. */
const UNPACKED_BYTES_MAX = 8 * BUNDLE_LENGTH_MAX;
const ENDING = '.bundle.gz';
const AGAIN = 'deploy the job again from its module';

/** Keeps a bundle and returns its hash; one that is there already is left alone. */
export async function keepBundle(
  store: CheckpointStore,
  namespace: string,
  job: string,
  bundle: Bundle,
): Promise<string> {
  const name = bundleHash(bundle);
  const place = placeOf(namespace, job);
  if ((await store.list(place)).includes(name + ENDING)) return name;
  await store.write(place, name + ENDING, gzipSync(canonicalJson(bundle)));
  return name;
}

/** The bundle of this hash. Error: checkpoint-corrupt when it is not there, or not what its name says. */
export async function findBundle(
  store: CheckpointStore,
  namespace: string,
  job: string,
  hash: string,
): Promise<Bundle> {
  const bytes = await store.read(placeOf(namespace, job), hash + ENDING);
  let bundle: Bundle;
  try {
    bundle = readBundle(JSON.parse(gunzipSync(bytes, { maxOutputLength: UNPACKED_BYTES_MAX }).toString()));
  } catch {
    throw damaged(hash + ENDING, 'cannot be read', AGAIN);
  }
  if (bundleHash(bundle) !== hash) throw damaged(hash + ENDING, 'has other content than its name says', AGAIN);
  return bundle;
}

/** Hashes of the bundles that are kept, in no order. */
export async function keptBundles(store: CheckpointStore, namespace: string, job: string): Promise<string[]> {
  const names = await store.list(placeOf(namespace, job));
  return names.flatMap((name) => (name.endsWith(ENDING) ? [name.slice(0, -ENDING.length)] : []));
}

export async function dropBundles(
  store: CheckpointStore,
  namespace: string,
  job: string,
  hashes: readonly string[],
): Promise<void> {
  const names = hashes.map((hash) => hash + ENDING);
  if (names.length > 0) await store.remove(placeOf(namespace, job), names);
}

/** No run is called so: they are `live` or ULIDs. */
function placeOf(namespace: string, job: string): TaskIdentity {
  return { namespace, job, run: 'bundles', generation: 0, stage: 'bundles', partition: 0 };
}
