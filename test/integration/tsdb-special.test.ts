// Stale markers, other NaN and infinities of raw samples in a real Prometheus and a real VictoriaMetrics: every bit of what
// came as remote write, and what JSON and OTLP say in words of their own; through a kill.

import { compressSync } from 'snappy';
import { expect, test } from 'vitest';
import { readBits } from '#test/harness/remote-read.ts';
import { TsdbServer } from '#test/harness/tsdb.ts';
import { WriteProxy } from '#test/harness/write-proxy.ts';
import { bytesField, fixed64, integer } from '#test/operators/formats/protobuf-bytes.ts';
import { label } from '#test/operators/formats/remote-write-generator.ts';
import type { DataRecord } from './oracle/data-set.ts';
import { LogFeed } from './oracle/log-port.ts';
import { until } from './oracle/until.ts';
import { withLog } from './rollups-embedded-log.ts';
import { untilTaken, writerInstallation } from './tsdb-run.ts';

const STALE = 0x7ff0000000000002n;
const PLAIN = 0x7ff8000000000001n;
const OWN = 0x7ff8000000000abcn;
const INFINITE = 0x7ff0000000000000n;
const ONE = 0x3ff0000000000000n;
const BITS = [ONE, STALE, ONE, PLAIN, OWN, INFINITE, INFINITE | (1n << 63n), STALE];
const WORDS = ['1', 'null', '"NaN"', '"+Inf"', '"-Inf"', 'null'];
const BITS_OF_WORDS = [ONE, STALE, PLAIN, INFINITE, INFINITE | (1n << 63n), STALE];

function recordOf(value: Buffer | string): DataRecord {
  const intent = { finite: 0, notFinite: 0, bad: 0 };
  return { partition: 0, key: null, value: Buffer.from(value), headers: [], timestampMs: 0, intent };
}

function writeRequest(name: string, atMs: number, bits: bigint): Buffer {
  const samples = bytesField(2, fixed64(1, bits), integer(2, atMs));
  return compressSync(bytesField(1, label('__name__', name), label('job', 'x'), samples)) as Buffer;
}

function sampleJson(name: string, atMs: number, value: string): string {
  return `{"metric_name":"${name}","timestamp":${atMs},"value":${value},"labels":{"job":"x"}}`;
}

test('NaN of every kind stands in Prometheus bit by bit, and its series are stale where they ended', async () => {
  const fromMs = Math.floor(Date.now() / 1_000) * 1_000 - 600_000;
  const at = (i: number) => fromMs + i * 15_000;
  const prometheus = await TsdbServer.start('prometheus');
  const victoria = await TsdbServer.start('victoria-metrics');
  const proxy = await WriteProxy.start({ to: prometheus.writeUrl });
  const installation = await writerInstallation({
    targets: [
      { name: 'prometheus', url: proxy.url, mode: 'final' },
      { name: 'victoria', url: victoria.writeUrl, mode: 'replaceable' },
    ],
    rollups: false,
    raw: { topic: 'metrics.raw', format: 'auto' },
  });
  try {
    await withLog(installation, async (client) => {
      const log = await LogFeed.open(client, 'metrics.raw', 1);
      for (const [i, bits] of BITS.entries()) {
        const said = i < WORDS.length ? [recordOf(sampleJson('said', at(i), WORDS[i]))] : [];
        await log.write([recordOf(writeRequest('written', at(i), bits)), ...said]);
      }
      // The time of what came before is over then.
      await log.write([recordOf(writeRequest('sentinel', at(30), ONE))]);
      await log.close();
    });
    // Of the rest nothing is lost by a process that dies in between, and nothing changed by one that sends it again.
    proxy.judge = ({ index }) => (index === 2 ? 'lose-answer' : index === 4 ? 'hang' : 'pass');
    const killed = installation.start();
    await untilTaken(proxy, 3, killed);
    await killed.kill();
    proxy.judge = () => 'pass';
    const product = installation.start();
    const expected = new Map([
      ['written{job="x"}', new Map(BITS.map((bits, i) => [at(i), bits]))],
      ['said{job="x"}', new Map(BITS_OF_WORDS.map((bits, i) => [at(i), bits]))],
    ]);
    const isThere = async () => {
      const read = await readBits(prometheus, 'written|said', fromMs - 1, at(29));
      return [...read.values()].reduce((sum, { size }) => sum + size, 0) === BITS.length + WORDS.length;
    };
    await until(isThere, 'Prometheus to hold every sample', 120_000, () => product.tail());
    expect(await readBits(prometheus, 'written|said', fromMs - 1, at(29))).toEqual(expected);
    const answerAt = async (i: number) => {
      const query = new URLSearchParams({ query: 'written', time: String(at(i) / 1_000 + 5) });
      const answer = await (await fetch(`${prometheus.address}/api/v1/query?${query}`)).json();
      return (answer as { data: { result: { value: unknown[] }[] } }).data.result.map(({ value }) => value[1]);
    };
    // Without the marker a query would still see the sample of 15 s before.
    expect([await answerAt(0), await answerAt(1), await answerAt(2)]).toEqual([['1'], [], ['1']]);
    // VictoriaMetrics keeps stale markers and throws other NaN away.
    const inVictoria = async () => (await victoria.samples('written|said')).get('written{job="x"}')?.size === 6;
    await until(inVictoria, 'VictoriaMetrics to hold what it takes', 120_000, () => product.tail());
    const stored = await victoria.samples('written|said');
    expect(stored.get('written{job="x"}')?.get(at(1))).toEqual([Number.NaN]);
    expect(stored.get('written{job="x"}')?.get(at(7))).toEqual([Number.NaN]);
    expect(stored.get('written{job="x"}')?.get(at(2))).toEqual([1]);
    expect((await product.stop()).code).toBe(0);
  } finally {
    await installation.remove();
    await proxy.stop();
    await prometheus.remove();
    await victoria.remove();
  }
}, 240_000);
