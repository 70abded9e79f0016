// The control log is written while the log comes and goes: every record once, and none behind a newer owner's back.

import { beforeEach, expect, test } from 'vitest';
import { ControlLog, type ControlRecord, readControlLog } from '#runtime/control/control-log.ts';
import { ControlWriter } from '#runtime/control/control-writer.ts';
import { silentLogger } from '#runtime/std/logger.ts';
import { NO_FAULTS } from '#test/simulation/world/log-faults.ts';
import { type Inhabitant, World } from '#test/simulation/world/world.ts';

let world: World;

beforeEach(() => {
  world = new World({ seed: 3 });
});

/** Lets virtual time pass until the work is done. */
async function done<T>(work: Promise<T>): Promise<T> {
  let settled = false;
  const end = () => {
    settled = true;
  };
  work.then(end, end);
  const tick = () => {
    if (!settled && world.scheduler.nowMs < 600_000) world.scheduler.schedule(500, 'tick', null, tick);
  };
  tick();
  await world.scheduler.run(() => settled);
  return work;
}

const edges = ({ log, clock }: Inhabitant) => ({ log, clock, reader: log.reader(), namespace: 'n' });
const owner = (processId: string): ControlRecord => ({ kind: 'owner', processId, atMs: 1 });
const purged = (job: string): ControlRecord => ({ kind: 'job-purged', job, atMs: 2 });

async function writer(name: string): Promise<ControlWriter> {
  const inhabitant = world.start(name);
  const log = await done(ControlLog.open(edges(inhabitant)));
  await done(log.append(owner(name)));
  const { signal } = new AbortController();
  return new ControlWriter({ edges: edges(inhabitant), processId: name, logger: silentLogger, signal }, log);
}

async function inLog(): Promise<readonly ControlRecord[]> {
  return (await done(readControlLog(edges(world.start('reader')))))?.records ?? [];
}

test('records that are written at once stand behind one another, those of one call together', async () => {
  const one = await writer('one');
  await done(Promise.all([one.append(purged('a'), purged('b')), one.append(purged('c')), one.append(purged('d'))]));
  expect(await inLog()).toEqual([owner('one'), purged('a'), purged('b'), purged('c'), purged('d')]);
  expect(one.records).toEqual(await inLog());
});

test('whatever gets lost on the way, every record is there once and in order', async () => {
  const one = await writer('one');
  const all = Array.from({ length: 60 }, (_, at) => purged(`job-${at}`));
  world.channel.faults = { ...NO_FAULTS, requestLost: 0.1, answerLost: 0.1 };
  for (const record of all) await done(one.append(record));
  world.channel.faults = NO_FAULTS;
  expect(await inLog()).toEqual([owner('one'), ...all]);
});

test('a process that another has taken over from writes nothing any more', async () => {
  const one = await writer('one');
  const two = await writer('two');
  await expect(done(one.append(purged('a')))).rejects.toMatchObject({ code: 'superseded' });
  await done(two.append(purged('b')));
  expect(await inLog()).toEqual([owner('one'), owner('two'), purged('b')]);
});
