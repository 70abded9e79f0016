// How the batches of a transaction are spread over requests.

import { describe, expect, it } from 'vitest';
import type { StagedBatch } from '#runtime/log/contract.ts';
import { laneOf } from '#runtime/log/kafka/produce-lane.ts';

function batches(seed: number, count: number): StagedBatch[] {
  let state = seed;
  const random = (below: number) => {
    state = (Math.imul(state, 1664525) + 1013904223) | 0;
    return (state >>> 8) % below;
  };
  return Array.from({ length: count }, () => ({
    topic: `t${random(2)}`,
    partition: random(3),
    bytes: Buffer.alloc(random(4) === 0 ? 3_000_000 : 100),
    recordCount: 1,
  }));
}

describe('requests of a transaction', () => {
  it('hold every batch once, a partition at most once, and keep the order within each partition', () => {
    for (let seed = 1; seed < 60; seed++) {
      const all = batches(seed, 1 + (seed % 40));
      const requests = laneOf(all);
      expect(requests.flat().length).toBe(all.length);
      const names = (some: readonly StagedBatch[]) => some.map(({ topic, partition }) => `${topic}/${partition}`);
      for (const request of requests) expect(new Set(names(request)).size).toBe(request.length);
      for (const name of new Set(names(all))) {
        const inOrder = (some: readonly StagedBatch[]) =>
          some.filter((one) => `${one.topic}/${one.partition}` === name);
        expect(inOrder(requests.flat())).toEqual(inOrder(all));
      }
    }
  });

  it('stay below the size of a request unless one batch is larger', () => {
    for (let seed = 1; seed < 20; seed++) {
      for (const request of laneOf(batches(seed, 40))) {
        const sizeBytes = request.reduce((sum, { bytes }) => sum + bytes.length, 0);
        expect(sizeBytes <= 8 * 1024 * 1024 || request.length === 1).toBe(true);
      }
    }
  });
});
