// Owns what happens to a bad record: the job's policy (fail, skip, dead-letter) and the shape of a dead letter
// (CONTRACT: the record as it came with headers that say where it was and what is wrong).

import type { RecordHeader, RecordWalker } from '#runtime/log/record-batch.ts';
import { StreamError } from '#runtime/std/errors.ts';
import type { Output, SourceInput, StageProgram } from '#runtime/task/contract.ts';

export interface DeadLetterTarget {
  readonly program: Pick<StageProgram, 'deadLetter' | 'badRecords' | 'source'>;
  readonly output: Output;
  readonly partitionCount: (topic: string) => number;
  readonly count: (counter: string, by: number) => void;
}

/** Applies the policy to the walker's current record. Error bad-record when the policy is `fail`. */
export function sendDeadLetter(
  target: DeadLetterTarget,
  walker: RecordWalker,
  input: SourceInput,
  code: string,
  message: string,
  path?: string,
): void {
  const { badRecords, deadLetter, source } = target.program;
  const offset = input.baseOffset + BigInt(walker.offsetDelta);
  if (badRecords === 'fail') {
    throw new StreamError(
      'bad-record',
      `source '${source.id}': record at ${input.topic}/${input.partition} offset ${offset} is bad: ${message}${path ? ` at ${path}` : ''}`,
      "repair the producer, or set badRecords to 'dead-letter' or 'skip'",
    );
  }
  target.count('dead-letter', 1);
  if (badRecords === 'skip' || deadLetter === null) return;
  const headers: RecordHeader[] = [
    { key: 'source-topic', value: Buffer.from(input.topic) },
    { key: 'source-partition', value: Buffer.from(String(input.partition)) },
    { key: 'source-offset', value: Buffer.from(String(offset)) },
    { key: 'error-code', value: Buffer.from(code) },
  ];
  if (path !== undefined) headers.push({ key: 'error-path', value: Buffer.from(path) });
  const hashed = headers.length;
  headers.push({ key: 'error-message', value: Buffer.from(message) });
  const key = walker.keyStart < 0 ? null : walker.bytes.subarray(walker.keyStart, walker.keyEnd);
  const value = walker.valueStart < 0 ? null : walker.bytes;
  const partition = input.partition % target.partitionCount(deadLetter.topic);
  const timestampMs = input.baseTimestampMs + walker.timestampDelta;
  target.output.append(
    deadLetter.sinkIndex,
    deadLetter.topic,
    partition,
    timestampMs,
    key,
    value,
    walker.valueStart,
    walker.valueEnd,
    headers,
    hashed,
  );
}
