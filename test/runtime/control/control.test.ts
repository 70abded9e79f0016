// The control log, who an installation is and what its jobs began with, over the simulated log.

import { beforeEach, describe, expect, test } from 'vitest';
import { DirectoryStore } from '#checkpoint/directory-store.ts';
import { ControlLog, type ControlRecord, controlTopic, isOwner, readControlLog } from '#runtime/control/control-log.ts';
import { checkInstallation, claimInstallation } from '#runtime/control/installation.ts';
import { beganSources, jobBegan, prepareInternalTopics, topicsFault } from '#runtime/control/internal-topics.ts';
import { jobOutputs, outputsFault, prepareOutputTopics } from '#runtime/control/output-topics.ts';
import type { TopicDescription } from '#runtime/log/contract.ts';
import { StreamError } from '#runtime/std/errors.ts';
import { type Inhabitant, World } from '#test/simulation/world/world.ts';

const NAMES = { namespace: 'n', storeName: './checkpoints' };

let world: World;

beforeEach(() => {
  world = new World({ seed: 1 });
  world.cluster.createTopics([{ topic: 'in', partitionCount: 2 }]);
});

/** Lets virtual time pass until the work is done. */
async function done<T>(work: Promise<T>): Promise<T> {
  let settled = false;
  const end = () => {
    settled = true;
  };
  work.then(end, end);
  // What waits for ever would let the world run empty.
  const tick = () => {
    if (!settled && world.scheduler.nowMs < 600_000) world.scheduler.schedule(1_000, 'tick', null, tick);
  };
  tick();
  await world.scheduler.run(() => settled);
  return work;
}

async function refusal(work: Promise<unknown>): Promise<StreamError> {
  const error = await done(work).then(
    () => null,
    (reason: unknown) => reason,
  );
  if (!(error instanceof StreamError)) throw new Error(`no StreamError: ${error}`);
  expect(error.remedy).not.toBe('');
  return error;
}

const edges = ({ log, clock }: Inhabitant) => ({ log, clock, reader: log.reader(), namespace: 'n' });
const open = (inhabitant: Inhabitant) => done(ControlLog.open(edges(inhabitant)));
const read = async (inhabitant: Inhabitant) => (await done(readControlLog(edges(inhabitant))))?.records ?? null;

describe('control log', () => {
  test('does not exist before the first process, and keeps what was appended', async () => {
    const one = world.start('one');
    expect(await read(one)).toBeNull();
    const control = await open(one);
    const records: ControlRecord[] = [
      { kind: 'installation', installationId: 'i', atMs: 1 },
      { kind: 'owner', processId: 'one', atMs: 2 },
    ];
    for (const record of records) await done(control.append(record));
    expect(control.records).toEqual(records);
    expect(await read(world.start('two'))).toEqual(records);
    const topic = world.cluster.topics.get(controlTopic('n'));
    expect(topic?.config).toMatchObject({ 'retention.ms': '-1', 'cleanup.policy': 'delete' });
  });

  test('has one writer: the older one cannot append any more', async () => {
    const [one, two] = [world.start('one'), world.start('two')];
    const older = await open(one);
    const newer = await open(two);
    expect((await refusal(older.append({ kind: 'owner', processId: 'one', atMs: 1 }))).code).toBe('writer-fenced');
    await done(newer.append({ kind: 'owner', processId: 'two', atMs: 1 }));
    expect(await read(one)).toEqual([{ kind: 'owner', processId: 'two', atMs: 1 }]);
  });

  test('names the last owner', async () => {
    const inhabitant = world.start('one');
    const control = await open(inhabitant);
    const owns = (id: string) => done(isOwner(edges(inhabitant), id));
    await done(control.append({ kind: 'owner', processId: 'one', atMs: 1 }));
    expect(await owns('one')).toBe(true);
    await done(control.append({ kind: 'owner', processId: 'two', atMs: 2 }));
    expect(await owns('one')).toBe(false);
    expect(await owns('two')).toBe(true);
  });

  test('what an owner has written is there for whoever reads, however late the log says so', async () => {
    world.channel.faults = { ...world.channel.faults, markerLagMs: 5_000 };
    const older = await open(world.start('older'));
    await done(older.append({ kind: 'owner', processId: 'older', atMs: 1 }));
    const inhabitant = world.start('newer');
    const newer = await open(inhabitant);
    await done(newer.append({ kind: 'owner', processId: 'newer', atMs: 2 }));
    expect(await done(isOwner(edges(inhabitant), 'newer'))).toBe(true);
  });

  test('a lost control log is a fault with a remedy, not a newer owner', async () => {
    const inhabitant = world.start('one');
    const control = await open(inhabitant);
    await done(control.append({ kind: 'owner', processId: 'one', atMs: 1 }));
    world.cluster.deleteTopics([controlTopic('n')]);
    expect((await refusal(isOwner(edges(inhabitant), 'one'))).code).toBe('topic-unknown');
  });

  test('reading it does not wait without end for a log that went away', async () => {
    const inhabitant = world.start('one');
    const control = await open(inhabitant);
    await done(control.append({ kind: 'owner', processId: 'one', atMs: 1 }));
    world.channel.arm('fetch', 'closed-before', () => world.logAway(3_600_000));
    const error = await refusal(isOwner(edges(inhabitant), 'one'));
    expect(error.retryable).toBe(true);
  });

  test('an unknown kind of a newer version is left alone', async () => {
    const inhabitant = world.start('one');
    const control = await open(inhabitant);
    await done(control.append({ kind: 'rescaled', job: 'a' } as unknown as ControlRecord));
    await done(control.append({ kind: 'installation', installationId: 'i', atMs: 1 }));
    expect(checkInstallation((await read(inhabitant)) ?? [], 'i', NAMES)).toBe('i');
  });
});

describe('installation', () => {
  const claim = async (inhabitant: Inhabitant, freshId: string) => {
    const store = new DirectoryStore({ root: 'checkpoints', disk: inhabitant.disk });
    const before = await readControlLog(edges(inhabitant));
    checkInstallation(before?.records ?? [], await store.readInstallation(), NAMES);
    const control = await ControlLog.open(edges(inhabitant));
    return claimInstallation({ control, store, names: NAMES, nowMs: 1, freshId });
  };

  test('is written to log and store at the first start, and known at every later one', async () => {
    expect(await done(claim(world.start('one'), 'first'))).toBe('first');
    expect(await done(claim(world.start('two'), 'second'))).toBe('first');
  });

  test('a crash at any step of the first start is completed by the next', async () => {
    for (let events = 1; events < 80; events++) {
      world = new World({ seed: events });
      const one = world.start('one');
      one.process.killAfterEvents(events);
      const work = claim(one, 'first').catch(() => null);
      await world.scheduler.run(() => !one.process.alive, 10_000);
      if (one.process.alive) expect(await done(work)).toBe('first');
      const id = await done(claim(world.start('two'), 'second'));
      expect(['first', 'second']).toContain(id);
      expect(await done(claim(world.start('three'), 'third')), `after ${events} events`).toBe(id);
    }
  });

  test('another store is refused before anything is disturbed', async () => {
    const one = world.start('one');
    await done(claim(one, 'first'));
    const owner = await open(one);
    const error = await refusal(claim(world.start('stranger', 'other machine'), 'second'));
    expect(error.code).toBe('installation-mismatch');
    expect(error.message).toContain('first');
    // The rightful owner was not shut out.
    await done(owner.append({ kind: 'owner', processId: 'one', atMs: 2 }));
  });

  test('a store of another installation is refused', () => {
    const records: ControlRecord[] = [{ kind: 'installation', installationId: 'here', atMs: 1 }];
    expect(() => checkInstallation(records, 'there', NAMES)).toThrow(/there/);
    expect(() => checkInstallation(records, null, NAMES)).toThrow(/has none/);
  });

  test('two first starts at once on two machines end with one installation, the other is refused', async () => {
    for (let seed = 1; seed < 30; seed++) {
      world = new World({ seed });
      const outcomes: (string | StreamError)[] = [];
      const attempt = async (inhabitant: Inhabitant, id: string) => {
        for (;;) {
          try {
            outcomes.push(await claim(inhabitant, id));
            return;
          } catch (error) {
            if (!(error instanceof StreamError)) throw error;
            if (!error.retryable) {
              outcomes.push(error);
              return;
            }
            await inhabitant.process.after(world.random.int(500), 'again', () => undefined);
          }
        }
      };
      const both = [attempt(world.start('a', 'machine a'), 'a'), attempt(world.start('b', 'machine b'), 'b')];
      await done(Promise.all(both));
      const refused = outcomes.filter((outcome) => outcome instanceof StreamError);
      expect(refused, `seed ${seed}`).toHaveLength(1);
      expect(refused[0]).toMatchObject({ code: 'installation-mismatch' });
      expect(await read(world.start('reader'))).toHaveLength(1);
    }
  });
});

describe('topics of a job', () => {
  const SPECS = [
    { topic: '__n.job.commits', partitionCount: 2 },
    { topic: '__n.job.exchange', partitionCount: 2 },
  ];
  const GENERATION = { namespace: 'n', job: 'job', run: 'live', generation: 0 };

  const describeSource = () => world.cluster.describe('in') as TopicDescription;

  function parts(inhabitant: Inhabitant, control: ControlLog, hasCheckpoints = false) {
    const { topic, topicId, partitionCount } = describeSource();
    return {
      admin: inhabitant.log.admin,
      records: control.records,
      generation: GENERATION,
      specs: SPECS,
      sources: [{ topic, topicId, partitionCount }],
      hasCheckpoints: async () => hasCheckpoints,
      nowMs: 1,
    };
  }

  async function begin(inhabitant: Inhabitant, control: ControlLog, hasCheckpoints = false) {
    const began = await prepareInternalTopics(parts(inhabitant, control, hasCheckpoints));
    if (jobBegan(control.records, GENERATION) === null) await control.append(began);
  }

  async function began() {
    const inhabitant = world.start('one');
    const control = await open(inhabitant);
    await done(begin(inhabitant, control));
    return { inhabitant, control, again: () => begin(inhabitant, control, true) };
  }

  test('are created at the first start and found at the next', async () => {
    const { control, again } = await began();
    await done(again());
    expect(control.records).toHaveLength(1);
    expect(jobBegan(control.records, GENERATION)?.topicIds).toEqual(
      Object.fromEntries(SPECS.map(({ topic }) => [topic, world.cluster.describe(topic)?.topicId])),
    );
  });

  test('a crash at any step of the first start is completed by the next', async () => {
    for (let events = 1; events < 60; events++) {
      world = new World({ seed: events });
      world.cluster.createTopics([{ topic: 'in', partitionCount: 2 }]);
      const one = world.start('one');
      one.process.killAfterEvents(events);
      ControlLog.open(edges(one))
        .then((control) => begin(one, control))
        .catch(() => {});
      await world.scheduler.run(() => !one.process.alive, 5_000);
      one.process.kill();
      const two = world.start('two');
      const control = await open(two);
      await done(begin(two, control));
      expect(
        control.records.filter(({ kind }) => kind === 'job-began'),
        `after ${events} events`,
      ).toHaveLength(1);
    }
  });

  test.each(SPECS)('a lost $topic stops the job, at its start and while it runs', async ({ topic }) => {
    const { inhabitant, control, again } = await began();
    world.cluster.deleteTopics([topic]);
    expect((await refusal(again())).code).toBe('commit-log-lost');
    const record = jobBegan(control.records, GENERATION);
    expect((await done(topicsFault(inhabitant.log.admin, record!)))?.code).toBe('commit-log-lost');
    world.cluster.createTopics(SPECS);
    expect((await refusal(again())).code).toBe('commit-log-lost');
    expect((await done(topicsFault(inhabitant.log.admin, record!)))?.code).toBe('commit-log-lost');
  });

  test('checkpoints without a word in the control log stop the job', async () => {
    const inhabitant = world.start('one');
    const control = await open(inhabitant);
    expect((await refusal(prepareInternalTopics(parts(inhabitant, control, true)))).code).toBe('commit-log-lost');
    expect(world.cluster.describe(SPECS[0].topic), 'nothing was made').toBeNull();
  });

  test('another stage than the job began with is told as that', async () => {
    const { inhabitant, control } = await began();
    const specs = [...SPECS, { topic: '__n.job.commits.other', partitionCount: 2 }];
    const error = await refusal(prepareInternalTopics({ ...parts(inhabitant, control, true), specs }));
    expect(error.code).toBe('version-mismatch');
    expect(error.message).toContain('another stage');
  });

  test('a source that changed is told with what it was and what it is', async () => {
    const { again } = await began();
    world.cluster.createPartitions('in', 5);
    const grown = await refusal(again());
    expect(grown.code).toBe('topic-partitions-changed');
    expect(grown.message).toMatch(/2 partitions.*5/);
    world.cluster.deleteTopics(['in']);
    world.cluster.createTopics([{ topic: 'in', partitionCount: 2 }]);
    expect((await refusal(again())).code).toBe('topic-recreated');
  });

  test('a job goes on with all of its sources or not at all', async () => {
    const inhabitant = world.start('one');
    const control = await open(inhabitant);
    world.cluster.createTopics([{ topic: 'also', partitionCount: 1 }]);
    const { admin } = inhabitant.log;
    const sources = ['in', 'also'].map((topic) => world.cluster.describe(topic) as TopicDescription);
    const began = await done(prepareInternalTopics({ ...parts(inhabitant, control), sources }));
    await done(control.append(began));
    const given = () => parts(inhabitant, control, true);
    await done(prepareInternalTopics({ ...given(), sources: sources.toReversed() }));
    expect((await refusal(prepareInternalTopics(given()))).message).toContain("'also'");
    expect(await done(topicsFault(admin, began))).toBeNull();
    world.cluster.deleteTopics(['also']);
    expect((await done(topicsFault(admin, began)))?.message).toContain("'also' is gone");
  });

  test('what an older version wrote of the one source still counts', () => {
    const source = describeSource();
    const old = { kind: 'job-began', job: 'job', run: 'live', generation: 0, topicIds: {}, source, atMs: 1 } as const;
    expect(beganSources(old)).toEqual([source]);
  });
});

describe('topics a job publishes to', () => {
  const SPECS = [
    { topic: 'rows', partitionCount: 2 },
    { topic: 'late', partitionCount: 2 },
  ];
  const GENERATION = { namespace: 'n', job: 'job', run: 'live', generation: 0 };

  /** As a start of the process does it: what is lost. */
  async function start(inhabitant: Inhabitant, specs = SPECS): Promise<string[]> {
    const control = await open(inhabitant);
    const { admin } = inhabitant.log;
    const { records } = control;
    const prepared = await done(prepareOutputTopics({ admin, records, generation: GENERATION, specs, nowMs: 1 }));
    if (jobOutputs(records, GENERATION) !== prepared.outputs) await done(control.append(prepared.outputs));
    for (const { remedy } of prepared.losses) expect(remedy).toMatch(/restore it/);
    return prepared.losses.map(({ code, message }) => `${code} ${message}`);
  }

  const written = async () => ((await read(world.start('reader'))) ?? []).length;

  test('are created at the first start and written down once', async () => {
    expect(await start(world.start('one'))).toEqual([]);
    expect(await start(world.start('two'))).toEqual([]);
    expect(world.cluster.describe('rows')?.partitionCount).toBe(2);
    expect(await written()).toBe(1);
  });

  test('one that is gone is told once and has as many partitions as before', async () => {
    world.cluster.createTopics([{ topic: 'rows', partitionCount: 5 }]);
    await start(world.start('one'));
    world.cluster.deleteTopics(['rows']);
    expect(await start(world.start('two'))).toEqual([
      expect.stringMatching(/^topic-unknown job job: .*'rows' is gone/),
    ]);
    expect(world.cluster.describe('rows')?.partitionCount).toBe(5);
    expect(await start(world.start('three'))).toEqual([]);
  });

  test('one that somebody created again is told once', async () => {
    await start(world.start('one'));
    world.cluster.deleteTopics(['rows']);
    world.cluster.createTopics([SPECS[0]]);
    expect(await start(world.start('two'))).toEqual([expect.stringMatching(/^topic-recreated .*'rows' was deleted/)]);
    expect(await start(world.start('three'))).toEqual([]);
  });

  test('a topic that the job did not publish to before is no loss', async () => {
    await start(world.start('one'));
    expect(await start(world.start('two'), [...SPECS, { topic: 'more', partitionCount: 1 }])).toEqual([]);
  });

  test('a start that dies before it wrote down what it created leaves the loss to be told by the next', async () => {
    await start(world.start('one'));
    world.cluster.deleteTopics(['rows']);
    const dying = world.start('dying');
    const { records } = await open(dying);
    const { admin } = dying.log;
    await done(prepareOutputTopics({ admin, records, generation: GENERATION, specs: SPECS, nowMs: 1 }));
    dying.process.kill();
    expect(await start(world.start('two'))).toEqual([expect.stringMatching(/^topic-recreated/)]);
  });

  test('one that is lost while the job runs is a fault', async () => {
    const inhabitant = world.start('one');
    await start(inhabitant);
    const outputs = jobOutputs((await read(inhabitant)) ?? [], GENERATION);
    if (outputs === null) throw new Error('not written down');
    const fault = () => done(outputsFault(inhabitant.log.admin, outputs));
    expect(await fault()).toBeNull();
    world.cluster.deleteTopics(['late']);
    expect(await fault()).toMatchObject({ code: 'topic-unknown' });
    world.cluster.createTopics([SPECS[1]]);
    expect(await fault()).toMatchObject({ code: 'topic-recreated', remedy: expect.stringMatching(/^start again/) });
  });
});
