// Owns the order in which test files begin: those that run for minutes first, so that nothing is left waiting for them.

import { BaseSequencer, type TestSpecification } from 'vitest/node';

const LONG = [
  'test/simulation/mutants.test.ts',
  'test/faults/faults.test.ts',
  'test/simulation/sweep.test.ts',
  'test/simulation/many-seeds.test.ts',
];

export class LongFirst extends BaseSequencer {
  override async sort(files: TestSpecification[]): Promise<TestSpecification[]> {
    const sorted = await super.sort(files);
    const rank = ({ moduleId }: TestSpecification) => {
      const at = LONG.findIndex((path) => moduleId.endsWith(path));
      return at < 0 ? LONG.length : at;
    };
    return sorted.sort((left, right) => rank(left) - rank(right));
  }
}
