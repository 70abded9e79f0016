// Owns compiling a job definition into its plan: checks first, then stages. `keyBy` ends a stage with an exchange
// unless the source is declared to be partitioned so. Invariant: a plan comes only from a definition without a fault.

import type { JobDefinition } from '#jobs/define-job.ts';
import { type Fault, faultsError } from '#jobs/faults.ts';
import { type GraphStep, recordGraph, sourceInput } from '#jobs/graph.ts';
import { type CheckedStep, checkGraph, EXCHANGE_SOURCE_ID } from '#jobs/graph-check.ts';
import { isPlainObject, OptionReader, show } from '#jobs/option-reader.ts';
import type {
  CompiledJob,
  FilterFunction,
  JobFunctions,
  JobSettings,
  MapFunction,
  Plan,
  SourcePlan,
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
  'sources',
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
  const sources = checkSources(spec, faults);
  const graph = buildGraph(spec, sources, faults);
  const steps = checkGraph(graph, sources, faults);
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
  const stages = cutIntoStages(steps, sources, exchangePartitions);
  const plan: Plan = { format: 1, job: spec.name, sources, watermarkIntervalMs, stages };
  return { plan, settings, functions: collectFunctions(graph) };
}

type AnySpec = JobDefinition['spec'];

function checkSources(spec: AnySpec, faults: Fault[]): SourcePlan[] {
  if (!('sources' in spec)) return [checkSource(spec.source, faults)];
  if ('source' in spec && spec.source !== undefined) {
    faults.push({ path: 'sources', message: 'stands beside source', remedy: 'name all of them in sources' });
  }
  const named = isPlainObject(spec.sources) ? Object.entries(spec.sources) : [];
  if (named.length === 0) {
    const remedy = "name what the job reads: sources: { raw: samples({ topic: '…' }) }";
    faults.push({ path: 'sources', message: 'names no source', remedy });
  }
  return named.map(([name, source]) => checkSource(source, faults, `sources.${name}`, name));
}

function buildGraph(spec: AnySpec, sources: readonly SourcePlan[], faults: Fault[]): readonly GraphStep[] {
  const { steps, streams } = recordGraph(sources.length);
  if (typeof spec.build !== 'function') {
    faults.push({ path: 'build', message: 'is missing', remedy: 'give build: (stream) => { … }' });
    return steps;
  }
  try {
    const build = spec.build as (given: unknown) => unknown;
    const result = build('sources' in spec ? byName(spec.sources, streams) : streams[0]);
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

function byName<T>(named: Readonly<Record<string, unknown>>, things: readonly T[]): Readonly<Record<string, T>> {
  return Object.fromEntries(Object.keys(named).map((name, place) => [name, things[place]]));
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
function staysLocal(step: KeyByStep, steps: readonly CheckedStep[], sources: readonly SourcePlan[]): boolean {
  if (step.key !== 'series') return false;
  let at = step.input;
  for (; at >= 0; at = steps[at].input) if (steps[at].kind === 'map') return false;
  return sources[placeOf(at)].partitionedBy !== null;
}

type KeyByStep = Extract<CheckedStep, { kind: 'keyBy' }>;

/** The place of the source that an input below zero names. */
function placeOf(input: number): number {
  return sourceInput(input);
}

interface OpenStage {
  id: string;
  readonly input: StagePlan['input'];
  readonly partitions: number | null;
  readonly steps: StepPlan[];
}

function cutIntoStages(
  steps: readonly CheckedStep[],
  sources: readonly SourcePlan[],
  exchangePartitions: number | null,
): StagePlan[] {
  const heads = sources.map(
    ({ id }, place): OpenStage => ({
      id: firstLocalWindow(steps, sources, place) ?? id,
      input: { kind: 'source', source: id },
      partitions: null,
      steps: [],
    }),
  );
  const stages = [...heads];
  const stageOf: OpenStage[] = [];
  /** What a consumer of step n reads from: the id of the nearest step before that is really there. */
  const outputOf: string[] = [];
  const inputOf = ({ input }: CheckedStep) => (input < 0 ? sources[placeOf(input)].id : outputOf[input]);
  for (const [at, step] of steps.entries()) {
    const stage = step.input < 0 ? heads[placeOf(step.input)] : stageOf[step.input];
    stageOf.push(stage);
    outputOf.push(step.id);
    if (step.kind !== 'keyBy') {
      stage.steps.push({ ...step, input: inputOf(step) });
    } else if (staysLocal(step, steps, sources)) {
      outputOf[at] = inputOf(step);
    } else {
      const to = steps.find((other) => other.kind === 'window' && other.input === at)?.id;
      invariant(to !== undefined, 'keyBy without a window passed the checks');
      stage.steps.push({ kind: 'exchange', id: step.id, input: inputOf(step), key: step.key, to });
      const next: OpenStage = {
        id: to,
        input: { kind: 'exchange', from: stage.id },
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
function firstLocalWindow(steps: readonly CheckedStep[], sources: readonly SourcePlan[], place: number): string | null {
  for (const step of steps) {
    const input = step.kind === 'window' && step.input >= 0 ? steps[step.input] : null;
    if (input?.kind !== 'keyBy' || !staysLocal(input, steps, sources)) continue;
    let at = input.input;
    while (at >= 0) at = steps[at].input;
    if (placeOf(at) === place) return step.id;
  }
  return null;
}
