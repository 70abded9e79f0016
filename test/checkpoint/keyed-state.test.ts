import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll } from 'vitest';
import { LevelPages } from '#checkpoint/level-pages.ts';
import { PageSwap } from '#checkpoint/page-swap.ts';
import { StateMemory } from '#checkpoint/state-memory.ts';
import { nextAttempt, task } from '#test/checkpoint/world.ts';
import { keyedStateSuite } from '#test/suites/keyed-state.suite.ts';

const root = mkdtempSync(join(tmpdir(), 'keyed-state-'));
afterAll(() => rmSync(root, { recursive: true, force: true }));

keyedStateSuite('in memory', { swap: () => null });

keyedStateSuite('in LevelDB', {
  swap(budgetBytes) {
    const attempt = nextAttempt();
    const memory = new StateMemory(budgetBytes);
    return new PageSwap({ memory, open: () => LevelPages.open({ root, identity: task, attempt }) });
  },
});
