// Owns the jobs whose state is restored in a benchmark: rollups of a minute and of a day in memory, and a function with
// a state per key on LevelDB. Both say something as soon as one partition's minute is over.

import { json } from '#checkpoint/codecs.ts';
import { defineJob, type JobDefinition } from '#jobs/define-job.ts';
import { mergedStats, samples, series, stats, topic, tumbling } from '#jobs/descriptions.ts';
import { records, valueState } from '#jobs/record-words.ts';

export interface RestoredJobOptions {
  readonly kind: 'rollups' | 'keyed';
  readonly source: string;
  readonly output: string;
}

interface Seen {
  readonly labels: { readonly host: string };
  readonly timestamp: number;
  readonly value: number;
}

export default function restored(options: RestoredJobOptions): JobDefinition {
  return options.kind === 'rollups' ? rollups(options) : keyed(options);
}

function rollups({ source, output }: RestoredJobOptions): JobDefinition {
  return defineJob({
    name: 'restored',
    source: samples({ topic: source, partitionedBy: 'producer', outOfOrderness: '0s', idleness: '1h' }),
    build: (raw) => {
      const minute = raw.keyBy(series).window('1m', tumbling('1m')).aggregate(stats());
      minute.to(topic(output));
      minute.window('1d', tumbling('1d')).aggregate(mergedStats()).to(topic(output));
    },
  });
}

function keyed({ source, output }: RestoredJobOptions): JobDefinition {
  return defineJob({
    name: 'restored',
    source: records<Seen>({ topic: source, timestamp: ({ timestamp }) => timestamp, idleness: '1h' }),
    build: (seen) => {
      seen
        .keyBy('by-host', ({ labels }) => labels.host)
        .process('last', {
          state: { last: valueState(json<{ readonly count: number; readonly sum: number; readonly host: string }>()) },
          process({ labels: { host }, value }, { state, emit }) {
            const before = state.last.get() ?? { count: 0, sum: 0, host };
            const now = { count: before.count + 1, sum: before.sum + value, host };
            state.last.set(now);
            if (now.count > 1) emit(now);
          },
        })
        .to(topic(output));
    },
  });
}
