// Owns replaying one recorded entry: same cuts, same clock, output thrown away after its hash was compared. A
// difference fails loudly and nothing is emitted.

import type { PartitionReader } from '#runtime/log/contract.ts';
import { StreamError } from '#runtime/std/errors.ts';
import type { CommitLogEntry } from '#runtime/task/commit-log.ts';
import type { StageRunner } from '#runtime/task/stage-runner.ts';
import { stoppedWhile, type TaskEnvironment, type TaskInput } from '#runtime/task/task-environment.ts';
import type { Waiting } from '#runtime/task/waiting.ts';

/**
 * How often the log may answer, a second apart, that the input ends below what was consumed: a leader that is behind
 * catches up. Counted, not timed: a process that was stopped for a minute has seen one answer.
 */
const SHORT_ANSWERS_MAX = 30;
const LOOK_MS = 1_000;

export interface ReplayStep {
  readonly entry: CommitLogEntry;
  readonly runner: StageRunner;
  readonly reader: PartitionReader;
  readonly input: TaskInput;
  /** False only when the operator accepted a divergent replay. */
  readonly compare: boolean;
  readonly name: string;
  readonly environment: TaskEnvironment;
  readonly waiting: Waiting;
  readonly signal: AbortSignal;
}

/** Brings the runner from the entry before to this one. Error: replay-diverged. */
export async function replay(step: ReplayStep): Promise<void> {
  const { entry } = step.entry;
  if (entry.kind !== 'commit') return;
  const { runner } = step;
  const recordedCount = entry.timersFired.clock + entry.timersFired.event;
  const recordedFirings = step.compare ? recordedCount : Number.POSITIVE_INFINITY;
  const { clockMs, schemaMisses } = entry;
  const start = { clockMs, idleSinceMs: entry.idle?.sinceMs ?? null, schemaMisses, drainMs: entry.drain?.watermarkMs };
  const begun = runner.begin(start, recordedFirings);
  const endOffset = BigInt(entry.inputs[0].endOffset);
  if (begun) await consumeTo(step, endOffset);
  if (runner.inputOffset < endOffset)
    diverged(step, `its firings ended at input offset ${runner.inputOffset}, recorded ${endOffset}`);
  runner.end(entry.savepoint);
  if (step.compare) {
    const { timersFired, output } = runner;
    if (timersFired.clock !== entry.timersFired.clock || timersFired.event !== entry.timersFired.event) {
      diverged(step, `timers fired: ${JSON.stringify(timersFired)}, recorded ${JSON.stringify(entry.timersFired)}`);
    }
    if (output.hash() !== entry.outputHash || output.records !== entry.outputRecords) {
      diverged(
        step,
        `output ${output.hash()} (${output.records} records), recorded ${entry.outputHash} (${entry.outputRecords})`,
      );
    }
  }
  runner.output.discard();
  for (const effect of runner.effects) effect.discard();
}

async function consumeTo(step: ReplayStep, endOffset: bigint): Promise<void> {
  const { runner, reader, input, environment, signal } = step;
  let shortAnswers = 0;
  let fetchesSeen = -1;
  while (runner.inputOffset < endOffset) {
    if (!runner.hasBatch) {
      const batch = reader.poll();
      if (batch === null) {
        if (reader.position >= endOffset) {
          runner.skipTo(endOffset);
          return;
        }
        const { fetches } = reader.status();
        if (!endsBefore(reader, endOffset)) shortAnswers = 0;
        else if (fetches > fetchesSeen) shortAnswers++;
        fetchesSeen = fetches;
        if (shortAnswers > SHORT_ANSWERS_MAX) throw lostInput(step, endOffset);
        await step.waiting.wait(LOOK_MS);
        if (signal.aborted) throw stoppedWhile(`replaying entry ${step.entry.entry.number}`);
        continue;
      }
      if (batch.nextOffset <= runner.inputOffset) {
        batch.release();
        continue;
      }
      runner.take(batch, input.topic, input.partition);
      if (batch.baseOffset >= endOffset) {
        runner.skipTo(endOffset);
        return;
      }
    }
    if (!runner.consume(endOffset)) return;
    if (runner.schemas?.waitsFor) await step.waiting.wait(LOOK_MS, true);
    else await environment.breathe();
    if (signal.aborted) throw stoppedWhile(`replaying entry ${step.entry.entry.number}`);
  }
}

function endsBefore(reader: PartitionReader, offset: bigint): boolean {
  const { fault, highWatermark } = reader.status();
  return fault === null && highWatermark >= 0n && highWatermark < offset;
}

function lostInput({ name, input, reader }: ReplayStep, endOffset: bigint): StreamError {
  const { highWatermark } = reader.status();
  return new StreamError(
    'offset-out-of-range',
    `task ${name}: ${input.topic}/${input.partition} ends at offset ${highWatermark}, but offsets up to ${endOffset} were processed: the log lost offsets ${highWatermark} to ${endOffset - 1n}`,
    'restore the topic from a replica that has them; to begin anew, give the job another name and other output topics',
  );
}

// An entry has one hash for all that its stage put out: which of the operators differed it cannot say, but which there
// are, and how much each topic got this time.
function diverged({ name, entry, runner }: ReplayStep, what: string): never {
  const { operators, outputs, source } = runner.program;
  const ids = [source, ...operators].map(({ id }) => `'${id}'`).join(', ');
  const staged = runner.output.take();
  const counts = [...new Set([...outputs, ...staged].map(({ topic }) => topic))].map((topic) => {
    const own = staged.filter((batch) => batch.topic === topic);
    return `${own.reduce((sum, { recordCount }) => sum + recordCount, 0)} to ${topic}`;
  });
  throw new StreamError(
    'replay-diverged',
    `task ${name}: replay of entry ${entry.entry.number} differs from what was committed: ${what}; records this time: ${counts.join(', ')}; operators of the stage: ${ids}`,
    'one of these operators or its functions is not deterministic, or the input changed: nothing was emitted. JobDriver of millrace/testing finds most such functions (send, crash, restore); keep the logs and report it',
  );
}
