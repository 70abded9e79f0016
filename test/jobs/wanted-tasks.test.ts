import { describe, expect, test } from 'vitest';
import { slotsHere, wantedTasks } from '#jobs/wanted-tasks.ts';
import type { ControlRecord } from '#runtime/control/control-log.ts';

function told(job: string, state: string, parallelism: number, tasks?: Record<string, number>): ControlRecord {
  return {
    kind: 'job-wanted',
    job,
    state,
    generation: 0,
    settings: { parallelism, checkpointIntervalMs: 1_000, commitIntervalMs: 100 },
    version: 'v',
    ...(tasks && { tasks }),
    atMs: 1,
  } as unknown as ControlRecord;
}

describe('tasks that there are', () => {
  test('are those of jobs that are to run, stage by stage', () => {
    const records = [told('a', 'RUNNING', 3, { read: 2, 'write/it': 1 }), told('b', 'PAUSED', 1, { read: 4 })];
    expect(wantedTasks(records)).toEqual([
      { task: 'a.live.0.read.0', job: 'a', parallelism: 3 },
      { task: 'a.live.0.read.1', job: 'a', parallelism: 3 },
      { task: 'a.live.0.write/it.0', job: 'a', parallelism: 3 },
    ]);
  });

  test('are not those of a job that failed, is held, or was never prepared', () => {
    const word = (run: 'go' | 'hold' | 'failed'): ControlRecord => ({
      kind: 'job-run',
      job: 'a',
      run,
      failure: null,
      atMs: 2,
    });
    const running = told('a', 'RUNNING', 1, { read: 1 });
    expect(wantedTasks([running, word('failed')])).toEqual([]);
    expect(wantedTasks([running, word('hold')])).toEqual([]);
    expect(wantedTasks([running, word('hold'), word('go')])).toHaveLength(1);
    expect(wantedTasks([told('a', 'RUNNING', 1)])).toEqual([]);
  });
});

describe('slots of one process for a job', () => {
  const slots = (parallelism: number, members: number[], has: { tasks: number; slots: number }) => {
    const records = [told('a', 'RUNNING', parallelism, { read: 6, write: 6 })];
    return slotsHere(
      records,
      members.map((count) => ({ slots: count })),
      'a',
      has,
    ).slots;
  };

  test('are those that the group means while there are enough', () => {
    expect(slots(4, [2, 2], { tasks: 6, slots: 2 })).toBe(2);
    expect(slots(3, [4, 2], { tasks: 8, slots: 3 })).toBe(3);
  });

  test('are the part of what the job asks for when there are not enough, and never more than tasks', () => {
    expect(slots(8, [2], { tasks: 12, slots: 2 })).toBe(8);
    expect(slots(8, [2, 2], { tasks: 6, slots: 2 })).toBe(4);
    expect(slots(100, [2, 2], { tasks: 3, slots: 2 })).toBe(3);
    expect(slots(8, [2, 2], { tasks: 0, slots: 0 })).toBe(0);
  });
});
