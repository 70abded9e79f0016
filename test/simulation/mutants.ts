// Owns the planted mistakes: changes of the product's source, applied only while a child process loads it, and the
// oracles that must find them. Each could be made by somebody, or is ruled out by the architecture by name.
import type { OracleName } from '#test/simulation/oracle/violation.ts';

export interface Patch {
  /** Of the repository. */
  readonly file: string;
  /** Occurs once, or the patch is an error. */
  readonly find: string;
  readonly replace: string;
}

export interface Mutant {
  readonly name: string;
  readonly patches: readonly Patch[];
  /** Any of these may be the first to see it. */
  readonly killedBy: readonly OracleName[];
}

/** The source with the mistake in it. */
export function plant(source: string, { file, find, replace }: Patch): string {
  const parts = source.split(find);
  if (parts.length === 2) return parts.join(replace);
  throw new Error(`the patch of ${file} fits ${parts.length - 1} times: ${find}`);
}

export const MUTANTS: readonly Mutant[] = [
  {
    name: 'shuts its successor out without asking who owns the task',
    patches: [
      {
        file: 'runtime/task/committer.ts',
        find: '    await this.#checkOwner();\n    await this.#fence();',
        replace: '    await this.#fence();',
      },
    ],
    killedBy: ['ownership'],
  },
  {
    name: 'does not ask again who owns the task when it has shut others out',
    patches: [
      {
        file: 'runtime/task/committer.ts',
        find: "this.#tellEnded(await this.#persist('fence', () => this.#writer.fence()));\n    await this.#checkOwner();",
        replace: "this.#tellEnded(await this.#persist('fence', () => this.#writer.fence()));",
      },
    ],
    killedBy: ['ownership', 'clean-stop'],
  },
  {
    name: 'takes a failed commit for not committed',
    patches: [
      {
        file: 'runtime/task/committer.ts',
        find: 'if (last !== undefined && last.chainHash === written.chainHash) return last.offset;',
        replace: 'if (last !== undefined) return null;',
      },
    ],
    killedBy: ['commit-log', 'task-failed'],
  },
  {
    name: 'takes a failed commit for committed',
    patches: [
      {
        file: 'runtime/task/committer.ts',
        find: 'last.chainHash === previousChainHash) return null;',
        replace: 'last.chainHash === previousChainHash) return this.#expectedOffset;',
      },
    ],
    killedBy: ['commit-log', 'task-failed', 'liveness'],
  },
  {
    name: 'sends the entry again, and not the output',
    patches: [
      {
        file: 'runtime/task/committer.ts',
        find: 'const offset = await this.#transact(sealed);',
        replace: 'const offset = await this.#transact(attempt === 1 ? sealed : { ...sealed, batches: [] });',
      },
    ],
    killedBy: ['commit-log'],
  },
  // The writer of the simulated log decides as that of Kafka does.
  {
    name: 'takes every transaction without markers for aborted',
    patches: [
      {
        file: 'test/simulation/world/log-writer.ts',
        find: "if (found.state !== 'committed') {",
        replace: "if (found.state !== 'ending') {",
      },
    ],
    killedBy: ['commit-log', 'task-failed', 'rows', 'exchange', 'digest', 'liveness'],
  },
  {
    name: 'takes every transaction without markers for committed',
    patches: [
      {
        file: 'test/simulation/world/log-writer.ts',
        find: "if (found.state !== 'committed') {",
        replace: "if (found.state === 'ongoing') {",
      },
    ],
    killedBy: ['commit-log', 'clean-stop', 'task-failed', 'rows', 'exchange', 'dead-letters', 'late'],
  },
  {
    name: 'does not say what it may have left without markers',
    patches: [
      {
        file: 'runtime/task/committer.ts',
        find: 'writer(transactionalId(plan.identity), plan.outputs)',
        replace: 'writer(transactionalId(plan.identity), [plan.place])',
      },
    ],
    killedBy: ['commit-log', 'rows', 'exchange', 'liveness'],
  },
  {
    name: 'replays with the clock of now',
    patches: [
      {
        file: 'runtime/task/replay.ts',
        find: 'clockMs: entry.clockMs,',
        replace: 'clockMs: Math.max(entry.clockMs, step.environment.clock.nowMs()),',
      },
    ],
    killedBy: ['replay', 'digest', 'task-failed'],
  },
  {
    name: 'judges lateness by batch',
    patches: [
      {
        file: 'runtime/task/stage-runner.ts',
        find: 'limits.cutTimestampMs = this.#cutTimestamp(operators);',
        replace:
          'limits.cutTimestampMs = operators.length > 0 ? Number.POSITIVE_INFINITY : this.#cutTimestamp(operators);',
      },
    ],
    killedBy: ['rows', 'late', 'replay', 'task-failed', 'digest', 'order-free-rows'],
  },
  {
    name: 'copies a page after it has changed',
    patches: [
      {
        file: 'checkpoint/page-set.ts',
        find: 'if (page.pending) this.#snapshot?.copy(page);',
        replace: '',
      },
    ],
    killedBy: ['digest', 'task-failed'],
  },
  {
    name: 'publishes a checkpoint before its entry is committed',
    patches: [
      {
        file: 'runtime/task/live-loop.ts',
        find: 'if (captured) checkpointing.capture(entry, written.chainHash, runner);',
        replace:
          'if (captured) { checkpointing.capture(entry, written.chainHash, runner); checkpointing.write(entry, head.offset + 2n); }',
      },
      {
        file: 'runtime/task/live-loop.ts',
        find: 'if (captured) checkpointing.write(entry, head.offset);',
        replace: '',
      },
    ],
    killedBy: ['commit-log', 'digest', 'deletion', 'task-failed'],
  },
  {
    name: 'deletes files before an entry lists them',
    patches: [
      {
        file: 'runtime/task/checkpointing.ts',
        find: 'this.#listedDead = this.#checkpoints.dead();',
        replace:
          'this.#listedDead = this.#checkpoints.dead(); { const listed = this.#listedDead; this.#clean(() => this.#checkpoints.deleteListed(listed)); }',
      },
    ],
    killedBy: ['deletion'],
  },
  {
    name: 'trims the logs beyond the oldest checkpoint',
    patches: [
      {
        file: 'runtime/task/checkpointing.ts',
        find: 'before: BigInt(oldest.inputs[0].endOffset) });',
        replace: 'before: BigInt(oldest.inputs[0].endOffset) + 100n });',
      },
    ],
    killedBy: ['task-failed'],
  },
  {
    name: 'leaves out the sync of files',
    patches: [{ file: 'checkpoint/directory-store.ts', find: 'await this.#disk.syncFile(temporary);', replace: '' }],
    killedBy: ['task-failed', 'deletion'],
  },
  {
    name: 'lets an operator remember something outside its state',
    patches: [
      {
        file: 'operators/transforms/key-by-series.ts',
        find: 'export class KeyBySeries',
        replace: 'let sweeps = 0;\nexport class KeyBySeries',
      },
      {
        file: 'operators/transforms/key-by-series.ts',
        find: 'users.some((user) => user.usesKey(slot))',
        replace: 'sweeps++ % 2 === 0 || users.some((user) => user.usesKey(slot))',
      },
    ],
    killedBy: ['digest', 'replay', 'task-failed'],
  },
  {
    name: 'does not record idle time',
    patches: [
      {
        file: 'runtime/task/live-loop.ts',
        find: '...(this.#idleSinceMs === null ? {} : { idle: { sinceMs: this.#idleSinceMs } }),',
        replace: '',
      },
    ],
    killedBy: ['liveness', 'rows', 'exchange', 'replay', 'task-failed', 'digest'],
  },
  {
    name: 'takes the time while it was down for idle time',
    patches: [
      {
        file: 'runtime/task/stage-runner.ts',
        find: 'const fromMs = Math.max(previousMs, start.idleSinceMs);',
        replace: 'const fromMs = previousMs;',
      },
    ],
    killedBy: ['rows', 'exchange', 'late'],
  },
  {
    name: 'calls a reader idle that is behind',
    patches: [
      {
        file: 'runtime/task/idleness.ts',
        find: 'position !== lastStable || position !== highWatermark',
        replace: 'position > lastStable',
      },
      { file: 'runtime/task/live-loop.ts', find: 'if (runner.hasBatch) idleness?.interrupted();', replace: '' },
    ],
    killedBy: ['idleness', 'order-free-rows'],
  },
  {
    name: 'does not wait for a writer that was never heard',
    patches: [
      {
        file: 'runtime/task/watermark.ts',
        find: 'least = Math.min(least, this.#contributionMs[i]);',
        replace:
          'if (this.#contributionMs[i] > Number.NEGATIVE_INFINITY) least = Math.min(least, this.#contributionMs[i]);',
      },
    ],
    killedBy: ['rows', 'late', 'order-free-rows'],
  },
  {
    name: 'lets an idle writer follow the others for ever',
    patches: [
      {
        file: 'runtime/task/watermark.ts',
        find: 'least = Math.min(least, this.#contributionMs[i]);',
        replace: 'least = Math.min(least, this.#idle[i] === 1 ? this.#largestReadMs : this.#contributionMs[i]);',
      },
    ],
    killedBy: ['rows', 'late'],
  },
  {
    name: 'forgets the watermark when it restores',
    patches: [{ file: 'runtime/task/stage-runner.ts', find: 'this.watermark.restore(state.watermark);', replace: '' }],
    killedBy: ['digest', 'replay', 'task-failed', 'exchange', 'rows', 'late'],
  },
  {
    name: 'records another start than it used',
    patches: [
      {
        file: 'runtime/task/task-attempt.ts',
        find: 'inputs: [this.#inputPosition(inputTopic, startOffset)],',
        replace: 'inputs: [this.#inputPosition(inputTopic, 0n)],',
      },
    ],
    killedBy: ['task-failed', 'replay', 'rows', 'exchange', 'dead-letters'],
  },
  {
    name: 'fires on in a replay where the entry ended',
    patches: [
      {
        file: 'runtime/task/replay.ts',
        find: 'step.compare ? recordedCount : Number.POSITIVE_INFINITY',
        replace: 'Number.POSITIVE_INFINITY',
      },
    ],
    killedBy: ['task-failed', 'replay'],
  },
  {
    name: 'drops the rest of a batch when an entry ends in it',
    patches: [
      {
        file: 'runtime/task/live-loop.ts',
        find: '    runner.end();\n    const entry: Entry = {',
        replace: '    runner.dropBatch();\n    runner.end();\n    const entry: Entry = {',
      },
    ],
    killedBy: ['task-failed', 'exchange', 'rows', 'dead-letters', 'late', 'order-free-rows', 'replay'],
  },
  {
    name: 'stops with records consumed and not committed',
    patches: [
      {
        file: 'runtime/task/live-loop.ts',
        find: 'if (this.#stopping && !this.#open) break;',
        replace: 'if (this.#stopping) break;',
      },
      {
        file: 'runtime/task/live-loop.ts',
        find: 'if (this.#sealDue()) await this.#seal();',
        replace: 'if (!this.#stopping && this.#sealDue()) await this.#seal();',
      },
    ],
    killedBy: ['digest', 'task-failed', 'replay'],
  },
  {
    name: 'fires larger windows before the smaller ones they are made of',
    patches: [
      {
        file: 'runtime/task/stage-runner.ts',
        find: 'if (timerMs > dueMs || (due !== null && timerMs === dueMs)) continue;',
        replace: 'if (timerMs > dueMs) continue;',
      },
    ],
    killedBy: ['rows', 'task-failed', 'order-free-rows'],
  },
  {
    name: 'reads records again that were split off the batch before',
    patches: [
      {
        file: 'operators/sources/samples-source.ts',
        find: 'if (delta < skipBelowDelta) continue;',
        replace: '',
      },
    ],
    killedBy: ['exchange', 'rows', 'dead-letters', 'late', 'replay', 'task-failed', 'order-free-rows'],
  },
  {
    name: 'forgets keys that an open window still needs',
    patches: [
      {
        file: 'operators/windows/pane-rows.ts',
        find: 'for (const pane of this.panes) if (this.rowOf(pane, slot) >= 0) return true;',
        replace: '',
      },
    ],
    killedBy: ['rows', 'task-failed', 'order-free-rows', 'exchange'],
  },
  {
    name: 'lets one firing make an entry of any size',
    patches: [
      {
        file: 'runtime/task/stage-runner.ts',
        find: '? this.output.stagedBytes >= this.#commitBytesMax',
        replace: '? false',
      },
    ],
    killedBy: ['memory'],
  },
  {
    name: 'sends records again under a new entry number',
    patches: [
      {
        file: 'runtime/task/committer.ts',
        find: 'const entry = entryBatch(written, this.#place.topic, this.#place.partition);',
        replace:
          'const number = written.entry.number + Math.min(1, this.transactionsFailed); const entry = entryBatch(writeEntry({ ...written.entry, number }, before), this.#place.topic, this.#place.partition);',
      },
      {
        file: 'runtime/task/committer.ts',
        find: 'import { entryBatch,',
        replace: 'import { entryBatch, writeEntry,',
      },
      {
        file: 'runtime/task/committer.ts',
        find: 'async #transact({ written, batches }: Sealed)',
        replace: 'async #transact({ written, previousChainHash: before, batches }: Sealed)',
      },
    ],
    killedBy: ['commit-log', 'task-failed'],
  },
  {
    name: 'goes on with a producer that failed',
    patches: [
      {
        file: 'runtime/task/committer.ts',
        find: 'await this.#initialiseAgain();\n    const last',
        replace: 'const last',
      },
    ],
    killedBy: ['liveness', 'task-failed', 'commit-log'],
  },
];
