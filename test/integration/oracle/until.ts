// Owns waiting in tests: for a condition, never for a time, and never for ever. The message of a failure says what was
// waited for and how things stood.

import { setTimeout as sleep } from 'node:timers/promises';

export async function until(
  done: () => boolean | Promise<boolean>,
  what: string,
  timeoutMs: number,
  state: () => string = () => '',
): Promise<void> {
  const deadline = performance.now() + timeoutMs;
  while (!(await done())) {
    if (performance.now() > deadline) throw new Error(`waited ${timeoutMs} ms in vain for ${what}; ${state()}`);
    await sleep(20);
  }
}
