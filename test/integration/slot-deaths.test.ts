// A job that eats all the memory of its thread, beside one that is well, in the real process on the embedded log.

import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { expected, feedMinutes, PARTITIONS, rowsOf, writeJobModules } from '#test/runtime/slot/minute-world.ts';
import { Installation } from './process-harness.ts';
import { refusalOf } from './refusal.ts';
import { withLog } from './rollups-embedded-log.ts';

const HEAP_MIB = 192;

test('a job that needs more memory than its thread has fails alone, with what to do about it', async () => {
  const modules = await mkdtemp(join(tmpdir(), 'millrace-hungry-'));
  await writeJobModules(modules, ['steady', 'hungry']);
  const installation = await Installation.create({
    jobs: { steady: { module: join(modules, 'steady.ts') }, hungry: { module: join(modules, 'hungry.ts') } },
    env: { NODE_OPTIONS: `--max-old-space-size=${HEAP_MIB}` },
  });
  try {
    await withLog(installation, async (client) => {
      await client.admin.createTopics([{ topic: 'metrics.raw', partitionCount: PARTITIONS }]);
      await feedMinutes(client, 999);
    });
    const product = installation.start();
    const failed = JSON.parse(await product.waitForLine(/"job":"hungry","state":"FAILED"/, 120_000));
    expect(failed).toMatchObject({ code: 'task-crash-loop', remedy: expect.stringMatching(/max-old-space-size/) });
    expect(failed.msg).toMatch(/^job hungry ended the thread it runs in .*memory/);
    product.signal('SIGINT');
    const end = await refusalOf(product);
    expect(end).toMatchObject({ code: 1, what: [failed.msg] });
    const rows = await withLog(installation, (client) => rowsOf(client, 'steady'));
    expect(new Set(rows).size, 'none is there twice').toBe(rows.length);
    // How far it came until now is its own affair.
    expect(rows.length).toBeGreaterThan(0);
    expect(rows.filter((row) => !expected(999).includes(row) && !row.includes(' 29 '))).toEqual([]);
  } finally {
    await installation.remove();
    await rm(modules, { recursive: true, force: true });
  }
}, 150_000);
