// Owns the planted mistakes about savepoints, and the oracles that must find them.

import { at, type Mutant } from '#test/simulation/planting.ts';

export const SAVEPOINT_MUTANTS: readonly Mutant[] = [
  {
    name: 'cuts tasks behind an exchange without waiting for markers',
    patches: at('runtime/task/savepoint-hold.ts', [
      'if (plan.writers === 0 || runner.markers.isComplete(wanted)) return wanted;',
      'if (plan.writers >= 0) return wanted;',
    ]),
    killedBy: ['savepoint'],
  },
  {
    name: 'takes the marker of one writer for those of all',
    patches: at('runtime/task/savepoint-markers.ts', [
      'return this.#heard.get(id)?.size === this.#writers;',
      'return (this.#heard.get(id)?.size ?? 0) > 0;',
    ]),
    killedBy: ['savepoint'],
  },
  {
    name: 'reads on while it holds for a savepoint',
    patches: at('runtime/task/live-loop.ts', [
      'if (this.holds) hold.hold(this.#lastEntry);\n    else if',
      'if (this.holds) {\n      hold.hold(this.#lastEntry);\n      return true;\n    } else if',
    ]),
    killedBy: ['savepoint', 'digest'],
  },
  {
    name: 'keeps no files for a savepoint, only the name of its own',
    patches: at('runtime/task/checkpointing.ts', [
      'if (keepAs !== null) await this.#checkpoints.keepAs(keepAs, reference);',
      '',
    ]),
    killedBy: ['savepoint'],
  },
  {
    name: 'leaves out the sync of the directory that a part was copied to',
    patches: at('checkpoint/directory-store.ts', [
      'await this.#link(from, directory, name);\n      await this.#disk.syncDirectory(directory);',
      'await this.#link(from, directory, name);',
    ]),
    killedBy: ['savepoint'],
  },
  {
    name: 'deletes the parts of a savepoint while its record is there',
    patches: at(
      'checkpoint/savepoint.ts',
      ['    await this.#store.remove(this.#place, [record]);\n    await this.discard(', '    await this.discard('],
      [
        '    await this.#store.remove(this.#place, [leaving]);',
        '    await this.#store.remove(this.#place, [record]);\n    await this.#store.remove(this.#place, [leaving]);',
      ],
    ),
    killedBy: ['deletion'],
  },
];
