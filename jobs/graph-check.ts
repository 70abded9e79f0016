// Owns turning recorded steps into checked ones: ids given or derived, durations read, wrong orders named. Every fault
// is collected. What it returns is whole only when no fault was added.

import type { Fault } from '#jobs/faults.ts';
import { type FunctionStep, type GraphStep, type KeyByStep, sourceInput, type WindowStep } from '#jobs/graph.ts';
import { checkPair } from '#jobs/join-check.ts';
import type { KeyedFunctions, KeyedStepPlan } from '#jobs/keyed-plan.ts';
import { derivedId, ID_PATTERN, idPart, OptionReader, show } from '#jobs/option-reader.ts';
import type {
  KeyPlan,
  ProcessStepPlan,
  RemoteWriteStepPlan,
  SideStepPlan,
  SourcePlan,
  TargetConnection,
  TopicStepPlan,
  TransformStepPlan,
  WindowStepPlan,
} from '#jobs/plan.ts';
import { type Carried, checkIsFunction, checkProcess } from '#jobs/record-check.ts';
import { checkRecordWindow, checkSplits, isRecordWindow } from '#jobs/record-window-check.ts';
import { checkAlone, checkRemoteWrite } from '#jobs/target-check.ts';
import { checkTopic } from '#jobs/topic-check.ts';
import { formatDuration, parseDuration } from '#runtime/std/duration.ts';

/** A step as the compiler takes it; `input` is a place in the same list, or a source as in the graph. */
export type CheckedStep =
  | { readonly kind: 'map' | 'filter'; readonly id: string; readonly input: number }
  | {
      readonly kind: 'keyBy';
      readonly id: string;
      readonly input: number;
      readonly others: readonly number[];
      readonly key: KeyPlan;
      readonly carries: 'samples' | 'records';
    }
  | Placed<TransformStepPlan>
  | Placed<ProcessStepPlan>
  | Placed<SideStepPlan>
  | Placed<WindowStepPlan>
  | Placed<TopicStepPlan>
  | (Placed<RemoteWriteStepPlan> & { readonly connection: TargetConnection })
  | CheckedKeyed;

export type CheckedKeyed = Placed<KeyedStepPlan> & { readonly functions: KeyedFunctions };

type Placed<Step extends { readonly input: string }> = Omit<Step, 'input'> & { readonly input: number };

/** Id of the step that reads the exchange of a stage; authors cannot have it. */
export const EXCHANGE_SOURCE_ID = 'exchange';

const WINDOW_MS_MIN = 1_000;
const WINDOW_MS_MAX = 366 * 86_400_000;

export function checkGraph(
  steps: readonly GraphStep[],
  sources: readonly SourcePlan[],
  faults: Fault[],
): CheckedStep[] {
  const checked: CheckedStep[] = [];
  for (const step of steps) checked.push(checkStep(step, checked, sources, faults));
  checkIds(checked, sources, faults);
  checkEnds(checked, sources, faults);
  checkSplits(checked, faults);
  return checked;
}

function checkStep(
  step: GraphStep,
  before: readonly CheckedStep[],
  sources: readonly SourcePlan[],
  faults: Fault[],
): CheckedStep {
  const input = step.input < 0 ? null : before[step.input];
  switch (step.kind) {
    case 'map':
    case 'filter':
    case 'flatMap':
      return checkFunction(step, carriedBy(step.input, before, sources), faults);
    case 'keyBy':
      return step.selector?.kind === 'function'
        ? checkKeyByFunction(step, before, sources, faults)
        : checkKeyBy(step, input, before, sources, faults);
    case 'process':
      return checkProcess(step, carriedBy(step.input, before, sources), faults);
    case 'side':
      return checkSide(step, input, faults);
    case 'window':
      return isRecordWindow(step)
        ? checkRecordWindow(step, input, carriedBy(step.input, before, sources), faults)
        : checkWindow(step, input, faults);
    case 'interval-join':
    case 'lookup':
      return checkPair(step, faults);
    case 'topic':
      return checkTopic(step, input, carriedBy(step.input, before, sources), sources, faults);
    case 'remote-write':
      return checkRemoteWrite(
        step,
        carriedBy(step.input, before, sources),
        upstreamId(step.input, before, sources),
        step.input < 0 ? sources[sourceInput(step.input)] : null,
        faults,
      );
  }
}

function upstreamId(at: number, steps: readonly CheckedStep[], sources: readonly SourcePlan[]): string {
  return at < 0 ? sources[sourceInput(at)].id : steps[at].id;
}

/** What comes out of a step, or of a source. */
function carriedBy(at: number, steps: readonly CheckedStep[], sources: readonly SourcePlan[]): Carried {
  if (at < 0) {
    const { kind } = sources[sourceInput(at)];
    return kind === 'rows' ? 'rows of a topic' : kind;
  }
  const step = steps[at];
  switch (step.kind) {
    case 'map':
    case 'filter':
      return 'samples';
    case 'keyBy':
      return step.carries === 'samples' ? 'keyed samples' : 'keyed records';
    case 'window':
      return 'rows';
    default:
      return 'records';
  }
}

function checkFunction(step: FunctionStep, carried: Carried, faults: Fault[]): CheckedStep {
  checkIsFunction(step, faults);
  if (carried !== 'samples' && carried !== 'records') {
    const path = `${step.kind} ${show(step.id)}`;
    faults.push({ path, message: 'stands behind keyBy or a window', remedy: `put the ${step.kind} before keyBy` });
  }
  const { id, input } = step;
  return carried === 'records' || step.kind === 'flatMap'
    ? { kind: 'transform', id, input, function: step.kind }
    : { kind: step.kind, id, input };
}

function checkKeyByFunction(
  step: KeyByStep,
  before: readonly CheckedStep[],
  sources: readonly SourcePlan[],
  faults: Fault[],
): CheckedStep {
  const { selector, input, others } = step;
  const id = selector.kind === 'function' ? selector.id : '';
  const path = `keyBy ${show(id)}`;
  if (selector.kind === 'function' && typeof selector.apply !== 'function') {
    faults.push({ path, message: `${show(selector.apply)} is no function`, remedy: 'give keyBy(id, (record) => key)' });
  }
  for (const at of [input, ...others]) {
    const carried = carriedBy(at, before, sources);
    if (carried === 'records' || (carried === 'samples' && others.length === 0)) continue;
    const remedy =
      carried === 'samples' ? 'make records of them first: flatMap(id, (sample) => [sample])' : 'put keyBy before them';
    faults.push({ path, message: `takes records but is fed ${carried}`, remedy });
  }
  return { kind: 'keyBy', id, input, others, key: { function: id }, carries: 'records' };
}

function checkSide(
  step: Extract<GraphStep, { kind: 'side' }>,
  input: CheckedStep | null,
  faults: Fault[],
): CheckedStep {
  const of = input?.kind === 'process' || input?.kind === 'keyed' ? input : null;
  if (of === null || !of.sides.includes(step.name)) {
    const known = of === null || of.sides.length === 0 ? 'none' : of.sides.join(', ');
    faults.push({
      path: `side ${show(step.name)}`,
      message: `is no side output of ${show(input?.id)} (declared: ${known})`,
      remedy: `name it in the function's sides: ['${String(step.name)}']`,
    });
  }
  return { kind: 'side', id: derivedId(`${input?.id ?? ''}-${idPart(step.name)}`), input: step.input, name: step.name };
}

function checkKeyBy(
  step: KeyByStep,
  input: CheckedStep | null,
  before: readonly CheckedStep[],
  sources: readonly SourcePlan[],
  faults: Fault[],
): CheckedStep {
  const selector = step.selector;
  const key: KeyPlan = selector?.kind === 'labels' ? { labels: [...selector.labels] } : 'series';
  const name = key === 'series' ? 'series' : key.labels.map(idPart).join('-');
  const path = key === 'series' ? 'keyBy(series)' : `keyBy(by(${key.labels.map(show).join(', ')}))`;
  const fault = (message: string, remedy: string) => faults.push({ path, message, remedy });
  if (selector?.kind !== 'labels' && selector?.kind !== 'series') {
    fault(`${show(selector)} is no key`, "use keyBy(series) or keyBy(by('service'))");
  }
  const carried = carriedBy(step.input, before, sources);
  if (carried === 'records')
    fault('takes samples but is fed records', 'name the key by a function: keyBy(id, (record) => key)');
  else if (carried !== 'samples') fault('stands behind keyBy or a window', 'put keyBy before the first window, once');
  if (key !== 'series') {
    if (key.labels.length === 0) fault('names no label', "name labels, or use keyBy(series) for all: by('service')");
    for (const [at, label] of key.labels.entries()) {
      if (typeof label !== 'string' || label === '') fault(`${show(label)} is no label name`, 'name labels as text');
      else if (key.labels.indexOf(label) !== at) fault(`label '${label}' stands twice`, 'name each label once');
    }
  }
  const only = sources.length === 1;
  const upstream = input?.id ?? (only ? null : sources[sourceInput(step.input)].id);
  const id = `${upstream === null ? '' : `${upstream}-`}key-by-${name}`;
  return { kind: 'keyBy', id: derivedId(id), input: step.input, others: [], key, carries: 'samples' };
}

function checkWindow(step: WindowStep, input: CheckedStep | null, faults: Fault[]): CheckedStep {
  const path = `window ${show(step.id)}`;
  const fault = (field: string, message: string, remedy: string) =>
    faults.push({ path: path + field, message, remedy });
  const kind = step.aggregates[0]?.kind;
  const aggregate = kind === 'stats' || kind === 'mergedStats' ? kind : undefined;
  if (aggregate === undefined) {
    fault('', 'has no aggregate', 'add .aggregate(stats()), or .aggregate(mergedStats()) on windows of windows');
  } else if (step.aggregates.length > 1) fault('', 'is aggregated twice', 'open a second window with its own id');
  const upstream = input?.kind === 'window' ? input : null;
  if (upstream === null && input?.kind !== 'keyBy') {
    fault('', 'has no key', 'put keyBy(series) or keyBy(by(…)) before it');
  } else if (input?.kind === 'keyBy' && input.carries === 'records') {
    fault('', 'takes samples but is fed records', 'fold records with reduce, process or an aggregate of your own');
  } else if (upstream === null && aggregate === 'mergedStats') {
    fault('', 'merges window results but is fed samples', 'use stats() here, mergedStats() on a window of windows');
  } else if (upstream !== null && aggregate === 'stats') {
    fault('', `takes samples but is fed windows of '${upstream.id}'`, 'use mergedStats() here');
  }
  const sizeMs = checkSize(step, upstream, fault);
  const allowedLatenessMs = checkLateness(step, upstream, faults, fault);
  return {
    kind: 'window',
    id: step.id,
    input: step.input,
    sizeMs,
    allowedLatenessMs,
    aggregate: aggregate ?? 'stats',
  };
}

type FieldFault = (field: string, message: string, remedy: string) => void;
type CheckedWindow = Extract<CheckedStep, { kind: 'window' }>;

function checkSize(step: WindowStep, upstream: CheckedWindow | null, fault: FieldFault): number {
  const size = step.window?.kind === 'tumbling' ? step.window.size : undefined;
  const sizeMs = typeof size === 'string' ? parseDuration(size) : null;
  if (step.window?.kind !== 'tumbling' || sizeMs === null) {
    fault('.size', `${show(size)} is no duration`, "write it as tumbling('1m')");
    return WINDOW_MS_MIN;
  }
  if (sizeMs < WINDOW_MS_MIN || sizeMs > WINDOW_MS_MAX) {
    fault('.size', `${size} is out of range`, 'choose from 1s to 366d');
  } else if (upstream !== null && (sizeMs % upstream.sizeMs !== 0 || sizeMs === upstream.sizeMs)) {
    const of = formatDuration(upstream.sizeMs);
    fault('.size', `${size} is no multiple of ${of}, the size of '${upstream.id}'`, `choose 2 × ${of} or more`);
  }
  return sizeMs;
}

/** Windows of windows are corrected as long as what feeds them, no longer and no shorter. */
function checkLateness(step: WindowStep, upstream: CheckedWindow | null, faults: Fault[], fault: FieldFault): number {
  const options = new OptionReader(faults, `window ${show(step.id)}`, step.window?.options, ['allowedLateness']);
  const latenessMs = options.duration('allowedLateness', upstream?.allowedLatenessMs ?? 0);
  if (upstream === null || latenessMs === upstream.allowedLatenessMs) return latenessMs;
  const [own, theirs] = [formatDuration(latenessMs), formatDuration(upstream.allowedLatenessMs)];
  const less = latenessMs < upstream.allowedLatenessMs;
  const why = less ? 'whose corrections would be lost' : 'after which nothing comes';
  const message = `${own} is ${less ? 'less' : 'more'} than the ${theirs} of '${upstream.id}', ${why}`;
  fault('.allowedLateness', message, 'leave it out here; set it where the samples come in');
  return upstream.allowedLatenessMs;
}

function checkIds(steps: readonly CheckedStep[], sources: readonly SourcePlan[], faults: Fault[]): void {
  const seen = new Map([[EXCHANGE_SOURCE_ID, 'what reads exchanges']]);
  for (const { id } of sources) {
    const name = sources.length === 1 ? 'the source' : `source '${id}'`;
    const path = sources.length === 1 ? 'source.id' : `sources.${id}.id`;
    if (id === EXCHANGE_SOURCE_ID) faults.push({ path, message: `'${id}' is taken`, remedy: 'choose another id' });
    else if (!ID_PATTERN.test(id))
      faults.push({ path, message: `${show(id)} is no id`, remedy: 'use 1 to 64 of a-z, 0-9 and -' });
    else if (seen.has(id)) faults.push({ path, message: `'${id}' stands twice`, remedy: 'choose another id' });
    seen.set(id, name);
  }
  for (const step of steps) {
    const path = `${step.kind} ${show(step.id)}`;
    const derived =
      step.kind === 'topic' ||
      step.kind === 'remote-write' ||
      step.kind === 'side' ||
      (step.kind === 'keyBy' && step.carries === 'samples');
    const authored = !derived;
    if (authored && (typeof step.id !== 'string' || !ID_PATTERN.test(step.id))) {
      faults.push({ path, message: `${show(step.id)} is no id`, remedy: 'use 1 to 64 of a-z, 0-9 and -' });
      continue;
    }
    const first = seen.get(step.id);
    if (first === undefined) seen.set(step.id, path);
    else faults.push({ path, message: `has the id of ${first}`, remedy: 'give each step an id of its own' });
  }
}

function checkEnds(steps: readonly CheckedStep[], sources: readonly SourcePlan[], faults: Fault[]): void {
  if (!steps.some(isSink)) {
    faults.push({ path: 'build', message: 'sends nothing anywhere', remedy: "end with .to(topic('…'))" });
  }
  for (const [place, { id }] of sources.entries()) {
    if (sources.length === 1 || steps.some((step) => reads(step, sourceInput(place)))) continue;
    faults.push({
      path: `sources.${id}`,
      message: 'is read by nothing',
      remedy: 'use its stream in build, or remove it',
    });
  }
  for (const [at, step] of steps.entries()) {
    if (step.kind === 'remote-write') checkAlone(step, steps, faults);
    if (isSink(step) || steps.some((other) => reads(other, at))) continue;
    faults.push({
      path: `${step.kind} ${show(step.id)}`,
      message: 'leads nowhere',
      remedy: "end it with .to(topic('…')), or remove it",
    });
  }
}

function isSink({ kind }: CheckedStep): boolean {
  return kind === 'topic' || kind === 'remote-write';
}

function reads(step: CheckedStep, at: number): boolean {
  return step.input === at || (step.kind === 'keyBy' && step.others.includes(at));
}
