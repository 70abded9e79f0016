// Owns the job of the savepoint tests: two sources and a union, two exchanges one behind the other, and a count per key in
// each stage, so that a record lost or taken twice shows in every number behind it.

import { defineJob, integer, type JobDefinition, records, topic, valueState } from '#jobs/millrace.ts';
import { JobWorld } from '#test/harness/job-world.ts';

interface Step {
  readonly user: string;
  readonly n: number;
}

interface Count {
  readonly user: string;
  readonly count: number;
  readonly n: number;
}

export const COUNTS = 'counts';
export const TOTALS = 'totals';
const USERS = 7;
const TEAMS = 3;

export function countingJob(exchangePartitions = 3): JobDefinition {
  const record = { outOfOrderness: '1s', idleness: '5s' } as const;
  return defineJob({
    name: 'counting',
    sources: {
      web: records<Step>({ topic: 'web', ...record }),
      mobile: records<Step>({ topic: 'mobile', ...record }),
    },
    exchangePartitions,
    build: ({ web, mobile }) => {
      const counts = web
        .union(mobile)
        .keyBy('by-user', ({ user }) => user)
        .process('count', {
          state: { seen: valueState(integer()) },
          process({ n }, { state, emit, key }) {
            const count = (state.seen.get() ?? 0) + 1;
            state.seen.set(count);
            emit({ user: key, count, n });
          },
        });
      counts.to(topic(COUNTS));
      counts
        .map('typed', (count) => count as Count)
        .keyBy('by-team', ({ user }) => `team-${Number(user.slice(5)) % TEAMS}`)
        .process('total', {
          state: { total: valueState(integer()) },
          process({ n }, { state, emit, key }) {
            const total = (state.total.get() ?? 0) + n;
            state.total.set(total);
            emit({ team: key, total });
          },
        })
        .to(topic(TOTALS));
    },
  });
}

export class CountingWorld extends JobWorld {
  sent = 0;

  constructor(seed = 1, exchangePartitions = 3) {
    super({ job: countingJob(exchangePartitions), partitions: { web: 2, mobile: 1 }, seed });
  }

  /** So many records, spread over the sources. */
  feed(count: number): void {
    for (let i = 0; i < count; i++) {
      const n = this.sent++;
      const [source, partition] = n % 3 === 2 ? (['mobile', 0] as const) : (['web', n % 2] as const);
      this.send(source, partition, { user: `user-${(n * 5) % USERS}`, n });
    }
  }

  /** What is wrong with all that came out for what was sent; empty when nothing is. */
  faults(): string[] {
    const faults: string[] = [];
    const counts = this.output<Count>(COUNTS);
    const seen = counts.map(({ n }) => n).sort((a, b) => a - b);
    if (seen.join() !== Array.from({ length: this.sent }, (_, n) => n).join()) faults.push(`counted ${seen.join()}`);
    for (const [user, own] of Map.groupBy(counts, ({ user }) => user)) {
      const numbers = own.map(({ count }) => count).join();
      if (numbers !== own.map((_, i) => i + 1).join()) faults.push(`${user} has counts ${numbers}`);
    }
    let last = 0;
    for (const [, own] of Map.groupBy(this.output<{ team: string; total: number }>(TOTALS), ({ team }) => team)) {
      last += Math.max(...own.map(({ total }) => total));
    }
    const sum = (this.sent * (this.sent - 1)) / 2;
    if (last !== sum) faults.push(`totals are ${last}, not ${sum}`);
    return faults;
  }
}
