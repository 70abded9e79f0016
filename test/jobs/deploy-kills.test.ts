// Processes that end in the middle of a deploy, as a kill ends them: the next one finishes it or takes it back, and every row
// is there once, whichever version gave it. MILLRACE_TEST_SEED repeats a run.

import { mkdtemp } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { expect, test } from 'vitest';
import { Random } from '#test/integration/oracle/random.ts';
import { expected, feedMinutes } from '#test/runtime/slot/minute-world.ts';
import { DeployWorld } from './deploy-world.ts';

const SEED = Number(process.env['MILLRACE_TEST_SEED'] ?? 20261122);
const ROWS = expected(5);
const KILLS = 3;
/** What a deploy takes, about. */
const LONGEST_MS = 1_500;

test.each([
  ['a hand-over', { look: 'sample.value > 0' }],
  ['a new generation', { partitions: 3 }],
] as const)(
  '%s that is cut off again and again ends, and no row is lost or there twice',
  async (_, choice) => {
    const random = new Random(SEED);
    const world = new DeployWorld(await mkdtemp(join(tmpdir(), 'millrace-deploy-')));
    try {
      await world.write('counted.ts', {});
      const first = await world.start();
      await world.ready();
      const feeding = feedMinutes(first.log, 5);
      const next = await world.write('next.ts', choice);
      const { plan } = await world.begin(next, {}, 'cut-off');
      await feeding;
      for (let kill = 0; kill < KILLS; kill++) {
        await sleep(random.integer(LONGEST_MS));
        await world.kill();
        await world.start();
      }
      const request = await world.over('cut-off');
      expect(['DONE', 'UNDONE'], JSON.stringify(request)).toContain(request.state);
      await world.ready();
      const version = request.state === 'DONE' ? plan.version : plan.from;
      expect(await world.port.job('counted'), `seed ${SEED}`).toMatchObject({ version, state: 'RUNNING' });
      expect(await world.rows(ROWS.length), `seed ${SEED}`).toEqual(ROWS);
      expect(await world.port.savepoints('counted')).toHaveLength(plan.way === 'generation' ? 1 : 0);
    } finally {
      await world.remove();
    }
  },
  120_000,
);
