// What is answered of a task's state is what it was behind one committed entry; whoever asks is answered or refused,
// whatever becomes of the task.

import { expect, test } from 'vitest';
import type { StageProgram } from '#runtime/task/contract.ts';
import type { StateAnswer } from '#runtime/task/state-questions.ts';
import { toyStage } from '#test/harness/toy-stage.ts';
import { type RunningToy, ToyWorld } from '#test/runtime/task/toy-world.ts';
import { WORLD_EPOCH_MS } from '#test/simulation/world/clock.ts';
import { Random } from '#test/simulation/world/random.ts';

const ALL = Buffer.from('all');

/** The toy stage with a count of its rows, under one key. */
function countedStage(): StageProgram {
  const stage = toyStage({ outputTopic: 'out', deadLetterTopic: 'dead' });
  let rows = 0;
  const look = () => ({ states: { rows }, eventTimersMs: [], clockTimersMs: [] });
  const directory = {
    stateId: 'toy/keys',
    size: 1,
    slotCount: 1,
    isLive: () => true,
    canonicalBytes: () => ALL,
    find: (bytes: Uint8Array) => (ALL.equals(bytes) ? 0 : -1),
  };
  return {
    ...stage,
    operators: stage.operators.map((operator) => Object.assign(operator, { look })),
    keys: new Map([['sums', directory]]),
    head: {
      process(batch) {
        rows += batch.count;
        stage.head.process(batch);
      },
    },
  };
}

function startedToy(): { readonly toy: ToyWorld; readonly running: RunningToy } {
  const toy = new ToyWorld();
  toy.program = countedStage;
  return { toy, running: toy.launch({ commitIntervalMs: 200, quietIntervalMs: 5_000 }) };
}

test('an answer is of the entry that it names, at whatever moment it is asked', async () => {
  const { toy, running } = startedToy();
  const random = new Random(3);
  const answers: StateAnswer[] = [];
  await toy.pass(1_000);
  for (let i = 0; i < 60; i++) {
    toy.feed(...Array.from({ length: random.range(1, 5) }, () => `${WORLD_EPOCH_MS + random.int(300_000)} 1`));
    await toy.pass(random.pick([0, 1, 3, 40, 900]));
    running.supervisor.readState({ operator: 'sums' }).then((answer) => answers.push(answer as StateAnswer));
  }
  await toy.pass(2_000);
  expect(answers).toHaveLength(60);
  const entries = new Map(toy.entries().map((entry) => [entry['number'], entry]));
  for (const { entry, keys, partition, clockMs, next } of answers) {
    const { inputs, clockMs: entryClockMs } = entries.get(entry) as {
      inputs: { endOffset: string }[];
      clockMs: number;
    };
    expect(keys).toEqual([
      { key: 'all', states: { rows: Number(inputs[0].endOffset) }, eventTimersMs: [], clockTimersMs: [] },
    ]);
    expect({ partition, clockMs, next }).toEqual({ partition: 0, clockMs: entryClockMs, next: null });
  }
  expect(new Set(answers.map(({ entry }) => entry)).size).toBeGreaterThan(10);
});

test('a quiet task answers at once, and commits nothing for it', async () => {
  const { toy, running } = startedToy();
  await toy.pass(1_000);
  const before = toy.entries().length;
  let answer: unknown;
  running.supervisor.readState({ operator: 'sums', key: 'all' }).then((given) => {
    answer = given;
  });
  await toy.pass(1);
  expect(answer).toMatchObject({ entry: before - 1, watermarkMs: null, keys: [{ key: 'all', states: { rows: 0 } }] });
  expect(toy.entries()).toHaveLength(before);
});

test('an unknown operator, a wrong query, a task that does not run: each is told apart', async () => {
  const { toy, running } = startedToy();
  await expect(running.supervisor.readState({ operator: 'sums' })).rejects.toMatchObject({ code: 'state-unreadable' });
  await toy.pass(1_000);
  const given: unknown[] = [];
  const note = (what: unknown) => given.push(what);
  running.supervisor.readState({ operator: 'none' }).then(note, note);
  running.supervisor.readState({ operator: 'sums', limit: 0 }).then(note, note);
  await toy.pass(1);
  expect(given).toEqual([null, expect.objectContaining({ code: 'config-invalid' })]);
});

test('too many questions at once are refused, and none is left when the task ends', async () => {
  const { toy, running } = startedToy();
  await toy.pass(1_000);
  const codes: string[] = [];
  for (let i = 0; i < 70; i++) {
    running.supervisor.readState({ operator: 'sums' }).then(
      () => codes.push('answered'),
      ({ code, message }) => codes.push(`${code}: ${message}`),
    );
  }
  running.supervisor.abort();
  await toy.pass(5_000);
  expect(codes.filter((code) => code.includes('asked too much'))).toHaveLength(6);
  expect(codes.filter((code) => code.includes('ended'))).toHaveLength(64);
  await expect(running.supervisor.readState({ operator: 'sums' })).rejects.toMatchObject({ code: 'state-unreadable' });
});

test('whoever asks without a pause does not make a transaction of everything, and waits for none', async () => {
  const { toy, running } = startedToy();
  await toy.pass(1_000);
  const before = toy.entries().length;
  let [answers, longestMs] = [0, 0];
  let asking = true;
  const ask = async () => {
    while (asking) {
      const askedMs = toy.world.scheduler.nowMs;
      await running.supervisor.readState({ operator: 'sums' });
      longestMs = Math.max(longestMs, toy.world.scheduler.nowMs - askedMs);
      answers++;
      await running.inhabitant.process.after(1, 'the way there and back', () => {});
    }
  };
  const client = ask();
  for (let i = 0; i < 500; i++) {
    toy.feed(`${WORLD_EPOCH_MS + i} 1`);
    await toy.pass(10);
  }
  asking = false;
  await toy.pass(100);
  await client;
  const entries = toy.entries().length - before;
  expect(entries).toBeGreaterThan(40);
  expect(entries, '5 s, an entry in 50 ms').toBeLessThanOrEqual(102);
  expect(answers).toBeGreaterThanOrEqual(entries);
  expect(longestMs).toBeLessThanOrEqual(100);
});
