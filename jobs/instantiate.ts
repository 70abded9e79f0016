// Owns making the operator objects of one stage for one attempt of one task, and wiring them. Decides nothing: the plan
// says what stands behind what. Invariant: two calls with the same arguments give programs that behave the same.

import type { CompiledJob } from '#jobs/plan.ts';
import type { RunIdentity, SourceTopic } from '#jobs/topics.ts';
import { invariant } from '#runtime/std/errors.ts';
import type { StageProgram } from '#runtime/task/contract.ts';

export interface InstantiateOptions {
  readonly stageId: string;
  readonly partition: number;
  readonly run: RunIdentity;
  readonly source: Pick<SourceTopic, 'partitionCount'>;
  /** Partitions of the topics the stage reads and writes, as the genesis entry fixed them. */
  readonly partitionCounts: Readonly<Record<string, number>>;
}

/** The program of a stage: fresh objects, used for one attempt. */
export function instantiate(job: CompiledJob, options: InstantiateOptions): StageProgram {
  const stage = job.plan.stages.find((candidate) => candidate.id === options.stageId);
  invariant(stage !== undefined, `job '${job.plan.job}' has no stage '${options.stageId}'`);
  invariant(false, 'the operators of a stage are not wired yet');
}
