// Owns the table of mistakes that are planted into how processes share tasks out, and the oracles that must find them.
// What a leader must make of late words takes a chain of coincidences: round-plan.test.ts says it word by word.

import { at, type Mutant } from '#test/simulation/planting.ts';

const MEMBERSHIP = 'runtime/control/membership.ts';
const PLAN = 'runtime/control/round-plan.ts';

export const MEMBER_MUTANTS: readonly Mutant[] = [
  {
    name: 'hands a task out while its owner still runs it',
    patches: at(PLAN, [': !holding.releasing && target?.member === holding.memberId;', ': target !== null;']),
    killedBy: ['ownership'],
  },
  {
    name: 'does not come back to what it could not decide',
    patches: at(MEMBERSHIP, ['if (picture.unfinished && this.#leader) this.#wishLater();', '']),
    killedBy: ['liveness'],
  },
  {
    name: 'keeps its tasks when the group forgot it',
    patches: at(
      MEMBERSHIP,
      ['    this.#claims.clear();\n', ''],
      ['Promise.resolve(this.#duties.lost())', 'Promise.resolve()'],
    ),
    killedBy: ['ownership'],
  },
  {
    name: 'says that it owns a task because it was told so once',
    patches: at(MEMBERSHIP, [
      '      const { sign, life, generation } = await this.#question();\n',
      "      const { sign, life, generation } = { sign: 'stable' as Sign, life: this.#life, generation: this.#generation };\n",
    ]),
    killedBy: ['ownership'],
  },
  {
    name: 'does not say that a task still stops',
    patches: at(MEMBERSHIP, [
      'const claims = Array.from(this.#claims, ',
      'const claims = Array.from([...this.#claims].filter(([, own]) => !own.releasing), ',
    ]),
    killedBy: ['ownership'],
  },
  {
    name: 'does not join again when its tasks have stopped',
    patches: at(MEMBERSHIP, [
      '        for (const task of revoked) this.#claims.delete(task);\n        this.#wish();',
      '        for (const task of revoked) this.#claims.delete(task);',
    ]),
    killedBy: ['liveness'],
  },
];
