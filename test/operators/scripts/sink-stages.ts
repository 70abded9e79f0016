// Owns the stages of scripts that end in a sink.

import { recordFormat } from '#operators/formats/record-format.ts';
import { ExchangeSink } from '#operators/sinks/exchange-sink.ts';
import { LateSink } from '#operators/sinks/late-sink.ts';
import { RecordSink } from '#operators/sinks/record-sink.ts';
import { RemoteWriteSink } from '#operators/sinks/remote-write-sink.ts';
import { TopicSink } from '#operators/sinks/topic-sink.ts';
import { KeyBySeries } from '#operators/transforms/key-by-series.ts';
import type { Operator } from '#runtime/task/contract.ts';
import { tumbling } from '#test/operators/scripts/operator-stages.ts';
import { requestLines } from '#test/operators/scripts/request-text.ts';
import type { ScriptStage, StageOf } from '#test/operators/scripts/script-stage.ts';
import { blockLines, recordLines } from '#test/operators/scripts/script-text.ts';
import { timeOf } from '#test/operators/scripts/script-time.ts';
import { Words } from '#test/operators/scripts/script-words.ts';

/** A stage of a script has one sink. */
const SINK_INDEX = 0;

//   stage exchange PARTITIONS every TIME     the writing end of an exchange
const exchange: StageOf = ([partitions, , interval], tables) => ({
  partitions: Number(partitions),
  show: blockLines,
  build: () => {
    const to = { id: 'exchange', sinkIndex: SINK_INDEX, topic: 'x', keys: tables.series };
    return alone(new ExchangeSink({ ...to, watermarkIntervalMs: timeOf(interval) }));
  },
});

//   stage late-sink PARTITIONS               what comes is late
const lateSink: StageOf = ([partitions], tables) => ({
  partitions: Number(partitions),
  build: () => alone(new LateSink({ id: 'late', sinkIndex: SINK_INDEX, topic: 'late', keys: tables.series })),
});

//   stage record-sink PARTITIONS [task N] [text] [unkeyed] [key FIELD]
const recordSink: StageOf = (words, tables) => {
  const it = new Words(words);
  const field = it.after('key');
  return {
    partitions: Number(words[0]),
    task: Number(it.after('task') ?? 0),
    build: () =>
      alone(
        new RecordSink({
          id: 'sink',
          sinkIndex: SINK_INDEX,
          topic: 'topic',
          format: recordFormat(it.has('text') ? 'text' : 'json'),
          keys: it.has('unkeyed') ? null : tables.series,
          key: field === null ? null : (record) => (record as Record<string, unknown>)[field],
        }),
      ),
  };
};

//   stage topic-sink PARTITIONS SIZE [lateness TIME] [run N] [remote-write]     rows of a tumbling window
const topicSink: StageOf = (words, tables) => {
  const it = new Words(words);
  const [partitions, resolution] = words;
  const format = it.has('remote-write') ? 'remote-write' : 'json';
  const stage: ScriptStage = {
    partitions: Number(partitions),
    build: () => {
      const to = { id: 'sink', sinkIndex: SINK_INDEX, topic: 'rows', keys: tables.series };
      const sink = new TopicSink({ ...to, resolution, format, run: Number(it.after('run') ?? 0) });
      const window = tumbling(resolution, it.time('lateness'), [sink], []);
      return { head: window, operators: [window, sink] };
    },
  };
  if (format === 'json') return stage;
  const show: ScriptStage['show'] = (record) => [
    ...recordLines({ ...record, value: Buffer.from('request') }),
    ...requestLines(record.value!).map((line) => `  ${line}`),
  ];
  return { ...stage, show };
};

//   stage remote-write PARTITIONS [prometheus] [samples N] [bytes N] [queue N] [keys TTL]    of dead letters; keyBy before it
const remoteWrite: StageOf = (words, tables) => {
  const it = new Words(words);
  const numberAfter = (word: string) => (it.has(word) ? Number(it.after(word)) : undefined);
  const make = (): RemoteWriteSink =>
    new RemoteWriteSink({
      id: 'sink',
      sinkIndex: SINK_INDEX,
      target: 'db',
      keys: tables.series,
      names: it.has('prometheus') ? 'prometheus' : 'any',
      sourceTopic: 'metrics.raw',
      deadLetterTopic: 'dead-letter',
      requestSamplesMax: numberAfter('samples'),
      requestBytesMax: numberAfter('bytes'),
      queueBytesMax: numberAfter('queue'),
    });
  let sink: RemoteWriteSink;
  return {
    partitions: Number(words[0]),
    outbox: () => sink,
    build: () => {
      if (!it.has('keys')) {
        sink = make();
        return alone(sink);
      }
      const table = tables.renew('series');
      sink = make();
      const users = [sink];
      const keyBy = new KeyBySeries({ id: 'by-series', table, keyTtlMs: it.time('keys'), users, next: users });
      return { head: keyBy, operators: [keyBy, sink] };
    },
  };
};

function alone<T extends Operator>(operator: T): { readonly head: T; readonly operators: readonly [T] } {
  return { head: operator, operators: [operator] };
}

export const SINK_STAGES: Readonly<Record<string, StageOf>> = {
  exchange,
  'late-sink': lateSink,
  'record-sink': recordSink,
  'remote-write': remoteWrite,
  'topic-sink': topicSink,
};
