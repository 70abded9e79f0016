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
  ProcessFunctions,
  ReadFunctions,
  RegistryConnection,
  SourcePlan,
  StagePlan,
  StepPlan,
  TargetConnection,
} from '#jobs/plan.ts';
import { processFunctions } from '#jobs/record-check.ts';
import { checkRegistry, checkSource } from '#jobs/source-check.ts';
import { thrownPlace } from '#jobs/thrown-place.ts';
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
  'optionsInPlan',
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
  const registries = checkRegistries(spec, sources, faults);
  if (faults.length > faultsBefore) return null;
  const stages = cutIntoStages(steps, sources, exchangePartitions);
  const plan: Plan = { format: 1, job: spec.name, sources, watermarkIntervalMs, stages };
  const functions = collectFunctions(graph, steps, spec);
  const optionsInPlan = spec.optionsInPlan ?? false;
  return { plan, settings, functions, registries, targets: collectTargets(steps), optionsInPlan };
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

function checkRegistries(
  spec: AnySpec,
  sources: readonly SourcePlan[],
  faults: Fault[],
): ReadonlyMap<string, RegistryConnection> {
  const given = 'sources' in spec ? Object.entries(spec.sources ?? {}) : [['', spec.source] as const];
  const registries = new Map<string, RegistryConnection>();
  for (const [place, [name, source]] of given.entries()) {
    const registry = checkRegistry(source, faults, name === '' ? 'source' : `sources.${name}`);
    if (registry !== null) registries.set(sources[place].id, registry);
  }
  return registries;
}

function buildGraph(spec: AnySpec, sources: readonly SourcePlan[], faults: Fault[]): readonly GraphStep[] {
  const { steps, streams, unkeyed } = recordGraph(sources.length);
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
    const message = `threw: ${error instanceof Error ? error.message : show(error)}${thrownPlace(error)}`;
    faults.push({ path: 'build', message, remedy: 'correct build, which only writes the dataflow down' });
  }
  for (const kind of unkeyed) {
    const remedy = `put keyBy(id, (record) => key) behind the union, and the ${kind} before it or behind what comes then`;
    faults.push({ path: 'union', message: `is followed by ${kind}, not by keyBy`, remedy });
  }
  return steps;
}

function byName<T>(named: Readonly<Record<string, unknown>>, things: readonly T[]): Readonly<Record<string, T>> {
  return Object.fromEntries(Object.keys(named).map((name, place) => [name, things[place]]));
}

function collectFunctions(graph: readonly GraphStep[], steps: readonly CheckedStep[], spec: AnySpec): JobFunctions {
  const map = new Map<string, MapFunction>();
  const filter = new Map<string, FilterFunction>();
  const record = new Map<string, (record: unknown) => unknown>();
  const process = new Map<string, ProcessFunctions>();
  for (const [at, step] of graph.entries()) {
    const checked = steps[at];
    if (step.kind === 'keyBy' && step.selector.kind === 'function') record.set(checked.id, loose(step.selector.apply));
    else if (step.kind === 'topic' && step.topic.options.key !== undefined)
      record.set(checked.id, loose(step.topic.options.key));
    else if (step.kind === 'process' && checked.kind === 'process')
      process.set(step.id, processFunctions(step, checked.states));
    else if (checked.kind === 'transform' && 'apply' in step) record.set(step.id, loose(step.apply));
    else if (step.kind === 'map') map.set(step.id, step.apply as MapFunction);
    else if (step.kind === 'filter') filter.set(step.id, step.apply as FilterFunction);
  }
  const keyed = new Map(steps.flatMap((step) => (step.kind === 'keyed' ? [[step.id, step.functions] as const] : [])));
  return { map, filter, record, process, keyed, source: sourceFunctions(spec) };
}

function collectTargets(steps: readonly CheckedStep[]): Map<string, TargetConnection> {
  const targets = new Map<string, TargetConnection>();
  for (const step of steps) if (step.kind === 'remote-write') targets.set(step.id, step.connection);
  return targets;
}

/** What a function takes was checked by the types of streams, and is not known here. */
function loose(apply: (record: never) => unknown): (record: unknown) => unknown {
  return apply as (record: unknown) => unknown;
}

function sourceFunctions(spec: AnySpec): Map<string, ReadFunctions> {
  const functions = new Map<string, ReadFunctions>();
  const named = 'sources' in spec ? Object.entries(spec.sources) : [['records', spec.source] as const];
  for (const [name, source] of named) {
    if (source?.kind !== 'records') continue;
    const { id = name, read = null, timestamp = null } = source.options;
    functions.set(id, { read, timestamp });
  }
  return functions;
}

/** Whether a keyBy needs no exchange: the key is the series, and nothing since the source could have changed it. */
function staysLocal(step: KeyByStep, steps: readonly CheckedStep[], sources: readonly SourcePlan[]): boolean {
  const byFunction = step.key !== 'series' && 'function' in step.key;
  if (step.others.length > 0 || (step.key !== 'series' && !byFunction)) return false;
  let at = step.input;
  for (; at >= 0; at = steps[at].input) if (!KEEPS_PLACE.has(steps[at].kind)) return false;
  const source = sources[placeOf(at)];
  return byFunction ? source.kind === 'records' && source.partitionedBy !== null : source.partitionedBy !== null;
}

/** Steps that change no series; of records the author trusts the producer with whatever key he names. */
const KEEPS_PLACE = new Set<CheckedStep['kind']>(['filter', 'transform']);

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
  const inputOf = (input: number) => (input < 0 ? sources[placeOf(input)].id : outputOf[input]);
  const stageAt = (input: number) => (input < 0 ? heads[placeOf(input)] : stageOf[input]);
  for (const [at, step] of steps.entries()) {
    const stage = stageAt(step.input);
    stageOf.push(stage);
    outputOf.push(step.id);
    if (step.kind !== 'keyBy') {
      stage.steps.push(planned(step, inputOf(step.input)));
    } else if (staysLocal(step, steps, sources)) {
      if (step.key === 'series') outputOf[at] = inputOf(step.input);
      else stage.steps.push({ kind: 'key', id: step.id, input: inputOf(step.input) });
    } else {
      const to = steps.find((other) => isStateful(other) && other.input === at)?.id;
      invariant(to !== undefined, 'keyBy without a stateful step passed the checks');
      const writers = Map.groupBy([step.input, ...step.others], stageAt);
      for (const [writer, inputs] of writers) {
        const [input, ...others] = inputs.map(inputOf);
        const beside = others.length === 0 ? {} : { others };
        writer.steps.push({ kind: 'exchange', id: step.id, input, ...beside, key: step.key, to });
      }
      const [from, ...others] = [...writers.keys()];
      const beside = others.length === 0 ? {} : { others: others.map(({ id }) => id) };
      const next: OpenStage = {
        id: to,
        input: { kind: 'exchange', from: from.id, ...beside },
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

/** Without what stands beside the plan. */
function planned(step: Exclude<CheckedStep, { kind: 'keyBy' }>, input: string): StepPlan {
  if (step.kind === 'keyed') {
    const { functions, ...plan } = step;
    // Without an exchange there is nothing to split.
    const { operator } = plan;
    if (operator.type !== 'window' || input === EXCHANGE_SOURCE_ID) return { ...plan, input };
    return { ...plan, input, operator: { ...operator, splitMs: null } };
  }
  if (step.kind !== 'remote-write') return { ...step, input };
  const { connection, ...plan } = step;
  return { ...plan, input };
}

function isStateful(step: CheckedStep): boolean {
  return step.kind === 'window' || step.kind === 'process' || step.kind === 'keyed';
}

/** A stage is named after its first stateful step. */
function firstLocalWindow(steps: readonly CheckedStep[], sources: readonly SourcePlan[], place: number): string | null {
  for (const step of steps) {
    const input = isStateful(step) && step.input >= 0 ? steps[step.input] : null;
    if (input?.kind !== 'keyBy' || !staysLocal(input, steps, sources)) continue;
    let at = input.input;
    while (at >= 0) at = steps[at].input;
    if (placeOf(at) === place) return step.id;
  }
  return null;
}
