// Owns the savepoints of a job in its checkpoint store: where the parts of tasks lie, and the record that makes a savepoint
// of them. Files of a part are the task's own, under their own names. Invariant: a savepoint that is listed is whole, and
// lives until it is deleted, whatever becomes of the checkpoints it was taken of.

import type { CheckpointStore, InputPosition, Json, TaskIdentity } from '#checkpoint/contract.ts';
import { damaged, decodeManifest, unsupported } from '#checkpoint/manifest.ts';
import { openSealedJson, sealJson } from '#checkpoint/sealed-json.ts';
import { StreamError } from '#runtime/std/errors.ts';

const FORMAT = 1;
const RECORD = '.savepoint.json';
/** The record of a savepoint that is being deleted. */
const LEAVING = '.leaving.json';
const AGAIN = 'take another savepoint, or name one of those that are there';

/** A task's part. */
export interface SavepointTask {
  readonly stage: string;
  readonly partition: number;
  /** Name of the manifest. */
  readonly manifest: string;
  readonly entry: number;
  readonly chainHash: string;
  readonly digest: string;
  readonly sizeBytes: number;
  readonly inputs: readonly InputPosition[];
  /** Null before the first record. */
  readonly watermarkMs: number | null;
  readonly clockMs: number;
  /** By state id. */
  readonly schemaVersions: Readonly<Record<string, number>>;
}

export interface Savepoint {
  readonly id: string;
  readonly namespace: string;
  readonly job: string;
  readonly run: string;
  readonly generation: number;
  readonly version: string;
  readonly createdMs: number;
  /** The plan of the job that it was taken of. */
  readonly plan: Json;
  readonly tasks: readonly SavepointTask[];
}

/** Where the files of a task's part lie. No run is called so: they are `live` or ULIDs. */
export function savepointPlace(task: TaskIdentity, savepoint: string): TaskIdentity {
  return { ...task, run: `savepoint.${savepoint}` };
}

/** The task of a part. */
export function savepointTask(savepoint: Omit<Savepoint, 'tasks' | 'plan'>, task: SavepointTask): TaskIdentity {
  const { namespace, job, run, generation } = savepoint;
  return { namespace, job, run, generation, stage: task.stage, partition: task.partition };
}

export class Savepoints {
  readonly #store: CheckpointStore;
  readonly #place: TaskIdentity;

  constructor(store: CheckpointStore, { namespace, job }: Pick<TaskIdentity, 'namespace' | 'job'>) {
    this.#store = store;
    this.#place = { namespace, job, run: 'savepoints', generation: 0, stage: 'savepoints', partition: 0 };
  }

  /** Ids, in no order. */
  async list(): Promise<string[]> {
    const names = await this.#store.list(this.#place);
    return names.flatMap((name) => (name.endsWith(RECORD) ? [name.slice(0, -RECORD.length)] : []));
  }

  /** Errors: savepoint-unknown, checkpoint-corrupt, checkpoint-unsupported. */
  async read(id: string): Promise<Savepoint> {
    if ((await this.list()).includes(id)) return this.#read(id + RECORD);
    throw this.#unknown(id);
  }

  /** All parts are durable: from now on there is such a savepoint. Once written, it is for good. */
  async write(savepoint: Savepoint): Promise<void> {
    const name = savepoint.id + RECORD;
    const bytes = sealJson({ ...savepoint, format: FORMAT });
    if (!(await this.#store.list(this.#place)).includes(name)) await this.#store.write(this.#place, name, bytes);
  }

  /** Deletes it with all its files; after a crash on the way it is deleted again. Error: savepoint-unknown. */
  async delete(id: string): Promise<void> {
    const names = await this.#store.list(this.#place);
    const [record, leaving] = [id + RECORD, id + LEAVING];
    if (!names.includes(record) && !names.includes(leaving)) throw this.#unknown(id);
    const savepoint = await this.#read(names.includes(record) ? record : leaving);
    if (!names.includes(leaving)) {
      await this.#store.write(this.#place, leaving, sealJson({ ...savepoint, format: FORMAT }));
    }
    await this.#store.remove(this.#place, [record]);
    await this.discard(
      id,
      savepoint.tasks.map((task) => savepointTask(savepoint, task)),
    );
    await this.#store.remove(this.#place, [leaving]);
  }

  /** Deletes what tasks have kept for a savepoint that came to nothing. */
  async discard(id: string, tasks: readonly TaskIdentity[]): Promise<void> {
    for (const task of tasks) {
      const place = savepointPlace(task, id);
      const names = await this.#store.list(place);
      if (names.length > 0) await this.#store.remove(place, names);
    }
  }

  async #read(name: string): Promise<Savepoint> {
    const value = openSealedJson(await this.#store.read(this.#place, name)) as Json;
    if (value === null || typeof value !== 'object') throw damaged(name, 'fails its checksum', AGAIN);
    const { format, ...savepoint } = value as Record<string, Json>;
    if (format !== FORMAT) throw unsupported(`savepoint '${name}'`, format, FORMAT);
    return savepoint as unknown as Savepoint;
  }

  #unknown(id: string): StreamError {
    return new StreamError('savepoint-unknown', `job ${this.#place.job} has no savepoint '${id}'`, AGAIN);
  }
}

/** Reads a part's manifest as the task wrote it. Errors: checkpoint-corrupt, checkpoint-unsupported. */
export async function readSavepointManifest(
  store: CheckpointStore,
  task: TaskIdentity,
  savepoint: string,
  name: string,
) {
  return decodeManifest(name, await store.read(savepointPlace(task, savepoint), name), task);
}
