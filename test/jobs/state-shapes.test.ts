// What differs between the states of two versions of a job is found without running either, and refused with all its
// faults, by operator.

import { describe, expect, test } from 'vitest';
import { compileJob } from '#jobs/compile.ts';
import {
  defineJob,
  integer,
  type JobDefinition,
  json,
  migrating,
  records,
  rollups,
  type StateCodec,
  topic,
  valueState,
} from '#jobs/millrace.ts';
import { differencesFault, savedStates, stateDifferences, stateShapes } from '#jobs/state-shapes.ts';

interface Options {
  readonly name?: string;
  readonly process?: string;
  readonly state?: Readonly<Record<string, StateCodec<unknown>>>;
  readonly source?: string;
  readonly partitionedBy?: 'producer';
}

/** For lists of codecs of any kind. */
function some<V>(codec: StateCodec<V>): StateCodec<unknown> {
  return codec as unknown as StateCodec<unknown>;
}

function job({ name = 'steps', process = 'count', state, source = 'web', partitionedBy }: Options = {}): JobDefinition {
  const codecs = state ?? { seen: some(integer()) };
  return defineJob({
    name,
    source: records<{ user: string }>({ topic: 'web', id: source, partitionedBy }),
    build: (web) => {
      web
        .keyBy('by-user', ({ user }) => user)
        .process(process, {
          state: Object.fromEntries(Object.entries(codecs).map(([id, codec]) => [id, valueState(codec)])),
          process() {},
        })
        .to(topic('out'));
    },
  });
}

const RUN = { namespace: 'n', job: 'steps', run: 'live', generation: 0 };
const SOURCES = { web: { partitionCount: 2, maxMessageBytes: 1_000_000 } };

function between(was: JobDefinition, now: JobDefinition) {
  const [before, after] = [compileJob(was), compileJob(now)];
  const saved = savedStates(before.plan, stateShapes(before, RUN, SOURCES));
  return stateDifferences(saved, after.plan, stateShapes(after, RUN, SOURCES));
}

const same = { otherJob: null, added: [], dropped: [], library: [], changed: [], rekeyed: [] };

function fault(was: JobDefinition, now: JobDefinition, droppedState = false) {
  return differencesFault(between(was, now), compileJob(now).plan.job, { droppedState });
}

describe('between two versions of a job', () => {
  test('nothing differs when nothing did', () => {
    expect(between(job(), job())).toEqual(same);
    expect(fault(job(), job())).toBeNull();
  });

  test('a new state is told and allowed', () => {
    const now = job({ state: { seen: some(integer()), last: some(json()) } });
    const added = [{ stage: 'count', operator: 'count', stateId: 'count/last' }];
    expect(between(job(), now)).toEqual({ ...same, added });
    expect(fault(job(), now)).toBeNull();
  });

  test('a dropped state is refused unless it is allowed, and named by its operator', () => {
    const was = job({ state: { seen: some(integer()), keys: some(json()) } });
    const dropped = [{ stage: 'count', operator: 'count', stateId: 'count/keys' }];
    expect(between(was, job())).toEqual({ ...same, dropped });
    expect(fault(was, job())).toMatchObject({
      code: 'version-mismatch',
      message: expect.stringContaining("count: state 'count/keys' would be dropped"),
      remedy: expect.stringContaining('--allow-dropped-state'),
    });
    expect(fault(was, job(), true)).toBeNull();
  });

  test('a renamed operator drops its states and adds others', () => {
    const differences = between(job(), job({ process: 'tally' }));
    expect(differences.dropped.map(({ stateId }) => stateId)).toContain('count/seen');
    expect(differences.added.map(({ stateId }) => stateId)).toContain('tally/seen');
    expect(fault(job(), job({ process: 'tally' }))?.message).toContain('count:');
  });

  test('another schema is refused, unless there is a migration', () => {
    const now = job({ state: { seen: some(json()) } });
    expect(between(job(), now).changed).toMatchObject([{ stateId: 'count/seen', migrates: false }]);
    expect(fault(job(), now)?.message).toMatch(/count: state 'count\/seen' has schema \d+, now \d+, and no migration/);
    expect(fault(job(), now, true)).not.toBeNull();
    const codec = migrating(json(), { from: integer(), migrate: (n: number) => ({ n }) });
    const migrated = job({ state: { seen: some(codec) } });
    expect(between(job(), migrated).changed).toMatchObject([{ stateId: 'count/seen', migrates: true }]);
    expect(fault(job(), migrated)).toBeNull();
  });

  test('all faults are listed at once', () => {
    const was = job({ state: { a: some(integer()), b: some(integer()), c: some(integer()) } });
    const message = fault(was, job({ state: { a: some(json()) } }))?.message;
    for (const state of ["'count/a' has schema", "'count/b' would be dropped", "'count/c' would be dropped"]) {
      expect(message).toContain(state);
    }
  });

  test('a state that is kept by keys of another keyBy is refused, whatever is allowed', () => {
    const was = job({ partitionedBy: 'producer' });
    const now = defineJob({
      name: 'steps',
      source: records<{ user: string }>({ topic: 'web', id: 'web', partitionedBy: 'producer' }),
      build: (web) => {
        const keyed = web.keyBy('by-name', ({ user }) => user);
        keyed.process('count', { state: { seen: valueState(integer()) }, process() {} }).to(topic('out'));
      },
    });
    expect(between(was, now).rekeyed.map(({ stateId }) => stateId)).toContain('count/seen');
    expect(fault(was, now, true)?.message).toContain('kept by keys of another source or keyBy');
  });

  test('the state of another job is refused', () => {
    expect(fault(job({ name: 'others' }), job())).toMatchObject({
      message: 'job steps cannot take over the state of job others',
    });
  });

  test('rollups with lateness keep what rollups without do not', () => {
    const rolled = (allowedLateness: string) => rollups({ topic: 'web', allowedLateness });
    const run = { ...RUN, job: 'rollups' };
    const [before, after] = [compileJob(rolled('0s')), compileJob(rolled('1m'))];
    const saved = savedStates(before.plan, stateShapes(before, run, SOURCES));
    const differences = stateDifferences(saved, after.plan, stateShapes(after, run, SOURCES));
    expect(differences.added.map(({ stateId }) => stateId)).toEqual(['5m/panes', '1h/panes', '1d/panes']);
    expect(differences.dropped).toEqual([]);
  });
});
