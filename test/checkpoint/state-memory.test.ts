// The memory of a slot for keyed state, whose share of the process's changes when there are more slots, or fewer.

import { expect, test } from 'vitest';
import { StateMemory } from '#checkpoint/state-memory.ts';

test('who has too much once there is less gives it up, and nobody else', () => {
  const memory = new StateMemory(1_000);
  const large = { memoryBytes: 700 };
  const small = { memoryBytes: 100 };
  memory.join(large);
  memory.join(small);
  expect(memory.excessBytes(large)).toBe(0);
  memory.resize(400);
  expect(memory.bytesMax).toBe(400);
  expect(memory.excessBytes(small)).toBe(0);
  // Down to a little less than what there is, so that not every entry has to make room.
  expect(memory.excessBytes(large)).toBe(440);
  memory.resize(2_000);
  expect(memory.excessBytes(large)).toBe(0);
  expect(() => memory.resize(0)).toThrow(/0 bytes/);
});
