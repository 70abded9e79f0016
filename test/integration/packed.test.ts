// What `npm pack` gives works when it is installed elsewhere: command, threads, types and test driver, with the jobs
// that jobs/README.md tells its reader to write.

import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import type { LogClient } from '#runtime/log/contract.ts';
import { openEmbeddedLog } from '#runtime/log/embedded/embedded-log.ts';
import { systemClock } from '#runtime/std/clock.ts';
import { readTopic } from './oracle/log-port.ts';
import { PackedProject } from './packed-project.ts';

const GENERATED_HOSTS = 20;

let project: PackedProject;

beforeAll(() => {
  project = PackedProject.create();
}, 300_000);

afterAll(() => project?.remove());

test('the command runs on the Node that comes with the package, whichever Node starts it', () => {
  expect(project.run('npx', 'node', '--version').output).toContain('v24.');
  for (const command of [['npx', 'millrace'], ['node_modules/.bin/millrace']]) {
    expect(project.run(command[0], ...command.slice(1), '--version')).toMatchObject({ status: 0 });
  }
  expect(project.run('npx', 'millrace', 'jump')).toMatchObject({
    status: 2,
    output: expect.stringContaining("'jump' is no command"),
  });
});

test('a job in TypeScript is explained', () => {
  const { status, output } = project.run('npx', 'millrace', 'explain', 'silence.ts');
  expect(output).toContain('stage silence × partitions of metrics.raw   exchange silence from samples');
  expect(status).toBe(0);
});

test('jobs, tests and configuration have types, and a wrong use is found', () => {
  expect(project.typeFaults()).toBe('');
  project.write(
    'wrong.ts',
    `import { integer, records, topic, valueState, defineJob } from 'millrace';
import { JobDriver } from 'millrace/testing';
export const job = defineJob({
  name: 'wrong',
  source: records<{ user: string }>({ topic: 'in' }),
  build: (all) => {
    all.keyBy('user', ({ user }) => user).process('p', {
      state: { count: valueState(integer()) },
      process: ({ name }, { state }) => state.count.set('one'),
    }).to(topic(1));
  },
});
export const driver: string = await JobDriver.start(job);
`,
  );
  const faults = project.typeFaults();
  expect(faults).toContain("Property 'name' does not exist on type '{ user: string; }'");
  expect(faults).toContain("'string' is not assignable to parameter of type 'number'");
  expect(faults).toContain("'number' is not assignable to parameter of type 'string'");
  expect(faults).toContain("Type 'JobDriver' is not assignable to type 'string'");
  project.write('wrong.ts', '');
});

test('tests with the driver pass', () => {
  const { status, output } = project.run('npx', 'node', '--test');
  expect(status, output).toBe(0);
  expect(output).toMatch(/pass 2/);
});

test('jobs run on the embedded log, stop at Ctrl-C and at SIGTERM, and go on where they stopped', async () => {
  const generated = project.start('npx', 'millrace', 'start');
  await generated.until('rows and new hosts', (output) => {
    const hosts = output.match(/^hosts\.new /gm)?.length ?? 0;
    return hosts >= GENERATED_HOSTS && /^1m .* 15 rows$/m.test(output);
  });
  generated.interrupt();
  await generated.ended;
  expect(generated.output).toContain('millrace: stopping');

  const up = project.start('node_modules/.bin/millrace', 'up');
  await up.until('all tasks', (output) => (output.match(/restored from a checkpoint/g)?.length ?? 0) >= 16);
  up.terminate();
  expect(await up.ended, up.output.slice(-2_000)).toBe(0);

  await withLog(join(project.directory, 'data/log'), async (client) => {
    const hosts = (await readTopic(client, 'hosts.new')).map(({ value }) => value?.toString());
    expect(new Set(hosts).size).toBe(GENERATED_HOSTS);
    expect(hosts).toHaveLength(GENERATED_HOSTS);
    const rows = (await readTopic(client, 'regions.1m')).map(({ value }) => JSON.parse(String(value)));
    const names = rows.map(({ metric_name, labels, window_start, revision }) =>
      JSON.stringify([metric_name, labels, window_start, revision]),
    );
    expect(new Set(names).size).toBe(rows.length);
  });
}, 180_000);

async function withLog(directory: string, use: (client: LogClient) => Promise<void>): Promise<void> {
  const log = await openEmbeddedLog({ directory, clock: systemClock });
  try {
    const client = log.client();
    await use(client);
    await client.close();
  } finally {
    await log.close();
  }
}
