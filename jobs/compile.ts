// Owns compiling a job definition into its plan: checks first, then stages. `keyBy` ends a stage with an exchange
// unless the source is declared to be partitioned so. Invariant: a plan comes only from a definition without a fault.

import type { JobDefinition, JobSpec } from '#jobs/define-job.ts';
import { type Fault, faultsError } from '#jobs/faults.ts';
import { type GraphStep, recordGraph, SOURCE } from '#jobs/graph.ts';
import { type CheckedStep, checkGraph, EXCHANGE_SOURCE_ID } from '#jobs/graph-check.ts';
import { isPlainObject, OptionReader, show } from '#jobs/option-reader.ts';
import type {
  CompiledJob,
  FilterFunction,
  JobFunctions,
  JobSettings,
  MapFunction,
  Plan,
  SamplesPlan,
  StagePlan,
  StepPlan,
} from '#jobs/plan.ts';
import { checkSource } from '#jobs/source-check.ts';
import { invariant } from '#runtime/std/errors.ts';
import { DEFAULT_TASK_OPTIONS } from '#runtime/task/task-environment.ts';

export const DEFAULT_SETTINGS: JobSettings = { ...DEFAULT_TASK_OPTIONS, parallelism: 1 };

/** Bounds of durations that the job module and the configuration may both set. */
export const COMMIT_INTERVAL = { min: 10, max: 10_000 };
export const CHECKPOINT_INTERVAL = { min: 1_000, max: 86_400_000 };

const JOB_OPTIONS = [
  'name',
  'source',
  'build',
  'exchangePartitions',
  'watermarkInterval',
  'commitInterval',
  'checkpointInterval',
];

export function isJobDefinition(value: unknown): value is JobDefinition {
  return isPlainObject(value) && value['kind'] === 'millrace-job' && isPlainObject(value['spec']);
}

/** Compiles a job; `overrides` come from the configuration. Error: job-invalid, with all faults. */
export function compileJob(job: JobDefinition, overrides: Partial<JobSettings> = {}): CompiledJob {
  const faults: Fault[] = [];
  const compiled = checkJob(job, overrides, faults);
  if (faults.length > 0) throw faultsError('job-invalid', `job ${show(job.spec.name)}`, faults);
  invariant(compiled !== null, 'a job without faults compiles');
  return compiled;
}

/** As compileJob, but adds faults to the list and gives null when there were any. */
export function checkJob(job: JobDefinition, overrides: Partial<JobSettings>, faults: Fault[]): CompiledJob | null {
  const faultsBefore = faults.length;
  const spec = job.spec;
  const options = new OptionReader(faults, '', spec, JOB_OPTIONS);
  if (options.required('name', 'name the job: 1 to 64 of a-z, 0-9 and -')) options.id('name', '');
  const source = checkSource(spec.source, faults);
  const graph = buildGraph(spec, faults);
  const steps = checkGraph(graph, source, faults);
  const exchangePartitions = options.integer('exchangePartitions', null, { min: 1, max: 10_000 });
  const watermarkIntervalMs = options.duration('watermarkInterval', 1_000, { min: 10, max: 60_000 });
  const settings: JobSettings = {
    ...DEFAULT_SETTINGS,
    commitIntervalMs: options.duration('commitInterval', DEFAULT_SETTINGS.commitIntervalMs, COMMIT_INTERVAL),
    checkpointIntervalMs: options.duration(
      'checkpointInterval',
      DEFAULT_SETTINGS.checkpointIntervalMs,
      CHECKPOINT_INTERVAL,
    ),
    ...overrides,
  };
  if (faults.length > faultsBefore) return null;
  const stages = cutIntoStages(steps, source, exchangePartitions);
  const plan: Plan = { format: 1, job: spec.name, source, watermarkIntervalMs, stages };
  return { plan, settings, functions: collectFunctions(graph) };
}

function buildGraph(spec: JobSpec, faults: Fault[]): readonly GraphStep[] {
  const { steps, stream } = recordGraph();
  if (typeof spec.build !== 'function') {
    faults.push({ path: 'build', message: 'is missing', remedy: 'give build: (stream) => { … }' });
    return steps;
  }
  try {
    const result: unknown = spec.build(stream);
    if (result instanceof Promise) {
      result.catch(() => {});
      faults.push({ path: 'build', message: 'is asynchronous', remedy: 'write the dataflow down without await' });
    }
  } catch (error) {
    const message = `threw: ${error instanceof Error ? error.message : show(error)}`;
    faults.push({
      path: 'build',
      message,
      remedy: 'build only writes the dataflow down; see the stack with LOG_LEVEL=debug',
    });
  }
  return steps;
}

function collectFunctions(graph: readonly GraphStep[]): JobFunctions {
  const map = new Map<string, MapFunction>();
  const filter = new Map<string, FilterFunction>();
  for (const step of graph) {
    if (step.kind === 'map') map.set(step.id, step.apply);
    else if (step.kind === 'filter') filter.set(step.id, step.apply);
  }
  return { map, filter };
}

/** Whether a keyBy needs no exchange: the key is the series, and nothing since the source could have changed it. */
function staysLocal(step: Extract<CheckedStep, { kind: 'keyBy' }>, steps: readonly CheckedStep[], source: SamplesPlan) {
  if (source.partitionedBy === null || step.key !== 'series') return false;
  for (let at = step.input; at !== SOURCE; at = steps[at].input) if (steps[at].kind === 'map') return false;
  return true;
}

interface OpenStage {
  id: string;
  readonly input: StagePlan['input'];
  readonly partitions: number | null;
  readonly steps: StepPlan[];
}

function cutIntoStages(
  steps: readonly CheckedStep[],
  source: SamplesPlan,
  exchangePartitions: number | null,
): StagePlan[] {
  const first: OpenStage = { id: '', input: { kind: 'source' }, partitions: null, steps: [] };
  const stages = [first];
  const stageOf: OpenStage[] = [];
  /** What a consumer of step n reads from: the id of the nearest step before that is really there. */
  const outputOf: string[] = [];
  const inputOf = (step: CheckedStep) => (step.input === SOURCE ? source.id : outputOf[step.input]);
  first.id = firstLocalWindow(steps, source) ?? source.id;
  for (const [at, step] of steps.entries()) {
    const stage = step.input === SOURCE ? first : stageOf[step.input];
    stageOf.push(stage);
    outputOf.push(step.id);
    if (step.kind !== 'keyBy') {
      stage.steps.push({ ...step, input: inputOf(step) });
    } else if (staysLocal(step, steps, source)) {
      outputOf[at] = inputOf(step);
    } else {
      const to = steps.find((other) => other.kind === 'window' && other.input === at)?.id;
      invariant(to !== undefined, 'keyBy without a window passed the checks');
      stage.steps.push({ kind: 'exchange', id: step.id, input: inputOf(step), key: step.key, to });
      const next: OpenStage = {
        id: to,
        input: { kind: 'exchange', from: first.id },
        partitions: exchangePartitions,
        steps: [],
      };
      stages.push(next);
      stageOf[at] = next;
      outputOf[at] = EXCHANGE_SOURCE_ID;
    }
  }
  return stages;
}

/** A stage is named after its first stateful step. */
function firstLocalWindow(steps: readonly CheckedStep[], source: SamplesPlan): string | null {
  for (const step of steps) {
    const input = step.kind === 'window' && step.input !== SOURCE ? steps[step.input] : null;
    if (input?.kind === 'keyBy' && staysLocal(input, steps, source)) return step.id;
  }
  return null;
}
