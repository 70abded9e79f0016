// What tasks weigh follows how busy they are measured to be; those that do nothing weigh something, too.

import { expect, test } from 'vitest';
import { LastWords } from '#runtime/slot/last-words.ts';
import type { TaskReport } from '#runtime/slot/messages.ts';
import { taskWeights } from '#runtime/slot/task-weights.ts';
import type { BusyMeasure } from '#runtime/task/busy-share.ts';
import { task } from './slot-scene.ts';

test('a task that was not measured weighs as the mean, and an idle one least of all', () => {
  const weights = taskWeights([
    ['hot', 0.8],
    ['idle', 0],
    ['new', null],
  ]);
  expect(weights.get('new')).toBeCloseTo(0.4 + 0.04, 2);
  expect(weights.get('idle')).toBeGreaterThan(0);
  expect((weights.get('hot') as number) / (weights.get('idle') as number)).toBeGreaterThan(10);
});

test('where nothing is known all weigh the same, and so they do where nothing is done', () => {
  const weighed = (share: number | null) =>
    new Set(
      taskWeights([
        ['a', share],
        ['b', share],
      ] as const).values(),
    );
  expect(weighed(null).size).toBe(1);
  expect(weighed(0).size).toBe(1);
  expect([...weighed(0)][0]).toBeGreaterThan(0);
});

function report(busy: BusyMeasure): TaskReport {
  const figures = { busy } as TaskReport['figures'];
  return {
    assignment: task('a', 0),
    status: null,
    restarts: 0,
    failures: [],
    exceptions: [],
    figures,
    stuckMs: 0,
  };
}

const HOT = { share: 0.8, overSeconds: 50 };
const FRESH = { share: 0, overSeconds: 0.5 };

test.each<[string, (words: LastWords) => void]>([
  ['moved to another slot', (words) => words.moved(report(HOT))],
  ['lost its slot', (words) => words.lost(task('a', 0))],
  ['was stopped and started', (words) => words.ended(report(HOT))],
])('how busy a task is stays known when it %s', (_, happens) => {
  const words = new LastWords();
  expect(words.busy(task('a', 0))).toBeNull();
  words.heard(0, [report(HOT)]);
  happens(words);
  expect(words.busy(task('a', 0))?.share).toBeCloseTo(HOT.share, 5);
  words.heard(1, [report(FRESH)]);
  expect(words.busy(task('a', 0))?.share).toBeGreaterThan(0.7);
  expect(words.busy(task('a', 1))).toBeNull();
});
