// Owns a job with every kind of keyed state, whose results follow from the records of each key alone as long as nothing is
// late: whatever was spread over other tasks in between, the same rows come out.

import {
  countWindow,
  defineJob,
  integer,
  type JobDefinition,
  json,
  listState,
  mapState,
  records,
  session,
  sliding,
  topic,
  tumbling,
  valueState,
} from '#jobs/millrace.ts';
import { JobWorld } from '#test/harness/job-world.ts';
import type { Random } from '#test/simulation/world/random.ts';

export interface Event {
  readonly key: string;
  readonly t: number;
  readonly n: number;
}

const OUTPUTS = ['visits', 'minutes', 'slides', 'counts', 'timers', 'pairs', 'rows'];
const START_MS = Date.UTC(2023, 10, 14, 12);

/** Order of records of one window is that of their keys' partition; nothing is late, no source is ever idle. */
export function mixedJob(exchangePartitions: number, partitionedBy?: 'producer'): JobDefinition {
  const event = { outOfOrderness: '2s', idleness: '1h', maxSkew: '300d', timestamp: ({ t }: Event) => t } as const;
  return defineJob({
    name: 'mixed',
    sources: {
      left: records<Event>({ topic: 'left', ...event, partitionedBy }),
      right: records<Event>({ topic: 'right', ...event }),
    },
    exchangePartitions,
    watermarkInterval: '100ms',
    build: ({ left, right }) => {
      const keyed = left.keyBy('by-key', ({ key }) => key);
      keyed.window('visits', session('20s')).reduce(added).to(topic('visits'));
      keyed
        .window('minutes', tumbling('1m', { allowedLateness: '30s' }))
        .process(together)
        .to(topic('minutes'));
      keyed.window('slides', sliding('40s', '10s')).reduce(added).to(topic('slides'));
      keyed
        .window('counts', countWindow(3, { slide: 1 }))
        .process(together)
        .to(topic('counts'));
      keyed
        .process('timers', {
          state: {
            last: valueState(integer()),
            seen: listState(integer(), { ttl: '50s' }),
            kinds: mapState(integer(), json<{ n: number }>()),
          },
          process({ t, n }, { state, timers }) {
            state.last.set(n);
            state.seen.add(n);
            state.kinds.set(n % 4, { n });
            timers.onEventTime(Math.ceil((t + 1) / 15_000) * 15_000);
          },
          onTimer({ timeMs }, { key, emit }) {
            emit({ key, timeMs });
          },
        })
        .to(topic('timers'));
      left
        .intervalJoin('pairs', right, {
          key: ({ key }) => key,
          otherKey: ({ key }) => key,
          lower: '-5s',
          upper: '5s',
          join: (a, b) => ({ key: a.key, a: a.n, b: b.n }),
        })
        .to(topic('pairs'));
      left
        .lookup('rows', right, {
          key: ({ key }) => key,
          tableKey: ({ key }) => key,
          kind: 'left',
          join: (a, row) => ({ key: a.key, n: a.n, row: row === null ? null : row.n }),
        })
        .to(topic('rows'));
    },
  });
}

function added(a: Event, b: Event): Event {
  return { key: a.key, t: Math.max(a.t, b.t), n: a.n + b.n };
}

function together(all: readonly Event[], { key }: { readonly key: string }): unknown[] {
  return [{ key, n: all.map(({ n }) => n) }];
}

const KEYS = 23;

export class MixedWorld extends JobWorld {
  #sent = 0;
  #t = START_MS;

  constructor(seed: number, exchangePartitions: number, sources: number, partitionedBy?: 'producer') {
    const job = mixedJob(exchangePartitions, partitionedBy);
    super({ job, partitions: { left: sources, right: 1 }, seed });
  }

  /** So many records, each key always on one partition; the same whatever happened in between. */
  feed(random: Random, count: number): void {
    for (let i = 0; i < count; i++) {
      const n = this.#sent++;
      this.#t += random.int(1_500);
      const t = this.#t - random.int(2_000);
      const key = random.int(KEYS);
      const event: Event = { key: `k-${key}`, t, n };
      if (random.chance(0.25)) this.send('right', 0, event);
      else this.send('left', key % 2, event);
    }
    // Every partition hears of the time.
    for (const [source, partition] of [
      ['right', 0],
      ['left', 0],
      ['left', 1],
    ] as const) {
      this.send(source, partition, { key: `k-${partition}`, t: this.#t, n: this.#sent++ });
    }
  }

  /** Everything that came out, as a multiset. */
  results(): string[] {
    return OUTPUTS.flatMap((name) => this.output(name).map((row) => `${name} ${JSON.stringify(row)}`)).sort();
  }
}
