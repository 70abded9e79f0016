// Owns checking the steps over records of any shape: functions, keys, functions with state and timers, side outputs.
// Every fault is collected.

import type { Fault } from '#jobs/faults.ts';
import type { FunctionStep, ProcessStep } from '#jobs/graph.ts';
import type { CheckedStep } from '#jobs/graph-check.ts';
import { isPlainObject, OptionReader, show } from '#jobs/option-reader.ts';
import type { ProcessFunctions, StatePlan } from '#jobs/plan.ts';
import type { StateDescription } from '#jobs/record-words.ts';
import type { ProcessCallbacks, StateDescriptor } from '#operators/process/contract.ts';

type CheckedProcess = Extract<CheckedStep, { kind: 'process' }>;

const NAME_PATTERN = /^[A-Za-z][A-Za-z0-9_-]{0,63}$/;
/** What a function has beside its states. */
const OWN_STATES = ['event-timers', 'clock-timers', 'time-to-live'];
const STATE_KINDS = ['value', 'list', 'map', 'aggregating'];

/** What a step gives, seen from the step behind it. */
export type Carried = 'samples' | 'rows' | 'rows of a topic' | 'records' | 'keyed samples' | 'keyed records';

export function checkIsFunction(step: Pick<FunctionStep, 'kind' | 'id' | 'apply'>, faults: Fault[]): void {
  if (typeof step.apply === 'function') return;
  const path = `${step.kind} ${show(step.id)}`;
  faults.push({ path, message: `${show(step.apply)} is no function`, remedy: `give ${step.kind}(id, function)` });
}

export function checkProcess(step: ProcessStep, carried: Carried, faults: Fault[]): CheckedProcess {
  const path = `process ${show(step.id)}`;
  const fault = (message: string, remedy: string, field = '') => faults.push({ path: path + field, message, remedy });
  if (carried !== 'keyed samples' && carried !== 'keyed records') fault('has no key', 'put keyBy before it');
  const spec: unknown = step.spec;
  const given = isPlainObject(spec) ? spec : {};
  const options = new OptionReader(faults, path, given, ['state', 'sides', 'process', 'onTimer']);
  if (typeof given['process'] !== 'function') fault('has no function', 'give process: (record, context) => …');
  if (given['onTimer'] !== undefined && typeof given['onTimer'] !== 'function') {
    options.fault('onTimer', `${show(given['onTimer'])} is no function`, 'give onTimer: (timer, context) => …');
  }
  const states: Record<string, StatePlan> = {};
  for (const [name, description] of Object.entries(isPlainObject(given['state']) ? given['state'] : {})) {
    const where = `${path}.state.${name}`;
    if (!NAME_PATTERN.test(name))
      fault(`${show(name)} is no name of a state`, 'use letters, digits, _ and -', '.state');
    if (OWN_STATES.includes(name)) fault(`'${name}' is taken`, 'choose another name', '.state');
    states[name] = checkState(description, where, faults);
  }
  const sides = Array.isArray(given['sides']) ? (given['sides'] as unknown[]) : [];
  for (const [at, side] of sides.entries()) {
    if (typeof side !== 'string' || !NAME_PATTERN.test(side))
      fault(`${show(side)} is no name`, 'use letters and digits', '.sides');
    else if (sides.indexOf(side) !== at) fault(`'${side}' stands twice`, 'name each side output once', '.sides');
  }
  return { kind: 'process', id: step.id, input: step.input, states, sides: sides as string[] };
}

function checkState(description: unknown, path: string, faults: Fault[]): StatePlan {
  const given = isPlainObject(description) ? (description as unknown as StateDescription<unknown>) : null;
  const codec = given?.codec;
  const isCodec = [codec?.write, codec?.read, codec?.own].every((one) => typeof one === 'function');
  if (given === null || !STATE_KINDS.includes(given.kind) || !isCodec || !Number.isInteger(codec?.schemaVersion)) {
    const remedy = 'describe it with valueState(codec), listState, mapState or aggregatingState';
    faults.push({ path, message: `${show(description)} is no state`, remedy });
    return { kind: 'value', codec: '', schemaVersion: 1, ttlMs: null, ttlUpdate: 'write' };
  }
  const options = new OptionReader(faults, path, given.options ?? {}, ['ttl', 'ttlUpdate']);
  return {
    kind: given.kind,
    codec: codec?.name ?? 'own',
    schemaVersion: codec?.schemaVersion ?? 1,
    ttlMs: given.options.ttl === undefined ? null : options.duration('ttl', 0, { min: 1 }),
    ttlUpdate: options.oneOf('ttlUpdate', ['write', 'read-and-write'], 'write'),
  };
}

/** The functions of a checked step, with its states as operators take them. */
export function processFunctions(step: ProcessStep, plans: Readonly<Record<string, StatePlan>>): ProcessFunctions {
  const states = new Map<string, StateDescriptor>();
  for (const [name, { kind, codec, aggregate, element, key }] of Object.entries(step.spec.state ?? {})) {
    const { ttlMs, ttlUpdate } = plans[name];
    const ttl = ttlMs === null ? null : { ms: ttlMs, update: ttlUpdate };
    states.set(name, { kind, codec, aggregate, element, key, value: element, ttl } as StateDescriptor);
  }
  const { process, onTimer } = step.spec;
  const callbacks = { process, ...(onTimer === undefined ? {} : { onTimer }) } as unknown as ProcessCallbacks;
  return { callbacks, states };
}
