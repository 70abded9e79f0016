// Owns the contract tests of a log that misbehaves: requests and answers lost or late, the log gone and back. The rule
// of every test: after a failure the writer is initialised again, the log is read, and it tells the truth.

import { expect, it } from 'vitest';
import { invariant, StreamError } from '#runtime/std/errors.ts';
import {
  inTime,
  type LogBench,
  readTo,
  SuiteWriter,
  staged,
  suiteWriter,
  take,
  texts,
} from '#test/suites/log/bench.ts';
import type { StoredRecord } from '#test/suites/log/bytes.ts';
import type { LogFault } from '#test/suites/log/subject.ts';

/** The last entry of the commit log, as a read-committed reader sees it. */
async function lastEntry(bench: LogBench, writer: SuiteWriter): Promise<string | null> {
  const { topic, partition } = writer.commits;
  const reader = await bench.reader(writer.client, topic, partition);
  const entries = texts(await readTo(reader, await bench.settledEnd(writer.client, topic, partition)));
  reader.close();
  return entries.at(-1) ?? null;
}

/** Sends one transaction until it is committed exactly once, by the rules of recovery. True when it had to recover. */
async function deliver(bench: LogBench, writer: SuiteWriter, topic: string, label: string): Promise<boolean> {
  const batches = [0, 1].map((partition) => staged(topic, partition, [`${label}.${partition}`]));
  for (let attempt = 0; ; attempt++) {
    try {
      await writer.transact(label, batches);
      return attempt > 0;
    } catch (error) {
      expect(error).toBeInstanceOf(StreamError);
    }
    await bench.eventually(`the writer is initialised again after ${label}`, async () => {
      try {
        await writer.again();
        return true;
      } catch (error) {
        if (!(error instanceof StreamError)) throw error;
        // An own request that was delayed may have fenced us: nobody else uses the id, so fence.
        if (error.code === 'writer-fenced' || writer.renewed(error)) await writer.fence().catch(() => undefined);
        return false;
      }
    });
    if ((await lastEntry(bench, writer)) === label) return true;
  }
}

async function expectExactlyOnce(bench: LogBench, writer: SuiteWriter, topic: string, labels: string[]): Promise<void> {
  for (const partition of [0, 1]) {
    const reader = await bench.reader(writer.client, topic, partition);
    const seen = texts(await readTo(reader, await bench.settledEnd(writer.client, topic, partition)));
    expect(seen).toEqual(labels.map((label) => `${label}.${partition}`));
  }
  const reader = await bench.reader(writer.client, writer.commits.topic);
  expect(texts(await readTo(reader, await bench.settledEnd(writer.client, writer.commits.topic)))).toEqual(labels);
}

function transactionFault(bench: LogBench, fault: LogFault): void {
  it(`delivers once when the ${fault.on} suffers ${fault.how}`, async () => {
    const client = bench.client();
    const topic = await bench.topic(client, 'fault', 2);
    const writer = await suiteWriter(bench, client, 'fault');
    const labels: string[] = [];
    const send = async (label: string) => {
      labels.push(label);
      return deliver(bench, writer, topic, label);
    };
    await send('t0');
    await bench.injected(fault, async () => {
      expect(await send('t1')).toBe(true);
      await send('t2');
    });
    await send('t3');
    await send('t4');
    await expectExactlyOnce(bench, writer, topic, labels);
  });
}

function fenceFault(bench: LogBench, fault: LogFault): void {
  it(`becomes ready in the end when a fence suffers ${fault.how}`, async () => {
    const client = bench.client();
    const topic = await bench.topic(client, 'fence', 2);
    const writer = await suiteWriter(bench, client, 'fence');
    await deliver(bench, writer, topic, 't0');
    const next = new SuiteWriter(bench, bench.client(), writer.writer.transactionalId, writer.commits);
    await bench.injected(fault, async () => {
      await bench.eventually('the fence succeeds', async () => {
        try {
          await next.fence();
          return true;
        } catch (error) {
          expect(error).toBeInstanceOf(StreamError);
          next.renewed(error as StreamError);
          return false;
        }
      });
      await deliver(bench, next, topic, 't1');
    });
    await deliver(bench, next, topic, 't2');
    await expectExactlyOnce(bench, next, topic, ['t0', 't1', 't2']);
  });
}

export function faultTests(bench: LogBench): void {
  for (const fault of bench.subject.capabilities.faults) {
    if (fault.on === 'fence') fenceFault(bench, fault);
    else transactionFault(bench, fault);
  }
}

export function outageTests(bench: LogBench): void {
  it('rides out a log that is gone and back: readers go on, writers recover, nothing is lost or doubled', async () => {
    const { outage } = bench.log;
    invariant(outage !== undefined, 'the subject promises outages');
    const client = bench.client();
    const topic = await bench.topic(client, 'outage', 2);
    const writer = await suiteWriter(bench, client, 'outage');
    await deliver(bench, writer, topic, 't0');
    const reader = await bench.reader(bench.client(), topic);
    const seen: StoredRecord[] = await readTo(reader, await bench.settledEnd(client, topic));
    await outage.begin();
    const failed = await inTime(
      writer.transact('t1', [staged(topic, 0, ['t1.0']), staged(topic, 1, ['t1.1'])]).catch((error: unknown) => error),
      'the transaction fails',
    );
    expect(failed).toBeInstanceOf(StreamError);
    expect((failed as StreamError).retryable).toBe(true);
    await bench.eventually('the reader says what keeps it', () => {
      while (take(reader, seen));
      return reader.status().fault !== null;
    });
    await outage.end();
    await bench.eventually('the writer is initialised again', async () => {
      try {
        await writer.again();
        return true;
      } catch (error) {
        if (error instanceof StreamError && writer.renewed(error)) await writer.fence();
        return false;
      }
    });
    if ((await lastEntry(bench, writer)) !== 't1') await deliver(bench, writer, topic, 't1');
    await deliver(bench, writer, topic, 't2');
    await expectExactlyOnce(bench, writer, topic, ['t0', 't1', 't2']);
    const { reconnects } = bench.subject.capabilities;
    const after = reconnects ? reader : await bench.reader(writer.client, topic, 0, reader.position);
    seen.push(...(await readTo(after, await bench.settledEnd(writer.client, topic))));
    expect(texts(seen)).toEqual(['t0.0', 't1.0', 't2.0']);
    expect(after.status().fault).toBe(null);
  });
}
