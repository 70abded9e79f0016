// Owns the stages of samples that scripts can name: windows, keyBy, map and filter, the hold for final rows.

import { MergedStats } from '#operators/aggregates/merged-stats.ts';
import { Stats } from '#operators/aggregates/stats.ts';
import { Filter } from '#operators/transforms/filter.ts';
import { KeyByLabels } from '#operators/transforms/key-by-labels.ts';
import { KeyByRecord } from '#operators/transforms/key-by-record.ts';
import { KeyBySeries } from '#operators/transforms/key-by-series.ts';
import { MapSamples } from '#operators/transforms/map.ts';
import type { SampleView } from '#operators/transforms/sample-view.ts';
import { FinalHold } from '#operators/windows/final-hold.ts';
import { MergedWindow } from '#operators/windows/merged-window.ts';
import { TumblingWindow } from '#operators/windows/tumbling-window.ts';
import type { BatchConsumer } from '#runtime/task/contract.ts';
import type { StageOf } from '#test/operators/scripts/script-stage.ts';
import { timeOf } from '#test/operators/scripts/script-time.ts';
import { Words } from '#test/operators/scripts/script-words.ts';

//   stage windows SIZE… lateness TIME        a tumbling window and merged ones behind it
const windows: StageOf = (words) => {
  const sizes = words.slice(0, words.indexOf('lateness'));
  const allowedLatenessMs = new Words(words).time('lateness');
  return {
    build: (collect) => {
      const merged = sizes.slice(1).map(
        (size) =>
          new MergedWindow<MergedStats>({
            id: size,
            sizeMs: timeOf(size),
            paneMs: timeOf(sizes[0]),
            allowedLatenessMs,
            makeAggregate: () => new MergedStats(),
            results: [collect(size)],
          }),
      );
      const late = [collect('late')];
      const first = tumbling(sizes[0], allowedLatenessMs, [collect(sizes[0]), ...merged], late);
      return { head: first, operators: [first, ...merged] };
    },
  };
};

export function tumbling(
  size: string,
  allowedLatenessMs: number,
  results: readonly BatchConsumer[],
  late: readonly BatchConsumer[],
): TumblingWindow {
  return new TumblingWindow({
    id: size,
    sizeMs: timeOf(size),
    allowedLatenessMs,
    aggregate: new Stats(),
    results,
    late,
  });
}

//   stage by-series TTL [window SIZE]        keyBy(series), with a window that uses its keys
const bySeries: StageOf = (words, tables) => {
  const it = new Words(words);
  const size = it.after('window');
  return {
    build: (collect) => {
      const behind = size === null ? [] : [tumbling(size, 0, [collect(size)], [])];
      const next = size === null ? [collect('out')] : behind;
      const options = { id: 'by-series', table: tables.renew('series'), keyTtlMs: timeOf(words[0]) };
      const keyBy = new KeyBySeries({ ...options, users: behind, next });
      return { head: keyBy, operators: [keyBy, ...behind] };
    },
  };
};

//   stage by-labels LABEL… ttl TIME [window SIZE]     keyBy(by(labels))
const byLabels: StageOf = (words, tables) => {
  const it = new Words(words);
  const size = it.after('window');
  return {
    gives: 'keys',
    build: (collect) => {
      const behind = size === null ? [] : [tumbling(size, 0, [collect(size)], [])];
      const keyBy = new KeyByLabels({
        id: 'by-labels',
        series: tables.renew('series'),
        keys: tables.renew('keys'),
        labels: words.slice(0, words.indexOf('ttl')),
        keyTtlMs: it.time('ttl'),
        users: behind,
        next: size === null ? [collect('out')] : behind,
      });
      return { head: keyBy, operators: [keyBy, ...behind] };
    },
  };
};

//   stage by-record FIELD ttl TIME           keyBy(function): the record's field is its key
const byRecord: StageOf = (words, tables) => ({
  gives: 'keys',
  build: (collect) => {
    const keyBy = new KeyByRecord({
      id: 'by-record',
      keys: tables.renew('keys'),
      select: (record) => (record as Record<string, unknown>)[words[0]],
      keyTtlMs: new Words(words).time('ttl'),
      next: [collect('out')],
    });
    return { head: keyBy, operators: [keyBy] };
  },
});

//   stage map CHANGE…     times N · becomes VALUE · later TIME · name NAME · label NAME VALUE, which may be ""
const map: StageOf = (words, tables) => ({
  build: (collect) => {
    const operator = new MapSamples({
      id: 'map',
      table: tables.renew('series'),
      apply: changeOf(words),
      next: [collect('out')],
    });
    return { head: operator, operators: [operator] };
  },
});

function changeOf(words: readonly string[]): (sample: SampleView) => SampleView {
  const it = new Words(words);
  return (sample) => {
    let { labels, metric_name, timestamp, value } = sample;
    if (it.has('times')) value *= Number(it.after('times'));
    if (it.has('becomes')) value = JSON.parse(it.after('becomes')!);
    if (it.has('later')) timestamp += it.time('later');
    if (it.has('name')) metric_name = unquoted(it.after('name')!);
    if (it.has('label')) labels = { ...labels, [it.after('label')!]: unquoted(it.after('label', 2)!) };
    return { metric_name, labels, timestamp, value };
  };
}

function unquoted(text: string): string {
  return text === '""' ? '' : text;
}

//   stage filter at-least N | label NAME VALUE | undecided
const filter: StageOf = (words, tables) => ({
  build: (collect) => {
    const operator = new Filter({
      id: 'filter',
      table: tables.series,
      apply: conditionOf(words),
      next: [collect('out')],
    });
    return { head: operator, operators: [operator] };
  },
});

function conditionOf([kind, first, second]: readonly string[]): (sample: SampleView) => boolean {
  if (kind === 'at-least') return ({ value }) => value >= Number(first);
  if (kind === 'label') return ({ labels }) => labels[first] === second;
  return () => undefined as unknown as boolean;
}

//   stage hold samples|rollups lateness TIME [drop] [rows N]
const hold: StageOf = (words) => {
  const it = new Words(words);
  return {
    build: (collect) => {
      const operator = new FinalHold({
        id: 'hold',
        kind: it.has('rollups') ? 'rollups' : 'samples',
        latenessMs: it.time('lateness'),
        corrections: it.has('drop') ? 'drop' : 'wait',
        next: [collect('out')],
        late: [collect('late')],
        ...(it.has('rows') ? { rowsMax: Number(it.after('rows')) } : {}),
      });
      return { head: operator, operators: [operator] };
    },
  };
};

export const OPERATOR_STAGES: Readonly<Record<string, StageOf>> = {
  'by-labels': byLabels,
  'by-record': byRecord,
  'by-series': bySeries,
  filter,
  hold,
  map,
  windows,
};
