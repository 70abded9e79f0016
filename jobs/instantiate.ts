// Owns making the operator objects of one stage for one attempt of one task, and wiring them. Decides nothing: the plan
// says what stands behind what. Invariant: two calls with the same arguments give programs that behave the same.

import { EXCHANGE_SOURCE_ID } from '#jobs/graph-check.ts';
import {
  type CompiledJob,
  type ExchangeStepPlan,
  type FilterFunction,
  type MapFunction,
  type SourcePlan,
  type StagePlan,
  type StepPlan,
  sourceOf,
  stageOf,
  type TopicStepPlan,
  type WindowStepPlan,
} from '#jobs/plan.ts';
import { StageSeries } from '#jobs/stage-series.ts';
import { exchangeTopic, type RunIdentity } from '#jobs/topics.ts';
import { MergedStats } from '#operators/aggregates/merged-stats.ts';
import { Stats } from '#operators/aggregates/stats.ts';
import { ExchangeSink } from '#operators/sinks/exchange-sink.ts';
import { LateSink } from '#operators/sinks/late-sink.ts';
import { TopicSink } from '#operators/sinks/topic-sink.ts';
import { ExchangeSource } from '#operators/sources/exchange-source.ts';
import { SamplesSource } from '#operators/sources/samples-source.ts';
import { Filter } from '#operators/transforms/filter.ts';
import { KeyByLabels } from '#operators/transforms/key-by-labels.ts';
import { KeyBySeries } from '#operators/transforms/key-by-series.ts';
import { MapSamples } from '#operators/transforms/map.ts';
import { MergedWindow } from '#operators/windows/merged-window.ts';
import { TumblingWindow } from '#operators/windows/tumbling-window.ts';
import { formatDuration } from '#runtime/std/duration.ts';
import { invariant } from '#runtime/std/errors.ts';
import type { Batch, BatchConsumer, Operator, Source, StageOutput, StageProgram } from '#runtime/task/contract.ts';

export interface InstantiateOptions {
  readonly stageId: string;
  readonly run: RunIdentity;
}

/** The program of a stage: fresh objects, used for one attempt. */
export function instantiate(job: CompiledJob, options: InstantiateOptions): StageProgram {
  return new StageWiring(job, stageOf(job.plan, options.stageId), options.run).program();
}

/** Built from the sinks up, because each operator is given what stands behind it. */
class StageWiring {
  readonly #job: CompiledJob;
  readonly #stage: StagePlan;
  /** What the stage reads, or what stands before its exchange. */
  readonly #samples: SourcePlan;
  readonly #run: RunIdentity;
  readonly #outputs: readonly StageOutput[];
  readonly #series: StageSeries;
  /** In plan order. */
  readonly #operators: Operator[] = [];
  /** By the id of a step, what stands behind it, in plan order. */
  readonly #behind = new Map<string, BatchConsumer[]>();
  #late: LateSink | null = null;

  constructor(job: CompiledJob, stage: StagePlan, run: RunIdentity) {
    this.#job = job;
    this.#stage = stage;
    this.#samples = sourceOf(job.plan, stage);
    this.#run = run;
    this.#outputs = stageOutputs(job, stage, run);
    this.#series = this.#table(`${this.#sourceId}/series`);
  }

  program(): StageProgram {
    const samples = this.#samples;
    const { input, steps } = this.#stage;
    if (steps.some((step) => step.kind === 'window' && step.aggregate === 'stats')) this.#addLateSink();
    for (const step of steps.toReversed()) this.#addStep(step);
    const head = this.#head();
    const fromSource = input.kind === 'source';
    const deadLetter = this.#outputs.find((output) => output.topic === samples.deadLetterTopic) ?? null;
    const { outOfOrdernessMs, idlenessMs, maxSkewMs } = samples;
    return {
      stageId: this.#stage.id,
      source: this.#source(),
      watermark: fromSource ? { kind: 'source', outOfOrdernessMs, idlenessMs, maxSkewMs } : { kind: 'exchange' },
      operators: this.#operators,
      head,
      outputs: this.#outputs,
      deadLetter: fromSource && samples.badRecords === 'dead-letter' ? deadLetter : null,
      badRecords: fromSource ? samples.badRecords : 'fail',
    };
  }

  get #sourceId(): string {
    return this.#stage.input.kind === 'source' ? this.#samples.id : EXCHANGE_SOURCE_ID;
  }

  #source(): Source {
    const table = this.#series;
    if (this.#stage.input.kind === 'exchange') return new ExchangeSource({ id: EXCHANGE_SOURCE_ID, table });
    const { format, id, partitionedBy } = this.#samples;
    return new SamplesSource({ id, table, format, partitionedBy });
  }

  #table(stateId: string): StageSeries {
    return new StageSeries({ stateId, seriesMax: this.#samples.seriesMax });
  }

  // Keys by series are the source's own slots, so one operator behind the source marks and sweeps them for the whole
  // stage; who uses them is told to the table itself.
  #head(): BatchConsumer {
    const next = this.#consumers(this.#sourceId);
    const bySeries = this.#stage.steps.some(
      (step) => step.kind === 'window' || (step.kind === 'exchange' && step.key === 'series'),
    );
    if (!bySeries) return next.length === 1 ? next[0] : new Each(next);
    const { keyTtlMs } = this.#samples;
    const id = `${this.#sourceId}-keys`;
    const keys = new KeyBySeries({ id, table: this.#series, keyTtlMs, users: [], next });
    this.#operators.unshift(keys);
    return keys;
  }

  #consumers(id: string): readonly BatchConsumer[] {
    return this.#behind.get(id) ?? [];
  }

  #addStep(step: StepPlan): void {
    const consumer = this.#make(step);
    const siblings = this.#behind.get(step.input);
    if (siblings === undefined) this.#behind.set(step.input, [consumer]);
    else siblings.unshift(consumer);
  }

  /** Makes the operators of a step, puts them before those that are there, and returns what takes its input. */
  #make(step: StepPlan): BatchConsumer {
    const next = this.#consumers(step.id);
    const { filter, map } = this.#job.functions;
    const table = this.#series;
    switch (step.kind) {
      case 'map':
        return this.#first(new MapSamples({ id: step.id, table, apply: known<MapFunction>(map, step.id), next }));
      case 'filter':
        return this.#first(new Filter({ id: step.id, table, apply: known<FilterFunction>(filter, step.id), next }));
      case 'exchange':
        return this.#makeExchange(step);
      case 'window':
        return this.#makeWindow(step);
      case 'topic':
        return this.#makeTopic(step);
    }
  }

  #first<T extends Operator>(operator: T): T {
    this.#operators.unshift(operator);
    return operator;
  }

  #makeExchange(step: ExchangeStepPlan): BatchConsumer {
    const { watermarkIntervalMs } = this.#job.plan;
    const topic = exchangeTopic(this.#run, step.to);
    const keys = step.key === 'series' ? this.#series : this.#table(`${step.id}/keys`);
    const id = `exchange-${step.to}`.slice(0, 64);
    const sink = this.#first(
      new ExchangeSink({ id, sinkIndex: this.#sinkIndex(topic), topic, keys, watermarkIntervalMs }),
    );
    keys.usedBy(sink);
    if (step.key === 'series') return sink;
    return this.#first(
      new KeyByLabels({
        id: step.id,
        series: this.#series,
        keys,
        labels: step.key.labels,
        keyTtlMs: this.#samples.keyTtlMs,
        users: [sink],
        next: [sink],
      }),
    );
  }

  #makeWindow(step: WindowStepPlan): BatchConsumer {
    const { allowedLatenessMs, id, sizeMs } = step;
    const results = this.#consumers(id);
    const upstream = this.#stage.steps.find((other) => other.id === step.input);
    let window: Operator;
    if (step.aggregate === 'stats') {
      invariant(this.#late !== null, 'a stage with windows of samples has a late output');
      const late = [this.#late];
      window = new TumblingWindow({ id, sizeMs, allowedLatenessMs, aggregate: new Stats(), results, late });
    } else {
      invariant(upstream?.kind === 'window', `window '${id}' merges windows`);
      const paneMs = upstream.sizeMs;
      const makeAggregate = () => new MergedStats();
      window = new MergedWindow({ id, sizeMs, paneMs, allowedLatenessMs, makeAggregate, results });
    }
    this.#series.usedBy(window);
    return this.#first(window);
  }

  #makeTopic(step: TopicStepPlan): BatchConsumer {
    const window = this.#stage.steps.find((other) => other.id === step.input);
    invariant(window?.kind === 'window', `topic '${step.topic}' takes rows of a window`);
    const resolution = formatDuration(window.sizeMs);
    const { id, topic } = step;
    return this.#first(
      new TopicSink({ id, sinkIndex: this.#sinkIndex(topic), topic, resolution, keys: this.#series, run: 0 }),
    );
  }

  #addLateSink(): void {
    const topic = this.#samples.lateTopic;
    const id = `${this.#sourceId}-late`;
    this.#late = this.#first(new LateSink({ id, sinkIndex: this.#sinkIndex(topic), topic, keys: this.#series }));
  }

  #sinkIndex(topic: string): number {
    const output = this.#outputs.find((candidate) => candidate.topic === topic);
    invariant(output !== undefined, `stage '${this.#stage.id}' does not write '${topic}'`);
    return output.sinkIndex;
  }
}

/** Every topic a stage writes, once, in plan order; late and dead letters last. */
export function stageOutputs(job: CompiledJob, stage: StagePlan, run: RunIdentity): StageOutput[] {
  const source = sourceOf(job.plan, stage);
  const topics = new Set<string>();
  for (const step of stage.steps) {
    if (step.kind === 'exchange') topics.add(exchangeTopic(run, step.to));
    else if (step.kind === 'topic') topics.add(step.topic);
  }
  if (stage.steps.some((step) => step.kind === 'window' && step.aggregate === 'stats')) topics.add(source.lateTopic);
  if (stage.input.kind === 'source' && source.badRecords === 'dead-letter') topics.add(source.deadLetterTopic);
  return [...topics].map((topic, sinkIndex) => ({ topic, sinkIndex }));
}

function known<F>(functions: ReadonlyMap<string, F>, id: string): F {
  const apply = functions.get(id);
  invariant(apply !== undefined, `step '${id}' has no function`);
  return apply;
}

/** Hands batches to several consumers, in order. */
class Each implements BatchConsumer {
  readonly #consumers: readonly BatchConsumer[];

  constructor(consumers: readonly BatchConsumer[]) {
    this.#consumers = consumers;
  }

  process(batch: Batch): void {
    for (let i = 0; i < this.#consumers.length; i++) this.#consumers[i].process(batch);
  }
}
