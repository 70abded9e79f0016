// Restarts: a crash loop is the end of a task, an outage is not.

import { expect, test } from 'vitest';
import { InvariantError, StreamError } from '#runtime/std/errors.ts';
import type { StageProgram } from '#runtime/task/contract.ts';
import type { TaskEnvironment } from '#runtime/task/task-environment.ts';
import { ToyWorld } from '#test/runtime/task/toy-world.ts';
import { WORLD_EPOCH_MS } from '#test/simulation/world/clock.ts';

/** The toy stage with a head that looks at every batch first. */
function watched(program: () => StageProgram, look: (values: Float64Array) => void): () => StageProgram {
  return () => {
    const stage = program();
    return {
      ...stage,
      head: {
        process(batch) {
          look(batch.value.subarray(0, batch.count));
          stage.head.process(batch);
        },
      },
    };
  };
}

test('a record that no attempt survives ends the task, with the cause and a remedy', async () => {
  const toy = new ToyWorld();
  toy.program = watched(toy.program, (values) => {
    if (values.includes(666)) throw new TypeError('cannot read the number of the beast');
  });
  const running = toy.launch();
  toy.feed(`${WORLD_EPOCH_MS} 1`, `${WORLD_EPOCH_MS} 666`);
  expect(await toy.until(() => running.outcome !== null, 120_000)).toBe(true);
  expect(running.outcome).toMatchObject({ kind: 'failed', failure: { code: 'task-crash-loop' } });
  const failure = running.outcome?.kind === 'failed' ? running.outcome.failure : null;
  expect(failure?.message).toContain('cannot read the number of the beast');
  expect(failure?.remedy).not.toBe('');
  expect(toy.committed('out'), 'nothing of the failing entry was published').toEqual([]);
});

test('a task that commits something in every attempt and crashes then is in a crash loop too', async () => {
  const toy = new ToyWorld();
  const { program } = toy;
  toy.program = () => {
    const bornMs = toy.world.scheduler.nowMs;
    const leaking = () => {
      if (toy.world.scheduler.nowMs - bornMs > 3_000) throw new InvariantError('broken after a while');
    };
    return watched(program, leaking)();
  };
  const running = toy.launch();
  for (let i = 0; i < 200 && running.outcome === null; i++) {
    // Each closes a window, so that every attempt commits some entries.
    toy.feed(`${WORLD_EPOCH_MS + i * 60_000} 1`);
    await toy.pass(1_000);
  }
  expect(toy.committed('out').length).toBeGreaterThan(8);
  expect(running.outcome).toMatchObject({ kind: 'failed', failure: { code: 'task-crash-loop' } });
});

test('a task that crashes right after a long replay is in a crash loop, however long the replay takes', async () => {
  const toy = new ToyWorld();
  let poisoned = false;
  toy.program = watched(toy.program, (values) => {
    if (values.includes(666)) throw new TypeError('not this one');
  });
  const inhabitant = toy.world.start('p');
  toy.owner = inhabitant.process.id;
  const breathe = () => inhabitant.process.after(poisoned ? 5_000 : 0, 'breathe', () => {});
  // A disk that takes no checkpoint: every attempt replays everything.
  const { checkpoints } = toy.environment(inhabitant);
  const refusing: TaskEnvironment['checkpoints'] = (identity, attempt) => {
    const own = checkpoints(identity, attempt);
    const capture = own.capture.bind(own);
    own.capture = (moment) => {
      const pending = capture(moment);
      pending.publish = () => Promise.reject(new StreamError('disk-failed', 'the disk is full', 'make room'));
      return pending;
    };
    return own;
  };
  const running = toy.run(inhabitant, toy.environment(inhabitant, { breathe, checkpoints: refusing }));
  for (let i = 0; i < 20; i++) {
    toy.feed(`${WORLD_EPOCH_MS + i * 60_000} 1`);
    await toy.pass(300);
  }
  expect(toy.entries().length).toBeGreaterThan(15);
  poisoned = true;
  toy.feed(`${WORLD_EPOCH_MS} 666`);
  expect(await toy.until(() => running.outcome !== null, 7_200_000)).toBe(true);
  expect(running.outcome).toMatchObject({ kind: 'failed', failure: { code: 'task-crash-loop' } });
});

test('after a replay beyond its budget a task goes on only when a checkpoint is written: no crash replays it again', async () => {
  const toy = new ToyWorld();
  let poisoned = false;
  toy.program = watched(toy.program, (values) => {
    if (values.includes(666)) throw new TypeError('not this one');
  });
  const inhabitant = toy.world.start('p');
  toy.owner = inhabitant.process.id;
  const breathe = () => inhabitant.process.after(poisoned ? 500 : 0, 'breathe', () => {});
  const running = toy.run(inhabitant, toy.environment(inhabitant, { breathe }));
  for (let i = 0; i < 20; i++) {
    toy.feed(`${WORLD_EPOCH_MS + i * 60_000} 1`);
    await toy.pass(300);
  }
  poisoned = true;
  toy.feed(`${WORLD_EPOCH_MS} 666`);
  const replayed: number[] = [];
  const look = () => {
    const attempts = running.supervisor.failures.length;
    replayed[attempts] = running.supervisor.status()?.replayedEntries ?? 0;
    return running.outcome !== null;
  };
  expect(await toy.until(look, 600_000)).toBe(true);
  expect(replayed[1], 'the first restart replays').toBeGreaterThan(15);
  expect(replayed.slice(2, -1), 'no other does').toEqual([0, 0, 0, 0, 0, 0]);
  const [first] = toy.said('restarting');
  expect(first.message).toMatch(/replaying \d+ entries, because no checkpoint was written yet$/);
  expect(toy.said('restarting').at(-1)?.message).not.toMatch(/replaying/);
});

test('crashes that are far apart are no crash loop', async () => {
  const toy = new ToyWorld();
  let crashAt = 0;
  toy.program = watched(toy.program, () => {
    if (toy.world.scheduler.nowMs < crashAt) return;
    crashAt = toy.world.scheduler.nowMs + 90_000;
    throw new Error('now and then');
  });
  const running = toy.launch();
  for (let i = 0; i < 200; i++) {
    toy.feed(`${WORLD_EPOCH_MS + i * 5_000} 1`);
    await toy.pass(5_000);
  }
  expect(running.outcome).toBeNull();
  expect(running.supervisor.restarts).toBeGreaterThan(8);
});

test('a fault of the world is waited out however long, at growing distances', async () => {
  const toy = new ToyWorld();
  let asked: number[] = [];
  const inhabitant = toy.world.start('p');
  const running = toy.run(
    inhabitant,
    toy.environment(inhabitant, {
      ownership: {
        owns: async () => {
          asked.push(toy.world.scheduler.nowMs);
          throw new StreamError('log-unavailable', 'nobody answers', 'wait');
        },
      },
    }),
  );
  await toy.pass(3_600_000);
  expect(running.outcome).toBeNull();
  expect(asked.length, 'a pause of ten seconds at most').toBeGreaterThan(300);
  expect(asked.length, 'no storm').toBeLessThan(400);
  expect(running.supervisor.failures.length).toBeLessThanOrEqual(20);
  asked = [];
  running.supervisor.stop();
  await toy.pass(1_000);
  expect(running.outcome).toEqual({ kind: 'stopped' });
  expect(asked).toEqual([]);
});

test('what will not pass ends the task at once', async () => {
  const toy = new ToyWorld();
  toy.world.cluster.deleteTopics(['in']);
  const running = toy.launch();
  expect(await toy.until(() => running.outcome !== null)).toBe(true);
  expect(running.outcome).toMatchObject({ kind: 'failed', failure: { code: 'topic-unknown' } });
  expect(running.supervisor.restarts).toBe(0);
});

test('a crash while a task stops is told, not taken for a clean stop', async () => {
  const toy = new ToyWorld();
  const { program } = toy;
  toy.program = () => {
    const stage = program();
    const [sums] = stage.operators;
    sums.endEntry = () => {
      throw new InvariantError('cannot end');
    };
    return stage;
  };
  const running = toy.launch();
  await toy.pass(1_000);
  toy.feed(`${WORLD_EPOCH_MS} 1`);
  await toy.pass(100);
  running.supervisor.stop();
  expect(await toy.until(() => running.outcome !== null)).toBe(true);
  expect(running.outcome).toMatchObject({ kind: 'failed', failure: { code: 'invariant' } });
});
