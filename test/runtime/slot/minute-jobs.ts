// One job many times, counts per minute of what passes through a function: one is well, one throws, one ends the thread
// it runs in once, the others do so whenever they see their number.

import { existsSync, writeFileSync } from 'node:fs';
import { defineJob, type JobDefinition } from '#jobs/define-job.ts';
import { samples, series, stats, topic, tumbling } from '#jobs/descriptions.ts';

/** Names the file that says that the deadly job did it. */
export const DIED = 'MILLRACE_TEST_DIED';

function minutes(name: string, look: (value: number) => void): JobDefinition {
  return defineJob({
    name,
    source: samples({
      topic: 'metrics.raw',
      partitionedBy: 'producer',
      outOfOrderness: '0s',
      lateTopic: `${name}.late`,
      deadLetterTopic: `${name}.dead`,
    }),
    build: (raw) => {
      const looked = raw.filter('look', (sample) => {
        look(sample.value);
        return true;
      });
      looked
        .keyBy(series)
        .window('minute', tumbling('1m'))
        .aggregate(stats())
        .to(topic(`${name}.1m`));
    },
  });
}

export const steady = minutes('steady', () => {});

export const throwing = minutes('throwing', (value) => {
  if (value === 666) throw new RangeError('no number for me');
});

/** Behind an exchange: each series is where its hash says. */
export const exchanged = defineJob({
  name: 'exchanged',
  source: samples({
    topic: 'metrics.raw',
    outOfOrderness: '0s',
    lateTopic: 'exchanged.late',
    deadLetterTopic: 'exchanged.dead',
  }),
  build: (raw) => {
    raw.keyBy(series).window('minute', tumbling('1m')).aggregate(stats()).to(topic('exchanged.1m'));
  },
});

/** Refuses series that are not where their hash says, for good. */
export const strict = defineJob({
  name: 'strict',
  source: samples({
    topic: 'metrics.raw',
    partitionedBy: 'series',
    outOfOrderness: '0s',
    lateTopic: 'strict.late',
    deadLetterTopic: 'strict.dead',
  }),
  build: (raw) => {
    raw.keyBy(series).window('minute', tumbling('1m')).aggregate(stats()).to(topic('strict.1m'));
  },
});

export const deadly = minutes('deadly', (value) => {
  const path = process.env[DIED];
  if (value !== 777 || path === undefined || existsSync(path)) return;
  writeFileSync(path, 'once');
  process.exit(7);
});

export const exiting = minutes('exiting', (value) => {
  if (value === 888) process.exit(8);
});

export const hungry = minutes('hungry', (value) => {
  const eaten: number[][] = [];
  while (value === 999) eaten.push(new Array<number>(100_000).fill(eaten.length));
});
