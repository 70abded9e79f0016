// Owns what follows from a plan about one stage: topics it writes, who writes beside it, what its steps carry.

import {
  type Plan,
  type StagePlan,
  type StepPlan,
  sourceOf,
  stageOf,
  writersOf,
  writesLate,
  writesOutside,
} from '#jobs/plan.ts';
import { exchangeTopic, inputTopic, type RunIdentity } from '#jobs/topics.ts';
import { invariant } from '#runtime/std/errors.ts';
import type { StageOutput } from '#runtime/task/contract.ts';

/** Every topic a stage writes, once, in plan order; late and dead letters last. */
export function stageOutputs(plan: Plan, stage: StagePlan, run: RunIdentity): StageOutput[] {
  const source = sourceOf(plan, stage);
  const topics = new Set<string>();
  for (const step of stage.steps) {
    if (step.kind === 'exchange') topics.add(exchangeTopic(run, step.to));
    else if (step.kind === 'topic') topics.add(step.topic);
  }
  if (writesLate(stage) && source.kind === 'samples') topics.add(source.lateTopic);
  const deadLetters = source.badRecords === 'dead-letter' || writesOutside(stage);
  if (stage.input.kind === 'source' && deadLetters) topics.add(source.deadLetterTopic);
  return [...topics].map((topic, sinkIndex) => ({ topic, sinkIndex }));
}

/** Input topics of the stages that write an exchange before this one: their tasks are the first writers. */
export function writersBeforeOf(plan: Plan, run: RunIdentity, stage: StagePlan, to: string): string[] {
  const writers = writersOf(plan, stageOf(plan, to));
  return writers.slice(0, writers.indexOf(stage)).map((writer) => inputTopic(plan, run, writer));
}

/** Topics whose partitions say how many tasks write beside this stage into its exchanges. */
export function writerTopics(plan: Plan, stage: StagePlan, run: RunIdentity): string[] {
  return stage.steps.flatMap((step) => (step.kind === 'exchange' ? writersBeforeOf(plan, run, stage, step.to) : []));
}

/** Whether what a stage reads are samples; records of any shape otherwise. */
export function headCarriesSamples(plan: Plan, stage: StagePlan): boolean {
  const { input, id } = stage;
  if (input.kind === 'source') return sourceOf(plan, stage).kind === 'samples';
  const exchange = stageOf(plan, input.from).steps.find((step) => step.kind === 'exchange' && step.to === id);
  invariant(exchange?.kind === 'exchange', `nothing is exchanged to '${id}'`);
  return exchange.key === 'series' || 'labels' in exchange.key;
}

/** Whether a step of the stage, or its head, gives samples. */
export function carriesSamples(plan: Plan, stage: StagePlan, id: string): boolean {
  const step = stage.steps.find((one) => one.id === id);
  if (step === undefined) return headCarriesSamples(plan, stage);
  return step.kind === 'map' || step.kind === 'filter';
}

/** The keyBy within the stage that keys what a step gives, null when the head does or nothing. */
export function keyStepOf(stage: StagePlan, id: string): Extract<StepPlan, { kind: 'key' }> | null {
  for (let at = id; ; ) {
    const step = stage.steps.find((one) => one.id === at);
    if (step === undefined) return null;
    if (step.kind === 'key') return step;
    at = step.input;
  }
}
