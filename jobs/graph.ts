// Owns what `build` records: the steps of a job in the order they were written, and the stream handles that record
// them. Checks nothing: the compiler does. Invariant: a step's input stands before it.

import type { AggregateDescription, KeySelector, TopicDescription, WindowDescription } from '#jobs/descriptions.ts';
import type { FilterFunction, MapFunction } from '#jobs/plan.ts';

/** `input` is a place in the list of steps; below zero a source: -1 the first, -2 the second (sourceInput). */
export type GraphStep =
  | { readonly kind: 'map'; readonly id: string; readonly input: number; readonly apply: MapFunction }
  | { readonly kind: 'filter'; readonly id: string; readonly input: number; readonly apply: FilterFunction }
  | { readonly kind: 'keyBy'; readonly input: number; readonly selector: KeySelector }
  | WindowStep
  | { readonly kind: 'topic'; readonly input: number; readonly topic: TopicDescription };

export interface WindowStep {
  readonly kind: 'window';
  readonly id: string;
  readonly input: number;
  readonly window: WindowDescription;
  /** One for each call of `aggregate`; right is exactly one. */
  readonly aggregates: AggregateDescription[];
}

/** How a step names the source at a place in the list of sources as its input; the same back. */
export function sourceInput(place: number): number {
  return -1 - place;
}

/** Samples as they come from the source. */
export interface SampleStream {
  /**
   * Gives another sample for each: value, labels, metric name and timestamp may change. `apply` must depend on nothing
   * but its argument: no clock, randomness or memory. A throw fails the task with operator-failed.
   */
  map(id: string, apply: MapFunction): SampleStream;
  /** Keeps the samples for which `apply` is true; the rule for `apply` is that of map. */
  filter(id: string, apply: FilterFunction): SampleStream;
  /** Brings the samples of a key together: `series`, or `by('service', 'region')`. */
  keyBy(selector: KeySelector): KeyedStream;
}

/** Samples by key. */
export interface KeyedStream {
  window(id: string, window: WindowDescription): WindowedStream;
}

export interface WindowedStream {
  aggregate(aggregate: AggregateDescription): RowStream;
}

/** Window results: one row per key and window, and one for each correction. */
export interface RowStream {
  /** Larger windows of these; aggregate them with mergedStats(). */
  window(id: string, window: WindowDescription): WindowedStream;
  to(topic: TopicDescription): void;
}

/** A fresh list of steps and the streams that record into it, one for each source. */
export function recordGraph(sources: number): { readonly steps: GraphStep[]; readonly streams: SampleStream[] } {
  const steps: GraphStep[] = [];
  return { steps, streams: Array.from({ length: sources }, (_, place) => new StreamHandle(steps, sourceInput(place))) };
}

/** One class behind all stream types, so that a wrong order written without types becomes a fault and not a crash. */
class StreamHandle implements SampleStream, KeyedStream, WindowedStream, RowStream {
  readonly #steps: GraphStep[];
  readonly #at: number;

  constructor(steps: GraphStep[], at: number) {
    this.#steps = steps;
    this.#at = at;
  }

  map(id: string, apply: MapFunction): StreamHandle {
    return this.#add({ kind: 'map', id, input: this.#at, apply });
  }

  filter(id: string, apply: FilterFunction): StreamHandle {
    return this.#add({ kind: 'filter', id, input: this.#at, apply });
  }

  keyBy(selector: KeySelector): StreamHandle {
    const same = this.#steps.findIndex(
      (step) =>
        step.kind === 'keyBy' && step.input === this.#at && JSON.stringify(step.selector) === JSON.stringify(selector),
    );
    return same >= 0 ? new StreamHandle(this.#steps, same) : this.#add({ kind: 'keyBy', input: this.#at, selector });
  }

  window(id: string, window: WindowDescription): StreamHandle {
    return this.#add({ kind: 'window', id, input: this.#at, window, aggregates: [] });
  }

  aggregate(aggregate: AggregateDescription): StreamHandle {
    const step = this.#steps[this.#at];
    if (step?.kind === 'window') step.aggregates.push(aggregate);
    else this.#steps.push({ kind: 'window', id: '', input: this.#at, window: NO_WINDOW, aggregates: [aggregate] });
    return this;
  }

  to(topic: TopicDescription): void {
    this.#add({ kind: 'topic', input: this.#at, topic });
  }

  #add(step: GraphStep): StreamHandle {
    this.#steps.push(step);
    return new StreamHandle(this.#steps, this.#steps.length - 1);
  }
}

const NO_WINDOW: WindowDescription = { kind: 'tumbling', size: '', options: {} };
