// Owns how savepoints are shown, and listing them. Pure but for the store.

import type { Savepoint, Savepoints } from '#checkpoint/savepoint.ts';
import type { SavepointDetailView, SavepointView } from '#runtime/http/deploy-contract.ts';

/** The newest first; those that are deleted meanwhile, or cannot be read, are left out. */
export async function listSavepoints(savepoints: Savepoints): Promise<readonly Savepoint[]> {
  const ids = await savepoints.list();
  const read = await Promise.all(ids.map((id) => savepoints.read(id).catch(() => null)));
  return read.filter((one) => one !== null).sort((a, b) => b.createdMs - a.createdMs);
}

export function savepointView({ createdMs, generation, id, tasks, version }: Savepoint): SavepointView {
  const known = tasks.flatMap(({ watermarkMs }) => watermarkMs ?? []);
  return {
    id,
    createdMs,
    version,
    generation,
    tasks: tasks.length,
    sizeBytes: tasks.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0),
    watermarkMs: known.length < tasks.length ? null : Math.min(...known),
  };
}

export function savepointDetailView(savepoint: Savepoint): SavepointDetailView {
  const taskList = savepoint.tasks.map(({ entry, inputs, partition, sizeBytes, stage, watermarkMs }) => ({
    stage,
    partition,
    entry,
    sizeBytes,
    watermarkMs,
    inputs: inputs.map(({ endOffset, topic, partition }) => ({ topic, partition, offset: endOffset })),
  }));
  return { ...savepointView(savepoint), taskList };
}
