// Idle time is only time in which the log was seen to be empty: an outage or a pause of the process is not.

import { expect, test } from 'vitest';
import { ToyWorld } from '#test/runtime/task/toy-world.ts';
import { WORLD_EPOCH_MS } from '#test/simulation/world/clock.ts';

const MINUTE_MS = 60_000;
const OPTIONS = { commitIntervalMs: 200, idleTickMs: 1_000 };

/** A task whose source is idle and whose watermark follows the clock. */
async function idleTask() {
  const toy = new ToyWorld();
  const running = toy.launch(OPTIONS);
  const at = () => WORLD_EPOCH_MS + toy.world.scheduler.nowMs;
  toy.feed(`${at()} 1`);
  // Idle after 30 s; a minute later the first window is closed by time alone.
  const closed = await toy.until(() => toy.committed('out').length === 1, 4 * MINUTE_MS);
  expect(closed, 'the window of the only record is closed by idle time').toBe(true);
  return { toy, running, at };
}

/** Records as producers send them that could not reach the log for a while: oldest first, none of them late. */
function backlog(fromMs: number, toMs: number): string[] {
  const records: string[] = [];
  for (let atMs = fromMs; atMs < toMs; atMs += 5_000) records.push(`${atMs} 1`);
  return records;
}

/** Feeds two records a minute apart, so that one window closes soon after the source is idle, the other a minute later. */
async function twoWindows(toy: ToyWorld, at: () => number): Promise<void> {
  const nextMs = Math.ceil(at() / MINUTE_MS) * MINUTE_MS;
  await toy.pass(nextMs - at());
  toy.feed(`${nextMs - MINUTE_MS} 1`, `${nextMs} 1`);
}

const lateRows = (toy: ToyWorld) => toy.committed('out').filter((row) => row.startsWith('late'));

test('what producers held back during an outage of the log is not late after it', async () => {
  // Who is back first, reader or writer, depends on the moment.
  for (let moreMs = 0; moreMs < 1_000; moreMs += 250) {
    const { toy, at } = await idleTask();
    await twoWindows(toy, at);
    // The log goes away in the middle of the commit of an idle entry.
    let awayFromMs = 0;
    toy.world.channel.arm('commit', 'closed-before', () => {
      awayFromMs = at();
      toy.world.logAway(10 * MINUTE_MS + moreMs);
    });
    await toy.pass(MINUTE_MS);
    expect(awayFromMs, 'the entry that closes the first window').toBeGreaterThan(0);
    // The log is back; the producers come back a little later.
    const back = await toy.until(() => toy.committed('out').length >= 2, 15 * MINUTE_MS);
    expect(back, 'its commit gets through').toBe(true);
    await toy.pass(4_000);
    toy.feed(...backlog(awayFromMs, at()));
    await toy.pass(30_000);
    expect(lateRows(toy), `away ${moreMs} ms longer`).toEqual([]);
  }
});

test('what waits in the log while the process is stopped is not late when it goes on', async () => {
  for (let afterMs = 40_000; afterMs < 42_000; afterMs += 100) {
    const { toy, running, at } = await idleTask();
    await twoWindows(toy, at);
    await toy.pass(afterMs);
    const stoppedMs = at();
    running.inhabitant.process.pause(10 * MINUTE_MS);
    // The last fetch before the stop is answered with nothing; its answer is read when the process goes on.
    await toy.pass(10 * MINUTE_MS - 1_000);
    toy.feed(...backlog(stoppedMs, at()));
    await toy.pass(30_000);
    expect(lateRows(toy), `stopped ${afterMs} ms later`).toEqual([]);
  }
});
