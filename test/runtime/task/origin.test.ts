// What a new generation begins with follows from the parts of the savepoint alone.

import { expect, test } from 'vitest';
import type { TopicDescription } from '#runtime/log/contract.ts';
import { beganClock, entryOrigin, type OriginPart, sourcePosition, type TaskOrigin } from '#runtime/task/origin.ts';
import { ToyWorld } from '#test/runtime/task/toy-world.ts';

const plan = new ToyWorld().plan();

function part(partition: number, watermarkMs: number | null, clockMs = 1): OriginPart {
  const checkpoint = { name: `m-${partition}`, entry: 3, chainHash: `c-${partition}`, digest: 'd', sizeBytes: 1 };
  const inputs = [{ topic: 'in', topicId: 'id', partition, endOffset: '17' }];
  return { identity: { ...plan.identity, partition }, checkpoint, inputs, watermarkMs, clockMs };
}

function origin(...parts: OriginPart[]): TaskOrigin {
  return { savepoint: 's1', partitions: 4, parts };
}

test('no key goes back behind what it has seen: the watermark is the largest of the parts', () => {
  expect(entryOrigin(origin(part(0, 50), part(1, 100), part(2, 70))).watermarkMs).toBe(100);
  expect(entryOrigin(origin(part(0, null), part(1, -5))).watermarkMs).toBe(-5);
  expect(entryOrigin(origin(part(0, null), part(1, null))).watermarkMs).toBeNull();
  expect(entryOrigin(origin()).watermarkMs).toBeNull();
});

test('the clock goes on from the latest of the parts, or from now', () => {
  expect(beganClock(origin(part(0, 1, 500), part(1, 1, 900)), 700)).toBe(900);
  expect(beganClock(origin(part(0, 1, 500)), 700)).toBe(700);
  expect(beganClock(origin(), 700)).toBe(700);
});

test('the entry names every part, so that it can be done again', () => {
  expect(entryOrigin(origin(part(0, 1), part(1, 2)))).toMatchObject({
    savepoint: 's1',
    partitions: 4,
    parts: [
      { identity: { partition: 0 }, manifest: 'm-0', chainHash: 'c-0', digest: 'd' },
      { identity: { partition: 1 }, manifest: 'm-1', chainHash: 'c-1', digest: 'd' },
    ],
  });
});

test('a source goes on where it was, a partition that was added begins, and another topic is refused', () => {
  const topic: TopicDescription = { topic: 'in', topicId: 'id', partitionCount: 1 };
  expect(sourcePosition(plan, origin(part(0, 1)), topic)).toBe(17n);
  expect(sourcePosition(plan, origin(), topic)).toBeNull();
  const other = { ...topic, topicId: 'other' };
  expect(() => sourcePosition(plan, origin(part(0, 1)), other)).toThrow(
    'deleted and created again since the savepoint',
  );
});
