// Owns opening the store of checkpoints that a configuration names; main thread and slots each open their own. Opening
// reads and writes nothing.

import type { CheckpointStore } from '#checkpoint/contract.ts';
import { DirectoryStore } from '#checkpoint/directory-store.ts';
import { S3Store } from '#checkpoint/s3-store.ts';
import type { StoreConfiguration } from '#jobs/configuration.ts';
import { systemClock } from '#runtime/std/clock.ts';
import { nodeDisk } from '#runtime/std/disk.ts';

export function openCheckpointStore(store: StoreConfiguration): CheckpointStore {
  if (store.kind === 'directory') return new DirectoryStore({ disk: nodeDisk, root: store.directory });
  const { bucket, endpoint, region, prefix, credentials } = store;
  const { accessKeyId, secretAccessKey, sessionToken } = credentials;
  return new S3Store({
    bucket,
    endpoint: endpoint ?? undefined,
    region,
    prefix,
    credentials: { accessKeyId, secretAccessKey, sessionToken: sessionToken ?? undefined },
    clock: systemClock,
  });
}

/** For messages. */
export function checkpointStoreName(store: StoreConfiguration): string {
  return store.kind === 'directory' ? store.directory : `s3://${store.bucket}/${store.prefix}`;
}
