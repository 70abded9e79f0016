// Owns the table of planted mistakes: changes of the product's source, applied only while a child process loads it, and the
// oracles that must find them. Each could be made by somebody, or is ruled out by the architecture by name.

import { at, type Mutant } from '#test/simulation/planting.ts';
import { SAVEPOINT_MUTANTS } from '#test/simulation/savepoint-mutants.ts';
import { UPGRADE_MUTANTS } from '#test/simulation/upgrade-mutants.ts';
import { WORKLOAD_MUTANTS } from '#test/simulation/workload-mutants.ts';

export const MUTANTS: readonly Mutant[] = [
  {
    name: 'shuts its successor out without asking who owns the task',
    patches: at('runtime/task/committer.ts', [
      '    await this.#checkOwner();\n    await this.#fence();',
      '    await this.#fence();',
    ]),
    killedBy: ['ownership'],
  },
  {
    name: 'does not ask again who owns the task when it has shut others out',
    patches: at('runtime/task/committer.ts', [
      "this.#tellEnded(await this.#persist('fence', () => this.#writer.fence()));\n    await this.#checkOwner();",
      "this.#tellEnded(await this.#persist('fence', () => this.#writer.fence()));",
    ]),
    killedBy: ['ownership', 'clean-stop'],
  },
  {
    name: 'takes a failed commit for not committed',
    patches: at('runtime/task/committer.ts', [
      'if (last !== undefined && last.chainHash === written.chainHash) return last.offset;',
      'if (last !== undefined) return null;',
    ]),
    killedBy: ['commit-log', 'task-failed'],
  },
  {
    name: 'takes a failed commit for committed',
    patches: at('runtime/task/committer.ts', [
      'last.chainHash === previousChainHash) return null;',
      'last.chainHash === previousChainHash) return this.#expectedOffset;',
    ]),
    killedBy: ['commit-log', 'task-failed', 'liveness'],
  },
  {
    name: 'sends the entry again, and not the output',
    patches: at('runtime/task/committer.ts', [
      'const offset = await this.#transact(sealed);',
      'const offset = await this.#transact(attempt === 1 ? sealed : { ...sealed, batches: [] });',
    ]),
    killedBy: ['commit-log'],
  },
  {
    name: 'takes every transaction without markers for aborted',
    patches: at('runtime/log/kafka/transaction-ends.ts', [
      "if (state !== 'CompleteCommit') {",
      "if (state !== 'PrepareCommit') {",
    ]),
    killedBy: ['commit-log', 'task-failed', 'rows', 'exchange', 'digest', 'liveness'],
  },
  {
    name: 'takes every transaction without markers for committed',
    patches: at('runtime/log/kafka/transaction-ends.ts', [
      "if (state !== 'CompleteCommit') {",
      "if (state === 'Ongoing' || state === 'PrepareAbort') {",
    ]),
    killedBy: ['commit-log', 'clean-stop', 'task-failed', 'rows', 'exchange', 'dead-letters', 'late'],
  },
  {
    name: 'begins the next transaction before the last is seen to be ended',
    patches: at('runtime/log/kafka/transaction-ends.ts', [
      'if (left.length === 0) return 0;',
      'if (left.length >= 0) return 0;',
    ]),
    killedBy: ['commit-log', 'task-failed', 'rows', 'exchange', 'digest', 'liveness', 'clean-stop'],
  },
  {
    name: 'forgets what it may not end by hand',
    patches: at('runtime/log/kafka/transaction-ends.ts', [
      'if (!(await this.#port.commit(missing))) this.#owed = [...this.#owed, ...missing];',
      'await this.#port.commit(missing);',
    ]),
    killedBy: ['commit-log', 'task-failed', 'rows', 'exchange', 'digest', 'liveness', 'clean-stop'],
  },
  {
    name: 'does not say what it may have left without markers',
    patches: at('runtime/task/committer.ts', [
      'writer(transactionalId(plan.identity), plan.outputs)',
      'writer(transactionalId(plan.identity), [plan.place])',
    ]),
    killedBy: ['commit-log', 'rows', 'exchange', 'liveness'],
  },
  {
    name: 'replays with the clock of now',
    patches: at('runtime/task/replay.ts', [
      'const start = { clockMs,',
      'const start = { clockMs: Math.max(clockMs, step.environment.clock.nowMs()),',
    ]),
    killedBy: ['replay', 'digest', 'task-failed'],
  },
  {
    name: 'judges lateness by batch',
    patches: at('runtime/task/stage-runner.ts', [
      'limits.cutTimestampMs = this.#cutTimestamp(operators);',
      'limits.cutTimestampMs = operators.length > 0 ? Number.POSITIVE_INFINITY : this.#cutTimestamp(operators);',
    ]),
    killedBy: ['rows', 'late', 'replay', 'task-failed', 'digest', 'order-free-rows'],
  },
  {
    name: 'copies a page after it has changed',
    patches: at('checkpoint/page-set.ts', ['if (page.pending) this.#snapshot?.copy(page);', '']),
    killedBy: ['digest', 'task-failed'],
  },
  {
    name: 'publishes a checkpoint before its entry is committed',
    patches: at(
      'runtime/task/live-loop.ts',
      [
        'if (captured) checkpointing.capture(entry, written.chainHash, runner);',
        'if (captured) { checkpointing.capture(entry, written.chainHash, runner); checkpointing.write(entry, head.offset + 2n); }',
      ],
      ['if (captured) checkpointing.write(entry, head.offset);', ''],
    ),
    killedBy: ['commit-log', 'digest', 'deletion', 'task-failed'],
  },
  {
    name: 'deletes files before an entry lists them',
    patches: at('runtime/task/checkpointing.ts', [
      'this.#listedDead = this.#checkpoints.dead();',
      'this.#listedDead = this.#checkpoints.dead(); { const listed = this.#listedDead; this.#clean(() => this.#checkpoints.deleteListed(listed)); }',
    ]),
    killedBy: ['deletion'],
  },
  {
    name: 'trims the logs beyond the oldest checkpoint',
    patches: at('runtime/task/checkpointing.ts', [
      'before: BigInt(oldest.inputs[0].endOffset) });',
      'before: BigInt(oldest.inputs[0].endOffset) + 100n });',
    ]),
    killedBy: ['task-failed'],
  },
  {
    name: 'leaves out the sync of files',
    patches: at('checkpoint/directory-store.ts', ['await this.#disk.syncFile(temporary);', '']),
    killedBy: ['task-failed', 'deletion'],
  },
  {
    name: 'lets an operator remember something outside its state',
    patches: at(
      'operators/transforms/key-by-series.ts',
      ['export class KeyBySeries', 'let sweeps = 0;\nexport class KeyBySeries'],
      ['users.some((user) => user.usesKey(slot))', 'sweeps++ % 2 === 0 || users.some((user) => user.usesKey(slot))'],
    ),
    killedBy: ['digest', 'replay', 'task-failed'],
  },
  {
    name: 'does not record idle time',
    patches: at('runtime/task/live-loop.ts', [
      '...(this.#idleSinceMs === null ? {} : { idle: { sinceMs: this.#idleSinceMs } }),',
      '',
    ]),
    killedBy: ['liveness', 'rows', 'exchange', 'replay', 'task-failed', 'digest'],
  },
  {
    name: 'takes the time while it was down for idle time',
    patches: at('runtime/task/stage-runner.ts', [
      'const fromMs = Math.max(previousMs, start.idleSinceMs);',
      'const fromMs = previousMs;',
    ]),
    killedBy: ['liveness', 'rows', 'exchange', 'late'],
  },
  {
    name: 'calls a reader idle that is behind',
    patches: [
      ...at('runtime/task/idleness.ts', [
        'position !== lastStable || position !== highWatermark',
        'position > lastStable',
      ]),
      ...at('runtime/task/live-loop.ts', ['if (runner.hasBatch) idleness?.interrupted();', '']),
    ],
    killedBy: ['idleness', 'order-free-rows'],
  },
  {
    name: 'does not wait for a writer that was never heard',
    patches: at('runtime/task/watermark.ts', [
      'least = Math.min(least, this.#contributionMs[i]);',
      'if (this.#contributionMs[i] > Number.NEGATIVE_INFINITY) least = Math.min(least, this.#contributionMs[i]);',
    ]),
    killedBy: ['rows', 'late', 'order-free-rows'],
  },
  {
    name: 'lets an idle writer follow the others for ever',
    patches: at('runtime/task/watermark.ts', [
      'least = Math.min(least, this.#contributionMs[i]);',
      'least = Math.min(least, this.#idle[i] === 1 ? this.#largestReadMs : this.#contributionMs[i]);',
    ]),
    killedBy: ['rows', 'late'],
  },
  {
    name: 'forgets the watermark when it restores',
    patches: at('runtime/task/stage-runner.ts', ['this.watermark.restore(state.watermark);', '']),
    killedBy: ['digest', 'replay', 'task-failed', 'exchange', 'rows', 'late'],
  },
  {
    name: 'records another start than it used',
    patches: at('runtime/task/attempt-start.ts', [
      'inputs: [inputPosition(plan, inputTopic, startOffset)],',
      'inputs: [inputPosition(plan, inputTopic, 0n)],',
    ]),
    killedBy: ['task-failed', 'replay', 'rows', 'exchange', 'dead-letters'],
  },
  {
    name: 'fires on in a replay where the entry ended',
    patches: at('runtime/task/replay.ts', [
      'step.compare ? recordedCount : Number.POSITIVE_INFINITY',
      'Number.POSITIVE_INFINITY',
    ]),
    killedBy: ['task-failed', 'replay'],
  },
  {
    name: 'drops the rest of a batch when an entry ends in it',
    patches: at('runtime/task/live-loop.ts', [
      '    runner.end(savepoint);\n    checkpointing.requireSound();',
      '    runner.dropBatch();\n    runner.end(savepoint);\n    checkpointing.requireSound();',
    ]),
    killedBy: ['task-failed', 'exchange', 'rows', 'dead-letters', 'late', 'order-free-rows', 'replay'],
  },
  {
    name: 'stops with records consumed and not committed',
    patches: at(
      'runtime/task/live-loop.ts',
      ['if (this.#stopping && !this.#open) break;', 'if (this.#stopping) break;'],
      ['if (this.#sealDue()) await this.#seal();', 'if (!this.#stopping && this.#sealDue()) await this.#seal();'],
    ),
    killedBy: ['digest', 'task-failed', 'replay', 'rows'],
  },
  {
    name: 'fires larger windows before the smaller ones they are made of',
    patches: at('runtime/task/due-timers.ts', [
      'if (timerMs > dueMs || (due !== null && timerMs === dueMs)) continue;',
      'if (timerMs > dueMs) continue;',
    ]),
    killedBy: ['rows', 'task-failed', 'order-free-rows'],
  },
  {
    name: 'reads records again that were split off the batch before',
    patches: at('operators/sources/samples-source.ts', ['if (delta < skipBelowDelta) continue;', '']),
    killedBy: ['exchange', 'rows', 'dead-letters', 'late', 'replay', 'task-failed', 'order-free-rows'],
  },
  {
    name: 'forgets keys that an open window still needs',
    patches: at('operators/windows/pane-rows.ts', [
      'for (const pane of this.panes) if (this.rowOf(pane, slot) >= 0) return true;',
      '',
    ]),
    killedBy: ['rows', 'task-failed', 'order-free-rows', 'exchange'],
  },
  {
    name: 'lets one firing make an entry of any size',
    patches: at('runtime/task/due-timers.ts', ['? isFull()', '? false']),
    killedBy: ['memory'],
  },
  {
    name: 'sends records again under a new entry number',
    patches: at(
      'runtime/task/committer.ts',
      [
        'const entry = entryBatch(written, this.#place.topic, this.#place.partition);',
        'const number = written.entry.number + Math.min(1, this.transactionsFailed); const entry = entryBatch(writeEntry({ ...written.entry, number }, before), this.#place.topic, this.#place.partition);',
      ],
      ['import { entryBatch,', 'import { entryBatch, writeEntry,'],
      [
        'async #transact({ written, batches }: Sealed)',
        'async #transact({ written, previousChainHash: before, batches }: Sealed)',
      ],
    ),
    killedBy: ['commit-log', 'task-failed'],
  },
  {
    name: 'goes on with a producer that failed',
    patches: at('runtime/task/committer.ts', ['await this.#initialiseAgain();\n    const last', 'const last']),
    killedBy: ['liveness', 'task-failed', 'commit-log'],
  },
  {
    name: 'shuts out whoever has its id after a time-out, instead of coming back with its own epoch',
    patches: at('runtime/task/committer.ts', ['() => this.#writer.initialiseAgain()', '() => this.#writer.fence()']),
    killedBy: ['ownership'],
  },
  {
    name: 'counts checkpoints of another chain among those it keeps',
    patches: at('checkpoint/task-checkpoints.ts', [
      "'checkpoint is not on the chain of the commit log');",
      "'checkpoint is not on the chain of the commit log'); this.#retention.accept(stored);",
    ]),
    killedBy: ['deletion', 'task-failed'],
  },
  {
    name: 'takes a checkpoint for its own that is of another chain',
    patches: at('runtime/task/attempt-start.ts', [
      'byNumber.get(candidate.entry)?.chainHash === candidate.chainHash',
      'byNumber.has(candidate.entry)',
    ]),
    killedBy: ['digest', 'task-failed', 'replay', 'rows'],
  },
  {
    name: 'takes any checkpoint that it finds',
    patches: at('runtime/task/attempt-start.ts', [
      'byNumber.get(candidate.entry)?.chainHash === candidate.chainHash',
      'candidate.entry >= 0 || byNumber.has(0)',
    ]),
    killedBy: ['digest', 'task-failed', 'replay', 'rows', 'liveness', 'commit-log'],
  },
  {
    name: 'records the clock of when an entry ends',
    patches: at('runtime/task/live-loop.ts', [
      'clockMs: runner.clockMs,\n      ...(',
      'clockMs: clock.nowMs(),\n      ...(',
    ]),
    killedBy: ['replay', 'digest', 'task-failed', 'commit-log', 'rows', 'exchange', 'dead-letters'],
  },
  {
    name: 'forgets the timers of windows that it restores',
    patches: at('operators/windows/pane-rows.ts', [
      'this.marks[row] = mark;\n    if (mark !== UNFIRED) this.find(number)!.unfired--;',
      'this.marks[row] = mark;\n    this.find(number)!.unfired--;',
    ]),
    killedBy: ['rows', 'digest', 'replay', 'task-failed'],
  },
  {
    name: 'takes a writer for idle that speaks again',
    patches: at(
      'runtime/task/watermark.ts',
      ['const said = idle ?', 'const said = idle || this.#idle[writer] === 1 ?'],
      ['this.#idle[writer] = idle ? 1 : 0;', 'if (idle) this.#idle[writer] = 1;'],
    ),
    killedBy: ['rows', 'late', 'replay', 'digest'],
  },
  {
    name: 'sends a late sample twice',
    patches: at('operators/windows/tumbling-window.ts', [
      'this.#addLate(batch, i);',
      'this.#addLate(batch, i); this.#addLate(batch, i);',
    ]),
    killedBy: ['late'],
  },
  {
    name: 'leaves out the sync of directories',
    patches: at('checkpoint/directory-store.ts', [
      '    await this.#disk.syncDirectory(directory);\n  }\n\n  async #makeTaskDirectory',
      '  }\n\n  async #makeTaskDirectory',
    ]),
    killedBy: ['task-failed', 'deletion', 'clean-stop'],
  },
  {
    name: 'closes the gaps in the order of keys when it restores',
    patches: at('operators/series/series-table.ts', [
      'if (size === 0) continue;\n      const bytes',
      'if (size === 0) {\n        slot--;\n        continue;\n      }\n      const bytes',
    ]),
    killedBy: ['digest', 'replay', 'rows', 'task-failed'],
  },
  ...WORKLOAD_MUTANTS,
  ...SAVEPOINT_MUTANTS,
  ...UPGRADE_MUTANTS,
];
