// Owns the planted mistakes about new versions and new generations of a job, and the oracles that must find them.

import { at, type Mutant } from '#test/simulation/planting.ts';

export const UPGRADE_MUTANTS: readonly Mutant[] = [
  {
    name: 'starts a new version where the old one left entries without a checkpoint, and replays them with new code',
    patches: at('runtime/task/attempt-start.ts', [
      'if (divergent && !options.acceptDivergentReplay) throw otherVersion(plan, from, entries, manifest);',
      'if (divergent && entries.length === 0) throw otherVersion(plan, from, entries, manifest);',
    ]),
    killedBy: ['rows', 'exchange', 'digest', 'task-failed'],
  },
  {
    name: 'takes over from another version without an entry that says so',
    patches: at('runtime/task/attempt-start.ts', [
      'if (last.entry.version === version) return;',
      'if (last.entry.version === version || manifest !== null) return;',
    ]),
    killedBy: ['commit-log'],
  },
  {
    name: 'ends a replay for another version without a checkpoint',
    patches: at('runtime/task/attempt-start.ts', [
      '    if (options.replayOnly) {\n      await this.checkpointing.finish(last.entry, chainHash, offset, runner);\n      return;',
      '    if (options.replayOnly) {\n      return;',
    ]),
    killedBy: ['liveness', 'task-failed'],
  },
  {
    name: 'takes state of an older version as it is',
    patches: at('checkpoint/state-migration.ts', [
      'codec.own(migrated(migrate, read(input), from.name))',
      'codec.own(read(input) as never)',
    ]),
    killedBy: ['rows', 'exchange', 'task-failed'],
    workload: 'devices',
  },
  {
    name: 'does not shut out the tasks of the generation before',
    patches: at('runtime/task/generation-fence.ts', ['    await writer.fence();', '    await Promise.resolve();']),
    killedBy: ['ownership', 'commit-log'],
  },
  {
    name: 'reads its sources from their starts in a new generation',
    patches: at('runtime/task/origin.ts', [
      'if (position === undefined) return null;',
      "if (position === undefined || position.endOffset !== '') return null;",
    ]),
    killedBy: ['rows', 'exchange', 'order-free-rows', 'dead-letters', 'late'],
  },
  {
    name: 'begins a new generation without any watermark',
    patches: at('runtime/task/attempt-start.ts', ['runner.adopt(origin.watermarkMs);', 'runner.adopt(null);']),
    killedBy: ['rows', 'late', 'exchange', 'order-free-rows'],
  },
  {
    name: 'takes the keys of other tasks, too, when it begins with their savepoint',
    patches: at('runtime/task/origin.ts', [
      'partitions === null ? null : { partition, partitions }',
      'partitions === null ? null : { partition: 0, partitions: Math.min(1, partition + partitions) }',
    ]),
    killedBy: ['rows', 'order-free-rows'],
  },
  {
    name: 'takes over the first of the parts that have keys of a task',
    patches: at('jobs/generations.ts', [
      'return { savepoint: savepoint.id, parts: tasks.map(part), partitions };',
      'return { savepoint: savepoint.id, parts: tasks.slice(0, 1).map(part), partitions };',
    ]),
    killedBy: ['rows', 'exchange', 'order-free-rows'],
  },
  {
    name: 'does not write down what its state began with',
    patches: at('runtime/task/attempt-start.ts', ['...(began === undefined ? {} : { origin: began }),', '']),
    killedBy: ['rows', 'task-failed', 'exchange', 'digest'],
  },
];
